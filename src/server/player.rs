//! What one viewer gets of each burst, and under which numbers.

mod steady;

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::scratch::Layout;
use crate::hub::{Burst, Described};
use crate::rtp::rtcp::{self, SenderReport};
use crate::rtp::{NtpTime, Rewriter, Start, WallTime};
use crate::sdp::Track;
use crate::vocabulary::TrackId;

/// The tracks one viewer has set up.
#[derive(Debug, Default)]
pub(super) struct Player {
    /// By track; `None` where a track is not set up.
    tracks: Vec<Option<ViewerTrack>>,
    /// The description the viewer plays by.
    generation: u32,
    /// When the first key-frame packet was sent.
    opened: Option<Instant>,
    cname: String,
}

/// One track of one viewer.
#[derive(Debug)]
pub(super) struct ViewerTrack {
    pub(super) carrier: Carrier,
    rewriter: Rewriter,
    clock_rate: u32,
    /// The viewer has to wait for a key frame of this track before it can decode it.
    has_key_frames: bool,
    waits_for_key: bool,
    playing: bool,
    /// Its frames are pictures, whose absence is counted.
    is_video: bool,
    /// The frame of the last packet seen, sent or not.
    frame: Option<u32>,
    /// The moment that its first timestamp stands for; `None` for the opening of the session.
    since: Option<Instant>,
    packets: u32,
    octets: u32,
    /// The last report sent: the middle of its NTP time, and when.
    reported: Option<(u32, Instant)>,
    /// When the next report is due; `None` = with the next packets.
    next_report: Option<Instant>,
}

/// Where a track's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Channels of the RTSP connection.
    Channels {
        /// For RTP.
        rtp: u8,
        /// For RTCP.
        rtcp: u8,
    },
    /// UDP ports of the viewer.
    Ports {
        /// For RTP.
        rtp: SocketAddr,
        /// For RTCP.
        rtcp: SocketAddr,
    },
}

/// What of a burst is to be sent. Reused from burst to burst.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Places in the copy of the burst, in order.
    pub(super) parts: Vec<Part>,
    /// RTP packets in it.
    pub(super) packets: u64,
    /// Bytes of RTP in it.
    pub(super) bytes: u64,
    /// Frames left out because they need one that this viewer missed.
    pub(super) skipped: u64,
    /// Frames that went by before this burst, unseen.
    pub(super) lagged: u64,
    /// It holds the first key-frame packet of this viewer.
    pub(super) first_key: bool,
    /// The burst all of whose packets are in `parts`, and how they lie there.
    whole_of: Option<(u64, Layout)>,
}

/// One packet of a plan.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Where it stands, framing included.
    pub(super) range: Range<usize>,
    /// The track it belongs to.
    pub(super) track: TrackId,
}

impl Player {
    /// No track yet. `cname` names the viewer's session in reports.
    pub(super) fn new(described: &Described, cname: String) -> Self {
        let tracks = described.description.tracks.iter().map(|_| None).collect();
        Self { tracks, generation: described.generation, opened: None, cname }
    }

    /// Sets a track up, in place of an earlier set-up of it. Returns its SSRC.
    pub(super) fn set_up(&mut self, track: &Track, carrier: Carrier) -> u32 {
        let rewriter = Rewriter::random(&mut rand::rng());
        let ssrc = rewriter.ssrc();
        let has_key_frames = track.codec.has_key_frames();
        // There may be more of them than when the session was made.
        if self.tracks.len() <= track.id.index() {
            self.tracks.resize_with(track.id.index() + 1, || None);
        }
        if let Some(slot) = self.tracks.get_mut(track.id.index()) {
            *slot = Some(ViewerTrack {
                carrier,
                rewriter,
                clock_rate: track.clock_rate,
                has_key_frames,
                waits_for_key: has_key_frames,
                playing: false,
                is_video: track.kind.eq_ignore_ascii_case("video"),
                frame: None,
                since: None,
                packets: 0,
                octets: 0,
                reported: None,
                next_report: None,
            });
        }
        ssrc
    }

    /// Gives a track up.
    pub(super) fn remove(&mut self, track: TrackId) {
        if let Some(slot) = self.tracks.get_mut(track.index()) {
            *slot = None;
        }
    }

    /// A track that is set up.
    pub(super) fn track(&self, track: TrackId) -> Option<&ViewerTrack> {
        self.tracks.get(track.index())?.as_ref()
    }

    /// The tracks that are set up.
    pub(super) fn tracks(&self) -> impl Iterator<Item = (TrackId, &ViewerTrack)> {
        let numbered = self.tracks.iter().enumerate();
        numbered.filter_map(|(index, track)| Some((TrackId(index as u8), track.as_ref()?)))
    }

    /// The generation of the description it plays by.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether any track plays.
    pub(super) fn is_playing(&self) -> bool {
        self.tracks.iter().flatten().any(|track| track.playing)
    }

    /// Starts the tracks of `scope` (all when `None`) that do not play yet, at `now`. `moment` is the stream's time now,
    /// where the stream has one: a track that played before goes on from there.
    pub(super) fn play(
        &mut self,
        scope: Option<TrackId>,
        now: Instant,
        moment: impl Fn(TrackId) -> Option<u64>,
    ) {
        // From a standstill all tracks begin together, the others of the scope too: VLC plays them one by one.
        let standstill = !self.is_playing();
        if standstill {
            self.opened = None;
        }
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let (id, Some(track)) = (TrackId(index as u8), track) else { continue };
            if standstill {
                track.restart(moment(id));
            }
            if track.playing || scope.is_some_and(|scope| scope != id) {
                continue;
            }
            track.playing = true;
            track.waits_for_key = track.has_key_frames;
            (track.frame, track.next_report) = (None, None);
            if track.rewriter.is_anchored() {
                // The others went on: it comes back in step with them.
                track.rewriter.skip();
            } else if let Some(opened) = self.opened {
                track.delay(now.saturating_duration_since(track.since.unwrap_or(opened)));
                track.since = Some(now);
            }
        }
    }

    /// Stops the tracks of `scope` (all when `None`).
    pub(super) fn pause(&mut self, scope: Option<TrackId>) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if let Some(track) = track
                && scope.is_none_or(|scope| scope.index() == index)
            {
                track.playing = false;
            }
        }
    }

    /// The next packet's numbers of a track, for `RTP-Info`; `moment` as in [`Player::play`].
    pub(super) fn announced(&self, track: TrackId, moment: Option<u64>) -> Option<Start> {
        let rewriter = &self.track(track)?.rewriter;
        let next = rewriter.next();
        let now = moment.and_then(|moment| rewriter.timestamp(moment));
        Some(Start { sequence: next.sequence, timestamp: now.unwrap_or(next.timestamp) })
    }

    /// The relay left bursts out for this viewer: video goes on at its next key frame, the rest at once.
    pub(super) fn skip(&mut self) {
        for track in self.tracks.iter_mut().flatten() {
            track.rewriter.skip();
            track.waits_for_key = track.has_key_frames;
        }
    }

    /// How the description that the burst belongs to stands to the one this viewer plays by: earlier, the same, later.
    pub(super) fn compare(&self, burst: &Burst) -> Ordering {
        burst.generation().cmp(&self.generation)
    }

    /// Goes over to the description that this burst belongs to, which is `described` or came before it. `false` when a
    /// track of this viewer is not what it was any more: it has to describe again.
    pub(super) fn keep_up(&mut self, burst: &Burst, described: &Described) -> bool {
        let before = self.generation;
        self.generation = burst.generation();
        self.tracks().all(|(track, _)| described.still_has(track, before))
    }

    /// Writes this viewer's numbers into `copy`, a copy of the burst, and says in `plan` which parts to send.
    pub(super) fn plan(&mut self, burst: &Burst, layout: Layout, copy: &mut [u8], plan: &mut Plan) {
        (plan.packets, plan.bytes, plan.first_key) = (0, 0, false);
        (plan.skipped, plan.lagged) = (0, 0);
        if self.plan_steadily(burst, layout, copy, plan) {
            return;
        }
        plan.parts.clear();
        plan.whole_of = None;
        for (index, packet) in burst.packets().iter().enumerate() {
            // Sound waits for the first picture, so that both start together; afterwards it waits for nothing.
            let held = self.opened.is_none() && self.waits_for_video();
            let Some(track) = self.tracks.get_mut(packet.track.index()).and_then(Option::as_mut) else {
                continue;
            };
            if !track.playing {
                continue;
            }
            // What follows an outage builds on frames that nobody has.
            track.waits_for_key |= packet.restarted && track.has_key_frames;
            if packet.restarted {
                track.next_report = None; // a viewer's clock is put right as soon as there is something to see
            }
            let frames = track.advance(packet.frame);
            if track.rewriter.is_anchored() {
                plan.lagged += frames.saturating_sub(1);
            }
            if track.waits_for_key {
                if !packet.key {
                    if track.rewriter.is_anchored() {
                        plan.skipped += frames.min(1);
                        track.rewriter.skip();
                    }
                    continue;
                }
                track.waits_for_key = false;
            } else if held {
                continue;
            }
            let opened = *self.opened.get_or_insert_with(|| {
                plan.first_key = true;
                burst.received()
            });
            let since = track.since.unwrap_or(opened);
            track.start(packet.sequence, packet.timestamp, burst.received().saturating_duration_since(since));
            let range = layout.range(index, packet);
            let bytes = &mut copy[range.clone()];
            let rtp = match (layout, track.carrier) {
                (Layout::Framed, Carrier::Channels { rtp, .. }) => {
                    bytes[1] = rtp;
                    &mut bytes[4..]
                }
                _ => bytes,
            };
            track.rewriter.rewrite(packet.sequence, packet.timestamp, rtp);
            track.packets = track.packets.wrapping_add(1);
            track.octets = track.octets.wrapping_add((packet.len() - RTP_HEADER) as u32);
            plan.packets += 1;
            plan.bytes += packet.len() as u64;
            plan.parts.push(Part { range, track: packet.track });
        }
    }

    /// Whether reports are due at `now`: each track's with its first packets after PLAY, then every [`REPORT_EVERY`].
    pub(super) fn reports_due(&self, now: Instant) -> bool {
        self.tracks.iter().flatten().any(|track| track.report_is_due(now))
    }

    /// Hands the sender report of each track whose report is due to `each`.
    /// `moment` is the stream's time now and the wall clock of it.
    pub(super) fn reports(
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
    pub(super) fn goodbyes(&self, mut each: impl FnMut(Carrier, &[u8])) {
        let mut compound = Vec::new();
        for track in self.tracks.iter().flatten().filter(|track| track.packets > 0) {
            compound.clear();
            rtcp::write_bye(track.rewriter.ssrc(), &self.cname, &mut compound);
            each(track.carrier, &compound);
        }
    }

    /// The round trip that a receiver's report block tells, if it quotes the last report of a track (RFC 3550 section
    /// 6.4.1).
    pub(super) fn round_trip(&self, report: &rtcp::ReceptionReport, now: Instant) -> Option<Duration> {
        let track = self.tracks.iter().flatten().find(|track| track.rewriter.ssrc() == report.ssrc)?;
        let (_, sent) = track.reported.filter(|(middle, _)| *middle == report.last_report && *middle != 0)?;
        let held = Duration::from_secs_f64(f64::from(report.delay_since_last_report) / 65_536.0);
        now.saturating_duration_since(sent).checked_sub(held)
    }

    fn waits_for_video(&self) -> bool {
        self.tracks.iter().flatten().any(|track| track.playing && track.waits_for_key)
    }
}

impl ViewerTrack {
    /// Whether it has been played and not paused.
    pub(super) fn is_playing(&self) -> bool {
        self.playing
    }

    /// Goes on to the frame of a packet. Returns how many frames further that is: 0 within a frame, and for tracks whose
    /// frames are not pictures.
    fn advance(&mut self, frame: u32) -> u64 {
        match self.frame.replace(frame) {
            Some(before) if self.is_video => u64::from(frame.wrapping_sub(before)),
            _ => 0,
        }
    }

    fn report_is_due(&self, now: Instant) -> bool {
        self.playing && self.rewriter.is_anchored() && self.next_report.is_none_or(|next| now >= next)
    }

    /// After a pause of all tracks: goes on with the next sequence number, and from this moment of the stream.
    fn restart(&mut self, moment: Option<u64>) {
        self.since = None;
        if self.rewriter.is_anchored() {
            let next = self.rewriter.next();
            let timestamp = moment.and_then(|moment| self.rewriter.timestamp(moment));
            let start = Start { sequence: next.sequence, timestamp: timestamp.unwrap_or(next.timestamp) };
            self.rewriter = Rewriter::new(self.rewriter.ssrc(), start);
        }
    }

    /// Moves the first timestamp, before there was a packet.
    fn delay(&mut self, by: Duration) {
        let ticks = (by.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32;
        let Start { sequence, timestamp } = self.rewriter.next();
        let start = Start { sequence, timestamp: timestamp.wrapping_add(ticks) };
        self.rewriter = Rewriter::new(self.rewriter.ssrc(), start);
    }

    /// Fixes the offsets with the first packet. Usually it carries the very numbers that `RTP-Info` announced. A track
    /// whose first packet comes long after that moment (metadata, say) starts as much later.
    fn start(&mut self, sequence: u64, timestamp: u64, after: Duration) {
        if self.rewriter.is_anchored() {
            return;
        }
        if after > TOGETHER {
            self.delay(after);
        }
        self.rewriter.anchor(sequence, timestamp);
    }
}

/// Between a viewer's sender reports (RFC 3550 section 6.2 recommends 5 s as the minimum).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Tracks whose first packets are this close started together.
const TOGETHER: Duration = Duration::from_millis(500);

/// Bytes of a packet that a sender report does not count as payload.
const RTP_HEADER: usize = crate::rtp::Header::LEN;
