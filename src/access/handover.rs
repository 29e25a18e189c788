//! A browser that goes from the HTTP sidecar, which let it in, to the RTSP server, which serves it.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio_rustls::rustls::ServerConnection;

use super::Warrant;

/// What goes along with the socket of a browser after the handshake of RFC 6455. Whoever answered that has seen to it that
/// its visitor may watch, and has nothing left to write.
#[derive(Debug)]
pub struct Handover {
    /// The keys of the socket, over TLS.
    pub keys: Option<Box<ServerConnection>>,
    /// What was read behind the handshake.
    pub read: Bytes,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The stream it asks for.
    pub stream: String,
    /// The query of its request, which may pick tracks as an RTSP viewer's URL does.
    pub query: Option<String>,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// What it was let in by.
    pub warrant: Option<Warrant>,
}
