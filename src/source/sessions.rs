//! The sessions of a stream: the one that is published, and attempts beside it.
//!
//! Every call into a client happens in here or in what is polled here, and every one is caught: a panic on what one
//! camera sent ends that session and no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time;
use tracing::Span;

use super::attempt::{Attempt, MAX_EVENTS};
use super::catch_up::fit_behind;
use super::error::Error;
use super::policy::{Liveness, Loss, Nature};
use super::session::{Event, Packet, Session};
use crate::hub::Publisher;
use crate::metrics::Metrics;
use crate::sdp::Description;
use crate::spans;
use crate::vocabulary::{FailureClass, Transport};
use crate::workers::panic_message;

/// All sessions of a stream.
pub(super) struct Sessions {
    metrics: Arc<Metrics>,
    pub(super) current: Option<Current>,
    pub(super) attempts: Vec<Attempt>,
    /// When the last packet of each track came that was published, of sessions that are gone.
    published: Vec<Option<Instant>>,
}

/// The session that is published.
pub(super) struct Current {
    pub(super) id: u64,
    pub(super) source: usize,
    pub(super) since: Instant,
    pub(super) transport: Option<Transport>,
    pub(super) rhythm: Rhythm,
    /// The share of packets that is lost, once that is too much.
    pub(super) lossy: Option<f64>,
    session: Box<dyn Session>,
    /// Not entered: it tells when the session was published.
    pub(super) span: Span,
    /// Counted over UDP only.
    loss: Option<Loss>,
    /// When the last packet of each track came.
    last: Vec<Option<Instant>>,
}

/// What is known of how the pictures of a source come.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    pub(super) tracks: Vec<Nature>,
    pub(super) liveness: Liveness,
}

/// What has become of a session.
pub(super) enum Happening {
    /// The one that is published has ended, and is gone.
    Ended(Current, Error),
    /// An attempt has failed, and is gone.
    Failed(Attempt, Error),
    /// An attempt has got further.
    Progress,
}

impl Sessions {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, current: None, attempts: Vec::new(), published: Vec::new() }
    }

    /// Publishes what the current session delivers and holds back what attempts do, until something happens.
    pub(super) fn poll(&mut self, publisher: &mut Publisher, cx: &mut Context<'_>) -> Poll<Happening> {
        self.pass_on(publisher, cx);
        if let Some(current) = &mut self.current
            && let Poll::Ready(error) = current.poll(publisher, &self.metrics, cx)
            && let Some(current) = self.take_current()
        {
            return Poll::Ready(Happening::Ended(current, error));
        }
        let now = time::Instant::now().into_std();
        for index in 0..self.attempts.len() {
            let attempt = &mut self.attempts[index];
            match caught(&self.metrics, || attempt.poll(cx, now)) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(Ok(()))) => return Poll::Ready(Happening::Progress),
                Ok(Poll::Ready(Err(error))) | Err(error) => {
                    return Poll::Ready(Happening::Failed(self.attempts.remove(index), error));
                }
            }
        }
        Poll::Pending
    }

    /// Has the camera hear what a viewer says. Without a session that is published nobody hears it: it is of no use later.
    fn pass_on(&mut self, publisher: &mut Publisher, cx: &mut Context<'_>) {
        for _ in 0..MAX_SAID {
            let (current, metrics) = (&mut self.current, &self.metrics);
            let said = publisher.poll_said(cx, |packet| {
                current
                    .as_mut()
                    .is_some_and(|current| caught(metrics, || current.session.say(packet)).unwrap_or(false))
            });
            if said.is_pending() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Publishes the session of an attempt from now on, with what it has held back. Gives the session before; `None` for
    /// an attempt that does not play.
    pub(super) fn take_over(
        &mut self,
        attempt: Attempt,
        name: &str,
        rhythm: impl FnOnce(&Description) -> Rhythm,
        publisher: &mut Publisher,
        now: Instant,
    ) -> Option<Option<Current>> {
        let (id, source) = (attempt.id, attempt.source);
        let (session, backlog) = attempt.into_session()?;
        let before = self.take_current();
        let description = session.description().clone();
        let transport = session.transport();
        let listens = session.back_channel().cloned();
        let mut current = Current {
            id,
            source,
            since: now,
            transport,
            rhythm: rhythm(&description),
            lossy: None,
            session,
            span: spans::session(name, transport),
            loss: (transport == Some(Transport::Udp)).then(Loss::default),
            last: vec![None; description.tracks.len()],
        };
        let video = backlog.video();
        let mut events: Vec<_> = backlog.into_events().collect();
        fit_behind(&mut events, video, &self.published);
        publisher.listens(listens);
        publisher.begin(description);
        publisher.live(transport);
        for event in events {
            current.publish(event, publisher);
        }
        publisher.flush();
        self.current = Some(current);
        Some(before)
    }

    /// Takes the session that is published away.
    pub(super) fn take_current(&mut self) -> Option<Current> {
        let current = self.current.take();
        for (track, last) in current.iter().flat_map(|current| current.last.iter().enumerate()) {
            if self.published.len() <= track {
                self.published.resize(track + 1, None);
            }
            self.published[track] = last.or(self.published[track]);
        }
        current
    }

    /// Gives up every session; they say goodbye in the background.
    pub(super) fn clear(&mut self) {
        self.attempts.clear();
        self.take_current();
    }
}

impl Current {
    /// How long media came.
    pub(super) fn lasted(&self) -> Duration {
        let last = self.last.iter().flatten().max().copied().unwrap_or(self.since);
        last.saturating_duration_since(self.since)
    }

    fn poll(&mut self, publisher: &mut Publisher, metrics: &Metrics, cx: &mut Context<'_>) -> Poll<Error> {
        for _ in 0..MAX_EVENTS {
            let session = &mut self.session;
            match caught(metrics, || session.poll_event(cx)) {
                Ok(Poll::Ready(Ok(event))) => self.publish(event, publisher),
                Ok(Poll::Ready(Err(error))) | Err(error) => {
                    publisher.flush();
                    return Poll::Ready(error);
                }
                Ok(Poll::Pending) => {
                    publisher.settle(cx);
                    return Poll::Pending;
                }
            }
        }
        // More is waiting: let others run in between.
        publisher.flush();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn publish(&mut self, event: Event, publisher: &mut Publisher) {
        match event {
            Event::Packet(packet) => {
                if let Some(last) = self.last.get_mut(packet.track.index()) {
                    *last = Some(packet.received);
                }
                self.count_loss(&packet);
                let (track, received) = (packet.track, packet.received);
                match publisher.packet(track, packet.bytes(), received) {
                    Ok(kind) if kind.frame_start => self.rhythm.liveness.frame(track, kind.key, received),
                    Ok(_) => self.rhythm.liveness.packet(received),
                    Err(error) => tracing::trace!(%track, %error, "a packet is left out"),
                }
            }
            Event::Epoch { track } => publisher.epoch(track),
            Event::Report { track, ntp, timestamp } => publisher.sender_report(track, ntp, timestamp),
        }
    }

    fn count_loss(&mut self, packet: &Packet) {
        if let (Some(loss), Some(sequence)) = (&mut self.loss, packet.bytes().get(2..4)) {
            let sequence = u16::from_be_bytes([sequence[0], sequence[1]]);
            if let Some(share) = loss.packet(packet.track, sequence, packet.received) {
                self.lossy = Some(share);
            }
        }
    }
}

/// Packets of a viewer who talks that are passed on at a time.
const MAX_SAID: usize = 16;

/// A call into a client; a panic on what the camera sent is a failure like others.
fn caught<T>(metrics: &Metrics, call: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        metrics.task_panics.inc();
        let message = format!("the RTSP library panicked: {}", panic_message(&*panic));
        Error::new(FailureClass::Panic, message)
    })
}
