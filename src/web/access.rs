//! Who may ask the sidecar for what: the users and rules of the RTSP server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::answer::Refusal;
use super::guard;
use super::target::{Target, target_of};
use crate::access::{self, Digest, Schemes, Visitor, Wish, link};
use crate::config::Action;

/// Where a request came from, and how; put into every request by its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Over TLS.
    pub(super) secure: bool,
}

/// Lets a request pass, or refuses it. Health checks pass always; a live picture needs `watch`, what changes something
/// `control`, as do the settings of a stream, everything else `metrics`.
///
/// A log-in is Digest, or Basic, which every scraper can do. Basic is offered where nobody can listen, over TLS and to a
/// client on this machine, and elsewhere only where `login.basic` says so.
///
/// What anybody may change, the page of an attacker could change from a browser that may reach the relay, once its name leads
/// to the relay's address (DNS rebinding): such a request has to name the relay by its address.
pub(super) async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
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
    let settings = target.as_ref().is_some_and(Target::is_settings);
    let token = request.uri().query().and_then(link::token);
    let wish = Wish {
        action: match (reads, watches) {
            (true, true) => Action::Watch,
            (true, false) if !settings => Action::Metrics,
            _ => Action::Control,
        },
        stream: target.as_ref().map(Target::name),
        method: request.method().as_str(),
        uri: request.uri().path_and_query().map(|uri| uri.as_str()),
        authorization: request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()),
        token,
    };
    let unheard = secure || peer.ip().to_canonical().is_loopback();
    let mut visitor = Visitor::new(peer.ip(), Schemes { digest: Digest::Address, basic: unheard });
    match visitor.admit(&shared.access, &wish).await {
        Ok(()) if (reads && !settings) || secure || visitor.user().is_some() || guard::is_ours(&request) => {
            request.extensions_mut().insert(visitor.warrant().clone());
            next.run(request).await
        }
        Ok(()) => {
            let error = "a page may change something here, or see settings, without a log-in only where it was opened by \
                         the relay's address or as localhost";
            Refusal::new(StatusCode::FORBIDDEN, error).into_response()
        }
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
            let error = if shared.access.policy().is_open() {
                "changes from another machine need a user: add `users` to the configuration, or a rule to `access`"
            } else {
                "not allowed here, or not for this user"
            };
            Refusal::new(StatusCode::FORBIDDEN, error).into_response()
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
pub(super) const HEALTH: [&str; 3] = ["/livez", "/readyz", "/healthz"];
