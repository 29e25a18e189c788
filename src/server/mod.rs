//! RTSP to viewers.
//!
//! [`Server::run`] accepts connections and places each on a worker thread as one task, which reads its requests and
//! writes its answers. Media is written by the worker's fan-out (module `fanout`), one task for each stream, and by a
//! viewer's own task only where it has fallen behind. A session over TCP belongs to its connection and ends with it; RFC 2326 section 1.1 would let it
//! live on, and no player makes use of that. A session over UDP is a task of its own and is reached by its id from any
//! connection of the same address. A browser's session comes from the sidecar ([`WebSockets`]), and is then one over TCP.

mod access;
mod admission;
mod ahead;
mod choice;
mod classic;
mod connection;
mod fanout;
mod farewell;
mod mount;
mod multicast;
mod outbox;
mod pace;
mod playback;
mod player;
mod refusals;
mod requests;
mod scratch;
mod secure;
mod session;
mod talk;
mod tunnel;
mod udp;
mod warrants;
mod websocket;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time;
use tokio_util::sync::CancellationToken;

pub use mount::Mounts;
pub use playback::{ClipMount, ClipSettings};
pub use udp::UdpPorts;
pub use websocket::WebSockets;

use crate::access::Access;
use crate::config::{Capacity, Groups};
use crate::metrics::Metrics;
use crate::rtsp::Limits;
use crate::tls::Certificates;
use crate::workers::Workers;
use admission::{Admission, Place};
use multicast::Flows;
use tunnel::Tunnels;
use udp::UdpTable;
use warrants::Warrants;

/// What a server is allowed and when it gives up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A viewer that gives no sign of life for this long is gone.
    pub session_timeout: Duration,
    /// What viewers are told about it: a little less, because Windows Media Foundation pings exactly then.
    pub advertised_timeout: Duration,
    /// A viewer whose socket takes nothing for this long is gone.
    pub write_timeout: Duration,
    /// How long DESCRIBE waits for a source that is on its way.
    pub describe_timeout: Duration,
    /// A request that is not complete after this long ends its connection.
    pub request_timeout: Duration,
    /// How many viewers there may be.
    pub capacity: Capacity,
    /// What a request may hold.
    pub limits: Limits,
    /// Where streams go that are sent by multicast.
    pub groups: Groups,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    mounts: Mounts,
    settings: Settings,
    udp: Option<Arc<UdpPorts>>,
    udp_sessions: Arc<UdpTable>,
    /// What is sent by multicast.
    flows: Flows,
    metrics: Arc<Metrics>,
    access: Arc<Access>,
    warrants: Arc<Warrants>,
    workers: Workers,
    admission: Arc<Admission>,
    tunnels: Arc<Tunnels>,
    /// The clients of the classic exercise are served as well.
    classic: bool,
    /// Ends every session.
    stop: CancellationToken,
}

/// Where viewers come in.
#[derive(Debug)]
pub struct Door {
    /// The socket.
    pub listener: TcpListener,
    /// For RTSP over TLS (RTSPS); `None` = plain.
    pub certificates: Option<Arc<Certificates>>,
}

/// An RTSP server.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// A server of `mounts`, whose viewers are placed on `workers`; TCP only where `udp` is `None`. It serves until
    /// `stop`.
    /// Anybody may watch, unless [`Server::with_access`] says otherwise.
    pub fn new(
        mounts: Mounts,
        udp: Option<UdpPorts>,
        settings: Settings,
        workers: Workers,
        stop: CancellationToken,
    ) -> Self {
        let metrics = Arc::clone(mounts.hub.metrics());
        let admission = Arc::new(Admission::new(settings.capacity, Arc::clone(&metrics)));
        let shared = Shared {
            mounts,
            settings,
            udp: udp.map(Arc::new),
            udp_sessions: Arc::default(),
            flows: Flows::default(),
            access: Arc::new(Access::open(Arc::clone(&metrics))),
            warrants: Arc::default(),
            metrics,
            workers,
            admission,
            tunnels: Arc::default(),
            classic: false,
            stop,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks `access` who may watch what.
    #[must_use]
    pub fn with_access(mut self, access: Arc<Access>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.access = access;
        }
        self
    }

    /// Serves clips to the clients of the classic exercise as well, who speak something like RTSP: one picture of up to
    /// 65,000 bytes in each datagram.
    #[must_use]
    pub fn with_classic(mut self) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.classic = true;
        }
        self
    }

    /// Accepts connections until it is stopped. Viewers are then said goodbye to; `Workers::drained` tells when they are gone.
    ///
    /// # Errors
    /// The UDP ports cannot be watched.
    pub async fn run(self, listener: TcpListener) -> io::Result<()> {
        self.run_at(vec![Door { listener, certificates: None }]).await
    }

    /// The same at several doors.
    ///
    /// # Errors
    /// The UDP ports cannot be watched.
    pub async fn run_at(self, doors: Vec<Door>) -> io::Result<()> {
        let stop = &self.shared.stop;
        let receive = async {
            match &self.shared.udp {
                Some(ports) => ports.receive(&self.shared.udp_sessions).await,
                None => std::future::pending().await,
            }
        };
        let accept = futures_util::future::join_all(doors.into_iter().map(|door| self.accept(door)));
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            _ = accept => Ok(()),
            () = self.shared.warrants.watch(&self.shared.access) => Ok(()),
            received = receive => received,
        }
    }

    async fn accept(&self, Door { listener, certificates }: Door) {
        // Given up for a moment when the process has no descriptor left, so that a connection can be taken and closed:
        // who waits in the kernel's queue is not answered and does not know why.
        let mut reserve = File::open("/dev/null").ok();
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    if let Ok(place) = self.shared.admission.connection(peer.ip()) {
                        self.place(socket, certificates.clone(), peer, place);
                    }
                }
                Err(error) => {
                    self.shared.admission.out_of_descriptors(&error);
                    let kept = reserve.take().is_some();
                    if kept && time::timeout(ACCEPT_PAUSE, listener.accept()).await.is_ok() {
                        reserve = File::open("/dev/null").ok();
                    } else {
                        // Viewers in play are not harmed, and some will leave.
                        time::sleep(ACCEPT_PAUSE).await;
                        reserve = File::open("/dev/null").ok();
                    }
                }
            }
        }
    }

    /// Moves a connection to a worker.
    fn place(
        &self,
        socket: TcpStream,
        certificates: Option<Arc<Certificates>>,
        peer: SocketAddr,
        place: Place,
    ) {
        let stop = self.shared.stop.child_token();
        let shared = Arc::clone(&self.shared);
        let Ok(socket) = socket.into_std() else { return };
        self.shared.workers.spawn_together("connection", move || async move {
            match TcpStream::from_std(socket) {
                Ok(socket) => connection::serve(socket, certificates, peer, place, shared, stop).await,
                Err(error) => tracing::debug!(%peer, %error, "a connection could not be taken over"),
            }
        });
    }
}

/// Without a pause the loop would spin for as long as there is no descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
