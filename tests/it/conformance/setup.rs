//! Cases a4, A60 to A74: the transports that SETUP may ask for.

use super::{assert_usable, described, ready, scene, scene_without_udp};
use crate::support::relay::Relay;
use crate::support::viewer::Answer;

/// The answer to a SETUP of track 0 with this transport, on a connection of its own.
async fn asked(relay: &Relay, transport: &str) -> Answer {
    described(relay).await.setup(0, transport).await
}

/// A60, A61.
#[tokio::test]
async fn udp_is_granted_in_whatever_form_it_is_asked_for() {
    let (_camera, relay) = scene().await;
    for (n, form) in [
        "RTP/AVP;unicast;client_port=PORTS",
        "RTP/AVP/UDP;unicast;client_port=PORTS",
        "rtp/avp;UNICAST;client_port=PORTS",
        "RTP/AVP;unicast;client_port=PORTS;mode=\"PLAY\"",
        "client_port=PORTS;mode=play;RTP/AVP;unicast",
    ]
    .into_iter()
    .enumerate()
    {
        let ports = format!("{}-{}", 20_000 + 2 * n, 20_001 + 2 * n);
        let answer = asked(&relay, &form.replace("PORTS", &ports)).await.ok();
        assert_eq!(answer.transport("client_port"), Some(ports.as_str()), "{form}");
        let (rtp, rtcp) = answer.server_ports().unwrap();
        assert!(rtp.is_multiple_of(2) && rtcp == rtp + 1, "{rtp}-{rtcp}");
        let ssrc = answer.transport("ssrc").unwrap();
        assert!(ssrc.len() == 8 && u32::from_str_radix(ssrc, 16).is_ok(), "{ssrc}");
        let (id, timeout) = answer.header("Session").unwrap().split_once(";timeout=").unwrap();
        assert!(id.len() >= 8 && timeout == "55", "{id} {timeout}");
    }
}

/// A62, A63.
#[tokio::test]
async fn the_channels_asked_for_are_the_channels_used() {
    let (_camera, relay) = scene().await;
    for (first, second) in [((0, 1), (2, 3)), ((2, 3), (0, 1)), ((7, 8), (200, 201)), ((254, 255), (1, 2))] {
        let mut viewer = described(&relay).await;
        for (track, (rtp, rtcp)) in [first, second].into_iter().enumerate() {
            let channels = format!("{rtp}-{rtcp}");
            let answer =
                viewer.setup(track, &format!("RTP/AVP/TCP;unicast;interleaved={channels}")).await.ok();
            assert_eq!(answer.transport("interleaved"), Some(channels.as_str()));
        }
        viewer.play().await.ok();
        let wanted = [first.0, first.1, second.0, second.1];
        for channel in wanted {
            assert!(
                viewer.anything_on(channel, crate::support::PATIENCE).await.is_some(),
                "channel {channel}"
            );
        }
        assert!(viewer.unread().all(|packet| wanted.contains(&packet.channel)));
    }
}

/// A64.
#[tokio::test]
async fn channels_are_chosen_for_a_client_that_names_none() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for (track, channels) in [(0, "0-1"), (1, "2-3")] {
        let answer = viewer.setup(track, "RTP/AVP/TCP;unicast").await.ok();
        assert_eq!(answer.transport("interleaved"), Some(channels));
    }
}

/// A65. Decided: the second track gets free channels, as from GStreamer's server.
#[tokio::test]
async fn channels_in_use_are_replaced_by_free_ones() {
    let (_camera, relay) = scene().await;
    for (asked, given) in [("0-1", "2-3"), ("1-2", "2-3"), ("0-9", "2-3")] {
        let mut viewer = described(&relay).await;
        viewer.setup_tcp(0).await.ok();
        let answer = viewer.setup(1, &format!("RTP/AVP/TCP;unicast;interleaved={asked}")).await.ok();
        assert_eq!(answer.transport("interleaved"), Some(given), "{asked}");
        viewer.play().await.ok();
        viewer.next_rtp(0).await;
        viewer.next_rtp(1).await;
    }
}

/// A66. One channel means it and the next.
#[tokio::test]
async fn channels_that_do_not_exist_are_refused() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for channels in ["256-257", "255-256", "255", "3-2", "0-0", "a-b", "", "-1"] {
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={channels}");
        assert_eq!(viewer.setup(0, &transport).await.status, 461, "{channels}");
    }
    let answer = viewer.setup(0, "RTP/AVP/TCP;unicast;interleaved=0").await.ok();
    assert_eq!(answer.transport("interleaved"), Some("0-1"));
    assert_eq!(asked(&relay, "RTP/AVP/TCP;unicast;interleaved=254-255").await.status, 200);
}

/// A67.
#[tokio::test]
async fn the_first_transport_of_a_list_that_can_be_served_is_granted() {
    let (_camera, relay) = scene_without_udp().await;
    let list = "RTP/AVP;unicast;client_port=20100-20101, RTP/AVP/TCP;unicast;interleaved=0-1";
    let answer = asked(&relay, list).await.ok();
    let granted = answer.header("Transport").unwrap();
    assert!(
        granted.starts_with("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=") && !granted.contains(','),
        "{granted}"
    );
    let (_camera, relay) = scene().await;
    let answer = asked(&relay, list).await.ok();
    assert_eq!(answer.transport("client_port"), Some("20100-20101"));
}

/// A68, A69, A71, A73, A74. 461 whenever only the transport is wrong: every player then tries its next one, while a 400
/// is the end for ffmpeg. No media has anywhere to go, and the refusal leaves no session behind.
#[tokio::test]
async fn what_cannot_be_served_is_461() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for transport in [
        "RTP/AVP;multicast",
        "RTP/AVP;multicast;destination=224.2.0.1;port=5000-5001;ttl=1",
        "RTP/AVP;unicast;client_port=0-0",
        "RTP/AVP;unicast;client_port=1-2",
        "RTP/AVP;unicast;client_port=65535-65536",
        "RTP/AVP;unicast;client_port=abc",
        "RTP/AVP;unicast;client_port=5000",
        "RTP/AVP;unicast",
        "RTP/AVP/TCP;unicast;interleaved=0-1;mode=RECORD",
        "RTP/AVP;unicast;client_port=20200-20201;mode=\"record\"",
        "RTP/SAVP;unicast;client_port=20200-20201",
        "RAW/RAW/UDP;unicast;client_port=20200-20201",
        "",
        ";;;",
    ] {
        let answer = viewer.setup(0, transport).await;
        assert_eq!((answer.status, answer.header("Session")), (461, None), "{transport:?}");
    }
    let url = viewer.control(0);
    assert_eq!(viewer.request("SETUP", &url, &[]).await.status, 461);
    viewer.setup_tcp(0).await.ok();
    viewer.play().await.ok();
    viewer.next_rtp(0).await;
}

/// A68: the state of the session is kept, too.
#[tokio::test]
async fn a_refused_transport_leaves_the_session_as_it_was() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    viewer.setup_tcp(0).await.ok();
    let answer = viewer.setup(1, "RTP/AVP;multicast").await;
    assert_eq!(answer.status, 461);
    viewer.setup_tcp(1).await.ok();
    viewer.play().await.ok();
    assert_eq!(viewer.setup(1, "RTP/AVP;multicast").await.status, 461);
    viewer.next_rtp(0).await;
    viewer.next_rtp(1).await;
}

/// A70. Decided: a 461 that made no session names none, so that there is nothing to come back with.
#[tokio::test]
async fn tcp_is_granted_after_udp_was_refused() {
    let (_camera, relay) = scene_without_udp().await;
    let mut viewer = described(&relay).await;
    let answer = viewer.setup(0, "RTP/AVP;unicast;client_port=20300-20301").await;
    assert_eq!((answer.status, answer.header("Session")), (461, None));
    viewer.setup_tcp(0).await.ok();
    // With a session: the second track is asked for over UDP first as well.
    assert_eq!(viewer.setup(1, "RTP/AVP;unicast;client_port=20302-20303").await.status, 461);
    viewer.setup_tcp(1).await.ok();
    viewer.play().await.ok();
    viewer.next_rtp(1).await;
}

/// A70, where UDP is refused because another viewer has the ports.
#[tokio::test]
async fn tcp_is_granted_after_the_ports_were_refused() {
    let (_camera, relay) = scene().await;
    let mut first = described(&relay).await;
    first.setup(0, "RTP/AVP;unicast;client_port=20310-20311").await.ok();
    let mut second = described(&relay).await;
    let answer = second.setup(0, "RTP/AVP;unicast;client_port=20310-20311").await;
    assert_eq!((answer.status, answer.header("Session")), (461, None));
    second.setup_tcp(0).await.ok();
    second.play().await.ok();
    second.next_rtp(0).await;
}

/// A72. Decided: the parameter is ignored, media goes to the client's own address.
#[tokio::test]
async fn media_cannot_be_sent_to_somebody_else() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    let answer = viewer.setup(0, "RTP/AVP;unicast;destination=127.0.0.9;client_port=20400-20401").await.ok();
    assert_eq!(answer.transport("destination"), None);
    let victim = tokio::net::UdpSocket::bind(("127.0.0.9", 20_400)).await.unwrap();
    let own = tokio::net::UdpSocket::bind(("127.0.0.1", 20_400)).await.unwrap();
    viewer.play().await.ok();
    let mut packet = [0; 2048];
    crate::support::within("media", crate::support::PATIENCE, own.recv(&mut packet)).await.unwrap();
    assert!(victim.try_recv(&mut packet).is_err());
}

/// A74, A66: a flood of refused set-ups holds nothing.
#[tokio::test]
async fn refused_set_ups_leave_nothing_behind() {
    let (_camera, relay) = scene().await;
    let mut first = described(&relay).await;
    first.setup(0, "RTP/AVP;unicast;client_port=20410-20411").await.ok();
    let mut viewer = described(&relay).await;
    for _ in 0..300 {
        assert_eq!(viewer.setup(0, "RTP/AVP;unicast;client_port=20410-20411").await.status, 461);
    }
    assert_usable(&mut viewer).await;
    drop((first, viewer));
    // UDP sessions that were never there hold up nobody: the one that is there ends with the server.
    assert_eq!(relay.shutdown(crate::support::PATIENCE).await, 0);
}

/// A83: sessions can be made without an end, but not on one connection. Decided: 503 above sixteen.
#[tokio::test]
async fn one_connection_has_so_many_sessions_and_no_more() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    let mut made = 0;
    for _ in 0..64 {
        viewer.session = None;
        made += usize::from(viewer.setup(0, "RTP/AVP/TCP;unicast").await.status == 200);
    }
    assert_eq!(made, 16);
    viewer.teardown().await;
    let mut other = ready(&relay).await;
    other.play().await.ok();

    let mut viewer = described(&relay).await;
    let mut made = 0;
    for n in 0..64 {
        viewer.session = None;
        let ports = format!("{}-{}", 20_500 + 2 * n, 20_501 + 2 * n);
        let answer = viewer.setup(0, &format!("RTP/AVP;unicast;client_port={ports}")).await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        made += usize::from(answer.status == 200);
    }
    assert_eq!(made, 16);
    drop(viewer);
}
