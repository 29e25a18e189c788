//! What each request of a connection is answered with.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::Full;
use super::connection::{Connection, Shown};
use super::fanout::{Line, Subscriber};
use super::mount::Mount;
use super::multicast::{Heard, Listener, MulticastSession, Refusal};
use super::player::Carrier;
use super::session::{Session, Viewer};
use super::talk::{self, Part, TEXT, Wanted};
use super::udp::{Command, UdpHandle, UdpSession};
use crate::config::Group;
use crate::hub::{self, Described};
use crate::rtsp::transport::{self, Channels, Grant, Offer, PortPair};
use crate::rtsp::{Method, Request, Response, Status, Uri, session_id};
use crate::sdp::{self, Description, Range, Track};
use crate::spans;
use crate::vocabulary::{Disconnect, Transport};

/// Dropped once an answer is written: a UDP session then sends.
pub(super) type Written = Option<oneshot::Sender<()>>;

/// Where the session of a request is.
enum Found {
    /// Among the interleaved ones of this connection.
    Here(usize),
    /// A UDP session.
    Udp(UdpHandle),
}

impl Connection {
    /// Answers a request.
    pub(super) async fn answer(&mut self, request: &Request) -> (Response, Written) {
        self.udp.retain(UdpHandle::touch);
        for session in &mut self.sessions {
            session.session_mut().touch();
        }
        let Ok(cseq) = request.cseq() else { return (Response::new(Status::BAD_REQUEST), None) };
        let (response, written) = match unsupported(request) {
            Some(tags) => (Response::new(Status::OPTION_NOT_SUPPORTED).header("Unsupported", tags), None),
            None => match self.admit(request).await {
                Ok(()) => self.dispatch(request).await,
                Err(refused) => (refused, None),
            },
        };
        let mut response = response.header("CSeq", cseq).header("Server", SERVER);
        if let Some(timestamp) = request.headers.get("Timestamp") {
            response = response.header("Timestamp", timestamp);
        }
        let close = request.headers.list("Connection").any(|token| token.eq_ignore_ascii_case("close"));
        if close {
            response = response.header("Connection", "close");
            self.closing.get_or_insert(Disconnect::Closed);
        }
        spans::answered(response.status.0);
        tracing::debug!("answered");
        (response, written)
    }

    async fn dispatch(&mut self, request: &Request) -> (Response, Written) {
        let Ok(uri) = Uri::parse(&request.uri) else { return (Response::new(Status::BAD_REQUEST), None) };
        if let Some(refused) = self.lacks_back_channel(request, uri.as_ref()) {
            return (refused, None);
        }
        match (&request.method, uri) {
            (Method::Describe, Some(uri)) => (self.describe(request, &uri).await, None),
            (Method::Setup, Some(uri)) => {
                let answered = self.set_up(request, &uri).await;
                (answered.unwrap_or_else(|refused| refused), None)
            }
            (Method::Describe | Method::Setup, None) => (Response::new(Status::BAD_REQUEST), None),
            (
                Method::Options
                | Method::Play
                | Method::Pause
                | Method::Teardown
                | Method::GetParameter
                | Method::SetParameter,
                uri,
            ) => self.session_request(request, uri).await,
            (Method::Announce | Method::Record | Method::Redirect, _) => {
                (Response::new(Status::METHOD_NOT_ALLOWED).header("Allow", PUBLIC), None)
            }
            (Method::Other(_), _) => (Response::new(Status::NOT_IMPLEMENTED).header("Public", PUBLIC), None),
        }
    }

    /// The requests that may or must name a session.
    async fn session_request(&mut self, request: &Request, uri: Option<Uri>) -> (Response, Written) {
        let Some(header) = session_header(request) else {
            return match request.method {
                Method::Options => (Response::new(Status::OK).header("Public", PUBLIC), None),
                Method::GetParameter | Method::SetParameter if request.body.is_empty() => {
                    (Response::new(Status::OK), None)
                }
                Method::GetParameter | Method::SetParameter => {
                    (Response::new(Status::PARAMETER_NOT_UNDERSTOOD), None)
                }
                _ => (Response::new(Status::SESSION_NOT_FOUND), None),
            };
        };
        let gone = || (Response::new(Status::SESSION_NOT_FOUND), None);
        let (response, written) = match self.find(header) {
            None => return gone(),
            Some(Found::Here(index)) => {
                let (response, ended) =
                    self.sessions[index].answer(request, uri.as_ref(), &self.shared.workers);
                if ended {
                    self.sessions.swap_remove(index).end(Disconnect::Teardown);
                }
                (response, None)
            }
            Some(Found::Udp(handle)) => {
                let ((reply, answer), (written, answered)) = (oneshot::channel(), oneshot::channel());
                let command = Command::Answer { request: Box::new(request.clone()), uri, reply, answered };
                if !handle.send(command).await {
                    return gone();
                }
                match answer.await {
                    Ok(response) => (response, Some(written)),
                    Err(_) => return gone(),
                }
            }
        };
        if request.method == Method::Options {
            return (response.header("Public", PUBLIC), written);
        }
        (response, written)
    }

    fn find(&self, header: &str) -> Option<Found> {
        let (id, _) = session_id::parse(header)?;
        match self.sessions.iter().position(|here| here.session().id() == id) {
            Some(index) => Some(Found::Here(index)),
            None => self.shared.udp_sessions.find(id, &self.owner()).map(Found::Udp),
        }
    }

    async fn describe(&mut self, request: &Request, uri: &Uri) -> Response {
        if request.headers.get("Accept").is_some_and(|accept| !accepts_sdp(accept)) {
            return Response::new(Status::NOT_ACCEPTABLE);
        }
        let Some(mount) = self.shared.mounts.find(&uri.path) else { return Response::new(Status::NOT_FOUND) };
        let Some(described) = mount.describe(self.shared.settings.describe_timeout).await else {
            return unavailable(&mount);
        };
        let range = mount.duration().map_or(Range::Live, Range::Recording);
        let asked = uri.query.as_deref().and_then(|query| sdp::asked_for(query, &described.description));
        if asked.as_ref().is_some_and(|asked| asked.tracks.is_empty()) {
            return no_such_track(&mount, &described.description);
        }
        let description = asked.as_ref().unwrap_or(&described.description);
        let back = match self.described_back(request, uri, &mount, &described) {
            Ok(back) => back,
            Err(lacks) => return lacks,
        };
        let only = match (description.tracks.as_slice(), &back) {
            ([only], None) => Some(only.id),
            _ => None,
        };
        self.described = Some(Shown {
            stream: Arc::downgrade(mount.stream()),
            generation: described.generation,
            only,
            talks: back.is_some(),
        });
        let (name, version) = (mount.stream().name(), described.version);
        let sdp = match &back {
            Some(back) => description.write_with(back, name, version, range),
            None => description.write(name, version, range),
        };
        Response::new(Status::OK)
            .header("Content-Base", uri.content_base(&self.local.to_string()))
            .body("application/sdp", sdp)
    }

    /// Sets a track or the back channel up.
    ///
    /// # Errors
    /// The answer that says why not.
    async fn set_up(&mut self, request: &Request, uri: &Uri) -> Result<Response, Response> {
        let mount = self.shared.mounts.find(&uri.path).ok_or(Status::NOT_FOUND)?;
        let found = match session_header(request) {
            Some(header) => Some(self.find(header).ok_or(Status::SESSION_NOT_FOUND)?),
            None => None,
        };
        let Some(described) = mount.describe(self.shared.settings.describe_timeout).await else {
            return Err(unavailable(&mount));
        };
        let generation = described.generation;
        match &found {
            Some(Found::Here(index)) => {
                let admitted = self.sessions[*index].session().admits(&mount, generation);
                if admitted == Err(Status::SESSION_NOT_FOUND) {
                    self.sessions.swap_remove(*index).end(Disconnect::StreamChanged);
                }
                admitted?;
            }
            Some(Found::Udp(_)) => {}
            None if self.is_outdated(&mount, generation) => return Err(Status::SESSION_NOT_FOUND.into()),
            None if self.sessions.len() + self.udp.len() >= MAX_SESSIONS => {
                return Err(Status::SERVICE_UNAVAILABLE.into());
            }
            None => {}
        }
        let part = if self.means_back_channel(request, uri, &mount, &described) {
            Wanted::Talk(described.description.back_channel_id())
        } else {
            let only = self.shown(&mount).and_then(|shown| shown.only);
            Wanted::Track(Box::new(Session::find_track(&described.description, uri, only)?.clone()))
        };
        let offer = self.choose(request, found.as_ref(), &mount, &part)?;
        match (found, offer) {
            (Some(Found::Here(index)), Offer::Tcp(wanted)) => {
                let had = self.sessions[index].session().carrier(part.id());
                let channels = self.free_channels(wanted, had)?;
                let mut session = self.sessions[index].session_mut();
                let granted = part.granted(&mount, session.id(), self.peer.ip());
                let part = granted.map_err(|refused| refused.header("Session", session.header()))?;
                Ok(set_up_here(&mut session, part, channels))
            }
            (Some(Found::Udp(handle)), Offer::Udp(_) | Offer::Multicast) => {
                let id = session_header(request).and_then(session_id::parse).map_or("", |(id, _)| id);
                let granted = part.granted(&mount, id, self.peer.ip());
                let part = granted.map_err(|refused| refused.header("Session", id))?;
                let (reply, answer) = oneshot::channel();
                let command = Command::SetUp { mount, generation, part, offer, reply };
                if !handle.send(command).await {
                    return Err(Status::SESSION_NOT_FOUND.into());
                }
                answer.await.map_err(|_| Status::SESSION_NOT_FOUND.into())
            }
            (None, Offer::Tcp(wanted)) => {
                let channels = self.free_channels(wanted, None)?;
                let transport = self.outbox.transport();
                let mut session = self.new_session(mount, &described, uri, request, transport, None)?;
                let part = part.granted(session.mount(), session.id(), self.peer.ip())?;
                let response = set_up_here(&mut session, part, channels);
                self.sessions.push(Subscriber::new(session, Line::Connection(Rc::clone(&self.outbox))));
                Ok(response)
            }
            (None, Offer::Udp(client)) => {
                let session = self.new_session(mount, &described, uri, request, Transport::Udp, None)?;
                let part = part.granted(session.mount(), session.id(), self.peer.ip())?;
                self.start_udp(session, part, client)
            }
            (None, Offer::Multicast) => {
                // What a viewer says was not offered a group.
                let Wanted::Track(track) = part else { return Err(Status::UNSUPPORTED_TRANSPORT.into()) };
                let listens = self.shared.flows.listen(&self.shared, &mount, &described, &track).await;
                let (listener, heard) = listens.map_err(|refusal| no_multicast(&mount, &refusal))?;
                let (flow, transport) = (Some(listener.viewer()), Transport::Multicast);
                let session = self.new_session(mount, &described, uri, request, transport, flow)?;
                self.start_multicast(session, track, listener, heard)
            }
            // One transport for a session: what is asked for is not to be had.
            (Some(Found::Here(_)), Offer::Udp(_) | Offer::Multicast)
            | (Some(Found::Udp(_)), Offer::Tcp(_)) => Err(Status::UNSUPPORTED_TRANSPORT.into()),
        }
    }

    /// Whether the tracks have changed since they were described on this connection. A client that goes on with the old
    /// ones would be sent what it was not told of.
    fn is_outdated(&self, mount: &Mount, generation: u32) -> bool {
        self.shown(mount).is_some_and(|shown| shown.generation != generation)
    }

    /// What was last described here, if it was this stream.
    pub(super) fn shown(&self, mount: &Mount) -> Option<&Shown> {
        self.described.as_ref().filter(|shown| shown.stream.ptr_eq(&Arc::downgrade(mount.stream())))
    }

    /// The first alternative of the `Transport` header that can be served here.
    ///
    /// # Errors
    /// 461: there is none; with words that say why, as far as that is not plain.
    fn choose(
        &self,
        request: &Request,
        found: Option<&Found>,
        mount: &Mount,
        part: &Wanted,
    ) -> Result<Offer, Response> {
        let talks = matches!(part, Wanted::Talk(_));
        let specs = request.headers.get_all("Transport").flat_map(transport::parse).map(|spec| {
            // Who talks may say that it records.
            let mode = if talks { transport::Mode::Play } else { spec.mode };
            transport::TransportSpec { mode, ..spec }
        });
        let offers: Vec<Offer> = specs.filter_map(|spec| spec.offer()).collect();
        // Who asks over TLS does not want its media in the clear, and who comes through a tunnel cannot be reached otherwise.
        let in_clear = self.outbox.transport() == Transport::Tcp && self.tunnel.is_none();
        let is_sent = matches!(mount, Mount::Live(stream) if stream.viewing().multicast != Group::None);
        let chosen = offers.iter().copied().find(|offer| match (offer, found) {
            // What one says is for one.
            (Offer::Multicast, _) if talks => false,
            (Offer::Tcp(_), None | Some(Found::Here(_))) => true,
            (Offer::Udp(_) | Offer::Multicast, Some(Found::Udp(handle))) => {
                in_clear && handle.transport() == offer.transport()
            }
            (Offer::Udp(_), None) => in_clear && self.shared.udp.is_some(),
            (Offer::Multicast, None) => in_clear && is_sent,
            (Offer::Tcp(_), Some(Found::Udp(_)))
            | (Offer::Udp(_) | Offer::Multicast, Some(Found::Here(_))) => false,
        });
        let multicast = offers.contains(&Offer::Multicast);
        let name = mount.stream().name();
        chosen.ok_or_else(|| {
            let refused = Response::new(Status::UNSUPPORTED_TRANSPORT);
            let words = match (multicast, in_clear, is_sent, found) {
                _ if talks => {
                    format!("what is said to {name} goes over UDP or TCP, by the one that its session has\n")
                }
                (true, false, ..) => format!(
                    "{name} is not sent by multicast to who came over TLS or through a tunnel: anybody could hear it\n"
                ),
                (true, true, false, _) => format!(
                    "{name} is not sent by multicast (its key `multicast` is not set): ask for UDP or TCP\n"
                ),
                (true, true, true, Some(_)) => "a session has one transport for all its tracks\n".to_owned(),
                _ => return refused,
            };
            refused.body(TEXT, words)
        })
    }

    fn new_session(
        &mut self,
        mount: Mount,
        described: &Described,
        uri: &Uri,
        request: &Request,
        transport: Transport,
        hears: Option<Arc<hub::Viewer>>,
    ) -> Result<Session, Response> {
        let viewer = Viewer {
            place: self.shared.admission.session(self.peer.ip()).map_err(|full| crowded(&full))?,
            peer: self.peer.ip(),
            transport,
            user_agent: request
                .headers
                .get("User-Agent")
                .map(|agent| agent.chars().take(MAX_AGENT).collect()),
            warranted: Some(self.shared.warrants.warranted(self.visitor.warrant())),
            hears,
        };
        let base = uri.content_base(&self.local.to_string());
        let session = Session::new(mount, described, base, viewer, self.shared.settings.advertised_timeout);
        let (stream, user_agent) = (session.mount().stream().name(), session.user_agent());
        self.span.begins(session.id(), stream, transport, user_agent);
        Ok(session)
    }

    /// The channels that a track gets, `again` being those it has.
    ///
    /// # Errors
    /// 461 when all are taken.
    fn free_channels(&self, wanted: Option<Channels>, again: Option<Carrier>) -> Result<Channels, Status> {
        let taken: Vec<Channels> = self
            .sessions
            .iter()
            .flat_map(|here| here.session().carriers().collect::<Vec<_>>())
            .filter(|carrier| Some(*carrier) != again)
            .filter_map(|carrier| match carrier {
                Carrier::Channels { rtp, rtcp } => Some(Channels { rtp, rtcp }),
                Carrier::Ports { .. } => None,
            })
            .collect();
        let free = |channels: &Channels| !taken.iter().any(|taken| taken.overlaps(*channels));
        // Channels that another track has are given up for free ones; all players use what the answer says.
        wanted
            .filter(free)
            .or_else(|| (0..128).filter_map(Channels::nth).find(free))
            .ok_or(Status::UNSUPPORTED_TRANSPORT)
    }

    /// Sets the first track of a UDP session up and starts its task.
    ///
    /// # Errors
    /// 461 without UDP, or when the ports are another viewer's; nothing is left of the session then.
    fn start_udp(
        &mut self,
        mut session: Session,
        part: Part,
        client: PortPair,
    ) -> Result<Response, Response> {
        let ports = Arc::clone(self.shared.udp.as_ref().ok_or(Status::UNSUPPORTED_TRANSPORT)?);
        let (mut seat, inbox) = self.shared.udp_sessions.enter(session.id(), self.owner(), Transport::Udp);
        let carrier = seat.reserve(client).ok_or(Status::UNSUPPORTED_TRANSPORT)?;
        let ssrc = session.set_up(part, carrier)?;
        let response = session.granted(Grant::Udp { client, server: ports.ports(), ssrc });
        self.udp.push(seat.handle().clone());
        let session = UdpSession {
            session,
            seat,
            inbox,
            span: self.span.clone(),
            ports,
            metrics: Arc::clone(&self.shared.metrics),
            workers: self.shared.workers.clone(),
            timeout: self.shared.settings.session_timeout,
            stop: self.shared.stop.child_token(),
        };
        self.shared.workers.spawn_together("udp session", move || session.run());
        Ok(response)
    }

    /// Begins a session by multicast, whose first track is what `listener` has asked for and hears as `heard` says.
    fn start_multicast(
        &mut self,
        mut session: Session,
        track: Box<Track>,
        listener: Listener,
        heard: Heard,
    ) -> Result<Response, Response> {
        let (seat, inbox) = self.shared.udp_sessions.enter(session.id(), self.owner(), Transport::Multicast);
        let response = listener.set_up(&mut session, track, heard)?;
        self.udp.push(seat.handle().clone());
        let session = MulticastSession {
            session,
            seat,
            inbox,
            span: self.span.clone(),
            listener,
            timeout: self.shared.settings.session_timeout,
            stop: self.shared.stop.child_token(),
        };
        self.shared.workers.spawn("multicast session", move || session.run());
        Ok(response)
    }
}

/// Sets a track of an interleaved session up.
fn set_up_here(session: &mut Session, part: Part, channels: Channels) -> Response {
    let carrier = Carrier::Channels { rtp: channels.rtp, rtcp: channels.rtcp };
    match session.set_up(part, carrier) {
        Ok(ssrc) => session.granted(Grant::Tcp { channels, ssrc }),
        Err(status) => session.refuse(status),
    }
}

/// The `Session` header. An empty one names no session, like none at all.
fn session_header(request: &Request) -> Option<&str> {
    request.headers.get("Session").filter(|header| !header.is_empty())
}

/// 503 with the reason, as far as it is known: what went wrong with the source.
fn unavailable(mount: &Mount) -> Response {
    let status = mount.stream().status();
    let status = status.borrow();
    // The class only: what the camera said, and where it is, is for the operator (the API has it).
    let reason = match &status.last_failure {
        Some(failure) => failure.class.as_str().replace('_', " "),
        None => "it has not delivered yet".to_owned(),
    };
    let body = format!("the source of {} is not available: {reason}\n", mount.stream().name());
    Response::new(Status::SERVICE_UNAVAILABLE).header("Retry-After", RETRY_AFTER.as_secs()).body(TEXT, body)
}

/// 461 for a viewer who would hear a stream by multicast.
fn no_multicast(mount: &Mount, refusal: &Refusal) -> Response {
    let name = mount.stream().name();
    let body = format!("{name} is not to be had by multicast: {refusal}\n");
    Response::new(Status::UNSUPPORTED_TRANSPORT).body(TEXT, body)
}

/// 404 for a viewer whose URL asks for tracks that the stream does not have.
fn no_such_track(mount: &Mount, description: &Description) -> Response {
    let there: Vec<String> = description
        .tracks
        .iter()
        .map(|track| format!("{} ({})", track.kind, track.encoding.as_deref().unwrap_or("unknown")))
        .collect();
    let body = format!("{} has no such track; it has {}\n", mount.stream().name(), there.join(", "));
    Response::new(Status::NOT_FOUND).body(TEXT, body)
}

/// 503 with the limit that is reached.
fn crowded(full: &Full) -> Response {
    Response::new(Status::SERVICE_UNAVAILABLE)
        .header("Retry-After", RETRY_AFTER.as_secs())
        .body(TEXT, format!("too many viewers: {full}\n"))
}

/// The options of `Require` and `Proxy-Require` that no stream has (RFC 2326 sections 12.27 and 12.32).
fn unsupported(request: &Request) -> Option<String> {
    let headers = ["Require", "Proxy-Require"];
    let tags = headers.iter().flat_map(|name| request.headers.list(name)).filter(|tag| !talk::is_tag(tag));
    let tags: Vec<&str> = tags.collect();
    (!tags.is_empty()).then(|| tags.join(", "))
}

/// Whether an `Accept` header has room for SDP.
fn accepts_sdp(accept: &str) -> bool {
    accept.split(',').any(|part| {
        let kind = part.split(';').next().unwrap_or_default().trim();
        kind.is_empty()
            || ["application/sdp", "application/*", "*/*"].iter().any(|k| kind.eq_ignore_ascii_case(k))
    })
}

const SERVER: &str = concat!("fanlight/", env!("CARGO_PKG_VERSION"));

/// What the server can do (RFC 2326 section 10.1).
const PUBLIC: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// Sessions of one connection: ffmpeg needs two, and nobody may make them without an end.
const MAX_SESSIONS: usize = 16;

/// A viewer's name for itself is kept up to this length.
const MAX_AGENT: usize = 200;

/// What a player is told when a source is down.
const RETRY_AFTER: Duration = Duration::from_secs(5);
