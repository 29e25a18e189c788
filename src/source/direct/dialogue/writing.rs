//! What we write: the requests of each step, and answers to what the camera asks.

use std::time::Instant;

use super::{Dialogue, Stage};
use crate::hub::Way;
use crate::rtsp::{self, Method, Request, Response, Status};
use crate::source::direct::exchange::Ask;
use crate::source::direct::notes::Note;

impl Dialogue {
    /// Writes the request of a step. `rejected` counts the forms of it that came back with 401.
    pub(super) fn send(&mut self, ask: Ask, rejected: u8, now: Instant) {
        let (method, uri) = match ask {
            Ask::Options => (Method::Options, self.uri.clone()),
            Ask::Describe { .. } => (Method::Describe, self.uri.clone()),
            Ask::Setup { lane, uri, .. } => (Method::Setup, self.track_uri(lane, uri)),
            Ask::Play { uri, .. } => (Method::Play, self.play_uri(uri)),
            // Without a session there is none to be refreshed, and nothing else that any camera takes.
            Ask::KeepAlive if self.stage == Stage::Described => {
                self.keep_alive.take(now);
                (Method::Options, self.uri.clone())
            }
            Ask::KeepAlive => (self.keep_alive.take(now), self.play_uri(0)),
            Ask::Teardown => (Method::Teardown, self.play_uri(0)),
        };
        let mut request = Request::new(method, uri);
        request = match ask {
            Ask::Describe { accept: true } => request.header("Accept", "application/sdp"),
            Ask::Setup { lane, spelt_out, .. } => {
                request.header("Transport", self.transport(lane, spelt_out))
            }
            Ask::Play { range: true, .. } => request.header("Range", "npt=0.000-"),
            _ => request,
        };
        if self.requires(ask) {
            request = request.header("Require", rtsp::BACK_CHANNEL);
        }
        if let Some(session) = &self.session {
            request = request.header("Session", session);
        }
        self.options.notes.say(|| Note::Asked { method: request.method.clone() });
        let mut signature = None;
        if let Some((authorization, signed)) = self.login.sign(request.method.as_str(), &request.uri) {
            request = request.header("Authorization", authorization);
            signature = Some(signed);
        }
        let request = request.header("User-Agent", USER_AGENT);
        let before = self.exchange.out().len();
        self.exchange.send(ask, request, signature, rejected, now);
        if let (Some(capture), Some(sent)) = (&self.capture, self.exchange.out().get(before..)) {
            capture.message(Way::Sent, sent, now);
        }
    }

    /// Answers what the camera asks: some look whether the client lives (C01).
    pub(super) fn request(&mut self, request: &Request, now: Instant) {
        self.heard(|out| request.write(out), now);
        let status = match request.method {
            Method::Options
            | Method::GetParameter
            | Method::SetParameter
            | Method::Announce
            | Method::Redirect
            | Method::Teardown => Status::OK,
            _ => Status::NOT_IMPLEMENTED,
        };
        tracing::debug!(method = %request.method, "the camera asks something");
        let mut response = Response::new(status);
        if let Ok(cseq) = request.cseq() {
            response = response.header("CSeq", cseq);
        }
        if request.method == Method::Options {
            response = response.header("Public", "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE");
        }
        if let Some(session) = request.headers.get("Session") {
            response = response.header("Session", session);
        }
        let before = self.exchange.out().len();
        self.exchange.answer(&response);
        if let (Some(capture), Some(sent)) = (&self.capture, self.exchange.out().get(before..)) {
            capture.message(Way::Sent, sent, now);
        }
    }
}

/// Some cameras answer 401 to a client without a name (go2rtc issue 235).
const USER_AGENT: &str = concat!("fanlight/", env!("CARGO_PKG_VERSION"));
