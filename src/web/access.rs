//! Who may ask the sidecar for what: the users and rules of the RTSP server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::answer::Refusal;
use super::api::{Target, target_of};
use crate::access::{self, Schemes, Visitor, Wish, link};
use crate::config::Action;

/// Where a request came from, and how; put into every request by its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Over TLS.
    pub(super) secure: bool,
}

/// Lets a request pass, or refuses it. Health checks pass always; a live picture needs `watch`, what changes something
/// `control`, everything else `metrics`.
///
/// A log-in is Basic, which every browser and scraper can do. It is offered where nobody can listen, over TLS and
/// to a client on this machine, and elsewhere only where `login.basic` says so.
pub(super) async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if HEALTH.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(&Peer { address: peer, secure }) = request.extensions().get() else {
        return Refusal::new(StatusCode::FORBIDDEN, "where the request came from is not known")
            .into_response();
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let target = target_of(request.uri());
    let watches = target.as_ref().is_some_and(Target::is_watched);
    let token = request.uri().query().and_then(link::token);
    let wish = Wish {
        action: match (reads, watches) {
            (true, true) => Action::Watch,
            (true, false) => Action::Metrics,
            (false, _) => Action::Control,
        },
        stream: target.as_ref().map(Target::name),
        method: request.method().as_str(),
        authorization: request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()),
        token,
    };
    let unheard = secure || peer.ip().to_canonical().is_loopback();
    let mut visitor = Visitor::new(peer.ip(), Schemes { digest: false, basic: unheard });
    match visitor.admit(&shared.access, &wish).await {
        Ok(()) => next.run(request).await,
        Err(access::Refusal::LogIn(challenges)) => {
            let mut response = Refusal::new(StatusCode::UNAUTHORIZED, "log in").into_response();
            for challenge in challenges {
                if let Ok(value) = HeaderValue::from_str(&challenge) {
                    response.headers_mut().append(header::WWW_AUTHENTICATE, value);
                }
            }
            response
        }
        Err(access::Refusal::Forbidden) => {
            Refusal::new(StatusCode::FORBIDDEN, "not allowed here, or not for this user").into_response()
        }
        Err(access::Refusal::Blocked(left)) => {
            let error = "too many wrong passwords came from this address";
            let mut response = Refusal::new(StatusCode::FORBIDDEN, error).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(left.as_secs().max(1)));
            response
        }
    }
}

/// What tells nothing but that the process lives.
const HEALTH: [&str; 3] = ["/livez", "/readyz", "/healthz"];
