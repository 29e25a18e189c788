//! One viewer's session: its requests. What it plays it hears with the others.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Listener;
use crate::rtsp::transport::Offer;
use crate::rtsp::{Method, Request, Response, Status, Uri};
use crate::server::mount::Mount;
use crate::server::session::Session;
use crate::server::talk::Part;
use crate::server::udp::{Command, UdpSeat};
use crate::spans;
use crate::vocabulary::Disconnect;

/// A session by multicast and what it needs.
#[derive(Debug)]
pub(in crate::server) struct MulticastSession {
    pub(in crate::server) session: Session,
    pub(in crate::server) seat: UdpSeat,
    pub(in crate::server) inbox: mpsc::Receiver<Command>,
    pub(in crate::server) span: spans::Viewer,
    pub(in crate::server) listener: Listener,
    pub(in crate::server) timeout: Duration,
    pub(in crate::server) stop: CancellationToken,
}

impl MulticastSession {
    /// Serves the session to its end.
    pub(in crate::server) async fn run(mut self) {
        let reason = self.serve().await;
        tracing::debug!(parent: self.span.id(), reason = reason.as_str(), "a multicast viewer left");
        self.span.ended(reason);
        self.session.end(reason);
    }

    async fn serve(&mut self) -> Disconnect {
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut silent = pin!(time::sleep(self.timeout));
        loop {
            let viewer = self.session.playing().map(|playing| Arc::clone(playing.seat.viewer()));
            let kicked = async {
                match &viewer {
                    Some(viewer) => viewer.kicked().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => return Disconnect::Shutdown,
                reason = kicked => return reason,
                reason = self.listener.ended() => return reason,
                command = self.inbox.recv() => {
                    // The seat holds a sender, so the channel does not close.
                    if let Some(command) = command && let Some(reason) = self.obey(command).await {
                        return reason;
                    }
                }
                () = &mut silent => {
                    let quiet = self.session.last_seen().elapsed();
                    if quiet >= self.timeout {
                        return Disconnect::Timeout;
                    }
                    silent.as_mut().reset(time::Instant::now() + (self.timeout - quiet));
                }
            }
        }
    }

    /// Does what it is told. A reason means that the session has ended.
    async fn obey(&mut self, command: Command) -> Option<Disconnect> {
        match command {
            Command::SetUp { mount, generation, part, offer, reply } => {
                self.session.touch();
                let outcome = self.set_up(&mount, generation, part, offer).await;
                let ended = matches!(outcome, Err(Status::SESSION_NOT_FOUND));
                if ended {
                    self.seat.leave();
                }
                let _ = reply.send(outcome.unwrap_or_else(|status| self.session.refuse(status)));
                ended.then_some(Disconnect::StreamChanged)
            }
            Command::Answer { request, uri, reply, .. } => {
                let (response, ended) = self.answer(&request, uri.as_ref()).await?;
                // Before the answer: who reads it may ask for the same at once.
                if ended {
                    self.seat.leave();
                }
                let _ = reply.send(response);
                ended.then_some(Disconnect::Teardown)
            }
            Command::Touch => {
                self.session.touch();
                None
            }
            // Never: it has no ports of its own.
            Command::Received { .. } | Command::Opened { .. } | Command::Superseded => None,
        }
    }

    async fn set_up(
        &mut self,
        mount: &Mount,
        generation: u32,
        part: Part,
        offer: Offer,
    ) -> Result<Response, Status> {
        self.session.admits(mount, generation)?;
        let (Part::Track(track), Offer::Multicast) = (part, offer) else {
            return Err(Status::UNSUPPORTED_TRANSPORT);
        };
        let heard = self.listener.ask(&track, generation).await.ok_or(Status::SESSION_NOT_FOUND)?;
        self.listener.set_up(&mut self.session, track, heard)
    }

    /// Answers a request, and has the flow play what the session plays by then. `None` where the flow has ended: there is no
    /// such session any more.
    async fn answer(&mut self, request: &Request, uri: Option<&Uri>) -> Option<(Response, bool)> {
        let (response, ended) = self.session.answer(request, uri);
        if ended {
            return Some((response, true));
        }
        let numbers = self.listener.plays(self.session.playing_tracks()).await?;
        if request.method != Method::Play || response.status != Status::OK {
            return Some((response, false));
        }
        for (track, numbers) in numbers {
            self.session.hear(track, numbers);
        }
        Some((response.header("RTP-Info", self.session.rtp_info(Instant::now())), false))
    }
}
