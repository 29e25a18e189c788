//! Where the UDP sessions of a server are found: by id for requests, by address for reports.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::rtsp::transport::PortPair;
use crate::rtsp::{Request, Response, Uri};
use crate::sdp::Track;
use crate::server::mount::Mount;
use crate::server::player::Carrier;

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
}

/// How to reach a UDP session.
#[derive(Clone, Debug)]
pub(in crate::server) struct UdpHandle {
    commands: mpsc::Sender<Command>,
    owner: Owner,
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
    ) -> (UdpSeat, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let handle = UdpHandle { commands, owner, orphaned: Arc::default() };
        self.lock().by_id.insert(id.to_owned(), handle.clone());
        (UdpSeat { table: Arc::clone(self), id: id.to_owned(), handle, addresses: Vec::new() }, inbox)
    }

    pub(super) fn received(&self, from: SocketAddr, datagram: &[u8]) {
        let handle = self.lock().by_address.get(&from).cloned();
        if let Some(handle) = handle {
            // A session that is behind with its reports loses some; they repeat themselves.
            let _ = handle.commands.try_send(Command::Received(datagram.into()));
        }
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
        Some(Carrier::Ports { rtp, rtcp })
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
            }
            keep
        });
    }

    /// Gives up everything: the session is not found any more.
    pub(super) fn leave(&mut self) {
        self.keep(std::iter::empty());
        self.table.lock().by_id.remove(&self.id);
    }
}

impl Drop for UdpSeat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Commands that wait for a session; more reports than that are left out.
const COMMANDS: usize = 16;
