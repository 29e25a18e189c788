//! Cases a4, A75 to A88: what SETUP may set up, when, and for whom.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use super::{assert_usable, camera, described, ready, scene};
use crate::support::camera::Camera;
use crate::support::relay::Relay;
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, within};

const TCP: (&str, &str) = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");

/// A75: GStreamer asks again with another form of the URL on the same connection.
#[tokio::test]
async fn a_track_that_does_not_exist_is_not_found_and_the_connection_stays() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for track in
        ["cam/trackID=2", "cam/trackID=255", "cam/trackID=256", "cam/trackID=x", "trackID=0/x", "cam/video"]
    {
        assert_eq!(viewer.request("SETUP", &relay.url(track), &[TCP]).await.status, 404, "{track}");
    }
    viewer.request("SETUP", &relay.url("cam/trackID=0"), &[TCP]).await.ok();
}

/// A76, A77.
#[tokio::test]
async fn the_only_track_need_not_be_named() {
    let single = Camera::builder().h264(50).gop(10).start().await;
    let double = camera().await;
    let relay = Relay::builder().camera("one", &single.url()).camera("two", &double.url()).start().await;
    let mut viewer = Viewer::open(&relay.url("one")).await;
    viewer.request("SETUP", &relay.url("one/"), &[TCP]).await.ok();
    assert_eq!(viewer.request("SETUP", &relay.url("two/"), &[TCP]).await.status, 459);
    assert_usable(&mut viewer).await;
}

/// A78. Decided: 200, on the new transport; the old one is given up.
#[tokio::test]
async fn a_track_may_be_set_up_again() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for _ in 0..2 {
        assert_eq!(viewer.setup_tcp(0).await.ok().transport("interleaved"), Some("0-1"));
    }
    let answer = viewer.setup(0, "RTP/AVP/TCP;unicast;interleaved=4-5").await.ok();
    assert_eq!(answer.transport("interleaved"), Some("4-5"));
    // The first channels are free again.
    let answer = viewer.setup(1, "RTP/AVP/TCP;unicast;interleaved=0-1").await.ok();
    assert_eq!(answer.transport("interleaved"), Some("0-1"));
    viewer.play().await.ok();
    within("video", PATIENCE, viewer.anything_on(4, PATIENCE)).await.unwrap();
    within("sound", PATIENCE, viewer.anything_on(0, PATIENCE)).await.unwrap();
}

/// A78 over UDP: the ports that are given up are free for another viewer.
#[tokio::test]
async fn ports_given_up_are_free_again() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    viewer.setup(0, "RTP/AVP;unicast;client_port=21000-21001").await.ok();
    viewer.setup(0, "RTP/AVP;unicast;client_port=21000-21001").await.ok();
    viewer.setup(0, "RTP/AVP;unicast;client_port=21002-21003").await.ok();
    let mut other = described(&relay).await;
    other.setup(0, "RTP/AVP;unicast;client_port=21000-21001").await.ok();
    assert_eq!(other.setup(1, "RTP/AVP;unicast;client_port=21002-21003").await.status, 461);
    viewer.teardown().await.ok();
    other.setup(1, "RTP/AVP;unicast;client_port=21002-21003").await.ok();
}

/// A79. Decided: 455, with what would be valid. Nothing is disturbed, and the ports asked for stay free.
#[tokio::test]
async fn a_track_in_play_cannot_be_set_up() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    let answer = viewer.setup(0, "RTP/AVP/TCP;unicast;interleaved=8-9").await;
    assert_eq!(answer.status, 455);
    assert!(answer.header("Allow").is_some_and(|allow| allow.contains("PAUSE")), "{answer:?}");
    assert_no_gap(&viewer.packets(0, 30).await);

    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    let answer = viewer.setup(0, "RTP/AVP;unicast;client_port=21100-21101").await;
    assert_eq!(answer.status, 455, "{answer:?}");
    described(&relay).await.setup(0, "RTP/AVP;unicast;client_port=21100-21101").await.ok();
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A80. Decided: one session has one transport, 461.
#[tokio::test]
async fn a_session_does_not_mix_transports() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    viewer.setup_tcp(0).await.ok();
    assert_eq!(viewer.setup(1, "RTP/AVP;unicast;client_port=21200-21201").await.status, 461);
    viewer.setup_tcp(1).await.ok();
    let mut viewer = described(&relay).await;
    viewer.setup_udp(0).await.ok();
    assert_eq!(viewer.setup(1, "RTP/AVP/TCP;unicast;interleaved=2-3").await.status, 461);
    viewer.setup_udp(1).await.ok();
    viewer.play().await.ok();
    viewer.next_rtp(0).await;
}

/// A81, over TCP and UDP.
#[tokio::test]
async fn a_session_is_of_one_stream() {
    let (first, second) = (camera().await, camera().await);
    let relay = Relay::builder().camera("cam", &first.url()).camera("other", &second.url()).start().await;
    let mut viewer = described(&relay).await;
    viewer.setup_tcp(0).await.ok();
    let headers = [("Transport", "RTP/AVP/TCP;unicast;interleaved=2-3")];
    assert_eq!(viewer.request("SETUP", &relay.url("other/trackID=1"), &headers).await.status, 459);
    viewer.setup_tcp(1).await.ok();

    let mut viewer = described(&relay).await;
    viewer.setup(0, "RTP/AVP;unicast;client_port=21300-21301").await.ok();
    let headers = [("Transport", "RTP/AVP;unicast;client_port=21302-21303")];
    assert_eq!(viewer.request("SETUP", &relay.url("other/trackID=1"), &headers).await.status, 459);
    viewer.setup(1, "RTP/AVP;unicast;client_port=21302-21303").await.ok();
}

/// A82. The other methods are in A50; an expired session is in A105.
#[tokio::test]
async fn setup_in_a_session_that_ended_is_refused() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    viewer.setup_tcp(0).await.ok();
    viewer.teardown().await.ok();
    assert_eq!(viewer.setup_tcp(0).await.status, 454);
    viewer.session = None;
    viewer.setup_tcp(0).await.ok();
}

/// A83 (i). Two sessions on one connection, both in play, each with its own numbers; one may end and the other stays.
#[tokio::test]
async fn a_connection_may_have_a_second_session() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    let first = viewer.session.take().unwrap();
    let answer = viewer.setup(0, "RTP/AVP/TCP;unicast;interleaved=4-5").await.ok();
    assert_eq!(answer.transport("interleaved"), Some("4-5"));
    assert_ne!(viewer.session.as_ref(), Some(&first));
    viewer.play().await.ok();
    assert_no_gap(&viewer.packets(0, 20).await);
    assert_no_gap(&viewer.packets(2, 20).await);
    assert_eq!(relay.stream("cam").viewers().len(), 2);
    let second = viewer.session.replace(first);
    viewer.teardown().await.ok();
    viewer.session = second;
    assert_no_gap(&viewer.packets(2, 20).await);
    assert_eq!(relay.stream("cam").viewers().len(), 1);
}

/// A84, A110.
#[tokio::test]
async fn the_session_of_another_connection_is_not_found() {
    let (_camera, relay) = scene().await;
    let mut victim = ready(&relay).await;
    victim.play().await.ok();
    let mut thief = described(&relay).await;
    thief.session.clone_from(&victim.session);
    for method in ["PLAY", "PAUSE", "GET_PARAMETER", "TEARDOWN"] {
        let url = thief.url.clone();
        assert_eq!(thief.request(method, &url, &[]).await.status, 454, "{method}");
    }
    assert_eq!(thief.setup_tcp(0).await.status, 454);
    assert_no_gap(&victim.packets(0, 30).await);
    victim.get_parameter().await.ok();
}

/// A110: a UDP session can be reached from other connections, but only of the same address.
#[tokio::test]
async fn a_udp_session_is_not_found_from_another_address() {
    let (_camera, relay) = scene().await;
    let (mut victim, _) = Viewer::play_udp(&relay.url("cam")).await;
    let mut thief = Viewer::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), relay.address()).await;
    thief.session.clone_from(&victim.session);
    for method in ["PLAY", "PAUSE", "GET_PARAMETER", "TEARDOWN"] {
        assert_eq!(thief.request(method, &relay.url("cam"), &[]).await.status, 454, "{method}");
    }
    assert_no_gap(&victim.packets(0, 30).await);
    victim.get_parameter().await.ok();
}

/// A85.
#[tokio::test]
async fn a_session_may_come_back_with_a_tail() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    viewer.setup_tcp(0).await.ok();
    let id = viewer.session.clone().unwrap();
    for tail in [";timeout=60", ";", " ; timeout=55 "] {
        viewer.session = Some(format!("{id}{tail}"));
        viewer.get_parameter().await.ok();
        viewer.play().await.ok();
    }
}

/// A86, with fewer: 128 random bits do not need a million tries to be told from a counter.
#[tokio::test]
async fn session_ids_are_random() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    let mut ids = HashSet::new();
    let mut positions = vec![HashSet::new(); 32];
    for _ in 0..500 {
        viewer.session = None;
        viewer.setup_tcp(0).await.ok();
        let id = viewer.session.clone().unwrap();
        assert_eq!(id.len(), 32, "{id}");
        id.chars().zip(&mut positions).for_each(|(digit, seen)| seen.extend([digit]));
        assert!(ids.insert(id));
        viewer.teardown().await.ok();
    }
    assert!(positions.iter().all(|seen| seen.len() == 16), "{positions:?}");
}

/// A87.
#[tokio::test]
async fn ports_of_one_viewer_are_refused_to_another() {
    let (_camera, relay) = scene().await;
    let (mut first, _) = Viewer::play_udp(&relay.url("cam")).await;
    let (rtp, rtcp) = first.client_ports(0);
    for (a, b) in [(rtp, rtcp), (rtcp, rtcp + 1), (rtp - 1, rtp)] {
        let mut second = described(&relay).await;
        let answer = second.setup(0, &format!("RTP/AVP;unicast;client_port={a}-{b}")).await;
        assert_eq!(answer.status, 461);
    }
    assert_no_gap(&first.packets(0, 30).await);
    // Another machine may have the same numbers.
    let mut other = Viewer::connect_from(Ipv4Addr::new(127, 0, 0, 3).into(), relay.address()).await;
    let transport = format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}");
    other.request("SETUP", &relay.url("cam/trackID=0"), &[("Transport", &transport)]).await.ok();
}

/// A87 with A109: a viewer that vanished does not keep its ports from the next one on its machine.
#[tokio::test]
async fn ports_of_a_viewer_whose_connection_is_gone_are_free() {
    let (_camera, relay) = scene().await;
    let (first, _) = Viewer::play_udp(&relay.url("cam")).await;
    let (rtp, rtcp) = first.client_ports(0);
    drop(first);
    let mut second = described(&relay).await;
    let transport = format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}");
    // The server may hear of the end a moment later than of the next one's request.
    let free = async {
        while second.setup(0, &transport).await.status != 200 {
            second.session = None;
        }
    };
    within("the ports are free", PATIENCE, free).await;
    second.play().await.ok();
    eventually("only the second one watches", PATIENCE, || relay.stream("cam").viewers().len() == 1).await;
    // The first one's end took nothing from the second.
    second.teardown().await.ok();
    eventually("nobody watches", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
}

/// A88.
#[tokio::test]
async fn a_track_that_is_not_set_up_does_not_flow() {
    let (_camera, relay) = scene().await;
    for track in 0..2 {
        let mut viewer = described(&relay).await;
        viewer.setup_tcp(track).await.ok();
        let answer = viewer.play().await.ok();
        assert_eq!(answer.rtp_info().len(), 1);
        viewer.packets(track, 20).await;
        assert!(viewer.unread().all(|packet| usize::from(packet.channel / 2) == track));
    }
}
