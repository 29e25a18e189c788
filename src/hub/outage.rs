//! How long a stream's source is away.

use std::sync::PoisonError;
use std::time::Instant;

use super::stream::Stream;

/// An outage in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    since: Instant,
    /// Up to when it is counted.
    counted: Instant,
}

impl Stream {
    /// Counts the outage in progress, if there is one, up to `now`: a camera that never comes back is an outage that never
    /// ends, and has to show all the same.
    pub fn count_outage(&self, now: Instant) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(away) = outage.as_mut() {
            self.metrics.outage(now.saturating_duration_since(away.counted));
            away.counted = now.max(away.counted);
        }
    }

    /// Since when the source has been away, if it is.
    pub fn away_since(&self) -> Option<Instant> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).map(|away| away.since)
    }

    /// The source has been away since `since`, unless that is known already. Returns since when it is.
    pub(super) fn outage_begins(&self, since: Instant) -> Instant {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.get_or_insert(Away { since, counted: since }).since
    }

    /// The source is back, or nobody wants it any more.
    pub(super) fn outage_ends(&self, now: Instant) {
        self.count_outage(now);
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.record_with(|record| record.outage_ends(now));
    }
}
