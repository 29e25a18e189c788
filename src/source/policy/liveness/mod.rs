//! Does the picture still move? Judged track by track, by frames and not by bytes: an encoder that hangs lets audio,
//! sender reports and keep-alives go on.
//!
//! A track is suspect when frames are missing that its own rhythm lets expect, and stalled after twice that time. In
//! between, a second session may be opened while the first is kept.

mod rhythm;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::words::spoken;
use crate::vocabulary::TrackId;
use rhythm::{KeyFrames, Rhythm};

/// How patient to be, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Time without a frame before a track is suspect; without it, learned: three missed frames, at least 500 ms.
    pub stall_timeout: Option<Duration>,
    /// Time without a key frame before a video track is suspect; without it, learned from its groups of pictures.
    pub key_frame_timeout: Option<Duration>,
    /// Time to the end of a session whose rhythm is not known yet, or which has no track with a rhythm.
    pub read_timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall_timeout: None, key_frame_timeout: None, read_timeout: Duration::from_secs(10) }
    }
}

/// What can be expected of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Frames from the start, as long as the session lives.
    Video,
    /// Frames once they began. Many cameras describe audio and send none while the microphone is off; some pause.
    Audio,
    /// Something when there is something to say (metadata): its silence means nothing.
    Sparse,
}

impl Nature {
    /// The nature of a medium by the first word of its `m=` line.
    pub fn of(kind: &str) -> Self {
        if kind.eq_ignore_ascii_case("video") {
            Self::Video
        } else if kind.eq_ignore_ascii_case("audio") {
            Self::Audio
        } else {
            Self::Sparse
        }
    }
}

/// How a session does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything comes as it should.
    Healthy,
    /// Something is late: time to open a second session and keep this one.
    Suspect {
        /// The track; `None` when nothing at all comes.
        track: Option<TrackId>,
        /// A sentence for a person.
        why: String,
    },
    /// It does not come any more: the session is to be ended.
    Stalled {
        /// The track; `None` when nothing at all comes.
        track: Option<TrackId>,
        /// A sentence for a person.
        why: String,
    },
}

/// Watches the frames of one session, and of the next ones of the same source.
#[derive(Clone, Debug)]
pub struct Liveness {
    patience: Patience,
    started: Instant,
    last_packet: Option<Instant>,
    tracks: Vec<Track>,
}

#[derive(Clone, Debug)]
struct Track {
    nature: Nature,
    rhythm: Rhythm,
    key_frames: KeyFrames,
}

/// Something that is expected of a session.
#[derive(Clone, Copy, Debug)]
struct Expectation {
    track: Option<TrackId>,
    what: &'static str,
    last: Instant,
    suspect_after: Duration,
    stalled_after: Duration,
    learned: Option<Duration>,
}

impl Liveness {
    /// A session that starts to play now, with these tracks in the order of their `m=` lines.
    pub fn new(patience: Patience, tracks: impl IntoIterator<Item = Nature>, now: Instant) -> Self {
        let track = |nature| Track { nature, rhythm: Rhythm::default(), key_frames: KeyFrames::default() };
        let tracks = tracks.into_iter().take(MAX_TRACKS).map(track).collect();
        Self { patience, started: now, last_packet: None, tracks }
    }

    /// A new session of the same source and with the same tracks starts to play: what was learned is kept.
    pub fn restarted(&mut self, now: Instant) {
        self.started = now;
        self.last_packet = None;
        for track in &mut self.tracks {
            track.rhythm.restarted();
            track.key_frames.restarted();
        }
    }

    /// A frame of the track begins; `key` when a decoder can start with it.
    pub fn frame(&mut self, track: TrackId, key: bool, now: Instant) {
        self.packet(now);
        if let Some(track) = self.tracks.get_mut(track.index()) {
            track.rhythm.frame(now);
            if track.nature == Nature::Video {
                track.key_frames.frame(key, now);
            }
        }
    }

    /// A packet of any track.
    pub fn packet(&mut self, now: Instant) {
        self.last_packet = Some(now);
    }

    /// How the session does: what the worst of its tracks does.
    pub fn verdict(&self, now: Instant) -> Verdict {
        let mut verdict = Verdict::Healthy;
        for expected in self.expectations() {
            let late = now.saturating_duration_since(expected.last);
            if late >= expected.stalled_after {
                return Verdict::Stalled { track: expected.track, why: expected.why(late) };
            }
            if late >= expected.suspect_after && verdict == Verdict::Healthy {
                verdict = Verdict::Suspect { track: expected.track, why: expected.why(late) };
            }
        }
        verdict
    }

    /// When the verdict can change next if nothing comes until then.
    pub fn next_check(&self, now: Instant) -> Instant {
        let changes = self.expectations().flat_map(|expected| {
            [expected.suspect_after, expected.stalled_after].map(|after| expected.last.checked_add(after))
        });
        let next = changes.flatten().filter(|at| *at > now).min();
        next.unwrap_or(now + self.patience.read_timeout.max(SHORTEST))
    }

    fn expectations(&self) -> impl Iterator<Item = Expectation> {
        let frames = self.tracks().filter_map(|(id, track)| self.frames(id, track));
        let key_frames = self.tracks().filter_map(|(id, track)| self.key_frames(id, track));
        let any = self.tracks().any(|(id, track)| self.frames(id, track).is_some());
        let packets = (!any).then(|| self.unlearned(None, "packet", self.last_packet));
        frames.chain(key_frames).chain(packets)
    }

    fn tracks(&self) -> impl Iterator<Item = (TrackId, &Track)> {
        (0..=u8::MAX).map(TrackId).zip(&self.tracks)
    }

    /// What is expected of the frames of a track.
    fn frames(&self, id: TrackId, track: &Track) -> Option<Expectation> {
        let what = match track.nature {
            Nature::Video => "video frame",
            Nature::Audio => "audio",
            Nature::Sparse => return None,
        };
        let learned = track.rhythm.threshold();
        let (last, suspect_after) = match (track.rhythm.last(), self.patience.stall_timeout, learned) {
            (Some(last), Some(configured), _) => (last, configured),
            (Some(last), None, Some(learned)) if track.nature == Nature::Audio => {
                (last, learned.max(AUDIO_PAUSE))
            }
            (Some(last), None, Some(learned)) => (last, learned),
            // Silence before the first sound is no fault, nor is a rhythm judged that is not one yet.
            _ if track.nature == Nature::Audio => return None,
            (last, ..) => return Some(self.unlearned(Some(id), what, last)),
        };
        Some(Expectation {
            track: Some(id),
            what,
            last,
            suspect_after,
            stalled_after: suspect_after.saturating_mul(2),
            learned: track.rhythm.interval(),
        })
    }

    /// What is expected of the key frames of a track.
    fn key_frames(&self, id: TrackId, track: &Track) -> Option<Expectation> {
        if track.nature != Nature::Video {
            return None;
        }
        let last = track.key_frames.last()?;
        let learned = track.key_frames.longest();
        let suspect_after = match (self.patience.key_frame_timeout, learned) {
            (Some(configured), _) => configured,
            (None, Some(longest)) => longest.saturating_mul(3) + KEY_FRAME_MARGIN,
            (None, None) => return None,
        };
        Some(Expectation {
            track: Some(id),
            what: "key frame",
            last,
            suspect_after,
            stalled_after: suspect_after.saturating_mul(2),
            learned,
        })
    }

    /// What is expected before there is a rhythm: something within `read_timeout`, and half of it is suspect.
    fn unlearned(&self, track: Option<TrackId>, what: &'static str, last: Option<Instant>) -> Expectation {
        let stalled_after = self.patience.read_timeout;
        let last = last.unwrap_or(self.started);
        Expectation { track, what, last, suspect_after: stalled_after / 2, stalled_after, learned: None }
    }
}

impl Expectation {
    fn why(&self, late: Duration) -> String {
        let of = self.track.map_or(String::new(), |track| format!(" on track {track}"));
        let usual = self.learned.map_or(String::new(), |usual| format!("; usual are {}", spoken(usual)));
        format!("No {}{of} for {}{usual}.", self.what, spoken(late))
    }
}

/// Tracks that are watched; an id has no room for more.
const MAX_TRACKS: usize = 256;

/// Below this, what a network and a busy machine do to the arrival of frames looks like a stall.
const SHORTEST: Duration = Duration::from_millis(500);

/// Audio pauses: silence suppression, a camera that changes its settings. Three missed packets are 60 ms.
const AUDIO_PAUSE: Duration = Duration::from_secs(5);

/// On top of three groups of pictures: key frames are large and come late.
const KEY_FRAME_MARGIN: Duration = Duration::from_secs(2);
