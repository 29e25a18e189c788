//! Which connections are let in: so many in all, so many from one address, and rather those that ask for something.
//!
//! Whoever holds connections open without a word cannot keep others out: where there is no room, the one that has been
//! silent for longest makes some.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The connections now open.
#[derive(Debug, Default)]
pub(super) struct Admission(Mutex<Present>);

#[derive(Debug, Default)]
struct Present {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that have not asked for anything yet, in the order they came.
    silent: BTreeMap<u64, CancellationToken>,
    next: u64,
}

/// Why a connection is not let in; the name of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("{0} are open and in use (rtsp.max_connections)")]
    Total(usize),
    #[error("{0} are open from one address (rtsp.max_connections_per_address)")]
    Address(usize),
}

/// A connection's place, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    peer: IpAddr,
    number: u64,
    /// Another needs the place more.
    pub(super) evicted: CancellationToken,
}

/// A connection that is counted in the metrics for as long as this lives.
pub(super) struct Open(IntGauge);

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

impl Admission {
    /// A place for a connection, within these limits.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: IpAddr,
        total: usize,
        from_one: usize,
    ) -> Result<Place, Full> {
        let mut open = self.lock();
        if open.by_address.get(&peer).is_some_and(|count| *count >= from_one) {
            return Err(Full::Address(from_one));
        }
        if open.total >= total {
            // Its task gives its place up in a moment; until then there is one connection more than the limit.
            let (_, longest) = open.silent.pop_first().ok_or(Full::Total(total))?;
            longest.cancel();
        }
        open.total += 1;
        *open.by_address.entry(peer).or_default() += 1;
        let (number, evicted) = (open.next, CancellationToken::new());
        open.next += 1;
        open.silent.insert(number, evicted.clone());
        Ok(Place { admission: Arc::clone(self), peer, number, evicted })
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection has asked for something: it stays.
    pub(super) fn keep(&self) {
        self.admission.lock().silent.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        open.total -= 1;
        open.silent.remove(&self.number);
        if let Some(count) = open.by_address.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn the_longest_silent_one_makes_room_and_those_in_use_do_not() {
        let admission = Arc::new(Admission::default());
        let places: Vec<Place> = (0..3).map(|n| admission.enter(ip(n), 3, 9).unwrap()).collect();
        places[0].keep();
        let newcomer = admission.enter(ip(4), 3, 9).unwrap();
        let evicted: Vec<bool> = places.iter().map(|place| place.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [false, true, false]);
        places[2].keep();
        newcomer.keep();
        assert_eq!(admission.enter(ip(5), 3, 9).unwrap_err(), Full::Total(3));
        drop(places);
        admission.enter(ip(5), 3, 9).unwrap();
    }

    #[test]
    fn one_address_has_its_own_limit_and_leaves_nothing_behind() {
        let admission = Arc::new(Admission::default());
        let places: Vec<Place> = (0..2).map(|_| admission.enter(ip(1), 9, 2).unwrap()).collect();
        assert_eq!(admission.enter(ip(1), 9, 2).unwrap_err(), Full::Address(2));
        admission.enter(ip(2), 9, 2).unwrap();
        drop(places);
        let open = admission.lock();
        assert!(open.total == 0 && open.by_address.is_empty() && open.silent.is_empty(), "{open:?}");
    }
}
