//! Viewers in browsers: a session whose packets go into the messages of a WebSocket.
//!
//! The sidecar answers the handshake and hands its socket over ([`WebSockets::take`]); from then on the connection is one of
//! the RTSP server's, on a worker, served by the same fan-out from the same ring as a viewer over TCP. What it is sent:
//!
//! | message | what |
//! |---|---|
//! | the first, text | the tracks ([`hello`]) |
//! | binary, one a burst | RTP and RTCP as in an interleaved connection (RFC 2326 section 10.12), channel `2 * track`, and one more for RTCP |
//! | text `{"pong":…,"clock":…}` | to a ping: its own words, and the time on the clock of the sender reports, in ms since 1970 |
//! | the closing frame | why it ends, in words |
//!
//! What it may say: `{"do":"play"}`, `{"do":"pause"}`, and `{"ping":…}` with any number, which tells it how far its clock is
//! from the relay's. A browser cannot read the status of a handshake that fails, so that whatever stands in the way of watching
//! is said by the closing frame: 1013 is worth another try, 1008 is not, 1001 is a relay that stops.

mod connection;
mod farewell;
mod frame;
mod hello;

use std::sync::Arc;

use tokio::net::TcpStream;

pub(super) use frame::{Head, Opcode};

use super::{Server, Shared};
use crate::access::Handover;

/// The place of a [`Server`] where browsers come in.
#[derive(Clone, Debug)]
pub struct WebSockets {
    shared: Arc<Shared>,
}

impl Server {
    /// The way in for browsers, to be asked for when the server has all its settings.
    pub fn websockets(&self) -> WebSockets {
        WebSockets { shared: Arc::clone(&self.shared) }
    }
}

impl WebSockets {
    /// Serves a browser on one of the workers. Its connection counts as one of RTSP, and has the limits of those.
    pub fn take(&self, socket: TcpStream, browser: Handover) {
        let shared = Arc::clone(&self.shared);
        let stop = shared.stop.child_token();
        let Ok(socket) = socket.into_std() else { return };
        let place = shared.admission.connection(browser.peer.ip());
        self.shared.workers.spawn_together("websocket", move || async move {
            match TcpStream::from_std(socket) {
                Ok(socket) => connection::serve(socket, browser, place, shared, stop).await,
                Err(error) => {
                    tracing::debug!(peer = %browser.peer, %error, "a browser could not be taken over");
                }
            }
        });
    }
}
