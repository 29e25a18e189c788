//! So many a second, and not many more at once.

use std::time::{Duration, Instant};

/// Spaces out what is asked for: the time at which the next is due, had all come evenly (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    due: Option<Instant>,
}

impl Pace {
    /// Whether one more is within `burst` at once and `rate` a second from there on. What is not is not counted.
    pub(super) fn is_within(&mut self, now: Instant, rate: u32, burst: u32) -> bool {
        let step = Duration::from_secs(1) / rate.max(1);
        let due = self.due.unwrap_or(now).max(now) + step;
        let within = due <= now + step * burst;
        if within {
            self.due = Some(due);
        }
        within
    }

    /// Counts one more and says how long it has to wait, for `rate` a second; what a tenth of a second brings may come at once.
    pub(super) fn wait(&mut self, now: Instant, rate: u32) -> Duration {
        let step = Duration::from_secs(1) / rate.max(1);
        let due = self.due.unwrap_or(now).max(now) + step;
        self.due = Some(due);
        due.saturating_duration_since(now + AT_ONCE.max(step))
    }
}

const AT_ONCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_comes_back_with_time() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!((0..10).filter(|_| pace.is_within(now, 2, 4)).count(), 4);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..10).filter(|_| pace.is_within(later, 2, 4)).count(), 2);
    }

    #[test]
    fn what_comes_too_fast_waits_its_turn() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<u128> = (0..14).map(|_| pace.wait(now, 100).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 30, 40]);
    }
}
