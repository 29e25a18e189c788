//! Hostile input: inputs of other servers' fuzzers, and the shapes of published flaws, sent to a relay with a viewer in
//! play. The relay lives, the viewer misses nothing, and nothing is left behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{described, scene, scene_of};
use crate::support::relay::Relay;
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, within};

/// Sends `bytes` on a connection of its own, says that this was all, and waits until the server has closed.
async fn attack(relay: &Relay, bytes: &[u8]) {
    let mut viewer = Viewer::connect(relay.address()).await;
    viewer.send_anyway(bytes).await;
    viewer.finish().await;
    within("the server closes", PATIENCE, viewer.closed()).await;
}

/// After the attacks: everything but the good viewer is gone, it has missed nothing, and others are served at once.
async fn assert_unharmed(relay: &Relay, mut good: Viewer) {
    eventually("only the good viewer is left", PATIENCE, || relay.stream("cam").viewers().len() == 1).await;
    let packets = good.packets(0, 100).await;
    assert_no_gap(&packets);
    assert_no_gap(&good.packets(1, 20).await);
    assert_eq!(relay.stream("cam").viewers()[0].skipped(), 0);
    let mut other = Viewer::open(&relay.url("cam")).await;
    within("a new client is answered", Duration::from_secs(1), other.options()).await.ok();
    described(relay).await;
}

/// The requests of a sequence, adapted to the relay: its stream, its tracks, and the session it gave.
async fn follow(relay: &Relay, sequence: &str) {
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let mut session = String::from("000022B8");
    for request in sequence.split_inclusive("\r\n\r\n").filter(|request| request.ends_with("\r\n\r\n")) {
        let Some(uri) = request.split(' ').nth(1) else { continue };
        let track = match uri.trim_end_matches('/').rsplit_once("/track") {
            Some((_, "2")) => "/trackID=1",
            Some(_) => "/trackID=0",
            None => "",
        };
        let url = format!("{}{track}", relay.url("cam"));
        viewer.send_raw(request.replace(uri, &url).replace("000022B8", &session)).await;
        let answer = viewer.read_answer().await;
        if let Some(header) = answer.header("Session") {
            session = header.split(';').next().unwrap_or_default().to_owned();
        }
        // TEARDOWN of a session that was never set up is 454; SETUP of a track of another camera's may be 404.
        assert!([200, 404, 454, 459, 461].contains(&answer.status), "{request:?}: {answer:?}");
    }
    viewer.finish().await;
    within("the server closes", PATIENCE, viewer.closed()).await;
}

#[tokio::test]
async fn seeds_of_other_servers_harm_nobody() {
    // Some sequences leave a UDP session behind, which ends with its time-out.
    let (_camera, relay) = scene_of(Duration::from_secs(2)).await;
    let (good, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtsp-seeds");
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (name, seed) =
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
        if path.extension().is_none_or(|extension| extension != "raw") {
            continue;
        }
        seeds += 1;
        attack(&relay, &seed).await;
        // The header values also where they belong.
        let kind = name.split('-').nth(1).unwrap_or_default();
        let (request, header) = match kind {
            "transport" => ("SETUP /cam/trackID=0", "Transport"),
            "range" => ("PLAY /cam", "Range"),
            "session" => ("PLAY /cam", "Session"),
            _ => ("", ""),
        };
        if !request.is_empty() {
            let head = format!("{request} RTSP/1.0\r\nCSeq: 1\r\n{header}: ");
            attack(&relay, &[head.as_bytes(), &seed, b"\r\n\r\n"].concat()).await;
        }
        if name.starts_with("aflnet") {
            follow(&relay, std::str::from_utf8(&seed).unwrap()).await;
        }
    }
    assert!(seeds > 30, "{seeds}");
    assert_unharmed(&relay, good).await;
}

/// Each is the shape of a published flaw of another server (the number is in the comment); most of the statuses are in
/// the other files, here only survival counts.
#[tokio::test]
async fn shapes_of_published_flaws_harm_nobody() {
    let (_camera, relay) = scene().await;
    let (good, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let setup = |track: u8, transport: &str| {
        format!("SETUP /cam/trackID={track} RTSP/1.0\r\nCSeq: 1\r\nTransport: {transport}\r\n\r\n")
    };
    let tcp = "RTP/AVP/TCP;unicast;interleaved=0-1";
    let header = |header: String| format!("DESCRIBE /cam RTSP/1.0\r\nCSeq: 1\r\n{header}\r\n\r\n");
    for attack_bytes in [
        // B01, B02 (CVE-2007-6036, CVE-2013-6933): less than a request, blanks at its front.
        "O".to_owned(),
        " \t OPTIONS".into(),
        " ".repeat(40_000),
        // B03, B04 (CVE-2018-4013, CVE-2019-6256): tunnels.
        format!(
            "GET /cam HTTP/1.0\r\nx-sessioncookie: {0}\r\nx-sessioncookie: {0}\r\n\r\n",
            "a".repeat(4000)
        ),
        "GET /cam HTTP/1.0\r\nx-sessioncookie: a\r\n\r\nPOST /cam HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n"
            .into(),
        // B05, B11, B12, B14, B15 (CVE-2019-7314, CVE-2021-38380, CVE-2021-39282, CVE-2023-37117): set-ups of one track, several, and PLAY.
        setup(0, tcp).repeat(40),
        [setup(0, tcp), setup(0, "RTP/AVP;unicast;client_port=22000-22001"), setup(1, tcp)].concat(),
        // B06, B08, B18, B25 (CVE-2019-7732, CVE-2019-9215, CVE-2020-6095, CVE-2020-12763, CVE-2014-4880): Authorization.
        header("Authorization: Digest username=\"a\"\r\n".repeat(50) + "A: b"),
        header("Authorization: Basic".into()),
        header(format!("Authorization: Basic {}", "A".repeat(12_000))),
        header("Authorization: Digest \0".into()),
        // B10, B20 (CVE-2020-24027, CVE-2019-9928): long Range and Session.
        format!("PLAY /cam RTSP/1.0\r\nCSeq: 1\r\nSession: {}\r\n\r\n", "9".repeat(12_000)),
        format!("PLAY /cam RTSP/1.0\r\nCSeq: 1\r\nRange: clock={}-\r\n\r\n", "9".repeat(12_000)),
        // B17, B26 (CVE-2023-50685), and a port that is no viewer's.
        setup(0, "RTP/AVP;unicast;client_port=99999999999999999999-a"),
        setup(0, "RTP/AVP;unicast;client_port=0-0") + "PLAY /cam RTSP/1.0\r\nCSeq: 2\r\n\r\n",
        // B07, B22, B23 (CVE-2019-7733, CVE-2014-4878, CVE-2018-19077): bodies.
        header("Content-Length: 60000".into()) + &"b".repeat(60_000),
        header("Content-Length: -10".into()),
        // B24, B27 (CVE-2019-12727, CVE-2013-1606): many headers, a long URI, one header of megabytes.
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n".to_owned() + &"X: y\r\n".repeat(20_000),
        format!("DESCRIBE rtsp://h/{} RTSP/1.0\r\nCSeq: 1\r\n\r\n", "a".repeat(200_000)),
        header(format!("X: {}", "y".repeat(3 << 20))),
        header("Content-Length: 99999999999".into()),
        // B09 (CVE-2019-15232): SETUP with a session that is another's, or nobody's.
        setup(0, tcp) + &setup(1, "RTP/AVP/TCP;unicast;interleaved=2-3\r\nSession: 000022B8").repeat(9),
        // B31: pings without an end.
        "GET_PARAMETER /cam RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(60),
        // B19 (CVE-2024-44331): bytes with nothing between them.
        "\u{7f}\u{1}\u{2}".repeat(2000),
    ] {
        attack(&relay, attack_bytes.as_bytes()).await;
    }
    assert_unharmed(&relay, good).await;
}

/// B13, CVE-2021-41396: more connections than anybody needs, none of which says anything.
#[tokio::test]
async fn many_silent_connections_harm_nobody() {
    let (_camera, relay) = scene().await;
    let (good, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(Viewer::connect(relay.address()).await);
    }
    described(&relay).await;
    drop(silent);
    assert_unharmed(&relay, good).await;
}
