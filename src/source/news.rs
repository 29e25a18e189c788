//! What of a source's life is worth a line in the log: one line for each change of state and a reminder every hour, and
//! never more than 20 lines in an hour (and as many once more in the first one), however often a camera comes and
//! goes.

use std::time::{Duration, Instant};

use super::error::{Error, Step};
use crate::vocabulary::FailureClass;

/// Decides which changes are logged.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// What was said last: how it fails, or `None` that it is live.
    said: Option<Option<(FailureClass, Option<Step>)>>,
    reminded: Option<Instant>,
    /// Lines that may still be written, and when they were counted.
    budget: f64,
    counted: Option<Instant>,
    left_out: u32,
}

impl Default for News {
    fn default() -> Self {
        Self { said: None, reminded: None, budget: LINES, counted: None, left_out: 0 }
    }
}

impl News {
    /// The source has failed. `Some` when that is to be said, with how many changes were not said before it.
    pub(super) fn failed(&mut self, error: &Error, now: Instant) -> Option<u32> {
        self.tell(Some((error.class, error.step)), now)
    }

    /// The source delivers.
    pub(super) fn live(&mut self, now: Instant) -> Option<u32> {
        self.tell(None, now)
    }

    fn tell(&mut self, state: Option<(FailureClass, Option<Step>)>, now: Instant) -> Option<u32> {
        if let Some(counted) = self.counted.replace(now) {
            let hours = now.saturating_duration_since(counted).as_secs_f64() / HOUR.as_secs_f64();
            self.budget = (self.budget + hours * LINES).min(LINES);
        }
        let reminder =
            state.is_some() && self.reminded.is_some_and(|at| now.saturating_duration_since(at) >= HOUR);
        if self.said == Some(state) && !reminder {
            return None;
        }
        if self.budget < 1.0 {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.budget -= 1.0;
        self.said = Some(state);
        self.reminded = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Lines in an hour. A camera that goes and comes back says two.
const LINES: f64 = 20.0;

const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: FailureClass) -> Error {
        Error::new(class, "x")
    }

    #[test]
    fn a_camera_that_stays_away_is_mentioned_once_an_hour() {
        let (mut news, start) = (News::default(), Instant::now());
        let away = error(FailureClass::Unreachable);
        let lines = (0..8000).filter(|i| news.failed(&away, start + Duration::from_secs(5) * *i).is_some());
        assert_eq!(lines.count(), 12); // 11 hours and a bit
    }

    #[test]
    fn a_camera_that_comes_and_goes_fills_no_log() {
        let (mut news, start) = (News::default(), Instant::now());
        let (reset, mut lines, mut left_out) = (error(FailureClass::Reset), 0, 0);
        for i in 0..5 * 1800 {
            let now = start + Duration::from_secs(2) * i;
            let said = if i % 2 == 0 { news.live(now) } else { news.failed(&reset, now) };
            lines += u32::from(said.is_some());
            left_out += said.unwrap_or_default();
        }
        assert!((100..=120).contains(&lines), "{lines} lines in five hours");
        assert!(left_out > 1000, "and how many there were is said");
    }

    #[test]
    fn every_change_is_said() {
        let (mut news, now) = (News::default(), Instant::now());
        assert!(news.live(now).is_some() && news.live(now).is_none());
        assert!(news.failed(&error(FailureClass::Reset), now).is_some());
        assert!(news.failed(&error(FailureClass::Refused), now).is_some());
        assert!(news.failed(&error(FailureClass::Refused), now).is_none());
        assert!(news.live(now).is_some());
    }
}
