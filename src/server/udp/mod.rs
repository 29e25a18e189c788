//! UDP unicast: one pair of ports for all viewers, one task for each session.
//!
//! A UDP session outlives the connection it was made on (RFC 2326 section 1.1), so it is a task of its own that
//! connections send its requests to. Its packets leave through sockets that all worker threads share; a burst is one
//! system call where the kernel segments for us (GSO, through `quinn-udp`).

mod ports;
mod table;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

pub use ports::UdpPorts;
pub(super) use table::{Command, UdpHandle, UdpSeat, UdpTable};

use super::player::{Carrier, Plan};
use super::scratch::{self, Layout};
use super::session::{Next, Session};
use crate::hub::Delivery;
use crate::metrics::Metrics;
use crate::rtsp::Status;
use crate::vocabulary::{Disconnect, Skip};

/// A UDP session and what it needs.
#[derive(Debug)]
pub(super) struct UdpSession {
    pub(super) session: Session,
    pub(super) seat: UdpSeat,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) ports: Arc<UdpPorts>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) timeout: Duration,
    pub(super) stop: CancellationToken,
}

impl UdpSession {
    /// Serves the session to its end.
    pub(super) async fn run(mut self) {
        let reason = self.serve().await;
        // Who tore it down knows, and who is gone does not listen.
        if !matches!(reason, Disconnect::Teardown | Disconnect::Closed) {
            self.session.goodbyes(|carrier, compound| {
                if let Carrier::Ports { rtcp, .. } = carrier {
                    self.ports.send_report(rtcp, compound);
                }
            });
        }
        tracing::debug!(reason = reason.as_str(), "a UDP viewer left");
        self.session.end(reason);
    }

    async fn serve(&mut self) -> Disconnect {
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut silent = pin!(time::sleep(self.timeout));
        let mut plan = Plan::default();
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return Disconnect::Shutdown,
                command = self.inbox.recv() => {
                    // The seat holds a sender, so the channel does not close.
                    if let Some(command) = command && let Some(reason) = self.obey(command).await {
                        return reason;
                    }
                }
                next = self.session.next() => match next {
                    Next::Kicked(reason) => return reason,
                    Next::Delivery(delivery) => if let Some(reason) = self.deliver(delivery, &mut plan) {
                        return reason;
                    },
                },
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
            Command::SetUp { mount, generation, track, client, reply } => {
                let outcome = self.session.admits(&mount, generation).and_then(|()| {
                    let carrier = self.seat.reserve(client).ok_or(Status::UNSUPPORTED_TRANSPORT)?;
                    self.session.set_up(&track, carrier)
                });
                let ended = outcome == Err(Status::SESSION_NOT_FOUND);
                self.session.touch();
                let header = self.session.header();
                if ended {
                    self.seat.leave();
                } else {
                    self.seat.keep(self.session.carriers());
                }
                let _ = reply.send(match outcome {
                    Ok(ssrc) => Ok((ssrc, header)),
                    Err(status) => Err(Box::new(self.session.refuse(status))),
                });
                ended.then_some(Disconnect::StreamChanged)
            }
            Command::Answer { request, uri, reply, answered } => {
                let (response, ended) = self.session.answer(&request, uri.as_ref());
                // Before the answer: who reads it may ask for the same ports at once.
                if ended {
                    self.seat.leave();
                } else {
                    self.seat.keep(self.session.carriers());
                }
                if reply.send(response).is_ok() {
                    // Bounded, so that a connection that died with the answer does not hold the media up.
                    let _ = time::timeout(ANSWER_PATIENCE, answered).await;
                }
                ended.then_some(Disconnect::Teardown)
            }
            Command::Received(datagram) => {
                self.session.received(&datagram, &self.metrics);
                None
            }
            Command::Touch => {
                self.session.touch();
                None
            }
            Command::Superseded => Some(Disconnect::Closed),
        }
    }

    fn deliver(&mut self, delivery: Delivery, plan: &mut Plan) -> Option<Disconnect> {
        let stream = Arc::clone(self.session.mount().stream());
        let playing = self.session.playing()?;
        let now = Instant::now();
        let burst = match playing.accept(delivery, &stream, now) {
            Ok(Some(burst)) => burst,
            Ok(None) => return None,
            Err(reason) => return Some(reason),
        };
        let burst = burst.datagrams();
        let player = &mut playing.player;
        let taken = scratch::with_copy(burst, Layout::Bare, |copy| {
            player.plan(burst, now, Layout::Bare, copy, plan);
            if player.reports_due(now) {
                player.reports(
                    now,
                    |track| playing.feed.report(&stream, track, now),
                    |carrier, compound| {
                        if let Carrier::Ports { rtcp, .. } = carrier {
                            self.ports.send_report(rtcp, compound);
                        }
                    },
                );
            }
            self.ports.send(player, plan, copy)
        });
        playing.count(plan, plan.bytes, burst);
        if !taken {
            // A burst is a frame, or part of one.
            playing.seat.skipped(Skip::Blocked, 1);
        }
        None
    }
}

/// How long media waits for the answer to PLAY to be written.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
