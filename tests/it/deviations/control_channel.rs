//! c1: requests and answers.

use std::time::Duration;

use fanlight::config::{ClientChoice, UpstreamTransport};

use super::camera::{Camera, Reply, Script};
use super::{Refused, Relayed, by, rows};

fn script() -> Script {
    Script::new()
}

/// Asks for a login once in front of DESCRIBE, in these words.
fn challenge(challenge: &'static str, proof: &'static str) -> Script {
    script().login("ann:hunter2@").on("DESCRIBE", move |ask, text| {
        if ask.has(proof) {
            text
        } else {
            format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {}\r\n{challenge}\r\n", ask.cseq)
        }
    })
}

const DIGEST: &str = "WWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n";

rows! {
    c01_the_camera_asks_something_while_it_plays:
        script().says(5, "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n") => Relayed;
    c01_the_camera_announces_and_sets_parameters:
        script().says(5, "ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 4\r\n\r\nv=0\nSET_PARAMETER * RTSP/1.0\r\nCSeq: 10\r\n\r\n")
        => Relayed;
    c02_empty_header_values:
        script().with("*", "Server: Deviant", "Server:").with("DESCRIBE", "Content-Type: application/sdp", "Content-Type:") => Relayed;
    c02_an_empty_content_base:
        script().on("DESCRIBE", |_, text| {
            let at = text.find("Content-Base: ").unwrap();
            let end = at + text[at..].find("\r\n").unwrap();
            format!("{}Content-Base:{}", &text[..at], &text[end..])
        }) => Relayed;
    c03_a_content_type_with_a_charset:
        script().with("DESCRIBE", "application/sdp", "application/sdp; charset=utf-8") => Relayed;
    c03_a_content_type_in_capitals:
        script().with("DESCRIBE", "application/sdp", "Application/SDP") => Relayed;
    c03_a_content_type_of_something_else:
        script().with("DESCRIBE", "application/sdp", "text/plain") => Relayed;
    c03_no_content_type:
        script().with("DESCRIBE", "Content-Type: application/sdp\r\n", "") => Relayed;
    c04_lines_that_end_with_lf:
        script().on("*", |_, text| match text.split_once("\r\n\r\n") {
            Some((head, body)) => format!("{}\n\n{body}", head.replace("\r\n", "\n")),
            None => text,
        }) => Relayed;
    c04_lines_that_end_with_cr:
        script().on("*", |_, text| match text.split_once("\r\n\r\n") {
            Some((head, body)) => format!("{}\r\r{body}", head.replace("\r\n", "\r")),
            None => text,
        }) => Relayed;
    c05_c06_no_reason_phrase: script().with("*", " 200 OK", " 200") => Relayed;
    c05_a_reason_phrase_of_a_blank: script().with("*", " 200 OK", " 200 ") => Relayed;
    c07_the_status_line_of_http: script().with("*", "RTSP/1.0 200", "HTTP/1.0 200") => Relayed;
    c07_the_status_line_of_http_1_1: script().with("*", "RTSP/1.0 200", "HTTP/1.1 200") => Relayed;
    c08_folded_headers: script().with("*", "Server: Deviant", "Server: Devi\r\n ant\r\n\tand more") => Relayed;
    c08_a_blank_before_the_colon: script().with("*", "CSeq:", "CSeq :") => Relayed;
    c08_the_same_length_twice:
        script().on("DESCRIBE", |_, text| {
            let (head, rest) = text.split_once("Content-Length").unwrap();
            let (length, rest) = rest.split_once("\r\n").unwrap();
            format!("{head}Content-Length{length}\r\nContent-Length{length}\r\n{rest}")
        }) => Relayed;
    c08_two_lengths_that_differ:
        script().with("DESCRIBE", "Content-Type: application/sdp\r\n", "Content-Length: 7\r\n")
        => Refused("malformed content-length");
    c09_answers_without_a_number:
        script().on("*", |ask, text| text.replace(&format!("CSeq: {}\r\n", ask.cseq), "")) => Relayed;
    c10_answers_with_the_number_before:
        script().on("*", |ask, text| {
            let number: u32 = ask.cseq.parse().unwrap();
            text.replace(&format!("CSeq: {number}\r\n"), &format!("CSeq: {}\r\n", number - 1))
        }) => Relayed;
    c10_answers_that_are_all_number_one:
        script().on("*", |ask, text| text.replace(&format!("CSeq: {}\r\n", ask.cseq), "CSeq: 1\r\n")) => Relayed;
    c11_an_answer_nobody_asked_for:
        script().on("DESCRIBE", |_, text| format!("RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\n{text}"))
        .says(5, "RTSP/1.0 200 OK\r\nCSeq: 4711\r\n\r\n") => Relayed;
    c12_a_redirect:
        script().on("DESCRIBE", |ask, text| if ask.uri.contains("elsewhere") { text } else {
            format!("RTSP/1.0 302 Moved\r\nCSeq: {}\r\nLocation: {}/elsewhere\r\n\r\n", ask.cseq, ask.uri)
        }) => Relayed;
    c12_a_redirect_to_a_path:
        script().on("DESCRIBE", |ask, text| if ask.uri.contains("elsewhere") { text } else {
            format!("RTSP/1.0 301 Moved\r\nCSeq: {}\r\nLocation: /elsewhere\r\n\r\n", ask.cseq)
        }) => Relayed;
    c12_a_redirect_without_end:
        script().on("DESCRIBE", |ask, _| format!("RTSP/1.0 302 Moved\r\nCSeq: {}\r\nLocation: {}\r\n\r\n", ask.cseq, ask.uri))
        => Refused("redirect");
    c12_a_redirect_to_nowhere: script().whole("DESCRIBE", "RTSP/1.0 302 Moved\r\nCSeq: CSEQ\r\n\r\n") => Refused("302");
    c13_a_nonce_that_is_stale:
        challenge(DIGEST, "nonce=\"2\"").on("DESCRIBE", |ask, text| if ask.has("nonce=\"1\"") {
            text.replace("nonce=\"1\"", "nonce=\"2\", stale=true")
        } else { text }) => Relayed;
    c14_signs_of_life_that_are_refused:
        script().with("SETUP", "timeout=60", "timeout=1")
        .whole("OPTIONS", "RTSP/1.0 454 Session Not Found\r\nCSeq: CSEQ\r\n\r\n")
        .whole("GET_PARAMETER", "RTSP/1.0 454 Session Not Found\r\nCSeq: CSEQ\r\n\r\n") => Relayed;
    c10_signs_of_life_that_are_never_answered:
        script().with("SETUP", "timeout=60", "timeout=1")
        .on("OPTIONS", |_, _| Reply::Ignore).on("GET_PARAMETER", |_, _| Reply::Ignore) => Relayed;
    c16_a_session_that_ends_with_its_timeout:
        script().with("*", "timeout=60", "timeout=2")
        .forgets(&["OPTIONS", "GET_PARAMETER"], Duration::from_secs(2)) => Relayed;
    c17_basic_and_digest:
        challenge("WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n",
            "Authorization: Digest") => Relayed;
    c18_sha_256:
        challenge("WWW-Authenticate: Digest realm=\"x\", nonce=\"1\", algorithm=\"SHA-256\"\r\n", "SHA-256") => Relayed;
    c18_sha_256_is_offered_and_md5_taken:
        challenge("WWW-Authenticate: Digest realm=\"x\", nonce=\"1\", algorithm=SHA-256\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n",
            "nonce=\"1\"").on("DESCRIBE", |ask, text| if ask.has("SHA-256") {
                format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {}\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\", algorithm=SHA-256\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n\r\n", ask.cseq)
            } else { text }) => Relayed;
    c19_a_client_without_a_name_is_refused:
        script().on("*", |ask, text| if ask.has("User-Agent: ") { text } else { "RTSP/1.0 401 No\r\n\r\n".to_owned() }) => Relayed;
    c20_header_names_in_one_spelling_only:
        script().on("*", |ask, text| {
            let known = ["CSeq: ", "User-Agent: ", "Transport: ", "Session: ", "Accept: ", "Range: "];
            let fields = ask.text.lines().skip(1).filter(|line| !line.is_empty());
            assert!(fields.into_iter().all(|line| known.iter().any(|name| line.starts_with(name))), "{}", ask.text);
            text
        }) => Relayed;
    c21_options_is_not_implemented:
        script().whole("OPTIONS", "RTSP/1.0 501 Not Implemented\r\nCSeq: CSEQ\r\n\r\n") => Relayed;
    c22_describe_is_refused_before_options:
        script().on("DESCRIBE", |ask, text| if ask.has("Accept") {
            format!("RTSP/1.0 551 Option not supported\r\nCSeq: {}\r\n\r\n", ask.cseq)
        } else { text }) => Relayed;
    c23_play_is_refused_with_a_slash_at_the_end:
        script().on("PLAY", |ask, text| if ask.uri.ends_with('/') {
            format!("RTSP/1.0 405 Method Not Allowed\r\nCSeq: {}\r\n\r\n", ask.cseq)
        } else { text }) => Relayed;
    c24_options_of_the_root_is_ignored:
        script().with("SETUP", "timeout=60", "timeout=1").on("OPTIONS", |ask, text| {
            if ask.uri.contains("/live") { Reply::from(text) } else { Reply::Ignore }
        }) => Relayed;
    c25_blanks_behind_values:
        script().on("*", |_, text| match text.split_once("\r\n\r\n") {
            Some((head, body)) => format!("{}  \r\n\r\n{body}", head.replace("\r\n", " \t\r\n")),
            None => text,
        }) => Relayed;
    c26_packets_of_another_connection_come_first:
        script().on("DESCRIBE", |_, text| format!("$\0\0\x10\u{80}\u{60}\0\x01\0\0\0\0\0\0\0\x09else{text}"))
        .on("SETUP", |_, text| format!("$\x02\0\x10\u{80}\0\0\x01\0\0\0\0\0\0\0\x08else{text}")) => Relayed;
    c27_media_before_the_answer_to_play:
        script().on("PLAY", |_, text| format!("$\x02\0\x10\u{80}\0\0\x01\0\0\0\0\0\0\0\x08soun{text}")) => Relayed;
    c28_methods_nobody_knows: script().with("OPTIONS", "GET_PARAMETER", "HEARTBEAT") => Relayed;
    c29_a_date_that_is_none: script().with("*", "Server: Deviant", "Date: 1 1 1970 00:00:77 LOCAL") => Relayed;
    c30_a_length_below_zero: script().on("DESCRIBE", |_, text| text.replace("Content-Length: ", "Content-Length: -"))
        => Refused("malformed content-length");
    c30_a_length_of_eight_gigabytes: script().on("DESCRIBE", |_, text| text.replace("Content-Length: ", "Content-Length: 8000000"))
        => Refused("body too long (at most");
    c30_a_header_without_end:
        script().on("DESCRIBE", |_, _| Reply::Flood(b"RTSP/1.0 200 OK\r\nServer: ".into(), vec![b'x'; 65_536]))
        => Refused("too long (at most");
    c30_headers_without_end:
        script().on("DESCRIBE", |_, _| Reply::Flood(b"RTSP/1.0 200 OK\r\n".into(), b"X-Header: y\r\n".repeat(5000)))
        => Refused("(at most");
    c30_a_body_without_end:
        script().on("DESCRIBE", |ask, _| Reply::Flood(
            format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\nContent-Length: 4000000000\r\n\r\n", ask.cseq).into(), vec![b'v'; 65_536]))
        => Refused("body too long (at most");
    c30_noise_without_end: script().on("DESCRIBE", |_, _| Reply::Flood(vec![0xA5; 10], vec![0xA5; 65_536]))
        => Refused("neither RTSP nor RTP");
}

/// GET_PARAMETER alone keeps its sessions alive, and is not listed.
fn evostream() -> Script {
    script()
        .with("OPTIONS", ", GET_PARAMETER", "")
        .with("*", "timeout=60", "timeout=2")
        .with("*", "Server: Deviant", "Server: EvoStream Media Server")
        .forgets(&["GET_PARAMETER"], Duration::from_secs(2))
}

/// The direct client's profile of such servers knows. retina does not tell who the server is: that its sessions end one like the
/// other does.
#[tokio::test]
async fn c15_a_session_that_lives_by_what_is_not_listed() {
    let camera = by(ClientChoice::Direct, "c15", evostream(), UpstreamTransport::Tcp, Relayed).await;
    assert_eq!(asked(&camera, "PLAY"), 1);
    let camera = by(ClientChoice::Auto, "c15", evostream(), UpstreamTransport::Tcp, Relayed).await;
    let sessions = asked(&camera, "PLAY");
    // A third may have begun when the media of the second stopped.
    assert!((3..=4).contains(&sessions), "two sessions of retina's, and one that lasts: {sessions}");
}

/// A description tells the profile before the first session.
#[tokio::test]
async fn c15_a_family_that_is_known_by_its_description() {
    let script = script().sdp_with("s=x", "s=TP-LINK RTSP Server");
    let camera = by(ClientChoice::Auto, "c15", script, UpstreamTransport::Tcp, Relayed).await;
    assert_eq!(
        (asked(&camera, "DESCRIBE"), asked(&camera, "PLAY")),
        (2, 1),
        "retina asks, and the direct client plays"
    );
}

fn asked(camera: &Camera, method: &str) -> usize {
    camera.log.lock().unwrap().iter().filter(|ask| ask.method == method).count()
}
