//! Spans of time as a person says them.

use std::time::Duration;

/// `350 ms`, `1.5 s`, `38 s`, `3 min`, `2 h 5 min`, `4 d 2 h`: as exact as the size of the number deserves.
pub(super) fn spoken(span: Duration) -> String {
    let millis = span.as_millis();
    let seconds = (span.as_millis() + 500) / 1000;
    let two = |large: u128, unit: &str, small: u128, part: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {part}") }
    };
    match seconds {
        _ if millis < 950 => format!("{millis} ms"),
        _ if millis < 9950 => {
            let tenths = (millis + 50) / 100;
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        0..=119 => format!("{seconds} s"),
        120..=3599 => format!("{} min", seconds / 60),
        3600..=86_399 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// A point between `low` and `high`; `random` is drawn from 0 to 1. Never panics, however long the spans.
pub(super) fn between(low: Duration, high: Duration, random: f64) -> Duration {
    let span = high.saturating_sub(low);
    let part = span.as_secs_f64() * random.clamp(0.0, 1.0);
    low.saturating_add(Duration::try_from_secs_f64(part).map_or(span, |part| part.min(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_as_exact_as_its_size_deserves() {
        let cases = [
            (0, "0 ms"),
            (350, "350 ms"),
            (999, "1 s"),
            (1500, "1.5 s"),
            (9960, "10 s"),
            (38_400, "38 s"),
            (119_000, "119 s"),
            (185_000, "3 min"),
            (7_500_000, "2 h 5 min"),
            (3_600_000, "1 h"),
            (352_800_000, "4 d 2 h"),
        ];
        for (millis, expected) in cases {
            assert_eq!(spoken(Duration::from_millis(millis)), expected);
        }
    }
}
