//! One session with a camera, from the description to the goodbye.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Event;
use super::dialogue::{Dialogue, Options, Stage, Stop};
use super::link;
use super::notes::Note;
use super::target::{Reach, Target};
use super::teardowns::Teardowns;
use super::wire::{Went, Wire};
use crate::config::{CameraUrl, SignOfLife};
use crate::sdp::{Description, Track};
use crate::source::error::Error;
use crate::vocabulary::{FailureClass, Transport};

/// A session whose tracks are known and not yet set up.
#[derive(Debug)]
pub(in crate::source) struct Described {
    wire: Wire,
    teardowns: Teardowns,
    multicast: bool,
}

/// A session that delivers packets. Dropped, it is torn down in the background ([`Teardowns`]).
#[derive(Debug)]
pub(in crate::source) struct Playing {
    /// `None` once it is being torn down.
    wire: Option<Wire>,
    teardowns: Teardowns,
}

impl Described {
    /// Connects and asks for the description, following redirects.
    pub(in crate::source) async fn open(
        camera: &CameraUrl,
        reach: &Reach,
        teardowns: Teardowns,
    ) -> Result<Self, Error> {
        let mut target = Target::of(camera)?;
        for _ in 0..=REDIRECTS_MAX {
            match describe(&target, reach).await {
                Ok(wire) => return Ok(Self { wire, teardowns, multicast: reach.multicast }),
                Err(Stop::Redirect(to)) => {
                    tracing::debug!("the camera redirects");
                    reach.notes.say(|| Note::Redirected);
                    target = target.redirected(&to)?;
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Err(Error::new(FailureClass::Status, format!("DESCRIBE: more than {REDIRECTS_MAX} redirects")))
    }

    /// The tracks.
    pub(in crate::source) fn description(&self) -> &Description {
        self.wire.dialogue.description()
    }

    /// Nothing is wanted of it for now. Later, no step may take longer than `step`.
    pub(in crate::source) fn rest(&mut self, step: Duration) {
        self.wire.dialogue.rest(step, Instant::now());
    }

    /// Keeps the connection while it rests; ready when it is lost.
    pub(in crate::source) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            let words = match ready!(self.wire.poll_once(cx)) {
                Ok(Went::On) => continue,
                Ok(Went::Closed) => "the camera closed the connection",
                Err(Stop::Failed(error)) => return Poll::Ready(error),
                Err(Stop::Redirect(_)) => "the camera sends us elsewhere",
            };
            return Poll::Ready(Error::new(FailureClass::EndOfStream, words));
        }
    }

    /// What is known of the camera by now, a sentence each.
    pub(in crate::source) fn learned(&self) -> Vec<String> {
        self.wire.dialogue.learned()
    }

    /// The profile that applies to the camera, in words.
    pub(in crate::source) fn profile(&self) -> Option<&str> {
        self.wire.dialogue.profile()
    }

    /// Sets every track up and starts them. A track that the camera refuses to set up is left out, unless all are.
    pub(in crate::source) async fn play(self, transport: Transport) -> Result<Playing, Error> {
        let mut playing = Playing { wire: Some(self.wire), teardowns: self.teardowns };
        let wire = playing.wire.as_mut().expect("just put there");
        wire.play(transport, self.multicast).await.map_err(|stop| match stop {
            Stop::Failed(error) => error,
            Stop::Redirect(_) => {
                Error::new(FailureClass::Status, "the camera redirects a session that is being set up")
            }
        })?;
        Ok(playing)
    }
}

impl Playing {
    /// What is known of the camera by now, a sentence each.
    pub(in crate::source) fn learned(&self) -> Vec<String> {
        self.wire.as_ref().map(|wire| wire.dialogue.learned()).unwrap_or_default()
    }

    /// Where the camera listens, if it does.
    pub(in crate::source) fn back_channel(&self) -> Option<&Track> {
        self.wire.as_ref()?.dialogue.listens()
    }

    /// Sends a viewer's packet to the camera, with the next poll; `false` where the camera does not get it.
    pub(in crate::source) fn say(&mut self, packet: &[u8]) -> bool {
        self.wire.as_mut().is_some_and(|wire| wire.dialogue.say(packet, Instant::now()))
    }

    /// Sends a sign of life of this kind now, to see what the camera makes of it.
    pub(in crate::source) fn try_sign_of_life(&mut self, kind: SignOfLife) {
        if let Some(wire) = &mut self.wire {
            wire.dialogue.try_sign_of_life(kind, Instant::now());
        }
    }

    /// The next thing the camera sent. `Ready(None)` when it closed the connection.
    pub(in crate::source) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, Error>>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(None) };
        loop {
            if let Some(event) = wire.dialogue.next_event() {
                return Poll::Ready(Some(Ok(event)));
            }
            match wire.poll_once(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Went::On)) => {}
                Poll::Ready(Ok(Went::Closed)) => return Poll::Ready(None),
                Poll::Ready(Err(Stop::Failed(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Err(Stop::Redirect(_))) => {
                    let error = Error::new(FailureClass::EndOfStream, "the camera sends us elsewhere");
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            let (packets, bytes) = wire.dialogue.left_out();
            if packets + bytes > 0 {
                tracing::debug!(packets, bytes, "left out of what the camera sent");
            }
            wire.dialogue.tear_down(Instant::now());
            if wire.dialogue.stage() == Stage::Ending {
                self.teardowns.spawn(async move {
                    let ended = |dialogue: &Dialogue| dialogue.stage() == Stage::Ended;
                    // What happened to the connection need not have ended the session, and many cameras have few.
                    if wire.until(ended).await.is_err()
                        && let Ok(()) = wire.connect_again().await
                    {
                        wire.dialogue.tear_down_again(Instant::now());
                        // Whether it is answered or not: there is nothing more to do about that session.
                        let _ = wire.until(ended).await;
                    }
                });
            }
        }
    }
}

/// Connects and asks for the description; once more where the camera closes the connection to be asked with a password.
async fn describe(target: &Target, reach: &Reach) -> Result<Wire, Stop> {
    let options = Options {
        step: reach.limit,
        reorder: reach.way.reorder_window,
        tracks: reach.tracks.clone(),
        back_channel: reach.back_channel,
        quirks: Arc::clone(&reach.quirks),
        ask_options: reach.ask_options,
        notes: reach.notes.clone(),
        seed: rand::random(),
    };
    let mut dialogue = Dialogue::new(&target.uri, target.credentials.clone(), options);
    dialogue.record(reach.capture.clone());
    for attempt in 0.. {
        let link = link::connect(target, reach).await?;
        let mut wire = Wire::new(link, dialogue, target.clone(), reach.clone());
        wire.dialogue.describe(Instant::now());
        match wire.until(|dialogue| dialogue.stage() == Stage::Described).await {
            Err(Stop::Failed(error))
                if attempt < RECONNECTS_MAX
                    && matches!(error.class, FailureClass::EndOfStream | FailureClass::Reset)
                    && wire.dialogue.wants_another_connection() =>
            {
                dialogue = wire.dialogue;
            }
            described => return described.map(|()| wire),
        }
    }
    Err(Error::new(FailureClass::EndOfStream, "DESCRIBE: the camera closes every connection").into())
}

const REDIRECTS_MAX: usize = 3;

/// A camera that closes the connection with its 401 is asked again on another, so often.
const RECONNECTS_MAX: usize = 2;
