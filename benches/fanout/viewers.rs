//! Many viewers on one thread. All count bytes; a few read the stamps.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

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
}

#[derive(Default)]
struct Tally {
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
    let viewers: Vec<_> = (0..count).map(|_| connect(address, udp)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tally = Rc::new(RefCell::new(Tally::default()));
    let local = LocalSet::new();
    for (index, viewer) in viewers.into_iter().enumerate() {
        let tally = Rc::clone(&tally);
        local.spawn_local(async move {
            match viewer {
                (control, None) => watch_tcp(control, &tally, index < SAMPLED).await,
                (control, Some(media)) => watch_udp(control, media, &tally, index < SAMPLED).await,
            }
        });
    }
    local.block_on(&runtime, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        *tally.borrow_mut() = Tally::default();
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
        Figures { bytes: tally.bytes, cpu, mbit_per_second, p50: percentile(50), p99: percentile(99) }
    })
}

/// A viewer in play: its connection, and its UDP socket.
fn connect(address: SocketAddr, udp: bool) -> (TcpStream, Option<UdpSocket>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let socket = loop {
        match TcpStream::connect(address) {
            Ok(socket) => break socket,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)), // it starts
        }
    };
    let media = udp.then(|| {
        let media = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket2::SockRef::from(&media).set_recv_buffer_size(1 << 20).unwrap();
        media
    });
    let transport = match &media {
        Some(media) => {
            let port = media.local_addr().unwrap().port();
            format!("RTP/AVP;unicast;client_port={port}-{}", port ^ 1)
        }
        None => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
    };
    let mut reader = BufReader::with_capacity(512, socket.try_clone().unwrap());
    let mut session = String::new();
    let mut request = |method: &str, path: &str, headers: &str, session: &mut String| {
        let id = if session.is_empty() { String::new() } else { format!("Session: {session}\r\n") };
        write!(&socket, "{method} rtsp://{address}/{path} RTSP/1.0\r\nCSeq: 1\r\n{id}{headers}\r\n").unwrap();
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "{method}: closed");
            assert!(!line.starts_with("RTSP/1.0") || line.contains(" 200 "), "{method}: {line}");
            if let Some(id) = line.strip_prefix("Session:") {
                *session = id.trim().split(';').next().unwrap_or_default().to_owned();
            }
            if let Some(value) = line.strip_prefix("Content-Length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
    };
    request("DESCRIBE", "cam", "", &mut session);
    request("SETUP", "cam/trackID=0", &format!("Transport: {transport}\r\n"), &mut session);
    request("PLAY", "cam/", "", &mut session);
    (socket, media)
}

async fn watch_tcp(socket: TcpStream, tally: &RefCell<Tally>, sampled: bool) {
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::TcpStream::from_std(socket).unwrap();
    let mut chunk = vec![0; if sampled { 64 << 10 } else { 0 }];
    let mut input = Vec::new();
    loop {
        socket.readable().await.unwrap();
        let length = if sampled {
            socket.try_read(&mut chunk)
        } else {
            BUFFER.with_borrow_mut(|b| socket.try_read(b))
        };
        let Ok(length) = length else { continue };
        assert!(length > 0, "a viewer was disconnected");
        tally.borrow_mut().bytes += length as u64;
        if sampled {
            input.extend_from_slice(&chunk[..length]);
            let mut from = 0;
            // The stream may begin in the middle, because connecting read ahead: find the first packet.
            while let Some(head) = input.get(from..from + 4) {
                let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
                if head[0] != b'$' || head[1] > 1 || size > PACKET {
                    from += 1;
                    continue;
                }
                let Some(packet) = input.get(from + 4..from + 4 + size) else { break };
                stamp(packet, tally);
                from += 4 + size;
            }
            input.drain(..from.min(input.len()));
        }
    }
}

async fn watch_udp(_control: TcpStream, media: UdpSocket, tally: &RefCell<Tally>, sampled: bool) {
    media.set_nonblocking(true).unwrap();
    let media = tokio::net::UdpSocket::from_std(media).unwrap();
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
