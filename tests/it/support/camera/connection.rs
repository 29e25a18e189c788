//! One client connection: a strict RTSP server of a few lines.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::digest;
use super::media::Moment;
use super::session::{Path, Session, Wire};
use super::{Close, Fault, Numbering, Shared};

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Request {
    /// Number of the connection, from 1.
    pub connection: usize,
    pub at: Instant,
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What the writer of a connection is told to do.
#[derive(Debug)]
pub(super) enum Event {
    Answer(Vec<u8>),
    /// Send it and drop the guard.
    Moment(Arc<Moment>, Option<mpsc::Sender<()>>),
    Renumber(Numbering),
    Bye,
}

pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut close = shared.close.subscribe();
    stream.set_nodelay(true).unwrap();
    shared.count(|c| {
        c.connections += 1;
        c.connections_total += 1;
    });
    let (events, inbox) = mpsc::unbounded_channel();
    let mut client = Client {
        number: shared.counts.borrow().connections_total,
        peer: stream.peer_addr().unwrap(),
        shared: Arc::clone(&shared),
        session: Arc::default(),
        events,
        udp: JoinSet::new(),
    };
    let session = Arc::clone(&client.session);
    let told = {
        let (read, write) = stream.split();
        tokio::select! {
            () = client.read_requests(read) => None,
            () = write_events(&shared, &session, inbox, write) => None,
            Ok(()) = close.changed() => Some(*close.borrow_and_update()),
        }
    };
    client.end_session();
    if told == Some(Close::Rst) {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(stream);
    shared.count(|c| c.connections -= 1);
}

/// The writing half: answers and media in the order in which they were queued.
async fn write_events(
    shared: &Shared,
    session: &Mutex<Option<Session>>,
    mut inbox: mpsc::UnboundedReceiver<Event>,
    mut stream: impl AsyncWrite + Unpin,
) {
    while let Some(event) = inbox.recv().await {
        let (packets, _guard) = {
            let mut session = session.lock().unwrap();
            match (event, session.as_mut()) {
                (Event::Answer(answer), _) => (vec![Wire::Tcp(answer)], None),
                (Event::Moment(moment, guard), Some(session)) => (session.packets(&moment, shared), guard),
                (Event::Renumber(numbering), Some(session)) => {
                    session.renumber(numbering);
                    continue;
                }
                (Event::Bye, Some(session)) => (session.byes(), None),
                (_, None) => continue,
            }
        };
        let mut interleaved = Vec::new(); // one write a frame, as cameras with a big enough buffer do
        for packet in packets {
            match packet {
                Wire::Tcp(data) => interleaved.extend(data),
                Wire::Udp(socket, to, data) => {
                    let _ = socket.send_to(&data, to).await; // an unreachable port is the client's affair
                }
            }
        }
        if stream.write_all(&interleaved).await.is_err() {
            return;
        }
    }
}

/// The reading half.
struct Client {
    number: usize,
    peer: SocketAddr,
    shared: Arc<Shared>,
    session: Arc<Mutex<Option<Session>>>,
    events: mpsc::UnboundedSender<Event>,
    /// Read what clients send to our UDP ports.
    udp: JoinSet<()>,
}

impl Client {
    async fn read_requests(&mut self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = Vec::new();
        loop {
            while let Some(message) = take_message(&mut buffer) {
                match message {
                    Message::Interleaved => self.shared.count(|c| c.reports += 1),
                    Message::Request(text) => {
                        let request = self.parse(&text);
                        self.shared.log.lock().unwrap().push(request.clone());
                        self.shared.count(|c| c.requests += 1);
                        if self.handle(request).await.is_break() {
                            return;
                        }
                    }
                }
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn parse(&self, text: &str) -> Request {
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, uri) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let (method, uri) = (method.to_owned(), uri.to_owned());
        Request { connection: self.number, at: Instant::now(), method, uri, headers }
    }

    async fn handle(&mut self, request: Request) -> std::ops::ControlFlow<()> {
        let method = request.method.as_str();
        for fault in self.shared.faults() {
            match fault {
                Fault::Delay(m, delay) if m == method => sleep(delay).await,
                Fault::Mute => return std::ops::ControlFlow::Continue(()),
                Fault::CloseOn(m) if m == method => return std::ops::ControlFlow::Break(()),
                Fault::Status(m, status) if m == method => {
                    self.answer(&request, status, &[], "");
                    return std::ops::ControlFlow::Continue(());
                }
                _ => {}
            }
        }
        if method != "OPTIONS" && !self.authorized(&request) {
            let challenge = format!("Digest realm=\"{REALM}\", nonce=\"{NONCE}\"");
            self.answer(&request, 401, &[("WWW-Authenticate", challenge)], "");
            return std::ops::ControlFlow::Continue(());
        }
        match method {
            "OPTIONS" => {
                let public = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
                self.answer(&request, 200, &[("Public", public.to_owned())], "");
            }
            "DESCRIBE" => self.describe(&request),
            "SETUP" => self.setup(&request).await,
            "PLAY" => self.play(&request),
            "PAUSE" => {
                self.pause();
                self.answer(&request, 200, &[], "");
            }
            "TEARDOWN" => {
                self.shared.count(|c| c.teardowns += 1);
                self.answer(&request, 200, &[], "");
                self.end_session();
            }
            "GET_PARAMETER" | "SET_PARAMETER" => self.answer(&request, 200, &[], ""),
            _ => self.answer(&request, 405, &[], ""),
        }
        std::ops::ControlFlow::Continue(())
    }

    fn authorized(&self, request: &Request) -> bool {
        let settings = self.shared.settings.lock().unwrap();
        let Some((user, password)) = &settings.auth else { return true };
        let Some(header) = request.header("Authorization") else { return false };
        let given = |name| digest::parameter(header, name).unwrap_or_default();
        let response = digest::response(user, REALM, password, NONCE, &request.method, given("uri"));
        given("username") == user && given("response") == response
    }

    fn describe(&self, request: &Request) {
        if !self.is_ours(&request.uri) {
            return self.answer(request, 404, &[], "");
        }
        let sdp = self.shared.settings.lock().unwrap().sdp.clone();
        let sdp = sdp.unwrap_or_else(|| self.shared.encoder.lock().unwrap().media.sdp());
        let base = format!("{}/", self.shared.url);
        let headers = [("Content-Base", base), ("Content-Type", "application/sdp".to_owned())];
        self.answer(request, 200, &headers, &sdp);
    }

    fn is_ours(&self, uri: &str) -> bool {
        let path = uri.strip_prefix("rtsp://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
        path.is_some_and(|path| path.trim_end_matches('/') == self.shared.path)
    }

    async fn setup(&mut self, request: &Request) {
        let formats = self.shared.encoder.lock().unwrap().media.formats();
        let track = request.uri.rsplit_once("/track").and_then(|(_, n)| n.parse::<usize>().ok());
        let Some((track, format)) = track.and_then(|t| Some((t, *formats.get(t)?))) else {
            return self.answer(request, 404, &[], "");
        };
        let transport = request.header("Transport").unwrap_or_default().to_owned();
        let pair = |name: &str| -> Option<(u16, u16)> {
            let value = transport.split(';').find_map(|p| p.strip_prefix(name)?.strip_prefix('='))?;
            let (a, b) = value.split_once('-')?;
            Some((a.parse().ok()?, b.parse().ok()?))
        };
        let (path, mut answer) = if let Some((channel, _)) = pair("interleaved") {
            let path = Path::Tcp { channel: channel as u8 };
            (path, format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1))
        } else if let Some((a, b)) = pair("client_port") {
            let (rtp, rtcp) = udp_pair().await;
            let (rtp_port, rtcp_port) = (port(&rtp), port(&rtcp));
            for socket in [&rtp, &rtcp] {
                self.udp.spawn(count_reports(Arc::clone(&self.shared), Arc::clone(socket)));
            }
            let to = ((self.peer.ip(), a).into(), (self.peer.ip(), b).into());
            let answer =
                format!("RTP/AVP/UDP;unicast;client_port={a}-{b};server_port={rtp_port}-{rtcp_port}");
            (Path::Udp { rtp, rtcp, to }, answer)
        } else {
            return self.answer(request, 461, &[], "");
        };
        let numbering = self.shared.settings.lock().unwrap().numbering;
        {
            let mut session = self.session.lock().unwrap();
            let session = session.get_or_insert_with(|| {
                self.shared.count(|c| {
                    c.sessions_open += 1;
                    c.sessions_total += 1;
                });
                Session::new()
            });
            let track = session.set_up(track, path, format, numbering);
            answer += &format!(";ssrc={:08X}", track.ssrc);
        }
        self.answer(request, 200, &[("Transport", answer)], "");
    }

    /// Answers and starts in one step under the encoder's lock, so that no frame can slip in between: the first
    /// packet is the one that `RTP-Info` promises.
    fn play(&self, request: &Request) {
        let mut encoder = self.shared.encoder.lock().unwrap();
        let mut lines = Vec::new();
        if let Some(session) = self.session.lock().unwrap().as_mut() {
            for (index, track) in session.tracks.iter().enumerate() {
                let Some(track) = track else { continue };
                let rtptime = track.timestamp_of_frame(encoder.next, self.shared.fps);
                let (url, sequence) = (&self.shared.url, track.sequence);
                lines.push(format!("url={url}/track{index};seq={sequence};rtptime={rtptime}"));
            }
            if !std::mem::replace(&mut session.playing, true) {
                self.shared.count(|c| c.playing += 1);
            }
        }
        if lines.is_empty() {
            return self.answer(request, 455, &[], "");
        }
        self.answer(request, 200, &[("RTP-Info", lines.join(","))], "");
        if !encoder.listeners.iter().any(|listener| listener.same_channel(&self.events)) {
            encoder.listeners.push(self.events.clone());
        }
    }

    fn pause(&self) {
        if let Some(session) = self.session.lock().unwrap().as_mut()
            && std::mem::take(&mut session.playing)
        {
            self.shared.count(|c| c.playing -= 1);
        }
    }

    fn end_session(&mut self) {
        self.pause();
        self.udp.abort_all();
        if self.session.lock().unwrap().take().is_some() {
            self.shared.count(|c| c.sessions_open -= 1);
        }
    }

    fn answer(&self, request: &Request, status: u16, headers: &[(&str, String)], body: &str) {
        let cseq = request.header("CSeq").unwrap_or("0");
        let mut text = format!("RTSP/1.0 {status} Because\r\nCSeq: {cseq}\r\nServer: simulated camera\r\n");
        if let Some(session) = self.session.lock().unwrap().as_ref() {
            text += &format!("Session: {};timeout=60\r\n", session.id);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        text += body;
        let _ = self.events.send(Event::Answer(text.into_bytes()));
    }
}

enum Message {
    Request(String),
    Interleaved,
}

/// Cuts the first complete message off `buffer`.
fn take_message(buffer: &mut Vec<u8>) -> Option<Message> {
    if buffer.first() == Some(&b'$') {
        let len = 4 + usize::from(u16::from_be_bytes([*buffer.get(2)?, *buffer.get(3)?]));
        return (buffer.len() >= len).then(|| {
            buffer.drain(..len);
            Message::Interleaved
        });
    }
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let body = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    if buffer.len() < head + body {
        return None;
    }
    buffer.drain(..head + body);
    Some(Message::Request(text))
}

/// An even RTP port and the odd one above it for RTCP.
async fn udp_pair() -> (Arc<UdpSocket>, Arc<UdpSocket>) {
    for _ in 0..200 {
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if port(&rtp).is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port(&rtp) + 1)).await
        {
            return (Arc::new(rtp), Arc::new(rtcp));
        }
    }
    panic!("no free pair of udp ports");
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

/// Counts the RTCP packets among what arrives; hole punches and the like are not counted.
async fn count_reports(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = [0; 2048];
    while let Ok(len) = socket.recv(&mut buffer).await {
        if len >= 8 && buffer[0] >> 6 == 2 && (200..=204).contains(&buffer[1]) {
            shared.count(|c| c.reports += 1);
        }
    }
}

const REALM: &str = "simulated";
const NONCE: &str = "5b7b9f5a0c3d4e21";
