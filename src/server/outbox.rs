//! What waits to be written to one connection.

use std::io::{self, IoSlice};
use std::time::Instant;

use tokio::net::TcpStream;

/// The bytes that a connection's socket has not taken yet.
///
/// Answers and media go through here, in order. Nothing is copied while the socket takes everything at once, which is
/// the usual case; when it does not, the rest is kept and the caller stops offering media until it is gone, so that a
/// slow viewer's backlog stays in the ring, where the next key frame replaces it.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    written: usize,
    /// When the socket last took something, or had nothing to take.
    progress: Instant,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new(), written: 0, progress: Instant::now() }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Since when the socket has taken nothing, while something waits.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.progress)
    }

    /// Writes an answer behind all that waits.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn answer(&mut self, socket: &TcpStream, answer: &[u8]) -> io::Result<()> {
        self.media(socket, &mut [IoSlice::new(answer)]).map(drop)
    }

    /// Writes media; whatever the socket does not take waits. Returns whether it took all of it.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn media(&mut self, socket: &TcpStream, mut parts: &mut [IoSlice<'_>]) -> io::Result<bool> {
        if self.is_empty() {
            self.progress = Instant::now();
        }
        while self.is_empty() && !parts.is_empty() {
            match socket.try_write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => IoSlice::advance_slices(&mut parts, taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        for part in parts.iter() {
            self.waiting.extend_from_slice(part);
        }
        Ok(self.is_empty())
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        while !self.is_empty() {
            match socket.try_write(&self.waiting[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.written += taken;
                    self.progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // A viewer that was slow once should not keep a burst's worth of memory.
        self.waiting = Vec::new();
        self.written = 0;
        Ok(())
    }
}
