//! The synthetic camera: 30 frames of 12 packets a second, 4 Mbit/s, over interleaved TCP. Each packet carries the time it
//! was written.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const FPS: u32 = 30;
/// With the framing of TCP.
pub(crate) const BYTES_A_SECOND: u64 = (PACKETS * (PACKET + 4)) as u64 * FPS as u64;
pub(crate) const PACKETS: usize = 12;
/// RTP header, FU-A header, stamp, and filling.
pub(crate) const PACKET: usize = 1389;
/// Where the stamp stands in a packet.
pub(crate) const STAMP: usize = 14;

pub(crate) struct Camera {
    address: SocketAddr,
}

/// How a camera is.
#[derive(Clone, Copy)]
pub(crate) struct Habit {
    /// The part of the frame interval that it spreads a frame's packets over; 0 = at once.
    pub(crate) paced: f64,
    /// From key frame to key frame.
    pub(crate) gop: Duration,
}

impl Camera {
    /// Serves any number of connections until the program ends.
    pub(crate) fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming() {
                // An error ends the connection: its relay has gone.
                thread::spawn(move || socket.map(|socket| serve(socket, habit)));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("rtsp://{}/cam", self.address)
    }
}

/// Nanoseconds on the clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let uptime = Instant::now();
    // `Instant` is CLOCK_MONOTONIC, but hides its value: read it once through /proc and count from there.
    use std::sync::OnceLock;
    static BASE: OnceLock<(Instant, u64)> = OnceLock::new();
    let (instant, base) = BASE.get_or_init(|| (uptime, 1));
    base + uptime.saturating_duration_since(*instant).as_nanos() as u64
}

fn serve(socket: TcpStream, habit: Habit) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut writer = socket;
    loop {
        let (mut line, mut cseq) = (String::new(), String::new());
        let mut method = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim();
            if method.is_empty() {
                method = text.split(' ').next().unwrap_or_default().to_owned();
            }
            if let Some(value) = text.strip_prefix("CSeq:") {
                cseq = value.trim().to_owned();
            }
            if text.is_empty() {
                break;
            }
        }
        let (headers, body) = match method.as_str() {
            "DESCRIBE" => ("Content-Type: application/sdp\r\n", SDP),
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", ""),
            _ => ("Session: 1\r\n", ""),
        };
        write!(
            writer,
            "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        if method == "PLAY" {
            let mut answers = writer.try_clone()?;
            // Keep-alives are answered while the frames go out.
            thread::spawn(move || -> std::io::Result<()> {
                let mut line = String::new();
                while reader.read_line(&mut line)? > 0 {
                    if let Some(cseq) = line.strip_prefix("CSeq:") {
                        write!(answers, "RTSP/1.0 200 OK\r\nCSeq: {}\r\nSession: 1\r\n\r\n", cseq.trim())?;
                    }
                    line.clear();
                }
                Ok(())
            });
            return play(writer, habit);
        }
    }
}

fn play(mut socket: TcpStream, Habit { paced, gop }: Habit) -> std::io::Result<()> {
    let gop = (gop.as_secs_f64() * f64::from(FPS)).round().max(1.0) as u32;
    let interval = Duration::from_secs(1) / FPS;
    let started = Instant::now();
    let mut sequence = 0u16;
    for frame in 0u32.. {
        let due = started + interval * frame;
        let mut burst = Vec::with_capacity(PACKETS * (PACKET + 4));
        for index in 0..PACKETS {
            let wait = due + interval.mul_f64(paced * index as f64 / PACKETS as f64);
            if index == 0 || paced > 0.0 {
                thread::sleep(wait.saturating_duration_since(Instant::now()));
            }
            packet(frame, frame.is_multiple_of(gop), index, sequence, &mut burst);
            sequence = sequence.wrapping_add(1);
            if paced > 0.0 {
                socket.write_all(&burst)?;
                burst.clear();
            }
        }
        socket.write_all(&burst)?;
    }
    Ok(())
}

/// Appends an interleaved packet: FU-A of an IDR picture, or of another.
fn packet(frame: u32, key: bool, index: usize, sequence: u16, out: &mut Vec<u8>) {
    let last = index == PACKETS - 1;
    let start = out.len();
    out.extend([b'$', 0]);
    out.extend((PACKET as u16).to_be_bytes());
    out.extend([0x80, 96 | u8::from(last) << 7]);
    out.extend(sequence.to_be_bytes());
    out.extend((frame * (90_000 / FPS)).to_be_bytes());
    out.extend(7u32.to_be_bytes());
    let nal = if key { 5 } else { 1 };
    out.extend([0x7C, nal | u8::from(index == 0) << 7 | u8::from(last) << 6]);
    out.extend(now().to_be_bytes());
    out.resize(start + 4 + PACKET, 0x5A);
}

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z01AHppkA8ARPyzUBAQFAAADAAEAAAMAPI8WLeA=,aO48gA==\r\n\
    a=control:trackID=0\r\n";
