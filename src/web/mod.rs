//! The HTTP sidecar: status page, API, metrics, health.
//!
//! | route | what |
//! |---|---|
//! | `/`, `/page/{version}/{file}`, `/icon.svg` | the status page and its files |
//! | `/metrics` | Prometheus text |
//! | `/livez`, `/readyz`, `/healthz` | the process; a dead camera never fails them, `readyz` is 503 while draining |
//! | `/api/v1/streams`, `/api/v1/streams/{name}` | streams; `PUT` and `DELETE` change them |
//! | `/api/v1/streams/{name}/config` | its settings, without secrets |
//! | `/api/v1/streams/{name}/viewers`, `DELETE /api/v1/viewers/{id}` | viewers |
//! | `/api/v1/streams/{name}/live`, `/mjpeg`, `/snapshot.jpg` | live pictures (module `live`) |
//! | `POST /api/v1/streams/{name}/reconnect` | a new upstream session, now |
//! | `/api/v1/streams/{name}/history`, `…/log`, `…/capture`, `…/qr.svg` | the last day and hour, the last log lines, the incident recorder, the URL for a telephone |
//! | `/api/v1/events` | what changes, as it changes (server-sent events) |
//! | `/api/v1/openapi.json` | the description of the above |
//!
//! It looks at the [`Hub`] and asks the app for changes through [`Control`]; it knows neither sources nor the RTSP
//! server. The users and rules of the configuration hold here, too. Without any nobody logs in: so it listens on loopback
//! unless told otherwise, and takes changes from there only. Changes that a page of another origin asks a browser for are
//! refused in any case.

mod access;
mod answer;
mod api;
mod assets;
mod connections;
mod control;
mod description;
mod events;
mod guard;
mod health;
mod live;
mod page;
mod past;
mod qr;
mod scrape;
mod snapshot;
mod target;
#[cfg(test)]
mod tests;
mod troubles;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::routing::{MethodRouter, any, delete, get};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use control::{Change, Command, Control, Kept};
pub use live::LiveDoor;

use crate::access::Access;
use crate::hub::Hub;
use crate::journal::Journal;
use crate::tls::Certificates;
use answer::Refusal;
use events::Feed;

/// The sidecar.
#[derive(Clone, Debug)]
pub struct Web {
    shared: Arc<Shared>,
}

/// Where else the relay can be reached, for the addresses that page and API give.
#[derive(Clone, Copy, Debug, Default)]
pub struct Links {
    /// The port of the RTSP server; `None` = it is off. The host is the one the HTTP request was sent to.
    pub rtsp_port: Option<u16>,
    /// Its port over TLS; `None` = it is off.
    pub rtsps_port: Option<u16>,
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    hub: Arc<Hub>,
    control: Control,
    links: Links,
    draining: CancellationToken,
    access: Arc<Access>,
    journal: Arc<Journal>,
    feed: Arc<Feed>,
    /// `None` = nothing is to be watched over a WebSocket.
    live: Option<LiveDoor>,
    /// Places for those who are shown moving JPEG pictures: each holds a connection.
    moving: Arc<Semaphore>,
}

impl Web {
    /// A sidecar of `hub` that sends wishes for other streams through `control`. Once `draining` is cancelled the relay
    /// is no longer ready, and the sidecar keeps answering.
    pub fn new(hub: Arc<Hub>, control: Control, links: Links, draining: CancellationToken) -> Self {
        let access = Arc::new(Access::open(Arc::clone(hub.metrics())));
        let (journal, feed) = (Arc::default(), Arc::new(Feed::new(MAX_LISTENERS)));
        hub.metrics().know_limits(&[events::LIMIT]);
        let (live, moving) = (None, live::places());
        let shared = Shared { hub, control, links, draining, access, journal, feed, live, moving };
        Self { shared: Arc::new(shared) }
    }

    /// Asks `access` who may see and change what; otherwise everybody may.
    #[must_use]
    pub fn with_access(mut self, access: Arc<Access>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.access = access;
        }
        self
    }

    /// Shows the log lines of streams from here.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<Journal>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.journal = journal;
        }
        self
    }

    /// So many at most are told events.
    #[must_use]
    pub fn with_listeners(mut self, most: u32) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.feed = Arc::new(Feed::new(most));
        }
        self
    }

    /// Hands browsers that watch over a WebSocket to `live`.
    #[must_use]
    pub fn with_live(mut self, live: LiveDoor) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.live = Some(live);
        }
        self
    }

    /// Serves until `stop`, then finishes the requests under way.
    ///
    /// # Errors
    /// None so far: trouble with a connection is that connection's.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let metrics = Arc::clone(self.shared.hub.metrics());
        connections::serve(listener, None, router(self.shared), &metrics, stop).await;
        Ok(())
    }

    /// The same over TLS. Who logs in here may do so with Basic from any machine.
    ///
    /// # Errors
    /// None so far.
    pub async fn run_tls(
        self,
        listener: TcpListener,
        certificates: Arc<Certificates>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let metrics = Arc::clone(self.shared.hub.metrics());
        connections::serve(listener, Some(certificates), router(self.shared), &metrics, stop).await;
        Ok(())
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods);
    }
    router
        .fallback(async |uri: Uri| Refusal::not_found(format!("there is nothing at {}", uri.path())))
        .method_not_allowed_fallback(async |method: Method| {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible here"))
        })
        .with_state(Arc::clone(&shared))
        .layer(middleware::from_fn_with_state(shared, access::admit))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guard::same_origin))
        .layer(middleware::from_fn(guard::deadline))
        .layer(middleware::map_response(guard::headers))
}

/// Every route. The module `description` gathers what their handlers say of themselves, and a test holds the two together.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    vec![
        ("/", get(page::page)),
        ("/page/{version}/{file}", get(assets::file)),
        ("/icon.svg", get(assets::icon)),
        ("/metrics", get(scrape::metrics)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/healthz", get(health::healthy)),
        ("/api/v1/openapi.json", get(description::document)),
        (events::PATH, get(events::events)),
        ("/api/v1/streams", get(api::streams)),
        ("/api/v1/streams/{*path}", any(api::stream)),
        ("/api/v1/viewers/{id}", delete(api::disconnect)),
    ]
}

/// Most listeners to events, where nobody says otherwise.
const MAX_LISTENERS: u32 = 64;

/// Bytes of a request's body. A stream's configuration has some hundred.
const MAX_BODY: usize = 64 * 1024;
