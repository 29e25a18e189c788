//! How many packets of a session are lost on the way: to find out that a path is not made for UDP.

use std::time::{Duration, Instant};

use crate::vocabulary::TrackId;

/// Counts the packets that should have come, over windows, by the sequence numbers of each track. A packet that comes
/// late counts as lost: it is of no use to a decoder either.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// The last sequence number of each track.
    last: Vec<Option<u16>>,
    began: Option<Instant>,
    expected: u32,
    lost: u32,
    /// The share of the window before, when it was too much.
    before: Option<f64>,
}

impl Loss {
    /// A packet came. Returns the share that is lost, 0 to 1, once it has been 8 % and more over two windows in a row.
    pub fn packet(&mut self, track: TrackId, sequence: u16, now: Instant) -> Option<f64> {
        if self.last.len() <= track.index() {
            self.last.resize(track.index() + 1, None);
        }
        let last = self.last.get_mut(track.index())?;
        let step = last.map_or(1, |last| sequence.wrapping_sub(last));
        match step {
            0 => return None, // sent twice
            1..=LARGEST_STEP => {
                *last = Some(sequence);
                self.expected += u32::from(step);
                self.lost += u32::from(step) - 1;
            }
            // Late, or the camera numbers anew.
            _ if step > u16::MAX - LARGEST_STEP => return None,
            _ => *last = Some(sequence),
        }
        let began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) < WINDOW || self.expected < ENOUGH {
            return None;
        }
        let share = f64::from(self.lost) / f64::from(self.expected);
        (self.began, self.expected, self.lost) = (Some(now), 0, 0);
        let before = std::mem::replace(&mut self.before, (share >= TOO_MUCH).then_some(share));
        before.filter(|_| share >= TOO_MUCH).map(|before| f64::midpoint(before, share))
    }
}

/// Between the 5 % that a stream is to live with and the 10 % that it is not to.
const TOO_MUCH: f64 = 0.08;

/// The shortest window.
const WINDOW: Duration = Duration::from_secs(5);

/// A window has at least as many packets: of 500, a path that loses 5 % loses 8 % once in a thousand times, and twice
/// in a row once in a million.
const ENOUGH: u32 = 500;

/// A larger step is a camera that numbers anew.
const LARGEST_STEP: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets at 150 a second for a minute; every one is lost with this probability, by a fixed row of dice.
    fn found(probability: f64, seed: u64) -> Option<(Duration, f64)> {
        let (mut loss, start, mut dice) = (Loss::default(), Instant::now(), seed);
        for i in 0..9000u32 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if ((dice >> 33) as f64 / (1u64 << 31) as f64) < probability {
                continue;
            }
            let now = start + Duration::from_secs(1) * i / 150;
            if let Some(share) = loss.packet(TrackId(0), (i as u16).wrapping_add(60_000), now) {
                return Some((now - start, share));
            }
        }
        None
    }

    #[test]
    fn five_per_cent_are_lived_with_and_ten_are_not() {
        for seed in 0..200 {
            assert_eq!(found(0.0, seed), None);
            assert_eq!(found(0.05, seed), None, "seed {seed}");
            let (after, share) = found(0.10, seed).expect("ten per cent are found");
            assert!(after <= Duration::from_secs(45), "seed {seed}: {after:?}");
            assert!((0.08..0.14).contains(&share), "seed {seed}: {share}");
        }
    }

    #[test]
    fn a_restart_of_the_numbers_and_repetitions_are_no_loss() {
        let (mut loss, now) = (Loss::default(), Instant::now());
        for i in 0..20_000u32 {
            let sequence = if i % 700 == 0 { (i * 7919) as u16 } else { i as u16 };
            let at = now + Duration::from_millis(10) * i;
            loss.packet(TrackId(0), sequence, at);
            assert_eq!(loss.packet(TrackId(0), sequence, at), None);
        }
        assert!(loss.before.is_none());
    }
}
