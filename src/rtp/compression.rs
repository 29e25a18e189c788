//! Timestamps for pictures that a viewer gets late and is to go through in no time.

/// Maps the timestamps of frames that wait in a cache into the last frame interval before the live edge.
///
/// A viewer that joins between two key frames needs all frames since the last one to decode the newest. Sent with their
/// own timestamps they would be *played*, and the viewer would stay that much behind for ever. Squeezed into the time of
/// one frame they are decoded as fast as the decoder can, and the newest one bears its true timestamp: what follows needs
/// no change, and sender reports hold for all of it.
///
/// The order of timestamps is kept (also where it is not the order of decoding), and they stay distinct as long as the
/// frames are no closer together than one in [`Compression::squeezed`] of the average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    oldest: u64,
    newest: u64,
    span: u64,
}

impl Compression {
    /// For `frames` frames with timestamps from `oldest` to `newest`. `None` where there is nothing to squeeze.
    pub fn new(oldest: u64, newest: u64, frames: u64) -> Option<Self> {
        let length = newest.checked_sub(oldest).filter(|length| *length > 0)?;
        let intervals = frames.saturating_sub(1).max(1);
        let span = (length / intervals).max(1);
        (intervals > 1).then_some(Self { oldest, newest, span })
    }

    /// The timestamp of the newest frame.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// What the timestamp becomes: itself from the newest frame on.
    pub fn squeezed(&self, timestamp: u64) -> u64 {
        let Some(before) = self.newest.checked_sub(timestamp).filter(|before| *before > 0) else {
            return timestamp;
        };
        let length = self.newest - self.oldest;
        // Rounded up, so that only the newest frame has the newest timestamp.
        let before = (u128::from(before) * u128::from(self.span)).div_ceil(u128::from(length));
        self.newest - u64::try_from(before).unwrap_or(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_seconds_become_one_frame_and_the_newest_stays() {
        let compression = Compression::new(0, 299 * 3000, 300).unwrap();
        let squeezed: Vec<u64> = (0..300).map(|frame| compression.squeezed(frame * 3000)).collect();
        assert_eq!((squeezed[0], squeezed[299]), (298 * 3000, 299 * 3000));
        assert!(squeezed.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(compression.squeezed(300 * 3000), 300 * 3000, "what comes later is left alone");
    }

    #[test]
    fn one_frame_or_two_are_left_alone() {
        assert_eq!(Compression::new(7, 7, 1), None);
        assert_eq!(Compression::new(7, 3007, 2), None);
        assert_eq!(Compression::new(8, 7, 3), None);
    }

    proptest! {
        #[test]
        fn order_is_kept_and_nothing_lies_further_back_than_a_frame(
            steps in prop::collection::vec(1500u64..6000, 2..600), start in 0u64..1 << 40,
        ) {
            let mut timestamps = vec![start];
            timestamps.extend(steps.iter().scan(start, |at, step| { *at += step; Some(*at) }));
            let (oldest, newest) = (timestamps[0], timestamps[timestamps.len() - 1]);
            let compression = Compression::new(oldest, newest, timestamps.len() as u64).unwrap();
            let squeezed: Vec<u64> = timestamps.iter().map(|at| compression.squeezed(*at)).collect();
            prop_assert!(squeezed.windows(2).all(|pair| pair[0] < pair[1]), "distinct and in order");
            prop_assert!(newest - squeezed[0] <= 6000);
            prop_assert_eq!(squeezed[squeezed.len() - 1], newest);
        }

        #[test]
        fn no_timestamp_panics(oldest: u64, length in 1u64.., frames: u64, at: u64) {
            if let Some(compression) = Compression::new(oldest, oldest.saturating_add(length), frames) {
                compression.squeezed(at);
            }
        }
    }
}
