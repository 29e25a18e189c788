//! Who is let in: so many connections and sessions in all, so many from one address, rather those that ask for
//! something, and nobody faster than the others can bear.
//!
//! Whoever holds connections open without a word cannot keep others out: where there is no room, the one that has been
//! silent for longest makes some, and where there is none for an address, the longest silent one from there. Whoever
//! asks without an end waits for the answers: a connection has [`FREE`] requests for the asking, as many as any player
//! needs, and beyond them shares a rate with all others that want more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::access::subscriber;
use crate::config::Capacity;
use crate::metrics::Metrics;

/// Who is there now.
#[derive(Debug)]
pub(super) struct Admission {
    capacity: Capacity,
    metrics: Arc<Metrics>,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    connections: u32,
    sessions: u32,
    requests: Pace,
    by_address: HashMap<IpAddr, Address>,
    /// Connections that have not asked for anything yet, in the order they came.
    silent: BTreeMap<u64, (IpAddr, CancellationToken)>,
    next: u64,
    /// When a line of the log was about each limit.
    said: HashMap<&'static str, Instant>,
}

/// Who is there from one address.
#[derive(Debug, Default)]
struct Address {
    connections: u32,
    sessions: u32,
    requests: Pace,
    silent: BTreeSet<u64>,
}

/// A limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rtsp.{limit} is {most}")]
pub(super) struct Full {
    /// Its key in the configuration.
    limit: &'static str,
    most: u32,
}

/// A connection's place, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    peer: IpAddr,
    number: u64,
    requests: Pace,
    /// Another needs the place more.
    pub(super) evicted: CancellationToken,
}

/// A session's place, given up when dropped.
#[derive(Debug)]
pub(super) struct SessionPlace {
    admission: Arc<Admission>,
    peer: IpAddr,
}

/// A connection that is counted in the metrics for as long as this lives.
pub(super) struct Open(IntGauge);

impl Admission {
    /// Nobody is there yet.
    pub(super) fn new(capacity: Capacity, metrics: Arc<Metrics>) -> Self {
        metrics.know_limits(&LIMITS);
        Self { capacity, metrics, here: Mutex::default() }
    }

    /// A place for a connection.
    ///
    /// # Errors
    /// There is none; it is counted and, every few seconds, logged.
    pub(super) fn connection(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Full> {
        let peer = subscriber(peer);
        let Capacity { connections, connections_per_address, .. } = self.capacity;
        let mut here = self.lock();
        let there = here.by_address.get(&peer);
        if there.is_some_and(|there| there.connections >= connections_per_address) {
            let longest = there.and_then(|there| there.silent.first().copied());
            if !here.evict(longest) {
                return Err(self.refused(&mut here, "max_connections_per_address", connections_per_address));
            }
        } else if here.connections >= connections {
            let longest = here.silent.first_key_value().map(|(number, _)| *number);
            if !here.evict(longest) {
                return Err(self.refused(&mut here, "max_connections", connections));
            }
        }
        let (number, evicted) = (here.next, CancellationToken::new());
        here.connections += 1;
        here.next += 1;
        here.silent.insert(number, (peer, evicted.clone()));
        let there = here.by_address.entry(peer).or_default();
        there.connections += 1;
        there.silent.insert(number);
        Ok(Place { admission: Arc::clone(self), peer, number, requests: Pace::default(), evicted })
    }

    /// A place for a session.
    ///
    /// # Errors
    /// There is none; it is counted and, every few seconds, logged.
    pub(super) fn session(self: &Arc<Self>, peer: IpAddr) -> Result<SessionPlace, Full> {
        let peer = subscriber(peer);
        let Capacity { sessions, sessions_per_address, .. } = self.capacity;
        let mut here = self.lock();
        if here.sessions >= sessions {
            return Err(self.refused(&mut here, "max_sessions", sessions));
        }
        if here.by_address.get(&peer).map_or(0, |address| address.sessions) >= sessions_per_address {
            return Err(self.refused(&mut here, "max_sessions_per_address", sessions_per_address));
        }
        here.sessions += 1;
        here.by_address.entry(peer).or_default().sessions += 1;
        Ok(SessionPlace { admission: Arc::clone(self), peer })
    }

    /// The process has no descriptor left for a connection.
    pub(super) fn out_of_descriptors(&self, error: &std::io::Error) {
        self.reached(
            &mut self.lock(),
            "descriptors",
            format_args!("connections are closed at once: {error}"),
        );
    }

    fn refused(&self, here: &mut Here, limit: &'static str, most: u32) -> Full {
        let full = Full { limit, most };
        self.reached(here, limit, format_args!("somebody is refused: {full}"));
        full
    }

    fn reached(&self, here: &mut Here, limit: &'static str, what: std::fmt::Arguments<'_>) {
        self.metrics.limit_reached(limit);
        let now = Instant::now();
        let said = here.said.get(limit).is_some_and(|last| now.saturating_duration_since(*last) < SAY_EVERY);
        if !said {
            here.said.insert(limit, now);
            tracing::warn!("{what}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Here {
    /// Has a silent connection make room. Its task gives the place up in a moment; until then there is one more than the
    /// limit.
    fn evict(&mut self, number: Option<u64>) -> bool {
        let evicted = number.and_then(|number| self.speaks(number));
        evicted.is_some_and(|evicted| {
            evicted.cancel();
            true
        })
    }

    /// A connection is not among the silent ones any more.
    fn speaks(&mut self, number: u64) -> Option<CancellationToken> {
        let (peer, evicted) = self.silent.remove(&number)?;
        if let Some(there) = self.by_address.get_mut(&peer) {
            there.silent.remove(&number);
        }
        Some(evicted)
    }

    /// Somebody from there leaves.
    fn leave(&mut self, peer: IpAddr, leaves: impl FnOnce(&mut Address)) {
        if let Some(address) = self.by_address.get_mut(&peer) {
            leaves(address);
            if address.connections + address.sessions == 0 {
                self.by_address.remove(&peer);
            }
        }
    }
}

impl Place {
    /// The connection has asked for something: it stays.
    pub(super) fn keep(&self) {
        self.admission.lock().speaks(self.number);
    }

    /// How long the connection's next request has to wait. Zero for who asks no more than players do.
    pub(super) fn pace(&mut self, now: Instant) -> Duration {
        if self.requests.is_within(now, REFILL, FREE) {
            return Duration::ZERO;
        }
        let Capacity { requests, requests_per_address, .. } = self.admission.capacity;
        let mut here = self.admission.lock();
        let in_all = here.requests.wait(now, requests);
        let from_there = here
            .by_address
            .get_mut(&self.peer)
            .map(|address| address.requests.wait(now, requests_per_address));
        let from_there = from_there.unwrap_or_default();
        let limit = if in_all > from_there { "max_requests" } else { "max_requests_per_address" };
        let wait = in_all.max(from_there);
        if wait > Duration::ZERO {
            let peer = self.peer;
            self.admission.reached(&mut here, limit, format_args!("{peer} waits for answers: rtsp.{limit}"));
        }
        wait
    }
}

impl Open {
    pub(super) fn count(metrics: &Metrics, over_tls: bool) -> Self {
        let gauge = if over_tls { &metrics.connections_tls } else { &metrics.connections_tcp };
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.admission.lock();
        here.connections -= 1;
        here.speaks(self.number);
        here.leave(self.peer, |address| address.connections -= 1);
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut here = self.admission.lock();
        here.sessions -= 1;
        here.leave(self.peer, |address| address.sessions -= 1);
    }
}

/// The limits, as metrics call them.
const LIMITS: [&str; 7] = [
    "max_connections",
    "max_connections_per_address",
    "max_sessions",
    "max_sessions_per_address",
    "max_requests",
    "max_requests_per_address",
    "descriptors",
];

/// Requests of a connection that are not counted: players need about six to play, those that seek some more.
const FREE: u32 = 64;

/// How many of them a connection gets back in a second.
const REFILL: u32 = 10;

/// Between two lines of the log about the same limit.
const SAY_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn admission(connections: u32, from_one: u32) -> Arc<Admission> {
        let capacity = Capacity {
            connections,
            connections_per_address: from_one,
            sessions: 3,
            sessions_per_address: 2,
            ..Capacity::default()
        };
        Arc::new(Admission::new(capacity, Arc::default()))
    }

    #[test]
    fn the_longest_silent_one_makes_room_and_those_in_use_do_not() {
        let admission = admission(3, 9);
        let places: Vec<Place> = (0..3).map(|n| admission.connection(ip(n)).unwrap()).collect();
        places[0].keep();
        let newcomer = admission.connection(ip(4)).unwrap();
        let evicted: Vec<bool> = places.iter().map(|place| place.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [false, true, false]);
        places[2].keep();
        newcomer.keep();
        let full = admission.connection(ip(5)).unwrap_err();
        assert_eq!(full.to_string(), "rtsp.max_connections is 3");
        drop(places);
        admission.connection(ip(5)).unwrap();
    }

    #[test]
    fn one_address_has_its_own_limits_and_leaves_nothing_behind() {
        let admission = admission(9, 2);
        let places: Vec<Place> = (0..2).map(|_| admission.connection(ip(1)).unwrap()).collect();
        places.iter().for_each(Place::keep);
        assert_eq!(admission.connection(ip(1)).unwrap_err().limit, "max_connections_per_address");
        admission.connection(ip(2)).unwrap();
        let sessions: Vec<SessionPlace> = (0..2).map(|_| admission.session(ip(1)).unwrap()).collect();
        assert_eq!(admission.session(ip(1)).unwrap_err().limit, "max_sessions_per_address");
        let other = admission.session(ip(2)).unwrap();
        assert_eq!(admission.session(ip(3)).unwrap_err().limit, "max_sessions");
        drop((places, sessions, other));
        let here = admission.lock();
        assert!(here.connections == 0 && here.sessions == 0, "{here:?}");
        assert!(here.by_address.is_empty() && here.silent.is_empty(), "{here:?}");
    }

    #[test]
    fn an_address_that_is_full_of_silent_ones_lets_one_in_that_may_ask() {
        let admission = admission(9, 2);
        let elsewhere = admission.connection(ip(2)).unwrap();
        let places: Vec<Place> = (0..2).map(|_| admission.connection(ip(1)).unwrap()).collect();
        admission.connection(ip(1)).unwrap();
        assert!(places[0].evicted.is_cancelled() && !elsewhere.evicted.is_cancelled());
    }

    #[test]
    fn who_asks_without_an_end_waits_and_a_newcomer_beside_it_does_not() {
        let admission = admission(9, 9);
        let mut flood = admission.connection(ip(1)).unwrap();
        let mut now = Instant::now();
        let begun = now;
        for _ in 0..5000 {
            now += flood.pace(now);
        }
        let rate = 5000.0 / (now - begun).as_secs_f64();
        assert!((1000.0..1400.0).contains(&rate), "{rate} requests a second");
        let mut newcomer = admission.connection(ip(1)).unwrap();
        assert!((0..FREE).all(|_| newcomer.pace(now).is_zero()));
    }

    #[test]
    fn all_together_ask_no_more_than_max_requests() {
        let admission = admission(999, 999);
        let mut floods: Vec<Place> = (0..20).map(|n| admission.connection(ip(n)).unwrap()).collect();
        let begun = Instant::now();
        let mut due = vec![begun; floods.len()];
        for _ in 0..1000 {
            for (flood, due) in floods.iter_mut().zip(&mut due) {
                *due += flood.pace(*due);
            }
        }
        let rate = 20_000.0 / (*due.iter().max().unwrap() - begun).as_secs_f64();
        assert!((1800.0..2600.0).contains(&rate), "{rate} requests a second");
    }
}
