//! Spreads connection attempts: two hundred cameras after a power cut are not to be connected to in one instant, nor
//! the sixteen channels of one recorder.
//!
//! Attempts are counted in slots of 10 ms. A slot that is full passes an attempt on to the next one that has room, so
//! that a lone camera never waits, and a recorder's queue of channels holds up nobody else.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::words::between;

/// How far attempts are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    /// Between two attempts at one host; a fifth more by chance.
    pub per_host: Duration,
    /// Attempts in 10 ms, over all hosts; at least one.
    pub per_slot: u32,
}

impl Default for Spacing {
    fn default() -> Self {
        // 500 attempts a second: two hundred cameras within half a second, at a few per cent of a core.
        Self { per_host: Duration::from_millis(100), per_slot: 5 }
    }
}

/// Says of every attempt how long it has to wait. A plain value: whoever shares it puts it behind a lock.
#[derive(Debug)]
pub struct Governor {
    spacing: Spacing,
    origin: Instant,
    /// Attempts by slot, from the slot of now on.
    slots: BTreeMap<u64, u32>,
    /// The last attempt at each host, which may lie ahead; since `origin`.
    hosts: HashMap<String, Duration>,
}

impl Governor {
    /// A governor that has seen no attempt yet.
    pub fn new(spacing: Spacing, now: Instant) -> Self {
        let per_slot = spacing.per_slot.max(1);
        Self {
            spacing: Spacing { per_slot, ..spacing },
            origin: now,
            slots: BTreeMap::new(),
            hosts: HashMap::new(),
        }
    }

    /// How long an attempt at `host` has to wait, 15 s at most; its place is taken with this call. `random` is drawn
    /// from 0 to 1.
    pub fn admit(&mut self, host: &str, now: Instant, random: f64) -> Duration {
        let now = now.saturating_duration_since(self.origin);
        let host = host.to_ascii_lowercase(); // RFC 4343: the case of a name does not matter
        let apart = between(self.spacing.per_host, self.spacing.per_host.mul_f64(1.2), random);
        let wanted = self.hosts.get(&host).map_or(now, |last| last.saturating_add(apart).max(now));

        self.slots = self.slots.split_off(&slot(now));
        let latest = now + LONGEST_WAIT;
        let start = match self.free_slot(slot(wanted), slot(latest)) {
            Some(free) if free == slot(wanted) => wanted,
            // Somewhere in the slot: its attempts are not to leave within one microsecond.
            Some(free) => (begin(free) + SLOT.mul_f64(random.clamp(0.0, 1.0) * 0.999)).min(latest),
            // More attempts than there is room for: late is better than never.
            None => latest,
        };
        *self.slots.entry(slot(start)).or_default() += 1;
        if self.hosts.len() == HOSTS && !self.hosts.contains_key(&host) {
            self.forget_oldest();
        }
        self.hosts.insert(host, start);
        start - now
    }

    fn free_slot(&self, first: u64, last: u64) -> Option<u64> {
        let mut free = first;
        for (&slot, &taken) in self.slots.range(first..) {
            if slot > free || taken < self.spacing.per_slot {
                break;
            }
            free = slot + 1;
        }
        (free <= last).then_some(free)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.hosts.iter().min_by_key(|(_, last)| **last).map(|(host, _)| host.clone());
        if let Some(oldest) = oldest {
            self.hosts.remove(&oldest);
        }
    }
}

fn slot(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / SLOT.as_millis()).unwrap_or(u64::MAX)
}

fn begin(slot: u64) -> Duration {
    Duration::from_millis(slot.saturating_mul(10))
}

/// The grain of the spreading. A window of the same length touches two slots, and so holds twice `per_slot` at most.
const SLOT: Duration = Duration::from_millis(10);

/// A recorder with 128 channels is through by then. It also bounds the slots that are kept.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Hosts that are remembered. Of the thousands of streams of a large site, this many hosts within the last second.
const HOSTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn most_in_10_ms(mut starts: Vec<Duration>) -> usize {
        starts.sort_unstable();
        (0..starts.len()).map(|i| starts[i..].partition_point(|t| *t < starts[i] + ms(10))).max().unwrap_or(0)
    }

    #[test]
    fn a_lone_attempt_does_not_wait() {
        let now = Instant::now();
        let mut governor = Governor::new(Spacing::default(), now);
        assert_eq!(governor.admit("10.0.0.7", now, 0.9), Duration::ZERO);
        assert_eq!(governor.admit("10.0.0.7", now + ms(200), 0.9), Duration::ZERO);
    }

    #[test]
    fn two_attempts_at_one_host_keep_apart_whatever_its_spelling() {
        let now = Instant::now();
        let mut governor = Governor::new(Spacing::default(), now);
        assert_eq!(governor.admit("nvr.local", now, 0.0), Duration::ZERO);
        assert_eq!(governor.admit("NVR.local", now, 0.0), ms(100));
        assert_eq!(governor.admit("nvr.local", now + ms(50), 0.5), ms(160));
    }

    #[test]
    fn the_channels_of_a_recorder_hold_up_no_other_host() {
        let now = Instant::now();
        let mut governor = Governor::new(Spacing::default(), now);
        for _ in 0..64 {
            governor.admit("nvr", now, 0.5);
        }
        assert_eq!(governor.admit("door", now, 0.5), Duration::ZERO);
    }

    #[test]
    fn a_wait_is_bounded_even_when_there_is_no_room() {
        let now = Instant::now();
        let mut governor = Governor::new(Spacing::default(), now);
        for i in 0..20_000 {
            let host = format!("camera{}", i % 3000);
            assert!(governor.admit(&host, now, 0.5) <= ms(15_000));
        }
        assert!(governor.slots.len() <= 1501, "{}", governor.slots.len());
        assert_eq!(governor.hosts.len(), 1024);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn two_hundred_cameras_after_a_power_cut_come_spread_and_soon(
            randoms in prop::collection::vec(0.0f64..=1.0, 200),
            hosts in 1usize..=200,
            offset in 0u64..10_000,
        ) {
            let origin = Instant::now();
            let now = origin + Duration::from_micros(offset);
            let mut governor = Governor::new(Spacing::default(), origin);
            // A recorder has 16 channels at most in this test.
            let hosts = hosts.max(13);
            let starts: Vec<_> =
                randoms.iter().enumerate().map(|(i, random)| governor.admit(&format!("h{}", i % hosts), now, *random)).collect();
            prop_assert!(most_in_10_ms(starts.clone()) <= 20);
            prop_assert!(starts.iter().all(|start| *start < ms(5000)), "{:?}", starts.iter().max());
            for host in 0..hosts {
                let of_host: Vec<_> = starts.iter().skip(host).step_by(hosts).collect();
                prop_assert!(of_host.windows(2).all(|pair| *pair[1] >= *pair[0] + ms(100)));
            }
        }

        #[test]
        fn attempts_at_any_time_never_crowd(
            attempts in prop::collection::vec((0u64..30, 0usize..50, 0.0f64..=1.0), 1..400),
        ) {
            let origin = Instant::now();
            let mut governor = Governor::new(Spacing::default(), origin);
            let (mut at, mut starts) = (Duration::ZERO, Vec::new());
            for (pause, host, random) in attempts {
                at += ms(if pause < 25 { 0 } else { pause });
                starts.push(at + governor.admit(&host.to_string(), origin + at, random));
            }
            prop_assert!(most_in_10_ms(starts) <= 20);
        }
    }
}
