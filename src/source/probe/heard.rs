//! The notes of the client, and what of them belongs into the report.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::clean::Clean;
use super::report::{Certificate, Report, State};
use crate::config::Fingerprint;
use crate::rtsp::auth::{Algorithm, Challenge, challenges};
use crate::rtsp::{Method, Status, session_id};
use crate::source::direct::{Note, Notes};

/// Whoever shows how far a probe is.
pub(super) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// All notes so far.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<(Instant, Note)>>>);

/// An answer of the camera.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

impl Heard {
    /// Where the client's notes are to go: here, and in a word to `tell`.
    pub(super) fn notes(&self, tell: Tell) -> Notes {
        let heard = Arc::clone(&self.0);
        Notes::to(move |note| {
            match &note {
                Note::Resolved { .. } => tell("connecting"),
                Note::Connected { .. } => tell("connected"),
                Note::Asked { method } => tell(method.as_str()),
                _ => {}
            }
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < NOTES_MAX {
                heard.push((Instant::now(), note));
            }
        })
    }

    fn all(&self) -> Vec<(Instant, Note)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many notes there are: a place to look from later.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The answers to requests of this kind, from a place on.
    pub(super) fn answers(&self, wanted: &Method, from: usize) -> Vec<Answer> {
        let answer = |(_, note)| match note {
            Note::Answered { method, status, body, took, .. } if method == *wanted => {
                Some(Answer { status, body, took })
            }
            _ => None,
        };
        self.all().into_iter().skip(from).filter_map(answer).collect()
    }

    /// When a request of this kind was written last.
    pub(super) fn asked(&self, wanted: &Method) -> Option<Instant> {
        let notes = self.all();
        let is = |note: &Note| matches!(note, Note::Asked { method } if method == wanted);
        notes.iter().rev().find(|(_, note)| is(note)).map(|(at, _)| *at)
    }

    /// The request that was written last, if it was not answered.
    pub(super) fn unanswered(&self) -> Option<Method> {
        let mut last = None;
        for (_, note) in self.all() {
            match note {
                Note::Asked { method } => last = Some(method),
                Note::Answered { method, .. } if last.as_ref() == Some(&method) => last = None,
                _ => {}
            }
        }
        last
    }

    pub(super) fn resolved(&self) -> bool {
        self.all().iter().any(|(_, note)| matches!(note, Note::Resolved { .. }))
    }

    pub(super) fn connected(&self) -> bool {
        self.all().iter().any(|(_, note)| matches!(note, Note::Connected { .. }))
    }

    /// Name, TCP and TLS.
    pub(super) fn way(&self, report: &mut Report, clean: &Clean) {
        let notes = self.all();
        let first =
            |wanted: &dyn Fn(&Note) -> bool| notes.iter().map(|(_, note)| note).find(|note| wanted(note));
        if let Some(Note::Resolved { addresses, took }) = first(&|note| matches!(note, Note::Resolved { .. }))
        {
            let mut shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            shown.dedup();
            let more = shown.len().saturating_sub(ADDRESSES_SHOWN);
            shown.truncate(ADDRESSES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let words = format!("{}{more}", shown.join(", "));
            report.step("name", State::Ok, words, Some(took.as_secs_f64()));
        }
        // Where no address answers, the failure says so.
        let Some(Note::Connected { address: taken, took }) =
            first(&|note| matches!(note, Note::Connected { .. }))
        else {
            return;
        };
        for (_, note) in &notes {
            if let Note::NoConnection { address, why } = note
                && address != taken
                && report.steps.len() < STEPS_MAX
            {
                report.step("TCP", State::Remark, format!("{address}: {}", clean.text(why)), None);
            }
        }
        report.step("TCP", State::Ok, taken.to_string(), Some(took.as_secs_f64()));
    }

    /// The camera's certificate, once seen.
    pub(super) fn certificate(&self, verified: bool) -> Option<(Certificate, Duration)> {
        let secured = |(_, note)| match note {
            Note::Secured { protocol, suite, certificate, took } => {
                Some((protocol, suite, certificate, took))
            }
            _ => None,
        };
        let (protocol, suite, der, took) = self.all().into_iter().find_map(secured)?;
        let expires = crate::tls::end(&der);
        let shown = expires
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| jiff::Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok())
            .map(|at| at.to_string());
        let certificate = Certificate {
            fingerprint: Fingerprint(Sha256::digest(&der).into()).to_string(),
            expires: shown,
            expired: expires.is_some_and(|at| at < SystemTime::now()),
            verified,
            protocol,
            suite,
        };
        Some((certificate, took))
    }

    /// What the camera says of itself.
    pub(super) fn camera(&self, report: &mut Report, clean: &Clean) {
        for (_, note) in self.all() {
            let (status, headers) = match note {
                Note::Answered { status, headers, .. } => (status, headers),
                Note::Redirected => {
                    report.camera.redirects += 1;
                    continue;
                }
                _ => continue,
            };
            if let Some(server) = headers.get("Server").filter(|server| !server.is_empty()) {
                report.camera.server = Some(clean.text(server));
            }
            let methods: Vec<String> =
                headers.list("Public").take(METHODS_MAX).map(|name| clean.text(name)).collect();
            if !methods.is_empty() {
                report.camera.methods = methods;
            }
            if status == Status::UNAUTHORIZED || headers.get("WWW-Authenticate").is_some() {
                let offered = challenges(headers.get_all("WWW-Authenticate"));
                let best = offered.iter().max_by_key(|challenge| challenge.rank());
                report.camera.login = Some(best.map_or_else(|| "unknown".to_owned(), scheme));
            }
            if let Some((_, Some(timeout))) = headers.get("Session").and_then(session_id::parse) {
                report.camera.session_timeout_seconds = Some(timeout.as_secs_f64());
            }
        }
    }
}

fn scheme(challenge: &Challenge) -> String {
    match challenge {
        Challenge::Basic => "Basic".to_owned(),
        Challenge::Digest(digest) => match digest.algorithm {
            Algorithm::Md5 | Algorithm::Md5Session => "Digest (MD5)".to_owned(),
            Algorithm::Sha256 | Algorithm::Sha256Session => "Digest (SHA-256)".to_owned(),
            Algorithm::Sha512To256 => "Digest (SHA-512-256)".to_owned(),
        },
    }
}

/// A probe makes some thirty.
const NOTES_MAX: usize = 500;

const ADDRESSES_SHOWN: usize = 4;
const STEPS_MAX: usize = 16;
const METHODS_MAX: usize = 32;
