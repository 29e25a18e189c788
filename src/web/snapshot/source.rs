//! What a stream's source does, and what comes next.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::{rfc3339, rounded, time_of};
use crate::hub::{Failure, Status, Stream};
use crate::vocabulary::{Phase, Transport};
use crate::web::description::words;
use crate::web::troubles::{ErrorState, OutagesState};

/// What a stream's source does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Source)]
pub(in crate::web) struct SourceState {
    #[schema(value_type = words::State)]
    pub(in crate::web) state: &'static str,
    /// Cameras in order of preference, or a file; without credentials.
    #[schema(examples("rtsp://***@10.0.0.7/main"))]
    from: Vec<String>,
    /// Whether it is connected only while somebody watches.
    on_demand: bool,
    /// When it went over to this state, RFC 3339, UTC.
    #[schema(format = DateTime)]
    since: String,
    /// Failed attempts since the source last delivered.
    attempt: u32,
    /// Seconds until the next attempt, while it waits for that.
    #[schema(required)]
    next_try_in: Option<f64>,
    /// When the next attempt is made, while it waits for that.
    #[schema(required, format = DateTime)]
    next_try_at: Option<String>,
    /// For how many seconds packets have been arriving. null = they do not.
    #[schema(required)]
    uptime: Option<f64>,
    /// Upstream sessions that delivered, since the stream was made.
    sessions: u64,
    /// How packets come, while they do.
    #[schema(required, value_type = Option<words::Transport>)]
    transport: Option<&'static str>,
    #[schema(required)]
    pub(in crate::web) last_failure: Option<FailureState>,
    /// What it does now and why, in words.
    #[schema(examples("retrying in 1.2 s after 3 failed attempts: connection refused"))]
    pub(in crate::web) decision: String,
    /// What was decided after the last failure, and why; null while all is well.
    #[schema(required)]
    pub(in crate::web) why: Option<String>,
    /// The rule by which attempts are made, in words; null = none has been made.
    #[schema(required, examples("Fixed: a new try every 2 s."))]
    pub(in crate::web) strategy: Option<String>,
    /// What the relay has learned about this source, a sentence each.
    pub(in crate::web) learned: Vec<String>,
    /// The last 16 errors that differ, the latest first. They stay after the source has recovered.
    pub(in crate::web) last_errors: Vec<ErrorState>,
    pub(in crate::web) outages: OutagesState,
}

/// What went wrong last; it stays after the source has recovered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(in crate::web) struct FailureState {
    #[schema(value_type = words::FailureClass)]
    class: &'static str,
    /// In words, without credentials.
    pub(in crate::web) message: String,
    /// When, RFC 3339, UTC.
    #[schema(format = DateTime)]
    pub(in crate::web) at: String,
}

impl SourceState {
    pub(super) fn new(stream: &Stream, status: &Status, now: Instant) -> Self {
        let next_try_in = status.next_try.map(|next| next.saturating_duration_since(now));
        let record = stream.record();
        let provenance = stream.provenance();
        Self {
            state: status.phase.as_str(),
            from: provenance.from,
            on_demand: provenance.on_demand,
            since: time_of(stream, status.since),
            attempt: status.attempt,
            next_try_in: next_try_in.map(|wait| rounded(wait.as_secs_f64(), 3)),
            next_try_at: status.next_try.map(|next| time_of(stream, next)),
            uptime: status
                .live_since()
                .map(|since| rounded(now.saturating_duration_since(since).as_secs_f64(), 3)),
            sessions: status.sessions,
            transport: status.transport.map(Transport::as_str),
            last_failure: status.last_failure.as_ref().map(|failure| FailureState {
                class: failure.class.as_str(),
                message: failure.message.clone(),
                at: rfc3339(failure.at.into()),
            }),
            decision: decision(status, next_try_in),
            why: status.decision.clone().filter(|why| !why.is_empty()),
            last_errors: ErrorState::list(stream, &record),
            outages: OutagesState::new(stream, &record, now),
            strategy: Some(record.strategy).filter(|strategy| !strategy.is_empty()),
            learned: record.learned,
        }
    }
}

/// What the source does now, why, and what comes next.
fn decision(status: &Status, next_try_in: Option<Duration>) -> String {
    let attempts = match status.attempt {
        1 => "1 failed attempt".to_owned(),
        count => format!("{count} failed attempts"),
    };
    let reason =
        status.last_failure.as_ref().map_or(String::new(), |Failure { message, .. }| format!(": {message}"));
    match status.phase {
        Phase::Idle => "nobody watches; connects with the first viewer".to_owned(),
        Phase::Connecting if status.attempt > 0 => format!("connecting after {attempts}{reason}"),
        Phase::Connecting => "connecting".to_owned(),
        Phase::Live => match status.transport {
            Some(transport) => format!("packets arrive over {}", transport.as_str().to_uppercase()),
            None => "packets arrive".to_owned(),
        },
        Phase::Retrying => match next_try_in.filter(|wait| !wait.is_zero()) {
            Some(wait) => format!("retrying in {:.1} s after {attempts}{reason}", wait.as_secs_f64()),
            None => format!("retrying now after {attempts}{reason}"),
        },
        Phase::Stopped => "switched off: the stream was removed, or the relay is stopping".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::Hub;
    use crate::metrics::Metrics;
    use crate::vocabulary::FailureClass;

    #[test]
    fn the_decision_says_what_is_tried_next_and_why() {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        let stream = Arc::clone(publisher.stream());
        let decision = |now| SourceState::new(&stream, &stream.status().borrow(), now).decision;
        assert_eq!(decision(Instant::now()), "nobody watches; connects with the first viewer");
        publisher.connecting();
        assert_eq!(decision(Instant::now()), "connecting");
        let refused = || "connection refused".to_owned();
        publisher.failed(FailureClass::Refused, refused(), Duration::from_secs(60), String::new());
        let next = stream.status().borrow().next_try.unwrap();
        assert_eq!(
            decision(next - Duration::from_millis(1200)),
            "retrying in 1.2 s after 1 failed attempt: connection refused"
        );
        assert_eq!(decision(next), "retrying now after 1 failed attempt: connection refused");
        publisher.failed(FailureClass::Refused, refused(), Duration::ZERO, String::new());
        publisher.connecting();
        assert_eq!(decision(next), "connecting after 2 failed attempts: connection refused");
        publisher.live(Some(Transport::Udp));
        assert_eq!(decision(next), "packets arrive over UDP");
        stream.close();
        assert_eq!(decision(next), "switched off: the stream was removed, or the relay is stopping");
    }
}
