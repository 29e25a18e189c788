//! The direct client behind the seam of the driver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tracing::Instrument as _;

use super::notes::Notes;
use super::session::{Described, Playing};
use super::target::Reach;
use super::teardowns::Teardowns;
use super::warm::Warm;
use crate::config::{self, CameraUrl, Quirks};
use crate::hub::Capture;
use crate::sdp::{Description, Selection, Track};
use crate::source::error::{Error, Step};
use crate::source::session::{Data, Event, Local, Packet, Request, Session};
use crate::spans;
use crate::vocabulary::{FailureClass, Transport};

/// Opens sessions with the cameras of one stream.
#[derive(Debug)]
pub(in crate::source) struct Direct {
    cameras: Vec<CameraUrl>,
    way: config::Reach,
    multicast: bool,
    /// `transport: auto`: what fails over UDP may do over TCP.
    udp_is_a_guess: bool,
    teardowns: Teardowns,
    warm: Warm,
    quirks: Arc<Quirks>,
    capture: Option<Arc<Capture>>,
    back_channel: bool,
    learned: Learned,
}

/// By source, what was learned of it last, a sentence each.
#[derive(Clone, Debug, Default)]
struct Learned(Arc<Mutex<HashMap<usize, Vec<String>>>>);

impl Learned {
    fn of(&self, source: usize) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&source).cloned().unwrap_or_default()
    }

    fn learn(&self, source: usize, sentences: Vec<String>) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = learned.insert(source, sentences.clone()).unwrap_or_default();
        for sentence in sentences.iter().filter(|sentence| !before.contains(sentence)) {
            tracing::info!(source, "{sentence}");
        }
    }
}

impl Direct {
    pub(in crate::source) fn new(
        cameras: Vec<CameraUrl>,
        way: config::Reach,
        multicast: bool,
        udp_is_a_guess: bool,
        quirks: Arc<Quirks>,
    ) -> Self {
        let (teardowns, warm, learned) = (Teardowns::default(), Warm::default(), Learned::default());
        let (back_channel, capture) = (false, None);
        Self {
            cameras,
            way,
            multicast,
            udp_is_a_guess,
            teardowns,
            warm,
            quirks,
            back_channel,
            learned,
            capture,
        }
    }

    /// What is said with the cameras is recorded here.
    pub(in crate::source) fn with_capture(self, capture: Arc<Capture>) -> Self {
        Self { capture: Some(capture), ..self }
    }

    /// Asks cameras for their back channel.
    pub(in crate::source) fn with_back_channel(self, wanted: bool) -> Self {
        Self { back_channel: wanted, ..self }
    }

    /// What was learned of a source, a sentence each.
    pub(in crate::source) fn learned(&self, source: usize) -> Vec<String> {
        self.learned.of(source)
    }

    /// Connects, describes, sets up and plays.
    pub(in crate::source) fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        let camera = self.cameras[request.source].clone();
        let reach = self.reach(request.step_limit, request.tracks);
        let learned = self.learned.clone();
        let teardowns = self.teardowns.clone();
        let udp_is_a_guess = self.udp_is_a_guess && request.transport == Transport::Udp;
        let warm = self.warm.clone();
        Box::pin(async move {
            if let Some(described) = warm.take(request.source) {
                match play(described, request.transport).await {
                    Ok(session) => {
                        learned.learn(request.source, session.playing.learned());
                        return Ok(Box::new(session) as Box<dyn Session>);
                    }
                    Err(error) => tracing::debug!(%error, "the connection that was kept does not do"),
                }
            }
            let described = Described::open(&camera, &reach, teardowns).instrument(spans::describe()).await?;
            request.progress.answer();
            learned.learn(request.source, described.learned());
            match play(described, request.transport).await {
                Err(error)
                    if udp_is_a_guess
                        && matches!(error.class, FailureClass::Status | FailureClass::Protocol) =>
                {
                    Err(Error::new(FailureClass::NoUdp, format!("{error}: TCP is next")))
                }
                Ok(session) => {
                    learned.learn(request.source, session.playing.learned());
                    Ok(Box::new(session) as Box<dyn Session>)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Connects and asks for the description, and keeps that for the next session of this source.
    pub(in crate::source) fn keep(
        &self,
        source: usize,
        tracks: Selection,
        step_limit: Duration,
    ) -> Local<Result<(), Error>> {
        let (camera, reach) = (self.cameras[source].clone(), self.reach(step_limit, tracks));
        let (teardowns, warm) = (self.teardowns.clone(), self.warm.clone());
        Box::pin(async move {
            let described = Described::open(&camera, &reach, teardowns).await?;
            warm.keep(source, described, step_limit);
            Ok(())
        })
    }

    /// Ready when the connection that is kept is lost.
    pub(in crate::source) fn lost(&self) -> Local<Error> {
        Box::pin(self.warm.lost())
    }

    /// Closes the connection that is kept.
    pub(in crate::source) fn give_up(&self) {
        self.warm.give_up();
    }

    fn reach(&self, limit: Duration, tracks: Selection) -> Reach {
        let (way, quirks) = (self.way.clone(), Arc::clone(&self.quirks));
        let (multicast, back_channel) = (self.multicast, self.back_channel);
        let (capture, notes) = (self.capture.clone(), Notes::default());
        Reach { limit, multicast, tracks, back_channel, way, quirks, ask_options: false, notes, capture }
    }

    /// Ready when every session dropped so far has said goodbye, or given it up.
    pub(in crate::source) fn goodbye(&self) -> Local<()> {
        Box::pin(self.teardowns.done())
    }
}

async fn play(described: Described, transport: Transport) -> Result<Open, Error> {
    let description = described.description().clone();
    let playing = described.play(transport).instrument(spans::play()).await?;
    Ok(Open { playing, description, transport })
}

/// A session that plays.
#[derive(Debug)]
struct Open {
    playing: Playing,
    description: Description,
    transport: Transport,
}

impl Session for Open {
    fn description(&self) -> &Description {
        &self.description
    }

    fn transport(&self) -> Option<Transport> {
        Some(self.transport)
    }

    fn back_channel(&self) -> Option<&Track> {
        self.playing.back_channel()
    }

    fn say(&mut self, packet: &[u8]) -> bool {
        self.playing.say(packet)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        Poll::Ready(match ready!(self.playing.poll_next(cx)) {
            Some(Ok(super::Event::Packet { track, packet, received })) => {
                Ok(Event::Packet(Packet { track, received, data: Data::Bytes(packet) }))
            }
            Some(Ok(super::Event::Report { track, ntp, timestamp })) => {
                Ok(Event::Report { track, ntp, timestamp })
            }
            Some(Ok(super::Event::Epoch { track })) => Ok(Event::Epoch { track }),
            Some(Err(error)) => Err(error),
            None => {
                let error = Error::new(FailureClass::EndOfStream, "the camera closed the connection");
                Err(Error { step: Some(Step::Playing), ..error })
            }
        })
    }
}
