//! The metric families: name, help text, labels, buckets. The names are a contract (dashboards and alerts use them).

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// The families with a `stream` label.
pub(super) struct Families {
    pub(super) source_up: IntGaugeVec,
    pub(super) source_state: IntGaugeVec,
    pub(super) source_connects: IntCounterVec,
    pub(super) source_failures: IntCounterVec,
    pub(super) source_reconnects: IntCounterVec,
    pub(super) source_retry_attempt: IntGaugeVec,
    pub(super) source_retry_delay: GaugeVec,
    pub(super) source_outage: prometheus::CounterVec,
    pub(super) no_signal_frames: IntCounterVec,
    pub(super) source_last_frame: GaugeVec,
    pub(super) source_frames: IntCounterVec,
    pub(super) source_fps: GaugeVec,
    pub(super) source_key_frame_interval: GaugeVec,
    pub(super) source_received_packets: IntCounterVec,
    pub(super) source_received_bytes: IntCounterVec,
    pub(super) source_lost_packets: IntCounterVec,
    pub(super) source_reordered_packets: IntCounterVec,
    pub(super) source_jitter: GaugeVec,
    pub(super) source_clock_offset: GaugeVec,
    pub(super) viewers: IntGaugeVec,
    pub(super) viewer_sessions: IntCounterVec,
    pub(super) viewer_disconnects: IntCounterVec,
    pub(super) viewer_sent_packets: IntCounterVec,
    pub(super) viewer_sent_bytes: IntCounterVec,
    pub(super) viewer_skipped_frames: IntCounterVec,
    pub(super) gop_cache_dropped: IntCounterVec,
    pub(super) backchannel_packets: IntCounterVec,
    pub(super) backchannel_dropped: IntCounterVec,
    pub(super) backchannel_talkers: IntGaugeVec,
    pub(super) limits_reached: IntCounterVec,
    pub(super) viewer_start: HistogramVec,
    pub(super) relay_latency: HistogramVec,
}

/// The metrics without a `stream` label.
pub(super) struct ProcessWide {
    pub(super) source_connect_seconds: Histogram,
    pub(super) rtcp_fraction_lost: Histogram,
    pub(super) rtcp_round_trip_seconds: Histogram,
    pub(super) auth_failures: IntCounter,
    pub(super) connections: IntGaugeVec,
    pub(super) certificate_expiry: IntGauge,
    pub(super) tls_handshake_failures: IntCounter,
    pub(super) task_panics: IntCounter,
}

/// Registers everything. Names and labels are constants, so a failure is a bug that the first test run shows.
pub(super) fn register(registry: &Registry) -> (Families, ProcessWide) {
    let build_info = IntGauge::with_opts(
        Opts::new("fanlight_build_info", "1, with the version as a label.")
            .const_label("version", env!("CARGO_PKG_VERSION")),
    )
    .expect("the name and the label are valid");
    build_info.set(1);
    add(registry, build_info);
    #[cfg(target_os = "linux")]
    registry
        .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
        .expect("the process is registered once");

    let r = registry;
    let stream = &["stream"][..];
    let track = &["stream", "track"][..];
    let transport = &["stream", "transport"][..];
    let reason = &["stream", "reason"][..];
    let families = Families {
        source_up: int_gauge(r, "source_up", "1 while packets of the source arrive, else 0.", stream),
        source_state: int_gauge(r, "source_state", "1 for the state the source is in.", &["stream", "state"]),
        source_connects: counter(
            r,
            "source_connects_total",
            "Upstream sessions that delivered a packet.",
            stream,
        ),
        source_failures: counter(
            r,
            "source_failures_total",
            "Upstream attempts and sessions that failed, by reason.",
            reason,
        ),
        source_reconnects: counter(
            r,
            "source_reconnects_total",
            "Upstream sessions that followed an earlier one.",
            stream,
        ),
        source_retry_attempt: int_gauge(
            r,
            "source_retry_attempt",
            "Failed attempts since the source last delivered; 0 while live.",
            stream,
        ),
        source_retry_delay: gauge(r, "source_retry_delay_seconds", "Wait before the next attempt.", stream),
        source_outage: float_counter(
            r,
            "source_outage_seconds_total",
            "Time without packets while the source should have delivered.",
            stream,
        ),
        no_signal_frames: counter(
            r,
            "no_signal_frames_total",
            "Pictures shown in place of a JPEG camera's while it was away (no_signal); not among source_frames_total.",
            stream,
        ),
        source_last_frame: gauge(
            r,
            "source_last_frame_timestamp_seconds",
            "Unix time at which the last frame arrived.",
            track,
        ),
        source_frames: counter(r, "source_frames_total", "Frames received.", track),
        source_fps: gauge(
            r,
            "source_fps",
            "Frames a second over the last seconds; 0 when none arrive.",
            track,
        ),
        source_key_frame_interval: gauge(
            r,
            "source_key_frame_interval_seconds",
            "Time between the last two key frames.",
            stream,
        ),
        source_received_packets: counter(
            r,
            "source_received_packets_total",
            "RTP packets received from the source.",
            track,
        ),
        source_received_bytes: counter(
            r,
            "source_received_bytes_total",
            "Bytes of RTP received from the source, headers included.",
            track,
        ),
        source_lost_packets: counter(
            r,
            "source_lost_packets_total",
            "RTP packets that never arrived, by sequence number.",
            track,
        ),
        source_reordered_packets: counter(
            r,
            "source_reordered_packets_total",
            "RTP packets that arrived after a later one.",
            track,
        ),
        source_jitter: gauge(
            r,
            "source_jitter_seconds",
            "Interarrival jitter of the source (RFC 3550 section 6.4.1).",
            track,
        ),
        source_clock_offset: gauge(
            r,
            "source_clock_offset_seconds",
            "The camera's clock minus the relay's, from its sender reports.",
            stream,
        ),
        viewers: int_gauge(r, "viewers", "Viewers in play.", transport),
        viewer_sessions: counter(r, "viewer_sessions_total", "Viewer sessions that reached PLAY.", transport),
        viewer_disconnects: counter(
            r,
            "viewer_disconnects_total",
            "Viewer sessions ended, by reason.",
            reason,
        ),
        viewer_sent_packets: counter(
            r,
            "viewer_sent_packets_total",
            "RTP packets handed to the kernel.",
            transport,
        ),
        viewer_sent_bytes: counter(
            r,
            "viewer_sent_bytes_total",
            "Bytes of RTP and RTCP handed to the kernel.",
            transport,
        ),
        gop_cache_dropped: counter(
            r,
            "gop_cache_dropped_total",
            "Times that the pictures since a key frame outgrew gop_cache_size or gop_cache_age.",
            stream,
        ),
        backchannel_packets: counter(
            r,
            "backchannel_packets_total",
            "RTP packets of viewers who talk, passed on to the camera.",
            stream,
        ),
        backchannel_dropped: counter(
            r,
            "backchannel_dropped_packets_total",
            "RTP packets of viewers who talk that were not passed on: too many at a time, no camera, another codec.",
            stream,
        ),
        backchannel_talkers: int_gauge(
            r,
            "backchannel_talkers",
            "1 while a viewer has the back channel to the camera.",
            stream,
        ),
        limits_reached: counter(
            r,
            "limits_reached_total",
            "Viewers refused or made to wait, by the limit that did it: a key of rtsp in the configuration, or descriptors.",
            &["limit"],
        ),
        viewer_skipped_frames: counter(
            r,
            "viewer_skipped_frames_total",
            "Frames a viewer did not get, by reason.",
            reason,
        ),
        viewer_start: histogram_vec(
            r,
            "viewer_start_seconds",
            "Time from PLAY to the first packet of a key frame.",
            stream,
            START_BUCKETS,
        ),
        relay_latency: histogram_vec(
            r,
            "relay_latency_seconds",
            "Time from a packet's arrival to its hand-over to the kernel for a viewer.",
            transport,
            LATENCY_BUCKETS,
        ),
    };
    let process_wide = ProcessWide {
        source_connect_seconds: histogram(
            r,
            "source_connect_seconds",
            "Time from the start of an attempt to the first packet.",
            START_BUCKETS,
        ),
        rtcp_fraction_lost: histogram(
            r,
            "rtcp_fraction_lost",
            "Fraction of packets lost, of each receiver report of a viewer.",
            &[0.0, 0.004, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
        ),
        rtcp_round_trip_seconds: histogram(
            r,
            "rtcp_round_trip_seconds",
            "Round trip to a viewer, of each receiver report that allows it.",
            &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
        ),
        auth_failures: {
            let counter =
                IntCounter::new("fanlight_auth_failures_total", "Requests refused for their credentials.");
            add(r, counter.expect("the name is valid"))
        },
        connections: int_gauge(r, "connections", "RTSP connections that are open.", &["transport"]),
        certificate_expiry: {
            let gauge = IntGauge::new(
                "fanlight_certificate_expiry_timestamp_seconds",
                "Unix time at which the certificate of the TLS ports expires; 0 without one.",
            );
            add(r, gauge.expect("the name is valid"))
        },
        tls_handshake_failures: {
            let counter = IntCounter::new(
                "fanlight_tls_handshake_failures_total",
                "Connections to a TLS port, of RTSP or HTTP, on which no TLS session came about.",
            );
            add(r, counter.expect("the name is valid"))
        },
        task_panics: {
            let counter =
                IntCounter::new("fanlight_task_panics_total", "Panics caught at the edge of a task.");
            add(r, counter.expect("the name is valid"))
        },
    };
    (families, process_wide)
}

/// From a tenth of a millisecond to the time at which a slow viewer is skipped.
const LATENCY_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// From at once to the longest GOP in use.
const START_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry
        .register(Box::new(collector.clone()))
        .expect("each family is registered once, under a name of its own");
    collector
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("fanlight_{name}"), help)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    add(registry, IntCounterVec::new(opts(name, help), labels).expect("names and labels are valid"))
}

fn float_counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::CounterVec {
    add(registry, prometheus::CounterVec::new(opts(name, help), labels).expect("names and labels are valid"))
}

fn int_gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    add(registry, IntGaugeVec::new(opts(name, help), labels).expect("names and labels are valid"))
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    add(registry, GaugeVec::new(opts(name, help), labels).expect("names and labels are valid"))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
    add(registry, Histogram::with_opts(opts).expect("names and buckets are valid"))
}

fn histogram_vec(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> HistogramVec {
    let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
    add(registry, HistogramVec::new(opts, labels).expect("names and buckets are valid"))
}
