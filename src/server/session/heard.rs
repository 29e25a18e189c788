//! What comes from a viewer beside its requests: reports of what it receives, and what it says to the camera.

use std::net::SocketAddr;
use std::time::Instant;

use super::Session;
use crate::metrics::Metrics;
use crate::rtp::rtcp;

impl Session {
    /// A packet of the viewer's came on a channel of its connection.
    pub(in crate::server) fn interleaved(&mut self, channel: u8, packet: &[u8], metrics: &Metrics) {
        match &self.talking {
            Some(talking) if talking.comes_on(channel) => self.says(packet),
            _ => self.received(packet, metrics),
        }
    }

    /// A datagram of the viewer's came from a port of its.
    pub(in crate::server) fn datagram(&mut self, from: SocketAddr, packet: &[u8], metrics: &Metrics) {
        match &self.talking {
            Some(talking) if talking.comes_from(from) => self.says(packet),
            _ => self.received(packet, metrics),
        }
    }

    /// The viewer talks; while it does not play, to nobody.
    fn says(&mut self, packet: &[u8]) {
        self.touch();
        if let (Some(talking), true) = (&self.talking, self.is_playing()) {
            talking.floor.say(packet);
        }
    }

    /// Reads a receiver's compound packet: round trips and loss go to the metrics.
    pub(in crate::server) fn received(&mut self, compound: &[u8], metrics: &Metrics) {
        self.touch();
        let now = Instant::now();
        rtcp::read(compound, |item| {
            // In a group others may speak of what others send.
            if let rtcp::Item::Reception(report) = item
                && self.player().sends(report.ssrc)
            {
                metrics.rtcp_fraction_lost.observe(f64::from(report.fraction_lost) / 256.0);
                if let Some(round_trip) = self.player().round_trip(&report, now) {
                    metrics.rtcp_round_trip_seconds.observe(round_trip.as_secs_f64());
                }
            }
        });
    }
}
