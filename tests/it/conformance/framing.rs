//! Cases a1: where a request begins and ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{assert_closed, assert_usable, ready, scene, scene_of};
use crate::support::relay::Relay;
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, within};

/// A relay without any camera: enough for OPTIONS.
async fn bare() -> Relay {
    Relay::builder().start().await
}

/// A01. That no prefix is an error is shown byte by byte in the parser's own tests; here the answer comes once, and
/// only at the end.
#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let relay = bare().await;
    let mut viewer = Viewer::connect(relay.address()).await;
    let request = b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n";
    for byte in &request[..request.len() - 1] {
        viewer.send_raw([*byte]).await;
        assert!(viewer.answer_now().is_none());
    }
    viewer.send_raw(b"\n").await;
    assert_eq!(viewer.read_answer().await.ok().header("CSeq"), Some("7"));
    // Nothing was answered twice.
    assert_usable(&mut viewer).await;
}

/// A02. A client that does not wait does not know its session yet: its PLAY is answered with 454, in its place.
#[tokio::test]
async fn five_requests_in_one_segment_get_five_answers_in_order() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let url = relay.url("cam");
    viewer
        .send_raw(format!(
            "OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n\
             DESCRIBE {url} RTSP/1.0\r\nCSeq: 2\r\n\r\n\
             SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n\
             SETUP {url}/trackID=1 RTSP/1.0\r\nCSeq: 4\r\nTransport: RTP/AVP/TCP;interleaved=2-3\r\n\r\n\
             PLAY {url} RTSP/1.0\r\nCSeq: 5\r\n\r\n"
        ))
        .await;
    for (cseq, status) in [("1", 200), ("2", 200), ("3", 200), ("4", 200), ("5", 454)] {
        let answer = viewer.read_answer().await;
        assert_eq!((answer.header("CSeq"), answer.status), (Some(cseq), status));
    }
}

/// A03, and what follows PLAY in the same segment.
#[tokio::test]
async fn play_twice_in_one_segment_does_not_double_the_media() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    let (base, session) = (viewer.base.clone(), viewer.session.clone().unwrap());
    viewer
        .send_raw(format!(
            "PLAY {base} RTSP/1.0\r\nCSeq: 21\r\nSession: {session}\r\n\r\n\
             PLAY {base} RTSP/1.0\r\nCSeq: 22\r\nSession: {session}\r\n\r\n\
             GET_PARAMETER {base} RTSP/1.0\r\nCSeq: 23\r\nSession: {session}\r\n\r\n\
             OPTIONS * RTSP/1.0\r\nCSeq: 24\r\n\r\n"
        ))
        .await;
    for cseq in ["21", "22", "23", "24"] {
        assert_eq!(viewer.read_answer().await.ok().header("CSeq"), Some(cseq));
    }
    assert_no_gap(&viewer.packets(0, 60).await);
    assert_no_gap(&viewer.packets(1, 10).await);
}

/// A04, A05, A06, A09, A10, A11, A12, A13, A14, A20, A21, A23, A24: the first answer, and the connection goes on.
/// Decided: bare CR ends a line (A05); a folded line continues its header (A12); blanks around the words of a request
/// line, tabs included, do not matter (A24); the same length twice is one length (A21).
#[tokio::test]
async fn what_can_be_understood_is_answered_and_the_next_request_too() {
    let relay = bare().await;
    for (request, status) in [
        ("OPTIONS * RTSP/1.0\nCSeq: 1\n\n", 200),
        ("OPTIONS * RTSP/1.0\rCSeq: 1\r\r", 200),
        ("\r\n \r\n\t  OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 200),
        ("OPTIONS * RTSP/1.0\r\nCSeq:1\r\n\r\n", 200),
        ("OPTIONS * RTSP/1.0\r\nCSeq:    1\r\n\r\n", 200),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nRegionData: \r\nSession:\r\n\r\n", 200),
        ("OPTIONS * RTSP/1.0\r\nUser-Agent: a\r\nCSeq: 1\r\nUser-Agent: b\r\n\r\n", 200),
        ("OPTIONS * RTSP/1.0\r\nX: a\r\n CSeq: 9\r\nCSeq: 1\r\n\r\n", 200),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n", 400),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\na\r\n", 200),
        ("DESCRIBE /nothing RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\n\r\n", 404),
        ("GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 6\r\n\r\na: b\r\n", 451),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n$", 200),
        ("OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", 505),
        ("OPTIONS * RTSP/1.1\r\nCSeq: 1\r\n\r\n", 505),
        ("OPTIONS * RTSP/999.0\r\nCSeq: 1\r\n\r\n", 400),
        ("OPTIONS * RTSP/1.0  \r\nCSeq: 1\r\n\r\n", 200),
        ("OPTIONS\t*\tRTSP/1.0\r\nCSeq: 1\r\n\r\n", 200),
    ] {
        let mut viewer = Viewer::connect(relay.address()).await;
        viewer.send_raw(format!("{request}OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n")).await;
        for (cseq, status) in [("1", status), ("2", 200)] {
            let answer = viewer.read_answer().await;
            assert_eq!((answer.header("CSeq"), answer.status), (Some(cseq), status), "{request:?}");
            assert!(answer.status != 505 || answer.text().contains("speaks RTSP/1.0"), "{answer:?}");
        }
    }
}

/// A14, A15, A16, A17, A18, A19, A21: answered, then closed, since where the next request begins is in doubt or the
/// rest is not worth reading. That the answer arrives although the server leaves bytes unread is part of the case.
#[tokio::test]
async fn what_is_out_of_bounds_is_refused_and_the_connection_closed() {
    let relay = bare().await;
    let with = |header: &str| format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n{header}\r\n\r\n");
    let long = |bytes: usize| "x".repeat(bytes);
    for (request, status) in [
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\0x\r\n\r\n".to_owned(), 400),
        (with(&"A: b\r\n".repeat(256)), 400),
        (with(&format!("X: {}", long(64 << 10))), 400),
        (with(&format!("X: {}", long(2 << 20))), 400),
        (format!("OPTIONS rtsp://h/{} RTSP/1.0\r\nCSeq: 1\r\n\r\n", long(2100)), 414),
        (format!("OPTIONS rtsp://h/{} RTSP/1.0\r\nCSeq: 1\r\n\r\n", long(64 << 10)), 414),
        (with("Content-Length: -1"), 400),
        (with("Content-Length: +5"), 400),
        (with("Content-Length: 5x"), 400),
        (with("Content-Length: 18446744073709551616"), 400),
        (with("Content-Length: 1\r\nContent-Length: 2"), 400),
        // At once: the body never comes.
        (with("Content-Length: 100000"), 413),
    ] {
        let mut viewer = Viewer::connect(relay.address()).await;
        viewer.send_anyway(request.as_bytes()).await;
        let answer = viewer.read_answer().await;
        let shown = &request[..request.len().min(80)];
        assert_eq!(answer.status, status, "{shown:?}");
        assert!(!format!("{answer:?}").contains('\0'), "{shown:?}");
        assert_closed(&mut viewer).await;
    }
    let mut viewer = Viewer::connect(relay.address()).await;
    viewer.send_raw(with(&format!("X: {}", long(2 << 10)))).await;
    viewer.read_answer().await.ok();
    assert_usable(&mut viewer).await;
}

/// A07.
#[tokio::test]
async fn header_names_have_no_case() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let url = relay.url("cam");
    let setup = |track: u8, session: &str| {
        format!("SETUP {url}/trackID={track} RTSP/1.0\r\ncseq: 5\r\nTRANSPORT: RTP/AVP/TCP\r\n{session}\r\n")
    };
    viewer.send_raw(setup(0, "")).await;
    let answer = viewer.read_answer().await.ok();
    let session = answer.header("Session").unwrap().to_owned();
    viewer.send_raw(setup(1, &format!("session: {session}\r\n"))).await;
    assert_eq!(viewer.read_answer().await.ok().header("Session"), Some(session.as_str()));
}

/// A08.
#[tokio::test]
async fn a_method_in_lower_case_is_another_method() {
    let relay = bare().await;
    let mut viewer = Viewer::connect(relay.address()).await;
    assert_eq!(viewer.request("options", "*", &[]).await.status, 501);
    assert_usable(&mut viewer).await;
}

/// A22. The deadline is for the whole request, so that a byte now and then does not help.
#[tokio::test]
async fn a_request_that_drips_ends_its_connection() {
    let relay = Relay::builder().settings(|s| s.request_timeout = Duration::from_millis(300)).start().await;
    for begin in [
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: ",
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 60000\r\n\r\n",
        "$\x00\x70\x00",
    ] {
        let (mut read, mut write) = TcpStream::connect(relay.address()).await.unwrap().into_split();
        write.write_all(begin.as_bytes()).await.unwrap();
        let mut drip = JoinSet::new();
        drip.spawn(async move {
            while write.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        let mut rest = Vec::new();
        let _ = within("the connection is closed", PATIENCE, read.read_to_end(&mut rest)).await;
    }
}

/// A22, the other way round: a deadline is for one request, not for all that ever came in pieces.
#[tokio::test]
async fn requests_cut_anywhere_do_not_add_up_to_a_slow_one() {
    let relay = Relay::builder().settings(|s| s.request_timeout = Duration::from_secs(1)).start().await;
    let mut viewer = Viewer::connect(relay.address()).await;
    viewer.send_raw("OPTIONS * RTSP/1.0\r\nCSeq").await;
    for n in 0..60 {
        sleep(Duration::from_millis(25)).await;
        viewer.send_raw(format!(": {n}\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq")).await;
        viewer.read_answer().await.ok();
    }
}

/// A25 (the plain port; TLS is later work), A26. Decided: the first byte that cannot begin a message ends the
/// connection without an answer; there is no search for a place to go on.
#[tokio::test]
async fn what_is_not_rtsp_is_closed_without_a_word() {
    let relay = bare().await;
    let noise: Vec<u8> =
        (0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 506]].concat();
    for bytes in [hello, vec![0; 1 << 20], vec![0xff; 1 << 20], noise] {
        let mut viewer = Viewer::connect(relay.address()).await;
        viewer.send_anyway(&bytes).await;
        viewer.ended().await;
        assert!(viewer.answer_now().is_none());
    }
}

/// A27, A28.
#[tokio::test]
async fn interleaved_frames_are_skipped_in_every_state() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    for state in ["init", "ready", "playing"] {
        match state {
            "ready" => {
                viewer.describe().await.ok();
                viewer.setup_tcp(0).await.ok();
            }
            "playing" => drop(viewer.play().await.ok()),
            _ => {}
        }
        for channel in [0, 1, 2, 77, 255] {
            for length in [0, 1, 3, 12, 1500, 65_535] {
                viewer.send_interleaved(channel, &vec![0x81; length]).await;
            }
        }
        assert_usable(&mut viewer).await;
        let frame = b"$\x01\x00\x04abcd";
        for cut in 1..frame.len() {
            viewer.send_raw(&frame[..cut]).await;
            viewer.send_raw(&frame[cut..]).await;
        }
        assert_usable(&mut viewer).await;
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A29.
#[tokio::test]
async fn a_response_is_never_answered() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    for response in
        ["RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", "RTSP/1.0 405 No\r\n\r\n", "RTSP/1.0 bad\r\nCSeq: 5\r\n\r\n"]
    {
        viewer.send_raw(response).await;
        assert_usable(&mut viewer).await;
    }
    viewer.play().await.ok();
    viewer.send_raw("RTSP/1.0 200 OK\r\nCSeq: 99\r\nContent-Length: 2\r\n\r\nok").await;
    assert_usable(&mut viewer).await;
}

/// A113 for requests: a client that never reads its answers is not given ever more memory; its requests wait, and are
/// answered in order once it reads.
#[tokio::test]
async fn requests_of_a_client_that_does_not_read_wait() {
    let relay = bare().await;
    // Small buffers of its own, so that the server's limit is soon reached.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.set_send_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(relay.address()).await.unwrap();
    let request = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut chunk = vec![0; 1 << 16];
    let answer = within("an answer", PATIENCE, stream.read(&mut chunk)).await.unwrap();
    let requests = request.repeat(256);
    let mut sent = 0;
    // Until the server takes nothing for a while: its answers fill the buffers of the kernel first.
    while let Ok(writable) = timeout(Duration::from_secs(2), stream.writable()).await {
        writable.unwrap();
        if let Ok(length) = stream.try_write(&requests[sent % requests.len()..]) {
            sent += length;
        }
        assert!(sent < 32 << 20, "the server reads on and on");
    }
    let mut missing = sent / request.len() * answer;
    while missing > 0 {
        let length = within("an answer", PATIENCE, stream.read(&mut chunk)).await.unwrap();
        assert!(length > 0, "closed, with {missing} bytes of answers missing");
        missing -= length;
    }
}

/// A22 with sessions that play: a half request of a viewer in play ends it as well.
#[tokio::test]
async fn a_viewer_in_play_cannot_leave_a_request_unfinished() {
    let (_camera, relay) = scene_of(Duration::from_secs(1)).await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    viewer.send_raw("OPTIONS *").await;
    assert_closed(&mut viewer).await;
}
