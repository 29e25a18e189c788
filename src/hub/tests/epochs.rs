//! One session after another: numbers that continue, descriptions that change.

use super::*;

#[test]
fn a_new_session_of_the_same_tracks_goes_on_with_the_numbers() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
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
}

#[test]
fn a_new_session_of_other_tracks_is_another_generation() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    let before = source.described();
    source.reconnect(H265);
    let after = source.described();
    assert_eq!((before.generation, after.generation), (1, 2));
    assert!(after.version > before.version, "RFC 8866 section 5.2");
    assert!(!after.still_has(VIDEO, 1) && !after.still_has(AUDIO, 1) && after.still_has(VIDEO, 2));
    source.send(VIDEO, &[0x26, 1, 0x80], 0);
    assert_eq!(burst(&mut viewer).generation(), 2);
    assert_eq!(source.stream().track_stats().len(), 1);
}

#[test]
fn a_track_goes_on_under_its_numbers_when_another_one_changes_goes_or_comes() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    source.send(VIDEO, KEY, 0);
    let mut before = packet(&mut viewer);
    let other_sound = H264_AND_SOUND.replace("AVP 0", "AVP 8");
    let no_sound = H264_AND_SOUND.split("\nm=audio").next().unwrap();
    for (generation, media) in [(2, other_sound.as_str()), (3, no_sound), (4, H264_AND_SOUND)] {
        source.reconnect(media);
        let described = source.described();
        assert_eq!(described.generation, generation);
        assert!(described.still_has(VIDEO, 1) && !described.still_has(AUDIO, generation - 1));
        source.send(VIDEO, KEY, 1000 * generation);
        let burst = burst(&mut viewer);
        let after = burst.packets()[0];
        assert_eq!((after.sequence, after.restarted), (before.sequence + 1, true));
        assert_eq!(after.frame, before.frame + 1);
        assert!(after.timestamp > before.timestamp && burst.generation() == generation);
        before = after;
    }
    let stats = source.stream().track_stats();
    assert!(stats.len() == 2 && stats[0].last_frame.is_some() && stats[1].last_frame.is_none());
    assert!(source.stream().report(VIDEO, Instant::now()).is_some());
}

#[test]
fn another_payload_type_of_the_same_codec_is_written_back_to_the_one_viewers_know() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    source.reconnect(&H264_AND_SOUND.replace("96", "111"));
    assert_eq!(source.described().generation, 1);
    assert_eq!(source.described().description.tracks[0].payload_type, 96);
    source.payload_type = 111;
    source.send(VIDEO, KEY, 0);
    let burst = burst(&mut viewer);
    let packet = &burst.packets()[0];
    let header = Header::parse(&burst.wire()[packet.framed()][Packet::FRAMING..]).unwrap();
    assert_eq!((header.payload_type, header.marker, packet.key), (96, true, true));
    source.reconnect(H264_AND_SOUND);
    assert_eq!(source.described().description.tracks[0].payload_type, 96);
}

/// The NAL units of a burst by their first byte, and its packets.
fn contents(viewer: &mut Subscription) -> (Vec<u8>, Vec<Packet>) {
    let burst = burst(viewer);
    let first = |packet: &Packet| burst.wire()[packet.framed()][Packet::FRAMING + Header::LEN];
    (burst.packets().iter().map(first).collect(), burst.packets().to_vec())
}

#[test]
fn a_session_resumes_with_the_parameter_sets_that_only_the_sdp_has() {
    let mut source = Source::live_with(&with_sets(MAIN_SETS));
    let mut viewer = source.stream().subscribe();
    source.send(VIDEO, KEY, 0);
    assert_eq!(contents(&mut viewer).0, [0x65], "the viewer has read them in the SDP");
    source.send(VIDEO, INTER, 40);
    let last = packet(&mut viewer);
    source.reconnect(&with_sets(MAIN_SETS));
    source.send(VIDEO, INTER, 2000);
    assert_eq!(contents(&mut viewer).0, [0x41]);
    source.send(VIDEO, KEY, 2040);
    let (kinds, packets) = contents(&mut viewer);
    assert_eq!(kinds, [0x67, 0x68, 0x65]);
    let sequences: Vec<_> = packets.iter().map(|p| p.sequence - last.sequence).collect();
    assert_eq!(sequences, [2, 3, 4]);
    assert!(packets.iter().all(|p| p.timestamp == packets[0].timestamp && p.frame == last.frame + 2));
    assert_eq!(
        [0, 1, 2].map(|n| (packets[n].key, packets[n].frame_start)),
        [(true, true), (false, false), (false, false)]
    );
    assert_eq!([0, 1, 2].map(|n| packets[n].marker), [false, false, true]);
    source.send(VIDEO, KEY, 3000);
    let (kinds, packets) = contents(&mut viewer);
    assert_eq!((kinds, packets[0].sequence), (vec![0x65], last.sequence + 5), "once is enough");
    assert_eq!(source.described().generation, 1);
    assert_eq!(source.metric("fanlight_source_received_packets_total{stream=\"door\",track=\"0\"}"), 5.0);
}

#[test]
fn parameter_sets_that_come_in_band_are_not_repeated() {
    let mut source = Source::live_with(&with_sets(MAIN_SETS));
    let mut viewer = source.stream().subscribe();
    source.send(VIDEO, KEY, 0);
    burst(&mut viewer);
    source.reconnect(&with_sets(OTHER_SETS));
    for payload in [SPS, PPS, KEY] {
        source.send(VIDEO, payload, 1000);
        assert_eq!(contents(&mut viewer).0, payload[..1]);
    }
}

#[test]
fn another_resolution_goes_on_and_every_key_frame_brings_the_new_parameter_sets() {
    let mut source = Source::live_with(&with_sets(MAIN_SETS));
    let mut viewer = source.stream().subscribe();
    source.send(VIDEO, KEY, 0);
    burst(&mut viewer);
    let before = source.described();
    source.reconnect(&with_sets(OTHER_SETS));
    let after = source.described();
    assert_eq!((before.generation, after.generation), (1, 1));
    assert!(after.version > before.version);
    assert!(after.description.tracks[0].fmtp.as_deref().unwrap().contains(OTHER_SETS));
    for round in 1..4 {
        source.gather(VIDEO, KEY, 1000 * round);
        source.send(VIDEO, KEY, 1000 * round);
        let burst = burst(&mut viewer);
        let sps = &burst.wire()[burst.packets()[0].framed()][Packet::FRAMING + Header::LEN..];
        assert_eq!(sps[..4], [0x67, 0x4d, 0x40, 0x32]);
        assert_eq!(
            burst.packets().len(),
            4,
            "who missed the first one may need them, a second slice does not"
        );
        source.send(VIDEO, INTER, 1000 * round + 40);
        assert_eq!(contents(&mut viewer).0, [0x41]);
    }
}

#[test]
fn h265_resumes_with_all_three_kinds_of_parameter_sets() {
    let sets = "sprop-vps=QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ;\
        sprop-sps=QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE;sprop-pps=RAHAcvAbJA==";
    let mut source = Source::live_with(&format!("{H265}\na=fmtp:96 {sets}"));
    let mut viewer = source.stream().subscribe();
    source.reconnect(&format!("{H265}\na=fmtp:96 {sets}"));
    source.send(VIDEO, &[0x26, 1, 0x80], 0);
    assert_eq!(contents(&mut viewer).0, [0x26], "it never ran before");
    source.reconnect(&format!("{H265}\na=fmtp:96 {sets}"));
    source.send(VIDEO, &[0x26, 1, 0x80], 1000);
    assert_eq!(contents(&mut viewer).0, [0x40, 0x42, 0x44, 0x26]);
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
    source.publisher.connecting();
    assert!(stream.described().now_or_never().flatten().is_some(), "while it is tried again, too");
    let hub = Hub::new(Arc::new(Metrics::new()));
    let mut never_live = hub.add("yard");
    never_live.connecting();
    never_live.failed(FailureClass::Refused, "refused".into(), Duration::from_secs(1), String::new());
    assert!(never_live.stream().described().now_or_never().is_none());
}

#[test]
fn a_thousand_reconnects_leave_nothing_behind() {
    let mut source = Source::live_with(&with_sets(MAIN_SETS));
    let stream = source.stream();
    let seat = join(&stream);
    let mut viewer = stream.subscribe();
    let sizes = |source: &Source| {
        let series = source.hub.metrics().render().unwrap().lines().count();
        let record = stream.record();
        assert!(
            record.errors().count() <= Record::ERRORS
                && record.outages(Instant::now()).count() <= Record::OUTAGES
        );
        (
            Arc::strong_count(&stream),
            stream.viewers().len(),
            *stream.demand().borrow(),
            series,
            stream.track_stats().len(),
        )
    };
    let mut at_first = None;
    for round in 1..=1000u32 {
        // Now and then another resolution, another sound, another failure.
        let sound = ["", "\nm=audio 0 RTP/AVP 0", "\nm=audio 0 RTP/AVP 8"][round as usize / 10 % 3];
        let sets = if round.is_multiple_of(7) { OTHER_SETS } else { MAIN_SETS };
        source.reconnect(&format!("{}{sound}", with_sets(sets)));
        source.ssrc = round * 3;
        source.send(VIDEO, KEY, 1000 * round);
        while viewer.try_next().is_some() {}
        if round.is_multiple_of(30) {
            let now = sizes(&source);
            assert_eq!(*at_first.get_or_insert(now), now, "round {round}");
        }
    }
    assert!(seat.viewer().kicked().now_or_never().is_none());
    assert_eq!(source.described().generation, 1 + 100, "one for every ten");
    assert_eq!(stream.record().total(Instant::now()).count, 1000);
    assert_eq!(stream.record().errors().next().unwrap().count, 1000);
    assert!(stream.standby().is_none());
    drop((seat, viewer));
    assert_eq!((stream.viewers().len(), *stream.demand().borrow()), (0, 0));
}
