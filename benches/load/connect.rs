//! How a viewer comes: DESCRIBE, SETUP, PLAY.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// How a viewer gets its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Udp,
    /// Over TCP, through an HTTP tunnel.
    Http,
    /// As a browser does, of the sidecar at this address.
    WebSocket(SocketAddr),
}

impl From<bool> for Way {
    /// Over UDP, or not.
    fn from(udp: bool) -> Self {
        if udp { Self::Udp } else { Self::Tcp }
    }
}

/// A viewer in play.
pub(crate) struct Viewer {
    pub(crate) control: TcpStream,
    /// What it speaks through, if in a tunnel; open as long as the viewer is there.
    pub(crate) _post: Option<TcpStream>,
    /// Where its packets come, if over UDP.
    pub(crate) media: Option<UdpSocket>,
    /// When it said PLAY.
    pub(crate) asked: Instant,
    /// The id of its session.
    pub(crate) session: String,
}

/// Waits until every stream can be watched: the relay may still be starting, and of many cameras on one host it connects to
/// no more than ten a second.
pub(crate) async fn ready(address: SocketAddr, streams: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for stream in streams {
        while let Err(error) = try_connect(address, stream, false, None).await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Connects a viewer and lets it play.
pub(crate) async fn connect(address: SocketAddr, stream: &str, way: impl Into<Way>) -> Viewer {
    try_connect(address, stream, way, None).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The same once, with a receive buffer of this size.
///
/// # Errors
/// What the relay said, or that it said nothing.
pub(crate) async fn try_connect(
    address: SocketAddr,
    stream: &str,
    way: impl Into<Way>,
    receive_buffer: Option<u32>,
) -> Result<Viewer, String> {
    let way = way.into();
    if let Way::WebSocket(sidecar) = way {
        return browse(sidecar, stream).await.map_err(|error| format!("{sidecar}: {error}"));
    }
    let broken = |error: io::Error| format!("{address}: {error}");
    let socket = TcpSocket::new_v4().map_err(broken)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).map_err(broken)?;
    }
    let mut socket = socket.connect(address).await.map_err(broken)?;
    let mut media = None;
    while way == Way::Udp && media.is_none() {
        let bound = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        media = bound.local_addr().unwrap().port().is_multiple_of(2).then_some(bound);
    }
    let transport = match &media {
        Some(media) => {
            let port = media.local_addr().unwrap().port();
            format!("RTP/AVP;unicast;client_port={port}-{}", port + 1)
        }
        None => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
    };
    let mut post =
        if way == Way::Http { Some(tunnel(&mut socket, address).await.map_err(broken)?) } else { None };
    let mut session = String::new();
    let mut asked = Instant::now();
    // What follows `control:` in the description; other relays have other names.
    let mut track = "trackID=0".to_owned();
    for method in ["DESCRIBE", "SETUP", "PLAY"] {
        let (path, headers) = match method {
            "SETUP" => (format!("{stream}/{track}"), format!("Transport: {transport}\r\n")),
            "PLAY" => (format!("{stream}/"), String::new()),
            _ => (stream.to_owned(), String::new()),
        };
        asked = Instant::now();
        let request =
            format!("{method} rtsp://{address}/{path} RTSP/1.0\r\nCSeq: 1\r\n{session}{headers}\r\n");
        match &mut post {
            Some(post) => post.write_all(BASE64.encode(request).as_bytes()).await,
            None => socket.write_all(request.as_bytes()).await,
        }
        .map_err(broken)?;
        // Byte by byte: what follows the answer to PLAY is media.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.map_err(broken)?);
        }
        let head = String::from_utf8(head).unwrap();
        if !head.starts_with("RTSP/1.0 200 ") {
            return Err(format!("{method}: {head}"));
        }
        let field = |name| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(id) = field("Session:") {
            session = format!("Session: {}\r\n", id.split(';').next().unwrap_or_default());
        }
        let length = field("Content-Length:").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.map_err(broken)?;
        let body = String::from_utf8_lossy(&body);
        if let Some((_, media)) = body.split_once("m=video")
            && let Some(control) = media.lines().find_map(|line| line.strip_prefix("a=control:"))
        {
            control.trim().rsplit('/').next().unwrap_or_default().clone_into(&mut track);
        }
    }
    let media = media.map(|media| {
        socket2::SockRef::from(&media).set_recv_buffer_size(1 << 20).unwrap();
        media.set_nonblocking(true).unwrap();
        UdpSocket::from_std(media).unwrap()
    });
    let session = session.trim_start_matches("Session: ").trim().to_owned();
    Ok(Viewer { control: socket, _post: post, media, asked, session })
}

/// A viewer over a WebSocket, whose messages have the packets of an interleaved connection in them.
async fn browse(sidecar: SocketAddr, stream: &str) -> io::Result<Viewer> {
    let mut socket = TcpStream::connect(sidecar).await?;
    let asked = Instant::now();
    let request = format!(
        "GET /api/v1/streams/{stream}/live HTTP/1.1\r\nHost: {sidecar}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    Ok(Viewer { control: socket, _post: None, media: None, asked, session: String::new() })
}

/// Bytes in front of the packets of a message, or all of one that has none; 0 where a packet begins, `None` where more has to
/// come.
pub(super) fn before_packets(bytes: &[u8]) -> Option<usize> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    if first == b'$' {
        return Some(0);
    }
    let (head, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, 0),
        short => (2, usize::from(short)),
    };
    // A binary message's packets are read one by one.
    Some(if first == 0x82 { head } else { head + length })
}

/// Makes `get` the answering half of a tunnel; the other half.
async fn tunnel(get: &mut TcpStream, address: SocketAddr) -> io::Result<TcpStream> {
    let cookie = get.local_addr()?.port();
    let half = |method| format!("{method} / HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n");
    get.write_all(half("GET").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(get.read_u8().await?);
    }
    let mut post = TcpStream::connect(address).await?;
    post.write_all(half("POST").as_bytes()).await?;
    Ok(post)
}
