//! What a source is said to do: nothing, connect, deliver, fail.

use std::time::{Duration, Instant, SystemTime};

use super::Publisher;
use crate::hub::standby::Standby;
use crate::hub::status::Failure;
use crate::vocabulary::{FailureClass, Phase, Transport};

impl Publisher {
    /// Nobody watches an on-demand source.
    pub fn idle(&mut self) {
        self.ceases();
        self.enter(Phase::Idle);
        self.stream.outage_ends(Instant::now());
    }

    /// Says in words why it does what it does, until it delivers again.
    pub fn says(&mut self, why: String) {
        self.stream.update(|status| status.decision = Some(why));
    }

    /// An attempt begins.
    pub fn connecting(&mut self) {
        self.stream.outage_begins(Instant::now());
        self.enter(Phase::Connecting);
    }

    /// Packets come, over this transport if it is a camera: the source is live.
    pub fn live(&mut self, transport: Option<Transport>) {
        if self.stream.is_closed() {
            return;
        }
        let metrics = &self.stream.metrics;
        metrics.connects.inc();
        metrics.phase(Phase::Live);
        metrics.retry_attempt.set(0);
        metrics.retry_delay.set(0.0);
        self.stream.outage_ends(Instant::now());
        self.last_packet = None;
        self.stream.update(|status| {
            status.enter(Phase::Live);
            status.attempt = 0;
            status.sessions += 1;
            status.transport = transport;
            status.decision = None;
            if status.sessions > 1 {
                metrics.reconnects.inc();
            }
        });
    }

    /// The session or the attempt failed; the next attempt comes after `delay`.
    /// `why` says in words what was decided.
    pub fn failed(&mut self, class: FailureClass, message: String, delay: Duration, why: String) {
        self.ceases();
        if self.stream.is_closed() {
            return;
        }
        // An old picture is not shown as if it were the present one.
        self.stream.cache().end();
        let metrics = &self.stream.metrics;
        metrics.failure(class);
        metrics.phase(Phase::Retrying);
        metrics.retry_delay.set(delay.as_secs_f64());
        if !std::mem::replace(&mut self.is_away, true) {
            let name = self.stream.name();
            *self.stream.standby() = Standby::new(&self.tracks, self.generation, &self.builder, name);
        }
        let now = Instant::now();
        let since = self.stream.outage_begins(self.last_packet.take().unwrap_or(now));
        self.stream.record_with(|record| {
            record.failed(class, &message, now);
            record.outage_begins(since, class, &message);
        });
        self.stream.update(|status| {
            status.enter(Phase::Retrying);
            status.attempt += 1;
            status.next_try = Some(now + delay);
            status.last_failure = Some(Failure { class, message, at: SystemTime::now() });
            status.decision = Some(why);
            metrics.retry_attempt.set(i64::from(status.attempt));
        });
    }

    /// Says by which rule attempts are made, and what was learned about the source, a sentence each; until said anew.
    pub fn explain(&mut self, strategy: &str, learned: Vec<String>) {
        self.stream.record_with(|record| {
            if record.strategy != strategy {
                strategy.clone_into(&mut record.strategy);
            }
            record.learned = learned;
        });
    }

    fn enter(&self, phase: Phase) {
        if self.stream.is_closed() {
            return;
        }
        self.stream.metrics.phase(phase);
        self.stream.update(|status| status.enter(phase));
    }
}
