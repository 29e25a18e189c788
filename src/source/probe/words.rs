//! Figures as people read them.

use super::report::Reading;

/// A time in seconds: `12 ms`, `2.0 s`, `75 min`; with a sign where it is negative.
pub fn time(seconds: f64) -> String {
    match seconds.abs() {
        short if short < 0.0095 => format!("{:.1} ms", seconds * 1e3),
        short if short < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        some if some < 120.0 => format!("{seconds:.1} s"),
        long if long < 2.0 * 3600.0 => format!("{:.0} min", seconds / 60.0),
        long if long < 2.0 * 86_400.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// Bits a second: `850 kbit/s`, `4.1 Mbit/s`.
pub fn bit_rate(bits: f64) -> String {
    if bits < 999_500.0 { format!("{:.0} kbit/s", bits / 1e3) } else { format!("{:.1} Mbit/s", bits / 1e6) }
}

/// What came on a track; `pictures` where it is video.
pub(super) fn reading(reading: &Reading, pictures: bool) -> String {
    let mut parts = Vec::new();
    if let Some(fps) = reading.fps.filter(|_| pictures) {
        parts.push(format!("{fps:.1} fps"));
    }
    parts.extend(reading.bit_rate.map(bit_rate));
    if let (Some(frames), Some(seconds)) = (reading.gop_frames, reading.key_frame_interval_seconds) {
        parts.push(format!("a key frame every {frames} frames ({})", time(seconds)));
    }
    parts.push(format!("jitter {}", time(reading.jitter_seconds)));
    let all = reading.packets + reading.lost;
    parts.push(match reading.lost {
        0 => format!("none of {all} packets lost"),
        lost => format!("{lost} of {all} packets lost ({:.1} %)", reading.loss * 100.0),
    });
    parts.join(", ")
}

/// `1 track`, `2 tracks`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_have_the_unit_that_suits_them() {
        for (seconds, words) in [
            (0.0012, "1.2 ms"),
            (0.25, "250 ms"),
            (-2.0, "-2.0 s"),
            (300.0, "5 min"),
            (1e5, "27.8 h"),
            (1e9, "11574 days"),
        ] {
            assert_eq!(time(seconds), words);
        }
        assert_eq!((bit_rate(850e3).as_str(), bit_rate(4.12e6).as_str()), ("850 kbit/s", "4.1 Mbit/s"));
    }

    #[test]
    fn a_reading_is_a_line() {
        let some = Reading {
            packets: 990,
            lost: 10,
            loss: 0.01,
            fps: Some(25.0),
            bit_rate: Some(4e6),
            gop_frames: Some(50),
            key_frame_interval_seconds: Some(2.0),
            ..Reading::default()
        };
        assert_eq!(
            reading(&some, true),
            "25.0 fps, 4.0 Mbit/s, a key frame every 50 frames (2.0 s), jitter 0.0 ms, 10 of 1000 packets lost (1.0 %)"
        );
    }
}
