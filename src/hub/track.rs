//! One track on its way through the publisher.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::burst::BurstBuilder;
use super::stream::Stream;
use crate::codec::{AccessPoints, PacketKind};
use crate::metrics::TrackMetrics;
use crate::rtp::{Header, Jitter, Place, Timeline, WallTime};
use crate::sdp::Track;
use crate::vocabulary::TrackId;

/// What the publisher keeps of a track.
#[derive(Debug)]
pub(super) struct TrackState {
    /// As viewers know it.
    pub(super) track: Track,
    /// The payload type the camera uses now: another camera of the same stream may have another than viewers were told.
    pub(super) payload_type: u8,
    /// The generation of the description that brought the track in this form.
    pub(super) generation: u32,
    pub(super) timeline: Timeline,
    pub(super) access_points: AccessPoints,
    pub(super) jitter: Jitter,
    pub(super) metrics: Arc<TrackMetrics>,
    pub(super) last_key: Option<Duration>,
    pub(super) keyless: Keyless,
    /// A sender report that came before the packets it is about: the camera's time, and the timestamp of that time.
    pub(super) early_report: Option<(WallTime, u32)>,
    /// Its frames are pictures.
    pub(super) is_video: bool,
    /// The last packet was the last one of its frame.
    pub(super) marked: bool,
    /// Its last frame ended with a marker, so the present one will.
    pub(super) marks: bool,
    /// What the current burst adds to the statistics.
    pub(super) gathered: Gathered,
    /// The type, width and height of the last JPEG, as RFC 2435 section 3.1 sends them.
    pub(super) jpeg: Option<[u8; 3]>,
    recap: Recap,
    /// It has had an epoch before.
    has_run: bool,
    /// A packet of the relay's own making.
    scratch: Vec<u8>,
}

/// Which key frames get the parameter sets put in front of them, where the camera sends none in-band. A viewer of an
/// earlier session knows those of its own SDP only, and a decoder that went through an outage may have lost them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recap {
    /// None: viewers have the sets from the SDP.
    Off,
    /// The next one: an epoch begins.
    Next,
    /// All: the sets are others than some viewer was told, and who is behind may miss the first key frame.
    Every,
}

/// Whether a track whose codec has key frames does without: some encoders refresh the picture bit by bit instead.
#[derive(Debug, Default)]
pub(super) struct Keyless {
    /// When the first packet of the epoch arrived.
    since: Option<Duration>,
    /// The epoch has had an access point.
    refuted: bool,
}

/// What the packets of one burst add up to.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Of the last packet.
    pub(super) arrival: Duration,
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) frames: u64,
    pub(super) key: bool,
    pub(super) last_frame: Option<(Duration, u64)>,
}

impl TrackState {
    pub(super) fn new(track: &Track, generation: u32, stream: &Stream) -> Self {
        Self {
            track: track.clone(),
            payload_type: track.payload_type,
            generation,
            timeline: Timeline::new(track.clock_rate),
            access_points: AccessPoints::new(track.codec, track.fmtp.as_deref()),
            jitter: Jitter::default(),
            metrics: stream.metrics.track(track.id),
            last_key: None,
            keyless: Keyless::default(),
            early_report: None,
            is_video: track.kind == "video",
            marked: false,
            marks: false,
            gathered: Gathered::default(),
            jpeg: None,
            recap: Recap::Off,
            has_run: false,
            scratch: Vec::new(),
        }
    }

    /// An epoch begins in which the track is described like this; its payload type becomes the one viewers know.
    pub(super) fn begin(&mut self, track: &mut Track) {
        let access_points = AccessPoints::new(track.codec, track.fmtp.as_deref());
        let told = self.access_points.parameter_sets().filter(|sets| sets.is_complete(track.codec));
        if told.is_some_and(|told| access_points.parameter_sets().is_some_and(|sets| sets != told)) {
            self.recap = Recap::Every;
        }
        self.payload_type = std::mem::replace(&mut track.payload_type, self.track.payload_type);
        self.track = track.clone();
        self.access_points = access_points;
        self.timeline.start_epoch();
        self.keyless = Keyless::default();
        self.early_report = None;
    }

    /// The first packet of an epoch came.
    pub(super) fn restarted(&mut self) {
        self.jitter.restart();
        if self.recap == Recap::Off && self.has_run {
            self.recap = Recap::Next;
        }
        self.has_run = true;
    }

    /// Looks at the payload that begins a JPEG.
    pub(super) fn picture(&mut self, payload: &[u8]) {
        // A width or height of 0 is one that the header cannot tell.
        if let [_, _, _, _, kind, _, width @ 1..=u8::MAX, height @ 1..=u8::MAX, ..] = payload {
            self.jpeg = Some([*kind, *width, *height]);
        }
    }

    /// Puts the parameter sets in front of a packet with which viewers may start, where they are due and the packet brings
    /// none itself. Returns what the packet then is, and its place behind them.
    pub(super) fn recap(
        &mut self,
        id: TrackId,
        place: Place,
        kind: PacketKind,
        header: &Header,
        received: Instant,
        builder: &mut BurstBuilder,
    ) -> (Place, PacketKind) {
        let due = self.recap;
        if due == Recap::Next {
            self.recap = Recap::Off;
        }
        if due == Recap::Off || self.access_points.opens_with_parameter_sets() {
            return (place, kind);
        }
        let sets = self.access_points.parameter_sets().filter(|sets| sets.is_complete(self.track.codec));
        let Some(sets) = sets else { return (place, kind) };
        let (mut place, mut kind) = (place, kind);
        self.timeline.insert(sets.iter().count() as u64);
        for set in sets.iter() {
            let header = Header {
                marker: false,
                payload_type: self.track.payload_type,
                payload: Header::LEN..Header::LEN + set.len(),
                ..header.clone()
            };
            self.scratch.clear();
            self.scratch.extend(header.write());
            self.scratch.extend_from_slice(set);
            builder.push(id, &self.scratch, &header, place, kind, received);
            place.sequence += 1;
            // The first of them is the place to start, and what the camera's packet was up to now.
            (place.restarted, place.lost) = (false, 0);
            (kind.key, kind.frame_start) = (false, false);
        }
        (place, kind)
    }
}

impl Keyless {
    /// Whether a viewer may start with this packet although it begins no key frame, so that it does not wait for ever:
    /// any frame will do once the epoch has had no access point for [`KEY_PATIENCE`].
    pub(super) fn may_start(&mut self, kind: PacketKind, arrival: Duration) -> bool {
        self.refuted |= kind.key;
        let since = *self.since.get_or_insert(arrival);
        !self.refuted && kind.frame_start && arrival.saturating_sub(since) >= KEY_PATIENCE
    }
}

/// Longer than cameras usually go from one key frame to the next. One with more between them shows a damaged picture to
/// who comes in the first interval, rather than none.
const KEY_PATIENCE: Duration = Duration::from_secs(10);
