//! What viewers say, one after another, as one source towards the camera.
//!
//! Each viewer that talks has its own source, numbers and clock; a camera hears one source that goes on from one to the
//! next: sequence numbers without a hole, timestamps that show the time in between.

use std::time::{Duration, Instant};

use crate::rtp::Header;
use crate::sdp::Track;

/// The source that a camera hears.
#[derive(Debug)]
pub(super) struct Voice {
    ssrc: u32,
    payload_type: u8,
    clock_rate: u32,
    /// The numbers of the first packet.
    first: (u16, u32),
    last: Option<Last>,
}

/// The last packet sent.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    /// As the viewer numbered it.
    theirs: Numbers,
    /// As it was sent.
    sequence: u16,
    timestamp: u32,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Voice {
    /// A source for the camera's `track`, with numbers that follow from `seed`.
    pub(super) fn new(track: &Track, seed: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = seed.to_be_bytes();
        Self {
            ssrc: u32::from_be_bytes([d, a, c, b]),
            payload_type: track.payload_type,
            clock_rate: track.clock_rate,
            first: (u16::from_be_bytes([e, g]), u32::from_be_bytes([h, f, b, e])),
            last: None,
        }
    }

    /// A viewer's packet as the camera gets it: a plain header with our numbers and the camera's payload type, and the
    /// payload. `None` for what is no RTP or has no payload.
    pub(super) fn packet(&mut self, packet: &[u8], now: Instant) -> Option<Vec<u8>> {
        let header = Header::parse(packet).ok()?;
        let payload = packet.get(header.payload.clone()).filter(|payload| !payload.is_empty())?;
        let theirs = Numbers { ssrc: header.ssrc, sequence: header.sequence, timestamp: header.timestamp };
        let (sequence, timestamp, begins) = self.number(theirs, now);
        let newest = self.last.is_none_or(|last| begins || ahead(last.theirs, theirs) > 0);
        if newest {
            self.last = Some(Last { at: now, theirs, sequence, timestamp });
        }
        let mut out = Vec::with_capacity(Header::LEN + payload.len());
        // The first packet after a silence is marked (RFC 3551 section 4.1).
        out.extend([0x80, u8::from(header.marker || begins) << 7 | self.payload_type]);
        out.extend(sequence.to_be_bytes());
        out.extend(timestamp.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        out.extend_from_slice(payload);
        Some(out)
    }

    /// Our sequence number and timestamp, and whether the viewer's numbers have nothing to do with the last ones.
    fn number(&self, theirs: Numbers, now: Instant) -> (u16, u32, bool) {
        let Some(last) = self.last else { return (self.first.0, self.first.1, true) };
        let steps = ahead(last.theirs, theirs);
        let ticks = theirs.timestamp.wrapping_sub(last.theirs.timestamp) as i32;
        let jump = i64::from(self.clock_rate) * JUMP.as_secs() as i64;
        let same = theirs.ssrc == last.theirs.ssrc
            && (-DISORDER..=DROPOUT).contains(&steps)
            && i64::from(ticks).abs() <= jump;
        if same {
            let sequence = last.sequence.wrapping_add_signed(steps);
            return (sequence, last.timestamp.wrapping_add_signed(ticks), false);
        }
        let silence = now.saturating_duration_since(last.at).max(PACKET);
        let ticks = silence.as_micros() * u128::from(self.clock_rate) / 1_000_000;
        (last.sequence.wrapping_add(1), last.timestamp.wrapping_add(ticks as u32), true)
    }
}

/// How many packets after `last` a packet is.
fn ahead(last: Numbers, packet: Numbers) -> i16 {
    packet.sequence.wrapping_sub(last.sequence) as i16
}

/// A source whose numbers go on this far is the same as before (RFC 3550 appendix A.1).
const DROPOUT: i16 = 3000;
const DISORDER: i16 = 100;

/// Further than this a timestamp does not jump, not even over a silence that is not sent.
const JUMP: Duration = Duration::from_secs(60);

/// The usual length of a packet of sound (RFC 3551 section 4.2): two viewers' packets are at least so far apart.
const PACKET: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sdp::parse;

    fn voice(seed: u64) -> Voice {
        let sdp = parse(b"m=audio 0 RTP/AVP 97\na=rtpmap:97 PCMU/8000\na=sendonly").unwrap();
        Voice::new(&sdp.back_channel().unwrap(), seed)
    }

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(b"sound");
        packet
    }

    fn header(packet: &[u8]) -> Header {
        Header::parse(packet).unwrap()
    }

    #[test]
    fn a_viewer_is_heard_under_our_numbers_and_with_the_camera_s_payload_type() {
        let (mut voice, now) = (voice(7), Instant::now());
        let one = voice.packet(&packet(1, 65_535, 160), now).unwrap();
        let two = voice.packet(&packet(1, 0, 320), now).unwrap();
        let (first, second) = (header(&one), header(&two));
        assert_eq!((first.payload_type, first.marker, second.marker), (97, true, false));
        assert_eq!(second.sequence, first.sequence.wrapping_add(1));
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
        assert!(first.ssrc == second.ssrc && first.ssrc != 1);
        assert_eq!(&two[12..], b"sound");
    }

    #[test]
    fn what_a_viewer_lost_stays_a_gap_and_what_overtook_stays_in_its_place() {
        let (mut voice, now) = (voice(7), Instant::now());
        let numbers: Vec<u16> = [10, 12, 11, 15]
            .map(|sequence| header(&voice.packet(&packet(1, sequence, 0), now).unwrap()).sequence)
            .iter()
            .map(|sequence| sequence.wrapping_sub(voice.first.0))
            .collect();
        assert_eq!(numbers, [0, 2, 1, 5]);
    }

    #[test]
    fn the_next_viewer_goes_on_where_the_last_one_stopped() {
        let (mut voice, now) = (voice(7), Instant::now());
        let before = header(&voice.packet(&packet(1, 500, 9_000_000), now).unwrap());
        let later = now + Duration::from_secs(3);
        let after = header(&voice.packet(&packet(2, 40_000, 17), later).unwrap());
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(24_000), "three seconds");
        assert!(after.marker && after.ssrc == before.ssrc);
    }

    #[test]
    fn csrcs_extensions_and_padding_are_left_out_and_runts_are_no_sound() {
        let mut voice = voice(7);
        let mut odd = vec![0xB1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        odd.extend([9; 4]); // a contributor
        odd.extend([0xBE, 0xDE, 0, 1, 1, 2, 3, 4]); // an extension
        odd.extend([b'h', b'i', 0, 2]); // two bytes of padding
        let sent = voice.packet(&odd, Instant::now()).unwrap();
        assert_eq!((sent[0], &sent[12..]), (0x80, &b"hi"[..]));
        for runt in [&[0x80; 11][..], &packet(1, 1, 1)[..12], b"", b"hello to you, camera"] {
            assert_eq!(voice.packet(runt, Instant::now()), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_viewers_send_there_is_one_source(packets in prop::collection::vec((0u32..3, any::<u16>(), any::<u32>(), 0u64..5000), 1..50)) {
            let (mut voice, mut now) = (voice(3), Instant::now());
            for (ssrc, sequence, timestamp, pause) in packets {
                now += Duration::from_millis(pause);
                let sent = header(&voice.packet(&packet(ssrc, sequence, timestamp), now).unwrap());
                prop_assert_eq!((sent.ssrc, sent.payload_type), (voice.ssrc, 97));
            }
        }
    }
}
