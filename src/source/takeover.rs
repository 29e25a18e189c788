//! Which session is published next, and the books that are kept of the change.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Cause, Purpose};
use super::backlog::Proof;
use super::driver::Driver;
use super::error::Error;
use super::policy::{Heat, Verdict, Wins};
use crate::hub::Publisher;
use crate::vocabulary::{FailureClass, Transport};

impl Driver {
    /// The attempt that is published next, if one is to be.
    pub(super) fn winner(&self, now: Instant) -> Option<usize> {
        let attempts = &self.sessions.attempts;
        let Some(current) = &self.sessions.current else {
            let rivals = attempts.iter().filter(|attempt| attempt.is_rival()).count();
            // Where there is no choice and nothing to lose, what comes is published as it comes: sound need not wait
            // for a picture.
            let alone =
                |attempt: &Attempt| rivals == 1 && attempt.is_rival() && attempt.proof() >= Proof::Packets;
            let ready = |attempt: &Attempt| {
                attempt.has_picture() && (attempt.purpose != Purpose::Standby || attempt.stands_by(now))
            };
            return attempts.iter().position(ready).or_else(|| attempts.iter().position(alone));
        };
        let fail_back = self.choice.should_fail_back(now);
        attempts.iter().position(|attempt| {
            attempt.has_picture()
                && match attempt.purpose {
                    Purpose::Replace(_) => true,
                    Purpose::Recover => attempt.id > current.id,
                    Purpose::Probe => fail_back == Some(attempt.source),
                    Purpose::Standby => {
                        attempt.stands_by(now)
                            && (self.wish == Some(Cause::Suspect) || fail_back == Some(attempt.source))
                    }
                }
        })
    }

    /// The session of an attempt is published from now on.
    pub(super) fn take_over(&mut self, index: usize, publisher: &mut Publisher, now: Instant) {
        let attempt = self.sessions.attempts.remove(index);
        let (id, source, purpose) = (attempt.id, attempt.source, attempt.purpose.clone());
        let took = now.saturating_duration_since(attempt.started);
        self.replaces(&attempt, publisher, now);
        let (known, patience) = (&mut self.known[source], self.plan.patience);
        let name = known.name.clone();
        let rhythm = |description: &_| known.rhythm(description, patience, now);
        if self.sessions.take_over(attempt, &name, rhythm, publisher, now).is_none() {
            return;
        }
        known.handshake = took;
        if purpose == Purpose::Recover {
            self.shared.metrics().source_connect_seconds.observe(took.as_secs_f64());
        }
        self.explain(source, publisher);
        let transport = self.sessions.current.as_ref().and_then(|current| current.transport);
        if let Some(left_out) = self.news.live(now) {
            let transport = transport.map_or("file", Transport::as_str);
            tracing::info!(source = %self.known[source].name, transport, left_out, "live");
        }
        let wins = self.heat.map_or(Wins::First, |heat| heat.wins());
        self.sessions.attempts.retain(|attempt| {
            if attempt.is_rival() { wins.goes_on(attempt.id, id) } else { attempt.source != source }
        });
        if self.sessions.attempts.iter().any(Attempt::is_rival) {
            self.heat.iter_mut().for_each(Heat::stop);
        } else {
            self.heat = None;
        }
        (self.wish, self.replace_after, self.race) = (None, None, None);
        self.say_goodbye(now);
    }

    /// An attempt is about to take the place of the session that is published, if there is one.
    fn replaces(&mut self, attempt: &Attempt, publisher: &mut Publisher, now: Instant) {
        let source = attempt.source;
        self.choice.delivered(source, now);
        let Some(current) = &self.sessions.current else { return self.known[source].history.live(now) };
        let old = current.source;
        let failure = match (&attempt.purpose, current.rhythm.liveness.verdict(now)) {
            (Purpose::Replace(Cause::Failure(error)), _) => Some(error.clone()),
            (Purpose::Probe | Purpose::Replace(Cause::Renewal), _) | (_, Verdict::Healthy) => None,
            (_, Verdict::Suspect { why, .. } | Verdict::Stalled { why, .. }) => {
                Some(Error::new(FailureClass::Stall, why))
            }
        };
        let (lasted, transport) = (current.lasted(), current.transport);
        self.known[old].rhythm = Some(current.rhythm.clone());
        match failure {
            Some(error) => {
                let why = "A second session was opened beside the first, and takes over.".to_owned();
                if self.news.failed(&error, now).is_some() {
                    tracing::warn!(reason = error.class.as_str(), "{error}: {why}");
                }
                publisher.failed(error.class, error.message.clone(), Duration::ZERO, why);
                if error.class == FailureClass::Stall {
                    self.came_to_an_end(old, transport, lasted);
                }
                if old == source {
                    return self.known[source].history.replaced(error.class, now);
                }
                let decision = self.known[old].history.decide(error.class, now, rand::random());
                self.choice.failed(old, now, decision.delay, true);
            }
            None if old != source => self.known[old].history.left(now),
            None => {}
        }
        self.known[source].history.live(now);
    }
}
