//! The writing side of one connection: its socket, and what waits to be written to it.

use std::cell::RefCell;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::time::Instant;

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
/// on one thread.
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
}

impl Outbox {
    /// The writing side of `socket`, over TLS where there are keys.
    pub(super) fn new(socket: TcpStream, secure: Option<Secure>) -> Self {
        let waiting = Waiting { bytes: Vec::new(), written: 0, progress: Instant::now() };
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
                Ok(taken) => IoSlice::advance_slices(&mut parts, taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    waiting.progress = Instant::now();
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
                    waiting.progress = Instant::now();
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

impl Waiting {
    fn len(&self) -> usize {
        self.bytes.len() - self.written
    }
}
