//! The bundled file server: each viewer plays the clip at its own position.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use fanlight::jpeg::{Assembler, Clip};
use fanlight::server::ClipSettings;

use crate::support::relay::Relay;
use crate::support::rtp::{Rtcp, Rtp};
use crate::support::viewer::{Ended, Viewer, assert_no_gap};

/// Frames of the clips of these tests.
const FRAMES: usize = 20;

/// The first frames of the demo, length-prefixed or one after the other.
fn clip(prefixed: bool) -> Clip {
    let mut data = Vec::new();
    for frame in &Clip::demo().frames()[..FRAMES] {
        if prefixed {
            data.extend(format!("{:05}", frame.data().len()).into_bytes());
        }
        data.extend_from_slice(frame.data());
    }
    Clip::parse(Bytes::from(data)).unwrap()
}

async fn server(fps: f64, repeat: bool) -> Relay {
    let settings = ClipSettings { fps, packet_size: 1400, repeat };
    Relay::builder().clip("plain", clip(false), settings).clip("prefixed", clip(true), settings).start().await
}

/// What makes the picture of a JPEG file: the quantization table of each component, and the coded data.
fn picture(jpeg: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut at, mut tables, mut components) = (2, [&[][..]; 4], Vec::new());
    loop {
        let marker = jpeg[at + 1];
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        let content = &jpeg[at + 4..at + 2 + length];
        at += 2 + length;
        match marker {
            // DQT: tables of 64 entries, each behind its number.
            0xDB => content.chunks(65).for_each(|table| tables[usize::from(table[0])] = &table[1..]),
            // SOF: the number of components, then for each its id, its sampling factors and its table's number.
            0xC0 => components = content[6..].chunks(3).map(|component| usize::from(component[2])).collect(),
            // SOS: the coded data follow, up to EOI.
            0xDA => {
                let of_components = components.into_iter().map(|table| tables[table]).collect();
                return (of_components, jpeg[at..].strip_suffix(&[0xFF, 0xD9]).unwrap());
            }
            _ => {}
        }
    }
}

/// Puts the packets of a frame together and says which frame of the clip it is.
#[track_caller]
fn number_of(frame: &[Rtp]) -> usize {
    let mut assembler = Assembler::new(None);
    let mut whole = None;
    for packet in frame {
        assert_eq!(packet.payload_type, 26);
        assert!(packet.payload.len() <= 1400 - 12);
        whole = assembler.push(packet.timestamp, packet.marker, &packet.payload).unwrap();
    }
    let whole = whole.expect("a whole picture");
    let demo = Clip::demo();
    let found = demo.frames().iter().position(|frame| picture(frame.data()) == picture(&whole));
    found.expect("a picture of the clip, bit by bit")
}

#[tokio::test]
async fn both_forms_of_file_play_from_start_to_end_bit_by_bit_and_end_with_goodbye() {
    let server = server(50.0, false).await;
    for name in ["plain", "prefixed"] {
        for udp in [false, true] {
            let url = server.url(name);
            let started = Instant::now();
            let (mut viewer, answer) =
                if udp { Viewer::play_udp(&url).await } else { Viewer::play_tcp(&url).await };
            assert!(viewer.sdp.contains("a=range:npt=0-0.400"), "{}", viewer.sdp);
            assert_eq!(answer.header("Range"), Some("npt=0.000-0.400"));
            let mut packets = Vec::new();
            for number in 0..FRAMES {
                let frame = viewer.next_frame().await;
                assert_eq!(number_of(&frame), number);
                let elapsed = frame[0].timestamp.wrapping_sub(answer.rtp_info()[0].rtptime);
                assert_eq!(elapsed, number as u32 * 1800, "50 frames a second");
                packets.extend(frame);
            }
            assert!(started.elapsed() >= Duration::from_millis(380), "in real time");
            assert_eq!(packets[0].sequence, answer.rtp_info()[0].sequence);
            assert_no_gap(&packets);
            let ssrc = packets[0].ssrc;
            if udp {
                while !viewer.next_rtcp(0).await.contains(&Rtcp::Bye { ssrc }) {}
            } else {
                let (ended, rest) = viewer.ended().await;
                assert_eq!(ended, Ended::Closed);
                assert!(Rtcp::parse(&rest.last().unwrap().data).contains(&Rtcp::Bye { ssrc }));
            }
        }
    }
    let ends = "fanlight_viewer_disconnects_total{reason=\"end_of_stream\",stream=\"plain\"}";
    assert_eq!(server.metric(ends), 2.0);
}

#[tokio::test]
async fn a_repeated_clip_begins_again_and_its_clock_goes_on() {
    let server = server(100.0, true).await;
    let (mut viewer, answer) = Viewer::play_tcp(&server.url("plain")).await;
    assert!(viewer.sdp.contains("a=range:npt=now-"), "{}", viewer.sdp);
    let mut packets = Vec::new();
    for count in 0..2 * FRAMES + 5 {
        let frame = viewer.next_frame().await;
        assert_eq!(number_of(&frame), count % FRAMES);
        let elapsed = frame[0].timestamp.wrapping_sub(answer.rtp_info()[0].rtptime);
        assert_eq!(elapsed, count as u32 * 900);
        packets.extend(frame);
    }
    assert_no_gap(&packets);
}

#[tokio::test]
async fn each_viewer_has_its_own_position() {
    let server = server(20.0, false).await;
    let (mut early, _) = Viewer::play_tcp(&server.url("plain")).await;
    for number in 0..5 {
        assert_eq!(number_of(&early.next_frame().await), number);
    }
    let (mut late, _) = Viewer::play_tcp(&server.url("plain")).await;
    for number in 0..3 {
        assert_eq!(number_of(&late.next_frame().await), number);
        assert_eq!(number_of(&early.next_frame().await), number + 5);
    }
}

#[tokio::test]
async fn pause_holds_the_position_and_play_goes_on_from_it() {
    let server = server(25.0, false).await;
    for udp in [false, true] {
        let url = server.url("plain");
        let (mut viewer, _) = if udp { Viewer::play_udp(&url).await } else { Viewer::play_tcp(&url).await };
        let mut packets = Vec::new();
        for _ in 0..4 {
            packets.extend(viewer.next_frame().await);
        }
        viewer.pause().await.ok();
        let mut next = 4;
        // What was on its way when PAUSE came; then nothing.
        while let Some(data) = viewer.anything_on(0, Duration::from_millis(300)).await {
            packets.push(Rtp::parse(&data));
            next += usize::from(packets.last().unwrap().marker);
        }
        let base = viewer.base.clone();
        let answer = viewer.request("PLAY", &base, &[]).await.ok();
        let range = answer.header("Range").unwrap();
        assert_eq!(range, format!("npt={:.3}-0.800", next as f64 / 25.0));
        let frame = viewer.next_frame().await;
        assert_eq!(number_of(&frame), next);
        let info = &answer.rtp_info()[0];
        assert_eq!((info.sequence, info.rtptime), (frame[0].sequence, frame[0].timestamp));
        let clock = frame[0].timestamp.wrapping_sub(packets.last().unwrap().timestamp);
        assert_eq!(clock, 3600, "the pause is not in the timestamps");
        packets.extend(frame);
        assert_no_gap(&packets);
        viewer.teardown().await.ok();
    }
}

#[tokio::test]
async fn play_seeks_and_says_where_to() {
    let server = server(10.0, false).await;
    let mut viewer = Viewer::open(&server.url("plain")).await;
    viewer.describe().await.ok();
    viewer.setup_tcp(0).await.ok();
    let base = viewer.base.clone();
    let past = viewer.request("PLAY", &base, &[("Range", "npt=2.0-")]).await;
    assert_eq!(past.status, 457, "the clip is two seconds long");
    let mut packets = Vec::new();
    for (seconds, number) in [("1.5", 15), ("0.35", 3), ("0", 0)] {
        let range = format!("npt={seconds}-");
        let answer = viewer.request("PLAY", &base, &[("Range", &range)]).await.ok();
        let expected = format!("npt={:.3}-2.000", number as f64 / 10.0);
        assert_eq!(answer.header("Range"), Some(expected.as_str()));
        // A frame of the old position may have been on its way.
        let info = &answer.rtp_info()[0];
        loop {
            let frame = viewer.next_frame().await;
            packets.extend(frame.iter().cloned());
            if frame[0].sequence == info.sequence {
                assert_eq!(number_of(&frame), number);
                assert_eq!(frame[0].timestamp, info.rtptime);
                break;
            }
        }
        let frame = viewer.next_frame().await;
        assert_eq!(number_of(&frame), number + 1);
        packets.extend(frame);
    }
    let past = viewer.request("PLAY", &base, &[("Range", "npt=99-")]).await;
    assert_eq!(past.status, 457);
    let frame = viewer.next_frame().await;
    assert_eq!(number_of(&frame), 2, "it plays on where it was");
    packets.extend(frame);
    assert_no_gap(&packets);
}

#[tokio::test]
async fn a_report_comes_at_once_and_agrees_with_the_wall_clock() {
    let server = server(10.0, true).await;
    let (mut viewer, answer) = Viewer::play_tcp(&server.url("plain")).await;
    let asked = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let report = viewer.next_report(0).await;
    let ticks = report.timestamp.wrapping_sub(answer.rtp_info()[0].rtptime).cast_signed();
    let start = report.unix_seconds() - f64::from(ticks) / 90_000.0;
    assert!((start - asked).abs() < 2.0, "started at {start}, asked at {asked}");
    let second = viewer.next_report(0).await;
    let ticks = second.timestamp.wrapping_sub(report.timestamp);
    let apart = second.unix_seconds() - report.unix_seconds();
    assert!((f64::from(ticks) / 90_000.0 - apart).abs() < 0.005 && apart > 4.5, "{ticks} in {apart} s");
}
