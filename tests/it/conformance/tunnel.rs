//! RTSP over HTTP for viewers: what players do with it, and what is done with half of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::camera::Camera;
use crate::support::relay::{Relay, relay};
use crate::support::viewer::tunnel::{half, head, say};
use crate::support::viewer::{Ended, Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, within};

async fn scene() -> (Camera, Relay) {
    let camera = Camera::builder().start().await;
    let relay = relay(&camera.url()).await;
    relay.live("cam").await;
    (camera, relay)
}

async fn play(viewer: &mut Viewer) {
    viewer.describe().await.ok();
    viewer.setup_tcp(0).await.ok();
    viewer.play().await.ok();
}

async fn closes(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let _ = within("the connection is closed", PATIENCE, stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Twice its Content-Length is said through one POST: ffmpeg goes on past it.
#[tokio::test]
async fn a_viewer_plays_through_a_get_and_a_post() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "94fdedd356b55327").await;
    play(&mut viewer).await;
    assert_no_gap(&viewer.packets(0, 40).await);
    assert_eq!(relay.metric("fanlight_viewers{stream=\"cam\",transport=\"tcp\"}"), 1.0);
    for _ in 0..400 {
        viewer.get_parameter().await.ok();
    }
    viewer.teardown().await.ok();
}

#[tokio::test]
async fn the_post_may_come_first() {
    let (_camera, relay) = scene().await;
    let post = say(relay.address(), half("POST", "c")).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.send_raw(half("GET", "c")).await;
    viewer.tunnel_opened().await;
    viewer.speak_through(post);
    play(&mut viewer).await;
    viewer.next_frame().await;
}

/// As they were recorded: GStreamer's and live555's heads differ from ffmpeg's.
#[tokio::test]
async fn every_players_halves_are_understood() {
    let (_camera, relay) = scene().await;
    let gstreamer = "Accept: application/x-rtsp-tunnelled\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\
                     Host: 127.0.0.1:32803\r\nDate: Sat, 21 Nov 2026 00:33:24 GMT\r\n\r\n";
    let live555 = "CSeq: 1\r\nUser-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24)\r\nHost: 127.0.0.1\r\n\
                   Accept: application/x-rtsp-tunnelled\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n";
    for fields in [gstreamer, live555] {
        let half = |method| {
            format!("{method} /cam HTTP/1.0\r\nx-sessioncookie: 8e6dea248be087041cd8e91\r\n{fields}")
        };
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        viewer.send_raw(half("GET")).await;
        viewer.tunnel_opened().await;
        viewer.speak_through(say(relay.address(), half("POST")).await);
        play(&mut viewer).await;
        viewer.next_frame().await;
        viewer.teardown().await.ok();
        viewer.finish().await;
        viewer.ended().await;
    }
}

/// The network cuts anywhere, and proxies cut again.
#[tokio::test]
async fn requests_may_be_cut_at_every_letter_of_their_base64() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    let mut post = viewer.speak_through(say(relay.address(), "").await).unwrap();
    let requests = ["OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n", "\r\nOPTIONS * RTSP/1.0\r\nCSeq: 8\r\n\r\n"];
    let encoded: String = requests.iter().map(|write| Viewer::encoded(write.as_bytes())).collect();
    for letter in encoded.as_bytes() {
        post.write_all(&[*letter]).await.unwrap();
        tokio::task::yield_now().await;
    }
    for cseq in ["7", "8"] {
        assert_eq!(viewer.read_answer().await.ok().header("CSeq"), Some(cseq));
    }
}

/// The second POST even begins in the middle of a request, and before the first has ended.
#[tokio::test]
async fn one_post_may_follow_another() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    play(&mut viewer).await;
    viewer.send_raw("OPTIONS * RTSP/1.0\r\nCS").await;
    let second = say(relay.address(), half("POST", "c")).await;
    drop(viewer.speak_through(second));
    viewer.send_raw("eq: 77\r\n\r\n").await;
    assert_eq!(viewer.read_answer().await.ok().header("CSeq"), Some("77"));
    viewer.next_frame().await;
}

/// The POST may go and the pictures stay; with the GET all is over, and the cookie is free again.
#[tokio::test]
async fn the_get_is_the_viewer() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    play(&mut viewer).await;
    drop(viewer.speak_through(say(relay.address(), "").await));
    viewer.packets(0, 40).await;
    viewer.speak_through(say(relay.address(), half("POST", "c")).await);
    viewer.get_parameter().await.ok();
    let mut post = viewer.speak_through(say(relay.address(), "").await).unwrap();
    drop(viewer);
    assert_eq!(closes(&mut post).await, "");
    let viewers = "fanlight_viewers{stream=\"cam\",transport=\"tcp\"}";
    eventually("the viewer has left", PATIENCE, || relay.metric(viewers) == 0.0).await;
    let mut next = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    play(&mut next).await;
}

/// UDP would not find the way through a proxy: the player is led to the tunnel it has.
#[tokio::test]
async fn udp_is_not_offered_through_a_tunnel() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    viewer.describe().await.ok();
    assert_eq!(viewer.setup_udp(0).await.status, 461);
    viewer.setup_tcp(0).await.ok();
}

#[tokio::test]
async fn a_half_that_stays_alone_is_ended() {
    let relay = Relay::builder().settings(|s| s.request_timeout = Duration::from_millis(200)).start().await;
    let mut post = say(relay.address(), half("POST", "a")).await;
    let (status, _) = head(&mut post).await;
    assert_eq!(status, "HTTP/1.1 408 Request Timeout");
    assert!(closes(&mut post).await.contains("no GET came"));
    let mut get = say(relay.address(), half("GET", "b")).await;
    head(&mut get).await;
    closes(&mut get).await;
}

/// A118: the first tunnel goes on.
#[tokio::test]
async fn a_cookie_opens_one_tunnel_only() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    play(&mut viewer).await;
    let mut again = say(relay.address(), half("GET", "c")).await;
    assert_eq!(head(&mut again).await.0, "HTTP/1.1 409 Conflict");
    assert!(closes(&mut again).await.contains("x-sessioncookie"));
    viewer.packets(0, 40).await;
    viewer.get_parameter().await.ok();
}

/// The second POST waits for the first to end, and not for ever.
#[tokio::test]
async fn two_posts_do_not_speak_at_a_time() {
    let camera = Camera::builder().start().await;
    let relay = Relay::builder().camera("cam", &camera.url());
    let relay = relay.settings(|s| s.request_timeout = Duration::from_millis(300)).start().await;
    relay.live("cam").await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    play(&mut viewer).await;
    let mut second = say(relay.address(), half("POST", "c") + "T1BUSU9OUyAq").await;
    assert_eq!(head(&mut second).await.0, "HTTP/1.1 409 Conflict");
    viewer.get_parameter().await.ok();
    viewer.next_frame().await;
}

/// Somebody else's POST says nothing in this tunnel: it waits for a GET of its own address.
#[tokio::test]
async fn another_address_has_another_tunnel() {
    let relay = Relay::builder().settings(|s| s.request_timeout = Duration::from_millis(200)).start().await;
    let mut viewer = Viewer::connect_from([127, 0, 0, 2].into(), relay.address()).await;
    viewer.send_raw(half("GET", "c")).await;
    viewer.tunnel_opened().await;
    let mut post = say(relay.address(), half("POST", "c")).await;
    assert_eq!(head(&mut post).await.0, "HTTP/1.1 408 Request Timeout");
}

/// B04, CVE-2019-6256: both halves on one connection, at once or one after the other.
#[tokio::test]
async fn both_halves_on_one_connection_are_refused() {
    let (_camera, relay) = scene().await;
    let mut at_once = say(relay.address(), half("GET", "a") + &half("POST", "a")).await;
    assert_eq!(head(&mut at_once).await.0, "HTTP/1.1 400 Bad Request");
    closes(&mut at_once).await;
    let mut later = say(relay.address(), half("GET", "b")).await;
    assert_eq!(head(&mut later).await.0, "HTTP/1.0 200 OK");
    later.write_all(half("POST", "b").as_bytes()).await.unwrap();
    assert_eq!(closes(&mut later).await, "");
}

#[tokio::test]
async fn what_is_not_base64_ends_its_post() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    let mut post = viewer.speak_through(say(relay.address(), "").await).unwrap();
    post.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
    assert_eq!(head(&mut post).await.0, "HTTP/1.1 400 Bad Request");
    assert!(closes(&mut post).await.contains("base64"));
    viewer.speak_through(say(relay.address(), half("POST", "c")).await);
    viewer.describe().await.ok();
}

/// A30: in words, since it is somebody with a browser.
#[tokio::test]
async fn http_that_is_no_tunnel_is_told_what_this_port_is() {
    let relay = Relay::builder().start().await;
    let long = "a".repeat(129);
    for (request, status, words) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "400 Bad Request", "speaks RTSP"),
        ("POST /cam HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "400 Bad Request", "speaks RTSP"),
        ("HEAD / HTTP/1.1\r\n\r\n".to_owned(), "405 Method Not Allowed", "speaks RTSP"),
        ("OPTIONS * HTTP/1.1\r\n\r\n".to_owned(), "405 Method Not Allowed", "speaks RTSP"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), "400 Bad Request", "cannot be read"),
        (format!("GET / HTTP/1.1\r\nx-sessioncookie: {long}\r\n\r\n"), "400 Bad Request", "128 bytes"),
        (
            "GET / HTTP/1.1\r\nx-sessioncookie: a\r\nx-sessioncookie: a\r\n\r\n".to_owned(),
            "400 Bad Request",
            "one x-sessioncookie",
        ),
    ] {
        let mut stream = say(relay.address(), &request).await;
        let (first, fields) = head(&mut stream).await;
        assert_eq!(first, format!("HTTP/1.1 {status}"), "{request:?}");
        assert_eq!(fields.contains("Allow: GET, POST\r\n"), status.starts_with("405"), "{request:?}");
        let body = closes(&mut stream).await;
        assert!(body.contains(words), "{request:?}: {body}");
    }
}

/// Two connections a viewer: the limit of an address holds for halves as well.
#[tokio::test]
async fn halves_count_as_connections() {
    let relay = Relay::builder().settings(|s| s.capacity.connections_per_address = 2).start().await;
    let mut viewer = Viewer::open_tunnelled(&relay.url("cam"), "c").await;
    viewer.options().await.ok();
    let mut third = Viewer::connect(relay.address()).await;
    assert!(matches!(third.ended().await.0, Ended::Closed | Ended::Reset));
}
