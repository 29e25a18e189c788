//! Records as a file of libpcap's format, with frames made up around them.
//!
//! What was recorded had been taken out of its frames, its connection, its tunnel or TLS. Here it gets plain ones: RTSP over
//! TCP between 192.0.2.1 (the relay) and 192.0.2.2 port 554 (the camera), RTP and RTCP over UDP on port 5004 and 5005 and
//! two more for each track, whatever way they came. Addresses of RFC 5737, so that nobody takes them for real ones.

use super::{Kind, Record, Way};
use crate::rtp::WallTime;

/// The file: a header, and each record in a frame, with the time it had (`origin` is when the first microsecond began).
pub(super) fn write<'a>(records: impl Iterator<Item = Record<'a>>, origin: WallTime) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4u32.to_le_bytes()); // times in microseconds
    file.extend(2u16.to_le_bytes());
    file.extend(4u16.to_le_bytes());
    file.extend([0; 8]); // UTC, and nobody knows how exact
    file.extend(65_535u32.to_le_bytes());
    file.extend(1u32.to_le_bytes()); // Ethernet
    let mut sequences = [1u32; 2];
    for record in records {
        let frame = frame(&record, &mut sequences);
        let micros = (origin.0 / 1000).max(0) as u64 + record.at;
        let cut = usize::from(record.length).saturating_sub(record.bytes.len());
        file.extend(((micros / 1_000_000) as u32).to_le_bytes());
        file.extend(((micros % 1_000_000) as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(((frame.len() + cut) as u32).to_le_bytes());
        file.extend(frame);
    }
    file
}

fn frame(record: &Record<'_>, sequences: &mut [u32; 2]) -> Vec<u8> {
    let sent = record.way == Way::Sent;
    let (from, to) = if sent { (RELAY, CAMERA) } else { (CAMERA, RELAY) };
    let mut segment = Vec::with_capacity(20 + record.bytes.len());
    let (protocol, whole) = if record.kind == Kind::Rtsp {
        let (own, other) = (usize::from(!sent), usize::from(sent));
        let ports: [u16; 2] = if sent { [RELAY_PORT, 554] } else { [554, RELAY_PORT] };
        ports.iter().for_each(|port| segment.extend(port.to_be_bytes()));
        segment.extend(sequences[own].to_be_bytes());
        segment.extend(sequences[other].to_be_bytes());
        segment.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]); // 20 bytes, PSH and ACK
        sequences[own] = sequences[own].wrapping_add(record.bytes.len() as u32);
        segment.extend(record.bytes);
        let length = segment.len() as u16;
        let pseudo = [&from[..], &to, &[0, 6], &length.to_be_bytes(), &segment].concat();
        let sum = checksum(&pseudo);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        (6, segment.len())
    } else {
        let port = 5004 + 2 * u16::from(record.track.0) + u16::from(record.kind == Kind::Rtcp);
        let length = record.length.saturating_add(8);
        [port, port, length, 0].iter().for_each(|field| segment.extend(field.to_be_bytes()));
        segment.extend(record.bytes);
        (17, usize::from(length))
    };
    let mut frame = Vec::with_capacity(34 + segment.len());
    let (source, target) = if sent { (1, 2) } else { (2, 1) };
    frame.extend([2, 0, 0, 0, 0, target, 2, 0, 0, 0, 0, source, 8, 0]);
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[2..4].copy_from_slice(&u16::try_from(whole + 20).unwrap_or(u16::MAX).to_be_bytes());
    ip[12..16].copy_from_slice(&from);
    ip[16..20].copy_from_slice(&to);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    frame.extend(segment);
    frame
}

/// Of IP, TCP and UDP (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

const RELAY: [u8; 4] = [192, 0, 2, 1];
const CAMERA: [u8; 4] = [192, 0, 2, 2];

/// One of those that connections begin from.
const RELAY_PORT: u16 = 40_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::TrackId;

    #[test]
    fn a_dialogue_is_one_connection_both_ways() {
        let record =
            |at, way, bytes| Record { at, kind: Kind::Rtsp, way, track: TrackId(0), length: 4, bytes };
        let records =
            [record(1, Way::Sent, b"abcd"), record(2, Way::Received, b"efgh"), record(3, Way::Sent, b"ijkl")];
        let file = write(records.into_iter(), WallTime(1_700_000_000_000_000_000));
        let frames: Vec<&[u8]> = file[24..].chunks(16 + 58).map(|frame| &frame[16..]).collect();
        assert_eq!(file.len(), 24 + 3 * (16 + 58));
        let numbers = |frame: &[u8]| (frame[38..42].to_vec(), frame[42..46].to_vec(), frame[54..].to_vec());
        assert_eq!(numbers(frames[0]), (vec![0, 0, 0, 1], vec![0, 0, 0, 1], b"abcd".to_vec()));
        assert_eq!(numbers(frames[1]), (vec![0, 0, 0, 1], vec![0, 0, 0, 5], b"efgh".to_vec()));
        assert_eq!(numbers(frames[2]), (vec![0, 0, 0, 5], vec![0, 0, 0, 5], b"ijkl".to_vec()));
        assert_eq!(file[24..32], [0x00, 0xf1, 0x53, 0x65, 1, 0, 0, 0]);
        for frame in frames {
            assert_eq!(checksum(&frame[14..34]), 0, "a right sum adds up to nothing");
        }
    }
}
