//! A connection kept for later: described and logged in, without a session, so that the next session begins with SETUP.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::session::Described;
use crate::source::error::Error;

/// The connection that is kept for one of a stream's sources, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Warm(Arc<Mutex<Option<(usize, Described)>>>);

impl Warm {
    /// Keeps a connection, in place of the one before.
    pub(super) fn keep(&self, source: usize, mut described: Described, step_limit: Duration) {
        described.rest(step_limit.min(STEP));
        *self.lock() = Some((source, described));
    }

    /// Looks after the connection; ready with what became of it when it is lost.
    pub(super) fn lost(&self) -> impl Future<Output = Error> + use<> {
        let warm = self.clone();
        poll_fn(move |cx| {
            let mut kept = warm.lock();
            // Without one there is nothing to lose.
            let Some((_, described)) = kept.as_mut() else { return Poll::Pending };
            let lost = described.poll_lost(cx);
            if lost.is_ready() {
                *kept = None;
            }
            lost
        })
    }

    /// The connection for this source; one for another is given up.
    pub(super) fn take(&self, source: usize) -> Option<Described> {
        self.lock().take().filter(|(of, _)| *of == source).map(|(_, described)| described)
    }

    /// Closes it.
    pub(super) fn give_up(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(usize, Described)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step on a connection that may be dead by now takes no longer: a viewer waits, and another connection will do.
const STEP: Duration = Duration::from_secs(3);
