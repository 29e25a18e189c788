//! What the API shows of a source's troubles: the last errors, the outages of the last day.

use std::time::Instant;

use serde::Serialize;

use super::snapshot::{rounded, time_of};
use crate::hub::{Record, Stream};

/// An error that came once or more often.
#[derive(Debug, Serialize)]
pub(super) struct ErrorState {
    class: &'static str,
    message: String,
    /// RFC 3339, as all times.
    first: String,
    last: String,
    count: u64,
}

/// The outages of the last day.
#[derive(Debug, Serialize)]
pub(super) struct OutagesState {
    count: u64,
    /// All of them together.
    seconds: f64,
    /// The latest first; of many only the last ones.
    list: Vec<OutageState>,
}

#[derive(Debug, Serialize)]
struct OutageState {
    start: String,
    /// `None` = it goes on.
    end: Option<String>,
    seconds: f64,
    class: &'static str,
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
