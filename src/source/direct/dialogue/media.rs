//! Packets to tracks, and reports back.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Dialogue, Stage};
use crate::hub::Way;
use crate::source::direct::lane::{Path, Port, is_rtcp};
use crate::vocabulary::TrackId;

impl Dialogue {
    /// An interleaved packet. Before PLAY it is of another session (C26), between PLAY and its answer ours (C27).
    pub(super) fn interleaved(&mut self, channel: u8, packet: Bytes, now: Instant) {
        if !matches!(self.stage, Stage::Starting | Stage::Playing) {
            self.strays += 1;
            return;
        }
        let Some(lane) = self.lane_of(channel, &packet) else {
            self.strays += 1;
            return;
        };
        self.came_early(packet.len(), now);
        self.heard_report(self.lanes[lane].track, &packet, now);
        let (clock, events) = (self.clock(now), &mut self.events);
        self.lanes[lane].packet(packet, clock, |event| events.push_back(event));
    }

    /// Records what the camera reports.
    pub(super) fn heard_report(&self, track: TrackId, packet: &[u8], now: Instant) {
        if let (Some(capture), true) = (&self.capture, is_rtcp(packet)) {
            capture.rtcp(Way::Received, track, packet, now);
        }
    }

    /// Media that comes and comes is the answer to PLAY: it must not add up, and some servers never give another.
    pub(super) fn came_early(&mut self, bytes: usize, now: Instant) {
        if self.stage == Stage::Starting {
            self.early += bytes + EVENT;
            if self.early > EARLY_MAX {
                self.begin(now);
            }
        }
    }

    /// The lane of a channel. Where the payload type is that of another track alone, it is that track's: some cameras mix
    /// the channels up, or put everything on one. A channel that nobody agreed on (C59) is that of the only track with this
    /// payload type, of the only one nothing was heard of yet, or of the one whose source it is, from then on.
    fn lane_of(&mut self, channel: u8, packet: &[u8]) -> Option<usize> {
        let agreed = self.routes.iter().find(|(known, _)| *known == channel).map(|(_, lane)| *lane);
        let only = |wanted: &dyn Fn(&super::Lane) -> bool| {
            let mut found = (0..self.lanes.len()).filter(|lane| wanted(&self.lanes[*lane]));
            found.next().filter(|_| found.next().is_none())
        };
        let source = |at: usize| Some(u32::from_be_bytes(*packet.get(at..)?.first_chunk()?));
        if is_rtcp(packet) {
            let sender = source(4)?;
            return only(&|lane| lane.source() == Some(sender)).or(agreed);
        }
        let payload_type = packet.get(1)? & 0x7F;
        if let Some(lane) = agreed {
            if self.lanes[lane].payload_type() == payload_type {
                return agreed;
            }
            return only(&|lane| lane.payload_type() == payload_type).or(agreed);
        }
        let sender = source(8)?;
        let silent_alike = only(&|lane| lane.payload_type() == payload_type && !lane.heard());
        let lane = silent_alike
            .or_else(|| only(&|lane| !lane.heard()))
            .or_else(|| only(&|lane| lane.source() == Some(sender)))?;
        tracing::debug!(channel, track = %self.lanes[lane].track, "packets come on a channel nobody agreed on");
        self.routes.push((channel, lane));
        if let Some(next) = channel.checked_add(1)
            && !self.routes.iter().any(|(known, _)| *known == next)
        {
            self.routes.push((next, lane));
        }
        self.framing.expect_channels([channel]);
        Some(lane)
    }

    /// Sends what receivers send: a report of each track, and over UDP a packet that keeps the way open.
    pub(super) fn report(&mut self, now: Instant) {
        self.reports_due = Some(now + REPORT_EVERY);
        let clock = self.clock(now);
        for lane in &mut self.lanes {
            let report = lane.report(clock);
            if let Some(capture) = self.capture.as_ref().filter(|_| lane.heard()) {
                capture.rtcp(Way::Sent, lane.track, &report, now);
            }
            match &lane.path {
                // Over TCP only of what came: an empty report says nothing that the connection does not.
                Path::Tcp(channels) => {
                    if lane.heard() {
                        self.exchange.packet(channels.rtcp, &report);
                    }
                }
                Path::Udp(remote) => {
                    if let Some(to) = remote.of(Port::Rtcp) {
                        self.datagrams.push_back((lane.track, Port::Rtcp, to, report));
                    }
                }
            }
        }
        if self.reports_sent.is_multiple_of(PUNCH_EVERY) {
            self.punch();
        }
        self.reports_sent = self.reports_sent.wrapping_add(1);
    }

    /// Sends a packet from each port to where packets will come from.
    pub(super) fn punch(&mut self) {
        for lane in &self.lanes {
            let Path::Udp(remote) = &lane.path else { continue };
            for port in [Port::Rtp, Port::Rtcp] {
                if let Some(to) = remote.of(port) {
                    self.datagrams.push_back((lane.track, port, to, lane.punch()));
                }
            }
        }
        self.datagrams.truncate(DATAGRAMS_MAX);
    }
}

/// Media that may wait for the answer to PLAY.
const EARLY_MAX: usize = 64 << 10;

/// What an event costs besides its bytes.
const EVENT: usize = 64;

/// After PLAY.
pub(super) const REPORT_FIRST: Duration = Duration::from_secs(1);

/// Some cameras end a session without reports for longer (gortsplib).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Every so many reports; a firewall forgets a way after 30 s or more.
const PUNCH_EVERY: u32 = 3;

/// Waiting to be sent; the socket takes them at once, or they are not worth keeping.
pub(super) const DATAGRAMS_MAX: usize = 128;
