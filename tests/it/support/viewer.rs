//! A raw-wire RTSP client: requests are written as given, answers and packets are handed out as they came. It follows
//! no rule of its own beyond CSeq and Session, so a test can send what no player would.
//!
//! Every read has a limit and panics with what was waited for, at the caller's line.

mod answer;
mod requests;
pub mod tunnel;
mod udp;
pub mod watch;

use std::collections::VecDeque;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;
use super::rtp::{Rtcp, Rtp, SenderReport};
use super::stamp::Stamp;
pub use answer::{Answer, RtpInfo};
use udp::UdpTrack;

/// Packets with one timestamp, the last with the marker bit.
pub type Frame = Vec<Rtp>;

/// A packet and the channel it came on: `2 * track` for RTP, one more for RTCP, over UDP too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interleaved {
    pub channel: u8,
    pub data: Vec<u8>,
}

/// The next thing on the RTSP connection.
#[derive(Debug)]
enum Message {
    Answer(Answer),
    Interleaved(Interleaved),
}

/// Why there is no next thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

#[derive(Debug)]
pub struct Viewer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What [`Viewer::describe`] and the rest ask for.
    pub url: String,
    /// `Content-Base` of the last DESCRIBE, else the URL.
    pub base: String,
    /// Of the last DESCRIBE.
    pub sdp: String,
    /// Sent with every request once a SETUP has been answered; tests may set it.
    pub session: Option<String>,
    /// Of the last request sent.
    pub cseq: u32,
    /// Sent with every request, such as `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Packets that came while something else was awaited.
    inbox: VecDeque<Interleaved>,
    udp: Vec<UdpTrack>,
    /// Through a tunnel: what it writes goes here, in base64.
    post: Option<TcpStream>,
}

impl Viewer {
    /// Connects to the host of `url` (an address with a port) and remembers it.
    #[track_caller]
    pub fn open(url: &str) -> impl Future<Output = Self> {
        let rest = url.strip_prefix("rtsp://").unwrap();
        let address: SocketAddr = rest.split('/').next().unwrap().parse().unwrap();
        let url = url.to_owned();
        async move {
            let mut viewer = Self::connect(address).await;
            viewer.base.clone_from(&url);
            viewer.url = url;
            viewer
        }
    }

    /// Connects; the URL is `rtsp://ADDRESS/` until the test sets another.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(TcpSocket::new_v4().unwrap(), address).await
    }

    /// As [`Viewer::connect`], from another address of this machine.
    pub async fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self::connect_with(socket, address).await
    }

    /// Plays over TCP through a connection that is full after a few frames that nobody reads.
    pub async fn play_narrow(url: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let mut viewer = Self::connect_with(socket, address.parse().unwrap()).await;
        viewer.url = url.to_owned();
        viewer.describe().await.ok();
        viewer.setup_tcp(0).await.ok();
        viewer.play().await.ok();
        viewer
    }

    async fn connect_with(socket: TcpSocket, address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, socket.connect(address)).await;
        let stream = stream.unwrap_or_else(|_| panic!("no connection to {address}")).unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("rtsp://{address}/");
        Self {
            stream,
            buffer: Vec::new(),
            base: url.clone(),
            url,
            sdp: String::new(),
            session: None,
            cseq: 0,
            headers: Vec::new(),
            inbox: VecDeque::new(),
            udp: Vec::new(),
            post: None,
        }
    }

    // Writing

    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.post {
            Some(post) => post.write_all(Self::encoded(bytes.as_ref()).as_bytes()).await.unwrap(),
            None => self.stream.write_all(bytes.as_ref()).await.unwrap(),
        }
    }

    /// Writes a request with CSeq, Session and [`Viewer::headers`] added, and does not wait for the answer.
    pub async fn send(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) {
        self.cseq += 1;
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        for (name, value) in
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(headers.iter().copied())
        {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        self.send_raw(text).await;
    }

    /// Writes one interleaved frame.
    pub async fn send_interleaved(&mut self, channel: u8, data: &[u8]) {
        let mut frame = vec![b'$', channel];
        frame.extend_from_slice(&(data.len() as u16).to_be_bytes());
        frame.extend_from_slice(data);
        self.send_raw(frame).await;
    }

    /// Writes what may be more than the server cares to read: whether it took all of it does not matter.
    pub async fn send_anyway(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads or closes");
    }

    /// Sends FIN and goes on reading.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends from the RTP port of a track that was set up over UDP to the server's, as hole punches do.
    pub async fn send_rtp(&mut self, track: usize, data: &[u8]) {
        let udp = self.udp.iter().find(|udp| udp.track == track).expect("set up over udp");
        udp.send_rtp(data).await;
    }

    /// Sends RTCP for a track, on whatever transport it was set up with.
    pub async fn send_rtcp(&mut self, track: usize, data: &[u8]) {
        match self.udp.iter().find(|udp| udp.track == track) {
            Some(udp) => udp.send_rtcp(data).await,
            None => self.send_interleaved(2 * track as u8 + 1, data).await,
        }
    }

    // Reading

    /// The next answer; packets met on the way are kept for later.
    #[track_caller]
    pub fn read_answer(&mut self) -> impl Future<Output = Answer> {
        let caller = std::panic::Location::caller();
        async move { self.answer_for(&format!("{caller}: an answer")).await }
    }

    /// The next answer, if it has arrived already: what the kernel holds is read, nothing is waited for.
    pub fn answer_now(&mut self) -> Option<Answer> {
        let socket = socket2::SockRef::from(&self.stream);
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = (&*socket).read(&mut chunk) {
            self.buffer.extend_from_slice(&chunk[..length]);
        }
        while let Some(message) = take_message(&mut self.buffer) {
            match message {
                Message::Answer(answer) => return Some(answer),
                Message::Interleaved(packet) => self.inbox.push_back(packet),
            }
        }
        None
    }

    async fn answer_for(&mut self, what: &str) -> Answer {
        loop {
            match timeout(PATIENCE, self.message()).await {
                Ok(Ok(Message::Answer(answer))) => return answer,
                Ok(Ok(Message::Interleaved(packet))) => self.inbox.push_back(packet),
                Ok(Err(ended)) => panic!("{ended:?} in place of {what}"),
                Err(_) => panic!("not within {PATIENCE:?}: {what}"),
            }
        }
    }

    /// Reads until the server ends the connection; gives how, and every packet that came before and was not read.
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = (Ended, Vec<Interleaved>)> {
        let caller = std::panic::Location::caller();
        async move {
            let ended = timeout(PATIENCE, async {
                loop {
                    match self.message().await {
                        Ok(Message::Interleaved(packet)) => self.inbox.push_back(packet),
                        Ok(Message::Answer(_)) => {}
                        Err(ended) => return ended,
                    }
                }
            });
            let ended =
                ended.await.unwrap_or_else(|_| panic!("{caller}: the server keeps the connection open"));
            (ended, self.inbox.drain(..).collect())
        }
    }

    /// Reads whatever comes, understood or not, until the server ends the connection.
    pub async fn closed(&mut self) {
        while self.stream.read_buf(&mut self.buffer).await.is_ok_and(|length| length > 0) {
            self.buffer.clear();
        }
    }

    /// The next RTP packet of a track; what comes on other channels is kept for later.
    #[track_caller]
    pub fn next_rtp(&mut self, track: usize) -> impl Future<Output = Rtp> {
        let caller = std::panic::Location::caller();
        async move {
            let what = format!("{caller}: rtp of track {track}");
            Rtp::parse(&self.next_on(2 * track as u8, &what).await)
        }
    }

    /// The next RTP packet of a track set up over UDP, with the RTSP connection left alone.
    #[track_caller]
    pub fn next_datagram(&mut self, track: usize) -> impl Future<Output = Rtp> {
        let caller = std::panic::Location::caller();
        async move {
            let udp = self.udp.iter().find(|udp| udp.track == track).expect("set up over udp");
            let data = timeout(PATIENCE, udp.receive(false)).await;
            Rtp::parse(&data.unwrap_or_else(|_| panic!("{caller}: no rtp of track {track}")))
        }
    }

    /// The next RTCP compound packet of a track.
    #[track_caller]
    pub fn next_rtcp(&mut self, track: usize) -> impl Future<Output = Vec<Rtcp>> {
        let caller = std::panic::Location::caller();
        async move {
            let what = format!("{caller}: rtcp of track {track}");
            Rtcp::parse(&self.next_on(2 * track as u8 + 1, &what).await)
        }
    }

    /// The next sender report of a track, whatever other RTCP comes first.
    #[track_caller]
    pub fn next_report(&mut self, track: usize) -> impl Future<Output = SenderReport> {
        let caller = std::panic::Location::caller();
        async move {
            let what = format!("{caller}: a sender report of track {track}");
            loop {
                for packet in Rtcp::parse(&self.next_on(2 * track as u8 + 1, &what).await) {
                    if let Rtcp::SenderReport(report) = packet {
                        return report;
                    }
                }
            }
        }
    }

    /// The next `n` RTP packets of a track.
    #[track_caller]
    pub fn packets(&mut self, track: usize, n: usize) -> impl Future<Output = Vec<Rtp>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut packets = Vec::new();
            while packets.len() < n {
                let what = format!("{caller}: packet {} of {n} of track {track}", packets.len() + 1);
                packets.push(Rtp::parse(&self.next_on(2 * track as u8, &what).await));
            }
            packets
        }
    }

    /// The packets of track 0 up to and with the next marker bit; all must have one timestamp.
    #[track_caller]
    pub fn next_frame(&mut self) -> impl Future<Output = Frame> {
        let caller = std::panic::Location::caller();
        async move {
            let what = format!("{caller}: a frame");
            let mut frame: Frame = Vec::new();
            while !frame.last().is_some_and(|packet| packet.marker) {
                frame.push(Rtp::parse(&self.next_on(0, &what).await));
            }
            assert!(frame.iter().all(|p| p.timestamp == frame[0].timestamp), "{caller}: {frame:?}");
            frame
        }
    }

    /// Packets that have come and were not asked for, without waiting for more.
    pub fn unread(&self) -> impl Iterator<Item = &Interleaved> {
        self.inbox.iter()
    }

    /// What is on `channel` within `limit`, if anything: for tests that nothing may come.
    pub async fn anything_on(&mut self, channel: u8, limit: Duration) -> Option<Vec<u8>> {
        timeout(limit, self.any_on(channel)).await.ok()?.ok()
    }

    async fn next_on(&mut self, channel: u8, what: &str) -> Vec<u8> {
        match timeout(PATIENCE, self.any_on(channel)).await {
            Ok(Ok(data)) => data,
            Ok(Err(ended)) => panic!("{ended:?} in place of {what}"),
            Err(_) => panic!("not within {PATIENCE:?}: {what}"),
        }
    }

    async fn any_on(&mut self, channel: u8) -> Result<Vec<u8>, Ended> {
        if let Some(at) = self.inbox.iter().position(|packet| packet.channel == channel) {
            return Ok(self.inbox.remove(at).map(|packet| packet.data).unwrap_or_default());
        }
        if let Some(udp) = self.udp.iter_mut().find(|udp| udp.track == usize::from(channel / 2)) {
            return Ok(udp.receive(!channel.is_multiple_of(2)).await);
        }
        loop {
            match self.message().await? {
                Message::Interleaved(packet) if packet.channel == channel => return Ok(packet.data),
                Message::Interleaved(packet) => self.inbox.push_back(packet),
                Message::Answer(answer) => panic!("an answer nobody asked for: {answer:?}"),
            }
        }
    }

    /// The next message on the connection. Cancel-safe: what has been read stays in the buffer.
    async fn message(&mut self) -> Result<Message, Ended> {
        loop {
            if let Some(message) = take_message(&mut self.buffer) {
                return Ok(message);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(Ended::Closed),
                Ok(_) => {}
                Err(_) => return Err(Ended::Reset),
            }
        }
    }
}

/// The stamps of the packets that carry one.
pub fn stamps(packets: &[Rtp]) -> Vec<Stamp> {
    packets.iter().filter_map(Rtp::stamp).collect()
}

/// Panics unless every packet's sequence number follows the one before.
#[track_caller]
pub fn assert_no_gap<'a>(packets: impl IntoIterator<Item = &'a Rtp>) {
    let mut expected: Option<u16> = None;
    for packet in packets {
        let expected = expected.replace(packet.sequence.wrapping_add(1)).unwrap_or(packet.sequence);
        assert_eq!(packet.sequence, expected, "a gap before {packet:?}");
    }
}

fn take_message(buffer: &mut Vec<u8>) -> Option<Message> {
    if buffer.first() == Some(&b'$') {
        let len = 4 + usize::from(u16::from_be_bytes([*buffer.get(2)?, *buffer.get(3)?]));
        if buffer.len() < len {
            return None;
        }
        let channel = buffer[1];
        let data = buffer.drain(..len).skip(4).collect();
        return Some(Message::Interleaved(Interleaved { channel, data }));
    }
    Answer::take(buffer).map(Message::Answer)
}
