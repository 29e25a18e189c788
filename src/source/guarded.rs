//! Attempts and sessions of retina's, watched for what the library does not get on with, and for what it would swallow.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::clients::{Memory, is_refusal};
use super::error::{Error, Step};
use super::meter::Meter;
use super::session::{Event, Local, Packet, Progress, Session};
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, Transport};

/// What became of an attempt.
pub(super) enum Attempted {
    /// It ended, one way or the other; so many bytes came.
    Done(Result<Box<dyn Session>, Error>, u64),
    /// The camera has answered, and the library waits for more.
    Stuck,
    /// More came than any camera has to say.
    TooMuch,
}

/// An attempt of retina's, while it lasts.
pub(super) struct Guarded {
    opening: Local<Result<Box<dyn Session>, Error>>,
    progress: Progress,
    answered: bool,
    meter: Meter,
    /// What had been read when the camera last said something, and when that was.
    said: (u64, Instant),
    look: Interval,
}

impl Guarded {
    pub(super) fn new(opening: Local<Result<Box<dyn Session>, Error>>, progress: Progress) -> Self {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { opening, progress, answered: false, meter: Meter::new(), said: (0, now()), look }
    }
}

impl Future for Guarded {
    type Output = Attempted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Attempted> {
        let this = &mut *self;
        let opened = this.meter.measure(cx, |cx| this.opening.as_mut().poll(cx));
        if let Poll::Ready(opened) = opened {
            return Poll::Ready(Attempted::Done(opened, this.meter.read()));
        }
        if this.meter.read() > HANDSHAKE_MAX {
            drop_without_goodbye(std::mem::replace(&mut this.opening, Box::pin(std::future::pending())));
            return Poll::Ready(Attempted::TooMuch);
        }
        if this.progress.is_answered() && !std::mem::replace(&mut this.answered, true) {
            // That much it understood.
            this.meter.reset();
            this.said = (0, now());
        }
        while this.look.poll_tick(cx).is_ready() {
            if this.said.0 != this.meter.read() {
                this.said = (this.meter.read(), now());
            } else if this.said.0 > 0 && now().saturating_duration_since(this.said.1) >= STUCK {
                return Poll::Ready(Attempted::Stuck);
            }
        }
        Poll::Pending
    }
}

/// A session of retina's.
pub(super) struct Watched {
    /// `None` only while it is dropped.
    session: Option<Box<dyn Session>>,
    camera: String,
    memory: Memory,
    since: Instant,
    /// A packet came.
    heard: bool,
    /// When something came last that the library understood, or PLAY was answered.
    last: Instant,
    meter: Meter,
    /// Calls in a row that brought nothing.
    idle: u32,
    /// By track: its payload type, and whether it is video.
    tracks: Vec<(u8, bool)>,
    /// Packets whose payload type is not their track's, as long as no other came.
    strangers: Option<u32>,
    /// The camera sends without an end what is no message.
    endless: bool,
}

impl Watched {
    pub(super) fn new(session: Box<dyn Session>, camera: String, memory: Memory) -> Self {
        let tracks = session.description().tracks.iter();
        let tracks = tracks.map(|track| (track.payload_type, track.is_video())).collect();
        Self {
            session: Some(session),
            camera,
            memory,
            since: now(),
            heard: false,
            last: now(),
            meter: Meter::new(),
            idle: 0,
            tracks,
            strangers: Some(0),
            endless: false,
        }
    }

    fn session(&self) -> &dyn Session {
        self.session.as_deref().expect("it is taken when this is dropped")
    }

    /// What is wrong with what came, or did not.
    fn judge(&mut self, event: &Poll<Result<Event, Error>>) -> Option<Error> {
        let refused = |words: &str| {
            let error = Error::new(FailureClass::Protocol, format!("while playing: {words}"));
            Some(Error { step: Some(Step::Playing), ..error })
        };
        match event {
            Poll::Ready(Ok(Event::Packet(packet))) => {
                self.heard = true;
                if self.strange(packet) {
                    return refused("packets come that are described as another track's");
                }
                None
            }
            Poll::Ready(_) => None,
            Poll::Pending if self.meter.read() > MESSAGE_MAX => {
                self.endless = true;
                refused(&format!("more than {} KiB came that are no message", MESSAGE_MAX >> 10))
            }
            // Packets on channels nobody agreed on are thrown away by the library (C59): it hears nothing.
            Poll::Pending
                if self.meter.read() > DEAF_BYTES
                    && now().saturating_duration_since(self.last) >= DEAF_SOON =>
            {
                refused("nothing of what comes is understood as packets")
            }
            Poll::Pending => None,
        }
    }

    /// Whether the packets so far have payload types that are not their tracks': channels mixed up, or numbers.
    fn strange(&mut self, packet: &Packet) -> bool {
        let Some(count) = &mut self.strangers else { return false };
        let (Some(second), Some((own, is_video))) =
            (packet.bytes().get(1), self.tracks.get(packet.track.index()))
        else {
            return false;
        };
        let payload_type = second & 0x7F;
        if payload_type == *own {
            if *is_video {
                self.strangers = None;
            }
            return false;
        }
        let of_another = self.tracks.iter().any(|(other, _)| *other == payload_type);
        *count += u32::from(of_another || *is_video);
        *count >= STRANGERS_MAX
    }
}

impl Session for Watched {
    fn description(&self) -> &Description {
        self.session().description()
    }

    fn transport(&self) -> Option<Transport> {
        self.session().transport()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        // While packets come nothing is counted; how often a call may read is bounded all the same.
        let measured = !self.heard || self.idle >= IDLE_MAX;
        let meter = &mut self.meter;
        let session = self.session.as_mut().expect("it is taken when this is dropped");
        let polled = catch_unwind(AssertUnwindSafe(|| match measured {
            true => meter.measure(cx, |cx| session.poll_event(cx)),
            false => meter.bound(cx, |cx| session.poll_event(cx)),
        }));
        match polled {
            Ok(mut event) => {
                if let Some(error) = self.judge(&event) {
                    event = Poll::Ready(Err(error));
                }
                match &event {
                    Poll::Ready(Err(error)) if is_refusal(error) => {
                        self.memory.remember(&self.camera, error.to_string());
                    }
                    Poll::Ready(_) => {
                        if measured || self.idle > 0 {
                            self.last = now();
                        }
                        self.idle = 0;
                        self.meter.reset();
                    }
                    Poll::Pending => self.idle = self.idle.saturating_add(1),
                }
                event
            }
            Err(panic) => {
                self.memory.remember(&self.camera, "it panicked on what the camera sent".to_owned());
                resume_unwind(panic)
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let deaf = !self.heard && self.session().transport() == Some(Transport::Tcp);
        if deaf && now().saturating_duration_since(self.since) >= DEAF {
            self.memory.remember(&self.camera, "it heard no packet after PLAY".to_owned());
        }
        if self.endless {
            drop_without_goodbye(self.session.take());
        }
    }
}

/// Drops what the library holds without the TEARDOWN that it would send: the task that waits for the answer reads for five
/// seconds without a bound what a camera sends without an end. It begins that task on the runtime that it is dropped on: here
/// one that never runs.
fn drop_without_goodbye<T>(held: T) {
    let Ok(nowhere) = runtime::Builder::new_current_thread().build() else { return drop(held) };
    let entered = nowhere.enter();
    drop(held);
    drop(entered);
    nowhere.shutdown_background();
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A description of 64 KiB, four times; media that comes early.
const HANDSHAKE_MAX: u64 = 1 << 20;

/// A frame has 64 KiB.
const MESSAGE_MAX: u64 = 1 << 20;

/// How often an attempt is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long the library may wait for the rest of what it was answered. Few cameras take that long for SETUP or PLAY.
const STUCK: Duration = Duration::from_secs(4);

/// Once packets come, a call that brings nothing is followed by one that does.
const IDLE_MAX: u32 = 2;

/// How long a session may hear nothing at all.
const DEAF: Duration = Duration::from_secs(2);

/// The same where so much came that there must have been packets in it.
const DEAF_SOON: Duration = Duration::from_secs(1);
const DEAF_BYTES: u64 = 16 << 10;

/// Packets.
const STRANGERS_MAX: u32 = 8;
