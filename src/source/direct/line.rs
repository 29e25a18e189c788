//! The packets of one track in the order they were sent, and where a new epoch begins.
//!
//! An encoder that starts anew goes on with another SSRC (C77) or with numbers that lie before the ones it sent (C78),
//! on the same session. One such packet proves nothing, it may be a stray of another session (C26, C88) or late: it is
//! held until the next one follows it.

use std::time::Instant;

use bytes::Bytes;

use super::reorder::{Bounds, Reorder};
use crate::rtp::Header;

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A packet, and when it came.
    Packet(Bytes, Instant),
    /// What follows has nothing to do with what came before.
    Epoch,
}

/// One track's packets.
#[derive(Debug)]
pub(super) struct Line {
    /// The source, and the newest sequence number of it.
    current: Option<(u32, u16)>,
    suspect: Option<Suspect>,
    /// Only where packets can overtake each other.
    reorder: Option<Reorder>,
    late: u64,
}

#[derive(Debug)]
struct Suspect {
    ssrc: u32,
    sequence: u16,
    packet: Bytes,
    arrived: Instant,
}

impl Line {
    /// Over TCP packets come in order, over UDP within these bounds.
    pub(super) fn new(reorder: Option<Bounds>) -> Self {
        Self { current: None, suspect: None, reorder: reorder.map(Reorder::new), late: 0 }
    }

    /// Takes a packet whose header is `header`.
    pub(super) fn push(
        &mut self,
        header: &Header,
        packet: Bytes,
        now: Instant,
        mut out: impl FnMut(Arrival),
    ) {
        let (ssrc, sequence) = (header.ssrc, header.sequence);
        let Some((current, newest)) = self.current else {
            self.current = Some((ssrc, sequence));
            return self.pass(sequence, packet, now, &mut out);
        };
        let step = sequence.wrapping_sub(newest).cast_signed();
        let is_next = match &self.reorder {
            _ if ssrc != current => false,
            None => step >= 0,
            Some(_) => (-LATE_MAX..=AHEAD_MAX).contains(&step),
        };
        if is_next {
            if let Some(suspect) = self.suspect.take_if(|suspect| suspect.ssrc == ssrc)
                && self.reorder.is_none()
            {
                // Late after all: its place is for the reader to find.
                out(Arrival::Packet(suspect.packet, suspect.arrived));
            }
            if step == 0 {
                self.late += 1; // a repetition
                return;
            }
            if step > 0 {
                self.current = Some((ssrc, sequence));
            }
            return self.pass(sequence, packet, now, &mut out);
        }
        let follows = |suspect: &mut Suspect| {
            suspect.ssrc == ssrc && (1..=FOLLOWS_MAX).contains(&sequence.wrapping_sub(suspect.sequence))
        };
        match self.suspect.take_if(follows) {
            Some(suspect) => {
                if let Some(reorder) = &mut self.reorder {
                    reorder.restart(|packet, at| out(Arrival::Packet(packet, at)));
                }
                self.current = Some((ssrc, sequence));
                out(Arrival::Epoch);
                self.pass(suspect.sequence, suspect.packet, suspect.arrived, &mut out);
                self.pass(sequence, packet, now, &mut out);
            }
            None => {
                self.late += u64::from(self.suspect.is_some());
                // A copy, because the packet is a part of a buffer that is larger and wanted back.
                let packet = Bytes::copy_from_slice(&packet);
                self.suspect = Some(Suspect { ssrc, sequence, packet, arrived: now });
            }
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.reorder.as_ref()?.due()
    }

    /// Lets packets go that have waited long enough for the ones before them.
    pub(super) fn expire(&mut self, now: Instant, mut out: impl FnMut(Arrival)) {
        if let Some(reorder) = &mut self.reorder {
            reorder.expire(now, |packet, at| out(Arrival::Packet(packet, at)));
        }
    }

    /// Packets left out because they came too late, twice, or from nowhere.
    pub(super) fn late(&self) -> u64 {
        self.late
    }

    fn pass(&mut self, sequence: u16, packet: Bytes, at: Instant, out: &mut impl FnMut(Arrival)) {
        match &mut self.reorder {
            None => out(Arrival::Packet(packet, at)),
            Some(reorder) => {
                let taken = reorder.push(sequence, packet, at, |packet, at| out(Arrival::Packet(packet, at)));
                self.late += u64::from(!taken);
            }
        }
    }
}

/// Over UDP, a packet this far behind the newest is late, not the beginning of something.
const LATE_MAX: i16 = 512;

/// Over UDP, a packet this far ahead of the newest is no loss any more (RFC 3550 appendix A.1: MAX_DROPOUT).
const AHEAD_MAX: i16 = 3000;

/// How far apart two packets are that prove a new epoch together.
const FOLLOWS_MAX: u16 = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds { window: Duration::from_millis(50), packets: 64, bytes: 1 << 16 };

    /// What comes out for packets of (source, sequence): their numbers, or `E` for an epoch.
    fn through(reorder: Option<Bounds>, packets: &[(u32, u16)]) -> String {
        let mut line = Line::new(reorder);
        let mut found = Vec::new();
        let mut out = |arrival| {
            found.push(match arrival {
                Arrival::Packet(packet, _) => Header::parse(&packet).unwrap().sequence.to_string(),
                Arrival::Epoch => "E".to_owned(),
            });
        };
        let now = Instant::now();
        for (ssrc, sequence) in packets {
            let header = Header {
                marker: false,
                payload_type: 96,
                sequence: *sequence,
                timestamp: 0,
                ssrc: *ssrc,
                payload: 12..12,
            };
            line.push(&header, Bytes::copy_from_slice(&header.write()), now, &mut out);
        }
        line.expire(now + BOUNDS.window, &mut out);
        found.join(" ")
    }

    #[test]
    fn c77_a_new_ssrc_is_a_new_epoch_and_loses_nothing() {
        let packets = [(1, 10), (1, 11), (2, 500), (2, 501), (2, 502)];
        for reorder in [None, Some(BOUNDS)] {
            assert_eq!(through(reorder, &packets), "10 11 E 500 501 502");
        }
    }

    #[test]
    fn c78_a_sequence_that_goes_back_over_tcp_is_a_new_epoch() {
        assert_eq!(through(None, &[(1, 1000), (1, 1001), (1, 990), (1, 991)]), "1000 1001 E 990 991");
        assert_eq!(through(None, &[(1, 5), (1, 6), (1, 60_000), (1, 60_001)]), "5 6 E 60000 60001");
        let udp = [(1, 10_000), (1, 10_001), (1, 50), (1, 51)];
        assert_eq!(through(Some(BOUNDS), &udp), "10000 10001 E 50 51");
    }

    #[test]
    fn c26_a_packet_of_another_session_is_left_out() {
        for reorder in [None, Some(BOUNDS)] {
            assert_eq!(through(reorder, &[(1, 1), (9, 70), (1, 2), (1, 3), (9, 90), (1, 4)]), "1 2 3 4");
        }
    }

    #[test]
    fn two_packets_swapped_are_late_and_no_epoch() {
        assert_eq!(through(None, &[(1, 1), (1, 3), (1, 2), (1, 4), (1, 5)]), "1 3 2 4 5");
        assert_eq!(through(Some(BOUNDS), &[(1, 1), (1, 3), (1, 2), (1, 4)]), "1 2 3 4");
    }

    #[test]
    fn loss_is_a_gap_and_a_repetition_is_nothing() {
        assert_eq!(through(None, &[(1, 65_535), (1, 3), (1, 3), (1, 4)]), "65535 3 4");
        assert_eq!(through(Some(BOUNDS), &[(1, 65_535), (1, 3), (1, 3), (1, 4)]), "65535 3 4");
    }
}
