//! The answers that say in words why a request cannot be served.

use std::time::Duration;

use super::admission::Full;
use super::mount::Mount;
use super::multicast;
use crate::hub::Stream;
use crate::rtsp::{Response, Status};
use crate::sdp::Description;

/// 503 with the reason, as far as it is known: what went wrong with the source.
pub(super) fn unavailable(mount: &Mount) -> Response {
    let reason = why_unavailable(mount.stream());
    let body = format!("the source of {} is not available: {reason}\n", mount.stream().name());
    Response::new(Status::SERVICE_UNAVAILABLE).header("Retry-After", RETRY_AFTER.as_secs()).body(TEXT, body)
}

/// What went wrong with the source, as far as it is known.
pub(super) fn why_unavailable(stream: &Stream) -> String {
    let status = stream.status();
    let status = status.borrow();
    // The class only: what the camera said, and where it is, is for the operator (the API has it).
    match &status.last_failure {
        Some(failure) => failure.class.as_str().replace('_', " "),
        None => "it has not delivered yet".to_owned(),
    }
}

/// 461 for a viewer who would hear a stream by multicast.
pub(super) fn no_multicast(mount: &Mount, refusal: &multicast::Refusal) -> Response {
    let name = mount.stream().name();
    let body = format!("{name} is not to be had by multicast: {refusal}\n");
    Response::new(Status::UNSUPPORTED_TRANSPORT).body(TEXT, body)
}

/// 404 for a viewer whose URL asks for tracks that the stream does not have.
pub(super) fn no_such_track(mount: &Mount, description: &Description) -> Response {
    let there: Vec<String> = description
        .tracks
        .iter()
        .map(|track| format!("{} ({})", track.kind, track.encoding.as_deref().unwrap_or("unknown")))
        .collect();
    let body = format!("{} has no such track; it has {}\n", mount.stream().name(), there.join(", "));
    Response::new(Status::NOT_FOUND).body(TEXT, body)
}

/// 503 with the limit that is reached.
pub(super) fn crowded(full: &Full) -> Response {
    Response::new(Status::SERVICE_UNAVAILABLE)
        .header("Retry-After", RETRY_AFTER.as_secs())
        .body(TEXT, format!("too many viewers: {full}\n"))
}

/// What a player is told when a source is down.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The type of the words that go with a refusal.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
