//! The methods of RTSP: a strict server of a few lines.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::digest;
use super::connection::{Ending, Event};
use super::session::{Path, Session};
use super::{Close, Fault, Shared};

/// What an ONVIF client requires of a back channel.
const TAG: &str = "www.onvif.org/ver20/backchannel";

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
    pub(super) fn parse(text: &str, connection: usize) -> Self {
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, uri) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let (method, uri) = (method.to_owned(), uri.to_owned());
        Self { connection, at: Instant::now(), method, uri, headers }
    }

    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The client of a connection, as the camera knows it.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) peer: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<Mutex<Option<Session>>>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Read what clients send to our UDP ports.
    pub(super) udp: JoinSet<()>,
    /// It has sent TEARDOWN.
    pub(super) said_goodbye: bool,
    /// It has named its session: the answer to SETUP was in time for it.
    pub(super) knows_session: bool,
    /// The channel of the back channel.
    pub(super) listens_on: Option<u8>,
}

impl Client {
    pub(super) async fn handle(&mut self, request: Request) -> std::ops::ControlFlow<()> {
        let method = request.method.as_str();
        self.said_goodbye |= method == "TEARDOWN";
        self.knows_session |= request.header("Session").is_some();
        for fault in self.shared.faults() {
            match fault {
                Fault::Delay(m, delay) if m == method => sleep(delay).await,
                Fault::Mute => return std::ops::ControlFlow::Continue(()),
                Fault::Ignore(m) if m == method => return std::ops::ControlFlow::Continue(()),
                Fault::CloseOn(m) if m == method => return std::ops::ControlFlow::Break(()),
                Fault::Status(m, status) if m == method => {
                    self.answer(&request, status, &[], "");
                    return std::ops::ControlFlow::Continue(());
                }
                _ => {}
            }
        }
        if method != "OPTIONS"
            && let Err(challenge) = self.authorize(&request)
        {
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
            "TEARDOWN" => self.tear_down(&request),
            "GET_PARAMETER" | "SET_PARAMETER" => self.answer(&request, 200, &[], ""),
            _ => self.answer(&request, 405, &[], ""),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// `Err` is the challenge to answer with.
    fn authorize(&self, request: &Request) -> Result<(), String> {
        let settings = self.shared.settings.lock().unwrap();
        let Some((user, password)) = &settings.auth else { return Ok(()) };
        let nonce = format!("5b7b9f5a{:08x}", settings.nonce);
        let challenge = |stale| format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\"{stale}");
        let Some(header) = request.header("Authorization") else { return Err(challenge("")) };
        let given = |name| digest::parameter(header, name).unwrap_or_default();
        if given("nonce") != nonce {
            return Err(challenge(", stale=true"));
        }
        let response = digest::response(user, REALM, password, &nonce, &request.method, given("uri"));
        if given("username") == user && given("response") == response { Ok(()) } else { Err(challenge("")) }
    }

    fn describe(&self, request: &Request) {
        if !self.is_ours(&request.uri) {
            return self.answer(request, 404, &[], "");
        }
        let (sdp, listens) = {
            let settings = self.shared.settings.lock().unwrap();
            (settings.sdp.clone(), settings.listens.clone())
        };
        let mut sdp = sdp.unwrap_or_else(|| self.shared.encoder.lock().unwrap().media.sdp());
        match (request.header("Require"), listens) {
            (Some(TAG), Some(format)) => {
                sdp += &format!("m=audio 0 RTP/AVP {format}\r\na=control:back\r\na=sendonly\r\n");
            }
            (Some(tag), _) => {
                return self.answer(request, 551, &[("Unsupported", tag.to_owned())], "");
            }
            (None, _) => {}
        }
        let base = format!("{}/", self.shared.url);
        let headers = [("Content-Base", base), ("Content-Type", "application/sdp".to_owned())];
        self.answer(request, 200, &headers, &sdp);
    }

    fn is_ours(&self, uri: &str) -> bool {
        let path = uri.strip_prefix("rtsp://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
        path.is_some_and(|path| path.trim_end_matches('/') == self.shared.path)
    }

    /// SETUP of the back channel.
    async fn set_up_back(&mut self, request: &Request) {
        let refused = self.shared.faults().iter().find_map(|fault| match fault {
            Fault::RefuseBack(status) => Some(*status),
            _ => None,
        });
        let allowed = request.header("Require") == Some(TAG);
        if let Some(status) = refused.or((!allowed).then_some(400)) {
            return self.answer(request, status, &[], "");
        }
        let transport = request.header("Transport").unwrap_or_default().to_owned();
        let answer = if let Some((_, channels)) = transport.split_once("interleaved=") {
            self.listens_on = channels.split('-').next().and_then(|channel| channel.parse().ok());
            transport
        } else {
            let (rtp, rtcp) = udp_pair().await;
            let answer = format!("{transport};server_port={}-{}", port(&rtp), port(&rtcp));
            let shared = Arc::clone(&self.shared);
            self.udp.spawn(async move {
                let mut packet = [0; 2048];
                let _kept = rtcp;
                while let Ok(length) = rtp.recv(&mut packet).await {
                    // What opens a firewall has no payload.
                    if length > 12 {
                        shared.hear(&packet[..length]);
                    }
                }
            });
            answer
        };
        self.answer(request, 200, &[("Transport", answer)], "");
    }

    async fn setup(&mut self, request: &Request) {
        if request.uri.ends_with("/back") {
            return self.set_up_back(request).await;
        }
        let formats = self.shared.encoder.lock().unwrap().media.formats();
        let track = request.uri.rsplit_once("/track").and_then(|(_, n)| n.parse::<usize>().ok());
        let Some((track, format)) = track.and_then(|t| Some((t, *formats.get(t)?))) else {
            return self.answer(request, 404, &[], "");
        };
        let faults = self.shared.faults();
        let refused = faults.iter().find_map(|fault| match fault {
            Fault::RefuseTrack(refused, status) if *refused == track => Some(*status),
            Fault::RefuseUdp if request.header("Transport")?.contains("client_port") => Some(461),
            _ => None,
        });
        if let Some(status) = refused {
            return self.answer(request, status, &[], "");
        }
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
        if !self.has_a_session() {
            return self.answer(request, 453, &[], "");
        }
        let numbering = self.shared.settings.lock().unwrap().numbering;
        if let Some(session) = self.session.lock().unwrap().as_mut() {
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
        encoder.force_key |= self.shared.key_frame_on_play;
        self.answer(request, 200, &[("RTP-Info", lines.join(","))], "");
        if !encoder.listeners.iter().any(|listener| listener.same_channel(&self.events)) {
            encoder.listeners.push(self.events.clone());
        }
    }

    pub(super) fn pause(&self) {
        if let Some(session) = self.session.lock().unwrap().as_mut()
            && std::mem::take(&mut session.playing)
        {
            self.shared.count(|c| c.playing -= 1);
        }
    }

    /// Of this connection, or of one that was lost.
    fn tear_down(&mut self, request: &Request) {
        self.shared.count(|c| c.teardowns += 1);
        let id = request.header("Session").unwrap_or_default();
        let known = self.shared.register.lock().unwrap().end(id.split(';').next().unwrap_or_default().trim());
        self.answer(request, if known { 200 } else { 454 }, &[], "");
        self.end_session();
    }

    /// The connection is closed, by the client or by the camera.
    pub(super) fn disconnected(&mut self, by_client: bool) {
        self.pause();
        let kept = self.session_limit().map_or(Duration::ZERO, |(_, kept)| kept);
        if let Some(session) = self.session.lock().unwrap().as_ref() {
            self.shared.register.lock().unwrap().lost(&session.id, kept, Instant::now());
            if by_client && self.knows_session && !self.said_goodbye {
                self.shared.count(|c| c.abandoned += 1);
            }
        }
        self.end_session();
    }

    fn end_session(&mut self) {
        self.pause();
        self.udp.abort_all();
        if self.session.lock().unwrap().take().is_some() {
            self.shared.count(|c| c.sessions_open -= 1);
        }
    }

    /// Whether there is one, or may be one.
    fn has_a_session(&self) -> bool {
        let mut session = self.session.lock().unwrap();
        if session.is_some() {
            return true;
        }
        if self.shared.faults().contains(&Fault::NewSessionEndsOld) {
            self.shared.close.send_replace(Ending { how: Close::Fin, spared: self.number });
        }
        let limit = self.session_limit().map_or(usize::MAX, |(sessions, _)| sessions);
        let new = Session::new();
        let admitted = self.shared.register.lock().unwrap().admit(&new.id, limit, Instant::now());
        if admitted {
            *session = Some(new);
            self.shared.count(|c| {
                c.sessions_open += 1;
                c.sessions_total += 1;
            });
        }
        admitted
    }

    fn session_limit(&self) -> Option<(usize, Duration)> {
        self.shared.faults().into_iter().find_map(|fault| match fault {
            Fault::SessionLimit { sessions, kept } => Some((sessions, kept)),
            _ => None,
        })
    }

    /// How long the client may be silent now.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.session.lock().unwrap().as_ref()?;
        self.session_timeout()
    }

    fn session_timeout(&self) -> Option<Duration> {
        self.shared.faults().into_iter().find_map(|fault| match fault {
            Fault::SessionTimeout(timeout) => Some(timeout),
            _ => None,
        })
    }

    fn answer(&self, request: &Request, status: u16, headers: &[(&str, String)], body: &str) {
        let cseq = request.header("CSeq").unwrap_or("0");
        let mut text = format!("RTSP/1.0 {status} Because\r\nCSeq: {cseq}\r\nServer: simulated camera\r\n");
        if let Some(session) = self.session.lock().unwrap().as_ref() {
            let space = if self.shared.faults().contains(&Fault::SpacedSession) { " " } else { "" };
            let timeout = self.session_timeout().map_or(60, |timeout| timeout.as_secs());
            text += &format!("Session: {}{space};timeout={timeout}\r\n", session.id);
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
