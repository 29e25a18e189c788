//! What a source is doing, for viewers that wait for it and for whoever looks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::rtp::FrameRate;
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, Phase, TrackId, Transport};

/// The state of a source.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// Failed attempts since it last delivered.
    pub attempt: u32,
    /// When it tries again, while it waits for that.
    pub next_try: Option<Instant>,
    /// What was decided after the last failure, and why, in words; until the source delivers again.
    pub decision: Option<String>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
    /// Sessions that delivered, since the start.
    pub sessions: u64,
    /// How packets come, while they do.
    pub transport: Option<Transport>,
    /// The tracks of the last session that was described.
    pub described: Option<Described>,
}

/// The tracks of a stream, and how they relate to the ones before.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The tracks.
    pub description: Arc<Description>,
    /// Counts the times that tracks came, went or changed.
    pub generation: u32,
    /// By track, the generation that brought it in its present form.
    pub since: Arc<[u32]>,
    /// Grows with every change, also from one run of the relay to the next (RFC 8866 section 5.2).
    pub version: u64,
    /// No parameter set is missing.
    pub complete: bool,
}

/// Something that went wrong with a source.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The class, for metrics and decisions.
    pub class: FailureClass,
    /// What happened, in words, without secrets.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            since: Instant::now(),
            attempt: 0,
            next_try: None,
            decision: None,
            last_failure: None,
            sessions: 0,
            transport: None,
            described: None,
        }
    }

    /// Goes over to `phase`. A stream that was stopped stays so: its source may take a moment to notice.
    pub(super) fn enter(&mut self, phase: Phase) {
        if self.phase == Phase::Stopped {
            return;
        }
        if self.phase != phase {
            self.phase = phase;
            self.since = Instant::now();
        }
        self.next_try = None;
        if phase != Phase::Live {
            self.transport = None;
        }
    }

    /// Takes a new description.
    pub(super) fn describe(
        &mut self,
        description: Description,
        generation: u32,
        since: Arc<[u32]>,
        complete: bool,
    ) {
        let before = self.described.as_ref().map_or(0, |described| described.version);
        self.described = Some(Described {
            version: unix_seconds().max(before + 1),
            since,
            ..Described::new(description, generation, complete)
        });
    }

    /// Since when packets arrive, while they do.
    pub fn live_since(&self) -> Option<Instant> {
        (self.phase == Phase::Live).then_some(self.since)
    }
}

impl Described {
    /// Tracks described just now.
    pub fn new(description: Description, generation: u32, complete: bool) -> Self {
        let since = description.tracks.iter().map(|_| generation).collect();
        Self { description: Arc::new(description), generation, since, version: unix_seconds(), complete }
    }

    /// Whether a track that was described under `generation` is still the same.
    pub fn still_has(&self, track: TrackId, generation: u32) -> bool {
        self.since.get(track.index()).is_some_and(|since| *since <= generation)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How one track of a source does.
#[derive(Clone, Debug, Default)]
pub struct TrackStats {
    /// Frames a second.
    pub rate: FrameRate,
    /// Bits a second.
    pub bit_rate: BitRate,
    /// When the last frame arrived, since the stream was made.
    pub last_frame: Option<Duration>,
    /// The time between the last two key frames.
    pub key_frame_interval: Option<Duration>,
    /// Camera clock to relay: how long after its time on the camera's clock a frame arrives, in nanoseconds; negative
    /// when the clocks disagree.
    pub camera_delay: Option<i64>,
    /// Width and height of the pictures in pixels, where the packets themselves tell (RFC 2435 section 3.1).
    pub size: Option<(u16, u16)>,
}

/// Bits a second, over windows of a second or more.
#[derive(Clone, Debug, Default)]
pub struct BitRate {
    window_start: Duration,
    bytes: u64,
    per_second: f64,
}

impl BitRate {
    /// `bytes` arrived; times count from any origin and do not go back.
    pub fn arrived(&mut self, bytes: u64, arrival: Duration) {
        self.bytes += bytes;
        let span = arrival.saturating_sub(self.window_start);
        if span >= Duration::from_secs(1) {
            self.per_second = self.bytes as f64 * 8.0 / span.as_secs_f64();
            self.window_start = arrival;
            self.bytes = 0;
        }
    }

    /// Bits a second over the last full window; 0 when that is long ago.
    pub fn per_second(&self, now: Duration) -> f64 {
        if now.saturating_sub(self.window_start) > Duration::from_secs(4) { 0.0 } else { self.per_second }
    }
}
