//! What of one burst one viewer gets.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::Player;
use super::track::Carrier;
use crate::hub::Burst;
use crate::server::scratch::Layout;
use crate::vocabulary::TrackId;

/// What of a burst is to be sent. Reused from burst to burst.
#[derive(Debug, Default)]
pub(in crate::server) struct Plan {
    /// Places in the copy of the burst, in order.
    pub(in crate::server) parts: Vec<Part>,
    /// RTP packets in it.
    pub(in crate::server) packets: u64,
    /// Bytes of RTP in it.
    pub(in crate::server) bytes: u64,
    /// Frames left out because they need one that this viewer missed.
    pub(in crate::server) skipped: u64,
    /// Frames that are too old for this viewer, or went by before this burst, unseen.
    pub(in crate::server) lagged: u64,
    /// Frames left out because this viewer is behind and no other frame needs them.
    pub(in crate::server) unreferenced: u64,
    /// Packets left out because they fit no datagram.
    pub(in crate::server) oversized: u64,
    /// It holds the first key-frame packet of this viewer.
    pub(in crate::server) first_key: bool,
}

/// One packet of a plan.
#[derive(Clone, Debug)]
pub(in crate::server) struct Part {
    /// Where it stands, framing included.
    pub(in crate::server) range: Range<usize>,
    /// The track it belongs to.
    pub(in crate::server) track: TrackId,
}

impl Player {
    /// Writes this viewer's numbers into `copy`, a copy of the burst, and says in `plan` which parts to send. `now` may be
    /// a moment ago.
    pub(in crate::server) fn plan(
        &mut self,
        burst: &Burst,
        now: Instant,
        layout: Layout,
        copy: &mut [u8],
        plan: &mut Plan,
    ) {
        plan.clear();
        let ahead = burst.id() <= self.ahead_until;
        let age = self.age(burst, now);
        let (behind, late) = (age > self.max_lag / 2, age > self.max_lag);
        for (index, packet) in burst.packets().iter().enumerate() {
            // The rest waits for the first picture, so that both start together; afterwards it waits for nothing.
            let held = self.opened.is_none() && self.waits_for_video();
            let Some(track) = self.tracks.get_mut(packet.track.index()).and_then(Option::as_mut) else {
                continue;
            };
            if !track.playing || burst.id() <= track.seen {
                continue;
            }
            if packet.restarted {
                track.next_report = None; // a viewer's clock is put right as soon as there is something to see
            }
            let step = track.advance(packet.frame);
            if held && !track.has_key_frames {
                continue;
            }
            if track.is_video {
                // What follows an outage builds on frames that nobody has. What is too old is left out, but for the rest
                // of a frame whose beginning the viewer has.
                track.waits_for_key |= late || packet.restarted && track.has_key_frames;
                if track.rewriter.is_anchored() {
                    plan.lagged += step.frames.saturating_sub(1);
                }
                let finishes = track.unfinished == Some(packet.frame);
                let starts = packet.key && !late && burst.id() >= self.pictures_from;
                if track.waits_for_key && starts {
                    track.waits_for_key = false;
                } else if track.waits_for_key && !finishes {
                    if track.rewriter.is_anchored() {
                        let stale = late || burst.id() < self.pictures_from;
                        *(if stale { &mut plan.lagged } else { &mut plan.skipped }) += step.frames.min(1);
                        track.skip();
                    }
                    continue;
                }
                if behind && step.new && packet.droppable {
                    track.dropping = Some(packet.frame);
                    plan.unreferenced += 1;
                }
                if track.dropping == Some(packet.frame) {
                    track.skip();
                    continue;
                }
            } else if ahead && self.pictures_only && !track.rewriter.is_anchored() {
                continue;
            } else if late {
                track.skip();
                continue;
            }
            if packet.oversized {
                plan.oversized += 1;
                continue;
            }
            let opened = *self.opened.get_or_insert_with(|| {
                plan.first_key = true;
                if ahead && self.pictures_only { now } else { burst.received() }
            });
            let since = track.since.unwrap_or(opened);
            let timestamp = track.timestamp(packet.timestamp);
            track.start(packet.sequence, timestamp, burst.received().saturating_duration_since(since));
            if packet.added {
                track.rewriter.add();
            }
            let range = layout.range(index, packet);
            let bytes = &mut copy[range.clone()];
            let rtp = match (layout, track.carrier) {
                (Layout::Framed, Carrier::Channels { rtp, .. }) => {
                    bytes[1] = rtp;
                    &mut bytes[4..]
                }
                _ => bytes,
            };
            track.rewriter.rewrite(packet.sequence, timestamp, rtp);
            track.unfinished = (!packet.marker).then_some(packet.frame);
            track.packets = track.packets.wrapping_add(1);
            track.octets = track.octets.wrapping_add((packet.len() - RTP_HEADER) as u32);
            plan.packets += 1;
            plan.bytes += packet.len() as u64;
            plan.parts.push(Part { range, track: packet.track });
        }
        for track in self.tracks.iter_mut().flatten().filter(|track| track.playing) {
            track.seen = track.seen.max(burst.id());
        }
    }

    /// How long a burst has been due for this viewer: what was there before the viewer came did not wait for it, and a player
    /// that began behind the live edge reads at the pace at which it plays.
    pub(super) fn age(&mut self, burst: &Burst, now: Instant) -> Duration {
        let since = *self.follows_since.get_or_insert(now);
        now.saturating_duration_since((burst.received() + self.behind).max(since))
    }

    fn waits_for_video(&self) -> bool {
        let waits = |track: &super::ViewerTrack| track.playing && track.waits_for_key && track.has_key_frames;
        self.tracks.iter().flatten().any(waits)
    }
}

impl Plan {
    fn clear(&mut self) {
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        *self = Self { parts, ..Self::default() };
    }
}

/// Bytes of a packet that a sender report does not count as payload.
pub(super) const RTP_HEADER: usize = crate::rtp::Header::LEN;
