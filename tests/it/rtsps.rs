//! RTSP over TLS: the same server behind another door.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::camera::Camera;
use crate::support::relay::{Relay, camera_settings};
use crate::support::tls::{self, ANY, EACH, Proxy};
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, within};

async fn scene() -> (Camera, Relay) {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let relay = Relay::builder().camera("cam", &camera.url()).tls("one.test").start().await;
    relay.live("cam").await;
    (camera, relay)
}

const VIEWERS: &str = "fanlight_viewers{stream=\"cam\",transport=\"tls\"}";
const CONNECTIONS: &str = "fanlight_connections{transport=\"tls\"}";
const FAILED: &str = "fanlight_tls_handshake_failures_total";

#[tokio::test]
async fn viewers_play_over_either_version_and_are_counted_as_what_they_are() {
    let (_camera, relay) = scene().await;
    for versions in EACH {
        let proxy = Proxy::start(relay.tls_address(), versions).await;
        let (mut viewer, _) = Viewer::play_tcp(&proxy.url("cam")).await;
        assert_no_gap(&viewer.packets(0, 60).await);
        assert_eq!((relay.metric(VIEWERS), relay.metric(CONNECTIONS)), (1.0, 1.0));
        viewer.teardown().await.ok();
        drop(viewer);
        eventually("it is gone", PATIENCE, || relay.metric(CONNECTIONS) == 0.0).await;
        assert_eq!(relay.metric(VIEWERS), 0.0);
    }
    assert_eq!(relay.metric("fanlight_viewers{stream=\"cam\",transport=\"tcp\"}"), 0.0);
    assert!(relay.metric("fanlight_viewer_sent_packets_total{stream=\"cam\",transport=\"tls\"}") >= 120.0);
    assert_eq!(relay.metric(FAILED), 0.0);
}

#[tokio::test]
async fn a_viewer_over_tls_1_2_gets_keys_that_last() {
    let (_camera, relay) = scene().await;
    let mut chosen = Vec::new();
    for versions in EACH {
        let stream = tls::connect(relay.tls_address(), versions).await.unwrap();
        chosen.push(format!("{:?}", stream.get_ref().1.negotiated_cipher_suite().unwrap().suite()));
    }
    let expected = ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS13_AES_128_GCM_SHA256"];
    assert_eq!(chosen, expected, "AES-GCM of TLS 1.2 ends after 2^23 records");
}

#[tokio::test]
async fn media_never_leaves_the_connection_in_the_clear() {
    let (_camera, relay) = scene().await;
    let proxy = Proxy::start(relay.tls_address(), ANY).await;
    let mut viewer = Viewer::open(&proxy.url("cam")).await;
    viewer.describe().await.ok();
    assert_eq!(viewer.setup_udp(0).await.status, 461);
    let both = "RTP/AVP;unicast;client_port=40000-40001,RTP/AVP/TCP;unicast;interleaved=0-1";
    let answer = viewer.setup(0, both).await;
    assert!(answer.header("Transport").unwrap().starts_with("RTP/AVP/TCP"), "{answer:?}");
    viewer.play().await.ok();
    viewer.packets(0, 3).await;
}

#[tokio::test]
async fn the_base_of_a_description_is_the_one_that_was_asked_for() {
    let (_camera, relay) = scene().await;
    let proxy = Proxy::start(relay.tls_address(), ANY).await;
    let mut viewer = Viewer::open(&proxy.url("cam")).await;
    viewer.url = "rtsps://relay.test:8322/cam".to_owned();
    viewer.describe().await.ok();
    assert_eq!(viewer.base, "rtsps://relay.test:8322/cam/");
}

#[tokio::test]
async fn basic_is_offered_where_nobody_can_listen() {
    let camera = Camera::builder().h264(50).start().await;
    let users = "users: {ann: {password: correct horse}}\nlogin: {delay: 0s}\n";
    let relay = Relay::builder().camera("cam", &camera.url()).access(users).tls("one.test").start().await;
    relay.live("cam").await;
    let proxy = Proxy::start(relay.tls_address(), ANY).await;
    let mut viewer = Viewer::open(&proxy.url("cam")).await;
    let refused = viewer.describe().await;
    assert_eq!(refused.status, 401);
    let offered = |answer: &crate::support::viewer::Answer| {
        answer.headers.iter().any(|(name, value)| name == "WWW-Authenticate" && value.starts_with("Basic "))
    };
    assert!(offered(&refused), "{refused:?}");
    viewer.headers.push(("Authorization".to_owned(), "Basic YW5uOmNvcnJlY3QgaG9yc2U=".to_owned()));
    viewer.describe().await.ok();
    let mut plain = Viewer::open(&relay.url("cam")).await;
    assert!(!offered(&plain.describe().await));
}

#[tokio::test]
async fn another_certificate_is_for_new_connections_and_nobody_in_play_notices() {
    let (_camera, relay) = scene().await;
    let proxy = Proxy::start(relay.tls_address(), ANY).await;
    let (mut viewer, _) = Viewer::play_tcp(&proxy.url("cam")).await;
    let before = tls::shown(&tls::connect(relay.tls_address(), ANY).await.unwrap());
    relay.certificates().replace(&tls::identity("two.test")).unwrap();
    for versions in EACH {
        let after = tls::shown(&tls::connect(relay.tls_address(), versions).await.unwrap());
        assert_ne!(before, after);
    }
    assert_no_gap(&viewer.packets(0, 60).await);
    assert_eq!(relay.metric(VIEWERS), 1.0);
}

/// A25, B28.
#[tokio::test]
async fn the_wrong_language_at_a_door_ends_soon_and_harms_nobody() {
    let (_camera, relay) = scene().await;
    let (mut watching, _) = Viewer::play_tcp(&relay.url("cam")).await;
    // RTSP at the door for TLS, and TLS at the door for RTSP, with everything in between.
    let rtsp = b"OPTIONS rtsp://relay/ RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0x5A; 507]].concat();
    for (address, bytes) in [(relay.tls_address(), rtsp), (relay.address(), hello)] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = within("the connection ends", PATIENCE, socket.read_to_end(&mut answer)).await;
        read.expect("in order, not with a reset");
        assert!(!answer.starts_with(b"RTSP"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(relay.metric(FAILED), 1.0);
    assert!(tls::connect(relay.address(), ANY).await.is_err());
    assert_no_gap(&watching.packets(0, 10).await);
    assert_eq!(relay.metric("fanlight_task_panics_total"), 0.0);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_not_waited_for() {
    let camera = Camera::builder().h264(50).start().await;
    let builder = Relay::builder().camera("cam", &camera.url()).tls("one.test");
    let relay =
        builder.settings(|settings| settings.request_timeout = Duration::from_millis(200)).start().await;
    let mut socket = TcpStream::connect(relay.tls_address()).await.unwrap();
    socket.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let _ = within("the connection ends", PATIENCE, read).await; // with or without a reset
    eventually("it is counted", PATIENCE, || relay.metric(FAILED) == 1.0).await;
}

#[tokio::test]
async fn requests_are_read_however_they_lie_in_records() {
    let (_camera, relay) = scene().await;
    let url = relay.url("cam");
    let describe = |cseq: u32| format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n");
    let mut stream = tls::connect(relay.tls_address(), ANY).await.unwrap();
    let mut answers = String::new();
    let mut read_until = async |stream: &mut tokio_rustls::client::TlsStream<TcpStream>, what: &str| {
        let mut chunk = [0; 4096];
        while !answers.contains(what) {
            let length = within(what, PATIENCE, stream.read(&mut chunk)).await.unwrap();
            assert!(length > 0, "closed before {what}");
            answers.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    };
    // Many in one record, with the end of the last one in another.
    let many: String = (1..=40).map(describe).collect();
    let (most, rest) = many.split_at(many.len() - 7);
    stream.write_all(most.as_bytes()).await.unwrap();
    read_until(&mut stream, "CSeq: 39\r\n").await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    read_until(&mut stream, "CSeq: 40\r\n").await;
    // One in many.
    for byte in describe(41).bytes() {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    read_until(&mut stream, "CSeq: 41\r\n").await;
    // And one behind which the end comes at once: it is answered all the same.
    stream.write_all(describe(42).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    read_until(&mut stream, "CSeq: 42\r\n").await;
    let ended = within("it ends in order", PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    ended.expect("close_notify before the end");
}

#[tokio::test]
async fn who_reads_in_fits_and_starts_gets_every_byte_in_order() {
    let camera = Camera::builder().gop(10).packets_per_frame(1).packet_size(10_000).manual().start().await;
    let relay = Relay::builder().stream("cam", camera_settings(&camera.url())).tls("one.test").start().await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    let proxy = Proxy::start(relay.tls_address(), ANY).await;
    let mut slow = Viewer::play_narrow(&proxy.url("cam")).await;
    let mut packets = Vec::new();
    for _ in 0..3 {
        // More than all buffers on the way hold, but for the ring.
        camera.frames(150).await;
        packets.extend(slow.packets(0, 140).await);
    }
    assert_no_gap(&packets);
    assert_eq!(relay.stream("cam").viewers()[0].skipped(), 0);
}

#[tokio::test]
async fn who_takes_nothing_for_the_write_timeout_is_disconnected() {
    let camera = Camera::builder().gop(10).packets_per_frame(1).packet_size(10_000).manual().start().await;
    let relay = Relay::builder()
        .stream("cam", camera_settings(&camera.url()))
        .settings(|settings| settings.write_timeout = Duration::from_millis(500))
        .tls("one.test")
        .start()
        .await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    let proxy = Proxy::start(relay.tls_address(), ANY).await;
    let _slow = Viewer::play_narrow(&proxy.url("cam")).await;
    let (mut quick, _) = Viewer::play_tcp(&proxy.url("cam")).await;
    camera.frames(9).await;
    let closed = "fanlight_viewer_disconnects_total{reason=\"write_timeout\",stream=\"cam\"}";
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    while relay.metric(closed) == 0.0 {
        camera.frame().await;
        quick.next_frame().await;
        assert!(tokio::time::Instant::now() < deadline, "it is still there");
    }
    eventually("one viewer is left", PATIENCE, || relay.metric(VIEWERS) == 1.0).await;
}
