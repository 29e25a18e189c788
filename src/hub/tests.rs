//! The hub as its two sides see it: a source that publishes, viewers that follow.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::{Burst, Delivery, Hub, Packet, Publisher, Seat, Stream, Subscription, Tally};
use crate::metrics::Metrics;
use crate::rtp::{Header, WallTime};
use crate::sdp::{self, Description};
use crate::vocabulary::{Disconnect, FailureClass, Phase, Skip, TrackId, Transport};

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

/// The payloads of small NAL units: parameter sets of a real camera, a key picture, another one.
const SPS: &[u8] = &[0x67, 0x4d, 0x00, 0x2a, 0x9d, 0xa8, 0x1e, 0x00, 0x89, 0xf9, 0x66, 0xe0];
const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0x80];
const KEY: &[u8] = &[0x65, 0x88, 0x80];
const INTER: &[u8] = &[0x41, 0x9a, 0x80];

const H264_AND_SOUND: &str = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=audio 0 RTP/AVP 0";
const H265: &str = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000";

fn description(media: &str) -> Description {
    let text = format!("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=x\nt=0 0\n{media}\n");
    Description::from_sdp(&sdp::parse(text.as_bytes()).unwrap())
}

/// A camera that numbers its packets, and the stream that it publishes to.
struct Source {
    hub: Hub,
    publisher: Publisher,
    started: Instant,
    ssrc: u32,
    sequence: u16,
}

impl Source {
    /// Live, with H.264 and sound.
    fn live() -> Self {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        publisher.connecting();
        publisher.begin(description(H264_AND_SOUND));
        publisher.live(Some(Transport::Tcp));
        Self { hub, publisher, started: Instant::now(), ssrc: 7, sequence: 65_530 }
    }

    fn stream(&self) -> Arc<Stream> {
        Arc::clone(self.publisher.stream())
    }

    /// Publishes a packet of a frame that is due at `millis`, and arrives then, as a burst of its own.
    fn send(&mut self, track: TrackId, payload: &[u8], millis: u32) {
        self.gather(track, payload, millis);
        self.publisher.flush();
    }

    fn gather(&mut self, track: TrackId, payload: &[u8], millis: u32) {
        self.part(track, payload, millis, millis, true);
    }

    /// A packet of the frame that is due at `millis`, which arrives at `arrives`.
    fn part(&mut self, track: TrackId, payload: &[u8], millis: u32, arrives: u32, marker: bool) {
        let header = Header {
            marker,
            payload_type: if track == VIDEO { 96 } else { 0 },
            sequence: self.sequence,
            timestamp: millis * if track == VIDEO { 90 } else { 8 },
            ssrc: self.ssrc + u32::from(track.0),
            payload: 12..12 + payload.len(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let packet = [&header.write()[..], payload].concat();
        let arrival = self.started + Duration::from_millis(arrives.into());
        self.publisher.packet(track, &packet, arrival).unwrap();
    }

    /// The session ends, and another one of these tracks begins.
    fn reconnect(&mut self, media: &str) {
        self.publisher.failed(FailureClass::Reset, "reset".into(), Duration::from_secs(1), String::new());
        self.publisher.connecting();
        self.publisher.begin(description(media));
        self.publisher.live(Some(Transport::Tcp));
        (self.ssrc, self.sequence) = (99, 1000);
    }

    fn metric(&self, series: &str) -> f64 {
        let page = self.hub.metrics().render().unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
    }
}

fn join(stream: &Stream) -> Seat {
    stream.join(IpAddr::V4(Ipv4Addr::LOCALHOST), Transport::Udp, Some("player".into()))
}

#[track_caller]
fn burst(subscription: &mut Subscription) -> Arc<Burst> {
    match subscription.try_next() {
        Some(Delivery::Burst(burst)) => burst,
        other => panic!("{other:?} in place of a burst"),
    }
}

#[track_caller]
fn packet(subscription: &mut Subscription) -> Packet {
    let burst = burst(subscription);
    assert_eq!(burst.packets().len(), 1);
    burst.packets()[0]
}

#[test]
fn what_is_gathered_between_two_flushes_is_one_burst_for_every_viewer() {
    let mut source = Source::live();
    let (mut one, mut other) = (source.stream().subscribe(), source.stream().subscribe());
    source.gather(VIDEO, SPS, 0);
    source.gather(VIDEO, KEY, 0);
    source.gather(AUDIO, &[1, 2, 3], 0);
    assert!(one.try_next().is_none());
    source.publisher.flush();
    source.publisher.flush();
    let first = burst(&mut one);
    assert_eq!(first.id(), burst(&mut other).id());
    let flags: Vec<_> = first.packets().iter().map(|p| (p.track, p.key, p.frame_start)).collect();
    assert_eq!(flags, [(VIDEO, true, true), (VIDEO, false, false), (AUDIO, true, true)]);
    let sent = &first.wire()[first.packets()[1].framed()][Packet::FRAMING..];
    assert!(sent.ends_with(KEY) && sent.len() == first.packets()[1].len());
    assert!(one.try_next().is_none(), "an empty burst is none");
}

#[test]
fn noise_repetitions_and_packets_of_no_track_are_left_out() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    assert!(source.publisher.packet(VIDEO, &[0x80, 96], Instant::now()).is_err());
    source.send(TrackId(5), KEY, 0);
    source.send(VIDEO, KEY, 0);
    source.sequence -= 1;
    source.send(VIDEO, KEY, 0);
    assert!(packet(&mut viewer).key);
    assert!(viewer.try_next().is_none());
}

#[test]
fn a_packet_of_another_payload_type_is_no_place_to_start() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    let header =
        Header { marker: true, payload_type: 99, sequence: 1, timestamp: 0, ssrc: 7, payload: 12..15 };
    source.publisher.packet(VIDEO, &[&header.write()[..], KEY].concat(), Instant::now()).unwrap();
    source.publisher.flush();
    assert!(!packet(&mut viewer).key);
}

#[test]
fn a_new_session_of_the_same_tracks_goes_on_with_the_numbers() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    let seat = join(&source.stream());
    source.send(VIDEO, KEY, 0);
    source.send(VIDEO, INTER, 40);
    let before = [packet(&mut viewer), packet(&mut viewer)];
    assert!(before[0].restarted && !before[1].restarted);
    source.reconnect(H264_AND_SOUND);
    source.send(VIDEO, INTER, 2040);
    let after = burst(&mut viewer);
    assert_eq!(after.generation(), 1);
    let after = after.packets()[0];
    assert!(after.restarted, "what comes builds on what nobody has");
    assert_eq!(after.sequence, before[1].sequence + 1);
    assert_eq!(after.timestamp, before[1].timestamp + 2 * 90_000);
    assert_eq!([before[0].frame, before[1].frame, after.frame], [1, 2, 3]);
    assert!(seat.viewer().kicked().now_or_never().is_none());
}

#[test]
fn a_new_session_of_other_tracks_is_another_generation_and_its_viewers_leave() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    let seat = join(&source.stream());
    let before = source.stream().status().borrow().described.clone().unwrap();
    source.reconnect(H265);
    assert_eq!(seat.viewer().kicked().now_or_never(), Some(Disconnect::StreamChanged));
    let after = source.stream().status().borrow().described.clone().unwrap();
    assert_eq!((before.generation, after.generation), (1, 2));
    assert!(after.version > before.version, "RFC 8866 section 5.2");
    source.send(VIDEO, &[0x26, 1, 0x80], 0);
    assert_eq!(burst(&mut viewer).generation(), 2);
    assert_eq!(source.stream().track_stats().len(), 1);
}

#[tokio::test]
async fn a_description_waits_for_the_parameter_sets_that_come_in_band() {
    let mut source = Source::live();
    let stream = source.stream();
    let mut described = Box::pin(stream.described());
    assert!(described.as_mut().now_or_never().is_none());
    source.send(VIDEO, SPS, 0);
    assert!(described.as_mut().now_or_never().is_none(), "half of them");
    source.send(VIDEO, PPS, 0);
    let described = described.await.unwrap();
    assert!(described.complete);
    let fmtp = described.description.tracks[0].fmtp.clone().unwrap();
    assert!(fmtp.contains("sprop-parameter-sets=Z00AKp2oHgCJ+Wbg,aO48gA=="), "{fmtp}");
    // A camera that says less after a reconnect does not make us forget.
    source.reconnect(H264_AND_SOUND);
    source.send(VIDEO, SPS, 100);
    source.send(VIDEO, PPS, 100);
    let again = stream.described().now_or_never().flatten().unwrap();
    assert_eq!(again.description.tracks[0].fmtp.as_deref(), Some(fmtp.as_str()));
}

#[tokio::test]
async fn a_description_does_not_wait_for_ever_for_parameter_sets_that_never_come() {
    let source = Source::live();
    let asked = Instant::now();
    let described = source.stream().described().await.unwrap();
    assert!(!described.complete && asked.elapsed() >= Duration::from_millis(1900));
}

#[tokio::test]
async fn during_an_outage_what_was_known_before_is_described() {
    let mut source = Source::live();
    let stream = source.stream();
    assert!(stream.described().now_or_never().is_none(), "the parameter sets may still come");
    source.publisher.failed(FailureClass::Reset, "reset".into(), Duration::from_secs(1), String::new());
    let described = stream.described().now_or_never().flatten().unwrap();
    assert_eq!((described.complete, described.description.tracks.len()), (false, 2));
    let hub = Hub::new(Arc::new(Metrics::new()));
    let mut never_live = hub.add("yard");
    never_live.connecting();
    never_live.failed(FailureClass::Refused, "refused".into(), Duration::from_secs(1), String::new());
    assert!(never_live.stream().described().now_or_never().is_none());
}

#[test]
fn after_ten_seconds_without_a_key_frame_a_viewer_may_start_with_any_frame() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    for millis in (0..10_000).step_by(100) {
        source.send(VIDEO, INTER, millis);
        assert!(!packet(&mut viewer).key, "{millis} ms");
    }
    for millis in [10_000, 10_100] {
        source.gather(VIDEO, INTER, millis);
        source.send(VIDEO, INTER, millis);
        let burst = burst(&mut viewer);
        assert!(burst.packets()[0].key && !burst.packets()[1].key, "at the start of each frame");
    }
    assert!(source.stream().track_stats()[0].key_frame_interval.is_none(), "they are not key frames");
    // The next session may be of another mind.
    source.reconnect(H264_AND_SOUND);
    source.send(VIDEO, INTER, 10_200);
    assert!(!packet(&mut viewer).key);
}

#[test]
fn a_camera_that_sends_key_frames_at_all_is_waited_for() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    source.send(VIDEO, KEY, 0);
    assert!(packet(&mut viewer).key);
    for millis in (100..60_000).step_by(1000) {
        source.send(VIDEO, INTER, millis);
        assert!(!packet(&mut viewer).key, "{millis} ms");
    }
    source.send(VIDEO, KEY, 60_000);
    assert_eq!(source.stream().track_stats()[0].key_frame_interval, Some(Duration::from_secs(60)));
}

#[test]
fn what_a_source_delivers_is_measured() {
    let mut source = Source::live();
    for millis in (0..3000).step_by(40) {
        if millis == 1000 {
            source.sequence = source.sequence.wrapping_add(3); // lost on the way
        }
        source.send(VIDEO, INTER, millis);
    }
    let now = source.stream().elapsed(source.started + Duration::from_millis(3000));
    let stats = &source.stream().track_stats()[0];
    assert!((stats.rate.per_second(now) - 25.0).abs() < 0.5);
    // 15 bytes a packet, 25 a second.
    assert!((stats.bit_rate.per_second(now) - 3000.0).abs() < 200.0, "{:?}", stats.bit_rate);
    assert!(stats.last_frame.unwrap().abs_diff(Duration::from_millis(2960)) < Duration::from_secs(1));
    let of = |family: &str| format!("fanlight_source_{family}{{stream=\"door\",track=\"0\"}}");
    assert_eq!(source.metric(&of("received_packets_total")), 75.0);
    assert_eq!(source.metric(&of("received_bytes_total")), 75.0 * 15.0);
    assert_eq!(source.metric(&of("frames_total")), 75.0);
    assert_eq!(source.metric(&of("lost_packets_total")), 3.0);
    assert_eq!(source.metric(&of("reordered_packets_total")), 0.0);
    assert!(source.metric(&of("jitter_seconds")) < 0.001);
}

#[test]
fn the_parts_of_a_frame_that_come_in_later_bursts_count_as_well() {
    let mut source = Source::live();
    for millis in (0..3000).step_by(500) {
        source.send(VIDEO, &[0x09, 0xf0], millis); // an access unit delimiter
        source.send(VIDEO, KEY, millis);
        source.send(VIDEO, &[0x65; 988], millis);
    }
    let stats = &source.stream().track_stats()[0];
    let now = source.stream().elapsed(source.started + Duration::from_millis(2500));
    // 14, 15 and 1000 bytes twice a second.
    assert!((stats.bit_rate.per_second(now) - 16_464.0).abs() < 200.0, "{:?}", stats.bit_rate);
    assert_eq!(stats.key_frame_interval, Some(Duration::from_millis(500)));
}

#[test]
fn a_report_that_precedes_its_packets_sets_the_viewers_clock() {
    let mut source = Source::live();
    let camera = WallTime(5_000_000_000);
    source.publisher.sender_report(VIDEO, camera, 0);
    source.publisher.sender_report(TrackId(9), camera, 0);
    assert!(source.stream().report(VIDEO, Instant::now()).is_none());
    source.send(VIDEO, KEY, 0);
    let (_, wall) = source.stream().report(VIDEO, source.started + Duration::from_secs(2)).unwrap();
    let seconds = wall.as_secs_f64();
    assert!((seconds - 7.0).abs() < 0.001, "{seconds}");
    assert!(source.stream().track_stats()[0].camera_delay.unwrap() > 1_000_000_000, "a clock of 1970");
    source.publisher.sender_report(VIDEO, WallTime(6_000_000_000), 90_000);
    let (_, wall) = source.stream().report(VIDEO, source.started + Duration::from_secs(3)).unwrap();
    assert!((wall.as_secs_f64() - 8.0).abs() < 0.001);
}

#[test]
fn the_state_tells_of_attempts_failures_and_sessions() {
    let mut source = Source::live();
    let status = source.stream().status();
    assert_eq!((status.borrow().phase, status.borrow().sessions), (Phase::Live, 1));
    assert_eq!(status.borrow().transport, Some(Transport::Tcp));
    assert!(status.borrow().live_since().is_some() && status.borrow().next_try.is_none());
    for attempt in 1..=2 {
        source.publisher.failed(
            FailureClass::Refused,
            "refused".into(),
            Duration::from_secs(3),
            String::new(),
        );
        let status = status.borrow().clone();
        assert_eq!((status.phase, status.attempt), (Phase::Retrying, attempt));
        assert!(status.next_try.is_some() && status.transport.is_none() && status.live_since().is_none());
        let failure = status.last_failure.unwrap();
        assert_eq!((failure.class, failure.message.as_str()), (FailureClass::Refused, "refused"));
    }
    assert_eq!(source.metric("fanlight_source_retry_attempt{stream=\"door\"}"), 2.0);
    assert_eq!(source.metric("fanlight_source_retry_delay_seconds{stream=\"door\"}"), 3.0);
    let failures = "fanlight_source_failures_total{reason=\"refused\",stream=\"door\"}";
    assert_eq!(source.metric(failures), 2.0);
    std::thread::sleep(Duration::from_millis(20)); // an outage that can be measured
    source.publisher.connecting();
    source.publisher.begin(description(H264_AND_SOUND));
    source.publisher.live(Some(Transport::Udp));
    assert_eq!((status.borrow().attempt, status.borrow().sessions), (0, 2));
    assert_eq!(source.metric("fanlight_source_connects_total{stream=\"door\"}"), 2.0);
    assert_eq!(source.metric("fanlight_source_reconnects_total{stream=\"door\"}"), 1.0);
    assert!(source.metric("fanlight_source_outage_seconds_total{stream=\"door\"}") >= 0.02);
    source.publisher.idle();
    assert_eq!(source.metric("fanlight_source_state{state=\"idle\",stream=\"door\"}"), 1.0);
}

#[tokio::test]
async fn a_stream_that_is_removed_ends_for_everybody_and_for_good() {
    let mut source = Source::live();
    let stream = source.stream();
    let seat = join(&stream);
    assert!(source.hub.find("door").is_some() && source.hub.find("yard").is_none());
    source.hub.remove("yard");
    source.hub.remove("door");
    assert!(source.hub.find("door").is_none() && source.hub.streams().is_empty());
    assert_eq!(seat.viewer().kicked().await, Disconnect::StreamChanged);
    assert!(stream.described().await.is_none());
    // The source notices a moment later.
    source.publisher.failed(FailureClass::Reset, "reset".into(), Duration::ZERO, String::new());
    source.publisher.connecting();
    source.publisher.begin(description(H265));
    source.publisher.live(Some(Transport::Tcp));
    source.publisher.idle();
    assert!(stream.is_closed());
    assert!(!source.hub.metrics().render().unwrap().contains("door"));
}

#[test]
fn a_stream_of_the_same_name_takes_the_place_of_the_old_one() {
    let mut source = Source::live();
    let (old, seat) = (source.stream(), join(&source.stream()));
    let mut new = source.hub.add("door");
    assert!(old.is_closed() && !new.stream().is_closed());
    assert_eq!(seat.viewer().kicked().now_or_never(), Some(Disconnect::StreamChanged));
    let found = source.hub.find("door").unwrap();
    assert!(Arc::ptr_eq(&found, new.stream()) && source.hub.streams().len() == 1);
    new.connecting();
    source.publisher.live(Some(Transport::Tcp));
    assert_eq!(source.metric("fanlight_source_state{state=\"connecting\",stream=\"door\"}"), 1.0);
    assert_eq!(source.metric("fanlight_source_state{state=\"stopped\",stream=\"door\"}"), 0.0);
}

#[tokio::test]
async fn demand_lasts_as_long_as_somebody_holds_it() {
    let source = Source::live();
    let stream = source.stream();
    let demand = stream.demand();
    let (wanted, viewer) = (stream.want(), stream.want());
    let _follows_only = stream.subscribe();
    assert_eq!(*demand.borrow(), 2);
    drop(wanted);
    assert_eq!(*demand.borrow(), 1);
    drop(viewer);
    assert_eq!(*demand.borrow(), 0);
    let mut asked = Box::pin(stream.reconnect_requested());
    assert!(asked.as_mut().now_or_never().is_none());
    stream.request_reconnect();
    asked.await;
}

#[tokio::test]
async fn a_viewer_that_lags_can_tell_how_many_frames_it_missed() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    for n in 0..600 {
        source.send(VIDEO, if n % 50 == 0 { KEY } else { INTER }, n * 10);
    }
    assert!(matches!(viewer.next().await, Delivery::Lagged));
    let Delivery::Burst(oldest) = viewer.next().await else { panic!("a burst") };
    // The ring holds 512; the first frame is number 1.
    assert_eq!(oldest.packets()[0].frame, 600 - 512 + 1);
    for _ in 1..512 {
        burst(&mut viewer);
    }
    assert!(viewer.try_next().is_none());
}

#[test]
fn a_seat_counts_what_its_viewer_gets_and_how_it_leaves() {
    let source = Source::live();
    let stream = source.stream();
    let (one, other) = (join(&stream), join(&stream));
    let viewer = Arc::clone(one.viewer());
    assert_ne!(viewer.id, other.viewer().id);
    assert_eq!(viewer.user_agent.as_deref(), Some("player"));
    assert_eq!(stream.viewers().len(), 2);
    let latency = Duration::from_millis(8);
    one.sent(3, 1000, latency);
    let mut tally = Tally::new(stream.metrics(), Transport::Udp);
    one.sent_among(1, 10, latency, &mut tally);
    tally.flush();
    one.skipped(Skip::Lagged, 5);
    one.started(Duration::from_millis(30));
    assert_eq!((viewer.packets(), viewer.bytes(), viewer.skipped()), (4, 1010, 5));
    assert_eq!(viewer.latency(), latency);
    let of = |family: &str| format!("fanlight_{family}{{stream=\"door\",transport=\"udp\"}}");
    assert_eq!(source.metric(&of("viewers")), 2.0);
    assert_eq!(source.metric(&of("viewer_sent_packets_total")), 4.0);
    assert_eq!(source.metric("fanlight_viewer_start_seconds_count{stream=\"door\"}"), 1.0);
    viewer.kick(Disconnect::Kicked);
    viewer.kick(Disconnect::Timeout);
    assert_eq!(one.viewer().kicked().now_or_never(), Some(Disconnect::Kicked), "the first reason stands");
    one.leave(Disconnect::Kicked);
    drop(other);
    assert!(stream.viewers().is_empty());
    assert_eq!((source.metric(&of("viewers")), source.metric(&of("viewer_sessions_total"))), (0.0, 2.0));
    for reason in ["kicked", "closed"] {
        let series = format!("fanlight_viewer_disconnects_total{{reason=\"{reason}\",stream=\"door\"}}");
        assert_eq!(source.metric(&series), 1.0);
    }
}

/// What the source's task does when the camera pauses.
fn settle(source: &mut Source) {
    source.publisher.settle(&mut std::task::Context::from_waker(std::task::Waker::noop()));
}

/// A camera that spreads its frames of two packets, after ten of them; with this many viewers.
fn spread(viewers: usize) -> (Source, Vec<Seat>) {
    let mut source = Source::live();
    source.started = tokio::time::Instant::now().into_std();
    for frame in 0..10 {
        source.part(VIDEO, KEY, frame * 40, frame * 40, false);
        source.part(VIDEO, INTER, frame * 40, frame * 40 + 30, true);
        source.publisher.flush();
    }
    let seats = (0..viewers).map(|_| join(&source.stream())).collect();
    (source, seats)
}

#[tokio::test(start_paused = true)]
async fn with_many_viewers_the_first_packets_of_a_frame_wait_for_the_last_one_but_not_for_ever() {
    let (mut source, _seats) = spread(100);
    let mut viewer = source.stream().subscribe();
    tokio::time::advance(Duration::from_millis(400)).await;
    source.part(VIDEO, KEY, 400, 400, false);
    settle(&mut source);
    assert!(viewer.try_next().is_none(), "it waits");
    tokio::time::advance(Duration::from_millis(10)).await;
    source.part(VIDEO, INTER, 400, 410, true);
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 2, "the last packet takes the first with it");
    tokio::time::advance(Duration::from_millis(30)).await;
    source.part(VIDEO, KEY, 440, 440, false);
    settle(&mut source);
    tokio::time::advance(Duration::from_millis(15)).await;
    source.part(VIDEO, INTER, 440, 455, false);
    settle(&mut source);
    assert!(viewer.try_next().is_none(), "15 ms are not too long");
    tokio::time::advance(Duration::from_millis(6)).await;
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 2, "20 ms are");
}

#[tokio::test(start_paused = true)]
async fn with_few_viewers_no_packet_waits_nor_does_sound_or_who_does_not_mark_its_frames() {
    let (mut source, _seats) = spread(2);
    let mut viewer = source.stream().subscribe();
    tokio::time::advance(Duration::from_millis(400)).await;
    source.part(VIDEO, KEY, 400, 400, false);
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 1);
    let (mut source, _seats) = spread(100);
    let mut viewer = source.stream().subscribe();
    source.part(AUDIO, &[1], 400, 400, false);
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 1, "sound");
    source.part(VIDEO, KEY, 400, 400, false);
    source.publisher.flush();
    burst(&mut viewer);
    for frame in 11..13 {
        source.part(VIDEO, KEY, frame * 40, frame * 40, false);
        settle(&mut source);
        assert_eq!(burst(&mut viewer).packets().len(), 1, "the frame before had no marker");
    }
}
