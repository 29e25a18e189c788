//! What sends a stream to its group.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ask, Flow, Heard, carrier};
use crate::metrics::Metrics;
use crate::rtp::Rewriter;
use crate::rtsp::transport::PortPair;
use crate::sdp::Track;
use crate::server::fanout::{Line, Subscriber};
use crate::server::player::Carrier;
use crate::server::session::Session;
use crate::server::udp::UdpPorts;
use crate::vocabulary::{Disconnect, TrackId};
use crate::workers::Workers;

/// A flow and what it needs.
#[derive(Debug)]
pub(super) struct Sending {
    /// A session of nobody, whose packets go to the group.
    pub(super) session: Session,
    pub(super) flow: Arc<Flow>,
    pub(super) ports: Arc<UdpPorts>,
    pub(super) interface: Option<Ipv4Addr>,
    pub(super) inbox: mpsc::UnboundedReceiver<Ask>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) workers: Workers,
    pub(super) stop: CancellationToken,
}

/// The task, on the thread where its packets are sent.
struct Task<'t> {
    flow: &'t Flow,
    interface: Option<Ipv4Addr>,
    workers: &'t Workers,
    /// By track, how many play it.
    players: BTreeMap<TrackId, usize>,
    /// Where reports of receivers come in: the port that ours leave by, and each track's in the group.
    ears: Vec<UdpSocket>,
}

impl Sending {
    /// Sends until nobody hears it any more.
    pub(super) async fn run(self) {
        let Self { session, flow, ports, interface, mut inbox, metrics, workers, stop } = self;
        let mut subscriber = Subscriber::new(session, Line::Ports(Arc::clone(&ports)));
        let ears = ports.reports().and_then(UdpSocket::from_std).into_iter().collect();
        let task = Task { flow: &flow, interface, workers: &workers, players: BTreeMap::new(), ears };
        tracing::debug!(group = %flow.group, "a stream is sent by multicast");
        let reason = task.serve(&mut subscriber, &mut inbox, &metrics, &stop).await;
        subscriber.session().goodbyes(|carrier, compound| {
            if let Carrier::Ports { rtcp, .. } = carrier {
                ports.send_report(rtcp, compound);
            }
        });
        tracing::debug!(group = %flow.group, reason = reason.as_str(), "nobody is sent to by multicast any more");
        let _ = flow.ended.set(reason); // nobody else sets it
        subscriber.end(reason);
    }
}

impl Task<'_> {
    async fn serve(
        mut self,
        subscriber: &mut Subscriber,
        inbox: &mut mpsc::UnboundedReceiver<Ask>,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Disconnect {
        let mut stopped = pin!(stop.cancelled());
        let mut report = vec![0; MAX_REPORT];
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return Disconnect::Shutdown,
                ask = inbox.recv() => match ask {
                    None => return Disconnect::Teardown,
                    Some(ask) => if let Some(reason) = self.obey(ask, subscriber) {
                        return reason;
                    },
                },
                next = subscriber.next() => match subscriber.deliver(next) {
                    Ok(None) => {}
                    Ok(Some(reason)) => return reason,
                    Err(_) => return Disconnect::Closed, // never: no connection carries it
                },
                length = hear(&self.ears, &mut report) => {
                    subscriber.session_mut().received(&report[..length], metrics);
                }
            }
        }
    }

    /// Does what it is asked. A reason means that the flow has ended.
    fn obey(&mut self, ask: Ask, subscriber: &mut Subscriber) -> Option<Disconnect> {
        match ask {
            Ask::SetUp { track, generation, reply } => {
                let mut session = subscriber.session_mut();
                if session.generation() != generation {
                    let status = session.mount().stream().status();
                    let described = status.borrow().described.clone();
                    if !described.is_some_and(|described| session.follow(&described)) {
                        return Some(Disconnect::StreamChanged);
                    }
                }
                // Whoever asked may have gone.
                let _ = reply.send(self.set_up(&mut session, &track)?);
                None
            }
            Ask::Plays { before, now, reply } => {
                let numbers = self.plays(subscriber, &before, &now);
                subscriber.enlist(self.workers);
                if let Some(reply) = reply {
                    let _ = reply.send(numbers);
                }
                None
            }
        }
    }

    /// `None` where a track has no ports: no description has as many.
    fn set_up(&mut self, session: &mut Session, track: &Track) -> Option<Heard> {
        let group = *self.flow.group.ip();
        let rtp = self.flow.group.port().checked_add(u16::from(track.id.0) * 2)?;
        let ports = PortPair { rtp, rtcp: rtp.checked_add(1)? };
        if session.numbers(track.id).is_none() {
            match ear(group, ports.rtcp, self.interface) {
                Ok(ear) => self.ears.push(ear),
                Err(error) => {
                    tracing::warn!(%group, %error, "what multicast viewers report is not heard");
                }
            }
        }
        session.add(track, carrier(group, ports));
        Some(Heard { ports, numbers: session.numbers(track.id)? })
    }

    /// Plays the tracks that somebody plays.
    fn plays(
        &mut self,
        subscriber: &Subscriber,
        before: &[TrackId],
        now: &[TrackId],
    ) -> Vec<(TrackId, Rewriter)> {
        let mut session = subscriber.session_mut();
        for track in now {
            let players = self.players.entry(*track).or_default();
            *players += 1;
            if *players == 1 {
                let _ = session.begin(Some(*track), None, Instant::now()); // no refusal: it is set up, and no file
            }
        }
        for track in before {
            let Some(players) = self.players.get_mut(track) else { continue };
            *players = players.saturating_sub(1);
            if *players == 0 {
                let _ = session.pause(Some(*track)); // no refusal: it is set up
            }
        }
        now.iter().filter_map(|track| Some((*track, session.numbers(*track)?))).collect()
    }
}

/// Where reports of the group come in. Bound to the group, so that those of other groups on the same port are not heard;
/// others may listen as well.
fn ear(group: Ipv4Addr, port: u16, interface: Option<Ipv4Addr>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(IpAddr::V4(group), port).into())?;
    socket.join_multicast_v4(&group, &interface.unwrap_or(Ipv4Addr::UNSPECIFIED))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The length of the next report that comes to one of them. Cancel-safe.
async fn hear(ears: &[UdpSocket], report: &mut [u8]) -> usize {
    poll_fn(|cx| {
        for ear in ears {
            loop {
                let mut room = ReadBuf::new(report);
                match ear.poll_recv(cx, &mut room) {
                    Poll::Ready(Ok(())) => return Poll::Ready(room.filled().len()),
                    Poll::Ready(Err(_)) => {} // it belongs to some report sent earlier, and is told once
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    })
    .await
}

/// Reports longer than this are cut.
const MAX_REPORT: usize = 2048;
