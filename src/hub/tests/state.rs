//! What the state tells, and the end of a stream.

use super::*;
use crate::jpeg;

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

#[test]
fn the_record_tells_of_errors_outages_and_what_was_learned() {
    let mut source = Source::live();
    let stream = source.stream();
    assert_eq!(
        stream.record().outages(Instant::now()).count(),
        0,
        "to connect for the first time is no outage"
    );
    source.publisher.packet(VIDEO, &[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7], Instant::now()).unwrap();
    let last_packet = Instant::now();
    let mut fail = |class, message: &str| {
        source.publisher.failed(class, message.into(), Duration::ZERO, String::new());
        source.publisher.connecting();
    };
    fail(FailureClass::Reset, "reset");
    fail(FailureClass::Refused, "refused");
    fail(FailureClass::Refused, "refused");
    let since = stream.away_since().unwrap();
    assert!(since <= last_packet);
    let record = stream.record();
    let errors: Vec<_> = record.errors().map(|error| (error.class, error.count)).collect();
    assert_eq!(errors, [(FailureClass::Refused, 2), (FailureClass::Reset, 1)]);
    let outage = record.outages(Instant::now()).next().unwrap().clone();
    assert_eq!((outage.start, outage.end, outage.class), (since, None, FailureClass::Reset));
    source.publisher.explain("Fixed", vec!["It hates UDP.".into()]);
    source.publisher.live(Some(Transport::Tcp));
    assert_eq!(stream.away_since(), None);
    let record = stream.record();
    assert_eq!((record.strategy.as_str(), record.learned.len()), ("Fixed", 1));
    assert!(record.outages(Instant::now()).next().unwrap().end.is_some());
    assert_eq!(record.total(Instant::now()).count, 1);
}

/// Cares for the viewers of a source while `work` is done.
async fn cared<T>(source: &Source, grace: Duration, work: impl Future<Output = T>) -> T {
    let care = Care { grace, no_signal: true }.run(source.stream());
    tokio::select! {
        () = care => unreachable!("it has no end"),
        done = tokio::time::timeout(Duration::from_secs(10), work) => done.expect("within ten seconds"),
    }
}

#[tokio::test]
async fn a_viewer_is_kept_for_the_grace_and_who_came_later_for_as_long_after_that() {
    let mut source = Source::live();
    let stream = source.stream();
    let (early, paused) = (join(&stream), join(&stream));
    early.plays();
    paused.plays();
    paused.pauses();
    let grace = Duration::from_millis(200);
    let kept = cared(&source, grace, tokio::time::timeout(grace * 2, early.viewer().kicked())).await;
    assert!(kept.is_err(), "nobody waits while the source is live");
    let away = Instant::now();
    source.publisher.failed(FailureClass::Reset, "reset".into(), Duration::from_secs(60), String::new());
    cared(&source, grace, async {
        assert_eq!(early.viewer().kicked().await, Disconnect::Outage);
        assert!(away.elapsed() >= grace);
        let late = join(&stream);
        late.plays();
        let came = Instant::now();
        assert_eq!(late.viewer().kicked().await, Disconnect::Outage);
        assert!(came.elapsed() >= grace);
    })
    .await;
    assert!(paused.viewer().kicked().now_or_never().is_none(), "who pauses waits for nothing");
}

#[tokio::test]
async fn a_source_that_is_back_within_the_grace_costs_no_viewer() {
    let mut source = Source::live();
    let stream = source.stream();
    let seat = join(&stream);
    seat.plays();
    let grace = Duration::from_millis(300);
    source.publisher.failed(FailureClass::Reset, "reset".into(), Duration::ZERO, String::new());
    cared(&source, grace, tokio::time::sleep(grace / 3)).await;
    source.publisher.live(Some(Transport::Tcp));
    cared(&source, grace, tokio::time::sleep(grace * 2)).await;
    assert!(seat.viewer().kicked().now_or_never().is_none());
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
async fn while_a_jpeg_camera_is_away_its_viewers_see_no_signal_under_the_same_numbers() {
    let mut source = Source::live_with("m=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 26");
    let stream = source.stream();
    let mut viewer = stream.subscribe();
    let clip = jpeg::Clip::demo();
    let mut sequence = 7;
    let mut picture = |source: &mut Source, at: Instant| {
        sequence = jpeg::ClipPackets::new(1400).frame(&clip.frames()[0], sequence, 5, 9, |packet, _| {
            source.publisher.packet(AUDIO, packet, at).unwrap();
        });
        source.publisher.flush();
    };
    picture(&mut source, Instant::now());
    let before = *burst(&mut viewer).packets().last().unwrap();
    source.publisher.failed(FailureClass::Reset, "reset".into(), Duration::from_secs(60), String::new());
    source.publisher.failed(FailureClass::Refused, "refused".into(), Duration::from_secs(60), String::new());
    let away = stream.away_since().unwrap();
    let shown = cared(&source, Duration::from_secs(60), async {
        let mut shown = Vec::new();
        while shown.len() < 2 {
            let Delivery::Burst(burst) = viewer.next().await else { panic!("a burst") };
            shown.push(burst);
        }
        shown
    })
    .await;
    assert!(away.elapsed() >= Duration::from_secs(2));
    let mut last = before;
    for (count, burst) in (1..).zip(&shown) {
        let mut assembler = jpeg::Assembler::new(None);
        let mut complete = false;
        for packet in burst.packets() {
            assert_eq!((packet.track, packet.sequence), (AUDIO, last.sequence + 1));
            assert_eq!(packet.frame, before.frame + count);
            last = *packet;
            let rtp = &burst.wire()[packet.framed()][Packet::FRAMING..];
            let header = Header::parse(rtp).unwrap();
            assert_eq!(header.payload_type, 26);
            let payload = &rtp[header.payload.clone()];
            let pushed = assembler.push(header.timestamp, header.marker, payload);
            complete = pushed.unwrap().is_some();
        }
        assert!(complete && last.marker, "a whole picture");
    }
    let second = shown[1].packets()[0].timestamp - shown[0].packets()[0].timestamp;
    assert!((90_000..300_000).contains(&second), "{second}");
    source.publisher.connecting();
    source.publisher.begin(description("m=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 26"));
    source.publisher.live(Some(Transport::Tcp));
    picture(&mut source, Instant::now());
    let after = burst(&mut viewer).packets()[0];
    assert_eq!((after.sequence, after.frame), (last.sequence + 1, last.frame + 1));
    assert!(after.timestamp > last.timestamp && after.restarted);
    let quiet = tokio::time::timeout(Duration::from_millis(1500), viewer.next());
    assert!(cared(&source, Duration::from_secs(60), quiet).await.is_err(), "it is back");
    assert_eq!(source.metric("fanlight_no_signal_frames_total{stream=\"door\"}"), 2.0);
    assert_eq!(source.metric("fanlight_source_frames_total{stream=\"door\",track=\"1\"}"), 2.0);
}
