//! What the relay counts, for Prometheus.
//!
//! One [`Metrics`] for the process, one [`StreamMetrics`] a stream and one [`TrackMetrics`] a track. Handles are
//! looked up when a stream is made, so that counting on the way of a packet is an atomic addition. Labels are
//! bounded: stream and track names, and the values of the enums in [`crate::vocabulary`]; never an address or an id.
//! Every series starts at zero, so that rates are right from the first event on.

mod families;
mod load;
mod stream;

pub use load::Spread;
pub use stream::{StreamMetrics, TrackMetrics, ViewerMetrics};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Encoder, Histogram, IntCounter, IntGauge, Registry, TextEncoder};

use families::Families;
use load::Load;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    families: Families,
    /// Time from the start of an attempt to the first packet.
    pub source_connect_seconds: Histogram,
    /// Fraction of packets lost, of each receiver report read (RFC 3550 section 6.4.1).
    pub rtcp_fraction_lost: Histogram,
    /// Round trip measured from receiver reports (RFC 3550 section 6.4.1, LSR and DLSR).
    pub rtcp_round_trip_seconds: Histogram,
    /// Viewers refused for want of valid credentials.
    pub auth_failures: IntCounter,
    /// RTSP connections that are open, not over TLS.
    pub connections_tcp: IntGauge,
    /// RTSP connections over TLS that are open.
    pub connections_tls: IntGauge,
    /// When the certificate in force expires; 0 without one.
    pub certificate_expiry: IntGauge,
    /// Connections to a TLS port that did not become any, over RTSP and HTTP.
    pub tls_handshake_failures: IntCounter,
    /// Panics caught at a task's edge, the client library's included.
    pub task_panics: IntCounter,
    /// Held for a look-up when a stream is added or removed, never on the way of a packet.
    streams: Mutex<HashMap<String, Arc<StreamMetrics>>>,
    load: Arc<Load>,
}

impl Metrics {
    /// Registers every family, `build_info` and, where the system has `/proc`, `process_*`.
    pub fn new() -> Self {
        let registry = Registry::new();
        let (families, process_wide) = families::register(&registry);
        Self {
            registry,
            families,
            source_connect_seconds: process_wide.source_connect_seconds,
            rtcp_fraction_lost: process_wide.rtcp_fraction_lost,
            rtcp_round_trip_seconds: process_wide.rtcp_round_trip_seconds,
            auth_failures: process_wide.auth_failures,
            connections_tcp: process_wide.connections.with_label_values(&["tcp"]),
            connections_tls: process_wide.connections.with_label_values(&["tls"]),
            certificate_expiry: process_wide.certificate_expiry,
            tls_handshake_failures: process_wide.tls_handshake_failures,
            task_panics: process_wide.task_panics,
            streams: Mutex::default(),
            load: Arc::default(),
        }
    }

    /// These limits exist, and nobody has reached them yet: a series that is not there cannot be alerted on.
    pub fn know_limits(&self, limits: &[&'static str]) {
        for limit in limits {
            self.families.limits_reached.with_label_values(&[limit]);
        }
    }

    /// Somebody was refused or made to wait by this limit, called by its key in the configuration.
    pub fn limit_reached(&self, limit: &'static str) {
        self.families.limits_reached.with_label_values(&[limit]).inc();
    }

    /// The handles of a stream; the same ones for the same name, so that a stream that is replaced counts on.
    pub fn stream(&self, name: &str) -> Arc<StreamMetrics> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = streams
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(StreamMetrics::new(&self.families, name, Arc::clone(&self.load))));
        Arc::clone(entry)
    }

    /// Whether the packets of some stream's pictures come spread over time.
    pub fn has_spread(&self) -> bool {
        self.load.has_spread()
    }

    /// Forgets a stream: its series leave the page.
    pub fn remove_stream(&self, name: &str) {
        let removed = self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(stream) = removed {
            stream.unregister(&self.families);
        }
    }

    /// The page in Prometheus's text format.
    ///
    /// # Errors
    /// A family that does not encode, which would be a bug here.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{FailureClass, TrackId};

    #[test]
    fn every_series_of_a_stream_starts_at_zero() {
        let metrics = Metrics::new();
        let _stream = metrics.stream("door");
        let page = metrics.render().unwrap();
        for line in [
            "fanlight_source_up{stream=\"door\"} 0",
            "fanlight_source_failures_total{reason=\"stall\",stream=\"door\"} 0",
            "fanlight_viewers{stream=\"door\",transport=\"udp\"} 0",
            "fanlight_viewer_disconnects_total{reason=\"teardown\",stream=\"door\"} 0",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn a_stream_that_is_removed_leaves_the_page() {
        let metrics = Metrics::new();
        let stream = metrics.stream("door");
        let track = stream.track(TrackId(0));
        track.received_packets.inc();
        stream.failure(FailureClass::Stall);
        assert!(metrics.render().unwrap().contains("stream=\"door\""));
        metrics.remove_stream("door");
        assert!(!metrics.render().unwrap().contains("stream=\"door\""));
    }

    #[test]
    fn the_same_name_gives_the_same_counters() {
        let metrics = Metrics::new();
        metrics.stream("door").connects.inc();
        assert_eq!(metrics.stream("door").connects.get(), 1);
    }

    #[test]
    fn every_family_has_help_and_type() {
        let metrics = Metrics::new();
        metrics.stream("door").track(TrackId(0));
        let page = metrics.render().unwrap();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| {
                    let base = name.strip_suffix(suffix)?;
                    page.contains(&format!("# TYPE {base} histogram")).then_some(base)
                })
                .unwrap_or(&name);
            assert!(page.contains(&format!("# HELP {family} ")), "{family} has no help");
            assert!(page.contains(&format!("# TYPE {family} ")), "{family} has no type");
        }
    }
}
