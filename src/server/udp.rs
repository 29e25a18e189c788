//! UDP unicast: one pair of ports for all viewers, one task for each session.
//!
//! A UDP session outlives the connection it was made on (RFC 2326 section 1.1), so it is a task of its own that
//! connections send its requests to. Its packets leave through sockets that all worker threads share; a burst is one
//! system call where the kernel segments for us (GSO, through `quinn-udp`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use tokio::sync::{mpsc, oneshot};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::mount::Mount;
use super::player::{Carrier, Plan, Player};
use super::scratch::{self, Layout};
use super::session::{Next, Session};
use crate::hub::Delivery;
use crate::metrics::Metrics;
use crate::rtsp::transport::PortPair;
use crate::rtsp::{Request, Response, Status, Uri};
use crate::sdp::Track;
use crate::vocabulary::{Disconnect, Skip};

/// The server's pair of UDP ports.
#[derive(Debug)]
pub struct UdpPorts {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: PortPair,
    offload: UdpSocketState,
}

impl UdpPorts {
    /// Binds RTP and RTCP to `ports` of `ip`; ports of 0 are chosen by the system, an even one and the next.
    ///
    /// # Errors
    /// A port cannot be bound; the message names it.
    pub fn bind(ip: IpAddr, ports: (u16, u16)) -> io::Result<Self> {
        let (rtp, rtcp) =
            if ports == (0, 0) { bind_any(ip)? } else { (bind(ip, ports.0)?, bind(ip, ports.1)?) };
        let ports = PortPair { rtp: rtp.local_addr()?.port(), rtcp: rtcp.local_addr()?.port() };
        // Learns what the kernel can do. On a socket of its own, because it also forbids fragments on the socket it is
        // given, and a camera's packet may be larger than a viewer's path allows.
        let offload = UdpSocketState::new(UdpSockRef::from(&UdpSocket::bind((ip, 0))?))?;
        Ok(Self { rtp, rtcp, ports, offload })
    }

    /// The ports, as `server_port` names them.
    pub fn ports(&self) -> PortPair {
        self.ports
    }

    /// Hands every datagram that arrives to `table`, until cancelled.
    ///
    /// # Errors
    /// The sockets cannot be watched.
    pub(super) async fn receive(&self, table: &UdpTable) -> io::Result<()> {
        let rtp = tokio::net::UdpSocket::from_std(self.rtp.try_clone()?)?;
        let rtcp = tokio::net::UdpSocket::from_std(self.rtcp.try_clone()?)?;
        let (mut punch, mut report) = ([0; MAX_REPORT], [0; MAX_REPORT]);
        loop {
            // An error here belongs to some datagram sent earlier: there is nobody to tell.
            tokio::select! {
                Ok((length, from)) = rtp.recv_from(&mut punch) => table.received(from, &punch[..length]),
                Ok((length, from)) = rtcp.recv_from(&mut report) => table.received(from, &report[..length]),
                else => time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Sends the planned packets. Returns how many frames' packets the kernel would not take.
    fn send(&self, player: &Player, plan: &Plan, copy: &[u8]) -> u64 {
        let mut refused = 0;
        let mut rest = plan.parts.as_slice();
        while let Some(first) = rest.first() {
            let size = first.range.len();
            let mut count = 1;
            while let (Some(before), Some(part)) = (rest.get(count - 1), rest.get(count)) {
                let fits = part.track == first.track
                    && part.range.start == before.range.end
                    && before.range.len() == size
                    && part.range.len() <= size
                    && part.range.end - first.range.start <= MAX_DATAGRAM
                    && count < self.offload.max_gso_segments();
                if !fits {
                    break;
                }
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            rest = later;
            let Some(Carrier::Ports { rtp, .. }) = player.track(first.track).map(|track| track.carrier)
            else {
                continue;
            };
            let contents = &copy[first.range.start..now[count - 1].range.end];
            if self.transmit(rtp, contents, (count > 1).then_some(size)).is_err() {
                refused += count as u64;
            }
        }
        refused
    }

    /// One system call; where the kernel refuses to segment, one for each packet.
    fn transmit(&self, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size: segment, src_ip: None };
        match (self.offload.try_send(UdpSockRef::from(&self.rtp), &transmit), segment) {
            (Err(error), Some(size)) if error.kind() != io::ErrorKind::WouldBlock => {
                for packet in contents.chunks(size) {
                    self.rtp.send_to(packet, to)?;
                }
                Ok(())
            }
            (sent, _) => sent,
        }
    }

    fn send_report(&self, to: SocketAddr, compound: &[u8]) {
        // A report that is lost is followed by the next one.
        let _ = self.rtcp.send_to(compound, to);
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, port))
        .map_err(|error| io::Error::new(error.kind(), format!("UDP port {port} of {ip}: {error}")))?;
    socket.set_nonblocking(true)?;
    // A burst to many viewers is more than the usual 208 KiB. Less than asked for is not an error.
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER);
    Ok(socket)
}

fn bind_any(ip: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..100 {
        let rtp = bind(ip, 0)?;
        let port = rtp.local_addr()?.port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = bind(ip, port + 1)
        {
            return Ok((rtp, rtcp));
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no even UDP port is free together with the next one"))
}

/// The UDP sessions of a server.
#[derive(Debug, Default)]
pub(super) struct UdpTable {
    /// Locked to look a session up, for a request or a report; never for media.
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    by_id: HashMap<String, UdpHandle>,
    /// The viewers' ports, RTP and RTCP.
    by_address: HashMap<SocketAddr, UdpHandle>,
}

/// How to reach a UDP session.
#[derive(Clone, Debug)]
pub(super) struct UdpHandle {
    commands: mpsc::Sender<Command>,
    peer: IpAddr,
}

/// What a UDP session is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Set one more track up, of this generation of what stands behind `mount`; the answer is its SSRC and the
    /// session's header.
    SetUp {
        mount: Mount,
        generation: u32,
        track: Box<Track>,
        client: PortPair,
        reply: oneshot::Sender<Result<(u32, String), Box<Response>>>,
    },
    /// Answer a request. No media is sent before `answered` is done: the answer is on the wire.
    Answer {
        request: Box<Request>,
        uri: Option<Uri>,
        reply: oneshot::Sender<Response>,
        answered: oneshot::Receiver<()>,
    },
    /// A datagram of the viewer.
    Received(Box<[u8]>),
    /// A request of the viewer that is not about this session alone.
    Touch,
}

impl UdpTable {
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this id, if it belongs to this address: an id heard by another is no key (CVE-2026-41470).
    pub(super) fn find(&self, id: &str, peer: IpAddr) -> Option<UdpHandle> {
        self.lock().by_id.get(id).filter(|handle| handle.peer == peer).cloned()
    }

    /// Enters a session, to be taken out when the seat is dropped.
    pub(super) fn enter(self: &Arc<Self>, id: &str, peer: IpAddr) -> (UdpSeat, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let handle = UdpHandle { commands, peer };
        self.lock().by_id.insert(id.to_owned(), handle.clone());
        (UdpSeat { table: Arc::clone(self), id: id.to_owned(), handle, addresses: Vec::new() }, inbox)
    }

    fn received(&self, from: SocketAddr, datagram: &[u8]) {
        let handle = self.lock().by_address.get(&from).cloned();
        if let Some(handle) = handle {
            // A session that is behind with its reports loses some; they repeat themselves.
            let _ = handle.commands.try_send(Command::Received(datagram.into()));
        }
    }
}

impl UdpHandle {
    /// Hands a command over. `false` when the session has ended.
    pub(super) async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Shows the session that its viewer lives. `false` when the session has ended.
    pub(super) fn touch(&self) -> bool {
        !matches!(self.commands.try_send(Command::Touch), Err(mpsc::error::TrySendError::Closed(_)))
    }

    /// Whether the session has not ended.
    pub(super) fn is_alive(&self) -> bool {
        !self.commands.is_closed()
    }
}

/// A session's entries in the table.
#[derive(Debug)]
pub(super) struct UdpSeat {
    table: Arc<UdpTable>,
    id: String,
    handle: UdpHandle,
    addresses: Vec<SocketAddr>,
}

impl UdpSeat {
    /// How to reach the session.
    pub(super) fn handle(&self) -> &UdpHandle {
        &self.handle
    }

    /// Reserves a viewer's ports. `None` when another session has one of them: two viewers behind one address must not
    /// get each other's packets.
    pub(super) fn reserve(&mut self, client: PortPair) -> Option<Carrier> {
        let [rtp, rtcp] = [client.rtp, client.rtcp].map(|port| SocketAddr::new(self.handle.peer, port));
        let mut sessions = self.table.lock();
        for address in [rtp, rtcp] {
            if sessions.by_address.contains_key(&address) && !self.addresses.contains(&address) {
                return None;
            }
        }
        for address in [rtp, rtcp] {
            if !self.addresses.contains(&address) {
                sessions.by_address.insert(address, self.handle.clone());
                self.addresses.push(address);
            }
        }
        Some(Carrier::Ports { rtp, rtcp })
    }

    /// Gives up the ports that none of these has any more.
    fn keep(&mut self, carriers: impl Iterator<Item = Carrier>) {
        let kept: Vec<SocketAddr> = carriers
            .filter_map(|carrier| match carrier {
                Carrier::Ports { rtp, rtcp } => Some([rtp, rtcp]),
                Carrier::Channels { .. } => None,
            })
            .flatten()
            .collect();
        let mut sessions = self.table.lock();
        self.addresses.retain(|address| {
            let keep = kept.contains(address);
            if !keep {
                sessions.by_address.remove(address);
            }
            keep
        });
    }

    /// Gives up everything: the session is not found any more.
    fn leave(&mut self) {
        self.keep(std::iter::empty());
        self.table.lock().by_id.remove(&self.id);
    }
}

impl Drop for UdpSeat {
    fn drop(&mut self) {
        self.leave();
    }
}

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
        if reason != Disconnect::Teardown {
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
                    Next::Delivery(Delivery::Closed) => return Disconnect::EndOfStream,
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
        }
    }

    fn deliver(&mut self, delivery: Delivery, plan: &mut Plan) -> Option<Disconnect> {
        let stream = Arc::clone(self.session.mount().stream());
        let playing = self.session.playing()?;
        let burst = match delivery {
            Delivery::Burst(burst) => burst,
            Delivery::Lagged => {
                playing.player.skip();
                return None;
            }
            Delivery::Closed => return Some(Disconnect::EndOfStream),
        };
        if playing.player.is_outdated(&burst) {
            return Some(Disconnect::StreamChanged);
        }
        let player = &mut playing.player;
        let refused = scratch::with_copy(&burst, Layout::Bare, |copy| {
            player.plan(&burst, Layout::Bare, copy, plan);
            let now = Instant::now();
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
        playing.count(plan, plan.bytes, &burst);
        if refused > 0 {
            playing.seat.skipped(Skip::Blocked, refused);
        }
        None
    }
}

/// Datagrams of viewers longer than this are cut: reports are shorter, and noise is not read.
const MAX_REPORT: usize = 2048;

/// The largest datagram over IPv4, and so the most that one system call can segment.
const MAX_DATAGRAM: usize = 65_507;

const SEND_BUFFER: usize = 4 << 20;

/// Commands that wait for a session; more reports than that are left out.
const COMMANDS: usize = 16;

/// How long media waits for the answer to PLAY to be written.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
