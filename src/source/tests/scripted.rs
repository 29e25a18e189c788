//! Cameras in virtual time: they answer, refuse, stall and forget as the script says.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{self, Sleep};

use super::super::backlog::tests::{IDR, INTER, audio, description, video};
use super::super::driver::now;
use super::super::error::Error;
use super::super::session::{Client, Event, Local, Request, Session};
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, Transport};

/// How a camera treats who connects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Door {
    Open,
    /// Answered with this failure after 5 ms.
    Shut(FailureClass),
    /// No answer at all.
    Silent,
    /// The library panics on its answer.
    Panics,
}

/// What a camera does, for sessions with an id up to some number or for all.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) door: Door,
    /// Sessions with an id up to this one deliver nothing more.
    pub(super) stalled_up_to: u32,
    /// The same for their video only.
    pub(super) blind_up_to: u32,
    /// Sessions with an id up to this one end with this failure.
    pub(super) ended_up_to: (u32, FailureClass),
    /// Every session ends by itself after this time.
    pub(super) lifetime: Option<Duration>,
    /// Sessions at a time; one more is refused (453).
    pub(super) most: usize,
    /// A new session ends the ones before.
    pub(super) new_ends_old: bool,
    /// The share of packets lost over UDP.
    pub(super) loss: f64,
    /// Frames between key frames, at 25 frames a second.
    pub(super) gop: u64,
    /// From the first packet to an answer.
    pub(super) round_trip: Duration,
    /// How long a session stays on the camera when the client is gone.
    pub(super) stale_for: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            door: Door::Open,
            stalled_up_to: 0,
            blind_up_to: 0,
            ended_up_to: (0, FailureClass::Reset),
            lifetime: None,
            most: usize::MAX,
            new_ends_old: false,
            loss: 0.0,
            gop: 25,
            round_trip: Duration::from_millis(10),
            stale_for: Duration::ZERO,
        }
    }
}

/// What a camera has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When each attempt came, and whether over TCP.
    pub(super) attempts: Vec<(Instant, Transport)>,
    /// Sessions opened so far: the id of the last.
    pub(super) opened: u32,
    /// Ids of sessions open now.
    pub(super) open: Vec<u32>,
    pub(super) most_open: usize,
    /// When sessions that were left still count.
    stale: Vec<Instant>,
}

/// A camera.
#[derive(Clone, Debug, Default)]
pub(super) struct Camera(Rc<RefCell<(Script, Seen)>>);

impl Camera {
    pub(super) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.borrow_mut().0);
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.0.borrow().1)
    }

    pub(super) fn opened(&self) -> u32 {
        self.seen(|seen| seen.opened)
    }

    pub(super) fn open(&self) -> usize {
        self.seen(|seen| seen.open.len())
    }

    pub(super) fn attempts(&self) -> usize {
        self.seen(|seen| seen.attempts.len())
    }

    /// Ends every session that is open.
    pub(super) fn end(&self, class: FailureClass) {
        let opened = self.opened();
        self.script(|script| script.ended_up_to = (opened, class));
    }

    fn enter(&self) -> Result<u32, Error> {
        let mut both = self.0.borrow_mut();
        let (script, seen) = &mut *both;
        match script.door {
            Door::Open => {}
            Door::Shut(class) => return Err(Error::new(class, format!("scripted: {class}"))),
            Door::Silent => return Err(Error::new(FailureClass::ConnectTimeout, "scripted: gone again")),
            Door::Panics => panic!("scripted"),
        }
        let now = now();
        seen.stale.retain(|until| *until > now);
        if seen.open.len() + seen.stale.len() >= script.most {
            return Err(Error::new(FailureClass::SessionLimit, "scripted: 453"));
        }
        seen.opened += 1;
        if script.new_ends_old {
            script.ended_up_to = (seen.opened - 1, FailureClass::Reset);
        }
        seen.open.push(seen.opened);
        seen.most_open = seen.most_open.max(seen.open.len());
        Ok(seen.opened)
    }
}

/// The cameras of a stream.
pub(super) struct Cameras(pub(super) Vec<Camera>);

impl Client for Cameras {
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        let camera = self.0[request.source].clone();
        Box::pin(async move {
            camera.0.borrow_mut().1.attempts.push((now(), request.transport));
            let round_trip = camera.0.borrow().0.round_trip;
            // A SYN is sent again after one second and after three; who is there by then answers.
            let came = now();
            for after in [1, 3] {
                if camera.0.borrow().0.door == Door::Silent {
                    let again = Duration::from_secs(after).min(request.step_limit);
                    time::sleep_until((came + again).into()).await;
                }
            }
            if camera.0.borrow().0.door == Door::Silent {
                time::sleep_until((came + request.step_limit).into()).await;
            }
            if now() >= came + request.step_limit {
                return Err(Error::new(FailureClass::ConnectTimeout, "scripted: no answer"));
            }
            time::sleep(round_trip).await;
            if camera.0.borrow().0.door == Door::Open {
                request.progress.answer();
                time::sleep(round_trip).await;
            }
            let id = camera.enter()?;
            Ok(Box::new(Playing {
                camera,
                id,
                transport: request.transport,
                description: description(),
                began: now(),
                frame: 0,
                half: 0,
                sequences: [rand::random(), rand::random()],
                timestamp: rand::random(),
                tick: Box::pin(time::sleep(Duration::ZERO)),
                dice: 42 + u64::from(id),
            }) as Box<dyn Session>)
        })
    }

    fn goodbye(&self) -> Local<()> {
        Box::pin(time::sleep(Duration::from_millis(5)))
    }

    fn forgotten(&self) -> Option<Local<()>> {
        None
    }
}

struct Playing {
    camera: Camera,
    id: u32,
    transport: Transport,
    description: Description,
    began: Instant,
    frame: u64,
    /// Which of the two packets of a tick is next: video, then audio.
    half: u8,
    sequences: [u16; 2],
    timestamp: u32,
    tick: Pin<Box<Sleep>>,
    dice: u64,
}

impl Session for Playing {
    fn description(&self) -> &Description {
        &self.description
    }

    fn transport(&self) -> Option<Transport> {
        Some(self.transport)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            if self.half == 0 {
                ready!(self.tick.as_mut().poll(cx));
            }
            let script = self.camera.0.borrow().0.clone();
            if self.id <= script.ended_up_to.0 {
                let class = script.ended_up_to.1;
                return Poll::Ready(Err(Error::new(class, format!("scripted: {class}"))));
            }
            if script.lifetime.is_some_and(|lifetime| now() >= self.began + lifetime) {
                return Poll::Ready(Err(Error::new(FailureClass::KeepAlive, "scripted: keep-alive")));
            }
            if let Some(event) = self.packet(&script) {
                return Poll::Ready(Ok(event));
            }
        }
    }
}

impl Playing {
    /// The next packet of a tick every 40 ms, unless it is not sent or lost.
    fn packet(&mut self, script: &Script) -> Option<Event> {
        let (now, half) = (now(), self.half);
        self.half = 1 - half;
        let frame = self.frame;
        if half == 1 {
            self.frame += 1;
            self.tick.as_mut().reset((self.began + Duration::from_millis(40) * self.frame as u32).into());
        }
        if self.id <= script.stalled_up_to || (half == 0 && self.id <= script.blind_up_to) {
            return None;
        }
        let sequence = &mut self.sequences[usize::from(half)];
        *sequence = sequence.wrapping_add(1);
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let roll = (self.dice >> 33) as f64 / (1u64 << 31) as f64;
        if self.transport == Transport::Udp && roll < script.loss {
            return None;
        }
        if half == 1 {
            return Some(audio(*sequence, now));
        }
        let nal = if frame.is_multiple_of(script.gop) { IDR } else { INTER };
        Some(video(nal, *sequence, self.timestamp.wrapping_add(frame as u32 * 3600), now))
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let mut both = self.camera.0.borrow_mut();
        let (script, seen) = &mut *both;
        seen.open.retain(|id| *id != self.id);
        if script.stale_for > Duration::ZERO {
            seen.stale.push(now() + script.stale_for);
        }
    }
}
