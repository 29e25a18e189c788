//! How long the first packets of a frame wait for the last ones.
//!
//! Cameras that spread a frame's packets over its interval make a burst, and a write to each viewer, of every packet. A
//! player shows nothing before a frame's last packet, so holding the earlier ones back costs it nothing but the time that
//! they take on the line. With few viewers nothing is held. With more, each viewer is written to less often, so that all of
//! them together get at most [`WRITES_PER_SECOND`] writes of parts of frames; but no packet waits longer than half a frame
//! interval, nor than the configured time. The last packet of a frame takes everything with it at once.
//!
//! Whether pictures take their time is known here as well: their viewers are placed on more workers then (`workers`).
//!
//! Measured with `cargo bench --bench fanout -- --viewers 100 --paced 0.8` (12 packets over 0.8 of 33 ms, TCP, two cores):
//! see `README.md`, "Measure it".

use std::time::Duration;

use crate::config::MAX_COALESCE;

/// The waiting rule of one source.
#[derive(Debug, Default)]
pub(super) struct Coalescing {
    /// The configured bound.
    limit: Duration,
    /// The smoothed time from frame to frame of its pictures, once there are two.
    interval: Option<Duration>,
    last_frame: Option<Duration>,
    /// When the first packet came of the frame that has not ended.
    began: Option<Duration>,
    /// Frames take their time to arrive.
    spread: bool,
    /// So many in a row were otherwise.
    otherwise: u32,
}

impl Coalescing {
    /// No packet waits longer than `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit: limit.min(MAX_COALESCE), ..Self::default() }
    }

    /// A frame of pictures began to arrive.
    pub(super) fn frame(&mut self, arrival: Duration) {
        self.began = Some(arrival);
        let Some(last) = self.last_frame.replace(arrival) else { return };
        let step = arrival.saturating_sub(last);
        // A pause is no rhythm.
        if step < LONGEST_INTERVAL {
            self.interval = Some(self.interval.map_or(step, |smooth| smooth - smooth / 8 + step / 8));
        }
    }

    /// A frame of pictures has arrived as a whole.
    pub(super) fn ended(&mut self, arrival: Duration) {
        let Some(began) = self.began.take() else { return };
        if (arrival.saturating_sub(began) >= SPREAD) == self.spread {
            self.otherwise = 0;
            return;
        }
        self.otherwise += 1;
        if self.otherwise == SURE {
            (self.spread, self.otherwise) = (!self.spread, 0);
        }
    }

    /// The source is gone; of another it is not known.
    pub(super) fn forget(&mut self) {
        (self.began, self.spread, self.otherwise) = (None, false, 0);
    }

    /// Whether frames take their time to arrive.
    pub(super) fn is_spread(&self) -> bool {
        self.spread
    }

    /// How long the first packet of an unfinished frame may wait when this many watch; zero where it should not.
    pub(super) fn hold(&self, viewers: usize) -> Duration {
        let Some(interval) = self.interval else { return Duration::ZERO };
        let affordable = Duration::from_secs(viewers as u64) / WRITES_PER_SECOND;
        let hold = affordable.min(interval / 2).min(self.limit);
        if hold < TIMER { Duration::ZERO } else { hold }
    }
}

/// Writes of parts of frames that are not worth avoiding: 10 µs each, so a twentieth of a core.
const WRITES_PER_SECOND: u32 = 5000;

/// Timers are no finer than this.
const TIMER: Duration = Duration::from_millis(1);

/// What takes as long as this comes in many reads: because the camera paces its packets, or because the network takes as long.
const SPREAD: Duration = Duration::from_millis(5);

/// Frames in a row that were otherwise are no accident: one that was cut in two by a busy machine is.
const SURE: u32 = 3;

/// Frames further apart than this do not tell how far apart the next ones will be.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at_25_frames_a_second(limit: Duration) -> Coalescing {
        let mut coalescing = Coalescing::new(limit);
        for frame in 0..25 {
            coalescing.frame(Duration::from_millis(40) * frame);
        }
        coalescing
    }

    #[test]
    fn with_few_viewers_nothing_waits_and_with_more_it_waits_longer() {
        let coalescing = at_25_frames_a_second(MAX_COALESCE);
        assert_eq!(coalescing.hold(0), Duration::ZERO);
        assert_eq!(coalescing.hold(4), Duration::ZERO);
        assert_eq!(coalescing.hold(10), Duration::from_millis(2));
        assert_eq!(coalescing.hold(50), Duration::from_millis(10));
        assert_eq!(coalescing.hold(100), Duration::from_millis(20));
        assert_eq!(coalescing.hold(10_000), Duration::from_millis(20), "half an interval");
    }

    #[test]
    fn nothing_waits_longer_than_half_an_interval_or_than_is_configured() {
        assert_eq!(at_25_frames_a_second(Duration::from_millis(5)).hold(1000), Duration::from_millis(5));
        assert_eq!(at_25_frames_a_second(Duration::ZERO).hold(1000), Duration::ZERO);
        let mut fast = Coalescing::new(Duration::from_secs(1));
        for frame in 0..60 {
            fast.frame(Duration::from_millis(16) * frame);
        }
        assert_eq!(fast.hold(1000), Duration::from_millis(8));
        let mut slow = Coalescing::new(Duration::from_secs(1));
        for frame in 0..10 {
            slow.frame(Duration::from_millis(200) * frame);
        }
        assert_eq!(slow.hold(1000), MAX_COALESCE);
    }

    #[test]
    fn before_the_rhythm_is_known_and_across_a_pause_nothing_is_made_up() {
        let mut coalescing = Coalescing::new(MAX_COALESCE);
        coalescing.frame(Duration::ZERO);
        assert_eq!(coalescing.hold(1000), Duration::ZERO);
        coalescing.frame(Duration::from_secs(60));
        assert_eq!(coalescing.hold(1000), Duration::ZERO);
        coalescing.frame(Duration::from_millis(60_030));
        assert_eq!(coalescing.hold(1000), Duration::from_millis(15));
    }
}
