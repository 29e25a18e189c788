//! One session with a camera, through `retina`.
//!
//! What the library does not bound is bounded here: every step of the handshake has a time limit, and the caller polls
//! a playing session at least twice a second, because a request sent by the camera makes the library forget its waker
//! (conformance, part f).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::Stream as _;
use retina::client::{self, PacketItem, PlayOptions, SessionGroup, SessionOptions, SetupOptions};

use super::error::{Error, Step};
use crate::config::CameraUrl;
use crate::rtp::WallTime;
use crate::rtp::rtcp;
use crate::sdp::{self, Description};
use crate::vocabulary::{FailureClass, TrackId, Transport};

/// A session whose tracks are known and not yet set up.
pub(super) struct Described {
    session: client::Session<client::Described>,
    /// The index of each track in the library's list.
    indices: Vec<usize>,
    description: Description,
}

/// A session that delivers packets.
pub(super) struct Playing {
    session: client::Session<client::Playing>,
    /// The track of each index in the library's list.
    tracks: Vec<Option<TrackId>>,
}

/// What a camera sends.
pub(super) enum Event {
    /// An RTP packet.
    Packet(retina::rtp::ReceivedPacket),
    /// Sender reports: the camera's wall clock and the RTP timestamp of the same moment.
    Reports(retina::rtcp::ReceivedCompoundPacket),
}

impl Described {
    /// Connects and asks for the description. A step that takes longer than `limit` is a failure.
    pub(super) async fn open(
        camera: &CameraUrl,
        group: Arc<SessionGroup>,
        limit: Duration,
    ) -> Result<Self, Error> {
        let credentials = camera.credentials().map(|credentials| client::Credentials {
            username: credentials.username.clone(),
            password: credentials.password.reveal().to_owned(),
        });
        let options = SessionOptions::default()
            .creds(credentials)
            .user_agent(concat!("fanlight/", env!("CARGO_PKG_VERSION")).to_owned())
            .session_group(group)
            .session_id(client::SessionIdPolicy::UseFirst);
        let described = client::Session::describe(camera.url().clone(), options);
        let session = within(limit, Step::Describe, described).await?;
        let sdp = sdp::parse(session.sdp())
            .map_err(|error| Error::new(FailureClass::Protocol, format!("the camera's SDP: {error}")))?;
        let (description, indices) = match_tracks(Description::from_sdp(&sdp), session.streams());
        if description.tracks.is_empty() {
            return Err(Error::new(
                FailureClass::Protocol,
                "the camera's SDP has no track that can be relayed",
            ));
        }
        Ok(Self { session, indices, description })
    }

    /// The tracks.
    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Sets every track up and starts them. A track that the camera refuses to set up is left out, unless all are.
    pub(super) async fn play(mut self, transport: Transport, limit: Duration) -> Result<Playing, Error> {
        let mut tracks = vec![None; self.session.streams().len()];
        let mut refused = None;
        for (track, &index) in self.description.tracks.iter().zip(&self.indices) {
            let transport = match transport {
                Transport::Tcp => client::Transport::Tcp(client::TcpTransportOptions::default()),
                Transport::Udp => client::Transport::Udp(client::UdpTransportOptions::default()),
            };
            let setup = self.session.setup(index, SetupOptions::default().transport(transport));
            match within(limit, Step::Setup, setup).await {
                Ok(()) => tracks[index] = Some(track.id),
                Err(error) if matches!(error.class, FailureClass::Status | FailureClass::NotFound) => {
                    tracing::warn!(track = %track.id, kind = track.kind, %error, "the camera refuses a track");
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
        Ok(Playing { session, tracks })
    }
}

impl Playing {
    /// The next packet. `Ready(None)` when the camera closed the connection.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.session).poll_next(cx)) {
                None => None,
                Some(Ok(PacketItem::Rtp(packet))) => Some(Ok(Event::Packet(packet))),
                Some(Ok(PacketItem::Rtcp(reports))) => Some(Ok(Event::Reports(reports))),
                Some(Ok(_)) => continue, // kinds of a later version of the library
                Some(Err(error)) => Some(Err(Error::from_retina(&error, Step::Playing))),
            });
        }
    }

    /// The track of one of the library's streams.
    pub(super) fn track(&self, index: usize) -> Option<TrackId> {
        self.tracks.get(index).copied().flatten()
    }
}

/// Hands each sender report of a compound packet to `each`: the camera's time, and the RTP timestamp of that moment.
pub(super) fn sender_reports(compound: &[u8], mut each: impl FnMut(WallTime, u32)) {
    rtcp::read(compound, |item| {
        if let rtcp::Item::SenderReport(report) = item {
            each(report.ntp.into(), report.timestamp);
        }
    });
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

/// When a packet arrived, for latencies: the library stamps it as it reads it from the socket.
pub(super) fn received(packet: &retina::rtp::ReceivedPacket) -> Instant {
    packet.ctx().received()
}
