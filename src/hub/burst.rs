//! Packets published together.
//!
//! A burst is what one read of the source delivered, or several reads of one frame (`coalesce`). It is the unit of everything behind the source: one slot of the
//! ring, one wake-up of a worker, one write to each viewer's socket. The packets lie in one piece of memory, already framed for
//! an interleaved connection, so that a viewer's write is that memory with 12 bytes of each packet changed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::codec::{Cutting, PacketKind};
use crate::rtp::{Header, Place};
use crate::vocabulary::TrackId;

/// Packets that travel together, in order, unchanging and shared.
#[derive(Debug)]
pub struct Burst {
    pub(super) id: u64,
    pub(super) generation: u32,
    pub(super) received: Instant,
    pub(super) packets: Box<[Packet]>,
    pub(super) wire: Box<[u8]>,
    /// The same for viewers over UDP, made when the first of them asks, where a packet is too long for a datagram.
    pub(super) datagrams: OnceLock<Box<Self>>,
    pub(super) only_track: Option<TrackId>,
}

/// One RTP packet of a burst.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Where its frame starts in [`Burst::wire`].
    pub(super) start: u32,
    /// Length of the RTP packet, without the 4 bytes of framing.
    pub(super) length: u16,
    /// The track it belongs to.
    pub track: TrackId,
    /// A viewer may start with this packet.
    pub key: bool,
    /// The first packet of a frame.
    pub frame_start: bool,
    /// The last packet of a frame.
    pub marker: bool,
    /// No other frame needs the one it belongs to, and nothing of that frame stands in the way of leaving it out as a
    /// whole. Holds from the first packet of a frame on that is in the burst.
    pub droppable: bool,
    /// How its payload can be cut for a datagram.
    pub cutting: Cutting,
    /// Made of the packet before it: it takes a sequence number of its own, on top of those of the timeline.
    pub added: bool,
    /// Too long for a datagram and not to be cut: its header only is left, to be counted.
    pub oversized: bool,
    /// The first packet of an epoch: what follows does not build on what came before.
    pub restarted: bool,
    /// The frame it belongs to, counted per track from 1 and wrapping: how many frames lie between two packets is
    /// arithmetic, also for a viewer that has not seen the bursts between them.
    pub frame: u32,
    /// Sequence number on the stream's timeline.
    pub sequence: u64,
    /// Timestamp on the stream's timeline, in ticks of the track's clock.
    pub timestamp: u64,
}

impl Burst {
    /// Different for every burst of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Which description the packets belong to; a viewer of an earlier one has to describe again.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// When its oldest packet arrived.
    pub fn received(&self) -> Instant {
        self.received
    }

    /// The packets, in order of arrival.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The track, where all packets are of one and none begins an epoch: nothing needs to be decided packet by packet.
    pub fn only_track(&self) -> Option<TrackId> {
        self.only_track
    }

    /// All packets, each behind `$`, a channel to be filled in, and its length
    /// ([RFC 2326 section 10.12](https://datatracker.ietf.org/doc/html/rfc2326#section-10.12)).
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }
}

impl Packet {
    /// The bytes of framing before each packet.
    pub const FRAMING: usize = 4;

    /// Where the framed packet stands in [`Burst::wire`].
    pub fn framed(&self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + Self::FRAMING + usize::from(self.length)
    }

    /// Length of the RTP packet in bytes.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Never: the hub admits no packet without a header.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Collects the packets of the next burst; its buffers are used again.
#[derive(Debug, Default)]
pub struct BurstBuilder {
    received: Option<Instant>,
    packets: Vec<Packet>,
    wire: Vec<u8>,
    /// Frames so far, by track.
    frames: Vec<u32>,
    /// By packet: it says something about its frame, and is nothing of it.
    supplements: Vec<bool>,
    /// By track.
    cuttings: Vec<Cutting>,
    /// Used again by [`Self::judge_frames`].
    runs: Vec<Run>,
}

/// The packets of a burst that belong to one frame.
#[derive(Debug)]
struct Run {
    track: TrackId,
    frame: u32,
    /// Something in it is needed.
    needed: bool,
    /// There is a part of a picture in it.
    picture: bool,
}

impl BurstBuilder {
    /// From now on the payloads of the tracks can be cut like this.
    pub fn cut_as(&mut self, tracks: impl IntoIterator<Item = Cutting>) {
        self.cuttings = tracks.into_iter().collect();
    }

    /// Adds a packet whose header has been validated. Packets longer than 65,535 bytes cannot be framed and are left
    /// out; no transport delivers them.
    pub fn push(
        &mut self,
        track: TrackId,
        packet: &[u8],
        header: &Header,
        place: Place,
        kind: PacketKind,
        received: Instant,
    ) {
        let (Ok(length), Ok(start)) = (u16::try_from(packet.len()), u32::try_from(self.wire.len())) else {
            return;
        };
        if self.frames.len() <= track.index() {
            self.frames.resize(track.index() + 1, 0);
        }
        let frame = &mut self.frames[track.index()];
        *frame = frame.wrapping_add(u32::from(kind.frame_start));
        let frame = *frame;
        self.received.get_or_insert(received);
        self.wire.extend([b'$', 0]);
        self.wire.extend(length.to_be_bytes());
        self.wire.extend_from_slice(packet);
        self.packets.push(Packet {
            start,
            length,
            track,
            key: kind.key,
            frame_start: kind.frame_start,
            marker: header.marker,
            droppable: kind.droppable,
            cutting: self.cuttings.get(track.index()).copied().unwrap_or_default(),
            added: false,
            oversized: false,
            restarted: place.restarted,
            frame,
            sequence: place.sequence,
            timestamp: place.timestamp,
        });
        self.supplements.push(kind.supplement);
    }

    /// Extends what is said of single packets to their frames: one packet that is needed keeps its frame.
    fn judge_frames(&mut self) {
        if !self.packets.iter().any(|packet| packet.droppable) {
            return;
        }
        self.runs.clear();
        let run_of = |runs: &mut Vec<Run>, packet: &Packet| {
            let newest = runs.iter().rposition(|run| run.track == packet.track);
            newest.filter(|at| runs[*at].frame == packet.frame).unwrap_or_else(|| {
                runs.push(Run { track: packet.track, frame: packet.frame, needed: false, picture: false });
                runs.len() - 1
            })
        };
        for (packet, supplement) in self.packets.iter().zip(&self.supplements) {
            let at = run_of(&mut self.runs, packet);
            self.runs[at].picture |= packet.droppable;
            self.runs[at].needed |= !packet.droppable && !supplement;
        }
        for packet in &mut self.packets {
            let of_packet = |run: &&Run| run.track == packet.track && run.frame == packet.frame;
            let run = self.runs.iter().rfind(of_packet);
            packet.droppable = run.is_some_and(|run| run.picture && !run.needed);
        }
    }

    /// An empty one that counts the frames on.
    pub fn continuing(&self) -> Self {
        Self { frames: self.frames.clone(), ..Self::default() }
    }

    /// When the first packet arrived, if there is one.
    pub(super) fn since(&self) -> Option<Instant> {
        self.received
    }

    /// Gives the packet pushed last this payload type.
    pub fn relabel(&mut self, payload_type: u8) {
        let Some(packet) = self.packets.last() else { return };
        if let Some(second) = self.wire.get_mut(packet.start as usize + Packet::FRAMING + 1) {
            *second = *second & 0x80 | payload_type & 0x7f;
        }
    }

    /// Whether the burst has grown so large that it should not wait for more.
    pub fn is_full(&self) -> bool {
        self.wire.len() >= MAX_BYTES || self.packets.len() >= MAX_PACKETS
    }

    /// The burst, if there is anything in it.
    pub fn finish(&mut self, generation: u32) -> Option<Burst> {
        let received = self.received.take()?;
        self.judge_frames();
        let burst = Burst {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            generation,
            received,
            packets: self.packets.as_slice().into(),
            wire: self.wire.as_slice().into(),
            only_track: only_track(&self.packets),
            datagrams: OnceLock::new(),
        };
        self.packets.clear();
        self.supplements.clear();
        self.wire.clear();
        if self.wire.capacity() > 4 * MAX_BYTES {
            self.wire.shrink_to(MAX_BYTES);
        }
        Some(burst)
    }
}

fn only_track(packets: &[Packet]) -> Option<TrackId> {
    let track = packets.first()?.track;
    packets
        .iter()
        .all(|packet| packet.track == track && !packet.restarted && !packet.added && !packet.oversized)
        .then_some(track)
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A burst is closed at this size, so that a viewer's unsent remainder stays small.
const MAX_BYTES: usize = 256 * 1024;
/// A burst is closed at this many packets, for cameras that send very small ones.
const MAX_PACKETS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stand_framed_in_one_piece() {
        let mut builder = BurstBuilder::default();
        let raw =
            Header { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, payload: 12..12 };
        let place = Place { sequence: 10, timestamp: 20, lost: 0, reordered: false, restarted: false };
        for _ in 0..2 {
            builder.push(TrackId(0), &raw.write(), &raw, place, PacketKind::default(), Instant::now());
        }
        let burst = builder.finish(3).unwrap();
        assert_eq!(burst.wire().len(), 32);
        assert_eq!(&burst.wire()[burst.packets()[1].framed()][..4], [b'$', 0, 0, 12]);
        assert_eq!(burst.generation(), 3);
        assert!(builder.finish(3).is_none(), "an empty burst is none");
    }

    #[test]
    fn a_frame_is_droppable_as_a_whole_or_not_at_all() {
        const VIDEO: TrackId = TrackId(0);
        const SOUND: TrackId = TrackId(1);
        let mut builder = BurstBuilder::default();
        let raw =
            Header { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, payload: 12..12 };
        let place = Place { sequence: 10, timestamp: 20, lost: 0, reordered: false, restarted: false };
        let mut push = |track, frame_start, droppable, supplement| {
            let kind = PacketKind { key: false, frame_start, droppable, supplement };
            builder.push(track, &raw.write(), &raw, place, kind, Instant::now());
        };
        push(VIDEO, true, false, true); // a delimiter
        push(SOUND, true, false, false);
        push(VIDEO, false, true, false);
        push(VIDEO, true, true, false);
        push(VIDEO, false, false, false); // one slice is needed
        push(VIDEO, true, false, true); // what comes behind it decides, and is not here
        let burst = builder.finish(0).unwrap();
        let droppable: Vec<bool> = burst.packets().iter().map(|packet| packet.droppable).collect();
        assert_eq!(droppable, [true, false, true, false, false, false]);
    }

    #[test]
    fn a_burst_is_full_before_it_grows_past_its_bound() {
        let mut builder = BurstBuilder::default();
        let raw =
            Header { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, payload: 12..12 };
        let place = Place { sequence: 10, timestamp: 20, lost: 0, reordered: false, restarted: false };
        let mut packet = raw.write().to_vec();
        packet.resize(60_000, 0);
        let mut packets = 0;
        while !builder.is_full() {
            builder.push(TrackId(0), &packet, &raw, place, PacketKind::default(), Instant::now());
            packets += 1;
        }
        assert_eq!(packets, 5);
    }
}
