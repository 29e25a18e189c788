//! What viewers notice of outages and changes: nothing but the time that passed, or a goodbye in order.

use std::time::{Duration, Instant};

use fanlight::config::Stream as Settings;
use fanlight::vocabulary::FailureClass;

use crate::support::camera::{Audio, Camera, Close, Numbering};
use crate::support::h264::Delivery;
use crate::support::relay::{Relay, camera_settings, relay};
use crate::support::rtp::{Rtcp, Rtp, SenderReport};
use crate::support::sdp;
use crate::support::viewer::{Ended, Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually};

async fn relay_with(camera: &Camera, change: impl FnOnce(&mut Settings)) -> Relay {
    let mut settings = camera_settings(&camera.url());
    change(&mut settings);
    Relay::builder().stream("cam", settings).start().await
}

/// A viewer over TCP that has the first key frame of a manual camera, and the packets of that frame.
async fn watching(camera: &Camera, relay: &Relay) -> (Viewer, Vec<Rtp>) {
    camera.playing().await;
    camera.force_key_frame();
    camera.frame().await;
    relay.live("cam").await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    camera.force_key_frame();
    camera.frame().await;
    let frame = viewer.next_frame().await;
    (viewer, frame)
}

fn ticks(from: &Rtp, to: &Rtp) -> f64 {
    f64::from(to.timestamp.wrapping_sub(from.timestamp).cast_signed())
}

/// Wall-clock seconds of a packet by a sender report.
fn wall(report: &SenderReport, packet: &Rtp) -> f64 {
    report.unix_seconds()
        + f64::from(packet.timestamp.wrapping_sub(report.timestamp).cast_signed()) / 90_000.0
}

/// What is different about the camera when it is back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Nothing,
    Ssrc,
    SequenceGoesBack,
    Clock,
}

#[tokio::test]
async fn the_gap_in_the_timestamps_is_the_gap_of_the_wall_clock_and_all_else_goes_on() {
    for change in [Change::Nothing, Change::Ssrc, Change::SequenceGoesBack, Change::Clock] {
        let camera = Camera::builder().gop(1000).manual().start().await;
        let start = Numbering { ssrc: Some(5), sequence: Some(40_000), timestamp: Some(1 << 20) };
        camera.number_sessions_from(start);
        let relay = relay_with(&camera, |_| ()).await;
        let (mut viewer, _) = watching(&camera, &relay).await;
        let first_report = viewer.next_report(0).await;
        let sent = Instant::now();
        camera.frame().await;
        let last = viewer.next_frame().await;
        camera.number_sessions_from(match change {
            Change::Nothing => start,
            Change::Ssrc => Numbering { ssrc: Some(77), ..start },
            Change::SequenceGoesBack => Numbering { sequence: Some(39_000), ..start },
            Change::Clock => Numbering { timestamp: Some(3 << 30), ..start },
        });
        camera.drop_connections(Close::Rst).await;
        tokio::time::sleep(Duration::from_millis(700)).await; // the outage
        camera.playing().await;
        camera.force_key_frame();
        let resumed = sent.elapsed();
        camera.frame().await;
        let next = viewer.next_frame().await;
        assert_no_gap(last.iter().chain(&next));
        assert!(next.iter().all(|packet| packet.ssrc == last[0].ssrc), "{change:?}");
        let media = ticks(&last[0], &next[0]) / 90_000.0;
        let gap = resumed.as_secs_f64();
        // What the machine does in between counts as well, so it is a little more than was slept.
        assert!((media - gap).abs() < 0.05 + 0.2 * gap, "{change:?}: {media} s of media for {gap} s");
        let report = viewer.next_report(0).await;
        assert_eq!(report.ssrc, last[0].ssrc);
        let drift = wall(&report, &next[0]) - wall(&first_report, &next[0]);
        assert!(drift.abs() < 0.02, "{change:?}: the viewer's clock moved by {drift} s");
    }
}

#[tokio::test]
async fn a_camera_that_sends_parameter_sets_only_in_its_sdp_has_them_at_every_resumption() {
    let camera = Camera::builder().gop(1000).parameter_sets(Delivery::SdpOnly).manual().start().await;
    let relay = relay_with(&camera, |_| ()).await;
    let (mut viewer, frame) = watching(&camera, &relay).await;
    assert_eq!(frame.len(), 6, "nothing added where all is well");
    for round in 0..3 {
        let version = relay.live("cam").await.described.unwrap().version;
        if round == 1 {
            camera.change_parameter_sets();
        }
        camera.drop_connections(Close::Fin).await;
        camera.playing().await;
        camera.force_key_frame();
        camera.frame().await;
        let next = viewer.next_frame().await;
        let kinds: Vec<u8> = next.iter().take(3).map(|packet| packet.payload[0] & 0x1f).collect();
        assert_eq!((kinds, next.len()), (vec![7, 8, 28], 8));
        let profile = if round == 0 { 0x00 } else { 0x40 };
        assert_eq!(next[0].payload[..3], [0x67, 0x4d, profile]);
        assert_no_gap(&next);
        let now = relay.live("cam").await.described.unwrap();
        assert!(now.version > version && now.generation == 1);
    }
    let mut newcomer = Viewer::open(&relay.url("cam")).await;
    newcomer.describe().await.ok();
    assert!(sdp::fmtp(&newcomer.sdp, 0, "sprop-parameter-sets").unwrap().starts_with("Z01AMpWg"));
}

#[tokio::test]
async fn only_who_plays_a_changed_track_is_closed() {
    let camera = Camera::builder().gop(1000).audio(Audio::Pcmu).manual().start().await;
    let relay = relay_with(&camera, |_| ()).await;
    let (mut both, _) = watching(&camera, &relay).await;
    let url = relay.url("cam");
    let mut picture = Viewer::open(&url).await;
    picture.describe().await.ok();
    picture.setup_tcp(0).await.ok();
    picture.play().await.ok();
    let mut udp = Viewer::open(&url).await;
    udp.describe().await.ok();
    udp.setup_udp(0).await.ok();
    udp.play().await.ok();
    camera.force_key_frame();
    camera.frame().await;
    let mut last = [picture.next_frame().await.pop().unwrap(), udp.next_frame().await.pop().unwrap()];
    let ssrc = both.next_rtp(1).await.ssrc;

    let sdp_of = |audio: Option<&str>| {
        let described = relay.stream("cam").status().borrow().described.clone().unwrap();
        let mut description = (*described.description).clone();
        description.tracks.truncate(1);
        let video = description.write("x", 1, fanlight::sdp::Range::Live).replace("trackID=0", "track0");
        format!("{video}{}", audio.unwrap_or_default())
    };
    let pcma = "m=audio 0 RTP/AVP 8\r\na=control:track1\r\n";
    for (round, audio) in [Some(pcma), None].into_iter().enumerate() {
        camera.set_sdp(Some(&sdp_of(audio)));
        camera.drop_connections(Close::Fin).await;
        camera.playing().await;
        camera.force_key_frame();
        camera.frame().await;
        for (viewer, last) in [&mut picture, &mut udp].into_iter().zip(&mut last) {
            let frame = viewer.next_frame().await;
            assert_no_gap(std::iter::once(&*last).chain(&frame));
            *last = frame.last().unwrap().clone();
        }
        if round == 0 {
            let (ended, rest) = both.ended().await;
            assert_eq!(ended, Ended::Closed);
            let byes = rest.iter().filter(|packet| packet.channel == 3).flat_map(|p| Rtcp::parse(&p.data));
            assert!(byes.into_iter().any(|packet| packet == Rtcp::Bye { ssrc }));
        }
    }
    let left = "fanlight_viewer_disconnects_total{reason=\"stream_changed\",stream=\"cam\"}";
    assert_eq!(relay.metric(left), 1.0);
    assert_eq!(relay.stream("cam").viewers().len(), 2);
}

#[tokio::test]
async fn viewers_are_kept_for_the_grace_with_their_keep_alives_answered_and_then_closed_in_order() {
    let camera = Camera::builder().gop(1000).manual().start().await;
    let grace = Duration::from_secs(3);
    let relay = relay_with(&camera, |settings| settings.outage_grace = grace).await;
    let (mut tcp, frame) = watching(&camera, &relay).await;
    let url = relay.url("cam");
    let mut udp = Viewer::play_udp(&url).await.0;
    let mut ready = Viewer::open(&url).await;
    ready.describe().await.ok();
    ready.setup_tcp(0).await.ok();
    let away = Instant::now(); // or a little later: with the last packet
    camera.force_key_frame();
    camera.frame().await;
    let ssrc = udp.next_rtp(0).await.ssrc;
    camera.refuse().await;
    camera.drop_connections(Close::Rst).await;
    relay.failed("cam", FailureClass::Refused).await;
    for viewer in [&mut tcp, &mut udp, &mut ready] {
        viewer.get_parameter().await.ok();
        viewer.options().await.ok();
    }
    let (ended, rest) = tcp.ended().await;
    assert!(away.elapsed() >= grace);
    assert_eq!(ended, Ended::Closed);
    let last = rest.last().unwrap();
    assert!(last.channel == 1 && Rtcp::parse(&last.data).contains(&Rtcp::Bye { ssrc: frame[0].ssrc }));
    while !udp.next_rtcp(0).await.contains(&Rtcp::Bye { ssrc }) {}
    let left = "fanlight_viewer_disconnects_total{reason=\"outage\",stream=\"cam\"}";
    eventually("both are counted", PATIENCE, || relay.metric(left) == 2.0).await;
    // Who only has set up waits for nothing, and the stream is still described.
    ready.get_parameter().await.ok();
    let mut newcomer = Viewer::open(&url).await;
    let asked = Instant::now();
    newcomer.describe().await.ok();
    assert!(asked.elapsed() < Duration::from_secs(4));
    ready.play().await.ok();
    camera.accept().await;
    camera.playing().await;
    camera.force_key_frame();
    camera.frame().await;
    ready.next_frame().await;
}

#[tokio::test]
async fn thirty_reconnects_leave_nothing_behind_at_the_viewers() {
    let camera = Camera::builder().h264(50).gop(2).start().await;
    let relay = relay(&camera.url()).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut last = viewer.next_rtp(0).await;
    for _ in 0..30 {
        camera.drop_connections(Close::Rst).await;
        camera.playing().await;
        for packet in viewer.packets(0, 20).await {
            assert_eq!((packet.sequence, packet.ssrc), (last.sequence.wrapping_add(1), last.ssrc));
            assert!(ticks(&last, &packet) >= 0.0);
            last = packet;
        }
    }
    assert_eq!(relay.stream("cam").viewers().len(), 1);
}
