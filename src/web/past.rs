//! What was: a stream's history and its last log lines, as the API gives them.

use serde::Serialize;
use utoipa::ToSchema;

use super::description::words;
use super::snapshot::{rfc3339, rounded};
use crate::hub::{History, Sample, Spell};
use crate::journal::Line;
use crate::rtp::WallTime;

/// The last day of a stream, and numbers of its last hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = History)]
pub(super) struct HistoryState {
    /// What the source did, the oldest first; each begins where the one before ends.
    timeline: Vec<SpellState>,
    samples: Samples,
}

/// A time in which a source did one thing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Spell)]
struct SpellState {
    /// When it began, RFC 3339, UTC.
    #[schema(format = DateTime)]
    from: String,
    /// When it ended; null = it goes on.
    #[schema(required, format = DateTime)]
    to: Option<String>,
    // Attempts after a failure belong to `retrying`.
    #[schema(value_type = words::State)]
    state: &'static str,
    /// What it began with, where something failed.
    #[schema(required)]
    why: Option<String>,
}

/// Numbers, one set every ten seconds. All lists are of one length; null where there was nothing to count.
#[derive(Debug, Serialize, ToSchema)]
struct Samples {
    /// Seconds from one set to the next.
    every_seconds: u64,
    /// When the first of them was taken, at the end of its ten seconds; null without any.
    #[schema(required, format = DateTime)]
    from: Option<String>,
    /// Frames a second of the first video track, or of the first track.
    fps: Vec<Option<f64>>,
    /// Bits a second of all tracks.
    bit_rate: Vec<Option<u64>>,
    /// Milliseconds from a packet's arrival to its hand-over to the kernel: half of the packets took at most so long.
    latency_p50_ms: Vec<Option<f64>>,
    /// The same of 99 in 100.
    latency_p99_ms: Vec<Option<f64>>,
    /// How many watched.
    viewers: Vec<Option<u32>>,
    /// Packets that got lost on the way from the camera.
    lost: Vec<Option<u64>>,
}

impl HistoryState {
    pub(super) fn new(history: &History, now: WallTime) -> Self {
        let (samples, newest) = history.samples();
        let before = samples.len().saturating_sub(1) as i64 * History::EVERY.as_nanos() as i64;
        let samples: Vec<&Sample> = samples.collect();
        let each = |digits| {
            move |value: Option<f32>| value.filter(|v| v.is_finite()).map(|v| rounded(f64::from(v), digits))
        };
        Self {
            timeline: history.spells(now).map(SpellState::new).collect(),
            samples: Samples {
                every_seconds: History::EVERY.as_secs(),
                from: newest.filter(|_| !samples.is_empty()).map(|newest| rfc3339(newest.shifted(-before))),
                fps: samples.iter().map(|s| each(2)(s.fps)).collect(),
                bit_rate: samples.iter().map(|s| s.bit_rate).collect(),
                latency_p50_ms: samples.iter().map(|s| each(3)(s.latency_p50)).collect(),
                latency_p99_ms: samples.iter().map(|s| each(3)(s.latency_p99)).collect(),
                viewers: samples.iter().map(|s| s.viewers).collect(),
                lost: samples.iter().map(|s| s.lost).collect(),
            },
        }
    }
}

impl SpellState {
    fn new(spell: &Spell) -> Self {
        Self {
            from: rfc3339(spell.from),
            to: spell.to.map(rfc3339),
            state: spell.phase.as_str(),
            why: spell.why.as_ref().map(|(_, message)| message.clone()),
        }
    }
}

/// The last log lines of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Log {
    /// The oldest first.
    lines: Vec<LineState>,
}

/// A line of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
struct LineState {
    /// When it was written, RFC 3339, UTC.
    #[schema(format = DateTime)]
    at: String,
    #[schema(value_type = words::Level)]
    level: &'static str,
    /// Without secrets.
    message: String,
}

impl Log {
    pub(super) fn new(lines: Vec<Line>) -> Self {
        let state =
            |line: Line| LineState { at: rfc3339(line.at.into()), level: line.level, message: line.message };
        Self { lines: lines.into_iter().map(state).collect() }
    }
}
