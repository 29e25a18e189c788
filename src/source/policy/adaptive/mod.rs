//! `auto`: the wait by what failed and by what this camera has done so far.
//!
//! A [`History`] belongs to one source (one camera address) of one stream. It is told when a session delivers
//! ([`History::live`]) and asked after every failure ([`History::decide`]); what it decides it also says in words.

mod learned;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::vocabulary::FailureClass;

pub use learned::Fact;
use learned::Learned;

/// The bounds of the waits, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No wait is shorter, but for the first try after a healthy session.
    pub retry_min: Duration,
    /// The longest wait for a camera whose host answers, and between the sessions of one that flaps.
    pub retry_max: Duration,
    /// The longest wait for a host that is not there or whose name is unknown.
    pub unreachable_max: Duration,
    /// The longest wait after the camera has said no in RTSP: 404, 453, 503 and other statuses. Wrong passwords have
    /// a rule of their own, one try a minute.
    pub refusal_max: Duration,
    /// A session that delivered for this long was healthy.
    pub stable_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            // The host that comes back should be seen before a person does; a SYN to nobody costs next to nothing.
            unreachable_max: Duration::from_secs(10),
            // Sessions that a camera has not forgotten yet live for 30 to 60 s.
            refusal_max: Duration::from_secs(30),
            stable_after: super::strategy::STABLE_AFTER,
        }
    }
}

/// What to do after a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// How long to wait before the next try of this source.
    pub delay: Duration,
    /// What was decided and why: a full sentence for a person.
    pub why: String,
    /// Sessions of ours that the camera has not forgotten have to end before the next try makes sense.
    pub wait_for_stale_sessions: bool,
    /// With `transport: auto`: UDP does not do here.
    pub use_tcp: bool,
    /// This source does not come back at once: if there are others, one of them is next.
    pub next_source: bool,
    /// Several attempts side by side.
    pub race: Option<Race>,
}

/// Several attempts at one source side by side; the losers are torn down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// Attempts, the first included.
    pub attempts: u8,
    /// Between the start of one and the next.
    pub stagger: Duration,
    /// Which of them stays.
    pub wins: Wins,
}

/// Which session of a race stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wins {
    /// The first to deliver a key frame: for networks that lose packets.
    First,
    /// The last to be opened: for cameras where a new session ends the one before.
    Last,
}

/// A failure that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What kind of failure.
    pub class: FailureClass,
    /// When.
    pub at: Instant,
    /// How long the session had delivered; `None` when it never did.
    pub healthy_for: Option<Duration>,
}

/// What one source has done so far. Bounded: the last 64 failures, and a handful of learned facts.
#[derive(Clone, Debug)]
pub struct History {
    limits: Limits,
    recent: VecDeque<Failed>,
    learned: Learned,
    /// Since when the session of now delivers.
    live_since: Option<Instant>,
    /// When the last session ended that was healthy, or short without others like it.
    healthy_until: Option<Instant>,
    outage: Option<Outage>,
    /// Failures since the last healthy session.
    in_a_row: u32,
    /// When sessions ended that delivered but not for long, within the last minute.
    short: VecDeque<Instant>,
    /// Short sessions since there were too many of them.
    flaps: u32,
    /// 401 and 403 in a row.
    unauthorized: u32,
}

/// From the end of one session, or the first failed attempt, to the next session that delivers.
#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    /// It began with the end of a healthy session.
    after_healthy: bool,
    /// Attempts that failed, by class.
    failed: [u32; CLASSES],
    /// Waits that grew, by the class they were for.
    grown: [u32; CLASSES],
    /// Since when the host answers again after it was not there.
    back_since: Option<Instant>,
}

impl Outage {
    fn attempts(&self) -> u32 {
        self.failed.iter().sum()
    }

    fn failed(&self, class: FailureClass) -> u32 {
        self.failed[class.index()]
    }
}

impl History {
    /// A source nothing is known of.
    pub fn new(limits: Limits) -> Self {
        let retry_max = limits.retry_max.max(limits.retry_min);
        Self {
            limits: Limits { retry_max, ..limits },
            recent: VecDeque::new(),
            learned: Learned::default(),
            live_since: None,
            healthy_until: None,
            outage: None,
            in_a_row: 0,
            short: VecDeque::new(),
            flaps: 0,
            unauthorized: 0,
        }
    }

    /// A session begins to deliver.
    pub fn live(&mut self, now: Instant) {
        if let Some(since) = self.live_since {
            // Another session has taken over while the one before was still kept.
            let span = now.saturating_duration_since(since);
            self.learned.lasted(span);
            if span >= self.limits.stable_after {
                self.healthy_until = Some(now);
            }
        }
        if let Some(outage) = self.outage.take() {
            self.learned.came_back(&outage, now);
        }
        self.live_since = Some(now);
        self.unauthorized = 0;
    }

    /// A session failed after another one had taken its place, which delivers: noted, and nothing to decide.
    pub fn replaced(&mut self, failure: FailureClass, now: Instant) {
        self.note(failure, now);
        self.live(now);
    }

    /// A failure, of an attempt or of the session that delivered: what to do. `random` is drawn from 0 to 1.
    pub fn decide(&mut self, failure: FailureClass, now: Instant, random: f64) -> Decision {
        let udp_was_new = !self.learned.needs_tcp();
        let failed = self.note(failure, now);
        let (delay, why) = self.wait(failed, udp_was_new, random);
        let asked_for = matches!(failure, FailureClass::Requested | FailureClass::NoUdp);
        Decision {
            delay,
            why,
            wait_for_stale_sessions: failure == FailureClass::SessionLimit,
            use_tcp: self.learned.needs_tcp(),
            next_source: !asked_for && (failed.healthy_for.is_none() || self.flaps > 0),
            race: self.race(failure, now),
        }
    }

    /// The session that delivers is given up for that of another source: no failure.
    pub fn left(&mut self, now: Instant) {
        if let Some(since) = self.live_since.take() {
            let span = now.saturating_duration_since(since);
            self.learned.lasted(span);
            if span >= self.limits.stable_after {
                self.healthy_until = Some(now);
            }
        }
    }

    /// One of several attempts failed, or one beside a session that delivers: nothing to decide, but something to learn.
    pub fn attempt_lost(&mut self, failure: FailureClass) {
        self.learned.failed(failure);
        if failure == FailureClass::Unauthorized {
            self.unauthorized = self.unauthorized.saturating_add(1);
        }
    }

    /// Whether a session of this source has ever delivered.
    pub fn has_delivered(&self) -> bool {
        self.live_since.is_some() || self.learned.has_delivered()
    }

    /// For how long the last healthy session has been over; `None` when there was none, or one delivers.
    pub fn gone_for(&self, now: Instant) -> Option<Duration> {
        let until = self.healthy_until.filter(|_| self.live_since.is_none())?;
        Some(now.saturating_duration_since(until))
    }

    /// Whether this source does not deliver well over UDP.
    pub fn needs_tcp(&self) -> bool {
        self.learned.needs_tcp()
    }

    /// Something a session showed that its failure does not tell.
    pub fn learn(&mut self, fact: Fact) {
        self.learned.learn(fact);
    }

    /// What was learned about this source, a sentence each.
    pub fn learned(&self) -> Vec<String> {
        self.learned.sentences()
    }

    /// Whether the fact is known of this source.
    pub fn knows(&self, fact: Fact) -> bool {
        self.learned.knows(fact)
    }

    /// The last failures, oldest first.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = &Failed> {
        self.recent.iter()
    }

    /// Failures since the last healthy session.
    pub fn failures_in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Takes a failure into the books.
    fn note(&mut self, class: FailureClass, now: Instant) -> Failed {
        let healthy_for = self.live_since.take().map(|since| now.saturating_duration_since(since));
        let failed = Failed { class, at: now, healthy_for };
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(failed);
        self.learned.failed(class);

        let healthy = healthy_for.is_some_and(|span| span >= self.limits.stable_after);
        if let Some(span) = healthy_for {
            self.learned.lasted(span);
            self.outage = None;
        }
        if healthy {
            self.healthy_until = Some(now);
            self.in_a_row = 0;
            self.calm_down();
        }
        match class {
            FailureClass::Requested => {
                // A person has looked at it, and may have changed the password in the camera.
                self.unauthorized = 0;
                self.in_a_row = 0;
                self.outage = None;
                self.calm_down();
                return failed;
            }
            FailureClass::Unauthorized => self.unauthorized = self.unauthorized.saturating_add(1),
            _ => {}
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if healthy_for.is_some() && !healthy && class != FailureClass::NoUdp {
            self.was_short(now);
            // It was there a moment ago, however short that was; one that never lasts is given a rest instead.
            if self.flaps == 0 {
                self.healthy_until = Some(now);
            }
        }
        self.note_outage(failed, healthy);
        failed
    }

    fn note_outage(&mut self, failed: Failed, healthy: bool) {
        let outage = self.outage.get_or_insert(Outage {
            since: failed.at,
            after_healthy: healthy,
            failed: [0; CLASSES],
            grown: [0; CLASSES],
            back_since: None,
        });
        if failed.healthy_for.is_some() {
            return; // the session that ended, not an attempt
        }
        if outage.after_healthy && outage.attempts() == 0 {
            self.learned.first_try_failed();
        }
        let count = &mut outage.failed[failed.class.index()];
        *count = count.saturating_add(1);
        match failed.class {
            FailureClass::Unreachable | FailureClass::ConnectTimeout => outage.back_since = None,
            FailureClass::Refused
                if outage.failed(FailureClass::Unreachable) + outage.failed(FailureClass::ConnectTimeout)
                    > 0 =>
            {
                outage.back_since.get_or_insert(failed.at);
            }
            _ => {}
        }
    }

    /// One more session that did not last.
    fn was_short(&mut self, now: Instant) {
        self.short.retain(|at| now.saturating_duration_since(*at) < FLAPPING_WITHIN);
        if self.short.is_empty() {
            self.flaps = 0;
        }
        if self.short.len() == FLAPPING {
            self.short.pop_front();
        }
        self.short.push_back(now);
        if self.flaps > 0 || self.short.len() >= FLAPPING {
            self.flaps = self.flaps.saturating_add(1);
        }
    }

    fn calm_down(&mut self) {
        self.short.clear();
        self.flaps = 0;
    }
}

/// Failures that are remembered: an evening of trouble for a person to look at.
const REMEMBERED: usize = 64;

/// So many sessions that do not last within [`FLAPPING_WITHIN`] are a pattern, and connecting ever faster is part of
/// the trouble: each costs the camera a key frame and its watchdog some patience.
const FLAPPING: usize = 5;

/// Also for how long after its last short session a source counts as flapping.
const FLAPPING_WITHIN: Duration = Duration::from_secs(60);

const CLASSES: usize = FailureClass::ALL.len();
