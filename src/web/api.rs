//! `/api/v1`: streams and viewers as JSON.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::answer::Refusal;
use super::control::{Change, Kept, Unanswered};
use super::past::{HistoryState, Log};
use super::snapshot::{StreamState, Urls, ViewerState};
use super::{Links, Shared, events, guard, live, qr};
use crate::config::{Problem, Problems, StreamName};
use crate::hub::Stream;
use crate::vocabulary::Disconnect;

/// The description of the API.
pub(super) async fn description() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION)
}

pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// All streams.
pub(super) async fn streams(State(shared): State<Arc<Shared>>, host: Host) -> Json<Streams> {
    Json(Streams { streams: shared.states(&host) })
}

#[derive(Serialize)]
pub(super) struct Streams {
    streams: Vec<StreamState>,
}

/// Everything about one stream.
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
        (Part::Stream, "GET" | "HEAD") => Ok(Json(shared.state(&*find()?, &host)).into_response()),
        (Part::Stream, "PUT") => put(&shared, &name, body).await,
        (Part::Stream, "DELETE") => remove(&shared, &name).await,
        (Part::Viewers, "GET" | "HEAD") => Ok(Json(Viewers::of(&*find()?)).into_response()),
        (Part::History, "GET" | "HEAD") => {
            let stream = find()?;
            let now = stream.wall(stream.elapsed(Instant::now()));
            Ok(Json(HistoryState::new(&stream.history(), now)).into_response())
        }
        (Part::Log, "GET" | "HEAD") => {
            find()?;
            Ok(Json(Log::new(shared.journal.after(&name, 0))).into_response())
        }
        (Part::Capture, "GET" | "HEAD") => Ok(capture(&*find()?)),
        (Part::Qr, "GET" | "HEAD") => {
            find()?;
            let urls = shared.links.urls(&host, &name);
            let url =
                urls.rtsp.ok_or_else(|| Refusal::not_found("the RTSP server is off: there is no URL"))?;
            qr::svg(&url)
        }
        (Part::Reconnect, "POST") => {
            find()?.request_reconnect();
            Ok((StatusCode::ACCEPTED, Json(Asked { name })).into_response())
        }
        (Part::Live, "GET") => live::socket(&shared, &*find()?, watch),
        (Part::Moving, "GET") => live::moving(&shared, find()?, watch).await,
        (Part::Still, "GET" | "HEAD") => live::still(find()?).await,
        (Part::Live | Part::Moving, _) => Err(Refusal::method_not_allowed("GET")),
        (Part::Still, _) => Err(Refusal::method_not_allowed("GET, HEAD")),
        (Part::Stream, _) => Err(Refusal::method_not_allowed("GET, HEAD, PUT, DELETE")),
        (Part::Viewers | Part::History | Part::Log | Part::Qr | Part::Capture, _) => {
            Err(Refusal::method_not_allowed("GET, HEAD"))
        }
        (Part::Reconnect, _) => Err(Refusal::method_not_allowed("POST")),
    }
}

#[derive(Serialize)]
pub(super) struct Viewers {
    viewers: Vec<ViewerState>,
}

impl Viewers {
    /// Who watches.
    pub(super) fn of(stream: &Stream) -> Self {
        Self { viewers: stream.viewers().iter().map(|viewer| ViewerState::new(stream, viewer)).collect() }
    }
}

/// The stream whose source was asked to connect anew.
#[derive(Serialize)]
struct Asked {
    name: String,
}

#[derive(Serialize)]
struct Changed<'a> {
    name: &'a str,
    change: &'static str,
    /// Whether it is written into the configuration file; otherwise it lasts until the relay is restarted.
    written: bool,
    /// Why it is not written.
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

/// What the incident recorder has, as a file.
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

async fn remove(shared: &Shared, name: &str) -> Result<Response, Refusal> {
    let parsed: StreamName = name.parse().map_err(|_| Refusal::no_stream(name))?;
    let kept = shared.control.delete(parsed).await.map_err(|Unanswered| stopping())?;
    let kept = kept.ok_or_else(|| Refusal::no_stream(name))?;
    Ok(Json(Changed::new(name, "removed", kept)).into_response())
}

fn stopping() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "streams cannot be changed now: the relay is stopping, or busy",
    )
}

/// Disconnects a viewer, which may come back.
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

/// What `/api/v1/streams/…` names: names of streams may have slashes in them.
///
/// A last segment `viewers`, `reconnect`, `live` and so on ([`PARTS`]) is always that part of the stream before it. A stream
/// that is itself called
/// `a/viewers` is reached with its slash escaped: `/api/v1/streams/a%2Fviewers`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    name: String,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Stream,
    Viewers,
    Reconnect,
    History,
    Log,
    Qr,
    Capture,
    Live,
    Moving,
    Still,
}

/// Parts of a stream, by the end of the path.
pub(super) const PARTS: [(&str, Part); 9] = [
    ("/viewers", Part::Viewers),
    ("/reconnect", Part::Reconnect),
    ("/history", Part::History),
    ("/log", Part::Log),
    ("/qr.svg", Part::Qr),
    ("/capture", Part::Capture),
    ("/live", Part::Live),
    ("/mjpeg", Part::Moving),
    ("/snapshot.jpg", Part::Still),
];

impl Target {
    /// The stream.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the picture that is asked for.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self.part, Part::Live | Part::Moving | Part::Still)
    }

    /// `raw` is the path as sent, `path` the part after `streams/` with its escapes undone.
    fn new(raw: &str, path: String) -> Self {
        for (suffix, part) in PARTS {
            // In the path as sent, because an escaped slash belongs to the name.
            if raw.ends_with(suffix)
                && let Some(name) = path.strip_suffix(suffix)
            {
                return Self { name: name.to_owned(), part };
            }
        }
        Self { name: path, part: Part::Stream }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let raw = parts.uri.path().to_owned();
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(path)) => Ok(Self::new(&raw, path)),
            // Escapes that are not UTF-8.
            Err(_) => Err(Refusal::not_found("there is no such stream")),
        }
    }
}

/// What a request's path is about, for the rules; `None` where that is no single stream. It is read as the extractor
/// does, so that no spelling leads around a rule.
pub(super) fn target_of(uri: &Uri) -> Option<Target> {
    let path = uri.path();
    if path == events::PATH {
        return events::narrowed(uri).map(|name| Target { name, part: Part::Stream });
    }
    let encoded = path.strip_prefix("/api/v1/streams/")?;
    let decoded = crate::config::percent_decode(encoded);
    Some(Target::new(path, decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_may_name_a_part_of_the_stream_before_it() {
        let target = |raw: &str, path: &str| {
            let Target { name, part } = Target::new(&format!("/api/v1/streams/{raw}"), path.to_owned());
            (name, part)
        };
        let plain = |path: &str| target(path, path);
        assert_eq!(plain("door"), ("door".to_owned(), Part::Stream));
        assert_eq!(plain("site/door"), ("site/door".to_owned(), Part::Stream));
        assert_eq!(plain("site/door/viewers"), ("site/door".to_owned(), Part::Viewers));
        assert_eq!(plain("door/reconnect"), ("door".to_owned(), Part::Reconnect));
        assert_eq!(plain("viewers"), ("viewers".to_owned(), Part::Stream), "a stream of that name");
        assert_eq!(target("a%2Fviewers", "a/viewers"), ("a/viewers".to_owned(), Part::Stream));
        assert_eq!(
            target("a%2Fviewers/viewers", "a/viewers/viewers"),
            ("a/viewers".to_owned(), Part::Viewers)
        );
    }
}
