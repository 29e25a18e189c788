//! Many viewers on one thread. All count bytes; a few read the stamps.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::{JoinSet, LocalSet};

use super::camera::{PACKET, STAMP, now};
use super::process::Process;

/// What the viewers saw during the measured time.
pub(crate) struct Figures {
    pub(crate) bytes: u64,
    pub(crate) cpu: Duration,
    pub(crate) mbit_per_second: f64,
    /// From the camera's write to a viewer's read, of the last packet of each frame: then a player can show it.
    pub(crate) last: Spread,
    /// The same of the first packet of each frame.
    pub(crate) first: Spread,
    /// From PLAY to the first packet of a key frame, of viewers that came one after the other while the others watched.
    pub(crate) start: Spread,
    /// Viewers that were disconnected.
    pub(crate) lost: usize,
    /// What the process grew by for each viewer.
    pub(crate) kib_per_viewer: f64,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Spread {
    fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        let percentile = |p: usize| {
            let rank = (nanos.len() * p / 100).min(nanos.len().saturating_sub(1));
            nanos.get(rank).map_or(f64::NAN, |nanos| *nanos as f64 / 1e6)
        };
        Self { p50: percentile(50), p99: percentile(99) }
    }
}

#[derive(Default)]
struct Tally {
    playing: usize,
    lost: usize,
    bytes: u64,
    first: Vec<u64>,
    last: Vec<u64>,
}

/// Viewers whose packets are looked into. One is drawn at random from each tenth of them in the order they came: who is
/// served first sees less latency than who is served last, and both count.
const SAMPLED: usize = 10;

/// How a viewer gets its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Udp,
    /// Over TCP, through an HTTP tunnel.
    Http,
}

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Load<'l> {
    pub(crate) address: SocketAddr,
    /// The streams; viewers are spread over them in turn.
    pub(crate) streams: &'l [String],
    pub(crate) way: Way,
    pub(crate) viewers: usize,
    pub(crate) time: Duration,
    /// Viewers that come later, to measure how long they wait for a key frame, each at most this long.
    pub(crate) late: usize,
    pub(crate) patience: Duration,
}

/// Connects the viewers, lets them settle, and measures.
pub(crate) fn run(load: Load<'_>, process: &Process) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tally = Rc::new(RefCell::new(Tally::default()));
    let Load { address, way, viewers: count, .. } = load;
    LocalSet::new().block_on(&runtime, async {
        let stream = |index: usize| load.streams[index % load.streams.len()].clone();
        // One viewer makes sure that the process is up, and that what it needs once is there.
        let pioneer = connect(address, &stream(0), Way::Tcp).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(pioneer);
        let before = process.rss_kib();
        let share = count.div_ceil(SAMPLED).max(1);
        let drawn: Vec<usize> =
            (0..SAMPLED).map(|tenth| tenth * share + rand::random_range(0..share)).collect();
        let mut tasks = JoinSet::new();
        for index in 0..count {
            let (tally, stream) = (Rc::clone(&tally), stream(index));
            let sampled = drawn.contains(&index);
            tasks.spawn_local(async move {
                let Viewer { control, media, post: _post, .. } = connect(address, &stream, way).await;
                tally.borrow_mut().playing += 1;
                match media {
                    None => watch_tcp(control, &tally, sampled).await,
                    Some(media) => watch_udp(control, media, &tally, sampled).await,
                }
                tally.borrow_mut().lost += 1;
            });
        }
        while tally.borrow().playing < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        {
            let mut tally = tally.borrow_mut();
            tally.bytes = 0;
            tally.first.clear();
            tally.last.clear();
        }
        let (cpu, started) = (process.cpu(), Instant::now());
        tokio::time::sleep(load.time).await;
        let (cpu, elapsed) = (process.cpu() - cpu, started.elapsed());
        let grown = process.rss_kib().saturating_sub(before);
        let (bytes, first, last) = {
            let mut tally = tally.borrow_mut();
            (tally.bytes, std::mem::take(&mut tally.first), std::mem::take(&mut tally.last))
        };
        let mut late = JoinSet::new();
        for index in 0..load.late {
            let stream = stream(index);
            late.spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(37) * index as u32).await;
                let viewer = connect(address, &stream, way).await;
                // Who never sees one waited for as long as it had patience.
                let asked = viewer.asked;
                let _ = tokio::time::timeout(load.patience, key_frame(viewer)).await;
                asked.elapsed().as_nanos() as u64
            });
        }
        let start = Spread::of(late.join_all().await);
        let mbit_per_second = bytes as f64 * 8.0 / 1e6 / elapsed.as_secs_f64();
        Figures {
            bytes,
            cpu,
            mbit_per_second,
            first: Spread::of(first),
            last: Spread::of(last),
            start,
            lost: tally.borrow().lost,
            kib_per_viewer: grown as f64 / count.max(1) as f64,
        }
    })
}

/// A viewer in play.
pub(crate) struct Viewer {
    pub(crate) control: TcpStream,
    /// What it speaks through, if in a tunnel.
    pub(crate) post: Option<TcpStream>,
    /// Where its packets come, if over UDP.
    pub(crate) media: Option<UdpSocket>,
    /// When it said PLAY.
    pub(crate) asked: Instant,
    /// The id of its session.
    pub(crate) session: String,
}

/// Connects a viewer and lets it play.
pub(crate) async fn connect(address: SocketAddr, stream: &str, way: Way) -> Viewer {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut socket = loop {
        match TcpStream::connect(address).await {
            Ok(socket) => break socket,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await, // it starts
        }
    };
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
    let mut post = if way == Way::Http { Some(tunnel(&mut socket, address).await) } else { None };
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
            Some(post) => post.write_all(BASE64.encode(request).as_bytes()).await.unwrap(),
            None => socket.write_all(request.as_bytes()).await.unwrap(),
        }
        // Byte by byte: what follows the answer to PLAY is media.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("RTSP/1.0 200 "), "{method}: {head}");
        let field = |name| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(id) = field("Session:") {
            session = format!("Session: {}\r\n", id.split(';').next().unwrap_or_default());
        }
        let length = field("Content-Length:").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
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
    Viewer { control: socket, post, media, asked, session }
}

/// Makes `get` the answering half of a tunnel; the other half.
async fn tunnel(get: &mut TcpStream, address: SocketAddr) -> TcpStream {
    let cookie = get.local_addr().unwrap().port();
    let half = |method| format!("{method} / HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n");
    get.write_all(half("GET").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(get.read_u8().await.unwrap());
    }
    let mut post = TcpStream::connect(address).await.unwrap();
    post.write_all(half("POST").as_bytes()).await.unwrap();
    post
}

async fn watch_tcp(socket: TcpStream, tally: &RefCell<Tally>, sampled: bool) {
    let mut chunk = vec![0; if sampled { 64 << 10 } else { 0 }];
    let mut input = Vec::new();
    loop {
        socket.readable().await.unwrap();
        let length = if sampled {
            socket.try_read(&mut chunk)
        } else {
            BUFFER.with_borrow_mut(|b| socket.try_read(b))
        };
        let length = match length {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        tally.borrow_mut().bytes += length as u64;
        if sampled {
            input.extend_from_slice(&chunk[..length]);
            let mut from = 0;
            while let Some(head) = input.get(from..from + 4) {
                let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
                let Some(packet) = input.get(from + 4..from + 4 + size) else { break };
                stamp(packet, tally);
                from += 4 + size;
            }
            input.drain(..from.min(input.len()));
        }
    }
}

async fn watch_udp(_control: TcpStream, media: UdpSocket, tally: &RefCell<Tally>, sampled: bool) {
    let mut datagram = [0; 2048];
    loop {
        let Ok(length) = media.recv(&mut datagram).await else { return };
        tally.borrow_mut().bytes += length as u64;
        if sampled {
            stamp(&datagram[..length], tally);
        }
    }
}

fn stamp(packet: &[u8], tally: &RefCell<Tally>) {
    if packet.len() == PACKET
        && let Some(stamp) = packet[STAMP..].first_chunk()
    {
        let latency = now().saturating_sub(u64::from_be_bytes(*stamp));
        let mut tally = tally.borrow_mut();
        if packet[1] & 0x80 != 0 {
            tally.last.push(latency);
        }
        if packet[13] & 0x80 != 0 {
            tally.first.push(latency);
        }
    }
}

/// Reads up to the first packet of a key frame.
async fn key_frame(viewer: Viewer) {
    let is_key = |packet: &[u8]| packet.get(12..14).is_some_and(|fu| fu[0] & 0x1F == 28 && fu[1] & 0x1F == 5);
    let Viewer { mut control, media, .. } = viewer;
    let mut packet = vec![0; 64 << 10];
    loop {
        let length = match &media {
            Some(media) => media.recv(&mut packet).await.unwrap(),
            None => {
                let mut head = [0; 4];
                control.read_exact(&mut head).await.unwrap();
                let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
                control.read_exact(&mut packet[..length]).await.unwrap();
                length
            }
        };
        if is_key(&packet[..length]) {
            return;
        }
    }
}

thread_local! {
    /// What unsampled viewers read is not looked at.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 << 10]);
}
