//! `/api/v1/events`: what changes, told as it changes (server-sent events,
//! [HTML section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! | event | data |
//! |---|---|
//! | `streams` | first: all streams, as `/api/v1/streams` gives them |
//! | `stream` | a stream that changed, as `/api/v1/streams/{name}` gives it: at once when its source does something else, otherwise once a second |
//! | `removed` | `{"name"}` of a stream that is no more |
//! | `viewers` | with `?stream=NAME`: as `/api/v1/streams/{name}/viewers` gives them, once a second where they changed |
//! | `log` | with `?stream=NAME`: as `/api/v1/streams/{name}/log` gives them, first the last lines, then those that came since |
//! | `alive` | `{}`, where there was nothing to say for 15 s: a page cannot see comments |
//!
//! It ends when the relay stops, and when other access rules come into force: a browser connects anew by itself, and is
//! asked again who it is.

mod feed;
mod listener;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use utoipa::ToSchema;

pub(super) use feed::Feed;
use listener::Listener;

use super::Shared;
use super::answer::{Refusal, RefusalBody};
use super::api::Host;
use super::description::{NotFound, words};

/// What changes, as it changes (server-sent events).
///
/// It has no end but the relay's, and that of the access rules it was let in by.
#[utoipa::path(
    get,
    path = PATH,
    params(("stream" = Option<String>, Query, description = "This stream only.", example = "door")),
    responses(
        (
            status = 200,
            description = "First `streams` (all of them, as /api/v1/streams), then `stream` (one that changed: at once \
                           when its source does something else, otherwise once a second) and `removed` ({name}). With \
                           `stream` in the query also `viewers` and `log`, as the routes of these names give them. \
                           `alive` where there was nothing to say for 15 s.",
            body = Told,
            content_type = "text/event-stream",
        ),
        (status = 404, response = NotFound),
        (
            status = 503,
            description = "As many listen already as may (`http.max_listeners`).",
            body = RefusalBody,
        ),
    ),
)]
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    host: Host,
    uri: Uri,
) -> Result<impl IntoResponse, Refusal> {
    let only = narrowed(&uri);
    if let Some(name) = &only
        && shared.hub.find(name).is_none()
    {
        return Err(Refusal::no_stream(name));
    }
    let Some(place) = shared.feed.listen(&shared.hub) else {
        shared.hub.metrics().limit_reached(LIMIT);
        let error = format!(
            "{} listeners have events told already: close a page, or raise {LIMIT} in the configuration",
            shared.feed.limit()
        );
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error));
    };
    let listener = Listener::new(shared, host, place, only);
    let events = Sse::new(stream::unfold(listener, Listener::next));
    let events = events
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).event(Event::default().event("alive").data("{}")));
    // nginx would hold back what is told.
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], events))
}

/// One event.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "it is described here and written by axum")]
struct Told {
    #[schema(value_type = words::EventName)]
    event: &'static str,
    /// JSON.
    data: String,
    /// Milliseconds after which a browser whose connection broke is to come back.
    retry: Option<u64>,
}

/// The one stream that is asked for, as the access rules have to see it, too.
pub(super) fn narrowed(uri: &Uri) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(name, _)| name == "stream").map(|(_, value)| value.into_owned())
}

/// The path, for the access rules.
pub(super) const PATH: &str = "/api/v1/events";

/// The limit of listeners, by its key in the configuration.
pub(super) const LIMIT: &str = "http.max_listeners";

/// How often something is said when there is nothing to say. Proxies give up after a minute without a word.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
