//! What all streams together put upon the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(super) struct Load {
    /// Who watches.
    pub(super) viewers: AtomicUsize,
    /// Streams whose pictures take their time to come.
    spread: AtomicUsize,
}

impl Load {
    pub(super) fn has_spread(&self) -> bool {
        self.spread.load(Ordering::Relaxed) > 0
    }
}

/// The packets of a stream's pictures come spread over time, as long as this is held.
#[derive(Debug)]
pub struct Spread(Arc<Load>);

impl Spread {
    pub(super) fn new(load: &Arc<Load>) -> Self {
        load.spread.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        self.0.spread.fetch_sub(1, Ordering::Relaxed);
    }
}
