//! The rhythm of a track: how long after a frame the next one is due.

use std::time::{Duration, Instant};

use super::SHORTEST;

/// Learns the interval between frames: its mean, how much it varies, and the longest one of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    last: Option<Instant>,
    /// Intervals seen, up to where that matters.
    seen: u32,
    /// Seconds.
    mean: f64,
    /// Mean deviation from the mean, in seconds.
    deviation: f64,
    /// The longest interval of the window before and of this one, and when this one began.
    longest: [Duration; 2],
    window: Option<Instant>,
    /// Since the first frame.
    first: Option<Instant>,
    learned: bool,
}

impl Rhythm {
    /// A frame arrived.
    pub(super) fn frame(&mut self, now: Instant) {
        let first = *self.first.get_or_insert(now);
        let Some(last) = self.last.replace(now) else { return };
        let interval = now.saturating_duration_since(last);
        let seconds = interval.as_secs_f64();
        if self.seen == 0 {
            (self.mean, self.deviation) = (seconds, seconds / 2.0);
        } else {
            // As for the round trips of TCP (RFC 6298 section 2), which vary in the same way.
            self.deviation += ((seconds - self.mean).abs() - self.deviation) / 4.0;
            self.mean += (seconds - self.mean) / 8.0;
        }
        self.seen = self.seen.saturating_add(1);
        self.learned |= self.seen >= LEARNED_FROM && now.saturating_duration_since(first) >= LEARNED_AFTER;

        let window = *self.window.get_or_insert(now);
        if now.saturating_duration_since(window) >= WINDOW {
            self.longest = [self.longest[1], Duration::ZERO];
            self.window = Some(now);
        }
        self.longest[1] = self.longest[1].max(interval);
    }

    /// A new session: the pause before it is no interval.
    pub(super) fn restarted(&mut self) {
        self.last = None;
        if !self.learned {
            *self = Self::default();
        }
    }

    /// The last frame of this session.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// The mean interval, once learned.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.learned.then(|| Duration::try_from_secs_f64(self.mean).unwrap_or_default())
    }

    /// How long without a frame is suspect: three frames and what the interval varies; a gap and a half where frames
    /// come in bursts, which neither the mean nor the deviation shows. `None` before there is a rhythm.
    pub(super) fn threshold(&self) -> Option<Duration> {
        let missed =
            Duration::try_from_secs_f64(self.mean * MISSED + self.deviation * 4.0).unwrap_or_default();
        let [before, now] = self.longest;
        let gap = before.max(now).min(LONGEST_GAP);
        self.learned.then(|| SHORTEST.max(missed).max(gap.mul_f64(1.5)))
    }
}

/// Learns the distance between key frames, in time and in frames.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyFrames {
    last: Option<Instant>,
    /// Frames since then.
    since: u32,
    /// The last distances, in a ring.
    recent: [(Duration, u32); RECENT],
    seen: usize,
}

impl KeyFrames {
    /// A frame arrived.
    pub(super) fn frame(&mut self, key: bool, now: Instant) {
        self.since = self.since.saturating_add(1);
        if !key {
            // A session may begin between two key frames: the first is due from here.
            self.last.get_or_insert(now);
            return;
        }
        if let Some(before) = self.last.replace(now) {
            self.recent[self.seen % RECENT] = (now.saturating_duration_since(before), self.since);
            self.seen += 1;
        }
        self.since = 0;
    }

    /// A new session: the pause before it is no distance.
    pub(super) fn restarted(&mut self) {
        self.last = None;
        self.since = 0;
    }

    /// The last key frame of this session, or its first frame.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// The longest of the last distances, since cameras with an adaptive group of pictures stretch it several times
    /// over while nothing moves. `None` before enough were seen, and until three times as many frames have come without
    /// a key frame: a camera that counts the frames of a group takes five times as long for it when its rate drops from
    /// 25 to 5.
    pub(super) fn longest(&self) -> Option<Duration> {
        let frames = self.recent.iter().map(|(_, frames)| *frames).max()?;
        let overdue = self.seen >= RECENT && self.since >= frames.saturating_mul(3);
        overdue.then(|| self.recent.iter().map(|(time, _)| *time).max()).flatten()
    }
}

/// Missed frames before a track is suspect.
const MISSED: f64 = 3.0;

/// Intervals that make a rhythm, and how long they must have taken: a session may begin with a burst of old frames.
const LEARNED_FROM: u32 = 8;
const LEARNED_AFTER: Duration = Duration::from_secs(1);

/// How long the longest gap is remembered: from one to two windows.
const WINDOW: Duration = Duration::from_secs(30);

/// A gap that was survived does not make for more patience than this.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// Distances between key frames that are kept.
const RECENT: usize = 8;
