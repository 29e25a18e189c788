//! What one viewer gets of each burst, and under which numbers.
//!
//! A viewer usually gets every packet of the tracks it plays. It gets less while it waits for a key frame (at the start,
//! after an outage, or because it was too slow), and where it is behind:
//!
//! - a burst that is older than half of `max_lag` when it is sent loses the frames that no other frame needs;
//! - of one older than `max_lag` it gets nothing but the rest of a frame under way. It goes on at the newest key frame that
//!   is younger; where there is none, at the next one. So no packet is ever sent later than that, whatever the distance
//!   between key frames is. Sound goes on: only that of bursts too old is left out.
//!
//! At the beginning it gets what the stream's cache holds ([`Player::open`]), whose age counts from then.

mod lease;
mod plan;
mod reports;
#[cfg(test)]
mod tests;
mod track;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use lease::{Lease, To};
pub(super) use plan::Plan;
pub(super) use track::{Carrier, ViewerTrack};

use crate::config::{FastStart, Viewing};
use crate::hub::{Burst, Described};
use crate::rtp::{Compression, Rewriter, Start};
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
    max_lag: Duration,
    /// The last burst that it is sent ahead of those that come.
    ahead_until: u64,
    /// Of what it is sent ahead it gets the pictures only: sound begins at the live edge.
    pictures_only: bool,
    /// Since when it has been sent what is there.
    follows_since: Option<Instant>,
    /// How far behind the live edge it plays because it was given what was there at its own pace.
    behind: Duration,
    /// Pictures go on with a key frame in this burst or a later one.
    pictures_from: u64,
}

impl Player {
    /// No track yet. `cname` names the viewer's session in reports.
    pub(super) fn new(described: &Described, cname: String, viewing: &Viewing) -> Self {
        let tracks = described.description.tracks.iter().map(|_| None).collect();
        Self { tracks, generation: described.generation, cname, max_lag: viewing.max_lag, ..Self::default() }
    }

    /// Sets a track up, in place of an earlier set-up of it. Returns its SSRC.
    pub(super) fn set_up(&mut self, track: &Track, carrier: Carrier) -> u32 {
        let set_up = ViewerTrack::new(track, carrier);
        let ssrc = set_up.rewriter.ssrc();
        // There may be more of them than when the session was made.
        if self.tracks.len() <= track.id.index() {
            self.tracks.resize_with(track.id.index() + 1, || None);
        }
        if let Some(slot) = self.tracks.get_mut(track.id.index()) {
            *slot = Some(set_up);
        }
        ssrc
    }

    /// Gives a track up.
    pub(super) fn remove(&mut self, track: TrackId) {
        if let Some(slot) = self.tracks.get_mut(track.index()) {
            *slot = None;
        }
    }

    /// Sends a track's packets there from now on.
    pub(super) fn set_carrier(&mut self, track: TrackId, carrier: Carrier) {
        if let Some(track) = self.tracks.get_mut(track.index()).and_then(Option::as_mut) {
            track.carrier = carrier;
        }
    }

    /// The numbers that a track's packets get.
    pub(super) fn numbers(&self, track: TrackId) -> Option<Rewriter> {
        Some(self.track(track)?.rewriter.clone())
    }

    /// Whether a track's packets carry this SSRC.
    pub(super) fn sends(&self, ssrc: u32) -> bool {
        self.tracks().any(|(_, track)| track.rewriter.ssrc() == ssrc)
    }

    /// Takes the numbers of another player, who sends the track's packets.
    pub(super) fn hear(&mut self, track: TrackId, numbers: Rewriter) {
        if let Some(track) = self.tracks.get_mut(track.index()).and_then(Option::as_mut) {
            track.rewriter = numbers;
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
            track.play();
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

    /// The viewer is about to get `bursts`, which the stream has kept since its newest key frame, and then what comes. With
    /// [`FastStart::LiveEdge`] their pictures get timestamps within one frame interval, and their sound is left out.
    /// It has `max_lag` from `now` on to take them; with [`FastStart::Cached`] it plays them first, and stays behind by that.
    pub(super) fn open(&mut self, bursts: &VecDeque<Arc<Burst>>, start: FastStart, now: Instant) {
        let (Some(first), Some(last)) = (bursts.front(), bursts.back()) else { return };
        self.ahead_until = last.id();
        self.pictures_only = start == FastStart::LiveEdge;
        self.follows_since = Some(now);
        if !self.pictures_only {
            self.behind = now.saturating_duration_since(first.received());
            return;
        }
        self.behind = Duration::ZERO;
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let Some(track) = track.as_mut().filter(|track| track.playing && track.waits_for_key) else {
                continue;
            };
            let packets = bursts.iter().flat_map(|burst| burst.packets());
            let packets = packets.filter(|packet| packet.track.index() == index);
            let (mut oldest, mut newest, mut frames) = (u64::MAX, 0, 0);
            for packet in packets.skip_while(|packet| !packet.key) {
                oldest = oldest.min(packet.timestamp);
                newest = newest.max(packet.timestamp);
                frames += u64::from(packet.frame_start);
            }
            track.compression = Compression::new(oldest, newest, frames);
        }
    }

    /// Whether this viewer would get nothing of the burst because it is too old by now.
    pub(super) fn is_late(&mut self, burst: &Burst, now: Instant) -> bool {
        self.age(burst, now) > self.max_lag
    }

    /// A viewer for whom bursts are too old is to go on with a key frame in the burst `id` or later.
    pub(super) fn pictures_from(&mut self, id: u64) {
        self.pictures_from = self.pictures_from.max(id);
    }

    /// The newest burst that a playing track has seen.
    pub(super) fn seen(&self) -> u64 {
        let playing = self.tracks.iter().flatten().filter(|track| track.playing);
        playing.map(|track| track.seen).max().unwrap_or_default()
    }

    /// Whether a track of pictures waits for a key frame.
    pub(super) fn wants_pictures(&self) -> bool {
        self.tracks.iter().flatten().any(|track| track.playing && track.waits_for_key)
    }

    /// Bursts are lost for this viewer: pictures go on at their next key frame, the rest at once.
    pub(super) fn lose(&mut self) {
        self.tracks.iter_mut().flatten().for_each(ViewerTrack::lose);
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

    /// Goes over to a description without a burst of it. `false` as in [`Player::keep_up`].
    pub(super) fn follow(&mut self, described: &Described) -> bool {
        let before = std::mem::replace(&mut self.generation, described.generation);
        self.tracks().all(|(track, _)| described.still_has(track, before))
    }
}
