//! The incident recorder of a stream: what was said with the camera, and the headers of what it sent, for a while back.
//!
//! Two rings of fixed size, so that media does not wash away the dialogue it followed from: the RTSP dialogue with RTCP,
//! and the first bytes of RTP packets. [`Capture::pcap`] makes a file of both that Wireshark opens. Secrets never get in:
//! the dialogue is [`cleaned`](clean) before it is kept.
//!
//! Of the relay's own ("direct") client everything is there, both ways. The library (retina) shows nobody its dialogue and
//! its RTCP: of its sessions there are the RTP packets. Of pictures and sound there are some bytes of each packet, which
//! tell what it is and show nothing.

mod clean;
mod pcap;
mod ring;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::rtp::WallTime;
use crate::vocabulary::TrackId;
use ring::Ring;

/// The recorder of one stream.
#[derive(Debug)]
pub struct Capture {
    made: Instant,
    origin: WallTime,
    age: Duration,
    /// Locked for each message and each report.
    dialogue: Mutex<Ring>,
    /// Locked once a burst by the publisher.
    packets: Mutex<Ring>,
}

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the camera.
    Received,
    /// To the camera.
    Sent,
}

/// One thing recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record<'a> {
    /// Microseconds since the stream was made.
    at: u64,
    kind: Kind,
    way: Way,
    track: TrackId,
    /// Its length before it was cut.
    length: u16,
    bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rtsp,
    Rtp,
    Rtcp,
}

impl Capture {
    /// Bytes kept of an RTP packet: the header, and what tells its payload's kind.
    pub const HEAD: usize = 32;
    /// Bytes kept of the dialogue.
    pub const DIALOGUE: usize = 64 * 1024;

    /// Of at most so many bytes of packets, and nothing older than `age`. With 0 bytes nothing is recorded.
    pub fn new(bytes: usize, age: Duration, made: Instant, origin: WallTime) -> Self {
        let dialogue = Ring::new(if bytes == 0 { 0 } else { Self::DIALOGUE });
        Self { made, origin, age, dialogue: Mutex::new(dialogue), packets: Mutex::new(Ring::new(bytes)) }
    }

    /// A message of the dialogue, whole, as it goes over the wire; without its secrets it is kept.
    pub fn message(&self, way: Way, message: &[u8], now: Instant) {
        let mut ring = lock(&self.dialogue);
        if ring.is_off() || message.is_empty() {
            return;
        }
        let clean = clean::message(message);
        let bytes = &clean.as_bytes()[..clean.len().min(MAX_MESSAGE)];
        let length = u16::try_from(clean.len()).unwrap_or(u16::MAX);
        let record = Record { at: self.micros(now), kind: Kind::Rtsp, way, track: TrackId(0), length, bytes };
        ring.append(&record);
    }

    /// An RTCP packet of a track.
    pub fn rtcp(&self, way: Way, track: TrackId, packet: &[u8], now: Instant) {
        let mut ring = lock(&self.dialogue);
        let (length, bytes) = (length_of(packet), &packet[..packet.len().min(MAX_RTCP)]);
        let record = Record { at: self.micros(now), kind: Kind::Rtcp, way, track, length, bytes };
        ring.append(&record);
    }

    /// What a publisher has [staged](Staged) since it last did this.
    pub(super) fn take(&self, staged: &mut Staged) {
        if !staged.records.is_empty() {
            lock(&self.packets).append_records(&staged.records);
            staged.records.clear();
        }
    }

    /// All that is not older than its age, in the order of time, as a file for Wireshark.
    pub fn pcap(&self, now: Instant) -> Vec<u8> {
        let from = self.micros(now).saturating_sub(self.age.as_micros() as u64);
        let mut records: Vec<(u64, Vec<u8>)> = Vec::new();
        for ring in [&self.dialogue, &self.packets] {
            lock(ring).each(|record| {
                if record.at >= from {
                    let mut bytes = Vec::new();
                    record.write(&mut bytes);
                    records.push((record.at, bytes));
                }
            });
        }
        records.sort_by_key(|(at, _)| *at);
        let records = records.iter().filter_map(|(_, bytes)| Some(Record::read(bytes)?.0));
        pcap::write(records, self.origin)
    }

    fn micros(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.made).as_micros() as u64
    }
}

/// Packets on their way into a [`Capture`]: gathered without a lock, handed over once a burst.
#[derive(Debug, Default)]
pub(super) struct Staged {
    records: Vec<u8>,
}

impl Staged {
    /// Notes a packet from the camera. Its memory is taken once and used again.
    pub(super) fn packet(&mut self, capture: &Capture, track: TrackId, packet: &[u8], received: Instant) {
        const RECORD: usize = Record::HEAD + Capture::HEAD;
        if self.records.capacity() == 0 {
            if lock(&capture.packets).is_off() {
                return;
            }
            self.records.reserve_exact(STAGED * RECORD);
        }
        if self.records.capacity() - self.records.len() < RECORD {
            capture.take(self);
        }
        let bytes = &packet[..packet.len().min(Capture::HEAD)];
        let (at, length) = (capture.micros(received), length_of(packet));
        let record = Record { at, kind: Kind::Rtp, way: Way::Received, track, length, bytes };
        record.write(&mut self.records);
    }
}

impl<'a> Record<'a> {
    /// Bytes before those of the packet: time, kind and way, track, length, length kept.
    const HEAD: usize = 14;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.at.to_le_bytes());
        out.push(self.kind as u8 | if self.way == Way::Sent { SENT } else { 0 });
        out.push(self.track.0);
        out.extend(self.length.to_le_bytes());
        out.extend(length_of(self.bytes).to_le_bytes());
        out.extend_from_slice(self.bytes);
    }

    /// The first record, and what follows.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (at, rest) = bytes.split_first_chunk::<8>()?;
        let (&[kind, track, a, b, c, d], rest) = rest.split_first_chunk::<6>()?;
        let (bytes, rest) = rest.split_at_checked(u16::from_le_bytes([c, d]).into())?;
        let way = if kind & SENT == 0 { Way::Received } else { Way::Sent };
        let kind = match kind & !SENT {
            0 => Kind::Rtsp,
            1 => Kind::Rtp,
            _ => Kind::Rtcp,
        };
        let (at, length) = (u64::from_le_bytes(*at), u16::from_le_bytes([a, b]));
        Some((Self { at, kind, way, track: TrackId(track), length, bytes }, rest))
    }
}

fn length_of(packet: &[u8]) -> u16 {
    u16::try_from(packet.len()).unwrap_or(u16::MAX)
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the byte of the kind.
const SENT: u8 = 0x80;

/// Packets staged; as many as a burst has at most.
const STAGED: usize = 512;

/// Bytes kept of a message: an SDP has some thousand.
const MAX_MESSAGE: usize = 8192;

/// Bytes kept of an RTCP packet.
const MAX_RTCP: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_comes_out_in_the_order_of_time_and_no_older_than_its_age() {
        let made = Instant::now();
        let capture = Capture::new(4096, Duration::from_secs(10), made, WallTime(0));
        let mut staged = Staged::default();
        let s = |seconds| made + Duration::from_secs(seconds);
        staged.packet(&capture, TrackId(1), &[0x80; 1400], s(1));
        capture.rtcp(Way::Sent, TrackId(1), &[0x81, 201, 0, 1, 0, 0, 0, 0], s(13));
        staged.packet(&capture, TrackId(1), &[0x80; 1400], s(12));
        staged.packet(&capture, TrackId(1), &[0x80; 8], s(14));
        capture.take(&mut staged);
        capture.message(Way::Sent, b"OPTIONS rtsp://u:hunter2@cam/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", s(11));
        let file = capture.pcap(s(15));
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("OPTIONS rtsp://***@cam/ RTSP/1.0\r\nCSeq: 1\r\n"), "{text}");
        let mut lengths = Vec::new();
        let mut rest = &file[24..];
        while let Some((head, after)) = rest.split_first_chunk::<16>() {
            let kept = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
            lengths.push((head[0], kept, u32::from_le_bytes([head[12], head[13], head[14], head[15]])));
            rest = &after[kept..];
        }
        assert_eq!(lengths[1..], [(12, 42 + 32, 42 + 1400), (13, 42 + 8, 42 + 8), (14, 42 + 8, 42 + 8)]);
        assert_eq!(lengths[0].0, 11);
    }

    #[test]
    fn a_recorder_that_is_off_takes_nothing() {
        let made = Instant::now();
        let capture = Capture::new(0, Duration::from_secs(10), made, WallTime(0));
        let mut staged = Staged::default();
        staged.packet(&capture, TrackId(0), &[0x80; 1400], made);
        capture.take(&mut staged);
        capture.message(Way::Sent, b"OPTIONS * RTSP/1.0\r\n\r\n", made);
        capture.rtcp(Way::Sent, TrackId(0), &[0x81; 8], made);
        assert_eq!((capture.pcap(made).len(), staged.records.capacity()), (24, 0));
    }

    #[test]
    fn staging_never_takes_more_memory_than_it_began_with() {
        let made = Instant::now();
        let capture = Capture::new(4096, Duration::from_secs(10), made, WallTime(0));
        let mut staged = Staged::default();
        for _ in 0..10 * STAGED {
            staged.packet(&capture, TrackId(0), &[0x80; 1400], made);
        }
        assert_eq!(staged.records.capacity(), STAGED * (Record::HEAD + Capture::HEAD));
    }
}
