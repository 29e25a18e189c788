//! Which client speaks with which camera.
//!
//! `client: auto` begins with `retina`. Where it refuses what a camera sends, or panics on it, the direct client takes
//! over: at once, in the same attempt, if that happens in the handshake, with the next session if it happens later. That
//! is remembered for as long as the process runs, and said in words.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join;

use super::camera::Cameras;
use super::direct::Direct;
use super::error::Error;
use super::session::{Client, Event, Local, Request, Session};
use crate::config::{CameraUrl, ClientChoice, Reach, Stream as Settings, UpstreamTransport};
use crate::metrics::Metrics;
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, Transport};

/// Why the direct client speaks with a camera, by the camera's URL. Shared by all streams of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<HashMap<String, String>>>);

impl Memory {
    fn reason(&self, camera: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(camera).cloned()
    }

    fn remember(&self, camera: &str, reason: String) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < REASONS_MAX && !reasons.contains_key(camera) {
            tracing::info!(camera, "the direct client takes over from retina: {reason}");
            reasons.insert(camera.to_owned(), reason);
        }
    }
}

/// Both clients, for the cameras of one stream.
pub(super) struct Clients {
    retina: Cameras,
    direct: Arc<Direct>,
    choice: ClientChoice,
    /// Each camera as it is printed, and why only the direct client gets there.
    cameras: Vec<(String, Option<&'static str>)>,
    memory: Memory,
    /// Sources at which the direct client has had its try where the fault is the camera's or the user's in all likelihood.
    tried: Rc<RefCell<HashSet<usize>>>,
    metrics: Arc<Metrics>,
}

impl Clients {
    pub(super) fn new(
        cameras: &[CameraUrl],
        settings: &Settings,
        memory: Memory,
        metrics: Arc<Metrics>,
    ) -> Self {
        let udp_is_a_guess = settings.transport == UpstreamTransport::Auto;
        let multicast = settings.transport == UpstreamTransport::Multicast;
        let direct = Direct::new(cameras.to_vec(), settings.reach.clone(), multicast, udp_is_a_guess);
        let needs = |camera: &CameraUrl| (camera.to_string(), beyond_retina(camera, settings));
        Self {
            retina: Cameras::new(cameras.to_vec(), udp_is_a_guess, Arc::clone(&metrics)),
            direct: Arc::new(direct),
            choice: settings.client,
            cameras: cameras.iter().map(needs).collect(),
            memory,
            tried: Rc::default(),
            metrics,
        }
    }

    fn takes_direct(&self, source: usize) -> bool {
        let (camera, needs) = &self.cameras[source];
        match self.choice {
            ClientChoice::Retina => false,
            ClientChoice::Direct => true,
            ClientChoice::Auto => needs.is_some() || self.memory.reason(camera).is_some(),
        }
    }
}

impl Client for Clients {
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        if self.takes_direct(request.source) {
            return self.direct.open(request);
        }
        let retina = self.retina.open(request.clone());
        if self.choice == ClientChoice::Retina {
            return retina;
        }
        let (direct, memory) = (Arc::clone(&self.direct), self.memory.clone());
        let (camera, _) = self.cameras[request.source].clone();
        let metrics = Arc::clone(&self.metrics);
        let tried = Rc::clone(&self.tried);
        Box::pin(async move {
            let reason = match AssertUnwindSafe(retina).catch_unwind().await {
                Ok(Ok(session)) => {
                    let watched = Watched { session, camera, memory, since: Instant::now(), heard: false };
                    return Ok(Box::new(watched) as Box<dyn Session>);
                }
                Ok(Err(error)) if is_refusal(&error) => error.to_string(),
                // A status may answer the form of a request, and a second 401 an expired nonce: other forms are tried
                // once. Where that helps, it is remembered.
                Ok(Err(error))
                    if matches!(error.class, FailureClass::Status | FailureClass::Unauthorized)
                        && tried.borrow_mut().insert(request.source) =>
                {
                    let opened = direct.open(request).await;
                    if opened.is_ok() {
                        memory.remember(&camera, error.to_string());
                    }
                    return opened;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    metrics.task_panics.inc();
                    "it panicked on what the camera sent".to_owned()
                }
            };
            memory.remember(&camera, reason);
            direct.open(request).await
        })
    }

    fn goodbye(&self) -> Local<()> {
        Box::pin(join(self.retina.goodbye(), self.direct.goodbye()).map(|_| ()))
    }

    fn learned(&self, source: usize) -> Vec<String> {
        let (camera, needs) = &self.cameras[source];
        let sentence = match (self.choice, needs) {
            (ClientChoice::Retina | ClientChoice::Direct, _) => None,
            (ClientChoice::Auto, Some(what)) => Some(format!("The direct client speaks with it: {what}.")),
            (ClientChoice::Auto, None) => self
                .memory
                .reason(camera)
                .map(|reason| format!("The direct client speaks with it, since retina does not: {reason}.")),
        };
        sentence.into_iter().collect()
    }

    fn forgotten(&self) -> Option<Local<()>> {
        self.retina.forgotten()
    }
}

/// What of a stream's settings retina lacks, in words.
fn beyond_retina(camera: &CameraUrl, settings: &Settings) -> Option<&'static str> {
    let Reach { proxy, source_address, .. } = &settings.reach;
    if !camera.is_plain() {
        Some("retina has neither TLS nor tunnels")
    } else if settings.transport == UpstreamTransport::Multicast {
        Some("retina has no multicast")
    } else if proxy.is_some() {
        Some("retina knows no proxy")
    } else if source_address.is_some() {
        Some("retina connects from any address")
    } else {
        None
    }
}

/// Whether a failure says that the library refuses this camera, rather than the camera us.
fn is_refusal(error: &Error) -> bool {
    matches!(error.class, FailureClass::Protocol | FailureClass::Panic | FailureClass::KeepAlive)
}

/// A session of retina's, watched for what the library does not get on with.
struct Watched {
    session: Box<dyn Session>,
    camera: String,
    memory: Memory,
    since: Instant,
    /// A packet came.
    heard: bool,
}

impl Session for Watched {
    fn description(&self) -> &Description {
        self.session.description()
    }

    fn transport(&self) -> Option<Transport> {
        self.session.transport()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let session = &mut self.session;
        match catch_unwind(AssertUnwindSafe(|| session.poll_event(cx))) {
            Ok(event) => {
                match &event {
                    Poll::Ready(Ok(Event::Packet(_))) => self.heard = true,
                    Poll::Ready(Err(error)) if is_refusal(error) => {
                        self.memory.remember(&self.camera, error.to_string());
                    }
                    _ => {}
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
        // Packets on channels nobody agreed on are thrown away by the library (C59): it hears nothing.
        let deaf = !self.heard && self.session.transport() == Some(Transport::Tcp);
        if deaf && self.since.elapsed() >= DEAF {
            self.memory.remember(&self.camera, "it heard no packet after PLAY".to_owned());
        }
    }
}

/// How long a session may hear nothing at all.
const DEAF: Duration = Duration::from_secs(2);

/// Cameras a process remembers this of.
const REASONS_MAX: usize = 4096;
