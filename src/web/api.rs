//! `/api/v1`: streams and viewers as JSON.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::{Refusal, RefusalBody};
use super::control::{Change, Kept, Unanswered};
use super::description::{Name, NewStream, NotFound, Settings, Unavailable, words};
use super::past::{HistoryState, Log};
use super::snapshot::{StreamState, Urls, ViewerState};
use super::target::{Part, Target};
use super::{Links, Shared, guard, live, qr};
use crate::config::{Problem, Problems, StreamName};
use crate::hub::Stream;
use crate::vocabulary::Disconnect;

/// All streams.
#[utoipa::path(get, path = "/api/v1/streams", responses((status = 200, description = "By name.", body = Streams)))]
pub(super) async fn streams(State(shared): State<Arc<Shared>>, host: Host) -> Json<Streams> {
    Json(Streams { streams: shared.states(&host) })
}

/// All streams.
#[derive(Serialize, ToSchema)]
pub(super) struct Streams {
    streams: Vec<StreamState>,
}

/// What is asked of one stream, or of a part of it: names may have slashes in them, so that one route has all of them.
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    host: Host,
    Target { name, part }: Target,
    watch: live::Watch,
    method: Method,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let find = || shared.hub.find(&name).ok_or_else(|| Refusal::no_stream(&name));
    match (part, method.as_str()) {
        (Part::Stream, "GET" | "HEAD") => Ok(show(&shared, &*find()?, &host).into_response()),
        (Part::Stream, "PUT") => put(&shared, &name, body).await,
        (Part::Stream, "DELETE") => Ok(remove(&shared, &name).await?.into_response()),
        (Part::Config, "GET" | "HEAD") => Ok(config(&*find()?)?.into_response()),
        (Part::Viewers, "GET" | "HEAD") => Ok(viewers(&*find()?).into_response()),
        (Part::History, "GET" | "HEAD") => Ok(history(&*find()?).into_response()),
        (Part::Log, "GET" | "HEAD") => Ok(log(&shared, &*find()?).into_response()),
        (Part::Capture, "GET" | "HEAD") => Ok(capture(&*find()?)),
        (Part::Qr, "GET" | "HEAD") => code(&shared, &*find()?, &host),
        (Part::Reconnect, "POST") => Ok(reconnect(&*find()?).into_response()),
        (Part::Live, "GET") => live::socket(&shared, &*find()?, watch),
        (Part::Moving, "GET") => live::mjpeg::moving(&shared, find()?, watch).await,
        (Part::Still, "GET" | "HEAD") => live::mjpeg::still(find()?).await,
        (Part::Live | Part::Moving, _) => Err(Refusal::method_not_allowed("GET")),
        (Part::Stream, _) => Err(Refusal::method_not_allowed("GET, HEAD, PUT, DELETE")),
        (
            Part::Config | Part::Viewers | Part::History | Part::Log | Part::Qr | Part::Capture | Part::Still,
            _,
        ) => Err(Refusal::method_not_allowed("GET, HEAD")),
        (Part::Reconnect, _) => Err(Refusal::method_not_allowed("POST")),
    }
}

/// One stream.
#[utoipa::path(get, path = "/api/v1/streams/{name}", params(Name), responses(
    (status = 200, description = "Its state.", body = StreamState),
    (status = 404, response = NotFound),
))]
fn show(shared: &Shared, stream: &Stream, host: &Host) -> Json<StreamState> {
    Json(shared.state(stream, host))
}

/// The settings of a stream, to be changed and sent back.
///
/// They need the right to change them, and have `***` in place of secrets. Where that comes back for the same camera, the
/// secrets stay as they are.
#[utoipa::path(get, path = "/api/v1/streams/{name}/config", params(Name), responses(
    (status = 200, description = "As they were written, in the configuration file or here.", body = Settings),
    (status = 404, response = NotFound),
    (
        status = 409,
        description = "It plays a file, which only the configuration file can name.",
        body = RefusalBody,
    ),
))]
fn config(stream: &Stream) -> Result<Json<Value>, Refusal> {
    let settings = stream.provenance().settings.ok_or_else(|| {
        let error = "this stream plays a file: it can be changed in the configuration file only";
        Refusal::new(StatusCode::CONFLICT, error)
    })?;
    Ok(Json(Value::clone(&settings)))
}

/// Who watches a stream.
#[utoipa::path(get, path = "/api/v1/streams/{name}/viewers", params(Name), responses(
    (status = 200, description = "In the order they came.", body = Viewers),
    (status = 404, response = NotFound),
))]
fn viewers(stream: &Stream) -> Json<Viewers> {
    Json(Viewers::of(stream))
}

/// Who watches a stream.
#[derive(Serialize, ToSchema)]
pub(super) struct Viewers {
    viewers: Vec<ViewerState>,
}

impl Viewers {
    /// Who watches.
    pub(super) fn of(stream: &Stream) -> Self {
        Self { viewers: stream.viewers().iter().map(|viewer| ViewerState::new(stream, viewer)).collect() }
    }
}

/// The last day and hour of a stream.
#[utoipa::path(get, path = "/api/v1/streams/{name}/history", params(Name), responses(
    (status = 200, description = "Kept in memory since the relay started.", body = HistoryState),
    (status = 404, response = NotFound),
))]
fn history(stream: &Stream) -> Json<HistoryState> {
    let now = stream.wall(stream.elapsed(Instant::now()));
    Json(HistoryState::new(&stream.history(), now))
}

/// The last log lines of a stream.
#[utoipa::path(get, path = "/api/v1/streams/{name}/log", params(Name), responses(
    (status = 200, description = "At most 200.", body = Log),
    (status = 404, response = NotFound),
))]
fn log(shared: &Shared, stream: &Stream) -> Json<Log> {
    Json(Log::new(shared.journal.after(stream.name(), 0)))
}

/// What the incident recorder has of a stream.
#[utoipa::path(get, path = "/api/v1/streams/{name}/capture", params(Name), responses(
    (
        status = 200,
        description = "A file that Wireshark opens: the RTSP dialogue and RTCP of the relay's own client without secrets, \
                       and the first bytes of RTP packets.",
        body = words::File,
        content_type = "application/vnd.tcpdump.pcap",
        headers(("Content-Disposition" = String, description = "A name for the file.")),
    ),
    (status = 404, response = NotFound),
))]
fn capture(stream: &Stream) -> Response {
    let name: String = stream
        .name()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.tcpdump.pcap".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.pcap\"")),
    ];
    (headers, stream.capture().pcap(Instant::now())).into_response()
}

/// The RTSP URL as a QR code.
#[utoipa::path(get, path = "/api/v1/streams/{name}/qr.svg", params(Name), responses(
    (status = 200, description = "A picture.", body = String, content_type = "image/svg+xml"),
    (status = 404, response = NotFound),
    (status = 422, description = "The URL is too long for a QR code.", body = RefusalBody),
))]
fn code(shared: &Shared, stream: &Stream, host: &Host) -> Result<Response, Refusal> {
    let urls = shared.links.urls(host, stream.name());
    qr::svg(&urls.rtsp.ok_or_else(|| Refusal::not_found("the RTSP server is off: there is no URL"))?)
}

/// Drop the upstream session and connect anew, without waiting for the next try.
#[utoipa::path(post, path = "/api/v1/streams/{name}/reconnect", params(Name), responses(
    (status = 202, description = "The source was asked to.", body = Asked),
    (status = 404, response = NotFound),
))]
fn reconnect(stream: &Stream) -> (StatusCode, Json<Asked>) {
    stream.request_reconnect();
    (StatusCode::ACCEPTED, Json(Asked { name: stream.name().to_owned() }))
}

/// The stream whose source was asked to connect anew.
#[derive(Serialize, ToSchema)]
struct Asked {
    /// Its name.
    name: String,
}

/// Add a stream, or change it.
///
/// In the configuration file where `http.write_config` allows it, else until the relay is restarted. `***` in a URL or as the
/// password stands for what a stream of this name has there already.
#[utoipa::path(put, path = "/api/v1/streams/{name}", params(Name), request_body = NewStream, responses(
    (
        status = 200,
        description = "There is such a stream: it was changed, or had these settings already.",
        body = Changed<'_>,
    ),
    (status = 201, description = "There is one more stream.", body = Changed<'_>),
    (status = 400, description = "The name or the body is wrong.", body = RefusalBody),
    (status = 413, description = "The body is above 64 KiB.", body = RefusalBody),
    (status = 503, response = Unavailable),
))]
async fn put(shared: &Shared, name: &str, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let one = |key: &str, message: String| {
        Refusal::problems(Problems(vec![Problem { key: key.to_owned(), message }]))
    };
    let parsed: StreamName = name.parse().map_err(|error| one("name", format!("{error}")))?;
    let body = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let stream: Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))?;
    if stream.get("file").is_some() {
        let message = "files can only be named in the configuration file: the API must not open just any file of the host";
        return Err(one("file", message.to_owned()));
    }
    let changed = shared.control.put(parsed, stream).await.map_err(|Unanswered| stopping())?;
    let (change, kept) = changed.map_err(Refusal::problems)?;
    let status = match change {
        Change::Created => StatusCode::CREATED,
        Change::Replaced | Change::Unchanged => StatusCode::OK,
    };
    Ok((status, Json(Changed::new(name, change.as_str(), kept))).into_response())
}

/// What became of a stream.
#[derive(Serialize, ToSchema)]
struct Changed<'a> {
    /// The stream.
    name: &'a str,
    #[schema(value_type = words::Change)]
    change: &'static str,
    /// Whether it is written into the configuration file; otherwise it lasts until the relay is restarted.
    written: bool,
    /// Why it is not written.
    #[schema(required)]
    why_not_written: Option<String>,
}

impl<'a> Changed<'a> {
    fn new(name: &'a str, change: &'static str, kept: Kept) -> Self {
        let why_not_written = match kept {
            Kept::InFile => None,
            Kept::UntilRestart(why) => Some(why),
        };
        Self { name, change, written: why_not_written.is_none(), why_not_written }
    }
}

/// Remove a stream.
///
/// From the configuration file where `http.write_config` allows it, else until the relay is restarted.
#[utoipa::path(delete, path = "/api/v1/streams/{name}", params(Name), responses(
    (status = 200, description = "It is gone, and its viewers are disconnected.", body = Changed<'_>),
    (status = 404, response = NotFound),
    (status = 503, response = Unavailable),
))]
async fn remove<'a>(shared: &Shared, name: &'a str) -> Result<Json<Changed<'a>>, Refusal> {
    let parsed: StreamName = name.parse().map_err(|_| Refusal::no_stream(name))?;
    let kept = shared.control.delete(parsed).await.map_err(|Unanswered| stopping())?;
    let kept = kept.ok_or_else(|| Refusal::no_stream(name))?;
    Ok(Json(Changed::new(name, REMOVED, kept)))
}

/// What became of a stream that was removed, beside the words of [`Change`].
pub(super) const REMOVED: &str = "removed";

fn stopping() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "streams cannot be changed now: the relay is stopping, or busy",
    )
}

/// Disconnect a viewer. It may come back.
#[utoipa::path(
    delete,
    path = "/api/v1/viewers/{id}",
    params(("id" = u64, Path, description = "The viewer's `id`.", example = 7)),
    responses((status = 204, description = "It was told to go."), (status = 404, response = NotFound)),
)]
pub(super) async fn disconnect(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Ok(Path(id)) = id else { return Err(Refusal::not_found("there is no such viewer")) };
    let viewers = shared.hub.streams().into_iter().flat_map(|stream| stream.viewers());
    let viewer = id.parse().ok().and_then(|id: u64| viewers.into_iter().find(|viewer| viewer.id == id));
    let viewer = viewer.ok_or_else(|| Refusal::not_found(format!("there is no viewer {id:?}")))?;
    viewer.kick(Disconnect::Kicked);
    Ok(StatusCode::NO_CONTENT)
}

impl Shared {
    /// All streams as they are now.
    pub(super) fn states(&self, host: &Host) -> Vec<StreamState> {
        self.hub.streams().iter().map(|stream| self.state(stream, host)).collect()
    }

    fn state(&self, stream: &Stream, host: &Host) -> StreamState {
        StreamState::new(stream, Some(self.links.urls(host, stream.name())), Instant::now())
    }
}

impl Links {
    /// Where a stream is to be watched by somebody who reached the sidecar at this host.
    pub(super) fn urls(self, Host(host): &Host, name: &str) -> Urls {
        let plain = self.rtsp_port.map(|port| format!("rtsp://{host}:{port}/{name}"));
        let rtsps = self.rtsps_port.map(|port| format!("rtsps://{host}:{port}/{name}"));
        Urls { rtsp: plain.or_else(|| rtsps.clone()), rtsps }
    }
}

/// The host a request was sent to, without the port; an IPv6 address in brackets.
#[derive(Debug)]
pub(super) struct Host(String);

impl<S: Sync> FromRequestParts<S> for Host {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let authority = guard::authority(&parts.uri, &parts.headers);
        let host = authority.as_ref().map(|authority| authority.host()).filter(|host| !host.is_empty());
        Ok(Self(host.unwrap_or("localhost").to_owned()))
    }
}
