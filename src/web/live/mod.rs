//! Live pictures for browsers, under a stream's address in the API:
//!
//! | part | what |
//! |---|---|
//! | `/live` | a WebSocket with the RTP of the stream; the socket is handed to the RTSP server's workers ([`LiveDoor`]) |
//! | `/mjpeg` | the pictures of a JPEG stream, one after the other, as browsers show them in an `<img>` |
//! | `/snapshot.jpg` | the newest picture of a JPEG stream |
//!
//! Whoever may watch the stream may have them, by a watch link (`?token=`) too.

mod handshake;
pub(super) mod mjpeg;
mod pictures;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tokio::net::TcpStream;

use super::access::Peer;
use super::answer::{Refusal, RefusalBody};
use super::description::{Name, NotFound};
use super::{Shared, guard};
use crate::access::{Handover, Warrant};
use crate::hub::Stream;

/// Where browsers go, socket first, that watch over a WebSocket: the app passes them on to the RTSP server.
#[derive(Clone)]
pub struct LiveDoor(Arc<dyn Fn(TcpStream, Handover) + Send + Sync>);

impl LiveDoor {
    /// A door that hands each browser to `take`.
    pub fn new(take: impl Fn(TcpStream, Handover) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

impl std::fmt::Debug for LiveDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveDoor")
    }
}

/// What of a request matters to who watches.
#[derive(Debug)]
pub(super) struct Watch {
    peer: Option<Peer>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Option<OnUpgrade>,
    warrant: Option<Warrant>,
}

impl<S: Sync> FromRequestParts<S> for Watch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            peer: parts.extensions.get().copied(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            upgrade: parts.extensions.remove(),
            warrant: parts.extensions.remove(),
        })
    }
}

impl Watch {
    fn user_agent(&self) -> Option<String> {
        let agent = self.headers.get(header::USER_AGENT)?.to_str().ok()?;
        Some(agent.chars().take(MAX_AGENT).collect())
    }
}

/// Watch over a WebSocket.
///
/// What comes is a text that describes the tracks, then a binary message for each burst, with RTP and RTCP as in an
/// interleaved RTSP connection (channel 2 * track).
// The rest is the RTSP server's.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/live",
    params(
        Name,
        (
            "video" = Option<String>,
            Query,
            description = "Which tracks with pictures: `all`, `none`, or names of codecs; as in a viewer's RTSP URL.",
            example = "h264",
        ),
        ("audio" = Option<String>, Query, description = "The same for sound.", example = "none"),
    ),
    security((), ("digest" = []), ("basic" = []), ("watch_link" = [])),
    responses(
        (status = 101, description = "The WebSocket is open."),
        (status = 400, description = "The handshake's key is wrong.", body = RefusalBody),
        (status = 404, response = NotFound),
        (
            status = 426,
            description = "It is to be asked for as a WebSocket, version 13.",
            body = RefusalBody,
            headers(
                ("Upgrade" = String, description = "`websocket`."),
                ("Sec-WebSocket-Version" = String, description = "`13`, to who asks for another one."),
            ),
        ),
    ),
)]
#[expect(clippy::disallowed_methods, reason = "it lasts until the answer is on its way, at most HAND_OVER")]
pub(super) fn socket(shared: &Shared, stream: &Stream, watch: Watch) -> Result<Response, Refusal> {
    let response = handshake::accept(&watch.headers)?;
    // A page of another origin must not show what its visitor may see.
    if !guard::is_same_origin(&watch.uri, &watch.headers) {
        return Err(Refusal::forbidden("a page of another origin may not watch here"));
    }
    let user_agent = watch.user_agent();
    let (Some(door), Some(upgrade), Some(peer)) = (shared.live.clone(), watch.upgrade, watch.peer) else {
        return Err(Refusal::not_found("nothing is to be watched over a WebSocket here"));
    };
    let stream = stream.name().to_owned();
    let query = watch.uri.query().map(str::to_owned);
    let warrant = watch.warrant;
    tokio::spawn(async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(HAND_OVER, upgrade).await else { return };
        let Some((socket, keys, read)) = super::connections::taken_apart(upgraded) else { return };
        let peer = peer.address;
        (door.0)(socket, Handover { keys, read, peer, stream, query, user_agent, warrant });
    });
    Ok(response)
}

pub(super) use mjpeg::places;

/// A viewer's name for itself is kept up to this length.
const MAX_AGENT: usize = 200;

/// How long the answer to the handshake may take on its way.
const HAND_OVER: Duration = Duration::from_secs(10);
