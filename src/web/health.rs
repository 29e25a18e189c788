//! Whether the process is well. Cameras do not matter, and nobody has to log in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::Shared;

/// Whether the process answers.
#[utoipa::path(get, path = "/livez", security(), responses(
    (status = 200, description = "It does.", body = String, content_type = "text/plain"),
))]
pub(super) async fn live() -> &'static str {
    OK
}

/// Whether the process is healthy. Cameras do not matter.
#[utoipa::path(get, path = "/healthz", security(), responses(
    (status = 200, description = "It is.", body = String, content_type = "text/plain"),
))]
pub(super) async fn healthy() -> &'static str {
    OK
}

/// Whether new viewers should be sent here. Cameras do not matter.
#[utoipa::path(get, path = "/readyz", security(), responses(
    (status = 200, description = "Yes.", body = String, content_type = "text/plain"),
    (status = 503, description = "No: it is draining.", body = String, content_type = "text/plain"),
))]
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, OK)
    }
}

const OK: &str = "ok\n";
