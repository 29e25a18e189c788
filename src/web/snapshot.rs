//! What page and API show of a stream: its state at one moment, in the units people use.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::description::words;
use super::troubles::{ErrorState, OutagesState};
use crate::codec::{ParameterSets, Picture};
use crate::hub::{BackChannel, Failure, Status, Stream, Talker, TrackStats, Viewer};
use crate::metrics::TrackMetrics;
use crate::rtp::WallTime;
use crate::sdp::Track;
use crate::vocabulary::{Phase, Transport};

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

/// The way back to the camera, for one viewer at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackChannel)]
struct BackChannelState {
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

/// What a stream's source does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Source)]
pub(super) struct SourceState {
    #[schema(value_type = words::State)]
    pub(super) state: &'static str,
    /// Cameras in order of preference, or a file; without credentials.
    #[schema(examples("rtsp://***@10.0.0.7/main"))]
    from: Vec<String>,
    /// Whether it is connected only while somebody watches.
    on_demand: bool,
    /// When it went over to this state, RFC 3339, UTC.
    #[schema(format = DateTime)]
    since: String,
    /// Failed attempts since the source last delivered.
    attempt: u32,
    /// Seconds until the next attempt, while it waits for that.
    #[schema(required)]
    next_try_in: Option<f64>,
    /// When the next attempt is made, while it waits for that.
    #[schema(required, format = DateTime)]
    next_try_at: Option<String>,
    /// For how many seconds packets have been arriving. null = they do not.
    #[schema(required)]
    uptime: Option<f64>,
    /// Upstream sessions that delivered, since the stream was made.
    sessions: u64,
    /// How packets come, while they do.
    #[schema(required, value_type = Option<words::Transport>)]
    transport: Option<&'static str>,
    #[schema(required)]
    pub(super) last_failure: Option<FailureState>,
    /// What it does now and why, in words.
    #[schema(examples("retrying in 1.2 s after 3 failed attempts: connection refused"))]
    pub(super) decision: String,
    /// What was decided after the last failure, and why; null while all is well.
    #[schema(required)]
    pub(super) why: Option<String>,
    /// The rule by which attempts are made, in words; null = none has been made.
    #[schema(required, examples("Fixed: a new try every 2 s."))]
    pub(super) strategy: Option<String>,
    /// What the relay has learned about this source, a sentence each.
    pub(super) learned: Vec<String>,
    /// The last 16 errors that differ, the latest first. They stay after the source has recovered.
    pub(super) last_errors: Vec<ErrorState>,
    pub(super) outages: OutagesState,
}

/// What went wrong last; it stays after the source has recovered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(super) struct FailureState {
    #[schema(value_type = words::FailureClass)]
    class: &'static str,
    /// In words, without credentials.
    pub(super) message: String,
    /// When, RFC 3339, UTC.
    #[schema(format = DateTime)]
    pub(super) at: String,
}

/// A track of a stream. Counters go on through reconnects.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Track)]
pub(super) struct TrackState {
    /// Its number in the stream's `trackID=` URLs.
    id: u8,
    /// The kind of medium.
    #[schema(examples("video"))]
    kind: String,
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
    fps: f64,
    /// Bits a second, RTP headers included.
    bit_rate: u64,
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

/// Who watches, in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ViewerCount {
    /// All.
    pub(super) count: usize,
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
pub(super) struct Latency {
    /// Mean over the viewers.
    pub(super) mean: f64,
    /// The slowest viewer's.
    max: f64,
}

/// A viewer's session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Viewer)]
pub(super) struct ViewerState {
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
        let over = |transport| viewers.iter().filter(|viewer| viewer.transport == transport).count();
        Self {
            name: stream.name().to_owned(),
            urls,
            source: SourceState::new(stream, &status, now),
            fps: tracks.iter().find(|track| track.kind == "video").or(tracks.first()).map(|track| track.fps),
            bit_rate: tracks.iter().map(|track| track.bit_rate).sum(),
            loss: stream.loss().map(|loss| rounded(loss, 6)),
            tracks,
            dropped: stream.metrics().all_skipped(),
            viewers: ViewerCount {
                count: viewers.len(),
                tcp: over(Transport::Tcp),
                tls: over(Transport::Tls),
                udp: over(Transport::Udp),
                multicast: over(Transport::Multicast),
                websocket: over(Transport::WebSocket),
                http: over(Transport::Http),
            },
            backchannel: stream.back_channel().map(|channel| BackChannelState::new(stream, channel)),
            latency_ms: Latency::over(
                viewers.iter().filter(|viewer| viewer.packets() > 0).map(|v| v.latency()),
            ),
        }
    }
}

impl BackChannelState {
    fn new(stream: &Stream, channel: &BackChannel) -> Self {
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

impl SourceState {
    fn new(stream: &Stream, status: &Status, now: Instant) -> Self {
        let next_try_in = status.next_try.map(|next| next.saturating_duration_since(now));
        let record = stream.record();
        let provenance = stream.provenance();
        Self {
            state: status.phase.as_str(),
            from: provenance.from,
            on_demand: provenance.on_demand,
            since: time_of(stream, status.since),
            attempt: status.attempt,
            next_try_in: next_try_in.map(|wait| rounded(wait.as_secs_f64(), 3)),
            next_try_at: status.next_try.map(|next| time_of(stream, next)),
            uptime: status
                .live_since()
                .map(|since| rounded(now.saturating_duration_since(since).as_secs_f64(), 3)),
            sessions: status.sessions,
            transport: status.transport.map(Transport::as_str),
            last_failure: status.last_failure.as_ref().map(|failure| FailureState {
                class: failure.class.as_str(),
                message: failure.message.clone(),
                at: rfc3339(failure.at.into()),
            }),
            decision: decision(status, next_try_in),
            why: status.decision.clone().filter(|why| !why.is_empty()),
            last_errors: ErrorState::list(stream, &record),
            outages: OutagesState::new(stream, &record, now),
            strategy: Some(record.strategy).filter(|strategy| !strategy.is_empty()),
            learned: record.learned,
        }
    }
}

/// What the source does now, why, and what comes next.
fn decision(status: &Status, next_try_in: Option<Duration>) -> String {
    let attempts = match status.attempt {
        1 => "1 failed attempt".to_owned(),
        count => format!("{count} failed attempts"),
    };
    let reason =
        status.last_failure.as_ref().map_or(String::new(), |Failure { message, .. }| format!(": {message}"));
    match status.phase {
        Phase::Idle => "nobody watches; connects with the first viewer".to_owned(),
        Phase::Connecting if status.attempt > 0 => format!("connecting after {attempts}{reason}"),
        Phase::Connecting => "connecting".to_owned(),
        Phase::Live => match status.transport {
            Some(transport) => format!("packets arrive over {}", transport.as_str().to_uppercase()),
            None => "packets arrive".to_owned(),
        },
        Phase::Retrying => match next_try_in.filter(|wait| !wait.is_zero()) {
            Some(wait) => format!("retrying in {:.1} s after {attempts}{reason}", wait.as_secs_f64()),
            None => format!("retrying now after {attempts}{reason}"),
        },
        Phase::Stopped => "switched off: the stream was removed, or the relay is stopping".to_owned(),
    }
}

impl TrackState {
    fn new(track: &Track, stats: &TrackStats, metrics: &TrackMetrics, now: Duration) -> Self {
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

impl Latency {
    fn over(latencies: impl Iterator<Item = Duration>) -> Option<Self> {
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
    pub(super) fn new(stream: &Stream, viewer: &Viewer) -> Self {
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
    use std::sync::Arc;

    use super::*;
    use crate::hub::Hub;
    use crate::metrics::Metrics;
    use crate::vocabulary::FailureClass;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(WallTime(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(WallTime(1_709_210_096_789_654_321)), "2024-02-29T12:34:56.789Z");
        assert!(rfc3339(WallTime(i64::MIN)).starts_with("1677-"));
        assert!(rfc3339(WallTime(i64::MAX)).starts_with("2262-"));
    }

    #[test]
    fn the_decision_says_what_is_tried_next_and_why() {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        let stream = Arc::clone(publisher.stream());
        let decision = |now| StreamState::new(&stream, None, now).source.decision;
        assert_eq!(decision(Instant::now()), "nobody watches; connects with the first viewer");
        publisher.connecting();
        assert_eq!(decision(Instant::now()), "connecting");
        let refused = || "connection refused".to_owned();
        publisher.failed(FailureClass::Refused, refused(), Duration::from_secs(60), String::new());
        let next = stream.status().borrow().next_try.unwrap();
        assert_eq!(
            decision(next - Duration::from_millis(1200)),
            "retrying in 1.2 s after 1 failed attempt: connection refused"
        );
        assert_eq!(decision(next), "retrying now after 1 failed attempt: connection refused");
        publisher.failed(FailureClass::Refused, refused(), Duration::ZERO, String::new());
        publisher.connecting();
        assert_eq!(decision(next), "connecting after 2 failed attempts: connection refused");
        publisher.live(Some(Transport::Udp));
        assert_eq!(decision(next), "packets arrive over UDP");
        stream.close();
        assert_eq!(decision(next), "switched off: the stream was removed, or the relay is stopping");
    }

    #[test]
    fn the_latency_of_several_viewers_is_their_mean_and_their_worst() {
        assert!(Latency::over(std::iter::empty()).is_none());
        let latency = Latency::over([1, 2, 6].map(Duration::from_millis).into_iter()).unwrap();
        assert_eq!((latency.mean, latency.max), (3.0, 6.0));
    }
}
