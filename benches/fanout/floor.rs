//! The floor program: one thread that reads the camera and writes each burst to each viewer, with one write over TCP
//! and one segmented send over UDP. No numbers of their own, no key frames, no reports, no second thread: what is left
//! is what the kernel takes. It may gather the packets of a frame, as the relay does where a camera spreads them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

enum Viewer {
    Tcp { socket: TcpStream, rest: Vec<u8> },
    Udp { to: SocketAddr, _control: TcpStream },
}

/// Serves viewers on `listen` from the camera at `camera`, until killed. No packet waits longer than `hold` for the end of
/// its frame.
pub(crate) fn serve(listen: SocketAddr, camera: SocketAddr, hold: Duration) {
    let listener = TcpListener::bind(listen).unwrap();
    let newcomers = Arc::new(Mutex::new(Vec::new()));
    let arrivals = Arc::clone(&newcomers);
    thread::spawn(move || {
        for socket in listener.incoming() {
            // One that breaks off was no viewer.
            if let Ok(viewer) = socket.and_then(welcome) {
                arrivals.lock().unwrap().push(viewer);
            }
        }
    });
    let mut camera = TcpStream::connect(camera).unwrap();
    for method in ["DESCRIBE", "SETUP", "PLAY"] {
        write!(camera, "{method} rtsp://x/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n").unwrap();
    }
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    udp.set_nonblocking(true).unwrap();
    socket2::SockRef::from(&udp).set_send_buffer_size(4 << 20).unwrap();
    let offload = UdpSocketState::new(UdpSockRef::from(&udp)).unwrap();
    let (mut viewers, mut chunk, mut bare) = (Vec::new(), vec![0; 256 << 10], Vec::new());
    let mut input = Vec::new();
    let mut held: Option<Instant> = None;
    loop {
        let left = held.map(|since| (since + hold).saturating_duration_since(Instant::now()).max(MOMENT));
        camera.set_read_timeout(left).unwrap();
        match camera.read(&mut chunk) {
            Ok(0) => panic!("the camera has gone"),
            Ok(length) => input.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        let (mut end, mut marker) = (0, false);
        bare.clear();
        // Whole packets only; the answers before the first one are passed over.
        while let Some(head) = input.get(end..end + 4) {
            if head[0] != b'$' {
                end += 1;
                continue;
            }
            let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let Some(packet) = input.get(end + 4..end + 4 + size) else { break };
            bare.extend_from_slice(packet);
            marker = packet[1] & 0x80 != 0;
            end += 4 + size;
        }
        if !marker && !bare.is_empty() && held.get_or_insert_with(Instant::now).elapsed() < hold {
            continue;
        }
        held = None;
        let start = input[..end].iter().position(|byte| *byte == b'$').unwrap_or(end);
        viewers.append(&mut newcomers.lock().unwrap());
        viewers.retain_mut(|viewer| send(viewer, &input[start..end], &bare, &udp, &offload).is_ok());
        input.drain(..end);
    }
}

fn send(
    viewer: &mut Viewer,
    framed: &[u8],
    bare: &[u8],
    udp: &UdpSocket,
    offload: &UdpSocketState,
) -> io::Result<()> {
    match viewer {
        Viewer::Tcp { socket, rest } => {
            rest.extend_from_slice(if rest.is_empty() { &[] } else { framed });
            let from: &[u8] = if rest.is_empty() { framed } else { rest };
            let taken = match socket.write(from) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            let left = from[taken..].to_vec();
            if left.len() > MAX_REST {
                return Err(io::ErrorKind::TimedOut.into());
            }
            *rest = left;
        }
        Viewer::Udp { to, .. } if !bare.is_empty() => {
            let segment_size = Some(super::load::camera::PACKET);
            let transmit =
                Transmit { destination: *to, ecn: None, contents: bare, segment_size, src_ip: None };
            // What the kernel does not take is lost, as UDP is.
            let _ = offload.try_send(UdpSockRef::from(udp), &transmit);
        }
        Viewer::Udp { .. } => {}
    }
    Ok(())
}

/// The shortest time to wait for the camera: 0 would be for ever.
const MOMENT: Duration = Duration::from_micros(1);

/// A viewer that is this far behind is given up.
const MAX_REST: usize = 8 << 20;

/// Answers a viewer's three requests.
fn welcome(socket: TcpStream) -> io::Result<Viewer> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let (mut port, mut line, mut writer) = (None, String::new(), socket);
    for _ in ["DESCRIBE", "SETUP", "PLAY"] {
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((_, ports)) = line.split_once("client_port=") {
                port = ports.split('-').next().and_then(|port| port.parse().ok());
            }
            if line.trim().is_empty() {
                break;
            }
        }
        write!(writer, "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 1\r\nContent-Length: 0\r\n\r\n")?;
    }
    writer.set_nonblocking(true)?;
    Ok(match port {
        Some(port) => Viewer::Udp { to: SocketAddr::new(writer.peer_addr()?.ip(), port), _control: writer },
        None => Viewer::Tcp { socket: writer, rest: Vec::new() },
    })
}
