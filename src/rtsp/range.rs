//! The `Range` header (RFC 2326 sections 3.5 to 3.7 and 12.29).

use std::fmt;
use std::time::Duration;

/// What a PLAY asks for, or a server says it plays. Its `Display` is the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// Normal play time, from the stream's beginning.
    Npt {
        /// Where to begin; `None` if only the end is given.
        start: Option<NptTime>,
        /// Where to end; `None` for the end of the stream.
        end: Option<Duration>,
    },
    /// Absolute time, as written after `clock=`; a live stream has no use for it.
    Clock(String),
    /// SMPTE time codes with their unit, as written (`smpte=...`, `smpte-30-drop=...`).
    Smpte(String),
}

/// A point in normal play time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NptTime {
    /// The live edge.
    Now,
    /// So long after the beginning.
    At(Duration),
}

/// Why a range is unusable; answered with 457.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The unit is missing or none of npt, clock and smpte.
    #[error("unknown range unit")]
    Unit,
    /// It is not a range of times.
    #[error("malformed range")]
    Malformed,
    /// A time of more than 136 years.
    #[error("range out of bounds")]
    OutOfBounds,
    /// The end lies before the start.
    #[error("range ends before it starts")]
    Backwards,
}

impl Range {
    /// From the beginning on.
    pub const START: Self = Self::Npt { start: Some(NptTime::At(Duration::ZERO)), end: None };

    /// From the live edge on, what a live stream always plays.
    pub const NOW: Self = Self::Npt { start: Some(NptTime::Now), end: None };

    /// Reads a `Range` header. The `;time=` that may follow is left out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fanlight::rtsp::range::{NptTime, Range};
    /// let start = Some(NptTime::At(Duration::from_millis(3_723_500)));
    /// assert_eq!(Range::parse("npt=1:02:03.5-"), Ok(Range::Npt { start, end: None }));
    /// ```
    pub fn parse(header: &str) -> Result<Self, RangeError> {
        let range = header.split(';').next().unwrap_or_default();
        let (unit, times) = range.split_once('=').ok_or(RangeError::Unit)?;
        let (unit, times) = (unit.trim().to_ascii_lowercase(), times.trim().trim_matches('"'));
        match unit.as_str() {
            "npt" => npt(times),
            "clock" => clock_like(times, "TZtz").map(|times| Self::Clock(times.to_owned())),
            "smpte" | "smpte-25" | "smpte-30-drop" => {
                clock_like(times, ":").map(|times| Self::Smpte(format!("{unit}={times}")))
            }
            _ => Err(RangeError::Unit),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Npt { start, end } => {
                f.write_str("npt=")?;
                match start {
                    Some(NptTime::Now) => f.write_str("now")?,
                    Some(NptTime::At(at)) => write_seconds(*at, f)?,
                    None => {}
                }
                f.write_str("-")?;
                end.map_or(Ok(()), |end| write_seconds(end, f))
            }
            Self::Clock(times) => write!(f, "clock={times}"),
            Self::Smpte(range) => f.write_str(range),
        }
    }
}

/// Milliseconds: finer than any frame rate.
fn write_seconds(time: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn npt(times: &str) -> Result<Range, RangeError> {
    // `npt=5` without the dash is not in the grammar, but its meaning is clear.
    let (start, end) = times.split_once('-').unwrap_or((times, ""));
    let (start, end) = (start.trim(), end.trim());
    let start = match start {
        "" => None,
        now if now.eq_ignore_ascii_case("now") => Some(NptTime::Now),
        at => Some(NptTime::At(npt_time(at)?)),
    };
    let end = if end.is_empty() { None } else { Some(npt_time(end)?) };
    match (start, end) {
        (None, None) => Err(RangeError::Malformed),
        (Some(NptTime::At(start)), Some(end)) if end < start => Err(RangeError::Backwards),
        _ => Ok(Range::Npt { start, end }),
    }
}

/// Reads `seconds.fraction` or `hours:minutes:seconds.fraction`.
fn npt_time(text: &str) -> Result<Duration, RangeError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds: u32 = 0;
    let mut parts = 0;
    for part in whole.split(':') {
        parts += 1;
        let number = digits(part)?;
        seconds =
            seconds.checked_mul(60).and_then(|s| s.checked_add(number)).ok_or(RangeError::OutOfBounds)?;
    }
    if !matches!(parts, 1 | 3) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RangeError::Malformed);
    }
    // Beyond nanoseconds digits say nothing.
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Ok(Duration::new(seconds.into(), nanos))
}

fn digits(text: &str) -> Result<u32, RangeError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RangeError::Malformed);
    }
    text.parse().map_err(|_| RangeError::OutOfBounds)
}

/// Checks that there is a start and that both times are digits, dots and `also`; more nobody needs.
fn clock_like<'t>(times: &'t str, also: &str) -> Result<&'t str, RangeError> {
    let (start, end) = times.split_once('-').unwrap_or((times, ""));
    let legible = |time: &str| time.chars().all(|c| c.is_ascii_digit() || c == '.' || also.contains(c));
    let usable = start.starts_with(|c: char| c.is_ascii_digit()) && legible(start) && legible(end);
    if usable { Ok(times) } else { Err(RangeError::Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn npt(start: f64, end: Option<f64>) -> Range {
        Range::Npt { start: Some(NptTime::At(secs(start))), end: end.map(secs) }
    }

    #[test]
    fn the_ranges_of_players_are_read() {
        for (header, range) in [
            ("npt=0-", Range::START),
            ("npt=0.000-", Range::START),
            ("npt=now-", Range::NOW),
            ("NPT = Now -", Range::NOW),
            ("npt=10-20", npt(10.0, Some(20.0))),
            ("npt=123.45-125", npt(123.45, Some(125.0))),
            ("npt=12:05:35.5-", npt(43535.5, None)),
            ("npt=1:02:03.5-1:02:04", npt(3723.5, Some(3724.0))),
            ("npt=0-0", npt(0.0, Some(0.0))),
            ("npt=5", npt(5.0, None)),
            ("npt=5.-", npt(5.0, None)),
            (
                "npt=0.1234567891234-",
                Range::Npt { start: Some(NptTime::At(Duration::from_nanos(123_456_789))), end: None },
            ),
            ("npt=-20", Range::Npt { start: None, end: Some(secs(20.0)) }),
            ("npt=0-;time=19970123T143720Z", Range::START),
            (
                "clock=19961108T142300Z-19961108T143520.25Z",
                Range::Clock("19961108T142300Z-19961108T143520.25Z".into()),
            ),
            ("clock=19960213T143205Z-;time=19970123T143720Z", Range::Clock("19960213T143205Z-".into())),
            ("smpte=10:07:00-10:07:33:05.01", Range::Smpte("smpte=10:07:00-10:07:33:05.01".into())),
            ("SMPTE-30-drop=0:10:00-", Range::Smpte("smpte-30-drop=0:10:00-".into())),
        ] {
            assert_eq!(Range::parse(header), Ok(range), "{header}");
        }
    }

    #[test]
    fn an_unusable_range_is_an_error() {
        use RangeError::{Backwards, Malformed, OutOfBounds, Unit};
        for (header, error) in [
            ("", Unit),
            ("npt", Unit),
            ("=\"", Unit),
            ("time=0-", Unit),
            ("bytes=0-1", Unit),
            ("npt=", Malformed),
            ("npt=-", Malformed),
            ("npt=abc", Malformed),
            ("npt=0-A", Malformed),
            ("npt=::-", Malformed),
            ("npt=1:2-", Malformed),
            ("npt=1:2:3:4-", Malformed),
            ("npt=+1-", Malformed),
            ("npt=1.5x-", Malformed),
            ("npt=1.2.3-", Malformed),
            ("npt=.5-", Malformed),
            ("npt=0--1", Malformed),
            ("npt=20-10", Backwards),
            ("npt=4294967296-", OutOfBounds),
            ("npt=4294967295:0:0-", OutOfBounds),
            ("npt=0-4294967295:59:59", OutOfBounds),
            ("clock=-", Malformed),
            ("clock=now-", Malformed),
            ("smpte=-", Malformed),
            ("smpte=0:0:A-", Malformed),
        ] {
            assert_eq!(Range::parse(header), Err(error), "{header}");
        }
    }

    #[test]
    fn a_million_digits_are_an_error() {
        let digits = "9".repeat(1_000_000);
        assert_eq!(Range::parse(&format!("npt={digits}-")), Err(RangeError::OutOfBounds));
        assert_eq!(Range::parse(&format!("npt=0-{digits}")), Err(RangeError::OutOfBounds));
        assert!(Range::parse(&format!("npt=0.{digits}-")).is_ok());
    }

    #[test]
    fn a_range_is_written_in_milliseconds() {
        assert_eq!(Range::START.to_string(), "npt=0.000-");
        assert_eq!(Range::NOW.to_string(), "npt=now-");
        assert_eq!(npt(10.25, Some(20.0)).to_string(), "npt=10.250-20.000");
        for header in ["npt=-20.000", "clock=19960213T143205Z-", "smpte-25=0:10:00-"] {
            assert_eq!(Range::parse(header).unwrap().to_string(), header);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(start in 0u64..4_294_967_296_000, more in proptest::option::of(0u64..1_000_000)) {
            let at = Duration::from_millis(start);
            let end = more.map(|more| at + Duration::from_millis(more)).filter(|end| end.as_secs() <= u32::MAX.into());
            let range = Range::Npt { start: Some(NptTime::At(at)), end };
            prop_assert_eq!(Range::parse(&range.to_string()), Ok(range));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(npt|clock|smpte)?=?([0-9:.TZ;=-]|now|\\PC){0,30}") {
            let _ = Range::parse(&text);
        }
    }
}
