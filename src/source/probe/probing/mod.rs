//! The order of a probe: the way there, the description, a session over TCP, one over UDP, each within its time.

mod failure;
mod session;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::clean::Clean;
use super::heard::{Heard, Tell};
use super::measure::{Measure, Tally};
use super::report::{Report, State, Track};
use super::{advice, block, faults, words};
use crate::config::{self, CameraUrl, Quirks};
use crate::rtsp::{Method, Status};
use crate::sdp::{self, Description, Selection};
use crate::source::direct::{Described, Reach, Teardowns, shake_hands};
use crate::source::error::Error;
use crate::vocabulary::{FailureClass, Transport};

/// What to probe for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the stream in the configuration that is suggested.
    pub name: String,
    /// How long each session is watched.
    pub seconds: Duration,
    /// Time for connecting, and for each answer.
    pub step: Duration,
    /// What to try, in order: TCP, UDP.
    pub transports: Vec<Transport>,
    /// What is known of families of cameras.
    pub quirks: Arc<Quirks>,
}

impl Options {
    /// Both transports, 5 s each, with what is compiled in about cameras.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            seconds: Duration::from_secs(5),
            step: Duration::from_secs(4),
            transports: vec![Transport::Tcp, Transport::Udp],
            quirks: Quirks::built_in(),
        }
    }

    /// The longest that a probe takes, whatever the camera does.
    pub fn limit(&self) -> Duration {
        self.seconds * u32::try_from(self.transports.len()).unwrap_or(u32::MAX) + self.step * 5
    }

    pub(super) fn reach(&self, heard: &Heard, tell: &Tell) -> Reach {
        Reach {
            limit: self.step,
            multicast: false,
            tracks: Selection::default(),
            way: config::Reach::default(),
            quirks: Arc::clone(&self.quirks),
            ask_options: true,
            notes: heard.notes(Arc::clone(tell)),
        }
    }
}

/// Looks at a camera from all sides. `tell` hears in a word what is being done; `stop` ends it early. Takes at most
/// [`Options::limit`].
pub async fn probe(
    camera: &CameraUrl,
    options: &Options,
    tell: impl Fn(&str) + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> Report {
    let began = Instant::now();
    let mut probing = Probing {
        camera,
        options,
        tell: Arc::new(tell),
        heard: Heard::default(),
        clean: Clean::new(camera),
        teardowns: Teardowns::default(),
        report: Report { url: camera.to_string(), ..Report::default() },
    };
    // What is left of the time is for saying goodbye.
    let limit = options.limit().saturating_sub(GOODBYE);
    let ended = tokio::select! {
        ended = timeout(limit, probing.run()) => ended.map_err(|_| "out_of_time"),
        () = stop => Err("stopped"),
    };
    if let Err(class) = ended {
        if probing.report.steps.is_empty() {
            probing.heard.way(&mut probing.report, &probing.clean);
        }
        let words = match class {
            "stopped" => "it was told to stop".to_owned(),
            _ => format!("the camera took longer than {} s for everything", limit.as_secs()),
        };
        probing.failed(class, "time", words);
    }
    let _ = timeout(GOODBYE, probing.teardowns.done()).await;
    let mut report = probing.report;
    advice::conclude(&mut report, camera);
    if advice::deserves_a_block(&report) {
        report.config = Some(block::block(camera, &options.name, &report));
    }
    report.seconds = began.elapsed().as_secs_f64();
    report
}

struct Probing<'a> {
    camera: &'a CameraUrl,
    options: &'a Options,
    tell: Tell,
    heard: Heard,
    clean: Clean,
    teardowns: Teardowns,
    report: Report,
}

impl Probing<'_> {
    async fn run(&mut self) {
        let mut described = match self.describe().await {
            Ok(described) => Some(described),
            Err(error) => {
                self.ended(&error);
                return;
            }
        };
        for transport in &self.options.transports {
            if *transport == Transport::Udp && !self.camera.is_plain() {
                let words = "not tried: in a tunnel or over TLS everything goes through the one connection";
                self.report.step("UDP", State::Skipped, words, None);
                continue;
            }
            let next = match described.take() {
                Some(described) => Ok(described),
                None => {
                    let reach = Reach { ask_options: false, ..self.options.reach(&self.heard, &self.tell) };
                    Described::open(self.camera, &reach, self.teardowns.clone()).await
                }
            };
            let (session, keep_alive) = match next {
                Ok(described) => self.session(described, *transport).await,
                Err(error) => (self.refused(*transport, &error), None),
            };
            if keep_alive.is_some() {
                self.report.keep_alive = keep_alive;
            }
            self.report.sessions.push(session);
            // Many cameras have a session or two: the next one waits until this one is gone.
            let _ = timeout(GOODBYE, self.teardowns.done()).await;
        }
        self.heard.camera(&mut self.report, &self.clean);
        self.about_the_camera();
    }

    /// Up to the description. OPTIONS comes first, since it says much; a camera that does not like it is asked without.
    async fn describe(&mut self) -> Result<Described, Error> {
        let mut reach = self.options.reach(&self.heard, &self.tell);
        let mut opened = Described::open(self.camera, &reach, self.teardowns.clone()).await;
        let mut mute = false;
        if opened.is_err() && self.heard.unanswered() == Some(Method::Options) {
            mute = true;
            reach.ask_options = false;
            opened = Described::open(self.camera, &reach, self.teardowns.clone()).await;
        }
        self.heard.way(&mut self.report, &self.clean);
        if let Err(error) = &opened
            && error.class == FailureClass::Certificate
            && shake_hands(self.camera, &reach).await.is_err()
        {
            tracing::debug!("the certificate cannot be seen");
        }
        let verified = opened.is_ok() && self.camera.url().scheme() != "rtspx";
        self.secured(verified);
        self.heard.camera(&mut self.report, &self.clean);
        self.options_answered(mute);
        let described = opened?;
        if self.camera.credentials().is_none() && self.report.camera.login.is_none() {
            self.report.step("login", State::Ok, "none is asked for", None);
        } else if let Some(login) = &self.report.camera.login {
            self.report.step("login", State::Ok, format!("{login}, accepted"), None);
        } else {
            let words = "the camera asks for none: anybody may watch, and the password is not used";
            self.report.step("login", State::Remark, words, None);
        }
        self.described(described.description());
        if let Some(profile) = described.profile() {
            self.report.camera.profile = Some(self.clean.text(profile));
        }
        Ok(described)
    }

    fn secured(&mut self, verified: bool) {
        let Some((certificate, took)) = self.heard.certificate(verified) else { return };
        let expires = certificate.expires.as_deref().unwrap_or("unknown");
        let state = if certificate.verified && !certificate.expired { State::Ok } else { State::Remark };
        let trust = if certificate.verified { "verified" } else { "not verified" };
        let words = format!(
            "{} {}, certificate {trust}, expires {expires}, SHA-256 {}",
            certificate.protocol, certificate.suite, certificate.fingerprint
        );
        self.report.step("TLS", state, words, Some(took.as_secs_f64()));
        self.report.certificate = Some(certificate);
    }

    fn options_answered(&mut self, mute: bool) {
        let answers = self.heard.answers(&Method::Options, 0);
        let server = self.report.camera.server.clone();
        let server = server
            .map_or_else(|| "it does not say what it is".to_owned(), |server| format!("server {server}"));
        let methods = match self.report.camera.methods.as_slice() {
            [] => "it lists no methods".to_owned(),
            methods => methods.join(" "),
        };
        match answers.last() {
            Some(answer) => {
                let state = if answer.status.is_success() { State::Ok } else { State::Remark };
                let words = format!("{}, {server}, {methods}", answer.status);
                self.report.step("OPTIONS", state, words, Some(answer.took.as_secs_f64()));
            }
            None if mute => {
                self.report.step("OPTIONS", State::Remark, "not answered; asked without it", None)
            }
            None => {}
        }
    }

    fn described(&mut self, description: &Description) {
        let answers = self.heard.answers(&Method::Describe, 0);
        let Some(answer) = answers.iter().rfind(|answer| answer.status == Status::OK) else { return };
        if let Ok(sdp) = sdp::parse(&answer.body) {
            let found = faults::faults(&answer.body, &sdp);
            self.report.sdp_faults = found.iter().map(|fault| self.clean.text(fault)).collect();
            let left_out = sdp.media.len() - description.tracks.len();
            let mut words = words::count(description.tracks.len(), "track");
            if left_out > 0 {
                words += &format!(", {left_out} left out (a back channel, or nothing that can be relayed)");
            }
            words += &match self.report.sdp_faults.len() {
                0 => ", a description by the book".to_owned(),
                faults => format!(", a description with {}", words::count(faults, "known fault")),
            };
            let state = if self.report.sdp_faults.is_empty() { State::Ok } else { State::Remark };
            self.report.step("DESCRIBE", state, words, Some(answer.took.as_secs_f64()));
        }
        let measure = Measure::new(description, Instant::now());
        self.report.tracks = tracks(description, measure.tallies(), &self.clean);
    }

    /// The last steps: what can be said once all sessions are over.
    fn about_the_camera(&mut self) {
        let timeout = self.report.camera.session_timeout_seconds;
        if let Some(keep_alive) = &mut self.report.keep_alive {
            advice::keep_alive(keep_alive, timeout);
            let state = if keep_alive.method.is_some() { State::Ok } else { State::Remark };
            let words = keep_alive.words.clone();
            self.report.step("keep-alive", state, words, None);
        }
        if self.report.best().is_some() {
            let (state, words) = advice::clock(self.report.clock_offset_seconds);
            self.report.step("clock", state, words, None);
        }
        if let Some(profile) = self.report.camera.profile.clone() {
            self.report.step("profile", State::Ok, profile, None);
        }
    }
}

/// The tracks, as described and as what came of them says.
pub(super) fn tracks(description: &Description, tallies: &[Tally], clean: &Clean) -> Vec<Track> {
    let track = |(track, tally): (&sdp::Track, &Tally)| {
        let picture = tally.picture();
        let size = tally.size().or(picture.map(|picture| (picture.width, picture.height)));
        Track {
            track: track.id.0,
            kind: clean.text(&track.kind),
            encoding: track.encoding.as_deref().map(|name| clean.text(name)),
            clock_rate: track.clock_rate,
            channels: track.channels,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            profile: picture.map(|picture| picture.profile.to_owned()),
            level: picture.map(|picture| format!("{}.{}", picture.level / 10, picture.level % 10)),
        }
    };
    description.tracks.iter().zip(tallies).map(track).collect()
}

/// How long the goodbye to a session may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A transport as people write it.
fn name_of(transport: Transport) -> &'static str {
    if transport == Transport::Udp { "UDP" } else { "TCP" }
}
