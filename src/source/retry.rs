//! When to try again.

use std::time::Duration;

/// Waits that double from `min` to `max` with every failure in a row, each drawn from the upper half of its span so
/// that cameras behind one switch do not come back in step.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits between `min` and `max`; a `max` below `min` counts as `min`.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), failures: 0 }
    }

    /// The source delivered: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure; `random` is drawn from 0 to 1.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let doubled = self.min.saturating_mul(1 << self.failures.min(30));
        self.failures = self.failures.saturating_add(1);
        let span = doubled.min(self.max);
        self.min.max(span.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_starts_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let waits: Vec<_> = (0..8).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn a_wait_is_always_between_its_bounds(min in 1u64..10_000, max in 1u64..100_000, tries in 0usize..100, random in 0.0f64..1.0) {
            let mut backoff = Backoff::new(Duration::from_millis(min), Duration::from_millis(max));
            for _ in 0..tries {
                let wait = backoff.next(random);
                prop_assert!(wait >= Duration::from_millis(min));
                prop_assert!(wait <= Duration::from_millis(max.max(min)));
            }
        }
    }
}
