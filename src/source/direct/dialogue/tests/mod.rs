//! Cameras that deviate, one at a time: the rows of the camera survey by their numbers, each with its outcome.

mod control_channel;
mod media;
mod setting_up;

use std::net::Ipv4Addr;

use super::*;
use crate::rtsp::transport::{Channels, PortPair};
use crate::rtsp::{Item, Limits, parse};
use crate::vocabulary::Secret;

/// A camera that answers well, but for what a test says.
struct Fake {
    /// What it answers to a request, `CSEQ` standing for its number; `None` for the usual.
    odd: Odd,
    /// What it sends after the answer to PLAY.
    media: Vec<u8>,
    log: Vec<String>,
}

type Odd = Box<dyn Fn(&Request) -> Option<String>>;

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
fn packets() -> Vec<u8> {
    [frame(0, &rtp(96, 1, 5)), frame(2, &rtp(0, 1, 6)), frame(0, &rtp(96, 2, 5))].concat()
}

impl Fake {
    fn new(odd: impl Fn(&Request) -> Option<String> + 'static) -> Self {
        Self { odd: Box::new(odd), media: packets(), log: Vec::new() }
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
    Options {
        step: Duration::from_secs(10),
        reorder: Duration::from_millis(50),
        tracks: Selection::default(),
        quirks: Quirks::built_in(),
        ask_options: false,
        notes: Notes::default(),
        seed: 1,
    }
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
        // What waited may be due now.
        while self.dialogue.receive(&mut self.buf, self.now)? {}
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

fn playing() -> (Run, Fake) {
    let (mut run, mut camera) = (Run::new(), Fake::new(|_| None));
    run.start(&mut camera, 1000).unwrap();
    run.events.clear();
    (run, camera)
}
