//! One track of one viewer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::rtp::{Compression, Rewriter, Start};
use crate::sdp::Track;

/// One track of one viewer.
#[derive(Debug)]
pub(in crate::server) struct ViewerTrack {
    pub(in crate::server) carrier: Carrier,
    pub(super) rewriter: Rewriter,
    clock_rate: u32,
    /// The codec has frames that a decoder cannot begin with: sound waits for those it can.
    pub(super) has_key_frames: bool,
    /// The viewer has to wait for a key frame of this track before it can decode it.
    pub(super) waits_for_key: bool,
    pub(super) playing: bool,
    /// Its frames are pictures, whose absence is counted.
    pub(super) is_video: bool,
    /// The frame of the last packet seen, sent or not.
    frame: Option<u32>,
    /// The frame of the last packet sent, unless that was its last.
    pub(super) unfinished: Option<u32>,
    /// The frame that is being left out as one that no other needs.
    pub(super) dropping: Option<u32>,
    /// The last burst seen: what comes once more is not sent again.
    pub(super) seen: u64,
    /// For the pictures of the cache.
    pub(super) compression: Option<Compression>,
    /// The moment that its first timestamp stands for; `None` for the opening of the session.
    pub(super) since: Option<Instant>,
    pub(super) packets: u32,
    pub(super) octets: u32,
    /// The last report sent: the middle of its NTP time, and when.
    pub(super) reported: Option<(u32, Instant)>,
    /// When the next report is due; `None` = with the next packets.
    pub(super) next_report: Option<Instant>,
}

/// Where a track's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Carrier {
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

/// How a packet's frame stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// It is another frame, or the first.
    pub(super) new: bool,
    /// How many frames further; 0 for the first, and for tracks whose frames are not pictures.
    pub(super) frames: u64,
}

impl ViewerTrack {
    /// Whether it gets each packet with the stream's numbers plus its offsets.
    pub(super) fn is_steady(&self) -> bool {
        self.rewriter.is_steady() && self.compression.is_none() && self.dropping.is_none()
    }

    pub(super) fn new(track: &Track, carrier: Carrier) -> Self {
        Self {
            carrier,
            rewriter: Rewriter::random(&mut rand::rng()),
            clock_rate: track.clock_rate,
            has_key_frames: track.codec.has_key_frames(),
            waits_for_key: track.is_video(),
            playing: false,
            is_video: track.is_video(),
            frame: None,
            unfinished: None,
            dropping: None,
            seen: 0,
            compression: None,
            since: None,
            packets: 0,
            octets: 0,
            reported: None,
            next_report: None,
        }
    }

    /// Whether it has been played and not paused.
    pub(in crate::server) fn is_playing(&self) -> bool {
        self.playing
    }

    /// Begins to play, at a frame that can be decoded.
    pub(super) fn play(&mut self) {
        self.playing = true;
        self.waits_for_key = self.is_video;
        (self.frame, self.unfinished, self.dropping) = (None, None, None);
        (self.compression, self.next_report) = (None, None);
        self.seen = 0; // what it saw before a pause may be what it needs to begin again
    }

    /// The frame of the last packet seen, sent or not.
    pub(super) fn last_frame(&self) -> Option<u32> {
        self.frame
    }

    /// This is the frame of the last packet seen.
    pub(super) fn arrived_at(&mut self, frame: u32) {
        self.frame = Some(frame);
    }

    /// Goes on to the frame of a packet.
    pub(super) fn advance(&mut self, frame: u32) -> Step {
        match self.frame.replace(frame) {
            Some(before) if self.is_video => {
                Step { new: before != frame, frames: u64::from(frame.wrapping_sub(before)) }
            }
            before => Step { new: before != Some(frame), frames: 0 },
        }
    }

    /// The relay leaves out packets on purpose: what follows has no gap.
    pub(super) fn skip(&mut self) {
        self.rewriter.skip();
    }

    /// The relay has lost what came next: what follows is to be decoded without it.
    pub(super) fn lose(&mut self) {
        // What stands there unfinished must not be taken for whole.
        if self.unfinished.take().is_some() {
            self.rewriter.lose();
        }
        self.rewriter.skip();
        self.waits_for_key = self.is_video;
    }

    /// The stream's timestamp of a packet as this viewer gets it.
    pub(super) fn timestamp(&mut self, timestamp: u64) -> u64 {
        let Some(compression) = self.compression else { return timestamp };
        // A second past it no picture is to be shown before those of the cache, whatever the order of decoding is: from there
        // on nothing stands in the way of a lease.
        if timestamp > compression.newest() + u64::from(self.clock_rate) {
            self.compression = None;
        }
        compression.squeezed(timestamp)
    }

    pub(super) fn report_is_due(&self, now: Instant) -> bool {
        self.playing && self.rewriter.is_anchored() && self.next_report.is_none_or(|next| now >= next)
    }

    /// After a pause of all tracks: goes on with the next sequence number, and from this moment of the stream.
    pub(super) fn restart(&mut self, moment: Option<u64>) {
        self.since = None;
        if self.rewriter.is_anchored() {
            let next = self.rewriter.next();
            let timestamp = moment.and_then(|moment| self.rewriter.timestamp(moment));
            let start = Start { sequence: next.sequence, timestamp: timestamp.unwrap_or(next.timestamp) };
            self.rewriter = Rewriter::new(self.rewriter.ssrc(), start);
        }
    }

    /// Moves the first timestamp, before there was a packet.
    pub(super) fn delay(&mut self, by: Duration) {
        let ticks = (by.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32;
        let Start { sequence, timestamp } = self.rewriter.next();
        let start = Start { sequence, timestamp: timestamp.wrapping_add(ticks) };
        self.rewriter = Rewriter::new(self.rewriter.ssrc(), start);
    }

    /// Fixes the offsets with the first packet. Usually it carries the very numbers that `RTP-Info` announced. A track
    /// whose first packet comes long after that moment (metadata, say) starts as much later.
    pub(super) fn start(&mut self, sequence: u64, timestamp: u64, after: Duration) {
        if self.rewriter.is_anchored() {
            return;
        }
        if after > TOGETHER {
            self.delay(after);
        }
        self.rewriter.anchor(sequence, timestamp);
    }
}

/// Tracks whose first packets are this close started together.
const TOGETHER: Duration = Duration::from_millis(500);
