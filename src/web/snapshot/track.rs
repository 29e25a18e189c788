//! A track of a stream, and what comes of it.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::rounded;
use crate::codec::{ParameterSets, Picture};
use crate::hub::TrackStats;
use crate::metrics::TrackMetrics;
use crate::sdp::Track;
use crate::web::description::words;

/// A track of a stream. Counters go on through reconnects.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Track)]
pub(in crate::web) struct TrackState {
    /// Its number in the stream's `trackID=` URLs.
    id: u8,
    /// The kind of medium.
    #[schema(examples("video"))]
    pub(super) kind: String,
    #[schema(value_type = words::Codec)]
    codec: &'static str,
    /// The encoding name of its rtpmap; null = the camera did not say.
    #[schema(required, examples("H264"))]
    encoding: Option<String>,
    /// RTP payload type.
    payload_type: u8,
    /// RTP timestamp units a second.
    clock_rate: u32,
    /// Of audio. null = not known.
    #[schema(required)]
    channels: Option<u16>,
    /// Of the pictures, in pixels. null = not known yet.
    #[schema(required)]
    width: Option<u32>,
    /// The same.
    #[schema(required)]
    height: Option<u32>,
    /// Of H.264 and H.265.
    #[schema(required, examples("High"))]
    profile: Option<&'static str>,
    /// Of H.264 and H.265.
    #[schema(required, examples("4.1"))]
    level: Option<String>,
    /// Frames a second over the last seconds; 0 when none arrive.
    pub(super) fps: f64,
    /// Bits a second, RTP headers included.
    pub(super) bit_rate: u64,
    /// Frames received.
    frames: u64,
    /// RTP packets received.
    packets: u64,
    /// RTP packets that never arrived.
    lost: u64,
    /// RTP packets that arrived after a later one.
    reordered: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 section 6.4.1).
    jitter_ms: f64,
    /// Seconds between the last two key frames; null = unknown, or every frame is one.
    #[schema(required)]
    key_frame_interval: Option<f64>,
    /// Seconds since the last frame.
    #[schema(required)]
    last_frame_age: Option<f64>,
    /// Milliseconds from a frame's time on the camera's clock to its arrival; negative when the clocks disagree; null = the
    /// camera has sent no report.
    #[schema(required)]
    camera_delay_ms: Option<f64>,
}

impl TrackState {
    pub(super) fn new(track: &Track, stats: &TrackStats, metrics: &TrackMetrics, now: Duration) -> Self {
        let seconds = |duration: Duration| rounded(duration.as_secs_f64(), 3);
        let fmtp = track.fmtp.as_deref().unwrap_or_default();
        let picture = Picture::of(track.codec, &ParameterSets::from_fmtp(track.codec, fmtp));
        let size = picture.map(|picture| (picture.width, picture.height));
        let size = size.or(stats.size.map(|(width, height)| (width.into(), height.into())));
        Self {
            channels: track.channels,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            profile: picture.map(|picture| picture.profile),
            level: picture.map(|picture| format!("{}.{}", picture.level / 10, picture.level % 10)),
            id: track.id.0,
            kind: track.kind.clone(),
            codec: track.codec.name(),
            encoding: track.encoding.clone(),
            payload_type: track.payload_type,
            clock_rate: track.clock_rate,
            fps: rounded(stats.rate.per_second(now), 2),
            bit_rate: stats.bit_rate.per_second(now).round() as u64,
            frames: metrics.frames.get(),
            packets: metrics.received_packets.get(),
            lost: metrics.lost_packets.get(),
            reordered: metrics.reordered_packets.get(),
            jitter_ms: rounded(metrics.jitter.get() * 1e3, 3),
            key_frame_interval: stats.key_frame_interval.map(seconds),
            last_frame_age: stats.last_frame.map(|last| seconds(now.saturating_sub(last))),
            camera_delay_ms: stats.camera_delay.map(|nanos| rounded(nanos as f64 / 1e6, 3)),
        }
    }
}
