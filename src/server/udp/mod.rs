//! UDP unicast: one pair of ports for all viewers, one task for each session.
//!
//! A UDP session outlives the connection it was made on (RFC 2326 section 1.1), so it is a task of its own that
//! connections send its requests to. Its packets leave through sockets that all worker threads share; a burst is one
//! system call where the kernel segments for us (GSO; `sender` has what else there is).

mod learn;
mod ports;
mod sender;
mod table;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use learn::{Port, Whereabouts};
pub use ports::UdpPorts;
pub(super) use table::{Command, Owner, UdpHandle, UdpSeat, UdpTable};

use super::fanout::{Line, Subscriber};
use super::player::Carrier;
use super::session::Session;
use crate::metrics::Metrics;
use crate::rtp::Header;
use crate::rtsp::Status;
use crate::rtsp::transport::{Grant, Offer, PortPair};
use crate::spans;
use crate::vocabulary::Disconnect;
use crate::workers::Workers;

/// A UDP session and what it needs.
#[derive(Debug)]
pub(super) struct UdpSession {
    pub(super) session: Session,
    pub(super) seat: UdpSeat,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) span: spans::Viewer,
    pub(super) ports: Arc<UdpPorts>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) workers: Workers,
    pub(super) timeout: Duration,
    pub(super) stop: CancellationToken,
}

impl UdpSession {
    /// Serves the session to its end, on the thread where its packets are sent.
    pub(super) async fn run(mut self) {
        let span = self.span;
        let mut subscriber = Subscriber::new(self.session, Line::Ports(Arc::clone(&self.ports)));
        let task = UdpTask {
            seat: &mut self.seat,
            inbox: &mut self.inbox,
            span: &span,
            metrics: &self.metrics,
            workers: &self.workers,
            timeout: self.timeout,
            server: self.ports.ports(),
            whereabouts: Whereabouts::default(),
        };
        let reason = task.serve(&mut subscriber, &self.stop).await;
        // Who tore it down knows, and who is gone does not listen.
        if !matches!(reason, Disconnect::Teardown | Disconnect::Closed) {
            subscriber.session().goodbyes(|carrier, compound| {
                if let Carrier::Ports { rtcp, .. } = carrier {
                    self.ports.send_report(rtcp, compound);
                }
            });
        }
        tracing::debug!(parent: span.id(), reason = reason.as_str(), "a UDP viewer left");
        span.ended(reason);
        subscriber.end(reason);
    }
}

/// What a UDP session's task works with, beside the session itself.
struct UdpTask<'t> {
    seat: &'t mut UdpSeat,
    inbox: &'t mut mpsc::Receiver<Command>,
    span: &'t spans::Viewer,
    metrics: &'t Metrics,
    workers: &'t Workers,
    timeout: Duration,
    /// The ports that viewers send to.
    server: PortPair,
    whereabouts: Whereabouts,
}

impl UdpTask<'_> {
    async fn serve(mut self, subscriber: &mut Subscriber, stop: &CancellationToken) -> Disconnect {
        let mut stopped = pin!(stop.cancelled());
        let mut silent = pin!(time::sleep(self.timeout));
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return Disconnect::Shutdown,
                command = self.inbox.recv() => {
                    // The seat holds a sender, so the channel does not close.
                    if let Some(command) = command && let Some(reason) = self.obey(command, subscriber).await {
                        return reason;
                    }
                }
                next = subscriber.next() => match subscriber.deliver(next) {
                    Ok(None) => {}
                    Ok(Some(reason)) => return reason,
                    Err(_) => return Disconnect::Closed, // never: no connection carries it
                },
                () = &mut silent => {
                    let quiet = subscriber.session().last_seen().elapsed();
                    if quiet >= self.timeout {
                        return Disconnect::Timeout;
                    }
                    silent.as_mut().reset(time::Instant::now() + (self.timeout - quiet));
                }
            }
        }
    }

    /// Does what it is told. A reason means that the session has ended.
    async fn obey(&mut self, command: Command, subscriber: &mut Subscriber) -> Option<Disconnect> {
        match command {
            Command::SetUp { mount, generation, part, offer, reply } => {
                let mut session = subscriber.session_mut();
                let outcome = session.admits(&mount, generation).and_then(|()| {
                    let Offer::Udp(client) = offer else { return Err(Status::UNSUPPORTED_TRANSPORT) };
                    let carrier = self.seat.reserve(client).ok_or(Status::UNSUPPORTED_TRANSPORT)?;
                    self.whereabouts.set_up(part.id());
                    let ssrc = session.set_up(part, carrier)?;
                    Ok(Grant::Udp { client, server: self.server, ssrc })
                });
                let ended = outcome == Err(Status::SESSION_NOT_FOUND);
                session.touch();
                if ended {
                    self.seat.leave();
                } else {
                    self.seat.keep(session.carriers());
                }
                let _ = reply.send(match outcome {
                    Ok(grant) => session.granted(grant),
                    Err(status) => session.refuse(status),
                });
                ended.then_some(Disconnect::StreamChanged)
            }
            Command::Answer { request, uri, reply, answered } => {
                let (response, ended) = subscriber.answer(&request, uri.as_ref(), self.workers);
                // Before the answer: who reads it may ask for the same ports at once.
                if ended {
                    self.seat.leave();
                } else {
                    self.seat.keep(subscriber.session().carriers());
                }
                if reply.send(response).is_ok() {
                    // Bounded, so that a connection that died with the answer does not hold the media up.
                    let _ = time::timeout(ANSWER_PATIENCE, answered).await;
                }
                ended.then_some(Disconnect::Teardown)
            }
            Command::Received { from, datagram } => {
                if self.whereabouts.heard() {
                    self.seat.settled();
                }
                subscriber.session_mut().datagram(from, &datagram, self.metrics);
                None
            }
            Command::Opened { from, port, datagram } => {
                let mut session = subscriber.session_mut();
                self.opened(&mut session, from, port, &datagram);
                if port == Port::Rtcp {
                    session.received(&datagram, self.metrics);
                } else {
                    session.datagram(from, &datagram, self.metrics);
                }
                None
            }
            Command::Touch => {
                subscriber.session_mut().touch();
                None
            }
            Command::Superseded => Some(Disconnect::Closed),
        }
    }

    /// The viewer has opened its NAT from `from`: the track whose port that must be goes there from now on.
    fn opened(&mut self, session: &mut Session, from: SocketAddr, port: Port, datagram: &[u8]) {
        // Only who talks sends payload.
        let talks = session.talks_on().filter(|_| port == Port::Rtp && datagram.len() > Header::LEN);
        let track = match talks {
            Some(back) => self.whereabouts.opens(port, std::iter::once(back)),
            None => self.whereabouts.opens(port, session.tracks()),
        };
        let Some(track) = track else { return };
        let Some(Carrier::Ports { rtp, rtcp }) = session.carrier(track) else { return };
        if !self.seat.found_at(from) {
            return;
        }
        self.whereabouts.moved(track, port);
        let carrier = match port {
            Port::Rtp => Carrier::Ports { rtp: from, rtcp },
            Port::Rtcp => Carrier::Ports { rtp, rtcp: from },
        };
        session.set_carrier(track, carrier);
        self.seat.keep(session.carriers());
        session.touch();
        tracing::debug!(parent: self.span.id(), %track, ?port, "a viewer's port was learned");
    }
}

/// How long media waits for the answer to PLAY to be written.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
