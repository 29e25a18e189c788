//! Which of several sources is next: the first in order of preference that works, and back to a better one when that
//! has worked again for a while.

use std::time::{Duration, Instant};

/// When to go back to a preferred source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailBack {
    /// For how long it must have been reachable. Doubled every time it fails soon after the way back, up to 10 min.
    pub reachable_for: Duration,
    /// How many probes in a row must have found it well.
    pub good_probes: u32,
    /// Time between two probes.
    pub probe_every: Duration,
}

impl Default for FailBack {
    fn default() -> Self {
        Self { reachable_for: Duration::from_secs(30), good_probes: 3, probe_every: Duration::from_secs(10) }
    }
}

/// The source to try next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its place in the list.
    pub source: usize,
    /// How long its last failure still asks to wait.
    pub wait: Duration,
}

/// The health of a list of sources, the preferred one first, and the choice among them.
#[derive(Clone, Debug)]
pub struct Choice {
    settings: FailBack,
    sources: Vec<Health>,
    /// The one that delivered last.
    current: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Health {
    /// Given up since it last delivered.
    given_up: bool,
    not_before: Option<Instant>,
    delivered: Option<Instant>,
    probed: Option<Instant>,
    /// The first and the number of the good probes in a row.
    good: Option<(Instant, u32)>,
    /// How long it must be reachable before the way back.
    reachable_for: Duration,
    /// When it was gone back to.
    returned: Option<Instant>,
}

impl Choice {
    /// A choice among `count` sources; none counts as one.
    pub fn new(count: usize, settings: FailBack) -> Self {
        let fresh = Health {
            given_up: false,
            not_before: None,
            delivered: None,
            probed: None,
            good: None,
            reachable_for: settings.reachable_for,
            returned: None,
        };
        Self { settings, sources: vec![fresh; count.max(1)], current: None }
    }

    /// The source to try next: the most preferred that was not given up; when all were, the one whose wait is over
    /// first, and of several the one that delivered last.
    pub fn next(&self, now: Instant) -> Next {
        let wait = |health: &Health| {
            health.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
        };
        let hopeful = self.sources.iter().position(|health| !health.given_up);
        let source = hopeful.unwrap_or_else(|| {
            let quiet_for = |health: &Health| {
                health.delivered.map_or(Duration::MAX, |at| now.saturating_duration_since(at))
            };
            let by_wait = |i: &usize| (wait(&self.sources[*i]), quiet_for(&self.sources[*i]));
            (0..self.sources.len()).min_by_key(by_wait).unwrap_or(0)
        });
        Next { source, wait: wait(&self.sources[source]) }
    }

    /// The source to keep a second session on while another one delivers: the most preferred one but that.
    pub fn standby(&self, now: Instant) -> Option<usize> {
        let current = self.current?;
        let waits = |health: &Health| health.not_before.is_some_and(|at| at > now);
        (0..self.sources.len()).find(|source| *source != current && !waits(&self.sources[*source]))
    }

    /// A session, an attempt or a probe of the source failed. It is not tried before `retry_in` has passed; `give_up`
    /// passes its turn on to the others until it delivers again. A place that is not in the list is ignored.
    pub fn failed(&mut self, source: usize, now: Instant, retry_in: Duration, give_up: bool) {
        let Some(health) = self.sources.get_mut(source) else { return };
        health.given_up |= give_up;
        health.not_before = now.checked_add(retry_in);
        health.probed = Some(now);
        health.good = None;
        let soon = health.returned.take().is_some_and(|at| now.saturating_duration_since(at) < TRIAL);
        if soon {
            health.reachable_for =
                (health.reachable_for * 2).min(LONGEST_TRUST.max(self.settings.reachable_for));
        }
    }

    /// A session of the source delivers: viewers get its pictures from now on.
    pub fn delivered(&mut self, source: usize, now: Instant) {
        let better_than_before = self.current.is_some_and(|current| source < current);
        let Some(health) = self.sources.get_mut(source) else { return };
        if better_than_before {
            health.returned = Some(now);
        }
        if health.returned.is_some_and(|at| now.saturating_duration_since(at) >= LONGEST_TRUST) {
            health.reachable_for = self.settings.reachable_for;
        }
        health.given_up = false;
        health.not_before = None;
        health.delivered = Some(now);
        health.good = None;
        self.current = Some(source);
    }

    /// The preferred source that is to be probed now, while another one delivers.
    pub fn probe_due(&self, now: Instant) -> Option<usize> {
        let current = self.current?;
        let due = |health: &Health| {
            health.not_before.is_none_or(|at| at <= now)
                && health
                    .probed
                    .is_none_or(|at| now.saturating_duration_since(at) >= self.settings.probe_every)
        };
        self.sources.iter().take(current).position(due)
    }

    /// A probe found the source well. (One that did not is a failure.)
    pub fn probed(&mut self, source: usize, now: Instant) {
        let stale = self.stale_after();
        let Some(health) = self.sources.get_mut(source) else { return };
        let fresh = health.probed.is_some_and(|at| now.saturating_duration_since(at) <= stale);
        health.good = match health.good {
            Some((first, count)) if fresh => Some((first, count.saturating_add(1))),
            _ => Some((now, 1)),
        };
        health.probed = Some(now);
        health.not_before = None;
    }

    /// The preferred source to go back to, once it has been well for long enough; the switch itself is the caller's, at
    /// a key frame.
    pub fn should_fail_back(&self, now: Instant) -> Option<usize> {
        let current = self.current?;
        let stale = self.stale_after();
        let trusted = |health: &Health| {
            let fresh = health.probed.is_some_and(|at| now.saturating_duration_since(at) <= stale);
            health.good.is_some_and(|(first, count)| {
                fresh
                    && count >= self.settings.good_probes
                    && now.saturating_duration_since(first) >= health.reachable_for
            })
        };
        self.sources.iter().take(current).position(trusted)
    }

    /// A probe that is older says nothing of now.
    fn stale_after(&self) -> Duration {
        self.settings.probe_every * 3
    }
}

/// A source that fails within this time after it was gone back to was not well.
const TRIAL: Duration = Duration::from_secs(120);

/// The longest time a source that disappointed must be reachable; one that delivers for as long is trusted anew.
const LONGEST_TRUST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn next(choice: &Choice, now: Instant) -> (usize, u64) {
        let next = choice.next(now);
        (next.source, next.wait.as_secs())
    }

    #[test]
    fn the_first_source_that_was_not_given_up_is_next() {
        let now = Instant::now();
        let mut choice = Choice::new(3, FailBack::default());
        assert_eq!(next(&choice, now), (0, 0));
        choice.failed(0, now, s(5), false);
        assert_eq!(next(&choice, now), (0, 5), "its reset costs a source nothing");
        choice.failed(0, now, s(5), true);
        assert_eq!(next(&choice, now), (1, 0));
        choice.delivered(1, now);
        assert_eq!(next(&choice, now + s(60)), (1, 0), "the way back is not a matter of the next failure");
    }

    #[test]
    fn when_all_have_failed_the_one_whose_wait_ends_first_is_next() {
        let now = Instant::now();
        let mut choice = Choice::new(3, FailBack::default());
        choice.failed(0, now, s(60), true); // a wrong password: its breaker is respected
        choice.failed(1, now, s(2), true);
        choice.failed(2, now, s(4), true);
        assert_eq!(next(&choice, now), (1, 2));
        choice.failed(1, now + s(2), s(8), true);
        assert_eq!(next(&choice, now + s(2)), (2, 2));
        choice.delivered(2, now);
        choice.failed(2, now + s(20), s(0), true);
        assert_eq!(
            next(&choice, now + s(20)),
            (2, 0),
            "of those that may be tried, the one that worked last"
        );
    }

    #[test]
    fn a_single_source_is_always_next() {
        let now = Instant::now();
        let mut choice = Choice::new(0, FailBack::default());
        choice.failed(0, now, s(3), true);
        choice.failed(7, now, s(3), true);
        choice.delivered(7, now);
        assert_eq!(next(&choice, now), (0, 3));
        choice.delivered(0, now);
        assert_eq!((choice.probe_due(now + s(100)), choice.should_fail_back(now + s(100))), (None, None));
    }

    /// Probes the first of two sources from `from` to the first way back or `until`, in seconds; returns when that was.
    fn way_back(choice: &mut Choice, start: Instant, from: u64, until: u64) -> Option<u64> {
        (from..until).find(|at| {
            let now = start + s(*at);
            if choice.probe_due(now) == Some(0) {
                choice.probed(0, now);
            }
            choice.should_fail_back(now) == Some(0)
        })
    }

    #[test]
    fn the_way_back_takes_thirty_good_seconds_and_longer_after_a_disappointment() {
        let start = Instant::now();
        let mut choice = Choice::new(2, FailBack::default());
        choice.failed(0, start, s(5), true);
        choice.delivered(1, start);
        // The first probe is due 10 s after the failure.
        assert_eq!(way_back(&mut choice, start, 0, 100), Some(40));
        choice.delivered(0, start + s(40));
        choice.failed(0, start + s(50), s(0), true);
        choice.delivered(1, start + s(51));
        assert_eq!(way_back(&mut choice, start, 51, 300), Some(120), "60 s this time");
    }

    #[test]
    fn a_bad_probe_starts_the_count_anew() {
        let start = Instant::now();
        let mut choice = Choice::new(2, FailBack::default());
        choice.failed(0, start, s(5), true);
        choice.delivered(1, start);
        for at in [10, 20, 30] {
            choice.probed(0, start + s(at));
        }
        choice.failed(0, start + s(39), s(5), true);
        assert_eq!(choice.should_fail_back(start + s(40)), None);
        assert_eq!(way_back(&mut choice, start, 40, 200), Some(79));
    }

    #[test]
    fn an_old_probe_says_nothing_of_now() {
        let start = Instant::now();
        let mut choice = Choice::new(2, FailBack::default());
        choice.delivered(1, start);
        for at in [0, 10, 20, 30] {
            choice.probed(0, start + s(at));
        }
        assert_eq!(choice.should_fail_back(start + s(30)), Some(0));
        assert_eq!(choice.should_fail_back(start + s(61)), None);
    }

    proptest! {
        /// The preferred source works for `up` seconds out of `period`: viewers must not be switched to and fro.
        #[test]
        fn a_source_that_comes_and_goes_is_gone_back_to_ever_more_rarely(up in 1u64..100, down in 1u64..60) {
            let start = Instant::now();
            let mut choice = Choice::new(2, FailBack::default());
            choice.failed(0, start, s(1), true);
            choice.delivered(1, start);
            let (mut on_first, mut switches) = (false, 0);
            for at in 1..3600 {
                let now = start + s(at);
                let well = at % (up + down) < up;
                if on_first && !well {
                    choice.failed(0, now, s(1), true);
                    choice.delivered(1, now);
                    on_first = false;
                } else if !on_first {
                    if choice.probe_due(now) == Some(0) {
                        if well { choice.probed(0, now) } else { choice.failed(0, now, s(1), true) }
                    }
                    if choice.should_fail_back(now) == Some(0) && well {
                        choice.delivered(0, now);
                        on_first = true;
                        switches += 1;
                    }
                }
            }
            // After 30 s, 60 s, and so on up to 10 min each: probes 10 s apart overlook short outages, so that a source
            // which is never up for so long passes for one that is.
            prop_assert!(switches <= 10, "{switches} times an hour");
        }
    }
}
