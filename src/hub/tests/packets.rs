//! What becomes of packets: bursts, places to start, statistics.

use super::*;

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
