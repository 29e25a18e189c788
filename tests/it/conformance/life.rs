//! Cases a6: how long a session lives, and what becomes of it.

use std::time::Duration;

use tokio::time::{interval, sleep};

use super::{assert_closed, camera, described, ready, scene, scene_of};
use crate::support::camera::Camera;
use crate::support::relay::Relay;
use crate::support::rtp::{Rtcp, receiver_report};
use crate::support::viewer::{Ended, Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, within};

/// Long enough for a busy machine to be in time with an eighth of it.
const TIMEOUT: Duration = Duration::from_secs(1);

async fn until_bye(viewer: &mut Viewer, track: usize) {
    let bye = async {
        while !viewer.next_rtcp(track).await.iter().any(|packet| matches!(packet, Rtcp::Bye { .. })) {}
    };
    within("a goodbye", PATIENCE, bye).await;
}

/// A105.
#[tokio::test]
async fn a_udp_viewer_that_falls_silent_is_dropped() {
    let (_camera, relay) = scene_of(TIMEOUT).await;
    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    viewer.next_rtp(0).await;
    let ports = viewer.client_ports(0);
    until_bye(&mut viewer, 0).await;
    until_bye(&mut viewer, 1).await;
    eventually("the viewer is gone", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
    let mut other = described(&relay).await;
    other.session.clone_from(&viewer.session);
    assert_eq!(other.get_parameter().await.status, 454);
    assert_eq!(other.setup_tcp(0).await.status, 454);
    other.session = None;
    other.setup(0, &format!("RTP/AVP;unicast;client_port={}-{}", ports.0, ports.1)).await.ok();
}

/// A106. Each alone, for several time-outs; the connection stays open all the while, as rtspsrc reconnects when it
/// closes.
#[tokio::test]
async fn any_sign_of_life_keeps_a_udp_viewer() {
    let (_camera, relay) = scene_of(TIMEOUT).await;
    let lives = async |sign: &str| {
        let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
        let url = viewer.base.clone();
        let session = viewer.session.clone();
        let mut pace = interval(TIMEOUT / 8);
        for _ in 0..20 {
            pace.tick().await;
            match sign {
                "receiver report" => viewer.send_rtcp(0, &receiver_report(7)).await,
                "OPTIONS without a session" => {
                    viewer.session = None;
                    viewer.request("OPTIONS", &url, &[]).await.ok();
                }
                method => drop(viewer.request(method, &url, &[]).await.ok()),
            }
        }
        viewer.session = session;
        assert_no_gap(&viewer.packets(0, 30).await);
        assert_eq!(viewer.teardown().await.status, 200, "{sign}");
    };
    tokio::join!(
        lives("receiver report"),
        lives("GET_PARAMETER"),
        lives("OPTIONS"),
        lives("OPTIONS without a session")
    );
}

/// A107: rtspsrc before 2025-08, VLC and openRTSP send no keep-alive over TCP. Who takes what is written lives.
#[tokio::test]
async fn a_tcp_viewer_that_reads_needs_no_keep_alive() {
    let (_camera, relay) = scene_of(TIMEOUT).await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    // Two seconds.
    assert_no_gap(&viewer.packets(0, 300).await);
    viewer.get_parameter().await.ok();
    // But a connection that plays nothing and says nothing is closed.
    viewer.pause().await.ok();
    assert_closed(&mut viewer).await;
}

/// A108: what is advertised is less than what is enforced.
#[tokio::test]
async fn a_keep_alive_at_the_very_time_out_is_in_time() {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).settings(|settings| {
        settings.session_timeout = Duration::from_millis(1500);
        settings.advertised_timeout = Duration::from_secs(1);
    });
    let relay = relay.start().await;
    let mut viewer = described(&relay).await;
    let answer = viewer.setup_udp(0).await.ok();
    assert!(answer.header("Session").unwrap().ends_with(";timeout=1"));
    viewer.play().await.ok();
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        viewer.get_parameter().await.ok();
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A109.
#[tokio::test]
async fn a_udp_session_outlives_its_connection() {
    let (_camera, relay) = scene().await;
    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    viewer.packets(0, 10).await;
    viewer.finish().await;
    let (ended, _) = viewer.ended().await;
    assert_eq!(ended, Ended::Closed);
    let mut second = Viewer::open(&relay.url("cam")).await;
    second.session.clone_from(&viewer.session);
    second.get_parameter().await.ok();
    assert_no_gap(&viewer.packets(0, 100).await);
    second.teardown().await.ok();
    eventually("the viewer is gone", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
}

/// A111, FIN and RST. Silence is [`a_viewer_that_stops_reading_harms_nobody`].
#[tokio::test]
async fn a_tcp_session_ends_with_its_connection() {
    let (_camera, relay) = scene().await;
    let (mut fin, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (rst, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (gone, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert_eq!(relay.stream("cam").viewers().len(), 3);
    fin.finish().await;
    rst.reset();
    drop(gone);
    // At once, that is; the time-out is 60 s.
    eventually("all are gone", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
    fin.ended().await;
}

/// A111: what was asked before the FIN is answered.
#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_answers() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    let url = viewer.url.clone();
    viewer.send("DESCRIBE", &url, &[]).await;
    viewer.send("OPTIONS", &url, &[]).await;
    viewer.finish().await;
    viewer.read_answer().await.ok();
    viewer.read_answer().await.ok();
    assert_closed(&mut viewer).await;
}

/// A112. Noise is no reason to end a session, and none of it is answered.
#[tokio::test]
async fn noise_on_the_udp_ports_is_ignored() {
    let (_camera, relay) = scene().await;
    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    let noise: Vec<u8> = (0..2000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let hole = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for datagram in
        [&noise[..], &noise[..200], &noise[7..207], &[0xce, 0xfa, 0xed, 0xfe], &hole, &[], &[0x80, 201, 0, 9]]
    {
        for track in 0..2 {
            viewer.send_rtp(track, datagram).await;
            viewer.send_rtcp(track, datagram).await;
        }
    }
    viewer.send_rtcp(0, &[&[0x81, 201][..], &noise[..1998]].concat()).await;
    viewer.get_parameter().await.ok();
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A112, A106: a hole punch is a sign of life.
#[tokio::test]
async fn a_hole_punch_is_a_sign_of_life() {
    let (_camera, relay) = scene_of(TIMEOUT).await;
    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    let mut pace = interval(TIMEOUT / 8);
    for _ in 0..20 {
        pace.tick().await;
        viewer.send_rtp(0, &[0xce, 0xfa, 0xed, 0xfe]).await;
    }
    viewer.get_parameter().await.ok();
}

/// A113, and A111 for a viewer that is silently gone: it is closed after the write time-out; what was not written to it
/// is counted, and the other viewer misses nothing.
#[tokio::test]
async fn a_viewer_that_stops_reading_harms_nobody() {
    let camera = Camera::builder().h264(100).gop(10).packets_per_frame(80).packet_size(1400).start().await;
    let relay = Relay::builder()
        .camera("cam", &camera.url())
        .settings(|settings| settings.write_timeout = Duration::from_secs(2));
    let relay = relay.start().await;
    let (mut good, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (mut stuck, _) = Viewer::play_tcp(&relay.url("cam")).await;
    stuck.next_rtp(0).await;
    let watched = within("the stuck one is closed", Duration::from_secs(30), async {
        let mut last = good.next_rtp(0).await;
        while relay.stream("cam").viewers().len() > 1 {
            let packets = good.packets(0, 100).await;
            assert_no_gap(std::iter::once(&last).chain(&packets));
            last = packets.into_iter().last().unwrap();
        }
        relay.stream("cam").viewers()[0].skipped()
    });
    assert_eq!(watched.await, 0, "frames left out for the good viewer");
}

/// A114.
#[tokio::test]
async fn udp_and_tcp_viewers_share_a_source() {
    let (camera, relay) = scene().await;
    let (mut tcp, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (mut udp, _) = Viewer::play_udp(&relay.url("cam")).await;
    for viewer in [&mut tcp, &mut udp] {
        for track in 0..2 {
            assert_no_gap(&viewer.packets(track, 30).await);
        }
    }
    assert_eq!((camera.sessions_total(), relay.stream("cam").viewers().len()), (1, 2));
}

/// A99, A111: the server's own end is told to every viewer, with an orderly close even if they have sent something that
/// was not read yet.
#[tokio::test]
async fn viewers_are_told_when_the_server_stops() {
    let (_camera, relay) = scene().await;
    let (mut tcp, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (mut udp, _) = Viewer::play_udp(&relay.url("cam")).await;
    tcp.next_rtp(0).await;
    udp.next_rtp(0).await;
    for _ in 0..200 {
        tcp.send_interleaved(1, &receiver_report(7)).await;
    }
    let stop = async { assert_eq!(relay.shutdown(Duration::from_secs(5)).await, 0) };
    let told = async {
        let (ended, packets) = tcp.ended().await;
        assert_eq!(ended, Ended::Closed);
        let bye = |channel| {
            packets
                .iter()
                .filter(|packet| packet.channel == channel)
                .any(|packet| Rtcp::parse(&packet.data).iter().any(|rtcp| matches!(rtcp, Rtcp::Bye { .. })))
        };
        assert!(bye(1) && bye(3), "a goodbye for each track");
        until_bye(&mut udp, 0).await;
    };
    tokio::join!(stop, told);
}
