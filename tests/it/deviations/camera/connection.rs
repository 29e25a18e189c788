//! One connection with the camera: its requests, and the pictures it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::interval;

use super::{Ask, Reply, Script, client_port};
use crate::support::h264::{Delivery, H264, ParameterSets};
use crate::support::rtp::Rtp;

pub struct Connection {
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
    /// Where sound would come from, if there were any.
    sound: Option<UdpSocket>,
    held: Option<Vec<u8>>,
    /// When the session last had a sign of life that counts.
    lived: Instant,
}

impl Connection {
    pub fn new(
        stream: TcpStream,
        address: SocketAddr,
        script: Arc<Script>,
        log: Arc<Mutex<Vec<Ask>>>,
    ) -> Self {
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
            sound: None,
            held: None,
            lived: Instant::now(),
        }
    }

    pub async fn run(mut self) {
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
        if ask.method == "SETUP" && ask.has("client_port") {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let port = socket.local_addr().unwrap().port();
            if let Reply::Send(bytes) = &mut reply {
                let text: String = bytes.iter().copied().map(char::from).collect();
                let text = text.replace("UDP_RTP", &port.to_string());
                *bytes = text.replace("UDP_RTCP", &(port.wrapping_add(1)).to_string()).into_bytes();
            }
            let to = client_port(ask.header("Transport").unwrap_or_default());
            if ask.has("track1") {
                self.sound = Some(socket);
            } else {
                self.udp = Some((to, socket));
            }
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
            Reply::Drip(begin, every) => {
                let mut more = self.stream.write_all(&begin).await;
                while more.is_ok() {
                    tokio::time::sleep(every).await;
                    more = self.stream.write_all(b"x").await;
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
                    ssrc: self.script.ssrc,
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
