//! The direct client: on its own, and where it takes over from retina.

use fanlight::config::{ClientChoice, UpstreamTransport};
use fanlight::vocabulary::{FailureClass, Transport};

use crate::support::camera::{Camera, Fault, Numbering};
use crate::support::relay::{Relay, camera_settings};
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually};

/// A relay of this camera by the direct client alone.
async fn direct(url: &str, transport: UpstreamTransport) -> Relay {
    let mut settings = camera_settings(url);
    settings.client = ClientChoice::Direct;
    settings.transport = transport;
    Relay::builder().stream("cam", settings).start().await
}

#[tokio::test]
async fn the_direct_client_relays_over_tcp_with_a_password_and_says_goodbye() {
    let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
    let url = camera.url().replace("rtsp://", "rtsp://ann:hunter2@");
    let relay = direct(&url, UpstreamTransport::Tcp).await;
    assert_eq!(relay.live("cam").await.transport, Some(Transport::Tcp));
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert_no_gap(&viewer.packets(0, 200).await);
    camera.until("receiver reports come", |counts| counts.reports > 0).await;
    relay.stop_source("cam");
    camera.until("the session is torn down", |counts| counts.teardowns == 1).await;
}

/// The incident recorder: the dialogue both ways and the reports, never the password or what proves it.
#[tokio::test]
async fn what_was_said_with_a_camera_is_recorded_without_its_password() {
    let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
    let url = camera.url().replace("rtsp://", "rtsp://ann:hunter2@");
    let relay = direct(&url, UpstreamTransport::Tcp).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    viewer.packets(0, 50).await;
    camera.until("receiver reports come", |counts| counts.reports > 0).await;
    let file = relay.stream("cam").capture().pcap(std::time::Instant::now());
    if let Some(path) = std::env::var_os("FANLIGHT_KEEP_CAPTURE") {
        std::fs::write(path, &file).unwrap(); // to look at it with Wireshark
    }
    let text = String::from_utf8_lossy(&file);
    for said in [
        "DESCRIBE rtsp://",
        "RTSP/1.0 401",
        "Authorization: ***\r\n",
        "SETUP ",
        "PLAY ",
        "RTSP/1.0 200 OK",
        "m=video",
    ] {
        assert!(text.contains(said), "{said} is missing in\n{text}");
    }
    for secret in ["hunter2", "response=", "ann:"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    // RTP of the first track, and what was reported of it.
    let to_port =
        |port: u16| file.windows(4).any(|four| four == [port.to_be_bytes(), port.to_be_bytes()].concat());
    assert!(to_port(5004) && to_port(5005));
}

#[tokio::test]
async fn the_direct_client_relays_over_udp_and_sends_reports() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let relay = direct(&camera.url(), UpstreamTransport::Udp).await;
    assert_eq!(relay.live("cam").await.transport, Some(Transport::Udp));
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert_no_gap(&viewer.packets(0, 200).await);
    camera.until("receiver reports come", |counts| counts.reports > 0).await;
}

/// C77, C78, C01: what ends a session of retina's is no event to the viewer.
#[tokio::test]
async fn an_encoder_that_starts_anew_keeps_its_session() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    // Far enough from what follows: a short step would be loss.
    camera.number_sessions_from(Numbering { sequence: Some(30_000), ..Numbering::default() });
    let relay = direct(&camera.url(), UpstreamTransport::Tcp).await;
    relay.live("cam").await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut packets = viewer.packets(0, 50).await;
    for numbering in [
        Numbering { ssrc: Some(77), ..Numbering::default() },
        Numbering { sequence: Some(5), ..Numbering::default() },
        Numbering { ssrc: Some(78), sequence: Some(9), timestamp: Some(5) },
    ] {
        camera.ask();
        camera.renumber(numbering);
        packets.extend(viewer.packets(0, 100).await);
    }
    assert_no_gap(&packets);
    assert_eq!((camera.sessions_total(), camera.connections()), (1, 1));
}

#[tokio::test]
async fn the_direct_client_takes_over_where_retina_panics_or_refuses_and_says_so() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    camera.fault(Fault::SpacedSession);
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    relay.live("cam").await;
    let said = || {
        let learned = relay.stream("cam").record().learned;
        learned.iter().any(|sentence| sentence.starts_with("The direct client speaks with it"))
    };
    eventually("the choice is told", PATIENCE, said).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert_no_gap(&viewer.packets(0, 100).await);
}

#[tokio::test]
async fn retina_alone_stays_alone() {
    let camera = Camera::builder().start().await;
    camera.set_sdp(Some("v=0\r\no=- 1001 1 IN\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"));
    let mut settings = camera_settings(&camera.url());
    settings.client = ClientChoice::Retina;
    let relay = Relay::builder().stream("cam", settings).start().await;
    relay.failed("cam", FailureClass::Protocol).await;
}
