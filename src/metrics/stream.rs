//! The handles of one stream and of its tracks.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Metric as _;
use prometheus::{Counter, Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::families::Families;
use super::load::{Load, Spread};
use crate::vocabulary::{Disconnect, FailureClass, Phase, Skip, TrackId, Transport};

/// Counters and gauges of one stream; fields are named after the metric they feed.
#[derive(Debug)]
pub struct StreamMetrics {
    name: String,
    states: Vec<IntGauge>,
    up: IntGauge,
    failures: Vec<IntCounter>,
    /// `source_connects_total`
    pub connects: IntCounter,
    /// `source_reconnects_total`
    pub reconnects: IntCounter,
    /// `source_retry_attempt`
    pub retry_attempt: IntGauge,
    /// `source_retry_delay_seconds`
    pub retry_delay: Gauge,
    /// `source_outage_seconds_total`
    pub outage: Counter,
    /// `no_signal_frames_total`
    pub no_signal_frames: IntCounter,
    /// `source_key_frame_interval_seconds`
    pub key_frame_interval: Gauge,
    /// `source_clock_offset_seconds`
    pub clock_offset: Gauge,
    /// `gop_cache_dropped_total`
    pub gop_cache_dropped: IntCounter,
    /// `backchannel_packets_total`
    pub backchannel_packets: IntCounter,
    /// `backchannel_dropped_packets_total`
    pub backchannel_dropped: IntCounter,
    /// `backchannel_talkers`
    pub backchannel_talkers: IntGauge,
    /// `viewer_start_seconds`
    pub viewer_start: Histogram,
    viewers: Vec<ViewerMetrics>,
    /// Of all streams together.
    load: Arc<Load>,
    disconnects: Vec<IntCounter>,
    skipped: Vec<IntCounter>,
    tracks: Mutex<BTreeMap<TrackId, Arc<TrackMetrics>>>,
    track_families: TrackFamilies,
}

/// The viewers of one stream over one transport.
#[derive(Clone, Debug)]
pub struct ViewerMetrics {
    /// `viewers`
    pub playing: IntGauge,
    /// `viewer_sessions_total`
    pub sessions: IntCounter,
    /// `viewer_sent_packets_total`
    pub sent_packets: IntCounter,
    /// `viewer_sent_bytes_total`
    pub sent_bytes: IntCounter,
    /// `relay_latency_seconds`
    pub latency: Histogram,
}

/// Counters and gauges of one track.
#[derive(Debug)]
pub struct TrackMetrics {
    /// `source_frames_total`
    pub frames: IntCounter,
    /// `source_fps`
    pub fps: Gauge,
    /// `source_last_frame_timestamp_seconds`
    pub last_frame: Gauge,
    /// `source_received_packets_total`
    pub received_packets: IntCounter,
    /// `source_received_bytes_total`
    pub received_bytes: IntCounter,
    /// `source_lost_packets_total`
    pub lost_packets: IntCounter,
    /// `source_reordered_packets_total`
    pub reordered_packets: IntCounter,
    /// `source_jitter_seconds`
    pub jitter: Gauge,
}

impl StreamMetrics {
    pub(super) fn new(families: &Families, name: &str, load: Arc<Load>) -> Self {
        let stream = &[name][..];
        let by_reason = |family: &IntCounterVec, reason: &str| family.with_label_values(&[name, reason]);
        Self {
            name: name.to_owned(),
            states: Phase::ALL
                .iter()
                .map(|phase| families.source_state.with_label_values(&[name, phase.as_str()]))
                .collect(),
            up: families.source_up.with_label_values(stream),
            failures: FailureClass::ALL
                .iter()
                .map(|class| by_reason(&families.source_failures, class.as_str()))
                .collect(),
            connects: families.source_connects.with_label_values(stream),
            reconnects: families.source_reconnects.with_label_values(stream),
            retry_attempt: families.source_retry_attempt.with_label_values(stream),
            retry_delay: families.source_retry_delay.with_label_values(stream),
            outage: families.source_outage.with_label_values(stream),
            no_signal_frames: families.no_signal_frames.with_label_values(stream),
            key_frame_interval: families.source_key_frame_interval.with_label_values(stream),
            clock_offset: families.source_clock_offset.with_label_values(stream),
            gop_cache_dropped: families.gop_cache_dropped.with_label_values(stream),
            backchannel_packets: families.backchannel_packets.with_label_values(stream),
            backchannel_dropped: families.backchannel_dropped.with_label_values(stream),
            backchannel_talkers: families.backchannel_talkers.with_label_values(stream),
            viewer_start: families.viewer_start.with_label_values(stream),
            viewers: Transport::ALL.iter().map(|t| ViewerMetrics::new(families, name, t.as_str())).collect(),
            load,
            disconnects: Disconnect::ALL
                .iter()
                .map(|reason| by_reason(&families.viewer_disconnects, reason.as_str()))
                .collect(),
            skipped: Skip::ALL
                .iter()
                .map(|reason| by_reason(&families.viewer_skipped_frames, reason.as_str()))
                .collect(),
            tracks: Mutex::default(),
            track_families: TrackFamilies::new(families),
        }
    }

    /// Shows `phase` as the state of the source.
    pub fn phase(&self, phase: Phase) {
        for (gauge, each) in self.states.iter().zip(Phase::ALL) {
            gauge.set(i64::from(*each == phase));
        }
        self.up.set(i64::from(phase == Phase::Live));
    }

    /// Counts a failed attempt or session.
    pub fn failure(&self, class: FailureClass) {
        self.failures[class.index()].inc();
    }

    /// Adds to the time the source has been away.
    pub fn outage(&self, duration: Duration) {
        self.outage.inc_by(duration.as_secs_f64());
    }

    /// The handles of the viewers over one transport.
    pub fn viewers(&self, transport: Transport) -> &ViewerMetrics {
        &self.viewers[transport.index()]
    }

    /// The packets handed to viewers so far by their latency, over all transports: bounds in seconds with the packets up to
    /// each, the last one without a bound.
    pub fn latencies(&self) -> Vec<(f64, u64)> {
        let mut counts: Vec<(f64, u64)> = Vec::new();
        for viewers in &self.viewers {
            let metric = viewers.latency.metric();
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter().map(|b| (b.upper_bound(), b.cumulative_count()));
            let all = (f64::INFINITY, histogram.get_sample_count());
            for (at, (bound, count)) in buckets.chain([all]).enumerate() {
                match counts.get_mut(at) {
                    Some((_, counted)) => *counted += count,
                    None => counts.push((bound, count)),
                }
            }
        }
        counts
    }

    /// Frames that viewers did not get, for whatever reason.
    pub fn all_skipped(&self) -> u64 {
        self.skipped.iter().map(IntCounter::get).sum()
    }

    /// One more watches.
    pub fn viewer_came(&self) {
        self.load.viewers.fetch_add(1, Ordering::Relaxed);
    }

    /// One less watches.
    pub fn viewer_left(&self) {
        self.load.viewers.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many watch the streams of the process, this one and the others: what each frame costs depends on all of them.
    pub fn all_viewers(&self) -> usize {
        self.load.viewers.load(Ordering::Relaxed)
    }

    /// The packets of its pictures come spread over time, as long as what is returned is held.
    pub fn spreads(&self) -> Spread {
        Spread::new(&self.load)
    }

    /// Counts the end of a viewer's session.
    pub fn disconnect(&self, reason: Disconnect) {
        self.disconnects[reason.index()].inc();
    }

    /// Counts frames that a viewer did not get.
    pub fn skipped(&self, reason: Skip, frames: u64) {
        self.skipped[reason.index()].inc_by(frames);
    }

    /// The handles of a track; the same ones for the same track.
    pub fn track(&self, track: TrackId) -> Arc<TrackMetrics> {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let entry =
            tracks.entry(track).or_insert_with(|| Arc::new(self.track_families.track(&self.name, track)));
        Arc::clone(entry)
    }

    pub(super) fn unregister(&self, families: &Families) {
        let name = self.name.as_str();
        // A series that is not there is not an error: removing is idempotent.
        for family in [&families.source_up, &families.source_retry_attempt, &families.backchannel_talkers] {
            let _ = family.remove_label_values(&[name]);
        }
        for family in
            [&families.source_retry_delay, &families.source_key_frame_interval, &families.source_clock_offset]
        {
            let _ = family.remove_label_values(&[name]);
        }
        let _ = families.source_connects.remove_label_values(&[name]);
        let _ = families.source_reconnects.remove_label_values(&[name]);
        let _ = families.no_signal_frames.remove_label_values(&[name]);
        let _ = families.source_outage.remove_label_values(&[name]);
        let _ = families.backchannel_packets.remove_label_values(&[name]);
        let _ = families.backchannel_dropped.remove_label_values(&[name]);
        let _ = families.gop_cache_dropped.remove_label_values(&[name]);
        let _ = families.viewer_start.remove_label_values(&[name]);
        for phase in Phase::ALL {
            let _ = families.source_state.remove_label_values(&[name, phase.as_str()]);
        }
        for class in FailureClass::ALL {
            let _ = families.source_failures.remove_label_values(&[name, class.as_str()]);
        }
        for reason in Disconnect::ALL {
            let _ = families.viewer_disconnects.remove_label_values(&[name, reason.as_str()]);
        }
        for reason in Skip::ALL {
            let _ = families.viewer_skipped_frames.remove_label_values(&[name, reason.as_str()]);
        }
        for transport in Transport::ALL {
            let labels = [name, transport.as_str()];
            let _ = families.viewers.remove_label_values(&labels);
            let _ = families.viewer_sessions.remove_label_values(&labels);
            let _ = families.viewer_sent_packets.remove_label_values(&labels);
            let _ = families.viewer_sent_bytes.remove_label_values(&labels);
            let _ = families.relay_latency.remove_label_values(&labels);
        }
        for track in self.tracks.lock().unwrap_or_else(PoisonError::into_inner).keys() {
            self.track_families.remove(name, *track);
        }
    }
}

impl ViewerMetrics {
    fn new(families: &Families, stream: &str, transport: &str) -> Self {
        let labels = [stream, transport];
        Self {
            playing: families.viewers.with_label_values(&labels),
            sessions: families.viewer_sessions.with_label_values(&labels),
            sent_packets: families.viewer_sent_packets.with_label_values(&labels),
            sent_bytes: families.viewer_sent_bytes.with_label_values(&labels),
            latency: families.relay_latency.with_label_values(&labels),
        }
    }
}

/// The families by track; cheap handles, kept by each stream because tracks are learned after the stream is made.
#[derive(Debug)]
struct TrackFamilies {
    frames: IntCounterVec,
    fps: GaugeVec,
    last_frame: GaugeVec,
    received_packets: IntCounterVec,
    received_bytes: IntCounterVec,
    lost_packets: IntCounterVec,
    reordered_packets: IntCounterVec,
    jitter: GaugeVec,
}

impl TrackFamilies {
    fn new(families: &Families) -> Self {
        Self {
            frames: families.source_frames.clone(),
            fps: families.source_fps.clone(),
            last_frame: families.source_last_frame.clone(),
            received_packets: families.source_received_packets.clone(),
            received_bytes: families.source_received_bytes.clone(),
            lost_packets: families.source_lost_packets.clone(),
            reordered_packets: families.source_reordered_packets.clone(),
            jitter: families.source_jitter.clone(),
        }
    }

    fn track(&self, stream: &str, track: TrackId) -> TrackMetrics {
        let track = track.to_string();
        let labels = [stream, track.as_str()];
        TrackMetrics {
            frames: self.frames.with_label_values(&labels),
            fps: self.fps.with_label_values(&labels),
            last_frame: self.last_frame.with_label_values(&labels),
            received_packets: self.received_packets.with_label_values(&labels),
            received_bytes: self.received_bytes.with_label_values(&labels),
            lost_packets: self.lost_packets.with_label_values(&labels),
            reordered_packets: self.reordered_packets.with_label_values(&labels),
            jitter: self.jitter.with_label_values(&labels),
        }
    }

    fn remove(&self, stream: &str, track: TrackId) {
        let track = track.to_string();
        let labels = [stream, track.as_str()];
        for family in [
            &self.frames,
            &self.received_packets,
            &self.received_bytes,
            &self.lost_packets,
            &self.reordered_packets,
        ] {
            let _ = family.remove_label_values(&labels);
        }
        for family in [&self.fps, &self.last_frame, &self.jitter] {
            let _ = family.remove_label_values(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn one_state_is_set_at_a_time() {
        let metrics = Metrics::new();
        let stream = metrics.stream("door");
        stream.phase(Phase::Connecting);
        stream.phase(Phase::Live);
        let page = metrics.render().unwrap();
        assert!(page.contains("fanlight_source_state{state=\"live\",stream=\"door\"} 1"));
        assert!(page.contains("fanlight_source_state{state=\"connecting\",stream=\"door\"} 0"));
        assert!(page.contains("fanlight_source_up{stream=\"door\"} 1"));
    }
}
