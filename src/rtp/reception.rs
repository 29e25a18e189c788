//! How well a source delivers: jitter, frame rate, and what a receiver report says of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::ntp::NtpTime;
use super::rtcp::ReportBlock;

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

/// What a receiver counts for its reports (RFC 3550 section 6.4.1 and appendix A.3). Times count from any origin.
#[derive(Clone, Debug)]
pub struct Reception {
    ssrc: u32,
    clock_rate: u32,
    first: u32,
    highest: u32,
    received: u32,
    /// Expected and received at the last report.
    before: (u32, u32),
    jitter: Jitter,
    sender_report: Option<(NtpTime, Duration)>,
}

impl Reception {
    /// Begins with the first packet of a source.
    pub fn new(ssrc: u32, clock_rate: u32, sequence: u16) -> Self {
        let first = u32::from(sequence);
        Self {
            ssrc,
            clock_rate,
            first,
            highest: first,
            received: 0,
            before: (0, 0),
            jitter: Jitter::default(),
            sender_report: None,
        }
    }

    /// Whose packets these are.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// A packet arrived; the one given to [`Self::new`] as well.
    pub fn arrived(&mut self, sequence: u16, timestamp: u32, arrival: Duration) {
        self.received = self.received.wrapping_add(1);
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < 0x8000 {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        }
        let media = f64::from(timestamp) / f64::from(self.clock_rate.max(1));
        self.jitter.arrived(media, arrival.as_secs_f64());
    }

    /// A sender report of the source came.
    pub fn sender_report(&mut self, ntp: NtpTime, arrival: Duration) {
        self.sender_report = Some((ntp, arrival));
    }

    /// What to report, and the beginning of the next interval.
    pub fn report(&mut self, now: Duration) -> ReportBlock {
        let expected = self.highest.wrapping_sub(self.first).wrapping_add(1);
        let lost = i64::from(expected) - i64::from(self.received);
        let interval = expected.wrapping_sub(self.before.0);
        let missed = i64::from(interval) - i64::from(self.received.wrapping_sub(self.before.1));
        self.before = (expected, self.received);
        let fraction_lost = match missed {
            missed if missed > 0 && interval > 0 => (missed * 256 / i64::from(interval)).min(255) as u8,
            _ => 0,
        };
        let (last_report, delay) = match self.sender_report {
            Some((ntp, at)) => (ntp.middle(), now.saturating_sub(at).as_secs_f64() * 65_536.0),
            None => (0, 0.0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            lost: lost.clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_sequence: self.highest,
            jitter: (self.jitter.seconds() * f64::from(self.clock_rate)) as u32,
            last_report,
            delay_since_last_report: delay as u32,
        }
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
    fn a_receiver_report_tells_the_loss_of_its_interval_and_of_all() {
        let second = Duration::from_secs(1);
        let mut reception = Reception::new(7, 90_000, 65_534);
        for sequence in [65_534, 65_535, 1, 3] {
            reception.arrived(sequence, 0, Duration::ZERO);
        }
        let first = reception.report(second);
        assert_eq!((first.lost, first.fraction_lost, first.highest_sequence), (2, 85, 65_536 + 3));
        assert_eq!((first.last_report, first.delay_since_last_report), (0, 0));
        reception.arrived(4, 0, Duration::ZERO);
        reception.sender_report(NtpTime(0x1111_2222_3333_4444), second);
        let next = reception.report(second * 2);
        assert_eq!((next.lost, next.fraction_lost), (2, 0));
        assert_eq!((next.last_report, next.delay_since_last_report), (0x2222_3333, 65_536));
        assert_eq!(reception.report(second).fraction_lost, 0, "nothing new is no loss");
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
