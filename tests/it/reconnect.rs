//! Outages: a viewer keeps its session and its numbers, and sees nothing that it cannot decode.

use std::time::{Duration, Instant};

use crate::support::camera::{Audio, Camera, Close, Numbering};
use crate::support::relay::{Relay, relay};
use crate::support::rtp::{Rtcp, Rtp};
use crate::support::sdp;
use crate::support::viewer::{Ended, Viewer, assert_no_gap};

/// A relay of a manual camera whose group of frames never ends by itself, and two viewers that have its first frame.
async fn playing(camera: &Camera) -> (Relay, [Viewer; 2]) {
    let relay = relay(&camera.url()).await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    let url = relay.url("cam");
    let viewers = [Viewer::play_tcp(&url).await.0, Viewer::play_udp(&url).await.0];
    camera.force_key_frame();
    camera.frame().await;
    (relay, viewers)
}

fn number(frame: &[Rtp]) -> u32 {
    frame.iter().find_map(Rtp::stamp).unwrap().frame
}

#[tokio::test]
async fn viewers_go_on_through_a_lost_connection_under_the_same_numbers() {
    for how in [Close::Rst, Close::Fin] {
        let camera = Camera::builder().gop(1000).audio(Audio::Pcmu).manual().start().await;
        let (relay, mut viewers) = playing(&camera).await;
        let before = camera.frames(3).await;
        let sent = Instant::now();
        let mut last = Vec::new();
        for viewer in &mut viewers {
            let frames = [(); 4].map(|()| ());
            let mut newest = Vec::new();
            for () in frames {
                newest = viewer.next_frame().await;
            }
            assert_eq!(number(&newest), before);
            last.push((newest.last().unwrap().clone(), viewer.packets(1, 8).await.pop().unwrap()));
        }

        camera.number_sessions_from(Numbering { ssrc: Some(7), sequence: Some(5), timestamp: Some(1 << 31) });
        camera.refuse().await;
        camera.drop_connections(how).await;
        for viewer in &mut viewers {
            viewer.get_parameter().await.ok(); // an answer also while the camera is away
        }
        tokio::time::sleep(Duration::from_millis(1500)).await; // the outage, to be seen in the timestamps
        camera.accept().await;
        camera.playing().await;
        camera.frames(3).await; // they build on what nobody has
        camera.force_key_frame();
        let key = camera.frame().await;
        let gap = sent.elapsed();
        let newest = camera.frames(2).await;

        for (viewer, (video, audio)) in viewers.iter_mut().zip(&last) {
            let mut packets = vec![video.clone()];
            for expected in key..=newest {
                let frame = viewer.next_frame().await;
                assert_eq!(number(&frame), expected, "resumed at the key frame, {how:?}");
                packets.extend(frame);
            }
            assert_no_gap(&packets);
            assert!(packets.iter().all(|packet| packet.ssrc == video.ssrc));
            // Two packets of sound a frame; sound waits for no key frame.
            let mut sound = vec![audio.clone()];
            sound.extend(viewer.packets(1, 12).await);
            assert_no_gap(&sound);
            assert!(sound.iter().all(|packet| packet.ssrc == audio.ssrc));
            for (old, new, clock) in [(video, &packets[1], 90_000.0), (audio, &sound[1], 8_000.0)] {
                let media = f64::from(new.timestamp.wrapping_sub(old.timestamp)) / clock;
                let wall = gap.as_secs_f64();
                assert!((media - wall).abs() < 0.5, "{media} s of media for {wall} s");
            }
        }
        assert_eq!(camera.sessions_total(), 2);
        assert_eq!(relay.metric("fanlight_source_reconnects_total{stream=\"cam\"}"), 1.0);
        let outage = relay.metric("fanlight_source_outage_seconds_total{stream=\"cam\"}");
        assert!((1.4..8.0).contains(&outage), "{outage} s");
        let skipped = "fanlight_viewer_skipped_frames_total{reason=\"key_frame\",stream=\"cam\"}";
        assert_eq!(relay.metric(skipped), 6.0, "three frames for each of two viewers");
        for viewer in relay.stream("cam").viewers() {
            assert_eq!(viewer.skipped(), 3);
        }
    }
}

#[tokio::test]
async fn viewers_go_on_when_the_camera_numbers_its_packets_anew_in_mid_session() {
    let camera = Camera::builder().gop(1000).manual().start().await;
    let (_relay, mut viewers) = playing(&camera).await;
    // The library takes another SSRC for the end of the session: it is replaced.
    camera.renumber(Numbering { ssrc: Some(9), sequence: Some(30_000), timestamp: Some(77) });
    camera.frame().await;
    camera.until("a second session plays", |c| c.sessions_total == 2 && c.playing == 1).await;
    camera.force_key_frame();
    let key = camera.frame().await;
    for viewer in &mut viewers {
        let mut packets = viewer.next_frame().await;
        let frame = viewer.next_frame().await;
        assert_eq!(number(&frame), key);
        packets.extend(frame);
        assert_no_gap(&packets);
    }
}

#[tokio::test]
async fn another_codec_ends_the_viewers_sessions_and_the_next_description_tells_it() {
    let camera = Camera::builder().gop(1000).manual().start().await;
    let (relay, [mut tcp, mut udp]) = playing(&camera).await;
    let ssrc = tcp.next_rtp(0).await.ssrc;
    camera.change_to_h265();
    camera.drop_connections(Close::Fin).await;
    camera.playing().await;
    camera.force_key_frame();
    camera.frame().await;
    let (ended, rest) = tcp.ended().await;
    assert_eq!(ended, Ended::Closed);
    let last = rest.last().unwrap();
    assert_eq!(last.channel, 1, "the last word is BYE");
    assert!(Rtcp::parse(&last.data).contains(&Rtcp::Bye { ssrc }));
    let media = rest.iter().filter(|packet| packet.channel == 0).map(|packet| Rtp::parse(&packet.data));
    assert!(media.into_iter().all(|packet| packet.stamp().is_none_or(|stamp| stamp.frame == 1)));
    let ssrc = udp.next_rtp(0).await.ssrc;
    while !udp.next_rtcp(0).await.contains(&Rtcp::Bye { ssrc }) {}
    assert_eq!(udp.get_parameter().await.status, 454);

    let (mut again, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert!(sdp::attribute(&again.sdp, 0, "rtpmap").unwrap().contains("H265/90000"));
    camera.force_key_frame();
    let key = camera.frame().await;
    assert_eq!(number(&again.next_frame().await), key);
    let left = "fanlight_viewer_disconnects_total{reason=\"stream_changed\",stream=\"cam\"}";
    assert_eq!(relay.metric(left), 2.0);
}

#[tokio::test]
async fn a_stream_that_was_live_once_is_described_at_once_during_an_outage() {
    let camera = Camera::builder().bare_sdp().gop(1000).manual().start().await;
    let (relay, _viewers) = playing(&camera).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    let before = viewer.sdp.clone();
    camera.refuse().await;
    camera.drop_connections(Close::Fin).await;
    relay.failed("cam", fanlight::vocabulary::FailureClass::Refused).await;
    let asked = Instant::now();
    viewer.describe().await.ok();
    assert!(asked.elapsed() < Duration::from_secs(4), "describe_timeout is 5 s");
    assert_eq!(viewer.sdp, before);
    assert!(sdp::fmtp(&before, 0, "sprop-parameter-sets").is_some());
    // Who sets up and plays now gets the picture when it is back.
    viewer.setup_tcp(0).await.ok();
    viewer.play().await.ok();
    camera.accept().await;
    camera.playing().await;
    camera.frame().await;
    camera.force_key_frame();
    let key = camera.frame().await;
    assert_eq!(number(&viewer.next_frame().await), key);
}

#[tokio::test]
async fn a_stream_that_was_never_live_is_503_with_the_reason_within_the_time_limit() {
    let camera = Camera::builder().require_auth("relay", "secret").start().await;
    camera.refuse().await;
    let url = camera.url().replace("//", "//relay:secret@");
    let patience = Duration::from_millis(400);
    let relay =
        Relay::builder().camera("cam", &url).settings(|s| s.describe_timeout = patience).start().await;
    relay.failed("cam", fanlight::vocabulary::FailureClass::Refused).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let asked = Instant::now();
    let answer = viewer.describe().await;
    assert!(asked.elapsed() >= patience && asked.elapsed() < Duration::from_secs(5));
    assert_eq!(answer.status, 503);
    let text = answer.text();
    assert!(text.contains("refused") && !text.contains("secret"), "{text}");
    camera.accept().await;
    relay.live("cam").await;
    assert_eq!(viewer.describe().await.status, 200, "the connection is still good");
}
