//! The writing side of one connection: its socket, and what waits to be written to it.

use std::cell::RefCell;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::secure::Secure;
use super::websocket::{Head, Opcode};
use crate::vocabulary::Transport;

/// A connection's socket, and the bytes that it has not taken yet.
///
/// Answers and media go through here, in order. Nothing is copied while the socket takes everything at once, which is
/// the usual case; when it does not, the rest is kept and the caller stops offering media until it is gone, so that a
/// slow viewer's backlog stays in the ring, where the next key frame replaces it.
///
/// Shared by the connection's task, which answers and flushes, and the worker's fan-out, which writes media; both run
/// on one thread. It has two lines of the cache, which each burst fetches anew.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Outbox {
    socket: TcpStream,
    /// Over TLS; what waits is sealed already.
    secure: Option<Secure>,
    /// Each burst is a message of a WebSocket.
    in_messages: bool,
    waiting: RefCell<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// How much of `bytes` is written.
    written: usize,
    /// When the socket last took something, or began to take nothing.
    progress: Instant,
    /// Since it first took less than it was given; elsewhere, since few have it.
    pace: Option<Box<Pace>>,
}

impl Outbox {
    /// The writing side of `socket`, over TLS where there are keys.
    pub(super) fn new(socket: TcpStream, secure: Option<Secure>) -> Self {
        let waiting = Waiting { bytes: Vec::new(), written: 0, progress: Instant::now(), pace: None };
        Self { socket, secure, in_messages: false, waiting: RefCell::new(waiting) }
    }

    /// The same for a WebSocket.
    pub(super) fn of_messages(socket: TcpStream, secure: Option<Secure>) -> Self {
        Self { in_messages: true, ..Self::new(socket, secure) }
    }

    /// How interleaved media travels here.
    pub(super) fn transport(&self) -> Transport {
        match (self.in_messages, &self.secure) {
            (true, _) => Transport::WebSocket,
            (false, Some(_)) => Transport::Tls,
            (false, None) => Transport::Tcp,
        }
    }

    /// What goes in front of `length` bytes of interleaved media, if anything does.
    pub(super) fn head(&self, length: usize) -> Option<Head> {
        self.in_messages.then(|| Head::new(Opcode::Binary, length))
    }

    /// Puts what was read from the socket, as it came, into `input` as it was meant. Returns whether the other side has said
    /// that nothing more comes.
    ///
    /// # Errors
    /// It cannot be opened, or the connection is gone.
    pub(super) fn receive(&self, bytes: &[u8], input: &mut BytesMut) -> io::Result<bool> {
        let Some(secure) = &self.secure else {
            input.extend_from_slice(bytes);
            return Ok(false);
        };
        let mut waiting = self.waiting.borrow_mut();
        secure.open(bytes, input, &mut Wire { outbox: self, waiting: &mut waiting })
    }

    /// Writes that nothing more comes, where there is a way to say so.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn close(&self) -> io::Result<()> {
        let Some(secure) = &self.secure else { return Ok(()) };
        let mut waiting = self.waiting.borrow_mut();
        secure.close(&mut Wire { outbox: self, waiting: &mut waiting })
    }

    /// The socket, for reading and for waiting.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Since when the socket has taken nothing, while something waits.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        let waiting = self.waiting.borrow();
        (waiting.len() > 0).then_some(waiting.progress)
    }

    /// How long the last of so many bytes written now stays here and in the kernel, while the socket takes less than it is
    /// given. What the other side has received and not read is not known.
    pub(super) fn delay(&self, bytes: usize, now: Instant) -> Duration {
        let waiting = self.waiting.borrow();
        waiting.pace.as_ref().map_or(Duration::ZERO, |pace| pace.delay(waiting.len() + bytes, now))
    }

    /// Writes an answer behind all that waits.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn answer(&self, answer: &[u8]) -> io::Result<()> {
        if answer.is_empty() {
            return Ok(());
        }
        self.media(&mut [IoSlice::new(answer)]).map(drop)
    }

    /// Writes media; whatever the socket does not take waits. Returns whether it took all of it.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn media(&self, parts: &mut [IoSlice<'_>]) -> io::Result<bool> {
        let mut waiting = self.waiting.borrow_mut();
        match &self.secure {
            None => self.put(&mut waiting, parts)?,
            Some(secure) => secure.seal(parts, &mut Wire { outbox: self, waiting: &mut waiting })?,
        }
        Ok(waiting.len() == 0)
    }

    fn put(&self, waiting: &mut Waiting, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        while waiting.len() == 0 && !parts.is_empty() {
            let written = match &*parts {
                [one] => self.write(one),
                several => self.write_vectored(several),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    if let Some(pace) = &mut waiting.pace {
                        pace.bytes += taken;
                    }
                    IoSlice::advance_slices(&mut parts, taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    waiting.blocked(Instant::now());
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        for part in parts.iter() {
            waiting.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    /// Straight to the kernel: tokio's idea of whether the socket has room lies elsewhere in memory, and is asked for, and
    /// set right, only when the kernel says that there is none.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match SockRef::from(&self.socket).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.try_write(bytes),
            sent => sent,
        }
    }

    /// The same with several pieces.
    fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match SockRef::from(&self.socket).send_vectored(parts) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.try_write_vectored(parts),
            sent => sent,
        }
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn flush(&self) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.len() > 0 {
            match self.socket.try_write(&waiting.bytes[waiting.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    waiting.written += taken;
                    waiting.took(taken, Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // A viewer that was slow once should not keep a burst's worth of memory.
        waiting.bytes = Vec::new();
        waiting.written = 0;
        Ok(())
    }
}

/// The socket, and behind it what it does not take: for records of TLS, which are written once.
struct Wire<'o> {
    outbox: &'o Outbox,
    waiting: &'o mut Waiting,
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut own = [IoSlice::new(&[]); MAX_RECORDS];
        let count = parts.len().min(MAX_RECORDS);
        own[..count].copy_from_slice(&parts[..count]);
        let length = own.iter().map(|part| part.len()).sum();
        self.outbox.put(self.waiting, &mut own[..count])?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends FIN and reads on until the other side has closed, too.
pub(super) async fn hang_up(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).shutdown(Shutdown::Write)?;
    let mut ignored = [0; IGNORED];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut ignored) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes read at once of what nobody wants to know.
const IGNORED: usize = 4096;

/// Records of one write, 16 KiB each.
const MAX_RECORDS: usize = 64;

/// Bytes that the kernel takes for a viewer beyond what is on its way: a quarter of a second at 4 Mbit/s. Without a bound
/// the send buffer grows to 4 MiB, eight seconds: of a viewer over loopback that reads a stream of 4 Mbit/s at half its rate
/// at most 457 KiB stood in the send queue within 20 s, and 3824 KiB without this option (`ss -tn`).
pub(super) const MAX_UNSENT: u32 = 128 << 10;

/// Bytes that the other side holds, at least, before it reads them: half of the smallest receive window that systems begin with.
const UNREAD: u64 = 32 << 10;

/// How fast a socket takes what it is given, while that is less than there is.
#[derive(Debug)]
struct Pace {
    /// The window that is counted now.
    begun: Instant,
    bytes: usize,
    /// In bytes a second, in the window before.
    rate: Option<u64>,
    /// When it last took less than it was given.
    blocked: Instant,
}

impl Pace {
    /// Not if the socket has taken everything for some time.
    fn is_known(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.blocked) < 2 * WINDOW
    }

    fn delay(&self, waiting: usize, now: Instant) -> Duration {
        match self.rate {
            Some(rate) if self.is_known(now) => {
                Duration::from_millis((waiting as u64 + u64::from(MAX_UNSENT) + UNREAD) * 1000 / rate.max(1))
            }
            _ => Duration::ZERO,
        }
    }
}

/// The rate is counted over this much time.
const WINDOW: Duration = Duration::from_millis(500);

impl Waiting {
    fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// The socket takes nothing more for now.
    fn blocked(&mut self, now: Instant) {
        self.progress = now;
        match &mut self.pace {
            Some(pace) if pace.is_known(now) => pace.blocked = now,
            pace => *pace = Some(Box::new(Pace { begun: now, bytes: 0, rate: None, blocked: now })),
        }
    }

    /// The socket has taken some of what waits.
    fn took(&mut self, bytes: usize, now: Instant) {
        self.progress = now;
        let Some(pace) = &mut self.pace else { return };
        pace.bytes += bytes;
        let elapsed = now.saturating_duration_since(pace.begun);
        if elapsed >= WINDOW {
            pace.rate = Some(pace.bytes as u64 * 1000 / elapsed.as_millis().max(1) as u64);
            (pace.begun, pace.bytes) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_two_lines_of_the_cache() {
        assert_eq!(size_of::<Outbox>(), 128);
    }

    #[test]
    fn what_is_written_to_a_slow_socket_waits_as_long_as_that_takes_for_what_is_before_it() {
        let start = Instant::now();
        let mut waiting = Waiting { bytes: vec![0; 40 << 10], written: 0, progress: start, pace: None };
        let at = |millis| start + Duration::from_millis(millis);
        waiting.blocked(at(0));
        let delay = |waiting: &Waiting, now| waiting.pace.as_ref().unwrap().delay(waiting.len(), now);
        assert_eq!(delay(&waiting, at(10)), Duration::ZERO, "nothing is known yet");
        for step in 1..=10 {
            waiting.took(10 << 10, at(step * 50));
        }
        // 100 KiB in half a second, and 200 KiB before it.
        assert_eq!(delay(&waiting, at(600)), Duration::from_secs(1));
        assert_eq!(delay(&waiting, at(1100)), Duration::ZERO, "it has taken all for a second");
        waiting.blocked(at(9000));
        waiting.took(1, at(9010));
        assert_eq!(delay(&waiting, at(9010)), Duration::ZERO, "what was between does not count");
    }
}
