//! What a viewer is told besides its packets: sender reports and goodbyes.

use std::time::{Duration, Instant};

use super::Player;
use super::track::Carrier;
use crate::rtp::rtcp::{self, SenderReport};
use crate::rtp::{NtpTime, WallTime};
use crate::vocabulary::TrackId;

impl Player {
    /// Whether reports are due at `now`: each track's with its first packets after PLAY, then every [`REPORT_EVERY`].
    pub(in crate::server) fn reports_due(&self, now: Instant) -> bool {
        self.tracks.iter().flatten().any(|track| track.report_is_due(now))
    }

    /// Hands the sender report of each track whose report is due to `each`.
    /// `moment` is the stream's time now and the wall clock of it.
    pub(in crate::server) fn reports(
        &mut self,
        now: Instant,
        moment: impl Fn(TrackId) -> Option<(u64, WallTime)>,
        mut each: impl FnMut(Carrier, &[u8]),
    ) {
        let mut compound = Vec::new();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let Some(track) = track.as_mut().filter(|track| track.report_is_due(now)) else { continue };
            let Some((moment, wall)) = moment(TrackId(index as u8)) else { continue };
            let Some(timestamp) = track.rewriter.timestamp(moment) else { continue };
            let ntp = NtpTime::from(wall);
            track.reported = Some((ntp.middle(), now));
            track.next_report = Some(now + REPORT_EVERY);
            let report = SenderReport {
                ssrc: track.rewriter.ssrc(),
                ntp,
                timestamp,
                packets: track.packets,
                octets: track.octets,
            };
            compound.clear();
            rtcp::write_report(&report, &self.cname, &mut compound);
            each(track.carrier, &compound);
        }
    }

    /// Hands the goodbye of each track to `each`.
    pub(in crate::server) fn goodbyes(&self, mut each: impl FnMut(Carrier, &[u8])) {
        let mut compound = Vec::new();
        for track in self.tracks.iter().flatten().filter(|track| track.packets > 0) {
            compound.clear();
            rtcp::write_bye(track.rewriter.ssrc(), &self.cname, &mut compound);
            each(track.carrier, &compound);
        }
    }

    /// The round trip that a receiver's report block tells, if it quotes the last report of a track (RFC 3550 section
    /// 6.4.1).
    pub(in crate::server) fn round_trip(
        &self,
        report: &rtcp::ReceptionReport,
        now: Instant,
    ) -> Option<Duration> {
        let track = self.tracks.iter().flatten().find(|track| track.rewriter.ssrc() == report.ssrc)?;
        let (_, sent) = track.reported.filter(|(middle, _)| *middle == report.last_report && *middle != 0)?;
        let held = Duration::from_secs_f64(f64::from(report.delay_since_last_report) / 65_536.0);
        now.saturating_duration_since(sent).checked_sub(held)
    }
}

/// Between a viewer's sender reports (RFC 3550 section 6.2 recommends 5 s as the minimum).
const REPORT_EVERY: Duration = Duration::from_secs(5);
