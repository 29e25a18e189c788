//! The control channel (C01 to C30), logins and redirects.

use super::*;

#[test]
fn a_camera_that_keeps_to_the_book_plays_however_its_bytes_are_cut() {
    for size in [1, 2, 3, 7, 64, 100_000] {
        assert_eq!(outcome(&mut Fake::new(|_| None), size), PLAYS, "{size}");
    }
}

#[test]
fn every_deviation_of_the_control_channel_plays() {
    let mut table: Vec<(&str, Fake)> = vec![
        (
            "C02 empty header values",
            replaced(Method::Describe, "CSeq: CSEQ", "CSeq: CSEQ\r\nServer:\r\nContent-Base:"),
        ),
        (
            "C03 content type with a charset",
            replaced(
                Method::Describe,
                "CSeq: CSEQ",
                "CSeq: CSEQ\r\nContent-Type: Application/SDP; charset=utf-8",
            ),
        ),
        ("C05 no reason phrase", replaced(Method::Describe, "200 OK", "200")),
        ("C07 the status line of HTTP", replaced(Method::Describe, "RTSP/1.0", "HTTP/1.0")),
        ("C08 folded lines", replaced(Method::Setup, "Transport: ", "Transport:\r\n ")),
        ("C08 a blank before the colon", replaced(Method::Setup, "Session:", "Session :")),
        (
            "C08 the length twice",
            replaced(Method::Describe, "CSeq: CSEQ", "CSeq: CSEQ\r\nContent-Length: 144"),
        ),
        ("C10 the CSeq before", replaced(Method::Describe, "CSeq: CSEQ", "CSeq: 0")),
        ("C25 a blank behind the CSeq", replaced(Method::Describe, "CSeq: CSEQ", "CSeq: CSEQ  ")),
        (
            "C28 an invented method",
            replaced(Method::Describe, "CSeq: CSEQ", "CSeq: CSEQ\r\nPublic: HEARTBEAT"),
        ),
        (
            "C29 a date nobody reads",
            replaced(Method::Describe, "CSeq: CSEQ", "CSeq: CSEQ\r\nDate: 1 1 1970 x"),
        ),
        ("a line that is none", replaced(Method::Setup, "CSeq: CSEQ", "CSeq: CSEQ\r\nnonsense")),
        (
            "100 before the answer",
            changed(Method::Describe, |text| format!("RTSP/1.0 100 Continue\r\nCSeq: CSEQ\r\n\r\n{text}")),
        ),
    ];
    table.push((
        "C04 LF only",
        Fake::new(|request| {
            Some(usual(request).replace("\r\n", "\n").replace("Content-Length: 144", "Content-Length: 135"))
        }),
    ));
    for method in [Method::Describe, Method::Setup, Method::Play] {
        let other = method.clone();
        table.push(("C09 no CSeq", changed(method.clone(), |text| text.replace("CSeq: CSEQ\r\n", ""))));
        table.push((
            "C11 an answer nobody asked for",
            changed(method, |text| format!("RTSP/1.0 200 OK\r\nCSeq: 999\r\n\r\n{text}")),
        ));
        table.push((
            "C01 the camera asks in between",
            changed(other, |text| format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n{text}")),
        ));
    }
    assert_eq!(SDP.len(), 144, "the lengths above");
    for (what, mut camera) in table {
        for size in [1, 1000] {
            camera.media = packets();
            assert_eq!(outcome(&mut camera, size), PLAYS, "{what}");
        }
    }
}

/// Asks for Digest; `good` judges the `Authorization`.
fn guarded(challenge: &'static str, good: impl Fn(&str) -> bool + 'static) -> Fake {
    Fake::new(move |request| match request.headers.get("Authorization") {
        Some(value) if good(value) => None,
        _ => Some(format!("RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\n{challenge}\r\n\r\n")),
    })
}

#[test]
fn c17_c18_every_login_is_answered_with_the_safest_form() {
    for (challenge, begin, part) in [
        (
            "WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"",
            "Digest",
            "nonce=\"1\"",
        ),
        (
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"1\", algorithm=SHA-256, Basic realm=\"x\"",
            "Digest",
            "SHA-256",
        ),
        ("WWW-Authenticate: Basic realm=\"x\"", "Basic", ""),
    ] {
        let mut camera = guarded(challenge, move |value| value.starts_with(begin) && value.contains(part));
        assert_eq!(outcome(&mut camera, 1000), PLAYS, "{challenge}");
        assert_eq!(camera.log.iter().filter(|line| line.starts_with("DESCRIBE")).count(), 2, "asked once");
    }
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let mut camera = guarded("WWW-Authenticate: Digest realm=\"x\", nonce=\"1\"", |_| false);
    let words = "unauthorized: DESCRIBE: 401 Unauthorized: the camera refuses the user name or the password";
    assert_eq!(outcome(&mut camera, 1000), words);
    assert_eq!(camera.log.len(), 2);
}

#[test]
fn c13_c14_a_nonce_that_expires_is_renewed_at_any_step() {
    // Every nonce is good for one request.
    let used = std::cell::Cell::new(0);
    let mut camera = Fake::new(move |request| {
        let fresh = format!("nonce=\"{}\"", used.get());
        if request.headers.get("Authorization").is_some_and(|value| value.contains(&fresh)) {
            used.set(used.get() + 1);
            return None;
        }
        let nonce = used.get();
        Some(format!(
            "RTSP/1.0 401 No\r\nCSeq: CSEQ\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"{nonce}\"\r\n\r\n"
        ))
    });
    let mut run = Run::new();
    run.start(&mut camera, 1000).unwrap();
    assert_eq!(run.came(), PLAYS);
    camera.log.clear();
    run.pass(&mut camera, Duration::from_secs(9)).unwrap();
    let signs = camera.log.iter().filter(|line| line.starts_with("GET_PARAMETER")).count();
    assert!(
        signs >= 2 && signs.is_multiple_of(2),
        "each sign of life goes out again, signed anew: {:?}",
        camera.log
    );
}

#[test]
fn c12_a_redirect_is_told() {
    let redirect = |to: &'static str| {
        changed(Method::Describe, move |_| format!("RTSP/1.0 302 Moved\r\nCSeq: CSEQ\r\n{to}\r\n"))
    };
    assert_eq!(outcome(&mut redirect("Location: rtsp://10.0.0.8/x\r\n"), 1000), "redirect rtsp://10.0.0.8/x");
    assert_eq!(outcome(&mut redirect("Location: /x\r\n"), 1000), "redirect rtsp://10.0.0.7:8554/x");
    let words = "status: DESCRIBE: 302 Moved Temporarily without a Location";
    assert_eq!(outcome(&mut redirect(""), 1000), words);
}

#[test]
fn c30_what_would_fill_us_up_is_refused_in_words() {
    for (answer, words) in [
        ("RTSP/1.0 200 OK\r\nContent-Length: 8000000000\r\n\r\n", "body too long (at most 65536 bytes)"),
        ("RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed content-length"),
    ] {
        let said = outcome(&mut changed(Method::Describe, move |_| answer.to_owned()), 1000);
        assert_eq!(
            said,
            format!("protocol: DESCRIBE: the camera sent a message that cannot be taken: {words}")
        );
    }
    let empty = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\n\r\n";
    let said = outcome(&mut changed(Method::Describe, move |_| empty.to_owned()), 1000);
    assert_eq!(said, "protocol: the camera's SDP: the session description has no media");
}

#[test]
fn a_camera_that_never_answers_is_given_up_in_time() {
    let mut camera = Fake::new(|_| Some(String::new()));
    let words = "connect_timeout: no answer to DESCRIBE within 10 s (connect_timeout)";
    assert_eq!(outcome(&mut camera, 1000), words);
    let mut ssh = Fake::new(|_| Some("SSH-2.0-OpenSSH_9.2\r\n".into()));
    assert!(outcome(&mut ssh, 1000).ends_with("21 bytes came that are no answer"));
}

fn with_profile(set: &str) -> Run {
    let text = format!("- {{name: Odd, source: a test, when: {{server: odd}}, set: {{{set}}}}}");
    let quirks = Arc::new(Quirks::parse(&text).unwrap());
    Run::with(URI, Options { quirks, ..options() })
}

/// A camera that says who it is; refuses what `refused` is part of.
fn odd(refused: &'static str) -> Fake {
    Fake::new(move |request| {
        let mut text = Vec::new();
        request.write(&mut text);
        let answer = usual(request).replace("CSEQ\r\n", "CSEQ\r\nServer: Odd/1.0\r\n");
        Some(match String::from_utf8(text).unwrap().contains(refused) {
            true => "RTSP/1.0 500 No\r\nCSeq: CSEQ\r\n\r\n".to_owned(),
            false => answer,
        })
    })
}

#[test]
fn what_a_profile_says_is_done_and_said() {
    let mut run = with_profile("play_range: false");
    run.start(&mut odd("Range"), 1000).unwrap();
    assert_eq!(run.dialogue.learned(), ["The profile Odd applies to it (a test)."]);
}

#[test]
fn a_description_without_its_length_is_all_that_comes() {
    let without = |text: String| {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
        format!("{}\r\n\r\n{body}", head.join("\r\n"))
    };
    assert_eq!(outcome(&mut changed(Method::Describe, without), 1000), PLAYS);
    let longer = |text: String| text.replace("Content-Length: ", "Content-Length: 1");
    assert_eq!(outcome(&mut changed(Method::Describe, longer), 1000), PLAYS);
    let control = |text: String| text.replace("CSeq", "Server: x\u{1}y\u{0}\r\nCSeq");
    assert_eq!(outcome(&mut changed(Method::Describe, control), 1000), PLAYS);
}
