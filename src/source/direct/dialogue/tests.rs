//! Cameras that deviate, one at a time: the rows of the camera survey by their numbers, each with its outcome.

use std::net::Ipv4Addr;

use super::*;
use crate::rtsp::transport::{Channels, PortPair};
use crate::rtsp::{Item, Limits, parse};
use crate::vocabulary::Secret;

/// A camera that answers well, but for what a test says.
struct Fake {
    /// What it answers to a request, `CSEQ` standing for its number; `None` for the usual.
    odd: Box<dyn Fn(&Request) -> Option<String>>,
    /// What it sends after the answer to PLAY.
    media: Vec<u8>,
    log: Vec<String>,
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\na=control:track0\r\nm=audio 0 RTP/AVP 0\r\na=control:track1\r\n";

fn usual(request: &Request) -> String {
    let video = request.uri.contains("track0");
    let head = match request.method {
        Method::Describe => {
            let length = SDP.len();
            return format!("RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nContent-Length: {length}\r\n\r\n{SDP}");
        }
        Method::Setup
            if request.headers.get("Transport").is_some_and(|value| value.contains("client_port")) =>
        {
            "Session: 7;timeout=10\r\nTransport: RTP/AVP;unicast;server_port=6000-6001\r\n"
        }
        Method::Setup if video => "Session: 7;timeout=10\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n",
        Method::Setup => "Session: 7\r\nTransport: RTP/AVP/TCP;interleaved=2-3\r\n",
        _ => "Session: 7\r\n",
    };
    format!("RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\n{head}\r\n")
}

fn rtp(payload_type: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let header =
        crate::rtp::Header { marker: false, payload_type, sequence, timestamp: 0, ssrc, payload: 12..12 };
    [&header.write()[..], b"media"].concat()
}

fn frame(channel: u8, packet: &[u8]) -> Vec<u8> {
    [&[b'$', channel, 0, packet.len() as u8][..], packet].concat()
}

/// Two packets of video and one of audio.
fn media() -> Vec<u8> {
    [frame(0, &rtp(96, 1, 5)), frame(2, &rtp(0, 1, 6)), frame(0, &rtp(96, 2, 5))].concat()
}

impl Fake {
    fn new(odd: impl Fn(&Request) -> Option<String> + 'static) -> Self {
        Self { odd: Box::new(odd), media: media(), log: Vec::new() }
    }

    /// The answers to what is in `out`.
    fn answer(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        let mut answers = Vec::new();
        while !out.is_empty() {
            let (item, len) = parse(out, &Limits::default()).unwrap().expect("whole requests");
            if let Item::Request(request) = item {
                self.log.push(format!("{} {}", request.method, request.uri));
                let text = (self.odd)(&request).unwrap_or_else(|| usual(&request));
                let text = text.replace("CSEQ", request.cseq().unwrap());
                let plays = request.method == Method::Play && text.contains(" 200");
                answers.extend(text.chars().map(|c| c as u8)); // Latin-1, to be able to send any byte
                if plays {
                    answers.append(&mut self.media);
                }
            }
            out.drain(..len);
        }
        answers
    }
}

fn options() -> Options {
    Options { step: Duration::from_secs(10), reorder: Duration::from_millis(50), seed: 1 }
}

fn credentials() -> Option<Credentials> {
    Some(Credentials { username: "ann".into(), password: Secret::new("hunter2") })
}

const URI: &str = "rtsp://10.0.0.7:8554/live";

struct Run {
    dialogue: Dialogue,
    now: Instant,
    buf: BytesMut,
    events: Vec<Event>,
    udp: bool,
}

impl Run {
    fn new() -> Self {
        let now = Instant::now();
        let mut dialogue = Dialogue::new(URI, credentials(), options());
        dialogue.describe(now);
        Self { dialogue, now, buf: BytesMut::new(), events: Vec::new(), udp: false }
    }

    /// Gives bytes to the dialogue in pieces.
    fn give(&mut self, bytes: &[u8], size: usize) -> Result<(), Stop> {
        for piece in bytes.chunks(size) {
            self.buf.extend_from_slice(piece);
            while self.dialogue.receive(&mut self.buf, self.now)? {}
        }
        self.events.extend(std::iter::from_fn(|| self.dialogue.next_event()));
        Ok(())
    }

    /// Until it plays, in pieces of `size` bytes.
    fn start(&mut self, camera: &mut Fake, size: usize) -> Result<(), Stop> {
        loop {
            let answers = camera.answer(self.dialogue.out());
            self.give(&answers, size)?;
            match self.dialogue.stage() {
                Stage::Playing => return Ok(()),
                Stage::Described => {
                    let offers = (0..self.dialogue.description().tracks.len()).map(|track| match self.udp {
                        true => Offer::Udp(PortPair {
                            rtp: 5000 + 2 * track as u16,
                            rtcp: 5001 + 2 * track as u16,
                        }),
                        false => Offer::Tcp(Channels::nth(track).unwrap()),
                    });
                    self.dialogue.play(offers.collect(), Ipv4Addr::new(10, 0, 0, 7).into(), self.now)?;
                }
                _ if self.dialogue.out().is_empty() => {
                    self.now = self.dialogue.due().expect("something is awaited");
                    self.dialogue.tick(self.now)?;
                }
                _ => {}
            }
        }
    }

    /// Lets time go by; the camera answers.
    fn pass(&mut self, camera: &mut Fake, time: Duration) -> Result<(), Stop> {
        let end = self.now + time;
        while let Some(due) = self.dialogue.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.dialogue.tick(self.now)?;
            let answers = camera.answer(self.dialogue.out());
            self.give(&answers, 1000)?;
        }
        self.now = end;
        Ok(())
    }

    /// What came: track and sequence number, `E` for an epoch.
    fn came(&self) -> String {
        let word = |event: &Event| match event {
            Event::Packet { track, packet, .. } => {
                format!("{track}:{}", u16::from_be_bytes([packet[2], packet[3]]))
            }
            Event::Report { track, .. } => format!("{track}:report"),
            Event::Epoch { track } => format!("{track}:E"),
        };
        self.events.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Starts with a camera; the outcome: what came, or the words.
fn outcome(camera: &mut Fake, size: usize) -> String {
    let mut run = Run::new();
    match run.start(camera, size) {
        Ok(()) => run.came(),
        Err(Stop::Failed(error)) => format!("{}: {error}", error.class),
        Err(Stop::Redirect(uri)) => format!("redirect {uri}"),
    }
}

/// The usual answer to `method`, with a change.
fn changed(method: Method, change: impl Fn(String) -> String + 'static) -> Fake {
    Fake::new(move |request| (request.method == method).then(|| change(usual(request))))
}

fn replaced(method: Method, from: &'static str, to: &'static str) -> Fake {
    changed(method, move |text| text.replace(from, to))
}

const PLAYS: &str = "0:1 1:1 0:2";

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
            camera.media = media();
            assert_eq!(outcome(&mut camera, size), PLAYS, "{what}");
        }
    }
}

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
fn c59_packets_on_channels_nobody_agreed_on_find_their_track() {
    let mut camera = Fake::new(|_| None);
    camera.media = [frame(4, &rtp(96, 1, 5)), frame(6, &rtp(0, 1, 6)), frame(4, &rtp(96, 2, 5))].concat();
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
    camera.media = media();
    assert_eq!(outcome(&mut camera, 1000), "0:1 0:2");
    let mut none = Fake::new(|request| {
        (request.method == Method::Setup).then(|| "RTSP/1.0 461 No\r\nCSeq: CSEQ\r\n\r\n".into())
    });
    assert_eq!(outcome(&mut none, 1000), "status: SETUP: 461 Unsupported Transport");
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
fn c26_c27_packets_count_from_play_on() {
    let mut camera = Fake::new(|request| {
        // Channel 0 of another session with every answer; with PLAY, our first packets come before it.
        let strays =
            String::from_utf8(frame(0, b"\0\0\0\x01").iter().map(|byte| byte & 0x7F).collect()).unwrap();
        (request.method != Method::Play).then(|| strays + &usual(request))
    });
    assert_eq!(outcome(&mut camera, 1000), PLAYS);
    let mut run = Run::new();
    run.give(&media(), 10).unwrap();
    assert_eq!(run.came(), "", "before PLAY nothing counts");
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

fn playing() -> (Run, Fake) {
    let (mut run, mut camera) = (Run::new(), Fake::new(|_| None));
    run.start(&mut camera, 1000).unwrap();
    run.events.clear();
    (run, camera)
}

#[test]
fn c77_to_c81_media_goes_on_whatever_comes_in_between() {
    let (mut run, _) = playing();
    let video = |sequence, ssrc| frame(0, &rtp(96, sequence, ssrc));
    let bytes = [
        video(3, 5),
        frame(0, b"runt"),
        frame(0, b""),
        frame(0, &[0; 20]),
        frame(1, &[0x80, 200]),
        frame(1, &[0x80, 200, 0xFF, 0xFF, 0, 0, 0, 0]),
        frame(1, &[0x81, 203, 0, 1, 0, 0, 0, 5]),
        b"\0\0\n".to_vec(),
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n".to_vec(),
        video(4, 5),
        video(100, 9),
        video(101, 9),
        video(50, 9),
        video(51, 9),
    ];
    run.give(&bytes.concat(), 10).unwrap();
    assert_eq!(run.came(), "0:3 0:4 0:E 0:100 0:101 0:E 0:50 0:51");
}

#[test]
fn c10_c14_signs_of_life_that_fail_do_not_end_media() {
    for answer in [
        "",
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        "RTSP/1.0 200 OK\r\n\r\n",
        "RTSP/1.0 454 Session Not Found\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 501 Not Implemented\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 500\r\nContent-Length: 99999999\r\n\r\n",
    ] {
        let (mut run, _) = playing();
        let mut camera = Fake::new(move |_| Some(answer.to_owned()));
        for sequence in 10..40 {
            run.pass(&mut camera, Duration::from_secs(4)).unwrap();
            run.give(&frame(0, &rtp(96, sequence, 5)), 1000).unwrap();
        }
        assert_eq!(run.events.len(), 30, "{answer}");
        assert!(camera.log.len() > 25, "signs of life every 4 s of a timeout of 10: {}", camera.log.len());
    }
}

#[test]
fn c01_what_the_camera_asks_is_answered_while_playing() {
    let (mut run, _) = playing();
    for (asked, answer) in [
        ("OPTIONS * RTSP/1.0\r\nCSeq: 5\r\nSession: 7\r\n\r\n", "RTSP/1.0 200 OK\r\nCSeq: 5\r\n"),
        (
            "ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 6\r\nContent-Length: 3\r\n\r\nm=x",
            "RTSP/1.0 200 OK\r\nCSeq: 6\r\n",
        ),
        ("RECORD * RTSP/1.0\r\nCSeq: 7\r\n\r\n", "RTSP/1.0 501 Not Implemented\r\nCSeq: 7\r\n"),
    ] {
        run.dialogue.out().clear();
        run.give(asked.as_bytes(), 9).unwrap();
        assert!(run.dialogue.out().starts_with(answer.as_bytes()), "{}", run.dialogue.out().escape_ascii());
    }
    // A camera that asks without end and never reads costs us no more than this.
    for _ in 0..10_000 {
        run.give(b"OPTIONS * RTSP/1.0\r\nCSeq: 5\r\n\r\n", 1000).unwrap();
    }
    assert!(run.dialogue.out().len() < 20_000);
}

#[test]
fn reports_go_back_over_the_channel_and_teardown_ends_it() {
    let (mut run, mut camera) = playing();
    run.now += Duration::from_millis(1000);
    run.dialogue.tick(run.now).unwrap();
    assert!(run.dialogue.out().starts_with(&[b'$', 1]), "a receiver report of the video");
    run.dialogue.out().clear();
    camera.log.clear();
    run.dialogue.tear_down(run.now);
    assert_eq!(run.dialogue.stage(), Stage::Ending);
    let answers = camera.answer(run.dialogue.out());
    run.give(&answers, 1000).unwrap();
    assert_eq!(camera.log, [format!("TEARDOWN {URI}")]);
    assert_eq!(run.dialogue.stage(), Stage::Ended);
}

#[test]
fn media_that_flows_is_an_answer_to_play() {
    let mut camera = Fake::new(|request| (request.method == Method::Play).then(String::new));
    let mut run = Run::new();
    let started = run.start(&mut camera, 1000);
    assert!(started.is_err(), "nothing comes: {started:?}");
    let mut run = Run::new();
    run.udp = false;
    let mut flood = Fake::new(|request| (request.method == Method::Play).then(String::new));
    loop {
        let answers = flood.answer(run.dialogue.out());
        run.give(&answers, 1000).unwrap();
        match run.dialogue.stage() {
            Stage::Described => {
                let offers =
                    vec![Offer::Tcp(Channels { rtp: 0, rtcp: 1 }), Offer::Tcp(Channels { rtp: 2, rtcp: 3 })];
                run.dialogue.play(offers, Ipv4Addr::LOCALHOST.into(), run.now).unwrap();
            }
            Stage::Starting if run.dialogue.out().is_empty() => break,
            _ => {}
        }
    }
    for sequence in 0..5000 {
        run.give(&frame(0, &rtp(96, sequence, 5)), 1000).unwrap();
    }
    assert_eq!(run.dialogue.stage(), Stage::Playing);
    assert_eq!(run.events.len(), 5000);
}
