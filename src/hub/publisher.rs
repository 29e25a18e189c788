//! The writing end of a stream: one to a stream, by type.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::Context;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::Sleep;

use super::burst::BurstBuilder;
use super::coalesce::Coalescing;
use super::status::{Failure, TrackStats};
use super::stream::Stream;
use crate::codec::{AccessPoints, Codec, PacketKind};
use crate::config::MAX_COALESCE;
use crate::metrics::TrackMetrics;
use crate::rtp::{Header, HeaderError, Jitter, StreamClock, Timeline, WallTime};
use crate::sdp::{Description, Track};
use crate::vocabulary::{Disconnect, FailureClass, Phase, TrackId, Transport};

/// Publishes what a source delivers: numbers it once for all viewers, marks where a viewer may start, and gathers
/// bursts for the ring. Not `Clone`: a stream has exactly one writer.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    generation: u32,
    tracks: Vec<TrackState>,
    builder: BurstBuilder,
    /// When the last packet of this session came: an outage begins there, not where it is noticed.
    last_packet: Option<Instant>,
    coalescing: Coalescing,
    /// Ends the wait for the rest of a frame; made when there is something to wait for.
    patience: Option<Pin<Box<Sleep>>>,
    /// The packets gathered hold the end of a picture: nothing in them is worth waiting for.
    picture_ended: bool,
}

#[derive(Debug)]
struct TrackState {
    track: Track,
    timeline: Timeline,
    access_points: AccessPoints,
    jitter: Jitter,
    metrics: Arc<TrackMetrics>,
    last_key: Option<Duration>,
    keyless: Keyless,
    /// A sender report that came before the packets it is about: the camera's time, and the timestamp of that time.
    early_report: Option<(WallTime, u32)>,
    is_video: bool,
    /// The last packet was the last one of its frame.
    marked: bool,
    /// Its last frame ended with a marker, so the present one will.
    marks: bool,
    /// What the current burst adds to the statistics.
    gathered: Gathered,
}

/// Whether a track whose codec has key frames does without: some encoders refresh the picture bit by bit instead.
#[derive(Debug, Default)]
struct Keyless {
    /// When the first packet of the epoch arrived.
    since: Option<Duration>,
    /// The epoch has had an access point.
    refuted: bool,
}

#[derive(Debug, Default)]
struct Gathered {
    packets: u64,
    bytes: u64,
    /// Of the last packet.
    arrival: Duration,
    lost: u64,
    reordered: u64,
    frames: u64,
    key: bool,
    last_frame: Option<(Duration, u64)>,
}

impl Publisher {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self {
            stream,
            generation: 0,
            tracks: Vec::new(),
            builder: BurstBuilder::default(),
            last_packet: None,
            coalescing: Coalescing::new(MAX_COALESCE),
            patience: None,
            picture_ended: false,
        }
    }

    /// The first packets of a frame wait at most this long for the last one (by default [`MAX_COALESCE`], which is the most).
    pub fn coalesce(&mut self, limit: Duration) {
        self.coalescing = Coalescing::new(limit);
    }

    /// The stream it writes.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Nobody watches an on-demand source.
    pub fn idle(&mut self) {
        self.enter(Phase::Idle);
        self.stream.outage_ends(Instant::now());
    }

    /// An attempt begins.
    pub fn connecting(&mut self) {
        self.stream.outage_begins(Instant::now());
        self.enter(Phase::Connecting);
    }

    /// The source was described: an epoch of these tracks begins. Where they differ from those before, viewers are
    /// disconnected so that they describe again.
    pub fn begin(&mut self, description: Description) {
        if self.stream.is_closed() {
            return;
        }
        self.flush();
        let known = self.stream.status.borrow().described.clone();
        if known.is_some_and(|known| known.description.same_tracks(&description)) {
            for (state, track) in self.tracks.iter_mut().zip(&description.tracks) {
                state.timeline.start_epoch();
                state.jitter.restart();
                state.access_points = AccessPoints::new(track.codec, track.fmtp.as_deref());
                state.keyless = Keyless::default();
                state.early_report = None;
                state.track = track.clone();
            }
            self.stream.clock().start_epoch();
        } else {
            self.generation += 1;
            self.builder = BurstBuilder::default();
            for state in &self.tracks {
                state.metrics.fps.set(0.0); // there may be no such track any more
            }
            self.tracks =
                description.tracks.iter().map(|track| TrackState::new(track, &self.stream)).collect();
            let rates = description.tracks.iter().map(|track| track.clock_rate);
            *self.stream.clock() = StreamClock::new(self.stream.wall(Duration::ZERO), rates);
            *self.stream.stats.lock().unwrap_or_else(PoisonError::into_inner) =
                vec![TrackStats::default(); self.tracks.len()];
            self.stream.disconnect_viewers(Disconnect::StreamChanged);
        }
        let mut description = description;
        for (state, track) in self.tracks.iter().zip(&mut description.tracks) {
            if let Some(sets) = state.access_points.parameter_sets() {
                track.set_parameter_sets(sets);
            }
        }
        self.describe(description);
    }

    /// Packets come, over this transport if it is a camera: the source is live.
    pub fn live(&mut self, transport: Option<Transport>) {
        if self.stream.is_closed() {
            return;
        }
        let metrics = &self.stream.metrics;
        metrics.connects.inc();
        metrics.phase(Phase::Live);
        metrics.retry_attempt.set(0);
        metrics.retry_delay.set(0.0);
        self.stream.outage_ends(Instant::now());
        self.last_packet = None;
        self.stream.status.send_modify(|status| {
            status.enter(Phase::Live);
            status.attempt = 0;
            status.sessions += 1;
            status.transport = transport;
            status.decision = None;
            if status.sessions > 1 {
                metrics.reconnects.inc();
            }
        });
    }

    /// The session or the attempt failed; the next attempt comes after `delay`.
    /// `why` says in words what was decided.
    pub fn failed(&mut self, class: FailureClass, message: String, delay: Duration, why: String) {
        self.flush();
        if self.stream.is_closed() {
            return;
        }
        let metrics = &self.stream.metrics;
        metrics.failure(class);
        metrics.phase(Phase::Retrying);
        metrics.retry_delay.set(delay.as_secs_f64());
        self.stream.outage_begins(self.last_packet.take().unwrap_or_else(Instant::now));
        self.stream.status.send_modify(|status| {
            status.enter(Phase::Retrying);
            status.attempt += 1;
            status.next_try = Some(Instant::now() + delay);
            status.last_failure = Some(Failure { class, message, at: SystemTime::now() });
            status.decision = Some(why);
            metrics.retry_attempt.set(i64::from(status.attempt));
        });
    }

    /// Takes one RTP packet as the source sent it.
    ///
    /// # Errors
    /// What is no RTP packet, or of no track, is left out.
    pub fn packet(
        &mut self,
        track: TrackId,
        packet: &[u8],
        received: Instant,
    ) -> Result<PacketKind, HeaderError> {
        let header = Header::parse(packet)?;
        let Some(state) = self.tracks.get_mut(track.index()) else { return Ok(PacketKind::default()) };
        self.last_packet = Some(received);
        let arrival = self.stream.elapsed(received);
        let gathered = &mut state.gathered;
        gathered.packets += 1;
        gathered.bytes += packet.len() as u64;
        gathered.arrival = arrival;
        let Some(place) = state.timeline.place(header.ssrc, header.sequence, header.timestamp, arrival)
        else {
            return Ok(PacketKind::default()); // a repetition
        };
        gathered.lost += place.lost;
        gathered.reordered += u64::from(place.reordered);
        if place.restarted {
            state.jitter.restart();
        }
        let mut kind = if header.payload_type == state.track.payload_type && !place.reordered {
            state.access_points.inspect(&packet[header.payload.clone()], header.timestamp)
        } else {
            PacketKind::default()
        };
        if kind.frame_start {
            state.marks = state.marked;
            if state.is_video {
                self.coalescing.frame(arrival);
            }
            let rate = f64::from(state.track.clock_rate.max(1));
            state.jitter.arrived(place.timestamp as f64 / rate, arrival.as_secs_f64());
            gathered.frames += 1;
            gathered.last_frame = Some((arrival, place.timestamp));
        }
        gathered.key |= kind.key;
        state.marked = header.marker;
        self.picture_ended |= header.marker && state.is_video;
        kind.key |= state.track.codec.has_key_frames() && state.keyless.may_start(kind, arrival);
        self.builder.push(track, packet, &header, place, kind, received);
        if self.builder.is_full() {
            self.flush();
        }
        Ok(kind)
    }

    /// Takes what the camera says of its clock in a sender report: `ntp` is the camera's time of `timestamp`.
    pub fn sender_report(&mut self, track: TrackId, ntp: WallTime, timestamp: u32) {
        let Some(state) = self.tracks.get_mut(track.index()) else { return };
        self.stream.metrics.clock_offset.set(ntp.since(SystemTime::now().into()) as f64 / 1e9);
        match state.timeline.timestamp(timestamp) {
            Some(timestamp) => self.stream.clock().sender_report(track, timestamp, ntp),
            None => state.early_report = Some((ntp, timestamp)),
        }
    }

    /// There are no more packets at the moment: publishes those gathered so far, at once or when they have waited long enough
    /// for the rest of their frame. Then the task of `cx` is woken, and has to call this again.
    pub fn settle(&mut self, cx: &mut Context<'_>) {
        let Some(since) = self.builder.since() else { return };
        let waits = |state: &TrackState| state.is_video && state.marks && !state.marked;
        let hold = if !self.picture_ended && self.tracks.iter().any(waits) {
            self.coalescing.hold(self.stream.metrics.all_viewers())
        } else {
            Duration::ZERO
        };
        if hold > Duration::ZERO {
            let until = tokio::time::Instant::from_std(since + hold);
            let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if patience.deadline() != until {
                patience.as_mut().reset(until);
            }
            if patience.as_mut().poll(cx).is_pending() {
                return;
            }
        }
        self.flush();
    }

    /// Publishes the packets gathered so far.
    pub fn flush(&mut self) {
        self.picture_ended = false;
        let Some(burst) = self.builder.finish(self.generation) else { return };
        // Fails when nobody watches, which is no failure.
        let _ = self.stream.ring.send(Arc::new(burst));
        self.count();
    }

    /// Adds what the burst brought to the statistics, and looks for new parameter sets.
    fn count(&mut self) {
        let stream = &self.stream;
        let mut learned = false;
        {
            let mut stats = stream.stats.lock().unwrap_or_else(PoisonError::into_inner);
            let mut clock = stream.clock();
            for (index, (state, stats)) in self.tracks.iter_mut().zip(stats.iter_mut()).enumerate() {
                let gathered = std::mem::take(&mut state.gathered);
                if gathered.packets == 0 {
                    continue;
                }
                let metrics = &state.metrics;
                metrics.received_packets.inc_by(gathered.packets);
                metrics.received_bytes.inc_by(gathered.bytes);
                metrics.lost_packets.inc_by(gathered.lost);
                metrics.reordered_packets.inc_by(gathered.reordered);
                stats.bit_rate.arrived(gathered.bytes, gathered.arrival);
                if gathered.key
                    && state.track.codec.has_key_frames()
                    && let Some(last) = state.last_key.replace(gathered.arrival)
                {
                    let interval = gathered.arrival.saturating_sub(last);
                    stats.key_frame_interval = Some(interval);
                    stream.metrics.key_frame_interval.set(interval.as_secs_f64());
                }
                learned |= state.access_points.parameter_sets_changed();
                // The rest is about frames, which begin in this burst or do not.
                let Some((arrival, timestamp)) = gathered.last_frame else { continue };
                metrics.frames.inc_by(gathered.frames);
                metrics.jitter.set(state.jitter.seconds());
                metrics.last_frame.set(stream.wall(arrival).as_secs_f64());
                let track = TrackId(index as u8);
                clock.arrived(track, timestamp, arrival);
                if let Some((ntp, timestamp)) = state.early_report.take()
                    && let Some(timestamp) = state.timeline.timestamp(timestamp)
                {
                    clock.sender_report(track, timestamp, ntp);
                }
                for _ in 0..gathered.frames {
                    stats.rate.arrived(arrival);
                }
                stats.last_frame = Some(arrival);
                stats.camera_delay = clock.camera_delay(track);
            }
        }
        if learned {
            self.learn();
        }
    }

    /// Completes the description with parameter sets that came in-band.
    fn learn(&mut self) {
        let Some(known) = self.stream.status.borrow().described.clone() else { return };
        let mut description = (*known.description).clone();
        for (state, track) in self.tracks.iter().zip(&mut description.tracks) {
            if let Some(sets) = state.access_points.parameter_sets() {
                track.set_parameter_sets(sets);
            }
        }
        if description != *known.description || !known.complete {
            self.describe(description);
        }
    }

    fn describe(&self, description: Description) {
        let complete = self.tracks.iter().all(|state| match state.track.codec {
            codec @ (Codec::H264 | Codec::H265) => {
                state.access_points.parameter_sets().is_some_and(|sets| sets.is_complete(codec))
            }
            _ => true,
        });
        self.stream.status.send_modify(|status| status.describe(description, self.generation, complete));
    }

    fn enter(&self, phase: Phase) {
        if self.stream.is_closed() {
            return;
        }
        self.stream.metrics.phase(phase);
        self.stream.status.send_modify(|status| status.enter(phase));
    }
}

impl TrackState {
    fn new(track: &Track, stream: &Stream) -> Self {
        Self {
            track: track.clone(),
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
        }
    }
}

impl Keyless {
    /// Whether a viewer may start with this packet although it begins no key frame, so that it does not wait for ever:
    /// any frame will do once the epoch has had no access point for [`KEY_PATIENCE`].
    fn may_start(&mut self, kind: PacketKind, arrival: Duration) -> bool {
        self.refuted |= kind.key;
        let since = *self.since.get_or_insert(arrival);
        !self.refuted && kind.frame_start && arrival.saturating_sub(since) >= KEY_PATIENCE
    }
}

/// Longer than cameras usually go from one key frame to the next. One with more between them shows a damaged picture to
/// who comes in the first interval, rather than none.
const KEY_PATIENCE: Duration = Duration::from_secs(10);
