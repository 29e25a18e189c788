//! One track's numbers for one viewer.

use rand::Rng;

use super::header::Header;

/// Rewrites the headers of one track's packets for one viewer.
///
/// The viewer's numbers are the stream's plus an offset, so a packet's number does not depend on how the packets
/// before it were sent: continuity is arithmetic, not bookkeeping. The offsets are fixed by the first packet, so that
/// it carries the numbers that `RTP-Info` announced before it was known.
#[derive(Clone, Debug)]
pub struct Rewriter {
    ssrc: u32,
    /// The numbers that the next packet gets when there is no offset to give it.
    next: Start,
    offset: Option<Offset>,
    /// The relay left packets out: the next one follows the last one sent.
    skipped: bool,
}

/// The first numbers of a track for one viewer, as `RTP-Info` announces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Sequence number of the first packet.
    pub sequence: u16,
    /// RTP timestamp of the first packet.
    pub timestamp: u32,
}

#[derive(Clone, Copy, Debug)]
struct Offset {
    sequence: u16,
    timestamp: u32,
}

impl Rewriter {
    /// Random SSRC and first numbers ([RFC 3550 section 5.1](https://datatracker.ietf.org/doc/html/rfc3550#section-5.1)).
    pub fn random(rng: &mut impl Rng) -> Self {
        let start = Start { sequence: rng.next_u32() as u16, timestamp: rng.next_u32() };
        Self::new(rng.next_u32(), start)
    }

    /// Given SSRC and first numbers.
    pub fn new(ssrc: u32, start: Start) -> Self {
        Self { ssrc, next: start, offset: None, skipped: false }
    }

    /// The viewer's synchronization source of this track.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The numbers announced for the next packet: of the first one before it is sent, afterwards those of a PLAY that
    /// follows a PAUSE.
    pub fn next(&self) -> Start {
        self.next
    }

    /// Fixes the offset of the timestamps: stream time `timestamp` becomes the announced first timestamp. Does nothing
    /// once the offset is fixed.
    pub fn anchor(&mut self, sequence: u64, timestamp: u64) {
        if self.offset.is_none() {
            self.offset = Some(Offset {
                sequence: self.next.sequence.wrapping_sub(sequence as u16),
                timestamp: self.next.timestamp.wrapping_sub(timestamp as u32),
            });
        }
    }

    /// Whether a packet has fixed the offsets.
    pub fn is_anchored(&self) -> bool {
        self.offset.is_some()
    }

    /// Whether the next packet's numbers are the stream's plus the offsets, as they were for the last one.
    pub fn is_steady(&self) -> bool {
        self.offset.is_some() && !self.skipped
    }

    /// The relay left out packets for this viewer: the next one it gets follows without a gap in sequence. Its
    /// timestamp shows the time that passed.
    pub fn skip(&mut self) {
        self.skipped = self.offset.is_some();
    }

    /// The relay lost the rest of something it has sent a part of: the next packet after a [`Rewriter::skip`] shows a gap,
    /// so that no receiver takes what follows for the rest.
    pub fn lose(&mut self) {
        self.next.sequence = self.next.sequence.wrapping_add(1);
    }

    /// The next packet is one more than the timeline has: it takes a number of its own, and all later ones move up.
    pub fn add(&mut self) {
        if let Some(offset) = &mut self.offset {
            offset.sequence = offset.sequence.wrapping_add(1);
        }
    }

    /// The viewer's timestamp for a moment of the stream; `None` before the first packet.
    pub fn timestamp(&self, timestamp: u64) -> Option<u32> {
        self.offset.map(|offset| (timestamp as u32).wrapping_add(offset.timestamp))
    }

    /// Writes this viewer's numbers into the fixed header at the front of `packet`, which must be at least 12 bytes
    /// long (the hub admits nothing shorter).
    pub fn rewrite(&mut self, sequence: u64, timestamp: u64, packet: &mut [u8]) {
        self.anchor(sequence, timestamp);
        let Some(offset) = &mut self.offset else { return };
        if self.skipped {
            self.skipped = false;
            offset.sequence = self.next.sequence.wrapping_sub(sequence as u16);
        }
        let (sequence, timestamp) = (
            (sequence as u16).wrapping_add(offset.sequence),
            (timestamp as u32).wrapping_add(offset.timestamp),
        );
        let Some(header) = packet.first_chunk_mut::<{ Header::LEN }>() else { return };
        header[2..4].copy_from_slice(&sequence.to_be_bytes());
        header[4..8].copy_from_slice(&timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        // A packet that comes late must not pull the next number back.
        if sequence.wrapping_sub(self.next.sequence).cast_signed() >= 0 {
            self.next = Start { sequence: sequence.wrapping_add(1), timestamp };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(rewriter: &mut Rewriter, sequence: u64, timestamp: u64) -> Header {
        let mut packet = [0x80, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        rewriter.rewrite(sequence, timestamp, &mut packet);
        Header::parse(&packet).unwrap()
    }

    #[test]
    fn the_first_packet_has_the_announced_numbers() {
        let mut rewriter = Rewriter::new(7, Start { sequence: 65_535, timestamp: 5 });
        let header = sent(&mut rewriter, 123_456_789, 987_654_321_000);
        assert_eq!((header.ssrc, header.sequence, header.timestamp), (7, 65_535, 5));
    }

    #[test]
    fn loss_stays_visible_and_what_the_relay_skips_does_not() {
        let mut rewriter = Rewriter::new(7, Start { sequence: 10, timestamp: 0 });
        sent(&mut rewriter, 100, 0);
        assert_eq!(sent(&mut rewriter, 103, 9000).sequence, 13);
        rewriter.skip();
        let header = sent(&mut rewriter, 500, 90_000);
        assert_eq!((header.sequence, header.timestamp), (14, 90_000));
        assert_eq!(sent(&mut rewriter, 501, 90_000).sequence, 15);
    }

    #[test]
    fn a_packet_made_of_another_has_its_own_number_and_what_follows_moves_up() {
        let mut rewriter = Rewriter::new(7, Start { sequence: 65_534, timestamp: 0 });
        sent(&mut rewriter, 100, 0);
        for expected in [65_535, 0] {
            rewriter.add();
            assert_eq!(sent(&mut rewriter, 100, 0).sequence, expected);
        }
        assert_eq!(sent(&mut rewriter, 101, 0).sequence, 1);
        assert_eq!(sent(&mut rewriter, 103, 0).sequence, 3, "loss is still a gap");
    }

    #[test]
    fn what_was_cut_off_in_the_middle_shows() {
        let mut rewriter = Rewriter::new(7, Start { sequence: 10, timestamp: 0 });
        sent(&mut rewriter, 100, 0);
        rewriter.lose();
        rewriter.skip();
        assert_eq!(sent(&mut rewriter, 500, 0).sequence, 12);
    }

    #[test]
    fn a_late_packet_does_not_pull_the_next_number_back() {
        let mut rewriter = Rewriter::new(7, Start { sequence: 10, timestamp: 0 });
        sent(&mut rewriter, 100, 0);
        sent(&mut rewriter, 102, 0);
        assert_eq!(sent(&mut rewriter, 101, 0).sequence, 11);
        rewriter.skip();
        assert_eq!(sent(&mut rewriter, 200, 0).sequence, 13);
    }

    proptest! {
        #[test]
        fn two_packets_of_the_stream_are_as_far_apart_for_the_viewer(
            first: u16, ts: u32, base in 0u64..1 << 40, step in 1u64..30_000, ticks in 0u64..1 << 31,
        ) {
            let mut rewriter = Rewriter::new(1, Start { sequence: first, timestamp: ts });
            let a = sent(&mut rewriter, base, base * 7);
            let b = sent(&mut rewriter, base + step, base * 7 + ticks);
            prop_assert_eq!(b.sequence.wrapping_sub(a.sequence), step as u16);
            prop_assert_eq!(b.timestamp.wrapping_sub(a.timestamp), ticks as u32);
        }

        #[test]
        fn rewriting_a_packet_twice_changes_nothing(base in 0u64..1 << 40, ahead in 0u64..100) {
            let mut rewriter = Rewriter::new(1, Start { sequence: 0, timestamp: 0 });
            sent(&mut rewriter, base, 0);
            let once = sent(&mut rewriter, base + ahead, 5);
            let twice = sent(&mut rewriter, base + ahead, 5);
            prop_assert_eq!(once, twice);
        }
    }
}
