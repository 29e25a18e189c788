//! TLS of one connection, between its bytes and its socket.
//!
//! The handshake is tokio-rustls's; after it the connection's socket is written and read as any other, with a step between:
//! what goes out is sealed in records first, what comes in is opened. So the fan-out, the outbox and the deadlines need not
//! know. A burst becomes as many records as 16 KiB go into it, each encrypted where the packets are gathered.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time;
use tokio_rustls::rustls::ServerConnection;

use super::farewell::FAREWELL;
use super::outbox::hang_up;
use crate::metrics::Metrics;
use crate::tls::Certificates;

/// A connection's keys.
#[derive(Debug)]
pub(super) struct Secure(Box<RefCell<ServerConnection>>);

/// Shakes hands within `limit`. `None` where that does not come about: what comes is not TLS, or not as we do it. The client
/// has then been told, and the log and the metrics have it.
pub(super) async fn shake(
    certificates: &Certificates,
    socket: TcpStream,
    peer: SocketAddr,
    limit: Duration,
    metrics: &Metrics,
) -> Option<(TcpStream, Secure)> {
    let shaken = time::timeout(limit, certificates.acceptor().accept(socket).into_fallible()).await;
    let (error, socket) = match shaken {
        Ok(Ok(stream)) => {
            let (socket, connection) = stream.into_inner();
            return Some((socket, Secure::new(connection)));
        }
        Ok(Err((error, socket))) => (error, Some(socket)),
        Err(_) => (io::ErrorKind::TimedOut.into(), None),
    };
    metrics.tls_handshake_failures.inc();
    tracing::debug!(%peer, %error, "a connection did not become one over TLS");
    if let Some(socket) = socket {
        // So that the client reads why.
        let _ = time::timeout(FAREWELL, hang_up(&socket)).await;
    }
    None
}

/// Whether a connection begins as TLS does: with a record of a handshake (RFC 8446 section 5.1).
pub(super) fn is_hello(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x16, 0x03])
}

impl Secure {
    /// The keys of a handshake that is done.
    pub(super) fn new(mut connection: ServerConnection) -> Self {
        // The outbox bounds what waits: it takes no burst before the last one is written.
        connection.set_buffer_limit(None);
        Self(Box::new(RefCell::new(connection)))
    }

    /// Seals `parts` and hands the records to `wire`, which takes them all.
    ///
    /// # Errors
    /// Those of `wire`; or TLS cannot go on.
    pub(super) fn seal(&self, mut parts: &mut [IoSlice<'_>], wire: &mut impl Write) -> io::Result<()> {
        let mut connection = self.0.borrow_mut();
        while parts.iter().any(|part| !part.is_empty()) {
            // All at once, except where the keys have to be changed between.
            match connection.writer().write_vectored(parts)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sealed => IoSlice::advance_slices(&mut parts, sealed),
            }
        }
        drain(&mut connection, wire)
    }

    /// Opens what was read, which may be nothing, and appends what was in it to `input`. Returns whether the other side has
    /// said that nothing more comes.
    ///
    /// # Errors
    /// It is not what the other side has sent; `wire` has been given the alert that says so.
    pub(super) fn open(
        &self,
        mut bytes: &[u8],
        input: &mut BytesMut,
        wire: &mut impl Write,
    ) -> io::Result<bool> {
        let mut connection = self.0.borrow_mut();
        loop {
            if !bytes.is_empty() {
                connection.read_tls(&mut bytes)?;
            }
            let state = match connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    drain(&mut connection, wire)?;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            let start = input.len();
            input.resize(start + state.plaintext_bytes_to_read(), 0);
            connection.reader().read_exact(&mut input[start..])?;
            if bytes.is_empty() {
                // Answers of TLS itself, such as new keys.
                drain(&mut connection, wire)?;
                return Ok(state.peer_has_closed());
            }
        }
    }

    /// Says that nothing more comes from here.
    ///
    /// # Errors
    /// Those of `wire`.
    pub(super) fn close(&self, wire: &mut impl Write) -> io::Result<()> {
        let mut connection = self.0.borrow_mut();
        connection.send_close_notify();
        drain(&mut connection, wire)
    }
}

fn drain(connection: &mut ServerConnection, wire: &mut impl Write) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(wire)?;
    }
    Ok(())
}
