//! Who watches a stream, and who talks to its camera.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{rounded, time_of};
use crate::hub::{BackChannel, Stream, Talker, Viewer};
use crate::sdp::Track;
use crate::vocabulary::Transport;
use crate::web::description::words;

/// Who watches, in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ViewerCount {
    /// All.
    pub(in crate::web) count: usize,
    /// Over TCP.
    tcp: usize,
    /// Over TCP with TLS.
    tls: usize,
    /// Over UDP.
    udp: usize,
    /// By multicast: one flow for all of them.
    multicast: usize,
    /// Browsers over a WebSocket.
    websocket: usize,
    /// Browsers that are shown JPEG pictures one after the other.
    http: usize,
}

/// Milliseconds from a packet's arrival to its hand-over to the kernel, recently, over the viewers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Latency {
    /// Mean over the viewers.
    pub(in crate::web) mean: f64,
    /// The slowest viewer's.
    max: f64,
}

/// A viewer's session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Viewer)]
pub(in crate::web) struct ViewerState {
    /// Different for every viewer of the process.
    id: u64,
    /// Its address.
    #[schema(examples("192.0.2.7"))]
    peer: String,
    #[schema(value_type = words::Transport)]
    transport: &'static str,
    /// What it calls itself.
    #[schema(required)]
    user_agent: Option<String>,
    /// When it began to play, RFC 3339, UTC.
    #[schema(format = DateTime)]
    since: String,
    /// RTP packets handed to the kernel for it.
    packets: u64,
    /// Bytes of RTP and RTCP handed to the kernel for it.
    bytes: u64,
    /// Frames it did not get because it was too slow.
    skipped_frames: u64,
    /// How much later the newest packet of the stream arrived than the last one this viewer was given; null = it pauses.
    #[schema(required)]
    lag_seconds: Option<f64>,
    /// Recent milliseconds from a packet's arrival to its hand-over to the kernel.
    latency_ms: f64,
}

/// The way back to the camera, for one viewer at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackChannel)]
pub(in crate::web) struct BackChannelState {
    /// What the camera listens to; null = it does not.
    #[schema(required, examples("PCMU/8000"))]
    encoding: Option<String>,
    /// Who talks; null = nobody.
    #[schema(required)]
    talker: Option<TalkerState>,
}

/// Who talks to a camera.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Talker)]
struct TalkerState {
    /// The viewer's id; null = it does not play yet.
    #[schema(required)]
    viewer: Option<u64>,
    /// Its address.
    #[schema(examples("192.0.2.7"))]
    peer: String,
    /// When it took the floor, RFC 3339, UTC.
    #[schema(format = DateTime)]
    since: String,
    /// RTP packets of it that were passed on.
    packets: u64,
}

impl ViewerCount {
    pub(super) fn of(viewers: &[Arc<Viewer>]) -> Self {
        let over = |transport| viewers.iter().filter(|viewer| viewer.transport == transport).count();
        Self {
            count: viewers.len(),
            tcp: over(Transport::Tcp),
            tls: over(Transport::Tls),
            udp: over(Transport::Udp),
            multicast: over(Transport::Multicast),
            websocket: over(Transport::WebSocket),
            http: over(Transport::Http),
        }
    }
}

impl Latency {
    pub(super) fn over(latencies: impl Iterator<Item = Duration>) -> Option<Self> {
        let (mut count, mut sum, mut max) = (0u32, 0.0, 0.0f64);
        for latency in latencies {
            let latency = latency.as_secs_f64() * 1e3;
            count += 1;
            sum += latency;
            max = max.max(latency);
        }
        (count > 0).then(|| Self { mean: rounded(sum / f64::from(count), 3), max: rounded(max, 3) })
    }
}

impl ViewerState {
    pub(in crate::web) fn new(stream: &Stream, viewer: &Viewer) -> Self {
        Self {
            id: viewer.id,
            peer: viewer.peer.to_canonical().to_string(),
            transport: viewer.transport.as_str(),
            user_agent: viewer.user_agent.clone(),
            since: time_of(stream, viewer.since),
            packets: viewer.packets(),
            bytes: viewer.bytes(),
            skipped_frames: viewer.skipped(),
            lag_seconds: stream.lag(viewer).map(|lag| rounded(lag.as_secs_f64(), 3)),
            latency_ms: rounded(viewer.latency().as_secs_f64() * 1e3, 3),
        }
    }
}

impl BackChannelState {
    pub(super) fn new(stream: &Stream, channel: &BackChannel) -> Self {
        let name =
            |track: Track| format!("{}/{}", track.encoding.as_deref().unwrap_or("unknown"), track.clock_rate);
        let talker = |talker: Talker| TalkerState {
            viewer: talker.viewer.as_ref().map(|viewer| viewer.id),
            peer: talker.peer.to_canonical().to_string(),
            since: time_of(stream, talker.since),
            packets: talker.packets(),
        };
        Self { encoding: channel.offered().map(name), talker: channel.talker().map(talker) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_of_several_viewers_is_their_mean_and_their_worst() {
        assert!(Latency::over(std::iter::empty()).is_none());
        let latency = Latency::over([1, 2, 6].map(Duration::from_millis).into_iter()).unwrap();
        assert_eq!((latency.mean, latency.max), (3.0, 6.0));
    }
}
