//! One session of a probe: what comes, and which signs of life are answered.

use std::future::poll_fn;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout_at;

use super::super::measure::Measure;
use super::super::report::{KeepAlive, Session, State};
use super::super::words;
use super::{Probing, name_of, tracks};
use crate::config::SignOfLife;
use crate::rtsp::Method;
use crate::sdp::Description;
use crate::source::direct::{Described, Playing};
use crate::vocabulary::Transport;

impl Probing<'_> {
    /// One session, watched for a while.
    pub(super) async fn session(
        &mut self,
        described: Described,
        transport: Transport,
    ) -> (Session, Option<KeepAlive>) {
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
        let name = name_of(transport);
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
        let name = name_of(transport);
        let mut session = Session {
            transport: transport.to_string(),
            first_packet_seconds: measure.first().map(after),
            first_key_frame_seconds: measure.first_key().map(after),
            measured_seconds: measure.first().map_or(0.0, |first| first.elapsed().as_secs_f64()),
            ..Session::default()
        };
        let videos = || measure.tallies().iter().filter(|tally| tally.is_video());
        let silent = videos().next().is_some() && videos().all(|tally| tally.reading().packets == 0);
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
}

/// How long a first datagram may take: longer, and something on the way drops them.
const UDP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a camera has to answer a sign of life.
const SIGN_PATIENCE: Duration = Duration::from_secs(1);

/// Loss that is worth a word: one packet in a thousand.
const LOSS: f64 = 0.001;
