//! What all listeners are told from: the state of all streams, made once for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};

use crate::hub::{Hub, Status, Stream};
use crate::vocabulary::Phase;
use crate::web::snapshot::StreamState;

/// The states of the streams, renewed once a second for as long as somebody listens, and at once when a source does
/// something else.
#[derive(Debug)]
pub(in crate::web) struct Feed {
    latest: watch::Sender<Arc<Snapshot>>,
    places: Arc<Semaphore>,
    limit: u32,
    /// Renews `latest`; ends when nobody listens. Locked when a listener comes, and when it may end.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// All streams at one moment. Of what did not change the next one holds the same text.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) streams: BTreeMap<String, Shown>,
}

/// A stream at one moment.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// A [`StreamState`] without its addresses, which depend on who asks.
    pub(super) body: Arc<str>,
    key: Key,
}

/// What is told at once when it changes.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    phase: Phase,
    since: Instant,
    attempt: u32,
    sessions: u64,
    next_try: Option<Instant>,
    /// Of the description.
    version: u64,
}

/// A place among the listeners.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) latest: watch::Receiver<Arc<Snapshot>>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    /// For so many listeners.
    pub(in crate::web) fn new(limit: u32) -> Self {
        Self {
            latest: watch::Sender::default(),
            places: Arc::new(Semaphore::new(limit as usize)),
            limit,
            task: Mutex::default(),
        }
    }

    /// How many may listen.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes a place, unless all are taken. What is seen first is the present state.
    pub(super) fn listen(self: &Arc<Self>, hub: &Arc<Hub>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.latest.subscribe();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            self.latest.send_replace(Arc::new(Snapshot::default().next(hub, Renew::All)));
            *task = Some(tokio::spawn(Arc::clone(self).renew(Arc::clone(hub))));
        }
        Some(Place { latest, _permit: permit })
    }

    async fn renew(self: Arc<Self>, hub: Arc<Hub>) {
        let mut changes = hub.changes();
        let mut ticks = time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let renew = tokio::select! {
                _ = ticks.tick() => Renew::All,
                Ok(()) = changes.changed() => Renew::Changed,
            };
            {
                let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
                if self.latest.receiver_count() == 0 {
                    *task = None;
                    return;
                }
            }
            let next = self.latest.borrow().next(&hub, renew);
            self.latest.send_replace(Arc::new(next));
            if renew == Renew::Changed {
                // A hundred cameras behind one switch come and go together.
                time::sleep(PAUSE).await;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renew {
    All,
    /// Those streams only whose source does something else.
    Changed,
}

impl Snapshot {
    fn next(&self, hub: &Hub, renew: Renew) -> Self {
        let now = Instant::now();
        let shown = |stream: &Stream| {
            let key = Key::of(&stream.status().borrow());
            let before = self.streams.get(stream.name());
            if let Some(before) = before.filter(|before| renew == Renew::Changed && before.key == key) {
                return before.clone();
            }
            let state = StreamState::new(stream, None, now);
            let body = serde_json::to_string(&state).expect("texts and numbers can be written as JSON");
            let same = before.filter(|before| *before.body == *body);
            Shown { body: same.map_or_else(|| body.into(), |before| Arc::clone(&before.body)), key }
        };
        let streams = hub.streams();
        Self { streams: streams.iter().map(|stream| (stream.name().to_owned(), shown(stream))).collect() }
    }
}

#[cfg(test)]
impl Shown {
    /// With this text.
    pub(super) fn of(body: Arc<str>) -> Self {
        let since = Instant::now();
        let key = Key { phase: Phase::Live, since, attempt: 0, sessions: 0, next_try: None, version: 0 };
        Self { body, key }
    }
}

impl Key {
    fn of(status: &Status) -> Self {
        Self {
            phase: status.phase,
            since: status.since,
            attempt: status.attempt,
            sessions: status.sessions,
            next_try: status.next_try,
            version: status.described.as_ref().map_or(0, |described| described.version),
        }
    }
}

/// From one state of what always changes (rates, ages) to the next.
const EVERY: Duration = Duration::from_secs(1);

/// After what was told at once.
const PAUSE: Duration = Duration::from_millis(50);
