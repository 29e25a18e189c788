//! How long a description whose length is missing or wrong is waited for.

use std::time::{Duration, Instant};

/// The wait for the rest of it.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When a part came last.
    came: Option<Instant>,
    /// It has ended for what came then.
    ended: bool,
}

impl Patience {
    /// A part came.
    pub(super) fn came(&mut self, now: Instant) {
        if self.came != Some(now) {
            *self = Self { came: Some(now), ended: false };
        }
    }

    /// When what came counts as all of it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.came.filter(|_| !self.ended).map(|came| came + BODY_PATIENCE)
    }

    /// Whether it ends now: once for what came.
    pub(super) fn ends(&mut self, now: Instant) -> bool {
        let ends = self.due().is_some_and(|due| due <= now);
        self.ended |= ends;
        ends
    }
}

/// A description is whole when nothing came for so long.
const BODY_PATIENCE: Duration = Duration::from_millis(1500);
