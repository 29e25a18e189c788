//! Where a probe could not go on, and what happened there.

use super::super::report::{Failure, Session, State};
use super::{Probing, name_of};
use crate::rtsp::Method;
use crate::source::error::{Error, Step};
use crate::vocabulary::{FailureClass, Transport};

impl Probing<'_> {
    /// The probe cannot go on.
    pub(super) fn ended(&mut self, error: &Error) {
        let step = self.step_of(error);
        let mut words = self.words_of(error);
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

    /// What happened, without what the step says already, and what only the relay's log has a use for.
    pub(super) fn words_of(&self, error: &Error) -> String {
        let words = self.clean.text(&error.message).replace(" (connect_timeout)", "");
        let mut words = words.as_str();
        for known in ["connecting: ", "the host's name: ", "DESCRIBE: ", "SETUP: ", "PLAY: ", "TLS: "] {
            words = words.strip_prefix(known).unwrap_or(words);
        }
        words.split_once(" (os error").map_or(words, |(words, _)| words).to_owned()
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
    pub(super) fn refused(&mut self, transport: Transport, error: &Error) -> Session {
        let name = name_of(transport);
        let words = format!("not over {name}: {}", self.words_of(error));
        let step = error.step.map_or_else(|| "SETUP".to_owned(), |step| step.to_string());
        self.report.step(&step, State::Failed, words.clone(), None);
        if self.report.failure.is_none() {
            self.report.failure =
                Some(Failure { class: error.class.to_string(), step, words: words.clone() });
        }
        Session { transport: transport.to_string(), state: State::Failed, words, ..Session::default() }
    }

    pub(super) fn failed(&mut self, class: &str, step: &str, words: String) {
        self.report.step(step, State::Failed, words.clone(), None);
        self.report.failure = Some(Failure { class: class.to_owned(), step: step.to_owned(), words });
    }
}

/// Of a body that makes no sense, in characters.
const SHOWN: usize = 60;
