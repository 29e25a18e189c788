//! What a session has delivered while it is not the one that is published: everything since its newest key frame.
//!
//! Bounded in packets and bytes; a group of pictures that outgrows the bounds is dropped, and the next key frame begins a
//! new one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::session::{Event, Packet};
use crate::codec::{AccessPoints, PacketKind};
use crate::rtp::Header;
use crate::sdp::Description;
use crate::vocabulary::TrackId;

/// Holds back what a session delivers, and says when it has proven that it delivers pictures.
#[derive(Debug)]
pub(super) struct Backlog {
    /// The track whose key frames count: the first video track whose codec has them. Without one, any packet is proof.
    video: Option<(TrackId, u8, AccessPoints)>,
    events: VecDeque<Event>,
    bytes: usize,
    /// The backlog begins with a key frame.
    has_key: bool,
    proof: Proof,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// How far a session is with proving that it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// Nothing has come.
    None,
    /// Something has.
    Packets,
    /// A whole key frame, or something of a session that needs none.
    Pictures,
}

impl Backlog {
    /// Of a session with these tracks.
    pub(super) fn new(description: &Description) -> Self {
        let video = description.tracks.iter().find(|track| track.codec.has_key_frames()).map(|track| {
            (track.id, track.payload_type, AccessPoints::new(track.codec, track.fmtp.as_deref()))
        });
        Self {
            video,
            events: VecDeque::new(),
            bytes: 0,
            has_key: false,
            proof: Proof::None,
            first: None,
            last: None,
        }
    }

    /// Takes what comes next.
    pub(super) fn push(&mut self, event: Event) {
        if let Event::Packet(packet) = &event {
            self.first.get_or_insert(packet.received);
            self.last = Some(packet.received);
            self.inspect(packet);
            self.bytes += packet.bytes().len();
        }
        self.events.push_back(event);
        if self.events.len() > MAX_PACKETS || self.bytes > MAX_BYTES {
            self.clear();
            self.has_key = false;
        }
    }

    /// How far the proof is. It holds for the session, not for what is held back: see [`Self::has_key`].
    pub(super) fn proof(&self) -> Proof {
        self.proof
    }

    /// Whether a viewer that gets what is held back has a key frame to start with.
    pub(super) fn has_key(&self) -> bool {
        self.has_key || (self.video.is_none() && self.proof == Proof::Pictures)
    }

    /// The track whose key frames count.
    pub(super) fn video(&self) -> Option<TrackId> {
        self.video.as_ref().map(|(track, ..)| *track)
    }

    /// When the last packet came.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Gives what is held back, oldest first.
    pub(super) fn into_events(self) -> impl Iterator<Item = Event> {
        self.events.into_iter()
    }

    fn inspect(&mut self, packet: &Packet) {
        self.proof = self.proof.max(Proof::Packets);
        let Some((track, payload_type, access_points)) = &mut self.video else {
            self.proof = Proof::Pictures;
            // Every packet stands alone: those of the last moments will do.
            if self
                .first
                .is_some_and(|first| packet.received.saturating_duration_since(first) >= KEYLESS_SPAN)
            {
                self.first = Some(packet.received);
                self.clear();
            }
            return;
        };
        if packet.track != *track {
            return;
        }
        let Ok(header) = Header::parse(packet.bytes()) else { return };
        let kind = if header.payload_type == *payload_type {
            access_points.inspect(&packet.bytes()[header.payload.clone()], header.timestamp)
        } else {
            PacketKind::default()
        };
        // Some encoders have no key frames and refresh the picture bit by bit.
        let waited = self.first.is_some_and(|first| packet.received.duration_since(first) >= KEY_PATIENCE);
        if kind.key || (kind.frame_start && waited && !self.has_key) {
            self.clear();
            self.has_key = true;
        } else if kind.frame_start && self.has_key {
            self.proof = Proof::Pictures; // the frame before was the key frame, and it is complete
        }
        if header.marker && self.has_key {
            self.proof = Proof::Pictures;
        }
    }

    fn clear(&mut self) {
        // What a sender report says stays true.
        self.events.retain(|event| matches!(event, Event::Report { .. }));
        let reports = self.events.len().saturating_sub(MAX_REPORTS);
        self.events.drain(..reports);
        self.bytes = 0;
    }
}

/// A group of pictures of 20 Mbit/s and six seconds.
const MAX_BYTES: usize = 16 << 20;

/// The same group in packets.
const MAX_PACKETS: usize = 16_384;

/// Sender reports from before the key frame: one for each of a few tracks.
const MAX_REPORTS: usize = 8;

/// As long as the publisher waits for a key frame before it takes any frame for one.
const KEY_PATIENCE: Duration = Duration::from_secs(10);

/// Of tracks without key frames this much is held back.
const KEYLESS_SPAN: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::Codec;
    use crate::sdp;
    use crate::source::session::Data;

    /// H.264 and PCMU.
    pub(in crate::source) fn description() -> Description {
        let text = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                    a=rtpmap:96 H264/90000\r\na=control:track0\r\nm=audio 0 RTP/AVP 0\r\na=control:track1\r\n";
        let description = Description::from_sdp(&sdp::parse(text.as_bytes()).unwrap());
        assert_eq!(description.tracks[0].codec, Codec::H264);
        description
    }

    /// A packet of the video track: one NAL unit with a header of `nal`, and the marker bit.
    pub(in crate::source) fn video(nal: u8, sequence: u16, timestamp: u32, received: Instant) -> Event {
        packet(TrackId(0), 96 | 0x80, nal, sequence, timestamp, received)
    }

    pub(in crate::source) fn audio(sequence: u16, received: Instant) -> Event {
        packet(TrackId(1), 0, 0x55, sequence, u32::from(sequence) * 160, received)
    }

    fn packet(
        track: TrackId,
        second: u8,
        body: u8,
        sequence: u16,
        timestamp: u32,
        received: Instant,
    ) -> Event {
        let mut bytes = vec![0x80, second];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(u32::from(track.0).to_be_bytes());
        bytes.extend([body, 0x88, 1, 2, 3]);
        Event::Packet(Packet { track, received, data: Data::Bytes(Bytes::from(bytes)) })
    }

    /// NAL unit headers.
    pub(in crate::source) const SPS: u8 = 0x67;
    pub(in crate::source) const IDR: u8 = 0x65;
    pub(in crate::source) const INTER: u8 = 0x41;

    #[test]
    fn the_backlog_begins_with_the_newest_key_frame_and_its_parameter_sets() {
        let now = Instant::now();
        let mut backlog = Backlog::new(&description());
        assert_eq!(backlog.proof(), Proof::None);
        backlog.push(audio(1, now));
        backlog.push(video(INTER, 1, 0, now));
        assert_eq!((backlog.proof(), backlog.has_key()), (Proof::Packets, false));
        backlog.push(video(SPS, 2, 3600, now));
        backlog.push(video(IDR, 3, 3600, now));
        assert_eq!((backlog.proof(), backlog.has_key()), (Proof::Pictures, true));
        backlog.push(audio(2, now));
        backlog.push(video(INTER, 4, 7200, now));
        assert_eq!(backlog.events.len(), 4);
        backlog.push(video(SPS, 5, 10_800, now));
        assert_eq!(backlog.into_events().count(), 1);
    }

    #[test]
    fn a_key_frame_that_is_not_complete_is_no_proof() {
        let now = Instant::now();
        let mut backlog = Backlog::new(&description());
        let Event::Packet(mut first) = video(SPS, 1, 0, now) else { panic!("a packet") };
        let mut bytes = first.bytes().to_vec();
        bytes[1] &= 0x7f;
        first.data = Data::Bytes(bytes.into());
        backlog.push(Event::Packet(first));
        assert_eq!((backlog.proof(), backlog.has_key()), (Proof::Packets, true));
        backlog.push(video(IDR, 2, 0, now));
        assert_eq!(backlog.proof(), Proof::Pictures);
    }

    #[test]
    fn gradual_refresh_is_taken_for_pictures_after_a_while() {
        let now = Instant::now();
        let mut backlog = Backlog::new(&description());
        for i in 0..400u16 {
            let at = now + Duration::from_millis(40) * u32::from(i);
            backlog.push(video(INTER, i, u32::from(i) * 3600, at));
            let late = at - now >= KEY_PATIENCE;
            assert_eq!(backlog.proof() == Proof::Pictures, late, "{i}");
        }
    }

    #[test]
    fn the_backlog_is_bounded() {
        let now = Instant::now();
        let mut backlog = Backlog::new(&description());
        backlog.push(video(IDR, 0, 0, now));
        for i in 0..40_000u32 {
            backlog.push(video(INTER, i as u16, 3600, now));
            assert!(backlog.events.len() <= MAX_PACKETS && backlog.bytes <= MAX_BYTES);
        }
        assert!(!backlog.has_key() && backlog.proof() == Proof::Pictures);
        backlog.push(video(IDR, 1, 7200, now));
        assert!(backlog.has_key());
    }

    #[test]
    fn without_video_any_packet_is_proof() {
        let mut description = description();
        description.tracks.remove(0);
        let mut backlog = Backlog::new(&description);
        let now = Instant::now();
        for i in 0..1000u16 {
            backlog.push(audio(i, now + Duration::from_millis(20) * u32::from(i)));
            assert!(backlog.has_key() && backlog.events.len() <= 51);
        }
    }
}
