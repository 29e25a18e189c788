//! Durations (`10s`, `500ms`, `1m30s`) and sizes (`64KiB`, `1GB`). A number without a unit is refused: nobody
//! remembers whether a plain `10` was seconds or milliseconds.

use std::time::Duration;

/// Why a text is no quantity. Each reads on from the value it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error("the unit is missing")]
    NoUnit,
    #[error("not a whole number and a unit")]
    Malformed,
    #[error("too large")]
    TooLarge,
}

const DURATION_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Longest accepted duration. Enough for any timeout, and far from where adding it to a clock could overflow.
const MAX_DURATION: Duration = Duration::from_secs(7 * 24 * 3600);

/// A duration: one or several `number unit` in a row, units `ms`, `s`, `m`, `h`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let unit_end =
            |at: usize| rest[at..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| at + n);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (part, after) = rest.split_at(unit_end(digits));
        total = total.saturating_add(Duration::from_millis(quantity(part, DURATION_UNITS)?));
        if total > MAX_DURATION {
            return Err(UnitError::TooLarge);
        }
        if after.is_empty() {
            return Ok(total);
        }
        rest = after;
    }
}

/// A size in bytes: `number unit`, units `B`, `kB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB`, `GiB` (of 1024),
/// in any case.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    quantity(text, SIZE_UNITS)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    if number.is_empty() {
        return Err(UnitError::Malformed);
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let known = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()));
    let (_, factor) = known.ok_or(UnitError::Malformed)?;
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or(UnitError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        assert_eq!(duration("10"), Err(UnitError::NoUnit));
        assert_eq!(duration("1m30"), Err(UnitError::NoUnit));
        for text in ["", "s", "-1s", "1.5s", "1 fortnight", "10s ", "ms5", "1s,2s", "5µs"] {
            assert_eq!(duration(text), Err(UnitError::Malformed), "{text:?}");
        }
        for text in ["169h", "99999999999999999999s", "18446744073709551615h", "168h1ms"] {
            assert_eq!(duration(text), Err(UnitError::TooLarge), "{text:?}");
        }
    }

    #[test]
    fn sizes_tell_powers_of_1000_from_powers_of_1024() {
        assert_eq!(size("50MiB"), Ok(50 << 20));
        assert_eq!(size("64KiB"), Ok(64 << 10));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("1400B"), Ok(1400));
        assert_eq!(size("3 kb"), Ok(3000));
        assert_eq!(size("1400"), Err(UnitError::NoUnit));
        assert_eq!(size("50M"), Err(UnitError::Malformed));
        assert_eq!(size("99999999999GiB"), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_number_of_milliseconds_is_read_back(ms in 0..604_800_000u64) {
            prop_assert_eq!(duration(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,8}", digits in "[0-9hms ]{0,24}") {
            let _ = (duration(&text), size(&text), duration(&digits), size(&digits));
        }
    }
}
