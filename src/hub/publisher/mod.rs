//! The writing end of a stream: one to a stream, by type.

mod phases;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::burst::BurstBuilder;
use super::capture::Staged;
use super::coalesce::Coalescing;
use super::status::TrackStats;
use super::stream::Stream;
use super::track::TrackState;
use crate::codec::{Codec, Cutting, PacketKind};
use crate::config::MAX_COALESCE;
use crate::metrics::Spread;
use crate::rtp::{Header, HeaderError, StreamClock, WallTime};
use crate::sdp::{Description, Track};
use crate::vocabulary::TrackId;

/// Publishes what a source delivers: numbers it once for all viewers, marks where a viewer may start, and gathers
/// bursts for the ring. Not `Clone`: a stream has exactly one writer.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    generation: u32,
    tracks: Vec<TrackState>,
    builder: BurstBuilder,
    /// For the incident recorder.
    staged: Staged,
    /// When the last packet of this session came: an outage begins there, not where it is noticed.
    last_packet: Option<Instant>,
    coalescing: Coalescing,
    /// While pictures take their time to come.
    spread: Option<Spread>,
    /// Ends the wait for the rest of a frame; made when there is something to wait for.
    patience: Option<Pin<Box<Sleep>>>,
    /// The packets gathered hold the end of a picture: nothing in them is worth waiting for.
    picture_ended: bool,
    /// It failed, and nothing came since.
    is_away: bool,
    /// What a viewer says to the camera.
    said: Option<mpsc::Receiver<Bytes>>,
}

impl Publisher {
    pub(super) fn new(stream: Arc<Stream>, said: Option<mpsc::Receiver<Bytes>>) -> Self {
        Self {
            said,
            stream,
            generation: 0,
            tracks: Vec::new(),
            builder: BurstBuilder::default(),
            staged: Staged::default(),
            last_packet: None,
            coalescing: Coalescing::new(MAX_COALESCE),
            spread: None,
            patience: None,
            picture_ended: false,
            is_away: false,
        }
    }

    /// The first packets of a frame wait at most this long for the last one (by default [`MAX_COALESCE`], which is the most).
    pub fn coalesce(&mut self, limit: Duration) {
        self.coalescing = Coalescing::new(limit);
    }

    /// Nothing comes for the time being.
    fn ceases(&mut self) {
        self.flush();
        self.coalescing.forget();
        self.spread = None;
    }

    /// The stream it writes.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The source was described: an epoch of these tracks begins. A track that changed so that a running decoder could not
    /// go on ([`Track::is_same`](crate::sdp::Track::is_same)) begins anew under the next generation, and viewers who play
    /// it have to describe again; those of the others go on.
    pub fn begin(&mut self, mut description: Description) {
        if self.stream.is_closed() {
            return;
        }
        self.flush();
        self.take_over();
        let kept: Vec<bool> = description
            .tracks
            .iter()
            .enumerate()
            .map(|(index, track)| self.tracks.get(index).is_some_and(|state| state.track.is_same(track)))
            .collect();
        if self.generation == 0 || kept.len() != self.tracks.len() || kept.contains(&false) {
            self.change(&description, &kept);
        } else {
            self.stream.clock().start_epoch();
        }
        let tracks = &description.tracks;
        self.builder.cut_as(tracks.iter().map(|track| Cutting::of(track.codec, track.fmtp.as_deref())));
        let main = tracks.iter().find(|track| track.is_video()).map(|track| track.id);
        self.stream.cache().begin(main);
        for (state, track) in self.tracks.iter_mut().zip(&mut description.tracks) {
            state.begin(track);
            if let Some(sets) = state.access_points.parameter_sets() {
                track.set_parameter_sets(sets);
            }
        }
        self.describe(description);
    }

    /// The session that is published listens to this track, or to nothing.
    pub fn listens(&mut self, track: Option<Track>) {
        if let Some(channel) = self.stream.back_channel() {
            channel.offer(track);
        }
    }

    /// The next packet that a viewer says to the camera. It counts as passed on where `passed`, what is done with it, says
    /// so. Pending for ever where there is no back channel.
    pub fn poll_said(&mut self, cx: &mut Context<'_>, passed: impl FnOnce(&[u8]) -> bool) -> Poll<()> {
        let Some(said) = &mut self.said else { return Poll::Pending };
        let Some(packet) = ready!(said.poll_recv(cx)) else { return Poll::Pending };
        let metrics = self.stream.metrics();
        if passed(&packet) {
            metrics.backchannel_packets.inc();
        } else {
            metrics.backchannel_dropped.inc();
        }
        Poll::Ready(())
    }

    /// Takes the numbers back from what stood in for the camera.
    fn take_over(&mut self) {
        self.is_away = false;
        if let Some(standby) = self.stream.standby().take() {
            standby.give_back(&mut self.tracks, &mut self.builder);
        }
    }

    /// Goes over to other tracks, of which those that are `kept` go on with their numbers.
    fn change(&mut self, description: &Description, kept: &[bool]) {
        self.generation += 1;
        for state in &self.tracks {
            state.metrics.fps.set(0.0); // there may be no such track any more
        }
        let mut before = std::mem::take(&mut self.tracks).into_iter();
        for (track, kept) in description.tracks.iter().zip(kept) {
            let state = before.next().filter(|_| *kept);
            self.tracks.push(state.unwrap_or_else(|| TrackState::new(track, self.generation, &self.stream)));
        }
        let rates = description.tracks.iter().map(|track| track.clock_rate);
        let mut clock = self.stream.clock();
        if kept.contains(&true) {
            clock.change_tracks(rates.zip(kept.iter().copied()));
            clock.start_epoch();
        } else {
            *clock = StreamClock::new(self.stream.wall(Duration::ZERO), rates);
        }
        drop(clock);
        let mut stats = self.stream.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.resize_with(kept.len(), TrackStats::default);
        for (stats, _) in stats.iter_mut().zip(kept).filter(|(_, kept)| !**kept) {
            *stats = TrackStats::default();
        }
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
        if self.is_away {
            self.take_over();
        }
        let Some(state) = self.tracks.get_mut(track.index()) else { return Ok(PacketKind::default()) };
        self.last_packet = Some(received);
        self.staged.packet(self.stream.capture(), track, packet, received);
        let arrival = self.stream.elapsed(received);
        let gathered = &mut state.gathered;
        gathered.packets += 1;
        gathered.bytes += packet.len() as u64;
        gathered.arrival = arrival;
        let Some(mut place) = state.timeline.place(header.ssrc, header.sequence, header.timestamp, arrival)
        else {
            return Ok(PacketKind::default()); // a repetition
        };
        gathered.lost += place.lost;
        gathered.reordered += u64::from(place.reordered);
        if place.restarted {
            state.restarted();
        }
        let gathered = &mut state.gathered;
        let is_ours = header.payload_type == state.payload_type;
        let mut kind = if is_ours && !place.reordered {
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
        if header.marker && state.is_video {
            self.picture_ended = true;
            self.coalescing.ended(arrival);
            if self.coalescing.is_spread() != self.spread.is_some() {
                self.spread = self.coalescing.is_spread().then(|| self.stream.metrics.spreads());
            }
        }
        kind.key |= state.track.codec.has_key_frames() && state.keyless.may_start(kind, arrival);
        let seen = kind;
        if kind.key && state.track.codec == Codec::Jpeg {
            state.picture(&packet[header.payload.clone()]);
        }
        if kind.key {
            (place, kind) = state.recap(track, place, kind, &header, received, &mut self.builder);
        }
        self.builder.push(track, packet, &header, place, kind, received);
        if is_ours && state.payload_type != state.track.payload_type {
            self.builder.relabel(state.track.payload_type);
        }
        if self.builder.is_full() {
            self.flush();
        }
        Ok(seen)
    }

    /// The packets of a track that follow have nothing to do with those before: its encoder started anew, and the session
    /// goes on.
    pub fn epoch(&mut self, track: TrackId) {
        if let Some(state) = self.tracks.get_mut(track.index()) {
            state.timeline.start_epoch();
            state.early_report = None;
        }
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
        self.stream.capture().take(&mut self.staged);
        let Some(burst) = self.builder.finish(self.generation) else { return };
        self.stream.publish(burst);
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
                stats.size =
                    state.jpeg.map(|[_, width, height]| (u16::from(width) * 8, u16::from(height) * 8));
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
        let since = self.tracks.iter().map(|state| state.generation).collect();
        self.stream.update(|status| status.describe(description, self.generation, since, complete));
    }
}
