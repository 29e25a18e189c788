//! UDP multicast: one flow for all viewers of a stream, however many there are.
//!
//! A stream that is sent by multicast has a group of its own ([`groups`]), and in it each track a pair of ports. A flow
//! ([`flow`]) sends there what a viewer over UDP would get, as one viewer's worth of work: it is one among those that the
//! worker's fan-out serves. It begins with the first viewer's SETUP, ends with the last viewer's session, and sends the
//! tracks that somebody plays. Its SSRCs, sequence numbers and timestamps are the same for all, and go on through outages as
//! any viewer's do. A viewer's session ([`session`]) is a task that answers its requests and has no packet to send.
//!
//! Who joins a flow under way waits for the camera's next key frame: what the stream's cache holds would be sent to all the
//! others again. Reports of receivers come to the group or to the port that ours leave by. They say how the flow is received,
//! and not by whom: a session lives on by its RTSP requests alone.
//!
//! Media in a group cannot be limited to sessions: whoever is on the network may join ([RFC 2326 section
//! 16](https://datatracker.ietf.org/doc/html/rfc2326#section-16)). So it is off by default, and never given over TLS.

mod flow;
mod groups;
mod session;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{mpsc, oneshot};

pub(super) use session::MulticastSession;

use super::Shared;
use super::mount::Mount;
use super::player::Carrier;
use super::session::Session;
use super::udp::UdpPorts;
use crate::hub::{self, Described, Stream};
use crate::rtp::Rewriter;
use crate::rtsp::transport::{Grant, PortPair};
use crate::rtsp::{Response, Status};
use crate::sdp::Track;
use crate::vocabulary::{Disconnect, TrackId, Transport};
use flow::Sending;
use groups::NoGroup;

/// The flows of a server.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// By the name of the stream. Locked when a session begins; never for media.
    running: Mutex<HashMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    stream: Weak<Stream>,
    flow: Arc<Flow>,
    asks: mpsc::WeakUnboundedSender<Ask>,
}

/// What all who hear a flow are told of it.
#[derive(Debug)]
struct Flow {
    /// Its group, and the port of its first track.
    group: SocketAddrV4,
    ttl: u8,
    /// Where its packets come from.
    source: Ipv4Addr,
    /// Whose counters count what it sends.
    viewer: Arc<hub::Viewer>,
    /// Why it ended.
    ended: OnceLock<Disconnect>,
}

/// What a flow is asked to do.
#[derive(Debug)]
enum Ask {
    /// Have a track ready, of this generation of the stream. No answer: the flow's tracks have changed, and it has ended.
    SetUp { track: Box<Track>, generation: u32, reply: oneshot::Sender<Heard> },
    /// One who played the tracks `before` plays the tracks `now`. The answer is their numbers from now on.
    Plays {
        before: Vec<TrackId>,
        now: Vec<TrackId>,
        reply: Option<oneshot::Sender<Vec<(TrackId, Rewriter)>>>,
    },
}

/// One who hears a flow, which goes on for as long as there is one.
#[derive(Debug)]
pub(super) struct Listener {
    asks: mpsc::UnboundedSender<Ask>,
    flow: Arc<Flow>,
    plays: Vec<TrackId>,
}

/// A track of a flow.
#[derive(Debug)]
pub(super) struct Heard {
    /// In the group.
    ports: PortPair,
    numbers: Rewriter,
}

/// Why there is no flow to hear.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// A file that each viewer plays on its own.
    #[error("each viewer plays it on its own")]
    NotLive,
    #[error(transparent)]
    NoGroup(#[from] NoGroup),
    #[error("nothing can be sent to {0} from here: {1} (rtsp.multicast.interface)")]
    NoWay(Ipv4Addr, io::Error),
    #[error("its tracks are changing: ask again")]
    Changing,
}

impl Flows {
    /// Has the flow of what stands behind `mount` ready for one more viewer of this track; it begins with the first.
    ///
    /// # Errors
    /// There is none to be had.
    pub(super) async fn listen(
        &self,
        shared: &Shared,
        mount: &Mount,
        described: &Described,
        track: &Track,
    ) -> Result<(Listener, Heard), Refusal> {
        let Mount::Live(stream) = mount else { return Err(Refusal::NotLive) };
        // A flow whose tracks have changed ends when it is asked, and another begins.
        for _ in 0..2 {
            let listener = self.enter(shared, stream, described)?;
            if let Some(heard) = listener.ask(track, described.generation).await {
                return Ok((listener, heard));
            }
        }
        Err(Refusal::Changing)
    }

    fn enter(
        &self,
        shared: &Shared,
        stream: &Arc<Stream>,
        described: &Described,
    ) -> Result<Listener, Refusal> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, running| running.asks.upgrade().is_some_and(|asks| !asks.is_closed()));
        if let Some(running) = running.get(stream.name())
            && running.stream.ptr_eq(&Arc::downgrade(stream))
            && let Some(asks) = running.asks.upgrade()
        {
            return Ok(Listener { asks, flow: Arc::clone(&running.flow), plays: Vec::new() });
        }
        let settings = shared.settings.groups;
        let streams = shared.mounts.hub.streams();
        let streams = streams.iter().map(|stream| (stream.name(), stream.viewing().multicast));
        let held = running.iter().map(|(name, running)| (name.as_str(), *running.flow.group.ip()));
        let group = groups::assign(stream.name(), streams, held, &settings)?;
        let opened = source_of(group, settings.interface).and_then(|source| {
            Ok((source, Arc::new(UdpPorts::for_multicast(settings.interface, settings.ttl)?)))
        });
        let (source, ports) = opened.map_err(|error| Refusal::NoWay(*group.ip(), error))?;
        let seat = stream.shared_seat(IpAddr::V4(*group.ip()), Transport::Multicast);
        let viewer = Arc::clone(seat.viewer());
        let flow = Arc::new(Flow { group, ttl: settings.ttl, source, viewer, ended: OnceLock::new() });
        let (asks, inbox) = mpsc::unbounded_channel();
        let sending = Sending {
            session: Session::shared(Mount::Live(Arc::clone(stream)), described, seat),
            flow: Arc::clone(&flow),
            ports,
            interface: settings.interface,
            inbox,
            metrics: Arc::clone(&shared.metrics),
            workers: shared.workers.clone(),
            stop: shared.stop.child_token(),
        };
        shared.workers.spawn("multicast flow", move || sending.run());
        let entry =
            Running { stream: Arc::downgrade(stream), flow: Arc::clone(&flow), asks: asks.downgrade() };
        running.insert(stream.name().to_owned(), entry);
        Ok(Listener { asks, flow, plays: Vec::new() })
    }
}

impl Listener {
    /// What is sent, to be counted for each who hears it.
    pub(super) fn viewer(&self) -> Arc<hub::Viewer> {
        Arc::clone(&self.flow.viewer)
    }

    /// Has a track ready. `None` where the flow's tracks are not what they were.
    async fn ask(&self, track: &Track, generation: u32) -> Option<Heard> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::SetUp { track: Box::new(track.clone()), generation, reply }).ok()?;
        answer.await.ok()
    }

    /// Sets a track of a session up that hears it.
    ///
    /// # Errors
    /// 455 while playing.
    pub(super) fn set_up(
        &self,
        session: &mut Session,
        track: &Track,
        heard: Heard,
    ) -> Result<Response, Status> {
        let Flow { group, ttl, source, .. } = *self.flow;
        let Heard { ports, numbers } = heard;
        session.set_up(track, carrier(*group.ip(), ports))?;
        let ssrc = numbers.ssrc();
        session.hear(track.id, numbers);
        Ok(session.granted(Grant::Multicast { group: *group.ip(), source, ports, ttl, ssrc }))
    }

    /// Plays these tracks and no others. Gives their numbers from now on; `None` where the flow has ended.
    fn plays(&mut self, tracks: Vec<TrackId>) -> impl Future<Output = Option<Vec<(TrackId, Rewriter)>>> {
        let (reply, answer) = oneshot::channel();
        let before = std::mem::replace(&mut self.plays, tracks.clone());
        let asked = self.asks.send(Ask::Plays { before, now: tracks, reply: Some(reply) });
        async move {
            asked.ok()?;
            answer.await.ok()
        }
    }

    /// Waits until the flow has ended, and says why.
    async fn ended(&self) -> Disconnect {
        self.asks.closed().await;
        // Without a reason its task has panicked.
        self.flow.ended.get().copied().unwrap_or(Disconnect::Closed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.plays);
        // A flow that has ended plays nothing.
        let _ = self.asks.send(Ask::Plays { before, now: Vec::new(), reply: None });
    }
}

/// Where a track's packets go.
fn carrier(group: Ipv4Addr, ports: PortPair) -> Carrier {
    let [rtp, rtcp] = [ports.rtp, ports.rtcp].map(|port| SocketAddr::from((group, port)));
    Carrier::Ports { rtp, rtcp }
}

/// The address that packets to `group` come from.
fn source_of(group: SocketAddrV4, interface: Option<Ipv4Addr>) -> io::Result<Ipv4Addr> {
    let probe = UdpSocket::bind((interface.unwrap_or(Ipv4Addr::UNSPECIFIED), 0))?;
    if let Some(interface) = interface {
        return Ok(interface);
    }
    probe.connect(group)?;
    match probe.local_addr()?.ip() {
        IpAddr::V4(source) => Ok(source),
        IpAddr::V6(_) => Ok(Ipv4Addr::UNSPECIFIED), // never: it was bound to IPv4
    }
}
