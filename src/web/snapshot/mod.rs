//! What page and API show of a stream: its state at one moment, in the units people use.

mod source;
mod track;
mod viewers;

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use crate::hub::Stream;
use crate::rtp::WallTime;
use source::SourceState;
use track::TrackState;
pub(super) use viewers::ViewerState;
use viewers::{BackChannelState, Latency, ViewerCount};

/// A stream at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stream)]
pub(super) struct StreamState {
    /// The name it is served under.
    pub(super) name: String,
    // Left out where it is not known who asks; answers always have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Urls, required)]
    pub(super) urls: Option<Urls>,
    pub(super) source: SourceState,
    /// Frames a second of the first video track, or of the first track where there is no video; 0 when none arrive. null =
    /// the source has not been described yet.
    #[schema(required)]
    pub(super) fps: Option<f64>,
    /// Bits a second of all tracks.
    pub(super) bit_rate: u64,
    /// The part of the packets of the last minute that got lost on the way from the camera, from 0 to 1. null = none came.
    #[schema(required)]
    pub(super) loss: Option<f64>,
    pub(super) tracks: Vec<TrackState>,
    pub(super) viewers: ViewerCount,
    /// null = none is configured (`backchannel: true`).
    #[schema(required)]
    backchannel: Option<BackChannelState>,
    /// Frames left out for viewers, since the start: they read too slowly, or their network lost too much.
    dropped: u64,
    /// null = nothing has been sent to a viewer yet.
    #[schema(required)]
    pub(super) latency_ms: Option<Latency>,
}

/// Where to watch a stream, with the host this request was sent to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Urls {
    /// Over TLS where there is nothing else; null = the RTSP server is off.
    #[schema(required, examples("rtsp://10.0.0.2:8554/door"))]
    pub(super) rtsp: Option<String>,
    /// Over TLS; null = it is off.
    #[schema(required)]
    pub(super) rtsps: Option<String>,
}

impl StreamState {
    /// The state at `now`, and the addresses to watch it at.
    pub(super) fn new(stream: &Stream, urls: Option<Urls>, now: Instant) -> Self {
        let status = stream.status().borrow().clone();
        let elapsed = stream.elapsed(now);
        let described = status.described.iter().flat_map(|described| &described.description.tracks);
        let tracks: Vec<_> = described
            .zip(stream.track_stats())
            .map(|(track, stats)| TrackState::new(track, &stats, &stream.metrics().track(track.id), elapsed))
            .collect();
        let viewers = stream.viewers();
        Self {
            name: stream.name().to_owned(),
            urls,
            source: SourceState::new(stream, &status, now),
            fps: tracks.iter().find(|track| track.kind == "video").or(tracks.first()).map(|track| track.fps),
            bit_rate: tracks.iter().map(|track| track.bit_rate).sum(),
            loss: stream.loss().map(|loss| rounded(loss, 6)),
            tracks,
            dropped: stream.metrics().all_skipped(),
            viewers: ViewerCount::of(&viewers),
            backchannel: stream.back_channel().map(|channel| BackChannelState::new(stream, channel)),
            latency_ms: Latency::over(
                viewers.iter().filter(|viewer| viewer.packets() > 0).map(|v| v.latency()),
            ),
        }
    }
}

/// A moment as RFC 3339.
pub(super) fn time_of(stream: &Stream, instant: Instant) -> String {
    rfc3339(stream.wall(stream.elapsed(instant)))
}

/// UTC to the millisecond, such as `2026-03-01T12:00:00.250Z`.
pub(super) fn rfc3339(time: WallTime) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.0));
    // 64 bits of nanoseconds end in 2262, the library's times in 9999.
    time.map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// Digits that mean nothing are left out.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(WallTime(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(WallTime(1_709_210_096_789_654_321)), "2024-02-29T12:34:56.789Z");
        assert!(rfc3339(WallTime(i64::MIN)).starts_with("1677-"));
        assert!(rfc3339(WallTime(i64::MAX)).starts_with("2262-"));
    }
}
