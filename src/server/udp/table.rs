//! Where the UDP sessions of a server are found: by id for requests, by address for reports.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::learn::{self, Port};
use crate::rtsp::transport::{Offer, PortPair};
use crate::rtsp::{Request, Response, Uri};
use crate::sdp::Track;
use crate::server::mount::Mount;
use crate::server::player::Carrier;
use crate::vocabulary::Transport;

/// The UDP sessions of a server.
#[derive(Debug, Default)]
pub(in crate::server) struct UdpTable {
    /// Locked to look a session up, for a request or a report; never for media.
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    by_id: HashMap<String, UdpHandle>,
    /// The viewers' ports, RTP and RTCP.
    by_address: HashMap<SocketAddr, UdpHandle>,
    /// Sessions whose viewer may be found at other ports, and when they were set up last.
    learning: Vec<(UdpHandle, Instant)>,
    /// Addresses that sessions gave up not long ago: what still comes from there is meant for nobody else.
    left: VecDeque<(SocketAddr, Instant)>,
}

/// How to reach a UDP session.
#[derive(Clone, Debug)]
pub(in crate::server) struct UdpHandle {
    commands: mpsc::Sender<Command>,
    owner: Owner,
    transport: Transport,
    /// The connection it was made on has ended.
    orphaned: Arc<AtomicBool>,
}

/// Whose a UDP session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Owner {
    /// Its address.
    pub(in crate::server) peer: IpAddr,
    /// Who has logged in, if anybody.
    pub(in crate::server) user: Option<String>,
}

/// What a UDP session is asked to do.
#[derive(Debug)]
pub(in crate::server) enum Command {
    /// Set one more track up, of this generation of what stands behind `mount`.
    SetUp { mount: Mount, generation: u32, track: Box<Track>, offer: Offer, reply: oneshot::Sender<Response> },
    /// Answer a request. No media is sent before `answered` is done: the answer is on the wire.
    Answer {
        request: Box<Request>,
        uri: Option<Uri>,
        reply: oneshot::Sender<Response>,
        answered: oneshot::Receiver<()>,
    },
    /// A datagram of the viewer.
    Received(Box<[u8]>),
    /// A datagram from another port of the viewer's address.
    Opened { from: SocketAddr, port: Port, datagram: Box<[u8]> },
    /// A request of the viewer that is not about this session alone.
    Touch,
    /// Its ports belong to another session now.
    Superseded,
}

impl UdpTable {
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this id, if it is theirs: an id heard by another is no key (CVE-2026-41470).
    pub(in crate::server) fn find(&self, id: &str, owner: &Owner) -> Option<UdpHandle> {
        self.lock().by_id.get(id).filter(|handle| handle.owner == *owner).cloned()
    }

    /// Enters a session, to be taken out when the seat is dropped.
    pub(in crate::server) fn enter(
        self: &Arc<Self>,
        id: &str,
        owner: Owner,
        transport: Transport,
    ) -> (UdpSeat, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let handle = UdpHandle { commands, owner, transport, orphaned: Arc::default() };
        self.lock().by_id.insert(id.to_owned(), handle.clone());
        (UdpSeat { table: Arc::clone(self), id: id.to_owned(), handle, addresses: Vec::new() }, inbox)
    }

    /// A datagram came to this port of the server's.
    pub(super) fn received(&self, from: SocketAddr, port: Port, datagram: &[u8]) {
        let mut sessions = self.lock();
        let (handle, command) = match sessions.by_address.get(&from) {
            Some(handle) => (handle.clone(), Command::Received(datagram.into())),
            None => match sessions.meant(from, datagram) {
                Some(handle) => (handle, Command::Opened { from, port, datagram: datagram.into() }),
                None => return,
            },
        };
        drop(sessions);
        // A session that is behind with its reports loses some; they repeat themselves.
        let _ = handle.commands.try_send(command);
    }
}

impl Sessions {
    /// The session whose viewer may have sent this from a port that nobody named.
    fn meant(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<UdpHandle> {
        let now = Instant::now();
        self.learning.retain(|(_, since)| now.saturating_duration_since(*since) < learn::LEARNING);
        let there = |(handle, _): &&(UdpHandle, Instant)| handle.owner.peer == from.ip();
        let learning: Vec<_> = self.learning.iter().filter(there).collect();
        let left = |(address, at): &(SocketAddr, Instant)| {
            *address == from && now.saturating_duration_since(*at) < REMEMBERED
        };
        if learning.is_empty() || !learn::may_open(datagram) || self.left.iter().any(left) {
            return None;
        }
        let set_up: Vec<Instant> = learning.iter().map(|(_, since)| *since).collect();
        Some(learning[learn::meant(&set_up, now)?].0.clone())
    }

    fn learns(&mut self, handle: &UdpHandle, now: Instant) {
        self.learning.retain(|(other, _)| !other.is_same(handle));
        self.learning.push((handle.clone(), now));
    }

    fn settled(&mut self, handle: &UdpHandle) {
        self.learning.retain(|(other, _)| !other.is_same(handle));
    }

    fn left(&mut self, address: SocketAddr) {
        self.left.truncate(LEFT - 1);
        self.left.push_front((address, Instant::now()));
    }
}

impl UdpHandle {
    /// Hands a command over. `false` when the session has ended.
    pub(in crate::server) async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Shows the session that its viewer lives. `false` when the session has ended.
    pub(in crate::server) fn touch(&self) -> bool {
        !matches!(self.commands.try_send(Command::Touch), Err(mpsc::error::TrySendError::Closed(_)))
    }

    /// The connection it was made on has ended: it goes on, but another session may have its ports.
    pub(in crate::server) fn orphan(&self) {
        self.orphaned.store(true, Ordering::Relaxed);
    }

    /// Unicast or multicast.
    pub(in crate::server) fn transport(&self) -> Transport {
        self.transport
    }

    fn is_same(&self, other: &Self) -> bool {
        self.commands.same_channel(&other.commands)
    }

    /// Whether the session has not ended.
    pub(in crate::server) fn is_alive(&self) -> bool {
        !self.commands.is_closed()
    }
}

/// A session's entries in the table.
#[derive(Debug)]
pub(in crate::server) struct UdpSeat {
    table: Arc<UdpTable>,
    id: String,
    handle: UdpHandle,
    addresses: Vec<SocketAddr>,
}

impl UdpSeat {
    /// How to reach the session.
    pub(in crate::server) fn handle(&self) -> &UdpHandle {
        &self.handle
    }

    /// Reserves a viewer's ports. `None` when another session has one of them: two viewers behind one address must not
    /// get each other's packets. But where the other's connection has ended, its ports have been bound anew by this
    /// viewer, which only works when the other is gone: its session ends.
    pub(in crate::server) fn reserve(&mut self, client: PortPair) -> Option<Carrier> {
        let [rtp, rtcp] = [client.rtp, client.rtcp].map(|port| SocketAddr::new(self.handle.owner.peer, port));
        let mut sessions = self.table.lock();
        for address in [rtp, rtcp] {
            let holder = sessions.by_address.get(&address).filter(|holder| !holder.is_same(&self.handle));
            if holder.is_some_and(|holder| !holder.orphaned.load(Ordering::Relaxed)) {
                return None;
            }
        }
        for address in [rtp, rtcp] {
            let before = sessions.by_address.insert(address, self.handle.clone());
            if let Some(before) = before.filter(|before| !before.is_same(&self.handle)) {
                // Where its inbox is full it ends by its time-out: nothing of the viewer's reaches it any more.
                let _ = before.commands.try_send(Command::Superseded);
            }
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
        sessions.learns(&self.handle, Instant::now());
        Some(Carrier::Ports { rtp, rtcp })
    }

    /// Takes an address that the viewer was found at. `false` when it is another session's.
    pub(super) fn found_at(&mut self, address: SocketAddr) -> bool {
        let mut sessions = self.table.lock();
        let free = sessions.by_address.get(&address).is_none_or(|holder| holder.is_same(&self.handle));
        if free && address.ip() == self.handle.owner.peer {
            sessions.by_address.insert(address, self.handle.clone());
            self.addresses.push(address);
        }
        free && address.ip() == self.handle.owner.peer
    }

    /// The viewer is where it said: nothing more is to be learned.
    pub(super) fn settled(&self) {
        self.table.lock().settled(&self.handle);
    }

    /// Gives up the ports that none of these has any more.
    pub(super) fn keep(&mut self, carriers: impl Iterator<Item = Carrier>) {
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
            // What was taken over stays.
            if !keep && sessions.by_address.get(address).is_some_and(|holder| holder.is_same(&self.handle)) {
                sessions.by_address.remove(address);
                sessions.left(*address);
            }
            keep
        });
    }

    /// Gives up everything: the session is not found any more.
    pub(in crate::server) fn leave(&mut self) {
        self.keep(std::iter::empty());
        let mut sessions = self.table.lock();
        sessions.by_id.remove(&self.id);
        sessions.settled(&self.handle);
    }
}

impl Drop for UdpSeat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Addresses given up that are remembered, and for how long: players say goodbye over RTCP after TEARDOWN.
const LEFT: usize = 64;
const REMEMBERED: Duration = Duration::from_secs(60);

/// Commands that wait for a session; more reports than that are left out.
const COMMANDS: usize = 16;
