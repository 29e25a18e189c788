//! Which client speaks with which camera.
//!
//! `client: auto` begins with `retina`. Where it refuses what a camera sends, or panics on it, the direct client takes
//! over: at once, in the same attempt, if that happens in the handshake, with the next session if it happens later. That
//! is remembered for as long as the process runs, and said in words. So it does where sessions end one like the other (the
//! camera waits for another sign of life), and where the camera's profile asks for what the library cannot be told. What
//! the library lacks is the direct client's from the start: TLS, tunnels, proxies, multicast, and UDP, where datagrams
//! overtake each other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join;

use super::camera::Cameras;
use super::direct::Direct;
use super::error::Error;
use super::guarded::{Attempted, Guarded, Watched};
use super::session::{Client, Local, Request, Session};
use crate::config::{CameraUrl, ClientChoice, Quirks, Reach, Stream as Settings, UpstreamTransport};
use crate::hub::Capture;
use crate::metrics::Metrics;
use crate::sdp::Selection;
use crate::vocabulary::{FailureClass, Transport};

/// Why the direct client speaks with a camera, by the camera's URL. Shared by all streams of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<HashMap<String, String>>>);

impl Memory {
    fn reason(&self, camera: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(camera).cloned()
    }

    pub(super) fn remember(&self, camera: &str, reason: String) {
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
    tried: Rc<RefCell<HashMap<usize, Tried>>>,
    metrics: Arc<Metrics>,
}

/// A try of the direct client's.
#[derive(Debug)]
struct Tried {
    at: Instant,
    /// Why, while it is still to come.
    due: Option<String>,
}

impl Clients {
    pub(super) fn new(
        cameras: &[CameraUrl],
        settings: &Settings,
        memory: Memory,
        quirks: Arc<Quirks>,
        metrics: Arc<Metrics>,
        capture: Arc<Capture>,
    ) -> Self {
        let udp_is_a_guess = settings.transport == UpstreamTransport::Auto;
        let multicast = settings.transport == UpstreamTransport::Multicast;
        let profiles = (settings.client == ClientChoice::Auto).then(|| Arc::clone(&quirks));
        let direct = Direct::new(cameras.to_vec(), settings.reach.clone(), multicast, udp_is_a_guess, quirks)
            .with_back_channel(settings.viewing.back_channel)
            .with_capture(capture);
        let needs = |camera: &CameraUrl| (camera.to_string(), beyond_retina(camera, settings));
        Self {
            retina: Cameras::new(cameras.to_vec(), udp_is_a_guess, profiles, Arc::clone(&metrics)),
            direct: Arc::new(direct),
            choice: settings.client,
            cameras: cameras.iter().map(needs).collect(),
            either: udp_is_a_guess,
            memory,
            tried: Rc::default(),
            metrics,
        }
    }

    fn takes_direct(&self, source: usize, transport: Option<Transport>) -> bool {
        let (camera, needs) = &self.cameras[source];
        match self.choice {
            ClientChoice::Retina => false,
            ClientChoice::Direct => true,
            ClientChoice::Auto => {
                transport == Some(Transport::Udp) || needs.is_some() || self.memory.reason(camera).is_some()
            }
        }
    }
}

impl Client for Clients {
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        if self.takes_direct(request.source, Some(request.transport)) {
            return self.direct.open(request);
        }
        let (memory, (camera, _)) = (self.memory.clone(), self.cameras[request.source].clone());
        let due = self.tried.borrow_mut().get_mut(&request.source).and_then(|tried| tried.due.take());
        if let Some(reason) = due {
            return remembered(self.direct.open(request), memory, camera, reason);
        }
        let retina = self.retina.open(request.clone());
        if self.choice == ClientChoice::Retina {
            return retina;
        }
        let direct = Arc::clone(&self.direct);
        let metrics = Arc::clone(&self.metrics);
        let tried = Rc::clone(&self.tried);
        Box::pin(async move {
            let guarded = Guarded::new(retina, request.progress.clone());
            let reason = match AssertUnwindSafe(guarded).catch_unwind().await {
                Ok(Attempted::Done(Ok(session), _)) => {
                    return Ok(Box::new(Watched::new(session, camera, memory)) as Box<dyn Session>);
                }
                Ok(Attempted::Done(Err(error), _)) if is_refusal(&error) => error.to_string(),
                Ok(Attempted::Done(Err(error), came)) => {
                    let may_try = may_be_ours(&error, came) && {
                        let now = Instant::now();
                        let mut tried = tried.borrow_mut();
                        let recently = tried
                            .get(&request.source)
                            .is_some_and(|tried| now.saturating_duration_since(tried.at) < TRY_AGAIN);
                        // A second 401 may answer an expired nonce, but each may count as a wrong password: the next
                        // attempt is the direct client's, and no attempt more than without it.
                        let wait = error.class == FailureClass::Unauthorized;
                        if !recently {
                            let due = wait.then(|| error.to_string());
                            tried.insert(request.source, Tried { at: now, due });
                        }
                        !recently && !wait
                    };
                    if !may_try {
                        return Err(error);
                    }
                    let reason = error.to_string();
                    return remembered(direct.open(request), memory, camera, reason).await;
                }
                Ok(Attempted::Stuck) => {
                    let reason = "it waits for more of an answer that is complete".to_owned();
                    return remembered(direct.open(request), memory, camera, reason).await;
                }
                Ok(Attempted::TooMuch) => "the camera's answers have no end".to_owned(),
                Err(_) => {
                    metrics.task_panics.inc();
                    "it panicked on what the camera sent".to_owned()
                }
            };
            memory.remember(&camera, reason);
            direct.open(request).await
        })
    }

    fn keep(&self, source: usize, tracks: Selection, step_limit: Duration) -> Local<Result<(), Error>> {
        self.direct.keep(source, tracks, step_limit)
    }

    fn lost(&self) -> Local<Error> {
        self.direct.lost()
    }

    fn give_up(&self) {
        self.direct.give_up();
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
        let its_own = self.either || self.takes_direct(source, None);
        let learned = if its_own { self.direct.learned(source) } else { Vec::new() };
        sentence.into_iter().chain(learned).collect()
    }

    fn end_alike(&self, source: usize, transport: Option<Transport>, span: Duration) -> bool {
        if self.choice != ClientChoice::Auto || self.takes_direct(source, transport) {
            return false;
        }
        let span = span.as_secs_f64();
        let reason = format!("two of its sessions in a row ended by themselves after {span:.0} s");
        self.memory.remember(&self.cameras[source].0, reason);
        true
    }

    fn forgotten(&self) -> Option<Local<()>> {
        self.retina.forgotten()
    }
}

/// An attempt of the direct client's; where it goes well, it keeps the camera.
fn remembered(
    opening: Local<Result<Box<dyn Session>, Error>>,
    memory: Memory,
    camera: String,
    reason: String,
) -> Local<Result<Box<dyn Session>, Error>> {
    Box::pin(async move {
        let opened = opening.await;
        if opened.is_ok() {
            memory.remember(&camera, reason);
        }
        opened
    })
}

/// What of a stream's settings retina lacks, in words.
fn beyond_retina(camera: &CameraUrl, settings: &Settings) -> Option<&'static str> {
    let Reach { proxy, source_address, .. } = &settings.reach;
    if !camera.is_plain() {
        Some("retina has neither TLS nor tunnels")
    } else if settings.viewing.back_channel {
        Some("retina has no back channel")
    } else if settings.transport == UpstreamTransport::Multicast {
        Some("retina has no multicast")
    } else if settings.transport == UpstreamTransport::Udp {
        Some(OUT_OF_ORDER)
    } else if settings.on_demand && settings.on_demand_warm {
        Some("retina keeps no connection for later")
    } else if proxy.is_some() {
        Some("retina knows no proxy")
    } else if source_address.is_some() {
        Some("retina connects from any address")
    } else {
        None
    }
}

/// Whether a failure says that the library refuses this camera, rather than the camera us.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.class, FailureClass::Protocol | FailureClass::Panic | FailureClass::KeepAlive)
}

/// Whether a failure may lie in how the library asks: a status may answer the form of a request, and a connection may be
/// closed, or nothing more be said, after an answer that it did not understand.
fn may_be_ours(error: &Error, came: u64) -> bool {
    use FailureClass as F;
    match error.class {
        F::Status | F::NotFound | F::Unauthorized => true,
        F::EndOfStream | F::Reset | F::ConnectTimeout => came > 0,
        _ => false,
    }
}

/// One datagram in four that overtakes others cost it most of the pictures.
const OUT_OF_ORDER: &str = "retina throws away datagrams that come out of order";

/// How long after the direct client did no better than retina it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Cameras a process remembers this of.
const REASONS_MAX: usize = 4096;
