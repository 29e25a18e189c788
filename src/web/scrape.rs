//! `/metrics`, with the values that are only known when somebody looks.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};

use super::Shared;
use super::answer::{Refusal, RefusalBody};
use crate::hub::Hub;

/// Metrics in Prometheus's text format.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "Version 0.0.4.", body = String, content_type = "text/plain"),
    (status = 500, description = "They do not encode: a bug, which the log tells more about.", body = RefusalBody),
))]
pub(super) async fn metrics(
    State(shared): State<Arc<Shared>>,
) -> Result<([(HeaderName, &'static str); 1], String), Refusal> {
    refresh(&shared.hub, Instant::now());
    match shared.hub.metrics().render() {
        Ok(page) => Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)),
        Err(error) => {
            tracing::error!(%error, "the metrics do not encode: this is a bug");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics do not encode"))
        }
    }
}

/// Rates fall and outages grow with time, not with packets.
fn refresh(hub: &Hub, now: Instant) {
    for stream in hub.streams() {
        stream.count_outage(now);
        let Some(described) = stream.status().borrow().described.clone() else { continue };
        let elapsed = stream.elapsed(now);
        for (track, stats) in described.description.tracks.iter().zip(stream.track_stats()) {
            stream.metrics().track(track.id).fps.set(stats.rate.per_second(elapsed));
        }
    }
}
