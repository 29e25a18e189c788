//! A browser's side of a WebSocket, byte by byte: what is sent is sent as given, and what comes is handed out as it came.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;
use super::rtp::Rtp;

/// A connection that has asked for a WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    pub socket: TcpStream,
    buffer: Vec<u8>,
}

/// One frame of the relay.
#[derive(Debug, PartialEq)]
pub enum Message {
    Text(Value),
    /// Interleaved packets: channel and bytes.
    Packets(Vec<(u8, Vec<u8>)>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason.
    Close(u16, String),
}

/// What answers a request that gets no WebSocket.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub head: String,
}

impl WebSocket {
    /// Watches a stream; `query` begins with `?` where there is one.
    pub async fn watch(address: SocketAddr, stream: &str, query: &str) -> Self {
        let path = format!("/api/v1/streams/{stream}/live{query}");
        Self::ask(address, &path, "").await.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// Asks for a WebSocket with these lines in addition.
    pub async fn ask(address: SocketAddr, path: &str, headers: &str) -> Result<Self, Refused> {
        let mut socket = TcpStream::connect(address).await.expect("the sidecar is there");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("it takes a request");
        let mut websocket = Self { socket, buffer: Vec::new() };
        let head = loop {
            if let Some(end) = websocket.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = websocket.buffer.drain(..end + 4).collect();
                break String::from_utf8(head).expect("text").to_lowercase();
            }
            assert!(websocket.read().await, "the answer has an end");
        };
        match head[9..12].parse().expect("a status") {
            101 => {
                assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
                Ok(websocket)
            }
            status => Err(Refused { status, head }),
        }
    }

    /// Whether more came.
    async fn read(&mut self) -> bool {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.buffer)).await;
        !matches!(read.expect("something comes"), Ok(0) | Err(_))
    }

    /// The next message; `None` when the connection is closed.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Message> {
        let &[first, second, ref rest @ ..] = &self.buffer[..] else { return None };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        assert_eq!(first & 0xF0, 0x80, "whole, and without extensions");
        let (length, long) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).expect("fits"), 8),
            short => (usize::from(short), 0),
        };
        let payload = self.buffer.get(2 + long..2 + long + length)?.to_vec();
        self.buffer.drain(..2 + long + length);
        Some(match first & 0x0F {
            1 => Message::Text(serde_json::from_slice(&payload).expect("JSON")),
            2 => Message::Packets(interleaved(&payload)),
            8 => {
                let code = u16::from_be_bytes(*payload.first_chunk().expect("a code"));
                Message::Close(code, String::from_utf8(payload[2..].to_vec()).expect("text"))
            }
            9 => Message::Ping(payload),
            10 => Message::Pong(payload),
            other => panic!("opcode {other}"),
        })
    }

    /// The next text.
    pub async fn text(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next().await.expect("it is open") {
                return text;
            }
        }
    }

    /// The next packets of RTP, a message's.
    pub async fn packets(&mut self) -> Vec<(u8, Rtp)> {
        loop {
            let Message::Packets(packets) = self.next().await.expect("it is open") else { continue };
            let media = packets.into_iter().filter(|(channel, _)| channel % 2 == 0);
            let media: Vec<_> = media.map(|(channel, data)| (channel, Rtp::parse(&data))).collect();
            if !media.is_empty() {
                return media;
            }
        }
    }

    /// The closing frame, whatever comes before it.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(code, reason) = self.next().await.expect("a closing frame comes first") {
                return (code, reason);
            }
        }
    }

    /// Sends a frame as browsers do, masked.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match u8::try_from(payload.len()) {
            Ok(short @ ..=125) => bytes.push(0x80 | short),
            _ => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
            }
        }
        let key = [1, 2, 3, 4];
        bytes.extend(key);
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.socket.write_all(&bytes).await.expect("it is open");
    }

    /// Says something.
    pub async fn say(&mut self, text: &str) {
        self.send(0x81, text.as_bytes()).await;
    }

    /// Whether nothing but reports comes for this long.
    pub async fn is_quiet(&mut self, long: Duration) -> bool {
        timeout(long, self.packets()).await.is_err()
    }
}

fn interleaved(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut packets = Vec::new();
    while let &[dollar, channel, high, low, ref rest @ ..] = bytes {
        assert_eq!(dollar, b'$', "each packet is framed");
        let (packet, behind) = rest.split_at(usize::from(u16::from_be_bytes([high, low])));
        packets.push((channel, packet.to_vec()));
        bytes = behind;
    }
    assert!(bytes.is_empty(), "a message ends with a packet");
    packets
}
