//! What the failures of sessions and attempts lead to: the books that are kept, the next try, what is said about it.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Cause, Purpose};
use super::driver::{Driver, now};
use super::error::Error;
use super::policy::Fact;
use super::sessions::Current;
use crate::hub::Publisher;
use crate::spans;
use crate::vocabulary::{FailureClass, Transport};

impl Driver {
    /// Somebody asks for a new session.
    pub(super) fn reconnect(&mut self, publisher: &mut Publisher) {
        let now = now();
        if self.sessions.current.is_none() && self.sessions.attempts.is_empty() {
            self.retry.1 = now;
            return;
        }
        self.sessions.attempts.clear();
        let error = Error::new(FailureClass::Requested, "a new session was asked for");
        match self.sessions.take_current() {
            Some(current) => self.ended(current, error, publisher, now),
            None => self.lost(self.retry.0, &error, None, publisher, now),
        }
    }

    /// The session that was published has ended.
    pub(super) fn ended(&mut self, current: Current, error: Error, publisher: &mut Publisher, now: Instant) {
        use FailureClass as F;
        let (lasted, transport) = (current.lasted(), current.transport);
        spans::failed(&current.span, error.class, &error.message);
        let Current { source, since, rhythm, .. } = current;
        let known = &mut self.known[source];
        known.rhythm = Some(rhythm);
        if matches!(error.class, F::KeepAlive | F::EndOfStream | F::Reset | F::Stall | F::Protocol) {
            let span = now.saturating_duration_since(since);
            known.lifetime.ended(span, error.class == F::KeepAlive);
            self.came_to_an_end(source, transport, lasted);
        }
        let known = &mut self.known[source];
        let took_its_place = |attempt: &Attempt| attempt.source == source && attempt.is_playing();
        if matches!(error.class, F::EndOfStream | F::Reset)
            && self.sessions.attempts.iter().any(took_its_place)
        {
            known.history.learn(Fact::NewSessionEndsOld);
        }
        self.lost(source, &error, Some(since), publisher, now);
        self.say_goodbye(now);
    }

    /// A session ended by itself. Where one does as the other did, it may be for what the client does.
    pub(super) fn came_to_an_end(&mut self, source: usize, transport: Option<Transport>, lasted: Duration) {
        let known = &mut self.known[source];
        if known.ends.ended(lasted) && self.client.end_alike(source, transport, lasted) {
            (known.lifetime, known.ends) = Default::default();
        }
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, attempt: Attempt, error: Error, publisher: &mut Publisher, now: Instant) {
        let Attempt { source, ref purpose, .. } = attempt;
        let others = self.sessions.attempts.iter().any(Attempt::is_rival);
        self.heat = self.heat.filter(|_| others);
        let known = &mut self.known[source];
        match purpose {
            Purpose::Recover if others || self.sessions.current.is_some() => {
                known.history.attempt_lost(error.class);
            }
            Purpose::Recover => self.lost(source, &error, None, publisher, now),
            Purpose::Replace(cause) => {
                known.history.attempt_lost(error.class);
                let wait = match (error.class, cause) {
                    (FailureClass::Unauthorized, _) => AFTER_A_REFUSAL,
                    (_, Cause::Suspect) => AFTER_A_SUSPICION,
                    (_, Cause::Renewal) => AFTER_A_RENEWAL,
                    (_, Cause::Failure(_)) => AFTER_A_REFUSAL,
                };
                self.replace_after = Some(now + wait);
                tracing::debug!(source = %known.name, "no session to take over: {error}");
            }
            Purpose::Probe | Purpose::Standby => {
                let decision = known.history.decide(error.class, now, rand::random());
                let name = known.name.clone();
                self.choice.failed(source, now, decision.delay, true);
                tracing::debug!(source = %name, retry_in = ?decision.delay, "no session beside: {error}");
            }
        }
        drop(attempt);
        if self.sessions.current.is_none() {
            self.say_goodbye(now);
        }
    }

    /// Nothing is published any more, or still nothing: decides on the next try, says it, and shows it.
    fn lost(
        &mut self,
        source: usize,
        error: &Error,
        delivered: Option<Instant>,
        publisher: &mut Publisher,
        now: Instant,
    ) {
        let history = &mut self.known[source].history;
        let mut decision = history.decide(error.class, now, rand::random());
        if let Some((strategy, streak)) = &mut self.plan.rule {
            if let Some(since) = delivered {
                streak.delivered(since, now);
            }
            // What somebody asked for, and what only needs another transport, has no pause by any rule.
            if !matches!(error.class, FailureClass::Requested | FailureClass::NoUdp) {
                decision.delay = strategy.delay(streak.failed(), rand::random());
                decision.why = strategy.to_string();
            }
        }
        self.choice.failed(source, now, decision.delay, decision.next_source);
        let next = self.choice.next(now);
        let mut why = decision.why;
        if next.source != source {
            why += &format!(" Source {} of {} is next.", next.source + 1, self.known.len());
        }
        self.race = decision.race;
        let mut delay = next.wait;
        if decision.wait_for_stale_sessions && next.source == source && self.plan.rule.is_none() {
            self.wait_until_forgotten();
            if self.forgotten.is_some() {
                delay = self.plan.refusal_max;
            }
        }
        self.retry = (next.source, now + delay);

        let place = error.place.as_deref();
        if let Some(left_out) = self.news.failed(error, now) {
            let reason = error.class.as_str();
            let worth_a_retry = error.is_worth_a_retry();
            tracing::warn!(reason, retry_in = ?delay, place, worth_a_retry, left_out, "{error}: {why}");
        } else {
            tracing::debug!(reason = error.class.as_str(), retry_in = ?delay, place, "{error}");
        }
        publisher.failed(error.class, error.message.clone(), delay, why);
        self.explain(source, publisher);
        // What was to replace the session is what there is now.
        let mut under_way = false;
        for attempt in self.sessions.attempts.iter_mut().filter(|attempt| attempt.is_rival()) {
            attempt.purpose = Purpose::Recover;
            under_way = true;
        }
        if under_way {
            publisher.connecting();
        } else {
            self.heat = None;
        }
    }

    /// Shows the rule by which attempts are made, and what was learned about a source.
    pub(super) fn explain(&self, source: usize, publisher: &mut Publisher) {
        let known = &self.known[source];
        let mut learned = known.history.learned();
        learned.extend(self.client.learned(source));
        if let Some(after) = known.lifetime.renew_after() {
            let seconds = after.as_secs_f64();
            learned.push(format!(
                "Its sessions end by themselves: each is replaced after {seconds:.0} s, before it does."
            ));
        }
        publisher.explain(&self.plan.strategy(), learned);
    }
}

/// How long after a failed attempt to replace a session the next one follows.
const AFTER_A_SUSPICION: Duration = Duration::from_millis(500);
const AFTER_A_RENEWAL: Duration = Duration::from_secs(3);
const AFTER_A_REFUSAL: Duration = Duration::from_secs(60);
