//! The order of a probe: the way there, the description, a session over TCP, one over UDP, each within its time.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{timeout, timeout_at};

use super::clean::Clean;
use super::heard::{Heard, Tell};
use super::measure::{Measure, Tally};
use super::report::{Failure, KeepAlive, Report, Session, State, Track};
use super::{advice, block, faults, words};
use crate::config::{self, CameraUrl, Quirks, SignOfLife};
use crate::rtsp::{Method, Status};
use crate::sdp::{self, Description, Selection};
use crate::source::direct::{Described, Playing, Reach, Teardowns, shake_hands};
use crate::source::error::{Error, Step};
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

    /// One session, watched for a while.
    async fn session(&mut self, described: Described, transport: Transport) -> (Session, Option<KeepAlive>) {
        (self.tell)(&format!("SETUP over {transport}"));
        let from = self.heard.len();
        let description = described.description().clone();
        let mut playing = match described.play(transport).await {
            Ok(playing) => playing,
            Err(error) => return (self.refused(transport, &error), None),
        };
        let asked = self.heard.asked(&Method::Play).unwrap_or_else(Instant::now);
        let mut measure = Measure::new(&description, asked);
        let patience = if transport == Transport::Udp { UDP_PATIENCE } else { self.options.step };
        let begun = |measure: &Measure| measure.first().is_some();
        (self.tell)(&format!("waiting for the first packet over {transport}"));
        let mut ended = self.listen(&mut playing, &mut measure, asked + patience, begun).await;
        let mut keep_alive = None;
        if let Some(first) = measure.first() {
            (self.tell)(&format!("watching over {transport}"));
            ended = self.listen(&mut playing, &mut measure, first + self.options.seconds, |_| false).await;
            if ended.is_none() && self.report.keep_alive.is_none() {
                (self.tell)("trying signs of life");
                keep_alive = Some(self.keep_alive(&mut playing).await);
            }
        }
        drop(playing);
        let set_up = self
            .heard
            .answers(&Method::Setup, from)
            .iter()
            .filter(|answer| answer.status.is_success())
            .count();
        let name = if transport == Transport::Udp { "UDP" } else { "TCP" };
        let words = format!("{} of {} over {name}", set_up, words::count(description.tracks.len(), "track"));
        let state = if set_up < description.tracks.len() { State::Remark } else { State::Ok };
        self.report.step("SETUP", state, words, None);
        if let Some(answer) = self.heard.answers(&Method::Play, from).last() {
            self.report.step("PLAY", State::Ok, answer.status.to_string(), Some(answer.took.as_secs_f64()));
        }
        if self.report.clock_offset_seconds.is_none() {
            self.report.clock_offset_seconds = measure.clock_offset();
        }
        let found = tracks(&description, measure.tallies(), &self.clean);
        for (known, found) in self.report.tracks.iter_mut().zip(found) {
            if found.width.is_some() {
                *known = found;
            }
        }
        (self.measured(transport, &measure, asked, ended), keep_alive)
    }

    fn measured(
        &mut self,
        transport: Transport,
        measure: &Measure,
        asked: Instant,
        ended: Option<String>,
    ) -> Session {
        let after = |at: Instant| at.saturating_duration_since(asked).as_secs_f64();
        let readings = measure.readings();
        let name = if transport == Transport::Udp { "UDP" } else { "TCP" };
        let mut session = Session {
            transport: transport.to_string(),
            first_packet_seconds: measure.first().map(after),
            first_key_frame_seconds: measure.first_key().map(after),
            measured_seconds: measure.first().map_or(0.0, |first| first.elapsed().as_secs_f64()),
            ..Session::default()
        };
        let video = |tally: &&Tally| tally.is_video();
        let silent = measure.tallies().iter().any(|tally| tally.is_video())
            && measure.tallies().iter().filter(video).all(|tally| tally.reading().packets == 0);
        if measure.first().is_none() || silent {
            session.state = State::Failed;
            let what = if silent && measure.first().is_some() {
                "sound comes, but no picture"
            } else {
                "not one packet came"
            };
            session.words = match &ended {
                Some(why) => format!("{what}: {}", self.clean.text(why)),
                None => format!("{what} over {name}, although the camera took PLAY"),
            };
            self.report.step("media", State::Failed, session.words.clone(), None);
            session.tracks = readings;
            return session;
        }
        let first = session.first_packet_seconds.map(words::time).unwrap_or_default();
        let mut words = format!("{name}: first packet {first} after PLAY");
        match session.first_key_frame_seconds {
            Some(seconds) => words += &format!(", first key frame after {}", words::time(seconds)),
            None => {
                session.state = State::Remark;
                words += &format!(", no key frame in {}", words::time(session.measured_seconds));
            }
        }
        self.report.step("media", session.state, words.clone(), session.first_packet_seconds);
        session.words = words;
        for (tally, reading) in measure.tallies().iter().zip(&readings) {
            let words = format!("{name}: {}", words::reading(reading, tally.is_video()));
            let lossy = reading.loss > LOSS || reading.packets == 0;
            if lossy {
                session.state = State::Remark;
            }
            let state = if lossy { State::Remark } else { State::Ok };
            self.report.step(&format!("track {}", reading.track), state, words, None);
        }
        if let Some(why) = ended {
            session.state = State::Remark;
            let lasted = words::time(session.measured_seconds);
            let words =
                format!("{name}: the session ended by itself after {lasted}: {}", self.clean.text(&why));
            session.words = words.clone();
            self.report.step("media", State::Remark, words, None);
        }
        session.tracks = readings;
        session
    }

    /// Takes what comes until `deadline`, or until it is enough; why the session ended, if it did.
    async fn listen(
        &self,
        playing: &mut Playing,
        measure: &mut Measure,
        deadline: Instant,
        enough: impl Fn(&Measure) -> bool,
    ) -> Option<String> {
        loop {
            let next = timeout_at(deadline.into(), poll_fn(|cx| playing.poll_next(cx)));
            let event = match next.await {
                Err(_) => return None,
                Ok(None) => return Some("the camera closed the connection".to_owned()),
                Ok(Some(Err(error))) => return Some(error.message),
                Ok(Some(Ok(event))) => event,
            };
            let now = Instant::now();
            measure.take(&event, now, SystemTime::now().into());
            if enough(measure) || now >= deadline {
                return None;
            }
        }
    }

    /// Which signs of life the camera answers.
    async fn keep_alive(&self, playing: &mut Playing) -> KeepAlive {
        let mut found = KeepAlive::default();
        let kinds = [
            (SignOfLife::Options, Method::Options),
            (SignOfLife::GetParameter, Method::GetParameter),
            (SignOfLife::SetParameter, Method::SetParameter),
        ];
        let mut sink = Measure::new(&Description::default(), Instant::now());
        for (kind, method) in kinds {
            if kind == SignOfLife::SetParameter && found.method.as_deref() == Some("GET_PARAMETER") {
                break;
            }
            let from = self.heard.len();
            playing.try_sign_of_life(kind);
            let deadline = Instant::now() + SIGN_PATIENCE;
            let answered = |_: &Measure| !self.heard.answers(&method, from).is_empty();
            let ended = self.listen(playing, &mut sink, deadline, answered).await;
            let answer = self.heard.answers(&method, from).pop();
            let words = match (&answer, &ended) {
                (Some(answer), _) => answer.status.to_string(),
                (None, Some(_)) => "the camera closed the connection".to_owned(),
                (None, None) => format!("no answer in {}", words::time(SIGN_PATIENCE.as_secs_f64())),
            };
            found.tried.push((method.to_string(), words));
            if answer.is_some_and(|answer| answer.status.is_success()) {
                found.method = Some(method.to_string());
            }
            if ended.is_some() {
                break;
            }
        }
        found
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

    /// The probe cannot go on.
    fn ended(&mut self, error: &Error) {
        let step = self.step_of(error);
        let mut words = self.clean.text(&error.message);
        words = words.replace(" (connect_timeout)", "");
        if let Some(rest) = words.strip_prefix(&format!("{step}: ")) {
            words = rest.to_owned();
        }
        if step == "DESCRIBE"
            && let Some(answer) = self.heard.answers(&Method::Describe, 0).last()
            && answer.status.is_success()
        {
            let beginning: String = String::from_utf8_lossy(&answer.body).chars().take(SHOWN).collect();
            words += &match answer.body.len() {
                0 => "; it came without a body".to_owned(),
                bytes => format!("; its {bytes} bytes begin with {:?}", self.clean.text(&beginning)),
            };
        }
        self.failed(error.class.as_str(), &step, words);
    }

    fn step_of(&self, error: &Error) -> String {
        let secured = self.heard.certificate(false).is_some();
        let tls = !matches!(self.camera.url().scheme(), "rtsp" | "rtsp+http");
        match (error.class, error.step) {
            (FailureClass::NameLookup, _) => "name".to_owned(),
            (FailureClass::Certificate, _) => "TLS".to_owned(),
            _ if !self.heard.resolved() => "name".to_owned(),
            _ if !self.heard.connected() => "TCP".to_owned(),
            _ if tls && !secured => "TLS".to_owned(),
            (FailureClass::Unauthorized, _) => "login".to_owned(),
            (_, Some(Step::Setup | Step::Play)) => {
                error.step.map(|step| step.to_string()).unwrap_or_default()
            }
            _ if error.message.starts_with("HTTP tunnel") => "tunnel".to_owned(),
            _ if self.heard.unanswered() == Some(Method::Options) => "OPTIONS".to_owned(),
            _ => "DESCRIBE".to_owned(),
        }
    }

    /// A transport that the camera does not give.
    fn refused(&mut self, transport: Transport, error: &Error) -> Session {
        let name = if transport == Transport::Udp { "UDP" } else { "TCP" };
        let words =
            format!("not over {name}: {}", self.clean.text(&error.message).replace(" (connect_timeout)", ""));
        let step = error.step.map_or_else(|| "SETUP".to_owned(), |step| step.to_string());
        self.report.step(&step, State::Failed, words.clone(), None);
        if self.report.failure.is_none() {
            self.report.failure =
                Some(Failure { class: error.class.to_string(), step, words: words.clone() });
        }
        Session { transport: transport.to_string(), state: State::Failed, words, ..Session::default() }
    }

    fn failed(&mut self, class: &str, step: &str, words: String) {
        self.report.step(step, State::Failed, words.clone(), None);
        self.report.failure = Some(Failure { class: class.to_owned(), step: step.to_owned(), words });
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

/// How long a first datagram may take: longer, and something on the way drops them.
const UDP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a camera has to answer a sign of life.
const SIGN_PATIENCE: Duration = Duration::from_secs(1);

/// How long the goodbye to a session may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Loss that is worth a word: one packet in a thousand.
const LOSS: f64 = 0.001;

/// Of a body that makes no sense, in characters.
const SHOWN: usize = 60;
