//! The viewers of one stream on one worker thread, and the task that serves them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task;

use super::Line;
use super::backlog::{Backlog, Missed};
use super::send::{self, Leased};
use crate::hub::{Burst, Delivery, Stream, Subscription, Tally};
use crate::server::session::{Next, Playing, Session};
use crate::vocabulary::{Disconnect, Skip, Transport};
use crate::workers::Workers;

/// The viewers of one stream on this thread.
#[derive(Debug)]
struct Group {
    stream: Arc<Stream>,
    /// `None` where one has left during a round.
    members: RefCell<Vec<Option<Rc<Member>>>>,
    backlog: RefCell<Backlog>,
    /// The task is between two viewers of a burst.
    serving: Cell<bool>,
    /// The last one has left.
    empty: Notify,
}

/// A viewer among others. What a burst needs of it stands together, and begins with a line of the cache.
#[derive(Debug)]
#[repr(align(128))]
struct Member {
    session: Rc<RefCell<Session>>,
    line: Line,
    transport: Transport,
    /// What it is served by while it is in step and nothing is the matter with it; its player waits meanwhile.
    leased: RefCell<Option<Leased>>,
    /// Its own task serves it.
    behind: Cell<bool>,
    /// It has the bursts up to this id.
    last: Cell<u64>,
    /// It is to go, for this reason.
    ended: Cell<Option<Disconnect>>,
    /// Wakes its own task.
    waker: RefCell<Option<Waker>>,
}

/// A viewer's place in a group, until it is dropped.
#[derive(Debug)]
pub(super) struct Membership {
    group: Rc<Group>,
    member: Rc<Member>,
}

thread_local! {
    /// By the address of the stream, which lives as long as its group.
    static GROUPS: RefCell<HashMap<*const Stream, Weak<Group>>> = RefCell::default();
}

impl Membership {
    /// Enters a session among the viewers of its stream on this thread, behind until its own task waits for what is next.
    pub(super) fn join(
        stream: &Arc<Stream>,
        session: &Rc<RefCell<Session>>,
        line: &Line,
        workers: &Workers,
    ) -> Self {
        let known = GROUPS.with_borrow(|groups| groups.get(&Arc::as_ptr(stream)).and_then(Weak::upgrade));
        let group = known.unwrap_or_else(|| Group::start(stream, workers));
        let member = Rc::new(Member {
            session: Rc::clone(session),
            line: line.clone(),
            transport: line.transport(),
            leased: RefCell::default(),
            behind: Cell::new(true),
            last: Cell::new(group.backlog.borrow().newest()),
            ended: Cell::default(),
            waker: RefCell::default(),
        });
        group.members.borrow_mut().push(Some(Rc::clone(&member)));
        Self { group, member }
    }

    /// Waits until the session's own task has something to do. To be waited for while the line is clear: then a viewer
    /// that has everything is in step again.
    pub(super) async fn next(&self) -> Next {
        poll_fn(|cx| {
            let member = &self.member;
            if let Some(reason) = member.ended.take() {
                return Poll::Ready(Next::Kicked(reason));
            }
            if member.behind.get() {
                match self.group.backlog.borrow().after(member.last.get()) {
                    Missed::Burst(burst) => {
                        member.last.set(burst.id());
                        return Poll::Ready(Next::Delivery(Delivery::Burst(burst)));
                    }
                    Missed::Lagged(up_to) => {
                        member.last.set(up_to);
                        return Poll::Ready(Next::Delivery(Delivery::Lagged));
                    }
                    Missed::Nothing => member.behind.set(!member.line.is_clear()),
                }
            }
            let mut waker = member.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Has the session know all that was sent: to be called before it is looked at.
    pub(super) fn settle(&self) {
        self.member.settle();
    }

    /// What comes from now on waits for the session's own task.
    pub(super) fn step_out(&self) {
        self.member.behind.set(true);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.member.settle();
        let mut members = self.group.members.borrow_mut();
        let is_this = |member: &Option<Rc<Member>>| {
            member.as_ref().is_some_and(|member| Rc::ptr_eq(member, &self.member))
        };
        if self.group.serving.get() {
            // The places of the others stay while the task goes through them.
            if let Some(place) = members.iter_mut().find(|member| is_this(member)) {
                *place = None;
            }
        } else {
            members.retain(|member| !is_this(member));
        }
        if members.iter().all(Option::is_none) {
            self.group.empty.notify_one();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let stream = Arc::as_ptr(&self.stream);
        // Another group of the stream may have begun since the last viewer of this one left.
        GROUPS.with_borrow_mut(|groups| {
            if groups.get(&stream).is_some_and(|group| group.strong_count() == 0) {
                groups.remove(&stream);
            }
        });
    }
}

impl Group {
    fn start(stream: &Arc<Stream>, workers: &Workers) -> Rc<Self> {
        let group = Rc::new(Self {
            stream: Arc::clone(stream),
            members: RefCell::default(),
            backlog: RefCell::default(),
            serving: Cell::default(),
            empty: Notify::new(),
        });
        GROUPS.with_borrow_mut(|groups| groups.insert(Arc::as_ptr(stream), Rc::downgrade(&group)));
        workers.spawn_here("fan-out", Rc::clone(&group).run(stream.subscribe(), workers.clone()));
        group
    }

    /// Serves the viewers until there are none.
    async fn run(self: Rc<Self>, mut bursts: Subscription, workers: Workers) {
        let mut tallies: Vec<Tally> =
            Transport::ALL.iter().map(|each| Tally::new(self.stream.metrics(), *each)).collect();
        let mut turn = 0;
        loop {
            tokio::select! {
                biased;
                delivery = bursts.next() => match delivery {
                    Delivery::Burst(burst) => self.serve(&burst, turn, &mut tallies, &workers).await,
                    Delivery::Lagged => self.lag(),
                    Delivery::Closed => return, // never: the group holds the stream, and the stream its ring
                },
                () = self.empty.notified() => {}
            }
            turn = turn.wrapping_add(1);
            if self.members.borrow().is_empty() {
                return;
            }
        }
    }

    /// Gives a burst to every viewer that is in step, `turn` being the one that is first this time.
    async fn serve(&self, burst: &Arc<Burst>, turn: usize, tallies: &mut [Tally], workers: &Workers) {
        self.backlog.borrow_mut().push(burst);
        self.serving.set(true);
        let count = self.members.borrow().len();
        let mut begun = Instant::now();
        let (mut now, mut furthest) = (begun, None);
        for place in 0..count {
            if place % GLANCE == 0 {
                now = Instant::now();
                if now.saturating_duration_since(begun) >= TURN {
                    // Other streams' viewers, and requests, do not wait until all of these are served.
                    tallies.iter_mut().for_each(Tally::flush);
                    task::yield_now().await;
                    now = Instant::now();
                    begun = now;
                }
            }
            let members = self.members.borrow();
            if place % NEAR == 0 {
                let next = (place..count.min(place + NEAR)).map(|place| (turn + place) % count);
                next.filter_map(|place| members[place].as_ref()).for_each(|member| member.bring_near());
            }
            let Some(member) = &members[(turn + place) % count] else { continue };
            let tally = &mut tallies[member.transport.index()];
            let served = AssertUnwindSafe(|| member.serve(&self.stream, burst, now, tally));
            if let Err(panic) = catch_unwind(served) {
                workers.report_panic("fan-out", &*panic);
                member.end(Disconnect::Closed);
            }
            if member.behind.get() {
                let last = member.last.get();
                furthest = Some(furthest.map_or(last, |furthest: u64| furthest.min(last)));
            }
        }
        self.serving.set(false);
        tallies.iter_mut().for_each(Tally::flush);
        let mut members = self.members.borrow_mut();
        members.retain(Option::is_some);
        // Who came during the round begins behind it, and may need what comes next.
        self.backlog.borrow_mut().forget(furthest);
    }

    /// The worker was so busy that the ring went past it: all its viewers missed something.
    fn lag(&self) {
        self.backlog.borrow_mut().lag();
        for member in self.members.borrow().iter().flatten() {
            member.settle();
            if let Some(Playing { ahead, player, .. }) = member.session.borrow_mut().playing() {
                ahead.recover(&self.stream, player);
            }
            member.fall_behind();
        }
    }
}

impl Member {
    /// Sends the burst, unless the viewer's own task has to. `now` is a moment ago.
    fn serve(&self, stream: &Stream, burst: &Burst, now: Instant, tally: &mut Tally) {
        if self.behind.get() || burst.id() <= self.last.get() {
            return;
        }
        if !self.line.is_clear() {
            // An answer is in the way.
            return self.fall_behind();
        }
        match self.serve_whole(burst, now, tally) {
            Ok(true) => return,
            Ok(false) => self.settle(),
            Err(error) => return self.broke(&error),
        }
        let mut session = self.session.borrow_mut();
        let Some(playing) = session.playing() else { return };
        match playing.is_described_by(burst, stream) {
            Ok(true) => {}
            Ok(false) => return self.last.set(burst.id()),
            Err(reason) => return self.end(reason),
        }
        match send::send(playing, stream, &self.line, burst, now, Some(tally)) {
            Ok(()) => {
                self.last.set(burst.id());
                if self.line.is_clear() {
                    self.leased.replace(playing.lease(burst));
                } else {
                    self.fall_behind();
                }
            }
            Err(error) => self.broke(&error),
        }
    }

    /// Reads a word of each line of memory that serving it takes. Between two bursts the packets of all the others have
    /// driven them out of the caches: a few viewers' lines are fetched at the same time, where serving one after the other
    /// would wait for each.
    fn bring_near(&self) {
        black_box((self.behind.get(), self.last.get(), self.line.waiting()));
        if let Some(leased) = &*self.leased.borrow() {
            leased.bring_near();
        }
    }

    /// Sends the burst if that can be done without the player, and returns whether it could.
    fn serve_whole(&self, burst: &Burst, now: Instant, tally: &mut Tally) -> io::Result<bool> {
        let sent = match &mut *self.leased.borrow_mut() {
            Some(leased) => send::send_whole(leased, &self.line, burst, now, tally)?,
            None => None,
        };
        let Some(taken) = sent else { return Ok(false) };
        self.last.set(burst.id());
        if !self.line.is_clear() {
            self.fall_behind();
        }
        if !taken && let Some(playing) = self.session.borrow_mut().playing() {
            // A burst is a frame, or part of one.
            playing.seat.skipped(Skip::Blocked, 1);
        }
        Ok(true)
    }

    /// Gives back what the player has lent.
    fn settle(&self) {
        if let Some(Leased { lease, .. }) = self.leased.take()
            && let Some(playing) = self.session.borrow_mut().playing()
        {
            playing.player.settle(lease);
        }
    }

    fn broke(&self, error: &io::Error) {
        // Players reset the connection when they leave: nothing to report.
        tracing::trace!(%error, "a viewer's connection broke");
        self.end(Disconnect::Closed);
    }

    /// Leaves the viewer to its own task, and wakes that.
    fn fall_behind(&self) {
        self.behind.set(true);
        self.wake();
    }

    fn end(&self, reason: Disconnect) {
        self.ended.set(Some(reason));
        self.behind.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// How long viewers are served in one go, before others on the thread have their turn. To give it to them wakes the runtime:
/// not worth it in the middle of a hundred viewers, who take a millisecond at 4 Mbit/s.
const TURN: Duration = Duration::from_millis(2);

/// Viewers after whom the clock is read: what is counted as a viewer's latency lacks its own write, and up to three others'.
const GLANCE: usize = 4;

/// Viewers whose numbers are fetched at the same time: what they get meanwhile still leaves them in the cache.
const NEAR: usize = 16;
