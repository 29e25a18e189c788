//! Which client speaks with which camera.
//!
//! `client: auto` begins with `retina`. Where it refuses what a camera sends, or panics on it, the direct client takes
//! over: at once, in the same attempt, if that happens in the handshake, with the next session if it happens later. That
//! is remembered for as long as the process runs, and said in words. What the library lacks is the direct client's from
//! the start: TLS, tunnels, proxies, multicast, and UDP, where datagrams overtake each other.

use std::cell::RefCell;
use std::collections::HashMap;
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
    /// `transport: auto`: a session comes over UDP or over TCP.
    either: bool,
    memory: Memory,
    /// Sources at which the direct client has had its try where the fault is the camera's or the user's in all likelihood.
    /// The reason for it while the try is still to come.
    tried: Rc<RefCell<HashMap<usize, Option<String>>>>,
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
            either: udp_is_a_guess,
            memory,
            tried: Rc::default(),
            metrics,
        }
    }

    fn takes_direct(&self, request: &Request) -> bool {
        let (camera, needs) = &self.cameras[request.source];
        match self.choice {
            ClientChoice::Retina => false,
            ClientChoice::Direct => true,
            ClientChoice::Auto => {
                request.transport == Transport::Udp || needs.is_some() || self.memory.reason(camera).is_some()
            }
        }
    }
}

impl Client for Clients {
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        if self.takes_direct(&request) {
            return self.direct.open(request);
        }
        let (memory, (camera, _)) = (self.memory.clone(), self.cameras[request.source].clone());
        let due = self.tried.borrow_mut().get_mut(&request.source).and_then(Option::take);
        if let Some(reason) = due {
            let opening = self.direct.open(request);
            return Box::pin(async move {
                let opened = opening.await;
                if opened.is_ok() {
                    memory.remember(&camera, reason);
                }
                opened
            });
        }
        let retina = self.retina.open(request.clone());
        if self.choice == ClientChoice::Retina {
            return retina;
        }
        let direct = Arc::clone(&self.direct);
        let metrics = Arc::clone(&self.metrics);
        let tried = Rc::clone(&self.tried);
        Box::pin(async move {
            let reason = match AssertUnwindSafe(retina).catch_unwind().await {
                Ok(Ok(session)) => {
                    let watched = Watched { session, camera, memory, since: Instant::now(), heard: false };
                    return Ok(Box::new(watched) as Box<dyn Session>);
                }
                Ok(Err(error)) if is_refusal(&error) => error.to_string(),
                // A status may answer the form of a request, and a second 401 an expired nonce: the next attempt is the
                // direct client's, once, and no attempt more than without it, which could lock the account. Where that
                // helps, it is remembered.
                Ok(Err(error))
                    if matches!(error.class, FailureClass::Status | FailureClass::Unauthorized) =>
                {
                    let mut tried = tried.borrow_mut();
                    tried.entry(request.source).or_insert_with(|| Some(error.to_string()));
                    return Err(error);
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
                .map(|reason| format!("The direct client speaks with it, since retina does not: {reason}."))
                .or_else(|| {
                    self.either.then(|| format!("Over UDP the direct client speaks with it: {OUT_OF_ORDER}."))
                }),
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
    } else if settings.transport == UpstreamTransport::Udp {
        Some(OUT_OF_ORDER)
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

/// One datagram in four that overtakes others cost it most of the pictures.
const OUT_OF_ORDER: &str = "retina throws away datagrams that come out of order";

/// How long a session may hear nothing at all.
const DEAF: Duration = Duration::from_secs(2);

/// Cameras a process remembers this of.
const REASONS_MAX: usize = 4096;
