//! Waits by a rule that the user chose: the same for every failure, whatever its class.

use std::fmt;
use std::time::{Duration, Instant};

use super::words::{between, spoken};

/// How the wait grows with the failures in a row.
///
/// Every wait but the first of [`Strategy::Immediate`] is drawn from a range, so that cameras which failed together do
/// not come back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// At once; from the second failure in a row on after 10 to 50 ms, since a busy loop brings nothing back.
    Immediate,
    /// Always the same, 10 % more or less.
    Fixed {
        /// The wait.
        delay: Duration,
    },
    /// One step longer with every failure, 10 % more or less.
    Linear {
        /// The first wait, and how much longer the next one is.
        step: Duration,
        /// No wait is longer.
        max: Duration,
    },
    /// Full jitter: anything from `min` to a span that doubles with every failure, from `2 * min` up to `max`.
    Exponential {
        /// No wait is shorter.
        min: Duration,
        /// No wait is longer; a `max` below `min` counts as `min`.
        max: Duration,
    },
}

impl Strategy {
    /// How long to wait after the given number of failures in a row, the latest included; `random` is drawn from 0
    /// to 1.
    pub fn delay(&self, failures_in_a_row: u32, random: f64) -> Duration {
        let failures = failures_in_a_row.max(1);
        match *self {
            Self::Immediate if failures == 1 => Duration::ZERO,
            Self::Immediate => between(BUSY.0, BUSY.1, random),
            Self::Fixed { delay } => about(delay, Duration::MAX, random),
            Self::Linear { step, max } => about(step.saturating_mul(failures).min(max), max, random),
            Self::Exponential { min, max } => {
                let span = min.saturating_mul(1 << failures.min(30));
                between(min, span.min(max), random)
            }
        }
    }

    /// The name used in the configuration, the API and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Fixed { .. } => "fixed",
            Self::Linear { .. } => "linear",
            Self::Exponential { .. } => "exponential",
        }
    }
}

/// The rule in words.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Immediate => write!(f, "Immediate: every new try follows at once."),
            Self::Fixed { delay } => write!(f, "Fixed: a new try every {}.", spoken(delay)),
            Self::Linear { step, max } => {
                write!(f, "Linear: every wait is {} longer, up to {}.", spoken(step), spoken(max))
            }
            Self::Exponential { min, max } => {
                write!(f, "Exponential: waits double from {} up to {}.", spoken(min), spoken(max))
            }
        }
    }
}

/// Failures in a row. A session that delivered ends the row only when it was stable: a camera that dies a second after
/// every connect would otherwise be tried without any wait, for ever.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    failures: u32,
    stable_after: Duration,
}

impl Streak {
    /// A row that ends with a session that delivered for at least `stable_after`.
    pub fn new(stable_after: Duration) -> Self {
        Self { failures: 0, stable_after }
    }

    /// One more failure; returns how many there are now.
    pub fn failed(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// A session delivered from `since` to `until`; returns whether that was long enough to start anew.
    pub fn delivered(&mut self, since: Instant, until: Instant) -> bool {
        let stable = until.saturating_duration_since(since) >= self.stable_after;
        if stable {
            self.failures = 0;
        }
        stable
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

impl Default for Streak {
    fn default() -> Self {
        Self::new(STABLE_AFTER)
    }
}

/// `wait`, 10 % more or less, but never more than `max`. The range is cut and not the result: of cameras at their
/// bound, half would wait exactly as long.
fn about(wait: Duration, max: Duration, random: f64) -> Duration {
    let spread = wait / 10;
    between(wait - spread, wait.saturating_add(spread).min(max), random)
}

/// A camera that gave pictures for this long works; one that fails sooner has the same trouble still.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(10);

/// The waits of a strategy without waits: at most 100 tries a second.
const BUSY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_strategy_grows_as_its_name_says() {
        let longest =
            |strategy: Strategy| (1..=5).map(|n| strategy.delay(n, 1.0).as_millis()).collect::<Vec<_>>();
        assert_eq!(longest(Strategy::Immediate), [0, 50, 50, 50, 50]);
        assert_eq!(longest(Strategy::Fixed { delay: ms(1000) }), [1100; 5]);
        assert_eq!(
            longest(Strategy::Linear { step: ms(1000), max: ms(3000) }),
            [1100, 2200, 3000, 3000, 3000]
        );
        assert_eq!(
            longest(Strategy::Exponential { min: ms(100), max: ms(1000) }),
            [200, 400, 800, 1000, 1000]
        );
    }

    #[test]
    fn only_a_stable_session_ends_a_row_of_failures() {
        let start = Instant::now();
        let mut streak = Streak::default();
        assert_eq!((streak.failed(), streak.failed()), (1, 2));
        assert!(!streak.delivered(start, start + ms(9999)));
        assert_eq!(streak.failures(), 2);
        assert!(streak.delivered(start, start + ms(10_000)));
        assert_eq!(streak.failed(), 1);
    }

    #[test]
    fn a_strategy_explains_itself() {
        let strategy = Strategy::Linear { step: ms(500), max: ms(15_000) };
        assert_eq!(strategy.to_string(), "Linear: every wait is 500 ms longer, up to 15 s.");
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bounds(min in 1u64..10_000, max in 1u64..100_000, failures in 0u32.., random in 0.0f64..=1.0) {
            let exponential = Strategy::Exponential { min: ms(min), max: ms(max) }.delay(failures, random);
            prop_assert!(exponential >= ms(min) && exponential <= ms(max.max(min)));
            let linear = Strategy::Linear { step: ms(min), max: ms(max) }.delay(failures, random);
            prop_assert!(linear >= ms(min.min(max)).mul_f64(0.9) - ms(1) && linear <= ms(max));
            let fixed = Strategy::Fixed { delay: ms(min) }.delay(failures, random);
            prop_assert!(fixed >= ms(min).mul_f64(0.9) - ms(1) && fixed <= ms(min).mul_f64(1.1) + ms(1));
            prop_assert!(Strategy::Immediate.delay(failures, random) <= ms(50));
        }

        #[test]
        fn a_wait_is_spread_so_that_cameras_do_not_come_back_in_step(min in 10u64..10_000, failures in 1u32..50) {
            let strategies = [
                Strategy::Fixed { delay: ms(min) },
                Strategy::Linear { step: ms(min), max: ms(15 * min) },
                Strategy::Exponential { min: ms(min), max: ms(15 * min) },
            ];
            for strategy in strategies {
                let (low, high) = (strategy.delay(failures, 0.0), strategy.delay(failures, 1.0));
                prop_assert!(high >= low.mul_f64(1.1), "{strategy:?}: {low:?} to {high:?}");
            }
        }
    }
}
