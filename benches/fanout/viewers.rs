//! Many viewers on one thread. All count bytes; a few read the stamps.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

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
    /// Milliseconds from the camera's write to a viewer's read.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Viewers that were disconnected.
    pub(crate) lost: usize,
}

#[derive(Default)]
struct Tally {
    playing: usize,
    lost: usize,
    bytes: u64,
    latencies: Vec<u64>,
}

/// Viewers whose packets are looked into.
const SAMPLED: usize = 10;

/// Connects `count` viewers, lets them settle, and measures for `time`.
pub(crate) fn run(
    address: SocketAddr,
    udp: bool,
    count: usize,
    time: Duration,
    process: &Process,
) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tally = Rc::new(RefCell::new(Tally::default()));
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for index in 0..count {
            let tally = Rc::clone(&tally);
            tasks.spawn_local(async move {
                let viewer = connect(address, udp).await;
                tally.borrow_mut().playing += 1;
                match viewer {
                    (control, None) => watch_tcp(control, &tally, index < SAMPLED).await,
                    (control, Some(media)) => watch_udp(control, media, &tally, index < SAMPLED).await,
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
            tally.latencies.clear();
        }
        let (cpu, started) = (process.cpu(), Instant::now());
        tokio::time::sleep(time).await;
        let (cpu, elapsed) = (process.cpu() - cpu, started.elapsed());
        let mut tally = tally.borrow_mut();
        tally.latencies.sort_unstable();
        let percentile = |p: usize| {
            let latencies = &tally.latencies;
            let rank = (latencies.len() * p / 100).min(latencies.len().saturating_sub(1));
            latencies.get(rank).map_or(f64::NAN, |nanos| *nanos as f64 / 1e6)
        };
        let mbit_per_second = tally.bytes as f64 * 8.0 / 1e6 / elapsed.as_secs_f64();
        let (p50, p99) = (percentile(50), percentile(99));
        Figures { bytes: tally.bytes, cpu, mbit_per_second, p50, p99, lost: tally.lost }
    })
}

/// A viewer in play: its connection, and its UDP socket.
async fn connect(address: SocketAddr, udp: bool) -> (TcpStream, Option<UdpSocket>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut socket = loop {
        match TcpStream::connect(address).await {
            Ok(socket) => break socket,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await, // it starts
        }
    };
    let mut media = None;
    while udp && media.is_none() {
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
    let mut session = String::new();
    for (method, path, headers) in [
        ("DESCRIBE", "cam", String::new()),
        ("SETUP", "cam/trackID=0", format!("Transport: {transport}\r\n")),
        ("PLAY", "cam/", String::new()),
    ] {
        let request =
            format!("{method} rtsp://{address}/{path} RTSP/1.0\r\nCSeq: 1\r\n{session}{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
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
        socket.read_exact(&mut vec![0; length]).await.unwrap();
    }
    let media = media.map(|media| {
        socket2::SockRef::from(&media).set_recv_buffer_size(1 << 20).unwrap();
        media.set_nonblocking(true).unwrap();
        UdpSocket::from_std(media).unwrap()
    });
    (socket, media)
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
        let length = media.recv(&mut datagram).await.unwrap();
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
        tally.borrow_mut().latencies.push(now().saturating_sub(u64::from_be_bytes(*stamp)));
    }
}

thread_local! {
    /// What unsampled viewers read is not looked at.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 << 10]);
}
