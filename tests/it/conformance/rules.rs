//! Cases a2: what holds for every request.

use super::{assert_closed, assert_usable, bring_to, described, ready, scene};
use crate::support::camera::Camera;
use crate::support::relay::Relay;
use crate::support::viewer::{Viewer, assert_no_gap};

const PUBLIC: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

async fn bare() -> (Relay, Viewer) {
    let relay = Relay::builder().start().await;
    let viewer = Viewer::connect(relay.address()).await;
    (relay, viewer)
}

/// A31, A33: echoed byte for byte, in whatever order they come.
#[tokio::test]
async fn a_cseq_is_echoed_as_it_was_written() {
    let (_relay, mut viewer) = bare().await;
    for cseq in ["0", "2", "1102", "0007", "4294967295", "5", "5", "4", "0"] {
        viewer.send_raw(format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n")).await;
        assert_eq!(viewer.read_answer().await.ok().header("CSeq"), Some(cseq));
    }
}

/// A32. Decided: 400 without a CSeq, and the connection stays: where the request ends is known.
#[tokio::test]
async fn a_request_without_a_usable_cseq_is_refused() {
    let (_relay, mut viewer) = bare().await;
    for line in ["", "CSeq:\r\n", "CSeq: abc\r\n", "CSeq: 4294967296\r\n", "CSeq: -1\r\n"] {
        viewer.send_raw(format!("OPTIONS * RTSP/1.0\r\n{line}\r\n")).await;
        let answer = viewer.read_answer().await;
        assert_eq!((answer.status, answer.header("CSeq")), (400, None), "{line:?}");
        assert_usable(&mut viewer).await;
    }
}

/// A34, A35. Decided: 501 for a method nobody knows, 405 with `Allow` for one that this server does not serve.
#[tokio::test]
async fn methods_that_are_not_served_are_named_so() {
    let (_relay, mut viewer) = bare().await;
    assert_eq!(viewer.request("FOO", "*", &[]).await.status, 501);
    for method in ["ANNOUNCE", "RECORD", "REDIRECT"] {
        let answer = viewer.request(method, "/cam", &[]).await;
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(PUBLIC)), "{method}");
    }
    assert_usable(&mut viewer).await;
}

/// A36, A37, A38. Decided: no option is supported, so all that are asked for are listed.
#[tokio::test]
async fn an_option_that_is_required_is_refused_and_nothing_changes() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    let url = viewer.control(0);
    let transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");
    for (require, unsupported) in [
        (&[("Require", "foo-bar")][..], "foo-bar"),
        (&[("Require", "play.basic, foo")][..], "play.basic, foo"),
        (&[("Require", "a"), ("Require", "b")][..], "a, b"),
        (&[("Proxy-Require", "x")][..], "x"),
    ] {
        let headers = [require, &[transport]].concat();
        let answer = viewer.request("SETUP", &url, &headers).await;
        assert_eq!((answer.status, answer.header("Unsupported")), (551, Some(unsupported)));
        assert_eq!(answer.header("Session"), None);
    }
    let answer = viewer.request("SETUP", &url, &[transport]).await.ok();
    assert_eq!(answer.transport("interleaved"), Some("0-1"));
}

/// A39.
#[tokio::test]
async fn a_timestamp_is_echoed() {
    let (_relay, mut viewer) = bare().await;
    let answer = viewer.request("OPTIONS", "*", &[("Timestamp", "5.5")]).await.ok();
    assert_eq!(answer.header("Timestamp"), Some("5.5"));
    let answer = viewer.request("DESCRIBE", "/nothing", &[("Timestamp", "6")]).await;
    assert_eq!((answer.status, answer.header("Timestamp")), (404, Some("6")));
}

/// A40, also when the viewer plays.
#[tokio::test]
async fn a_connection_is_closed_when_the_client_asks_for_it() {
    let (_relay, mut viewer) = bare().await;
    let answer = viewer.request("OPTIONS", "*", &[("Connection", "keep-alive, Close")]).await.ok();
    assert_eq!(answer.header("Connection"), Some("close"));
    assert_closed(&mut viewer).await;

    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    let url = viewer.url.clone();
    viewer.request("TEARDOWN", &url, &[("connection", "close")]).await.ok();
    assert_closed(&mut viewer).await;
}

/// A41, A43, A44. Decided: a path without scheme and host is served.
#[tokio::test]
async fn a_url_that_is_none_of_ours_is_refused() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::connect(relay.address()).await;
    for (url, status) in [
        ("*", 400),
        ("http://127.0.0.1/cam", 400),
        ("foopy://padoop/", 400),
        ("rtsp:cam", 400),
        ("rtsp://127.0.0.1/cam#a", 400),
        ("rtsp://127.0.0.1:99999/cam", 400),
        ("rtsp://[::1/cam", 400),
        ("/cam", 200),
        ("cam", 200),
        ("/other", 404),
    ] {
        assert_eq!(viewer.request("DESCRIBE", url, &[]).await.status, status, "{url}");
    }
    let answer = viewer.request("DESCRIBE", "/cam", &[]).await.ok();
    let base = format!("rtsp://{}/cam/", relay.address());
    assert_eq!(answer.header("Content-Base"), Some(base.as_str()));
}

/// A42.
#[tokio::test]
async fn options_for_the_server_itself_say_what_it_can() {
    let (_relay, mut viewer) = bare().await;
    assert_eq!(viewer.request("OPTIONS", "*", &[]).await.ok().header("Public"), Some(PUBLIC));
}

/// A45.
#[tokio::test]
async fn credentials_in_a_url_are_not_repeated() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.url = relay.url("cam").replace("rtsp://", "rtsp://ann:hunter2@");
    let answer = viewer.describe().await.ok();
    assert!(!format!("{answer:?}").contains("hunter2") && !answer.text().contains("hunter2"));
    assert_eq!(answer.header("Content-Base"), Some(format!("{}/", relay.url("cam")).as_str()));
    // Hikvision's way: the credentials stay in every URL.
    viewer.base = format!("{}/", viewer.url);
    viewer.setup_tcp(0).await.ok();
    let answer = viewer.play().await.ok();
    assert_eq!(answer.rtp_info()[0].url, format!("{}/trackID=0", relay.url("cam")));
}

/// A46. A name is decoded once: `%2520` is a `%20` in the name.
#[tokio::test]
async fn a_name_may_hold_what_urls_escape() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let mut builder = Relay::builder();
    for name in ["a b", "c/d#1", "gård", "e%20f"] {
        builder = builder.camera(name, &camera.url());
    }
    let relay = builder.start().await;
    for (path, status) in [
        ("a%20b", 200),
        ("c%2Fd%231", 200),
        ("c/d%231", 200),
        ("g%C3%A5rd", 200),
        ("gård", 200),
        ("e%2520f", 200),
        ("e%20f", 404),
    ] {
        let mut viewer = Viewer::open(&relay.url(path)).await;
        assert_eq!(viewer.describe().await.status, status, "{path}");
        if status == 200 {
            viewer.setup_tcp(0).await.ok();
            viewer.play().await.ok();
            viewer.next_rtp(0).await;
        }
    }
    let mut viewer = Viewer::connect(relay.address()).await;
    let answer = viewer.request("DESCRIBE", "rtsp://[fe80::1%25eth0]:8554/a%20b", &[]).await.ok();
    assert_eq!(answer.header("Content-Base"), Some("rtsp://[fe80::1%25eth0]:8554/a%20b/"));
}

/// A47. Whatever name the client has for us is the one we answer with.
#[tokio::test]
async fn the_host_of_a_url_is_the_client_s_business() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::connect(relay.address()).await;
    viewer.url = "rtsp://cameras.example.org:1554/cam".into();
    let answer = viewer.describe().await.ok();
    assert_eq!(answer.header("Content-Base"), Some("rtsp://cameras.example.org:1554/cam/"));
    viewer.setup_tcp(0).await.ok();
    let answer = viewer.play().await.ok();
    assert_eq!(answer.rtp_info()[0].url, "rtsp://cameras.example.org:1554/cam/trackID=0");
    viewer.next_rtp(0).await;
}

/// A48. Decided: served, and answered in the client's words, since whoever sends it to the plain port is behind
/// something that ended TLS.
#[tokio::test]
async fn an_rtsps_url_is_served_on_a_plain_connection() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.url = relay.url("cam").replace("rtsp:", "rtsps:");
    let answer = viewer.describe().await.ok();
    assert_eq!(answer.header("Content-Base"), Some(format!("{}/", viewer.url).as_str()));
    let track = format!("{}/trackID=0", viewer.url);
    viewer.request("SETUP", &track, &[("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")]).await.ok();
}

/// A49.
#[tokio::test]
async fn options_change_nothing_in_any_state() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for state in ["init", "ready", "playing"] {
        bring_to(&mut viewer, state).await;
        for url in [viewer.url.clone(), viewer.base.clone(), "*".into()] {
            assert_eq!(
                viewer.request("OPTIONS", &url, &[]).await.ok().header("Public"),
                Some(PUBLIC),
                "{state}"
            );
        }
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A50. An empty `Session` header names none, and is as good as none (A10).
#[tokio::test]
async fn a_session_that_does_not_exist_is_not_found() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    let url = viewer.url.clone();
    for method in ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "PLAY", "PAUSE", "TEARDOWN", "SETUP"] {
        let url = if method == "SETUP" { viewer.control(0) } else { url.clone() };
        let headers = [("Session", "0123456789ABCDEF"), ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")];
        assert_eq!(viewer.request(method, &url, &headers).await.status, 454, "{method}");
    }
    viewer.request("OPTIONS", &url, &[("Session", "")]).await.ok();
    let track = viewer.control(0);
    let headers = [("Session", ""), ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")];
    viewer.request("SETUP", &track, &headers).await.ok();
}
