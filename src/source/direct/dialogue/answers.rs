//! What the camera answers, and what follows from it.

use std::time::Instant;

use super::{Dialogue, Stage, Stop};
use crate::rtsp::{Headers, Response, Status, session_id};
use crate::source::direct::control;
use crate::source::direct::exchange::{Ask, Asked};
use crate::source::direct::login::Refusal;
use crate::source::direct::notes::Note;
use crate::source::error::Error;
use crate::vocabulary::FailureClass;

impl Dialogue {
    /// A response came, to one of our requests or to none.
    pub(super) fn response(&mut self, response: Response, now: Instant) -> Result<(), Stop> {
        if response.status.0 < 200 {
            return Ok(()); // the answer itself follows
        }
        let strict = self.stage != Stage::Playing;
        match self.exchange.matching(response, strict, now) {
            Some((asked, response)) => self.answered(asked, &response, now),
            None => Ok(()), // nobody asked (C11)
        }
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, asked: Asked, response: &Response, now: Instant) -> Result<(), Stop> {
        self.keep_alive.learn(&response.headers);
        self.saw_answer(&response.headers);
        self.options.notes.say(|| Note::Answered {
            method: asked.method.clone(),
            status: response.status,
            headers: response.headers.clone(),
            body: response.body.clone(),
            took: now.saturating_duration_since(asked.at),
        });
        // Some say "forbidden" and how to log in.
        let asks = matches!(response.status.0, 403 | 407)
            && asked.signature.is_none()
            && response.headers.get("WWW-Authenticate").is_some();
        if response.status == Status::UNAUTHORIZED || asks {
            return self.unauthorized(asked, &response.headers, now);
        }
        if matches!(asked.ask, Ask::KeepAlive | Ask::Teardown) {
            // Whatever it says, media that flows goes on (C10, C14).
            self.keep_alive.answered(&asked.method, response.status);
            if asked.ask == Ask::Teardown {
                self.stage = Stage::Ended;
            } else if !response.status.is_success() {
                tracing::debug!(status = %response.status, "a sign of life is refused");
            }
            return Ok(());
        }
        if matches!(response.status.0, 301..=303 | 305 | 307 | 308) {
            let location = response.headers.get("Location").and_then(|to| control::redirected(&self.uri, to));
            let location = location.ok_or_else(|| {
                self.error(FailureClass::Status, &format!("{} without a Location", response.status))
            })?;
            return Err(Stop::Redirect(location));
        }
        match asked.ask {
            Ask::Options => {
                // In front of the first DESCRIBE, or after one that was refused.
                let first = self.flags.options_first || std::mem::take(&mut self.options.ask_options);
                self.send(Ask::Describe { accept: first }, 0, now);
                Ok(())
            }
            Ask::Describe { accept } => self.described(response, accept, now),
            Ask::Setup { lane, uri, spelt_out } => self.was_set_up(lane, uri, spelt_out, response, now),
            Ask::Play { uri, range } => self.plays(uri, range, response, now),
            Ask::KeepAlive | Ask::Teardown => Ok(()),
        }
    }

    /// 401: once more with an answer to the challenge, where there is a point.
    fn unauthorized(&mut self, asked: Asked, headers: &Headers, now: Instant) -> Result<(), Stop> {
        self.challenged = true;
        let fields = headers.get_all("WWW-Authenticate");
        let challenged = match asked.signature {
            Some(_) if self.flags.single_challenge && asked.rejected > 0 => Err(Refusal::Wrong),
            _ => self.login.challenged(fields, asked.signature.as_ref(), asked.rejected),
        };
        match challenged {
            Ok(()) => {
                self.send(asked.ask, asked.rejected + 1, now);
                Ok(())
            }
            Err(refusal) if asked.ask == Ask::KeepAlive => {
                tracing::debug!(%refusal, "a sign of life is refused");
                Ok(())
            }
            Err(_) if asked.ask == Ask::Teardown => {
                self.stage = Stage::Ended;
                Ok(())
            }
            Err(refusal) => {
                let words = format!("401 Unauthorized: {refusal}");
                Err(self.error(FailureClass::Unauthorized, &words).into())
            }
        }
    }

    /// A step failed by its status.
    pub(super) fn refused(&self, status: Status) -> Error {
        let class = match status.0 {
            401 | 403 => FailureClass::Unauthorized,
            404 => FailureClass::NotFound,
            453 | 503 => FailureClass::SessionLimit,
            _ => FailureClass::Status,
        };
        self.error(class, &status.to_string())
    }

    /// An error of the step under way.
    pub(super) fn error(&self, class: FailureClass, words: &str) -> Error {
        let step = self.step();
        Error { step: Some(step), ..Error::new(class, format!("{step}: {words}")) }
    }

    /// Takes the session's id, the first that comes, and its timeout, whenever it comes.
    pub(super) fn adopt_session(&mut self, headers: &Headers) {
        let Some((id, timeout)) = headers.get("Session").and_then(session_id::parse) else { return };
        if let Some(timeout) = timeout {
            self.keep_alive.timeout(timeout);
        }
        if self.session.is_none() {
            self.session = Some(id.to_owned());
        } else if self.session.as_deref() != Some(id) && self.stage == Stage::SettingUp {
            self.last_session = Some(id.to_owned());
        }
    }
}
