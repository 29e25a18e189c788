//! Turns what H.264 and H.265 packets carry into access points, each reported once.
//!
//! A decoder wants the parameter sets in front of a key picture, so the access point is their first packet, which has to
//! be named before the picture is seen. Cameras send them with the picture's timestamp or in packets with one of their own.
//! Some encoders also repeat them (mostly the PPS) in front of pictures that nobody can start from. So a parameter set is
//! believed until it has led to such pictures twice in a row more or less; then the key picture itself becomes the access
//! point. As long as no key picture was ever seen they stay believed: a stream with gradual refresh has nothing else.

/// What one packet carries, as far as random access goes.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The first parameter set that begins in this packet.
    pub(super) opener: Option<Opener>,
    /// A recovery point message: the picture it precedes is a place to start.
    pub(super) recovery_point: bool,
    /// Part of a picture. A key picture outranks others in one packet.
    pub(super) picture: Option<Picture>,
}

/// A parameter set that may announce a key picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// Of a whole sequence: SPS, VPS.
    Sequence,
    /// Of pictures: PPS.
    Picture,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    /// A key picture (IDR, CRA, BLA) has its NAL unit begin in this packet.
    Key,
    /// A later fragment of a key picture's NAL unit.
    KeyContinued,
    /// Intra coded, but not a key picture: a start that shows something.
    Intra,
    /// Any other.
    Inter,
}

impl Contents {
    /// Adds a NAL unit that is part of a picture.
    pub(super) fn add_picture(&mut self, picture: Picture) {
        if !matches!(self.picture, Some(Picture::Key)) {
            self.picture = Some(picture);
        }
    }
}

/// The state between packets.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Parameter sets went by and their picture has not come yet.
    pending: Option<Pending>,
    /// A recovery point message went by and its picture has not come yet.
    recovery_point: bool,
    /// The timestamp of the key picture under way.
    key_picture: Option<u32>,
    any_key_picture: bool,
    /// How often each [`Opener`] misled, less how often it did not.
    misled: [u8; 2],
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    opener: Opener,
    reported: bool,
}

impl Gate {
    /// Whether parameter sets wait for the picture they announce.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes the next packet; `true` when it is the first of an access point.
    pub(super) fn pass(&mut self, contents: &Contents, timestamp: u32) -> bool {
        let mut key = false;
        if let (None, Some(opener)) = (self.pending, contents.opener) {
            key = self.misled[opener as usize] < DISBELIEF;
            self.pending = Some(Pending { opener, reported: key });
        }
        self.recovery_point |= contents.recovery_point;
        let Some(picture) = contents.picture else { return key };
        let pending = self.pending.take();
        let recovery_point = std::mem::take(&mut self.recovery_point);
        match picture {
            Picture::Key | Picture::KeyContinued => {
                let reported = pending.is_some_and(|pending| pending.reported);
                // The packet that began the picture may be lost: then it is no start, nor are its later slices.
                if picture == Picture::Key && !reported && self.key_picture != Some(timestamp) {
                    key = true;
                }
                self.key_picture = Some(timestamp);
                self.any_key_picture = true;
                self.judge(pending, true);
            }
            Picture::Intra | Picture::Inter => {
                if self.key_picture != Some(timestamp) {
                    self.key_picture = None;
                }
                self.judge(pending, picture == Picture::Intra || recovery_point);
            }
        }
        key
    }

    /// Remembers whether parameter sets led to a picture to start from.
    fn judge(&mut self, pending: Option<Pending>, held: bool) {
        let Some(Pending { opener, .. }) = pending else { return };
        let misled = &mut self.misled[opener as usize];
        if held {
            *misled = misled.saturating_sub(1);
        } else if self.any_key_picture {
            // Twice the weight: a lost key picture looks the same, but is rare beside those that arrive.
            *misled = (*misled + 2).min(4 * DISBELIEF);
        }
    }
}

/// From here on an [`Opener`] is not believed.
const DISBELIEF: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn opener(opener: Opener) -> Contents {
        Contents { opener: Some(opener), ..Contents::default() }
    }

    fn picture(picture: Picture) -> Contents {
        Contents { picture: Some(picture), ..Contents::default() }
    }

    #[test]
    fn parameter_sets_with_an_earlier_timestamp_belong_to_the_picture() {
        let mut gate = Gate::default();
        assert!(gate.pass(&opener(Opener::Sequence), 1));
        assert!(!gate.pass(&opener(Opener::Picture), 2));
        assert!(!gate.pass(&picture(Picture::Key), 3));
        assert!(!gate.pass(&picture(Picture::Key), 3), "its second slice");
        assert!(!gate.pass(&picture(Picture::Inter), 4));
        assert!(gate.pass(&picture(Picture::Key), 5));
    }

    #[test]
    fn a_picture_without_its_beginning_is_no_start() {
        let mut gate = Gate::default();
        assert!(!gate.pass(&picture(Picture::KeyContinued), 1));
        assert!(!gate.pass(&picture(Picture::Key), 1));
        assert!(gate.pass(&picture(Picture::Key), 2));
    }

    #[test]
    fn parameter_sets_in_front_of_every_picture_are_soon_not_believed() {
        let mut gate = Gate::default();
        assert!(gate.pass(&opener(Opener::Sequence), 0));
        assert!(!gate.pass(&picture(Picture::Key), 0));
        let mut wrong = 0;
        for timestamp in 1..100 {
            wrong += u32::from(gate.pass(&opener(Opener::Picture), timestamp));
            if timestamp % 10 == 0 {
                let key = gate.pass(&picture(Picture::Key), timestamp);
                assert!(key, "the key picture at {timestamp} has to be reported");
            } else {
                assert!(!gate.pass(&picture(Picture::Inter), timestamp));
            }
        }
        assert_eq!(wrong, 2);
        assert!(gate.pass(&opener(Opener::Sequence), 100), "the other kind is believed as before");
    }

    #[test]
    fn one_lost_key_picture_does_not_discredit_the_parameter_sets() {
        let mut gate = Gate::default();
        for timestamp in 0..50 {
            assert!(gate.pass(&opener(Opener::Sequence), timestamp * 2));
            if timestamp % 10 != 9 {
                assert!(!gate.pass(&picture(Picture::Key), timestamp * 2));
            }
            assert!(!gate.pass(&picture(Picture::Inter), timestamp * 2 + 1));
        }
    }

    #[test]
    fn gradual_refresh_without_any_key_picture_can_be_joined() {
        let mut gate = Gate::default();
        for timestamp in 0..20 {
            assert!(gate.pass(&opener(Opener::Sequence), timestamp * 2));
            assert!(!gate.pass(&picture(Picture::Inter), timestamp * 2));
            assert!(!gate.pass(&picture(Picture::Inter), timestamp * 2 + 1));
        }
    }

    #[test]
    fn a_recovery_point_and_an_intra_picture_confirm_the_parameter_sets() {
        let mut gate = Gate::default();
        assert!(gate.pass(&picture(Picture::Key), 0));
        for timestamp in 1..20 {
            assert!(gate.pass(&opener(Opener::Sequence), timestamp));
            if timestamp % 2 == 0 {
                let recovery = Contents { recovery_point: true, ..Contents::default() };
                assert!(!gate.pass(&recovery, timestamp));
                assert!(!gate.pass(&picture(Picture::Inter), timestamp));
            } else {
                assert!(!gate.pass(&picture(Picture::Intra), timestamp));
            }
        }
    }
}
