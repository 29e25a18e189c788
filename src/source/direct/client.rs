//! The direct client behind the seam of the driver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::notes::Notes;
use super::session::{Described, Playing};
use super::target::Reach;
use super::teardowns::Teardowns;
use super::warm::Warm;
use crate::config::{self, CameraUrl, Quirks};
use crate::sdp::{Description, Selection};
use crate::source::error::{Error, Step};
use crate::source::session::{Data, Event, Local, Packet, Request, Session};
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
    /// By source, the profile that applied last, in words.
    profiles: Arc<Mutex<HashMap<usize, String>>>,
}

impl Direct {
    pub(in crate::source) fn new(
        cameras: Vec<CameraUrl>,
        way: config::Reach,
        multicast: bool,
        udp_is_a_guess: bool,
        quirks: Arc<Quirks>,
    ) -> Self {
        let (teardowns, profiles) = (Teardowns::default(), Arc::default());
        let warm = Warm::default();
        Self { cameras, way, multicast, udp_is_a_guess, teardowns, warm, quirks, profiles }
    }

    /// The profile that applies to a source, in words.
    pub(in crate::source) fn profile(&self, source: usize) -> Option<String> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner).get(&source).cloned()
    }

    /// Connects, describes, sets up and plays.
    pub(in crate::source) fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        let camera = self.cameras[request.source].clone();
        let reach = self.reach(request.step_limit, request.tracks);
        let profiles = Arc::clone(&self.profiles);
        let teardowns = self.teardowns.clone();
        let udp_is_a_guess = self.udp_is_a_guess && request.transport == Transport::Udp;
        let warm = self.warm.clone();
        Box::pin(async move {
            if let Some(described) = warm.take(request.source) {
                match play(described, request.transport).await {
                    Ok(session) => return Ok(session),
                    Err(error) => tracing::debug!(%error, "the connection that was kept does not do"),
                }
            }
            let described = Described::open(&camera, &reach, teardowns).await?;
            request.progress.answer();
            if let Some(profile) = described.profile() {
                let mut profiles = profiles.lock().unwrap_or_else(PoisonError::into_inner);
                profiles.insert(request.source, profile.to_owned());
            }
            match play(described, request.transport).await {
                Err(error)
                    if udp_is_a_guess
                        && matches!(error.class, FailureClass::Status | FailureClass::Protocol) =>
                {
                    Err(Error::new(FailureClass::NoUdp, format!("{error}: TCP is next")))
                }
                played => played,
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
        let notes = Notes::default();
        Reach { limit, multicast: self.multicast, tracks, way, quirks, ask_options: false, notes }
    }

    /// Ready when every session dropped so far has said goodbye, or given it up.
    pub(in crate::source) fn goodbye(&self) -> Local<()> {
        Box::pin(self.teardowns.done())
    }
}

async fn play(described: Described, transport: Transport) -> Result<Box<dyn Session>, Error> {
    let description = described.description().clone();
    let playing = described.play(transport).await?;
    Ok(Box::new(Open { playing, description, transport }))
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
