//! What a connection does that begins with HTTP.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Buf;

use super::http::{Half, OPENED, Refused};
use super::post::PostEnd;
use crate::rtsp;
use crate::server::connection::Connection;
use crate::vocabulary::Disconnect;

impl Connection {
    /// What begins with an HTTP request: half of a tunnel, or a mistake. `false` while its head is not complete.
    pub(in crate::server) async fn http(&mut self) -> io::Result<bool> {
        let half = match rtsp::parse_http_request(&self.input, &self.shared.settings.limits) {
            Ok(None) => return Ok(false),
            Ok(Some((request, length))) => {
                self.input.advance(length);
                self.incomplete = None;
                // Only before RTSP, and not in the tunnel itself.
                let first = self.silent && self.tunnel.is_none();
                if first {
                    Half::of(&request, self.peer.ip(), &self.shared.tunnels)
                } else {
                    Err(Refused::MALFORMED)
                }
            }
            Err(_) => Err(Refused::MALFORMED),
        };
        let refused = match half {
            Ok(Half::Get(get)) if self.input.iter().all(u8::is_ascii_whitespace) => {
                self.input.clear();
                self.last_heard = Instant::now();
                self.tunnel = Some(get);
                self.outbox.answer(OPENED.as_bytes())?;
                return Ok(true);
            }
            // Both halves on one connection (CVE-2019-6256).
            Ok(Half::Get(_)) => Refused::MALFORMED,
            Ok(Half::Post(post)) => {
                let (outbox, patience) = (Rc::clone(&self.outbox), self.shared.settings.request_timeout);
                let early = std::mem::take(&mut self.input).freeze();
                match post.run(outbox.socket(), early, patience, || self.place.keep()).await? {
                    PostEnd::Refused(refused) => refused,
                    end => {
                        self.finished = matches!(end, PostEnd::Finished);
                        self.closing = Some(Disconnect::Closed);
                        return Ok(true);
                    }
                }
            }
            Err(refused) => refused,
        };
        tracing::debug!(parent: self.span.id(), ?refused, "an HTTP request was refused");
        self.input.clear();
        self.outbox.answer(&refused.answer())?;
        self.closing = Some(Disconnect::Protocol);
        Ok(true)
    }
}
