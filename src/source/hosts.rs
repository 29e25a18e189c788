//! What the sources of a process share: whose turn it is to connect, and who has a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

use super::budget::Budget;
use super::clients::Memory;
use super::policy::{Governor, Spacing};
use crate::config::Quirks;
use crate::metrics::Metrics;

/// What the sources of a process share.
#[derive(Clone, Debug)]
pub struct Sources {
    metrics: Arc<Metrics>,
    /// Locked once an attempt.
    turns: Arc<Mutex<Turns>>,
    clients: Memory,
    quirks: Arc<Quirks>,
}

#[derive(Debug)]
struct Turns {
    governor: Governor,
    /// Places for attempts under way, by host; gone with the last attempt.
    places: HashMap<String, Weak<Semaphore>>,
    /// Connections by host; gone with the last one.
    budgets: HashMap<String, Weak<Budget>>,
}

/// The place of an attempt among those under way at a host, by being held.
#[derive(Debug)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Sources {
    /// No source yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let governor = Governor::new(Spacing::default(), time::Instant::now().into_std());
        let turns = Arc::new(Mutex::new(Turns { governor, places: HashMap::new(), budgets: HashMap::new() }));
        Self { metrics, turns, clients: Memory::default(), quirks: Quirks::built_in() }
    }

    /// With other profiles of cameras than those that are compiled in.
    #[must_use]
    pub fn with_quirks(self, quirks: Arc<Quirks>) -> Self {
        Self { quirks, ..self }
    }

    /// The metrics of the process.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Which cameras the direct client speaks with, and why.
    pub(super) fn clients(&self) -> &Memory {
        &self.clients
    }

    /// The connections with a host.
    pub(super) fn budget(&self, host: &str) -> Arc<Budget> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.budget(&host.to_ascii_lowercase())
    }

    /// What families of cameras want otherwise.
    pub(super) fn quirks(&self) -> &Arc<Quirks> {
        &self.quirks
    }

    /// Waits for the turn of an attempt at this host among all the others, and for a place: at most
    /// [`UNDER_WAY`] attempts are under way at one host.
    pub(super) fn turn(&self, host: &str) -> impl Future<Output = Place> + 'static {
        let host = host.to_ascii_lowercase();
        let turns = Arc::clone(&self.turns);
        async move {
            let (wait, places) = {
                let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                let wait = turns.governor.admit(&host, time::Instant::now().into_std(), rand::random());
                (wait, turns.places(&host))
            };
            time::sleep(wait).await;
            // Never closed.
            Place { _permit: places.acquire_owned().await.ok() }
        }
    }
}

impl Turns {
    fn budget(&mut self, host: &str) -> Arc<Budget> {
        if let Some(budget) = self.budgets.get(host).and_then(Weak::upgrade) {
            return budget;
        }
        self.budgets.retain(|_, budget| budget.strong_count() > 0);
        let budget = Arc::new(Budget::default());
        self.budgets.insert(host.to_owned(), Arc::downgrade(&budget));
        budget
    }

    fn places(&mut self, host: &str) -> Arc<Semaphore> {
        if let Some(places) = self.places.get(host).and_then(Weak::upgrade) {
            return places;
        }
        self.places.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(UNDER_WAY));
        self.places.insert(host.to_owned(), Arc::downgrade(&places));
        places
    }
}

/// Attempts under way at one host, from the first SYN to the answer to PLAY. A recorder with 64 channels gets through
/// them in seconds; one that answers none of them holds no more than this many connections.
const UNDER_WAY: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_has_so_many_attempts_under_way_and_no_more() {
        let sources = Sources::new(Arc::new(Metrics::new()));
        let began = time::Instant::now();
        let first = sources.turn("nvr").await;
        assert!(began.elapsed() <= Duration::from_millis(5), "alone, an attempt does not wait");
        let mut under_way = vec![first];
        for _ in 1..UNDER_WAY {
            under_way.push(sources.turn("NVR").await);
        }
        let limit = Duration::from_secs(3600);
        assert!(time::timeout(limit, sources.turn("nvr")).await.is_err());
        sources.turn("door").await;
        under_way.pop();
        assert!(time::timeout(limit, sources.turn("nvr")).await.is_ok());
        drop(under_way);
        sources.turn("other").await;
        assert!(sources.turns.lock().unwrap().places.len() <= 2, "what nobody uses is forgotten");
    }
}
