//! How well a source delivers: jitter and frame rate.

use std::collections::VecDeque;
use std::time::Duration;

/// Interarrival jitter ([RFC 3550 section 6.4.1 and appendix A.8](https://datatracker.ietf.org/doc/html/rfc3550#appendix-A.8)).
#[derive(Clone, Debug, Default)]
pub struct Jitter {
    /// Arrival time minus media time of the packet before, in seconds.
    transit: Option<f64>,
    seconds: f64,
}

impl Jitter {
    /// A packet whose media time is `media` arrived at `arrival`; both in seconds, from any origin.
    pub fn arrived(&mut self, media: f64, arrival: f64) {
        let transit = arrival - media;
        if let Some(before) = self.transit.replace(transit) {
            self.seconds += ((transit - before).abs() - self.seconds) / 16.0;
        }
    }

    /// What came before does not compare with what comes: a new epoch.
    pub fn restart(&mut self) {
        self.transit = None;
    }

    /// The jitter in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}

/// Frames a second over the last few seconds.
#[derive(Clone, Debug, Default)]
pub struct FrameRate {
    arrivals: VecDeque<Duration>,
}

impl FrameRate {
    /// A frame arrived; times count from any origin and do not go back.
    pub fn arrived(&mut self, arrival: Duration) {
        self.arrivals.push_back(arrival);
        let oldest = arrival.saturating_sub(WINDOW);
        while self.arrivals.len() > MAX_FRAMES || self.arrivals.front().is_some_and(|&first| first < oldest) {
            self.arrivals.pop_front();
        }
    }

    /// Frames a second as of `now`: 0 when the last frame is older than twice the usual interval and at least a
    /// second.
    pub fn per_second(&self, now: Duration) -> f64 {
        let (Some(&first), Some(&last)) = (self.arrivals.front(), self.arrivals.back()) else { return 0.0 };
        let intervals = self.arrivals.len() - 1;
        let span = last.saturating_sub(first).as_secs_f64();
        if intervals == 0 || span <= 0.0 {
            return 0.0;
        }
        let usual = span / intervals as f64;
        let quiet = now.saturating_sub(last).as_secs_f64();
        if quiet > (2.0 * usual).max(1.0) { 0.0 } else { intervals as f64 / span }
    }
}

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(4);

/// Bounds the memory a sender with an absurd rate can claim.
const MAX_FRAMES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_sender_has_no_jitter() {
        let mut jitter = Jitter::default();
        for i in 0..100 {
            jitter.arrived(f64::from(i) * 0.04, 5.0 + f64::from(i) * 0.04);
        }
        assert!(jitter.seconds() < 1e-9);
    }

    #[test]
    fn packets_ten_milliseconds_early_and_late_in_turn_come_to_their_distance() {
        let mut jitter = Jitter::default();
        for i in 0..1000 {
            jitter.arrived(f64::from(i) * 0.04, f64::from(i) * 0.04 + if i % 2 == 0 { 0.0 } else { 0.01 });
        }
        assert!((jitter.seconds() - 0.01).abs() < 1e-4);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds_and_falls_to_zero_when_frames_stop() {
        let mut rate = FrameRate::default();
        for i in 0..100u64 {
            rate.arrived(Duration::from_millis(i * 100));
        }
        for i in 0..200u64 {
            rate.arrived(Duration::from_millis(10_000 + i * 40));
        }
        let last = Duration::from_millis(10_000 + 199 * 40);
        assert!((rate.per_second(last) - 25.0).abs() < 0.1);
        assert_eq!(rate.per_second(last + Duration::from_secs(2)), 0.0);
    }
}
