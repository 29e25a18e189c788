//! Wall-clock time as RTCP carries it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point of wall-clock time: nanoseconds since 1970. Signed and wide enough for cameras that believe in 1900.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub i64);

impl WallTime {
    /// `self` plus `elapsed`.
    pub fn after(self, elapsed: Duration) -> Self {
        Self(self.0.saturating_add(nanos(elapsed)))
    }

    /// `self` moved by a signed number of nanoseconds.
    pub fn shifted(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to `self`, negative where it is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds since 1970.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl From<SystemTime> for WallTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(nanos(since)),
            Err(before) => Self(-nanos(before.duration())),
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The 64-bit fixed-point time of RTCP: seconds since 1900 in the high half, fraction in the low half
/// ([RFC 3550 section 4](https://datatracker.ietf.org/doc/html/rfc3550#section-4)). It wraps in 2036.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as receiver reports quote a sender report (LSR, RFC 3550 section 6.4.1).
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

impl From<WallTime> for NtpTime {
    fn from(time: WallTime) -> Self {
        let seconds = time.0.div_euclid(1_000_000_000) + UNIX_IN_NTP;
        let fraction = (time.0.rem_euclid(1_000_000_000).unsigned_abs() << 32) / 1_000_000_000;
        Self(seconds.cast_unsigned() << 32 | fraction)
    }
}

impl From<NtpTime> for WallTime {
    /// Times before 1968 belong to the era that begins in 2036
    /// ([RFC 4330 section 3](https://datatracker.ietf.org/doc/html/rfc4330#section-3)) when the highest bit is clear.
    /// A camera whose clock was never set sends small numbers as well; it is wrong either way.
    fn from(time: NtpTime) -> Self {
        let mut seconds = (time.0 >> 32).cast_signed() - UNIX_IN_NTP;
        if time.0 >> 63 == 0 {
            seconds += 1 << 32;
        }
        let fraction = ((time.0 & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(fraction.cast_signed()))
    }
}

/// Seconds from 1900 to 1970.
const UNIX_IN_NTP: i64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_unix_epoch_is_known_in_ntp() {
        assert_eq!(NtpTime::from(WallTime(0)).0, 0x83AA_7E80_0000_0000);
    }

    #[test]
    fn the_era_that_begins_in_2036_is_understood() {
        let in_2040 = WallTime(2_209_000_000 * 1_000_000_000);
        assert_eq!(WallTime::from(NtpTime::from(in_2040)), in_2040);
    }

    proptest! {
        #[test]
        fn a_time_survives_the_round_trip_to_a_nanosecond(seconds in 0i64..4_000_000_000, nanos in 0i64..1_000_000_000) {
            let time = WallTime(seconds * 1_000_000_000 + nanos);
            let back = WallTime::from(NtpTime::from(time));
            prop_assert!(time.since(back).abs() <= 1);
        }
    }
}
