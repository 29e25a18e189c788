//! What each request of a connection is answered with.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::choice::find_track;
use super::connection::{Connection, Shown};
use super::fanout::{Line, Subscriber};
use super::mount::Mount;
use super::multicast::{Heard, Listener, MulticastSession};
use super::player::Carrier;
use super::refusals;
use super::session::{Session, Viewer};
use super::talk::{self, Part, Wanted};
use super::udp::{Command, UdpHandle, UdpSession};
use crate::hub::{self, Described};
use crate::rtsp::transport::{Channels, Grant, Offer, PortPair};
use crate::rtsp::{Method, Request, Response, Status, Uri, session_id};
use crate::sdp::{self, Range, Track};
use crate::spans;
use crate::vocabulary::{Disconnect, Transport};

/// Dropped once an answer is written: a UDP session then sends.
pub(super) type Written = Option<oneshot::Sender<()>>;

/// Where the session of a request is.
pub(super) enum Found {
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
            return refusals::unavailable(&mount);
        };
        let range = mount.duration().map_or(Range::Live, Range::Recording);
        let asked = uri.query.as_deref().and_then(|query| sdp::asked_for(query, &described.description));
        if asked.as_ref().is_some_and(|asked| asked.tracks.is_empty()) {
            return refusals::no_such_track(&mount, &described.description);
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
            return Err(refusals::unavailable(&mount));
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
            Wanted::Track(Box::new(find_track(&described.description, uri, only)?.clone()))
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
                let (listener, heard) =
                    listens.map_err(|refusal| refusals::no_multicast(&mount, &refusal))?;
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
            place: self.shared.admission.session(self.peer.ip()).map_err(|full| refusals::crowded(&full))?,
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
