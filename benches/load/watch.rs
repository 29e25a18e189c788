//! What viewers do with what comes, and what they count.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UdpSocket};

use super::camera::{FPS, PACKET, PACKETS, STAMP, now};
use super::connect::{Viewer, before_packets};

/// What viewers count together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) playing: usize,
    pub(super) lost: usize,
    pub(super) bytes: u64,
    pub(super) missed: u64,
    pub(super) first: Vec<u64>,
    pub(super) last: Vec<u64>,
    pub(super) half_rate: HalfRate,
}

impl Tally {
    /// What came so far was not measured.
    pub(super) fn begin(&mut self) {
        (self.bytes, self.missed) = (0, 0);
        self.first.clear();
        self.last.clear();
    }
}

#[derive(Debug, Default)]
pub(super) struct HalfRate {
    pub(super) oldest: u64,
    pub(super) lost: usize,
}

/// Whether a viewer looks at its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    At,
    Not,
}

/// Reads whatever comes until the connection ends.
pub(crate) async fn watch(viewer: Viewer, tally: &RefCell<Tally>, look: Look) {
    let Viewer { control, media, .. } = viewer;
    match media {
        None => watch_tcp(control, tally, look).await,
        Some(media) => watch_udp(control, media, tally, look).await,
    }
}

async fn watch_tcp(socket: TcpStream, tally: &RefCell<Tally>, look: Look) {
    let (mut framed, mut eye) = (Vec::new(), Eye::default());
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let read = BUFFER.with_borrow_mut(|buffer| {
            let length = socket.try_read(buffer)?;
            if look == Look::At {
                packets(&mut framed, &buffer[..length], |packet| eye.sees(packet, tally));
            }
            Ok(length)
        });
        match read {
            Ok(0) => return,
            Ok(length) => tally.borrow_mut().bytes += length as u64,
            Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn watch_udp(_control: TcpStream, media: UdpSocket, tally: &RefCell<Tally>, look: Look) {
    let (mut datagram, mut eye) = ([0; 2048], Eye::default());
    loop {
        let Ok(length) = media.recv(&mut datagram).await else { return };
        tally.borrow_mut().bytes += length as u64;
        if look == Look::At {
            eye.sees(&datagram[..length], tally);
        }
    }
}

/// Reads half of what the camera sends, evenly, until the connection ends.
pub(super) async fn read_slowly(mut socket: TcpStream, tally: &RefCell<Tally>) {
    let rate = (PACKETS * (PACKET + 4)) as u64 * u64::from(FPS) / 2;
    let (mut framed, mut chunk) = (Vec::new(), vec![0; 16 << 10]);
    let (started, mut read) = (Instant::now(), 0);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let due = (started.elapsed().as_micros() as u64 * rate / 1_000_000).saturating_sub(read);
        let share = chunk.len().min(due as usize);
        match socket.read(&mut chunk[..share]).await {
            Ok(length) if length > 0 || share == 0 => {
                read += length as u64;
                packets(&mut framed, &chunk[..length], |packet| {
                    if let Some(age) = age(packet) {
                        let oldest = &mut tally.borrow_mut().half_rate.oldest;
                        *oldest = age.max(*oldest);
                    }
                });
            }
            _ => return,
        }
    }
}

/// Adds what was read to the beginning of a packet that was read before, and hands over those that are whole.
fn packets(framed: &mut Vec<u8>, read: &[u8], mut each: impl FnMut(&[u8])) {
    framed.extend_from_slice(read);
    let mut from = 0;
    loop {
        match before_packets(&framed[from..]) {
            None => break,
            Some(0) => {}
            Some(skipped) if from + skipped > framed.len() => break,
            Some(skipped) => {
                from += skipped;
                continue;
            }
        }
        let Some(head) = framed.get(from..from + 4) else { break };
        let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(packet) = framed.get(from + 4..from + 4 + size) else { break };
        each(packet);
        from += 4 + size;
    }
    framed.drain(..from);
}

/// Nanoseconds since the camera wrote a packet.
fn age(packet: &[u8]) -> Option<u64> {
    let stamp = packet[STAMP..].first_chunk().filter(|_| packet.len() == PACKET)?;
    Some(now().saturating_sub(u64::from_be_bytes(*stamp)))
}

/// What a viewer that looks remembers of the packet before.
#[derive(Debug, Default)]
struct Eye {
    /// Sequence number, timestamp.
    last: Option<(u16, u32)>,
}

impl Eye {
    fn sees(&mut self, packet: &[u8], tally: &RefCell<Tally>) {
        let Some(age) = packet.get(..PACKET).and_then(age) else { return };
        let mut tally = tally.borrow_mut();
        if packet[1] & 0x80 != 0 {
            tally.last.push(age);
        }
        if packet[13] & 0x80 != 0 {
            tally.first.push(age);
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        if let Some((last_sequence, last_timestamp)) = self.last.replace((sequence, timestamp)) {
            // What a relay leaves out leaves no gap in the numbers, but in the time.
            let frames = u64::from(timestamp.wrapping_sub(last_timestamp) / (90_000 / FPS));
            let gap = sequence.wrapping_sub(last_sequence) != 1;
            tally.missed += frames.saturating_sub(1).max(u64::from(gap));
        }
    }
}

/// Reads up to the first packet of a key frame.
///
/// # Errors
/// The connection is gone.
pub(crate) async fn key_frame(viewer: &mut Viewer) -> io::Result<()> {
    let is_key = |packet: &[u8]| packet.get(12..14).is_some_and(|fu| fu[0] & 0x1F == 28 && fu[1] & 0x1F == 5);
    let mut packet = vec![0; 64 << 10];
    let (mut framed, mut found) = (Vec::new(), false);
    while !found {
        match &viewer.media {
            Some(media) => {
                let length = media.recv(&mut packet).await?;
                found = is_key(&packet[..length]);
            }
            None => match viewer.control.read(&mut packet).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => packets(&mut framed, &packet[..length], |packet| found |= is_key(packet)),
            },
        }
    }
    Ok(())
}

thread_local! {
    /// For all of them, one after the other.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 << 10]);
}
