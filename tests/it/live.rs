//! Live pictures for browsers: a WebSocket whose messages are what an RTSP viewer over TCP gets, and JPEG over HTTP.

use std::time::Duration;

use fanlight::config::FastStart;
use fanlight::vocabulary::Disconnect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::audio::Audio;
use crate::support::camera::Camera;
use crate::support::relay::{Relay, camera_settings, relay};
use crate::support::rtp::Rtp;
use crate::support::websocket::{Message, WebSocket};
use crate::support::{PATIENCE, eventually, tls, within};

/// A camera with sound whose frames come when they are asked for.
async fn scene(start: FastStart) -> (Camera, Relay) {
    let camera = Camera::builder().gop(10).audio(Audio::Pcmu).manual().start().await;
    let mut settings = camera_settings(&camera.url());
    settings.viewing.fast_start = start;
    let relay = Relay::builder().stream("cam", settings).start().await;
    camera.playing().await;
    camera.frames(13).await;
    relay.published("cam", 13).await;
    (camera, relay)
}

/// The numbers of the next frames.
async fn frames(browser: &mut WebSocket, count: usize) -> (Vec<u32>, Vec<Rtp>) {
    let (mut numbers, mut packets) = (Vec::new(), Vec::new());
    while numbers.len() < count {
        for (channel, packet) in browser.packets().await {
            assert!(channel == 0 || channel == 2);
            if channel == 0 {
                numbers.extend(packet.stamp().filter(|_| packet.marker).map(|stamp| stamp.frame));
                packets.push(packet);
            }
        }
    }
    (numbers, packets)
}

#[tokio::test]
async fn a_browser_gets_the_tracks_then_the_pictures_since_the_key_frame_and_then_what_comes() {
    let (camera, relay) = scene(FastStart::LiveEdge).await;
    let mut browser = WebSocket::watch(relay.web_address(), "cam", "").await;
    let Some(Message::Text(hello)) = browser.next().await else { panic!("text comes first") };
    assert_eq!(hello["stream"], "cam");
    let tracks = hello["tracks"].as_array().unwrap();
    let words = |track: usize| {
        ["id", "kind", "codec", "encoding", "clock_rate"].map(|key| tracks[track][key].to_string())
    };
    assert_eq!(words(0), ["0", "\"video\"", "\"h264\"", "\"H264\"", "90000"]);
    assert_eq!(words(1), ["1", "\"audio\"", "\"audio\"", "\"PCMU\"", "8000"]);
    assert_eq!(tracks[0]["codec_string"], "avc1.4D002A");
    assert_eq!(tracks[0]["parameter_sets"].as_array().unwrap().len(), 2);
    let (cached, first) = frames(&mut browser, 3).await;
    assert_eq!(cached, [10, 11, 12], "at once: the camera sends nothing meanwhile");
    camera.frames(2).await;
    let (live, then) = frames(&mut browser, 2).await;
    assert_eq!(live, [13, 14]);
    let sequences: Vec<u16> = first.iter().chain(&then).map(|packet| packet.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{sequences:?}");
    assert_eq!(relay.metric("fanlight_viewers{stream=\"cam\",transport=\"websocket\"}"), 1.0);
    assert_eq!(relay.metric("fanlight_connections{transport=\"tcp\"}"), 0.0, "it is none of RTSP over TCP");
    let viewers = relay.stream("cam").viewers();
    assert_eq!((viewers.len(), viewers[0].transport.as_str()), (1, "websocket"));
}

/// The keys of the connection go with it from the sidecar to the worker that sends.
#[tokio::test]
async fn a_browser_over_tls_gets_the_same() {
    for versions in tls::EACH {
        let camera = Camera::builder().gop(10).manual().start().await;
        let mut settings = camera_settings(&camera.url());
        settings.viewing.fast_start = FastStart::LiveEdge;
        let relay = Relay::builder().stream("cam", settings).tls("localhost").start().await;
        camera.playing().await;
        camera.frames(13).await;
        relay.published("cam", 13).await;
        let proxy = tls::Proxy::start(relay.web_tls_address(), versions).await;
        let mut browser = WebSocket::watch(proxy.address(), "cam", "").await;
        assert_eq!(browser.text().await["stream"], "cam");
        assert_eq!(frames(&mut browser, 3).await.0, [10, 11, 12]);
        camera.frames(2).await;
        assert_eq!(frames(&mut browser, 2).await.0, [13, 14]);
        browser.send(0x88, &1000u16.to_be_bytes()).await;
        assert_eq!(browser.closed().await.0, 1000);
        eventually("it is gone", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
    }
}

#[tokio::test]
async fn a_burst_is_one_message_whose_reports_stand_in_front() {
    let (camera, relay) = scene(FastStart::Off).await;
    let mut browser = WebSocket::watch(relay.web_address(), "cam", "?audio=none").await;
    assert_eq!(browser.text().await["tracks"].as_array().unwrap().len(), 1);
    eventually("it plays", PATIENCE, || !relay.stream("cam").viewers().is_empty()).await;
    camera.force_key_frame();
    camera.frames(1).await;
    let Some(Message::Packets(packets)) = browser.next().await else { panic!("packets") };
    let channels: Vec<u8> = packets.iter().map(|(channel, _)| *channel).collect();
    assert_eq!(channels.iter().filter(|channel| **channel == 0).count(), channels.len() - 1, "no sound");
    assert!(packets.iter().any(|(channel, packet)| *channel == 1 && packet[1] == 200), "a sender report");
}

#[tokio::test]
async fn a_browser_pauses_and_plays_on_at_a_key_frame_without_a_gap() {
    let (camera, relay) = scene(FastStart::LiveEdge).await;
    let mut browser = WebSocket::watch(relay.web_address(), "cam", "?video").await;
    let (_, before) = frames(&mut browser, 3).await;
    browser.say(r#"{"do":"pause"}"#).await;
    browser.say(r#"{"ping":7.5}"#).await;
    let pong = browser.text().await;
    assert_eq!(pong["pong"], 7.5);
    camera.frames(10).await;
    relay.published("cam", 23).await;
    browser.say(r#"{"ping":8}"#).await;
    assert!(matches!(browser.next().await, Some(Message::Text(_))), "nothing comes in between");
    let viewers = relay.stream("cam").viewers();
    assert!(relay.stream("cam").lag(&viewers[0]).is_none(), "it is listed as one that pauses");
    browser.say(r#"{"do":"play"}"#).await;
    let (numbers, after) = frames(&mut browser, 3).await;
    assert_eq!(numbers, [20, 21, 22]);
    assert_eq!(after[0].sequence, before.last().unwrap().sequence.wrapping_add(1));
    browser.say(r#"{"do":"pause"}"#).await;
    viewers[0].kick(Disconnect::Kicked);
    assert_eq!(browser.closed().await.0, 1008, "also while it pauses");
}

#[tokio::test]
async fn pings_are_answered_and_a_goodbye_is_too() {
    let (_camera, relay) = scene(FastStart::Off).await;
    let mut browser = WebSocket::watch(relay.web_address(), "cam", "").await;
    browser.text().await;
    // In two pieces, and with a ping between them.
    browser.send(0x01, br#"{"pi"#).await;
    browser.send(0x89, b"there?").await;
    browser.send(0x80, br#"ng":1}"#).await;
    assert_eq!(browser.next().await, Some(Message::Pong(b"there?".to_vec())));
    assert_eq!(browser.text().await["pong"], 1.0);
    browser.send(0x88, &1000u16.to_be_bytes()).await;
    assert_eq!(browser.closed().await.0, 1000);
    eventually("it has left", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
    assert_eq!(relay.metric("fanlight_viewer_disconnects_total{reason=\"teardown\",stream=\"cam\"}"), 1.0);
}

#[tokio::test]
async fn what_is_no_frame_of_a_browser_ends_it_with_the_code_that_says_why() {
    let (_camera, relay) = scene(FastStart::Off).await;
    let long = vec![b' '; 4097];
    for (first, payload, code) in [
        (0x82, &b"binary"[..], 1003),
        (0x80, b"continues nothing", 1002),
        (0xC1, b"compressed", 1002),
        (0x81, b"no JSON", 1007),
        (0x81, &long, 1009),
    ] {
        let mut browser = WebSocket::watch(relay.web_address(), "cam", "").await;
        browser.send(first, payload).await;
        assert_eq!(browser.closed().await.0, code, "{first:x}");
    }
    let mut browser = WebSocket::watch(relay.web_address(), "cam", "").await;
    browser.socket.write_all(b"\x81\x05hello").await.unwrap();
    assert_eq!(browser.closed().await.0, 1002, "not masked");
}

#[tokio::test]
async fn the_operator_and_the_end_of_the_relay_are_told_in_words() {
    let (_camera, relay) = scene(FastStart::Off).await;
    let mut browsers = Vec::new();
    for _ in 0..2 {
        let mut browser = WebSocket::watch(relay.web_address(), "cam", "").await;
        browser.text().await;
        browsers.push(browser);
    }
    eventually("both play", PATIENCE, || relay.stream("cam").viewers().len() == 2).await;
    relay.stream("cam").viewers()[0].kick(Disconnect::Kicked);
    let mut reasons = vec![browsers[0].closed().await];
    drop(browsers.remove(0));
    relay.shutdown(Duration::from_secs(5)).await;
    reasons.push(browsers[0].closed().await);
    reasons.sort();
    let expected =
        [(1001, "the relay is stopping".to_owned()), (1008, "disconnected by the operator".to_owned())];
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_by_the_closing_frame() {
    let dead = Relay::builder()
        .camera("cam", "rtsp://127.0.0.1:1/none")
        .settings(|settings| settings.describe_timeout = Duration::from_millis(100))
        .start()
        .await;
    let (code, words) = WebSocket::watch(dead.web_address(), "cam", "").await.closed().await;
    assert_eq!(code, 1013, "{words}");
    assert!(words.starts_with("the source is not available: "), "{words}");
    let (_camera, relay) = scene(FastStart::Off).await;
    let (code, words) = WebSocket::watch(relay.web_address(), "cam", "?video=av1").await.closed().await;
    assert_eq!((code, words.as_str()), (1008, "it has no such track"));
    let busy = Camera::builder().start().await;
    let full = Relay::builder().camera("cam", &busy.url());
    let full = full.settings(|settings| settings.capacity.connections_per_address = 1).start().await;
    let mut first = WebSocket::watch(full.web_address(), "cam", "").await;
    first.text().await;
    let (code, words) = WebSocket::watch(full.web_address(), "cam", "").await.closed().await;
    assert_eq!((code, words.as_str()), (1013, "too many viewers: rtsp.max_connections_per_address is 1"));
}

#[tokio::test]
async fn who_may_not_watch_gets_no_websocket() {
    let camera = Camera::builder().start().await;
    let rules = "users: {ann: {password: tortoise}}\naccess: [{streams: [open], allow: watch}]\n";
    let relay = Relay::builder()
        .camera("cam", &camera.url())
        .camera("open", &camera.url())
        .access(rules)
        .start()
        .await;
    let address = relay.web_address();
    let ask = async |path: &str, headers: &str| {
        WebSocket::ask(address, path, headers).await.map(drop).map_err(|refused| refused.status)
    };
    let (cam, open) = ("/api/v1/streams/cam/live", "/api/v1/streams/open/live");
    assert_eq!(ask(cam, "").await, Err(401));
    // ann:tortoise
    assert_eq!(ask(cam, "Authorization: Basic YW5uOnRvcnRvaXNl\r\n").await, Ok(()));
    assert_eq!(ask(open, "").await, Ok(()));
    assert_eq!(ask(open, "Origin: http://evil.example\r\n").await, Err(403));
    assert_eq!(ask(open, &format!("Origin: http://{address}\r\n")).await, Ok(()));
    assert_eq!(ask("/api/v1/streams/none/live", "Authorization: Basic YW5uOnRvcnRvaXNl\r\n").await, Err(404));
}

#[tokio::test]
async fn a_browser_that_reads_nothing_holds_nobody_up_and_goes() {
    let camera = Camera::builder().gop(5).packet_size(1200).start().await;
    let mut settings = camera_settings(&camera.url());
    settings.viewing.max_lag = Duration::from_millis(300);
    let relay = Relay::builder()
        .stream("cam", settings)
        .settings(|settings| settings.write_timeout = Duration::from_secs(1))
        .start()
        .await;
    relay.live("cam").await;
    let stuck = WebSocket::watch(relay.web_address(), "cam", "").await;
    let small = socket2::SockRef::from(&stuck.socket).set_recv_buffer_size(4096);
    small.unwrap();
    let mut good = WebSocket::watch(relay.web_address(), "cam", "").await;
    frames(&mut good, 5).await;
    let gone = "fanlight_viewer_disconnects_total{reason=\"write_timeout\",stream=\"cam\"}";
    let left = async {
        while relay.metric(gone) < 1.0 {
            frames(&mut good, 1).await;
        }
    };
    within("the one that reads nothing is gone", 4 * PATIENCE, left).await;
    drop(stuck);
}

/// A request by hand, and what comes back until there is enough.
async fn get(relay: &Relay, path: &str, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut socket = TcpStream::connect(relay.web_address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async { while !enough(&answer) && socket.read_buf(&mut answer).await.unwrap() > 0 {} };
    within("enough", PATIENCE, read).await;
    answer
}

#[tokio::test]
async fn a_jpeg_stream_is_shown_as_pictures_by_plain_http() {
    let camera = Camera::builder().jpeg(25).start().await;
    let relay = relay(&camera.url()).await;
    relay.live("cam").await;
    let still = get(&relay, "/api/v1/streams/cam/snapshot.jpg", |_| false).await;
    let start = still.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&still[..start]).contains("content-type: image/jpeg"));
    assert!(still[start..].starts_with(&[0xFF, 0xD8]) && still.ends_with(&[0xFF, 0xD9]), "a whole picture");
    let parts =
        |answer: &[u8]| answer.windows(20).filter(|bytes| *bytes == b"\r\n--fanlight-picture").count();
    let moving = get(&relay, "/api/v1/streams/cam/mjpeg", |answer| parts(answer) >= 3).await;
    let text = String::from_utf8_lossy(&moving);
    assert!(text.contains("multipart/x-mixed-replace; boundary=fanlight-picture"), "{text}");
    assert_eq!(relay.metric("fanlight_viewer_sessions_total{stream=\"cam\",transport=\"http\"}"), 1.0);
    eventually("it has left", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
}

#[tokio::test]
async fn a_stream_without_jpeg_says_what_it_has() {
    let (_camera, relay) = scene(FastStart::Off).await;
    for part in ["snapshot.jpg", "mjpeg"] {
        let answer = get(&relay, &format!("/api/v1/streams/cam/{part}"), |_| false).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("cam has no JPEG pictures, but h264, audio"), "{answer}");
    }
}
