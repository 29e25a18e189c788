//! A picture in place of those of a camera that is away, for JPEG: the same track, the same numbers.

use std::time::{Duration, Instant};

use super::burst::{Burst, BurstBuilder};
use super::track::TrackState;
use crate::codec::{Codec, PacketKind};
use crate::jpeg::{self, ClipPackets, Frame};
use crate::rtp::Timeline;
use crate::vocabulary::TrackId;

/// What goes on with a track while its camera is away. The publisher lends it the track's numbers and takes them back.
#[derive(Debug)]
pub(super) struct Standby {
    track: TrackId,
    generation: u32,
    timeline: Timeline,
    builder: BurstBuilder,
    /// The type, width and height of the camera's pictures.
    size: (u8, u16, u16),
    name: String,
    /// Drawn when it is shown first.
    frame: Option<Frame>,
    packets: ClipPackets,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Standby {
    /// Stands in for the first JPEG track, once its size is known. `builder` is the publisher's, `name` the stream's.
    pub(super) fn new(
        tracks: &[TrackState],
        generation: u32,
        builder: &BurstBuilder,
        name: &str,
    ) -> Option<Self> {
        // By the static payload type, which is what the pictures are sent under.
        let is_jpeg = |state: &TrackState| {
            state.track.codec == Codec::Jpeg && state.track.payload_type == jpeg::PAYLOAD_TYPE
        };
        let (index, state) = tracks.iter().enumerate().find(|(_, state)| is_jpeg(state))?;
        let [kind, width, height] = state.jpeg?;
        let [width, height] = [width, height].map(|eighths| 8 * u16::from(eighths));
        let mut timeline = state.timeline.clone();
        timeline.start_epoch();
        Some(Self {
            track: TrackId(u8::try_from(index).ok()?),
            generation,
            timeline,
            builder: builder.continuing(),
            size: (kind, width, height),
            name: name.to_owned(),
            frame: None,
            packets: ClipPackets::new(PACKET_SIZE),
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
        })
    }

    /// The picture, for the moment `now`; `arrival` is the same since the stream was made.
    pub(super) fn picture(&mut self, now: Instant, arrival: Duration) -> Option<Burst> {
        let (kind, width, height) = self.size;
        if self.frame.is_none() {
            self.frame = Frame::card(kind, width, height, &["no signal", &self.name]);
        }
        let Self { timeline, builder, track, .. } = self;
        // Each picture is an epoch: its time is the wall clock's.
        timeline.start_epoch();
        self.timestamp = self.timestamp.wrapping_add(1);
        let mut first = true;
        let frame = self.frame.as_ref()?;
        self.sequence =
            self.packets.frame(frame, self.sequence, self.timestamp, self.ssrc, |packet, header| {
                let place = timeline.place(self.ssrc, header.sequence, header.timestamp, arrival);
                let kind = PacketKind { key: first, frame_start: first, ..PacketKind::default() };
                first = false;
                if let Some(place) = place {
                    builder.push(*track, packet, header, place, kind, now);
                }
            });
        self.builder.finish(self.generation)
    }

    /// Gives the numbers back.
    pub(super) fn give_back(self, tracks: &mut [TrackState], builder: &mut BurstBuilder) {
        if let Some(state) = tracks.get_mut(self.track.index()) {
            state.timeline = self.timeline;
            *builder = self.builder;
        }
    }
}

/// Fits an Ethernet frame with room for IPv6, UDP and a tunnel's headers.
const PACKET_SIZE: usize = 1400;
