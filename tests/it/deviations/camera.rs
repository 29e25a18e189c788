//! A camera whose behaviour is data: it answers well, but for what a row says. It shares no code with the relay.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::support::h264::{Delivery, H264, ParameterSets};
use crate::support::rtp::Rtp;

/// A request as the camera got it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    pub uri: String,
    /// All of it.
    pub text: String,
    pub cseq: String,
    /// How many requests of this method came before, on all connections.
    pub before: usize,
}

impl Ask {
    pub fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.text.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// What the camera does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Send(Vec<u8>),
    /// Nothing at all.
    Ignore,
    SendAndClose(Vec<u8>),
    /// A beginning, and then the same again for as long as somebody reads.
    Flood(Vec<u8>, Vec<u8>),
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        // Latin-1, so that any byte can be written as a character.
        Self::Send(text.chars().map(|c| c as u8).collect())
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

type Answer = Arc<dyn Fn(&Ask, String) -> Reply + Send + Sync>;
type Media = Arc<dyn Fn(u32, Vec<Vec<u8>>) -> Vec<u8> + Send + Sync>;

/// The script of a camera.
#[derive(Clone)]
pub struct Script {
    sdp: Vec<u8>,
    answers: Vec<(String, Answer)>,
    media: Media,
    /// The first payload type.
    payload_type: u8,
    /// Media begins without the answer to PLAY.
    plays_anyway: bool,
    /// What UDP datagrams come from: nothing for a port as announced.
    udp: Option<Udp>,
    /// What the camera sends of itself, every so many frames.
    says: Option<(u32, Vec<u8>)>,
    /// The part of the URL behind the authority.
    pub path: &'static str,
    /// Name and password in the URL.
    pub login: &'static str,
    /// Frames a second.
    fps: u32,
    packet_size: usize,
    /// Media ends where none of these requests has come for this long.
    forgets: Option<(&'static [&'static str], Duration)>,
}

/// How datagrams are sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Udp {
    /// Two neighbours change places, every fourth time.
    pub reorder: bool,
}

/// What the usual camera describes: H.264 and PCMU.
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;profile-level-id=4d002a;sprop-parameter-sets=Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=,aO48gA==\r\n\
    a=control:track0\r\nm=audio 0 RTP/AVP 0\r\na=control:track1\r\n";

/// The video alone.
pub const VIDEO: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;profile-level-id=4d002a;sprop-parameter-sets=Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=,aO48gA==\r\n\
    a=control:track0\r\n";

/// An interleaved frame.
pub fn frame(channel: u8, packet: &[u8]) -> Vec<u8> {
    [&[b'$', channel][..], &(packet.len() as u16).to_be_bytes(), packet].concat()
}

/// The packets of a picture on channel 0.
pub fn frames(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.iter().flat_map(|packet| frame(0, packet)).collect()
}

impl Script {
    pub fn new() -> Self {
        Self {
            sdp: SDP.into(),
            answers: Vec::new(),
            media: Arc::new(|_, packets| frames(&packets)),
            payload_type: 96,
            plays_anyway: false,
            udp: None,
            says: None,
            path: "/live",
            login: "",
            fps: 100,
            packet_size: 200,
            forgets: None,
        }
    }

    /// Describes something else.
    pub fn sdp(mut self, text: impl AsRef<[u8]>) -> Self {
        self.sdp = text.as_ref().to_owned();
        self
    }

    /// The usual description, one text in place of another.
    pub fn sdp_with(self, from: &str, to: &str) -> Self {
        assert!(SDP.contains(from), "{from}");
        self.sdp(SDP.replace(from, to))
    }

    /// Changes the answers to a method.
    pub fn on<R: Into<Reply>>(
        mut self,
        method: &str,
        answer: impl Fn(&Ask, String) -> R + Send + Sync + 'static,
    ) -> Self {
        self.answers.push((method.to_owned(), Arc::new(move |ask, text| answer(ask, text).into())));
        self
    }

    /// One text for another in the answers to a method; `*` stands for all methods.
    pub fn with(self, method: &'static str, from: &'static str, to: &'static str) -> Self {
        self.on(method, move |ask, text| {
            assert!(method == "*" || text.contains(from) || ask.before > 0, "{from:?} in {text:?}");
            text.replace(from, to)
        })
    }

    /// A whole answer, `CSEQ` for the number.
    pub fn whole(self, method: &'static str, text: &'static str) -> Self {
        self.on(method, move |ask, _| text.replace("CSEQ", &ask.cseq))
    }

    /// Media as bytes on the connection, from the number of a picture and its packets.
    pub fn media(mut self, media: impl Fn(u32, Vec<Vec<u8>>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.media = Arc::new(media);
        self
    }

    /// Stray bytes in front of every fifth picture.
    pub fn stray(self, bytes: &'static [u8]) -> Self {
        self.media(move |n, packets| {
            let stray = if n % 5 == 4 { bytes } else { b"" };
            [stray, &frames(&packets)].concat()
        })
    }

    pub fn payload_type(mut self, number: u8) -> Self {
        self.payload_type = number;
        self
    }

    pub fn packet_size(mut self, bytes: usize) -> Self {
        self.packet_size = bytes;
        self
    }

    /// Media ends where none of these requests has come for this long; it lasts for several times that.
    pub fn forgets(mut self, without: &'static [&'static str], after: Duration) -> Self {
        (self.forgets, self.fps) = (Some((without, after)), 20);
        self
    }

    pub fn plays_anyway(mut self) -> Self {
        self.plays_anyway = true;
        self
    }

    /// Every `frames` pictures.
    pub fn says(mut self, frames: u32, text: impl AsRef<[u8]>) -> Self {
        self.says = Some((frames, text.as_ref().to_owned()));
        self
    }

    pub fn udp(mut self, udp: Udp) -> Self {
        self.udp = Some(udp);
        self
    }

    pub fn path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    pub fn login(mut self, login: &'static str) -> Self {
        self.login = login;
        self
    }

    pub async fn start(self) -> Camera {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("rtsp://{}{address}{}", self.login, self.path);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (script, asked) = (Arc::new(self), Arc::clone(&log));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let (script, log) = (Arc::clone(&script), Arc::clone(&asked));
                open.spawn(async move { Connection::new(stream, address, script, log).run().await });
            }
        });
        Camera { url, log, connections, _tasks: tasks }
    }

    fn usual(&self, ask: &Ask, address: SocketAddr) -> String {
        let base = format!("rtsp://{address}{}", self.path);
        let head = format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\nServer: Deviant\r\n", ask.cseq);
        let transport = ask.header("Transport").unwrap_or_default();
        let session = "Session: 12345678;timeout=60\r\n";
        match ask.method.as_str() {
            "OPTIONS" => {
                format!("{head}Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n\r\n")
            }
            "DESCRIBE" => {
                let sdp: String = self.sdp.iter().copied().map(char::from).collect();
                format!(
                    "{head}Content-Base: {base}/\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                    self.sdp.len()
                )
            }
            "SETUP" if transport.contains("interleaved") => {
                let channels = transport.split("interleaved=").nth(1).unwrap_or_default();
                let channels = channels.split(';').next().unwrap_or_default();
                format!("{head}{session}Transport: RTP/AVP/TCP;unicast;interleaved={channels}\r\n\r\n")
            }
            "SETUP" => {
                let ports = client_port(transport);
                format!(
                    "{head}{session}Transport: RTP/AVP;unicast;client_port={}-{};server_port=UDP_RTP-UDP_RTCP\r\n\r\n",
                    ports,
                    ports + 1
                )
            }
            "PLAY" => format!(
                "{head}{session}Range: npt=0.000-\r\nRTP-Info: url={base}/track0;seq=1000;rtptime=0\r\n\r\n"
            ),
            _ => format!("{head}{session}\r\n"),
        }
    }
}

fn client_port(transport: &str) -> u16 {
    let text = transport.split("client_port=").nth(1).unwrap_or_default();
    text.split(['-', ';']).next().unwrap_or_default().parse().unwrap_or(0)
}

/// A camera that runs.
pub struct Camera {
    pub url: String,
    /// The requests, in order.
    pub log: Arc<Mutex<Vec<Ask>>>,
    pub connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Ask>>>,
    buffer: Vec<u8>,
    encoder: H264,
    /// The next picture, once it plays.
    playing: Option<u32>,
    sequence: u16,
    /// The client's first port, and where from.
    udp: Option<(u16, UdpSocket)>,
    held: Option<Vec<u8>>,
    /// When the session last had a sign of life that counts.
    lived: Instant,
}

impl Connection {
    fn new(stream: TcpStream, address: SocketAddr, script: Arc<Script>, log: Arc<Mutex<Vec<Ask>>>) -> Self {
        let encoder = H264 {
            parameter_sets: ParameterSets::MAIN,
            delivery: Delivery::SdpOnly,
            packets_per_frame: 2,
            packet_size: script.packet_size,
        };
        Self {
            stream,
            address,
            script,
            log,
            buffer: Vec::new(),
            encoder,
            playing: None,
            sequence: 1000,
            udp: None,
            held: None,
            lived: Instant::now(),
        }
    }

    async fn run(mut self) {
        let mut clock = interval(Duration::from_secs(1) / self.script.fps);
        let mut chunk = [0; 4096];
        loop {
            tokio::select! {
                biased;
                read = self.stream.read(&mut chunk) => match read {
                    Ok(length @ 1..) => {
                        self.buffer.extend_from_slice(&chunk[..length]);
                        while let Some(ask) = self.take() {
                            if !self.answer(ask).await {
                                return;
                            }
                        }
                    }
                    _ => return,
                },
                _ = clock.tick(), if self.playing.is_some() => {
                    if !self.picture().await {
                        return;
                    }
                }
            }
        }
    }

    /// The next request; what the client sends interleaved is passed over.
    fn take(&mut self) -> Option<Ask> {
        while self.buffer.first() == Some(&b'$') {
            let length = 4 + usize::from(u16::from_be_bytes([*self.buffer.get(2)?, *self.buffer.get(3)?]));
            if self.buffer.len() < length {
                return None;
            }
            self.buffer.drain(..length);
        }
        let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut words = text.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let uri = words.next().unwrap_or_default().to_owned();
        let mut ask = Ask { method, uri, text, cseq: String::new(), before: 0 };
        ask.cseq = ask.header("CSeq").unwrap_or_default().to_owned();
        let mut log = self.log.lock().unwrap();
        ask.before = log.iter().filter(|other| other.method == ask.method).count();
        log.push(ask.clone());
        Some(ask)
    }

    /// Answers; `false` at the end of the connection.
    async fn answer(&mut self, ask: Ask) -> bool {
        if ask.has("\n$") || ask.method.is_empty() || ask.text.starts_with("RTSP/") {
            return true; // an answer to what the camera asked
        }
        let counts =
            |(signs, _): (&[&str], Duration)| ask.method == "PLAY" || signs.contains(&ask.method.as_str());
        if self.script.forgets.is_some_and(counts) {
            self.lived = Instant::now();
        }
        let mut reply: Reply = self.script.usual(&ask, self.address).into();
        for (method, answer) in self.script.answers.iter().filter(|(m, _)| *m == ask.method || m == "*") {
            let _ = method;
            if let Reply::Send(bytes) = &reply {
                reply = answer(&ask, bytes.iter().copied().map(char::from).collect());
            }
        }
        if ask.method == "SETUP" && ask.has("client_port") && !ask.has("track1") {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let port = socket.local_addr().unwrap().port();
            if let Reply::Send(bytes) = &mut reply {
                let text: String = bytes.iter().copied().map(char::from).collect();
                let text = text.replace("UDP_RTP", &port.to_string());
                *bytes = text.replace("UDP_RTCP", &(port.wrapping_add(1)).to_string()).into_bytes();
            }
            let to = client_port(ask.header("Transport").unwrap_or_default());
            self.udp = Some((to, socket));
        }
        let (bytes, close) = match reply {
            Reply::Ignore => {
                if ask.method == "PLAY" && self.script.plays_anyway {
                    self.playing = Some(0);
                }
                return true;
            }
            Reply::Send(bytes) => (bytes, false),
            Reply::SendAndClose(bytes) => (bytes, true),
            Reply::Flood(begin, again) => {
                let mut more = self.stream.write_all(&begin).await;
                while more.is_ok() {
                    more = self.stream.write_all(&again).await;
                }
                return false;
            }
        };
        let plays = bytes.windows(5).take(60).any(|window| window == b" 200 " || window == b" 200\r");
        if self.stream.write_all(&bytes).await.is_err() || close {
            let _ = self.stream.shutdown().await;
            return false;
        }
        match ask.method.as_str() {
            "PLAY" if plays || self.script.plays_anyway => self.playing = Some(0),
            "TEARDOWN" => self.playing = None,
            _ => {}
        }
        true
    }

    /// Sends the next picture; `false` at the end of the connection.
    async fn picture(&mut self) -> bool {
        let Some(number) = self.playing else { return true };
        self.playing = Some(number + 1);
        if self.script.forgets.is_some_and(|(_, after)| self.lived.elapsed() > after) {
            return true;
        }
        let payloads = self.encoder.frame(number, number.is_multiple_of(10));
        let last = payloads.len() - 1;
        let packets: Vec<Vec<u8>> = payloads
            .into_iter()
            .enumerate()
            .map(|(at, payload)| {
                self.sequence = self.sequence.wrapping_add(1);
                let packet = Rtp {
                    payload_type: self.script.payload_type,
                    marker: at == last,
                    sequence: self.sequence,
                    timestamp: number.wrapping_mul(90_000 / self.script.fps),
                    ssrc: 0x5EED,
                    payload,
                };
                packet.to_bytes()
            })
            .collect();
        if let Some((port, socket)) = &self.udp {
            let reorder = self.script.udp.is_some_and(|udp| udp.reorder);
            for packet in packets {
                if reorder && number % 4 == 1 && self.held.is_none() {
                    self.held = Some(packet);
                    continue;
                }
                let _ = socket.send_to(&packet, ("127.0.0.1", *port)).await;
                if let Some(held) = self.held.take() {
                    let _ = socket.send_to(&held, ("127.0.0.1", *port)).await;
                }
            }
            return true;
        }
        let mut bytes = (self.script.media)(number, packets);
        if let Some((every, text)) = &self.script.says
            && number % every == every - 1
        {
            bytes.extend_from_slice(text);
        }
        self.stream.write_all(&bytes).await.is_ok()
    }
}
