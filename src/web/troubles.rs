//! What the API shows of a source's troubles: the last errors, the outages of the last day.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use super::description::words;
use super::snapshot::{rounded, time_of};
use crate::hub::{Record, Stream};

/// An error that came once or more often.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceError)]
pub(super) struct ErrorState {
    #[schema(value_type = words::FailureClass)]
    class: &'static str,
    /// In words, without credentials.
    message: String,
    /// When it came first, RFC 3339, UTC.
    #[schema(format = DateTime)]
    first: String,
    /// When it came last, RFC 3339, UTC.
    #[schema(format = DateTime)]
    last: String,
    /// How often it came.
    count: u64,
}

/// The outages of the last day: times without packets of a source that should have delivered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Outages)]
pub(super) struct OutagesState {
    /// How many, the one going on included.
    count: u64,
    /// All together, as far as they lie within the day.
    seconds: f64,
    /// The last 50, the latest first.
    list: Vec<OutageState>,
}

/// A time without packets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Outage)]
struct OutageState {
    /// When the last packet came, RFC 3339, UTC.
    #[schema(format = DateTime)]
    start: String,
    /// When it was back, RFC 3339, UTC; null = it is not.
    #[schema(required, format = DateTime)]
    end: Option<String>,
    /// How long it was, or is so far.
    seconds: f64,
    #[schema(value_type = words::FailureClass)]
    class: &'static str,
    /// What it began with, in words.
    message: String,
}

impl ErrorState {
    /// The last errors, the latest first.
    pub(super) fn list(stream: &Stream, record: &Record) -> Vec<Self> {
        let shown = |error: &crate::hub::Trouble| Self {
            class: error.class.as_str(),
            message: error.message.clone(),
            first: time_of(stream, error.first),
            last: time_of(stream, error.last),
            count: error.count,
        };
        record.errors().map(shown).collect()
    }
}

impl OutagesState {
    pub(super) fn new(stream: &Stream, record: &Record, now: Instant) -> Self {
        let total = record.total(now);
        let shown = |outage: &crate::hub::Outage| OutageState {
            start: time_of(stream, outage.start),
            end: outage.end.map(|end| time_of(stream, end)),
            seconds: rounded(
                outage.end.unwrap_or(now).saturating_duration_since(outage.start).as_secs_f64(),
                3,
            ),
            class: outage.class.as_str(),
            message: outage.message.clone(),
        };
        Self {
            count: total.count,
            seconds: rounded(total.duration.as_secs_f64(), 3),
            list: record.outages(now).map(shown).collect(),
        }
    }
}
