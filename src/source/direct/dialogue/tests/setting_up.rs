//! SETUP, Session, Transport and PLAY (C21 to C59).

use super::*;

#[test]
fn every_deviation_of_setup_session_and_transport_plays() {
    let setup = |from, to| replaced(Method::Setup, from, to);
    for (what, mut camera) in [
        ("C31 a blank before the timeout", setup("7;timeout", "7 ; timeout")),
        ("C32 a semicolon at the end", setup("Session: 7;timeout=10", "Session: 7;timeout=10;")),
        ("C32 nothing but a semicolon", setup("Session: 7;timeout=10", "Session: 7;")),
        ("C32 an upper-case name", setup("timeout", "Timeout")),
        ("C32 a timeout of 0", setup("timeout=10", "timeout=0")),
        ("no session at all", changed(Method::Setup, |text| text.replace("Session: 7", "X: 7"))),
        ("C33 blanks", setup("TCP;interleaved=", "TCP; unicast; Interleaved = ")),
        (
            "C34 no channels",
            changed(Method::Setup, |text| {
                text.split("Transport").next().unwrap().to_owned() + "Transport: RTP/AVP/TCP;unicast\r\n\r\n"
            }),
        ),
        (
            "C35 no transport",
            changed(Method::Setup, |text| text.split("Transport").next().unwrap().to_owned() + "\r\n"),
        ),
        ("C37 one channel", changed(Method::Setup, |text| text.replace("0-1", "0").replace("2-3", "2"))),
        ("C38 without TCP", setup("RTP/AVP/TCP", "RTP/AVP")),
        ("C39 an empty source", setup("interleaved", "source=;interleaved")),
        ("C39 a host name for a source", setup("interleaved", "source=camera.local;interleaved")),
        ("C40 one server port", setup("interleaved", "server_port=8052;interleaved")),
        (
            "C45, C46 an SSRC with blanks, decimal, in front",
            setup("RTP/AVP/TCP;", "ssrc= 0x1449463210;RTP/AVP/TCP;"),
        ),
        ("channels that are none", setup("interleaved=", "interleaved=x")),
        ("both tracks on the same channels", setup("interleaved=2-3", "interleaved=0-1")),
        (
            "C48, C49 an RTP-Info of no use",
            replaced(Method::Play, "Session: 7", "RTP-Info: seq=70000;x,url;seq=-1"),
        ),
    ] {
        assert_eq!(outcome(&mut camera, 1000), PLAYS, "{what}");
    }
}

#[test]
fn c36_other_channels_than_asked_for_are_those_of_the_answer() {
    let mut camera = changed(Method::Setup, |text| text.replace("0-1", "5-6").replace("2-3", "9-10"));
    camera.media = [frame(5, &rtp(96, 1, 5)), frame(9, &rtp(0, 1, 6)), frame(5, &rtp(96, 2, 5))].concat();
    assert_eq!(outcome(&mut camera, 1000), PLAYS);
}

#[test]
fn c47_the_first_session_id_is_the_one() {
    let camera = Fake::new(|request| match request.method {
        Method::Setup if request.uri.contains("track1") => {
            Some(usual(request).replace("Session: 7", "Session: 8"))
        }
        Method::Play if request.headers.get("Session") != Some("7") => {
            Some("RTSP/1.0 454 No\r\nCSeq: CSEQ\r\n\r\n".into())
        }
        _ => None,
    });
    assert_eq!(outcome(&mut { camera }, 1000), PLAYS);
}

#[test]
fn what_one_form_is_refused_another_is_tried() {
    let refused = |status: u16| Some(format!("RTSP/1.0 {status} No\r\nCSeq: CSEQ\r\n\r\n"));
    let table: [(&str, Fake); 6] = [
        (
            "C22 551 to a DESCRIBE with Accept",
            Fake::new(move |request| {
                let bare = request.method == Method::Describe && request.headers.get("Accept").is_some();
                if bare { refused(551) } else { None }
            }),
        ),
        (
            "C21 501 to OPTIONS, asked for by a 551",
            Fake::new(move |request| match request.method {
                Method::Describe if request.headers.get("Accept").is_some() => refused(551),
                Method::Options => refused(501),
                _ => None,
            }),
        ),
        (
            "C23 405 to PLAY without a slash",
            Fake::new(move |request| {
                let bare = request.method == Method::Play && !request.uri.ends_with('/');
                if bare { refused(405) } else { None }
            }),
        ),
        (
            "457 to the range",
            Fake::new(move |request| {
                let ranged = request.method == Method::Play && request.headers.get("Range").is_some();
                if ranged { refused(457) } else { None }
            }),
        ),
        (
            "404 to the appended control",
            Fake::new(move |request| {
                let appended = request.method == Method::Setup && request.uri.contains("live/");
                if appended { refused(404) } else { None }
            }),
        ),
        (
            "C19 401 to a client without a name",
            Fake::new(
                move |request| {
                    if request.headers.get("User-Agent").is_none() { refused(401) } else { None }
                },
            ),
        ),
    ];
    for (what, mut camera) in table {
        assert_eq!(outcome(&mut camera, 1000), PLAYS, "{what}");
    }
}

#[test]
fn a_track_that_is_refused_costs_only_itself() {
    let mut camera = Fake::new(|request| {
        (request.uri.contains("track1")).then(|| "RTSP/1.0 500 No\r\nCSeq: CSEQ\r\n\r\n".into())
    });
    camera.media = packets();
    assert_eq!(outcome(&mut camera, 1000), "0:1 0:2");
    let mut none = Fake::new(|request| {
        (request.method == Method::Setup).then(|| "RTSP/1.0 461 No\r\nCSeq: CSEQ\r\n\r\n".into())
    });
    assert_eq!(outcome(&mut none, 1000), "status: SETUP: 461 Unsupported Transport");
}
