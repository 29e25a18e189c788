//! One wake-up a burst and worker, however many of its viewers watch the stream.
//!
//! A worker thread has one task for each stream that its viewers watch. It follows the stream's ring and gives each
//! burst to all of them in one go, straight to their sockets: a viewer's own task sleeps on. What a viewer needs for
//! that is shared between the two by `Rc`, since both live on one thread: no lock, and no atomic counter that another
//! thread touches. A viewer with whom nothing is the matter is served from a *lease* (`player::lease`), a copy of its
//! numbers that stands in one place of memory; its session gets them back before anybody looks at it.
//!
//! A viewer whose socket does not take all of a burst *falls behind*: its own task is woken, writes the rest when the
//! socket has room, takes the bursts it missed from the worker's backlog, and then is back in step. A viewer that has
//! just said PLAY begins like that, so that nothing overtakes the answer; its task first sends what it gets ahead of the
//! bursts that come ([`super::ahead`]).
//!
//! Measured on two cores over loopback, 4 Mbit/s a viewer (`benches/fanout`), CPU per Gbit against a program that only
//! writes the same bytes: README, "Measure it".

mod backlog;
mod group;
mod send;

pub(super) use send::frame;

use std::cell::{Ref, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::{task, time};

use super::mount::Feed;
use super::outbox::Outbox;
use super::session::{Next, Playing, Session};
use super::udp::UdpPorts;
use crate::hub::{Burst, Delivery};
use crate::rtsp::{Request, Response, Status, Uri};
use crate::vocabulary::{Disconnect, Transport};
use crate::workers::Workers;
use group::Membership;

/// A session in the hands of its task, and its place among the viewers that its worker serves together.
#[derive(Debug)]
pub(super) struct Subscriber {
    session: Rc<RefCell<Session>>,
    line: Line,
    /// While it plays a live stream.
    membership: Option<Membership>,
}

/// Where a session's packets go.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Into its RTSP connection.
    Connection(Rc<Outbox>),
    /// Out of UDP ports.
    Ports(Arc<UdpPorts>),
}

impl Subscriber {
    /// Takes charge of a session whose packets go through `line`.
    pub(super) fn new(session: Session, line: Line) -> Self {
        Self { session: Rc::new(RefCell::new(session)), line, membership: None }
    }

    /// The session, to look at. Not to be held while waiting.
    pub(super) fn session(&self) -> Ref<'_, Session> {
        self.settle();
        self.session.borrow()
    }

    /// The session, to change. Not to be held while waiting.
    pub(super) fn session_mut(&self) -> RefMut<'_, Session> {
        self.settle();
        self.session.borrow_mut()
    }

    /// Has the session know all that was sent.
    fn settle(&self) {
        if let Some(membership) = &self.membership {
            membership.settle();
        }
    }

    /// Answers a request other than SETUP. The second value says that the session has ended. Media that PLAY asks for is
    /// not sent before [`Subscriber::next`] is waited for.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        uri: Option<&Uri>,
        workers: &Workers,
    ) -> (Response, bool) {
        let (response, ended) = self.session_mut().answer(request, uri);
        self.enlist(workers);
        (response, ended)
    }

    /// Plays everything, as PLAY does.
    ///
    /// # Errors
    /// As [`Session::play`].
    pub(super) fn play(&mut self, workers: &Workers) -> Result<(), Status> {
        self.session_mut().play(None, None)?;
        self.enlist(workers);
        Ok(())
    }

    /// Pauses everything, as PAUSE does.
    pub(super) fn pause(&mut self, workers: &Workers) {
        // What does not play is paused.
        let _ = self.session_mut().pause(None);
        self.enlist(workers);
    }

    /// Has it served with the other viewers of its stream while it plays a live one. What comes is not sent before
    /// [`Subscriber::next`] is waited for.
    pub(super) fn enlist(&mut self, workers: &Workers) {
        let live = {
            let mut session = self.session_mut();
            let stream = Arc::clone(session.mount().stream());
            session
                .playing()
                .is_some_and(|playing| matches!(playing.feed, Feed::Live { .. }))
                .then_some(stream)
        };
        match (live, &self.membership) {
            (None, _) => self.membership = None,
            (Some(_), Some(membership)) => membership.step_out(),
            (Some(stream), None) => {
                self.membership = Some(Membership::join(&stream, &self.session, &self.line, workers));
            }
        }
    }

    /// Waits for the next thing that the session's own task has to do. Cancel-safe; forever while not playing. To be
    /// waited for only while the line has room.
    pub(super) async fn next(&self) -> Next {
        let playing = {
            let mut session = self.session_mut();
            session.playing().map(|playing| (Arc::clone(playing.seat.viewer()), playing.feed.due()))
        };
        let Some((viewer, due)) = playing else { return std::future::pending().await };
        // Who has much to catch up with lets others run in between.
        task::coop::consume_budget().await;
        tokio::select! {
            biased;
            next = self.delivered(due) => next,
            reason = viewer.kicked() => Next::Kicked(reason),
        }
    }

    /// What is for this session alone: a file's packets when they are due, or what it missed while it was behind.
    async fn delivered(&self, due: Option<Instant>) -> Next {
        match (due, &self.membership) {
            (Some(due), _) => {
                time::sleep_until(due.into()).await;
                let mut session = self.session_mut();
                let delivery = session.playing().and_then(|playing| playing.feed.take());
                delivery.map_or(Next::Delivery(Delivery::Closed), Next::Delivery)
            }
            (None, Some(membership)) => match self.ahead().await {
                Some(burst) => Next::Delivery(Delivery::Burst(burst)),
                None => membership.next().await,
            },
            (None, None) => std::future::pending().await,
        }
    }

    /// The next burst that it gets ahead of those that come, when it is its turn. Cancel-safe.
    async fn ahead(&self) -> Option<Arc<Burst>> {
        let not_before = self.session_mut().playing()?.ahead.not_before();
        if let Some(not_before) = not_before {
            time::sleep_until(not_before.into()).await;
        }
        let mut session = self.session_mut();
        let stream = Arc::clone(session.mount().stream());
        let Playing { ahead, player, .. } = session.playing()?;
        ahead.take(&stream, player)
    }

    /// Does what [`Subscriber::next`] gave: sends it, as a rule. A reason means that the session has ended.
    ///
    /// # Errors
    /// Its connection is gone; without one, never.
    pub(super) fn deliver(&self, next: Next) -> io::Result<Option<Disconnect>> {
        let delivery = match next {
            Next::Delivery(delivery) => delivery,
            Next::Kicked(reason) => return Ok(Some(reason)),
        };
        let mut session = self.session_mut();
        let stream = Arc::clone(session.mount().stream());
        let Some(playing) = session.playing() else { return Ok(None) };
        let now = Instant::now();
        let burst = match playing.accept(delivery, &stream, now, &self.line) {
            Ok(Some(burst)) => burst,
            Ok(None) => return Ok(None),
            Err(reason) => return Ok(Some(reason)),
        };
        send::send(playing, &stream, &self.line, &burst, now, None)?;
        Ok(None)
    }

    /// Ends the session: its seat is given up for this reason.
    pub(super) fn end(mut self, reason: Disconnect) {
        self.membership = None;
        self.session.borrow_mut().end(reason);
    }
}

impl Line {
    fn transport(&self) -> Transport {
        match self {
            Self::Connection(outbox) => outbox.transport(),
            Self::Ports(ports) => ports.transport(),
        }
    }

    /// Whether nothing waits to be written before the next burst.
    fn is_clear(&self) -> bool {
        self.waiting() == 0
    }

    /// How long the last of a burst stays in this machine.
    fn delay(&self, burst: &Burst, now: Instant) -> Duration {
        match self {
            Self::Connection(outbox) => outbox.delay(burst.wire().len(), now),
            Self::Ports(_) => Duration::ZERO,
        }
    }

    /// Bytes that wait to be written before the next burst.
    fn waiting(&self) -> usize {
        match self {
            Self::Connection(outbox) => outbox.len(),
            Self::Ports(_) => 0,
        }
    }
}
