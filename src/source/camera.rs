//! Sessions with cameras, through `retina`.
//!
//! What the library does not bound is bounded here and by the driver: every step of the handshake has a time limit, and
//! a playing session is polled at least twice a second, because a request sent by the camera makes the library forget
//! its waker (conformance, part f).
//!
//! Over UDP the library sends one small packet from each of its ports to the camera's at SETUP (`punch_firewall_hole`),
//! so that a NAT lets the media in. It keeps its sockets to itself: what would keep the hole open later on (packets every
//! few seconds, receiver reports) cannot be sent through its API.

use std::cell::{RefCell, RefMut};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, Stream as _};
use retina::client::{
    self, PacketItem, PlayOptions, SessionGroup, SessionOptions, SetupOptions, TeardownPolicy,
};
use tracing::Instrument as _;

use super::error::{Error, Step};
use super::session::{Client, Data, Event, Local, Packet, Request, Session};
use super::tracks::{no_tracks, wanted_tracks};
use crate::config::{CameraUrl, Flags, Quirks, Seen, SignOfLife};
use crate::metrics::Metrics;
use crate::rtp::rtcp;
use crate::sdp::{self, Description};
use crate::spans;
use crate::vocabulary::{FailureClass, TrackId, Transport};

/// Opens sessions with the cameras of one stream.
pub(super) struct Cameras {
    cameras: Vec<CameraUrl>,
    /// `transport: auto`: what fails over UDP may do over TCP.
    udp_is_a_guess: bool,
    /// Where another client is at hand for cameras that want what the library cannot be told.
    profiles: Option<Arc<Quirks>>,
    metrics: Arc<Metrics>,
    /// The library's records of sessions whose TEARDOWN is under way. One to a session: a panic in the task of one
    /// makes everybody panic who waits for its group.
    groups: RefCell<Vec<Arc<SessionGroup>>>,
}

impl Cameras {
    pub(super) fn new(
        cameras: Vec<CameraUrl>,
        udp_is_a_guess: bool,
        profiles: Option<Arc<Quirks>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { cameras, udp_is_a_guess, profiles, metrics, groups: RefCell::default() }
    }

    /// A group for one more session. Those that nobody holds any more, neither session nor TEARDOWN, are forgotten.
    fn new_group(&self) -> Arc<SessionGroup> {
        let group = Arc::new(SessionGroup::default());
        self.groups_held().push(Arc::clone(&group));
        group
    }

    fn groups_held(&self) -> RefMut<'_, Vec<Arc<SessionGroup>>> {
        let mut groups = self.groups.borrow_mut();
        groups.retain(|group| Arc::strong_count(group) > 1);
        groups
    }
}

impl Client for Cameras {
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        let camera = self.cameras[request.source].clone();
        let group = self.new_group();
        let udp_is_a_guess = self.udp_is_a_guess && request.transport == Transport::Udp;
        let profiles = self.profiles.clone();
        Box::pin(async move {
            let described = Described::open(&camera, group, &request).instrument(spans::describe()).await?;
            if let Some(profiles) = profiles {
                described.suits(&camera, &profiles)?;
            }
            request.progress.answer();
            match described.play(request.transport, request.step_limit).instrument(spans::play()).await {
                // It says so (461), or the library could not use its answer.
                Err(error)
                    if udp_is_a_guess
                        && matches!(error.class, FailureClass::Status | FailureClass::Protocol) =>
                {
                    Err(Error::new(FailureClass::NoUdp, format!("{error}: TCP is next")))
                }
                played => played.map(|session| Box::new(session) as Box<dyn Session>),
            }
        })
    }

    fn goodbye(&self) -> Local<()> {
        let groups = self.groups_held().clone();
        let metrics = Arc::clone(&self.metrics);
        Box::pin(async move {
            let each = groups.into_iter().map(|group| {
                let metrics = Arc::clone(&metrics);
                async move {
                    // An error is a TEARDOWN that the camera did not take: there is nothing more to do about it.
                    if AssertUnwindSafe(group.await_teardown()).catch_unwind().await.is_err() {
                        // The task that was to send it panicked: on a space behind the session's id, say.
                        metrics.task_panics.inc();
                    }
                }
            });
            join_all(each).await;
        })
    }

    fn forgotten(&self) -> Option<Local<()>> {
        let groups = self.groups_held();
        let left: Vec<_> =
            groups.iter().filter(|group| group.stale_sessions().num_sessions > 0).cloned().collect();
        if left.is_empty() {
            return None;
        }
        Some(Box::pin(async move {
            for group in left {
                let stale = group.stale_sessions();
                group.await_stale_sessions(&stale).await;
            }
        }))
    }
}

/// A session whose tracks are known and not yet set up.
struct Described {
    session: client::Session<client::Described>,
    /// The index of each track in the library's list.
    indices: Vec<usize>,
    description: Description,
}

/// A session that delivers packets.
struct Playing {
    session: client::Session<client::Playing>,
    description: Description,
    transport: Transport,
    /// The track of each index in the library's list.
    tracks: Vec<Option<TrackId>>,
}

impl Described {
    /// Connects and asks for the description. A step that takes longer than its limit is a failure.
    async fn open(camera: &CameraUrl, group: Arc<SessionGroup>, request: &Request) -> Result<Self, Error> {
        let credentials = camera.credentials().map(|credentials| client::Credentials {
            username: credentials.username.clone(),
            password: credentials.password.reveal().to_owned(),
        });
        let teardown = if request.insist_on_teardown { TeardownPolicy::Always } else { TeardownPolicy::Auto };
        let options = SessionOptions::default()
            .creds(credentials)
            .user_agent(concat!("fanlight/", env!("CARGO_PKG_VERSION")).to_owned())
            .session_group(group)
            .teardown(teardown)
            .session_id(client::SessionIdPolicy::UseFirst);
        let described = client::Session::describe(camera.url().clone(), options);
        let session = within(request.step_limit, Step::Describe, described).await?;
        let sdp = sdp::parse(session.sdp())
            .map_err(|error| Error::new(FailureClass::Protocol, format!("the camera's SDP: {error}")))?;
        let (description, indices) = match_tracks(wanted_tracks(&sdp, &request.tracks)?, session.streams());
        if description.tracks.is_empty() {
            return Err(no_tracks());
        }
        Ok(Self { session, indices, description })
    }

    /// Whether the library can do what the camera's profile asks for. It does not tell what the camera calls itself (`Server`):
    /// only profiles that go by the URL or the description are found.
    fn suits(&self, camera: &CameraUrl, profiles: &Quirks) -> Result<(), Error> {
        let sdp = sdp::parse(self.session.sdp()).unwrap_or_default();
        let seen = Seen {
            url: camera.url().to_string(),
            tool: sdp.tool.unwrap_or_default(),
            session: sdp.name.unwrap_or_default(),
            ..Seen::default()
        };
        match profiles.find(&seen) {
            Some(profile) if beyond_retina(&profile.flags) => {
                let message = format!("the profile {} asks for what retina cannot be told", profile.name);
                Err(Error::new(FailureClass::Protocol, message))
            }
            _ => Ok(()),
        }
    }

    /// Sets every track up and starts them. A track that the camera refuses to set up is left out, unless all are.
    async fn play(mut self, transport: Transport, limit: Duration) -> Result<Playing, Error> {
        let mut tracks = vec![None; self.session.streams().len()];
        let mut refused = None;
        for (track, &index) in self.description.tracks.iter().zip(&self.indices) {
            let transport = match transport {
                Transport::Tcp | Transport::Tls | Transport::WebSocket | Transport::Http => {
                    client::Transport::Tcp(client::TcpTransportOptions::default())
                }
                Transport::Udp | Transport::Multicast => {
                    client::Transport::Udp(client::UdpTransportOptions::default())
                }
            };
            let setup = self.session.setup(index, SetupOptions::default().transport(transport));
            match within(limit, Step::Setup, setup).await {
                Ok(()) => tracks[index] = Some(track.id),
                Err(error) if matches!(error.class, FailureClass::Status | FailureClass::NotFound) => {
                    tracing::debug!(track = %track.id, kind = track.kind, %error, "the camera refuses a track");
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(error)) = (tracks.iter().all(Option::is_none), refused) {
            return Err(error);
        }
        let options = PlayOptions::default()
            .initial_timestamp(client::InitialTimestampPolicy::Ignore)
            .initial_seq(client::InitialSequenceNumberPolicy::Ignore)
            .unknown_rtcp_ssrc(client::UnknownRtcpSsrcPolicy::DropPackets);
        let session = within(limit, Step::Play, self.session.play(options)).await?;
        Ok(Playing { session, description: self.description, transport, tracks })
    }
}

impl Session for Playing {
    fn description(&self) -> &Description {
        &self.description
    }

    fn transport(&self) -> Option<Transport> {
        Some(self.transport)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            let item = match ready!(Pin::new(&mut self.session).poll_next(cx)) {
                Some(Ok(item)) => item,
                Some(Err(error)) => return Poll::Ready(Err(Error::from_retina(&error, Step::Playing))),
                None => {
                    let message = "the camera closed the connection";
                    return Poll::Ready(Err(Error::new(FailureClass::EndOfStream, message)));
                }
            };
            match item {
                PacketItem::Rtp(packet) => {
                    let Some(track) = self.tracks.get(packet.stream_id()).copied().flatten() else {
                        continue;
                    };
                    let received = packet.ctx().received();
                    return Poll::Ready(Ok(Event::Packet(Packet {
                        track,
                        received,
                        data: Data::Retina(packet),
                    })));
                }
                PacketItem::Rtcp(reports) => {
                    let Some(track) = self.tracks.get(reports.stream_id()).copied().flatten() else {
                        continue;
                    };
                    if let Some(event) = sender_report(track, reports.raw()) {
                        return Poll::Ready(Ok(event));
                    }
                }
                _ => {} // kinds of a later version of the library
            }
        }
    }
}

/// Whether a profile asks for what the library cannot be told: it has a rhythm, an order and requests of its own. It answers a
/// challenge once anyway, and is not asked for UDP.
fn beyond_retina(flags: &Flags) -> bool {
    let Flags { keep_alive, keep_alive_every, options_first, no_range, no_teardown, .. } = *flags;
    keep_alive != SignOfLife::Auto || keep_alive_every.is_some() || options_first || no_range || no_teardown
}

/// What the sender report of a compound packet says; the first, if there are several.
fn sender_report(track: TrackId, compound: &[u8]) -> Option<Event> {
    let mut event = None;
    rtcp::read(compound, |item| {
        if let rtcp::Item::SenderReport(report) = item {
            event.get_or_insert(Event::Report { track, ntp: report.ntp.into(), timestamp: report.timestamp });
        }
    });
    event
}

async fn within<T>(
    limit: Duration,
    step: Step,
    work: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| Error::from_retina(&error, step)),
        Err(_) => Err(Error::step_timeout(step, limit)),
    }
}

/// Finds each of our tracks among the library's streams, which leave out what the library cannot read. Both are in the
/// order of the SDP. Tracks without a match cannot be set up and are dropped; the others are numbered anew.
fn match_tracks(mut description: Description, streams: &[client::Stream]) -> (Description, Vec<usize>) {
    let mut from = 0;
    let mut indices = Vec::new();
    description.tracks.retain(|track| {
        let found = streams.iter().enumerate().skip(from).find(|(_, stream)| {
            stream.media() == track.kind && stream.rtp_payload_type() == track.payload_type
        });
        if let Some((index, _)) = found {
            from = index + 1;
            indices.push(index);
        }
        found.is_some()
    });
    for (index, track) in description.tracks.iter_mut().enumerate() {
        track.id = TrackId(index as u8);
    }
    (description, indices)
}
