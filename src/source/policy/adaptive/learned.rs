//! What a source has taught.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Outage;
use crate::vocabulary::FailureClass;

use super::super::words::spoken;

/// Something a camera does that decides how to treat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// No packet comes over UDP. Also learned from [`FailureClass::NoUdp`].
    UdpBlocked,
    /// Too many packets are lost over UDP.
    UdpLossy,
    /// It has a limit of sessions that we have met. Also learned from [`FailureClass::SessionLimit`].
    SessionLimit,
    /// It leaves keep-alives unanswered, or answers them so that the client library gives up, while media flows. Also
    /// learned from [`FailureClass::KeepAlive`].
    KeepAliveUnanswered,
    /// A new session ends the one before.
    NewSessionEndsOld,
}

/// Everything learned of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    /// By the order of [`FACTS`].
    facts: [bool; FACTS.len()],
    /// How long the last reboots took.
    reboots: VecDeque<Duration>,
    /// The longest session.
    longest: Duration,
    /// First tries after a healthy session that brought it back, and that did not.
    first_tries: (u32, u32),
    /// When attempts that timed out were followed by one that worked.
    timeouts_overcome: VecDeque<Instant>,
}

impl Learned {
    pub(super) fn learn(&mut self, fact: Fact) {
        self.facts[fact as usize] = true;
    }

    pub(super) fn knows(&self, fact: Fact) -> bool {
        self.facts[fact as usize]
    }

    pub(super) fn needs_tcp(&self) -> bool {
        self.knows(Fact::UdpBlocked) || self.knows(Fact::UdpLossy)
    }

    /// A failure of this class.
    pub(super) fn failed(&mut self, class: FailureClass) {
        match class {
            // Loss is told by `learn` before the session is given up for it.
            FailureClass::NoUdp if !self.needs_tcp() => self.learn(Fact::UdpBlocked),
            FailureClass::SessionLimit => self.learn(Fact::SessionLimit),
            FailureClass::KeepAlive => self.learn(Fact::KeepAliveUnanswered),
            _ => {}
        }
    }

    pub(super) fn has_delivered(&self) -> bool {
        self.longest > Duration::ZERO
    }

    /// A session delivered for this long.
    pub(super) fn lasted(&mut self, span: Duration) {
        self.longest = self.longest.max(span);
    }

    /// The first try after a healthy session did not bring it back.
    pub(super) fn first_try_failed(&mut self) {
        self.first_tries.1 += 1;
        self.halve_first_tries();
    }

    /// A session delivers after an outage.
    pub(super) fn came_back(&mut self, outage: &Outage, now: Instant) {
        let took = now.saturating_duration_since(outage.since);
        if outage.after_healthy && outage.attempts() == 0 {
            self.first_tries.0 += 1;
            self.halve_first_tries();
        }
        // A host without its RTSP server is one that starts; a cable that was out shows no refused connection.
        let rebooted = outage.after_healthy && outage.failed(FailureClass::Refused) > 0;
        if rebooted && (SHORTEST_REBOOT..=LONGEST_REBOOT).contains(&took) {
            push(&mut self.reboots, took);
        }
        let timed_out = outage.failed(FailureClass::ConnectTimeout) + outage.failed(FailureClass::Stall);
        if timed_out == outage.attempts() && (1..=A_FEW).contains(&timed_out) {
            push(&mut self.timeouts_overcome, now);
        }
    }

    /// The middle one of the last reboots.
    pub(super) fn reboot(&self) -> Option<Duration> {
        let mut lengths: Vec<_> = self.reboots.iter().copied().collect();
        lengths.sort_unstable();
        lengths.get(lengths.len() / 2).copied()
    }

    /// Whether the first try after a healthy session brings it back; `None` before that was seen often enough.
    pub(super) fn first_try_works(&self) -> Option<bool> {
        let (worked, failed) = self.first_tries;
        let tries = worked + failed;
        (tries >= 4 && !(tries..3 * tries).contains(&(4 * worked))).then_some(4 * worked >= 3 * tries)
    }

    /// Whether attempts time out now and then though the camera is there.
    pub(super) fn is_lossy(&self, now: Instant) -> bool {
        let recent = |at: &&Instant| now.saturating_duration_since(**at) <= LOSSY_WITHIN;
        self.timeouts_overcome.iter().filter(recent).count() >= 2
    }

    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(reboot) = self.reboot() {
            sentences.push(format!("It comes back about {} after a reboot.", spoken(reboot)));
        }
        sentences
            .extend(FACTS.iter().filter(|(fact, _)| self.knows(*fact)).map(|(_, says)| (*says).to_owned()));
        match self.first_try_works() {
            Some(true) => sentences.push("After a lost session the first new one usually works.".to_owned()),
            Some(false) => sentences.push("After a lost session the first new one rarely works.".to_owned()),
            None => {}
        }
        if self.longest > Duration::ZERO {
            sentences.push(format!("Its longest session lasted {}.", spoken(self.longest)));
        }
        sentences
    }

    /// What is long past counts less and less.
    fn halve_first_tries(&mut self) {
        let (worked, failed) = &mut self.first_tries;
        if *worked + *failed > 20 {
            *worked /= 2;
            *failed /= 2;
        }
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T) {
    if ring.len() == SAMPLES {
        ring.pop_front();
    }
    ring.push_back(value);
}

/// Every fact in the order of its declaration, and its sentence.
const FACTS: [(Fact, &str); 5] = [
    (Fact::UdpBlocked, "UDP does not get through: TCP is used."),
    (Fact::UdpLossy, "It loses too many packets over UDP: TCP is used."),
    (Fact::SessionLimit, "It refuses a further session while one is open or not yet forgotten."),
    (Fact::KeepAliveUnanswered, "It does not answer keep-alives as it should."),
    (Fact::NewSessionEndsOld, "A new session ends the one before."),
];

/// Reboots and other samples that are kept.
const SAMPLES: usize = 8;

/// The RTSP server alone is started again faster than that, no camera is.
const SHORTEST_REBOOT: Duration = Duration::from_secs(3);

/// A longer absence was somebody's doing: it says nothing of the next reboot.
const LONGEST_REBOOT: Duration = Duration::from_secs(600);

/// More attempts in a row that time out are an outage, not loss.
const A_FEW: u32 = 3;

/// How long a timeout that was overcome speaks for loss.
const LOSSY_WITHIN: Duration = Duration::from_secs(1800);
