//! Addresses from which wrong passwords came.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Login;

/// Counts failures by address; bounded.
#[derive(Debug, Default)]
pub(super) struct Failures {
    entries: Mutex<HashMap<IpAddr, Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    newest: Instant,
}

impl Failures {
    /// How much longer an address is blocked, if it is.
    pub(super) fn blocked(&self, address: IpAddr, login: &Login, now: Instant) -> Option<Duration> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(&subscriber(address)).filter(|entry| entry.count >= login.failures)?;
        let left = login.block.checked_sub(now.saturating_duration_since(entry.newest))?;
        (!left.is_zero()).then_some(left)
    }

    /// Counts a failure. Whether that was the one that blocks the address.
    pub(super) fn note(&self, address: IpAddr, login: &Login, now: Instant) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let address = subscriber(address);
        if entries.len() >= MAX_ADDRESSES && !entries.contains_key(&address) {
            entries.retain(|_, entry| now.saturating_duration_since(entry.newest) < login.block);
            // Still full: the one that has been quiet for longest is forgotten.
            if entries.len() >= MAX_ADDRESSES
                && let Some(quiet) =
                    entries.iter().min_by_key(|(_, entry)| entry.newest).map(|(address, _)| *address)
            {
                entries.remove(&quiet);
            }
        }
        let entry = entries.entry(address).or_insert(Entry { count: 0, newest: now });
        if now.saturating_duration_since(entry.newest) >= login.block {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.newest = now;
        entry.count == login.failures
    }
}

/// What counts as one address: of IPv6 the network of a subscriber, who has 2^64 addresses.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Addresses remembered, about 50 bytes each.
const MAX_ADDRESSES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_secs(60);

    fn login() -> Login {
        Login { failures: 3, block: BLOCK, ..Login::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_blocked_for_a_while_after_too_many_failures() {
        let (failures, login, start) = (Failures::default(), login(), Instant::now());
        let notes: Vec<bool> = (0..4).map(|_| failures.note(ip("10.0.0.1"), &login, start)).collect();
        assert_eq!(notes, [false, false, true, false], "the third blocks, once");
        assert_eq!(failures.blocked(ip("::ffff:10.0.0.1"), &login, start), Some(BLOCK), "the same address");
        assert_eq!(failures.blocked(ip("10.0.0.2"), &login, start), None);
        assert_eq!(failures.blocked(ip("10.0.0.1"), &login, start + BLOCK), None);
        assert!(!failures.note(ip("10.0.0.1"), &login, start + BLOCK), "and what was is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (failures, login, now) = (Failures::default(), login(), Instant::now());
        for last in 1..=3 {
            failures.note(ip(&format!("2001:db8::{last}")), &login, now);
        }
        assert!(failures.blocked(ip("2001:db8::ffff"), &login, now).is_some());
        assert!(failures.blocked(ip("2001:db8:0:1::1"), &login, now).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_quiet_ones_first() {
        let (failures, login, start) = (Failures::default(), login(), Instant::now());
        let address = |n: u32| IpAddr::from((0x0A00_0000 + n).to_be_bytes());
        let most = MAX_ADDRESSES as u32;
        for n in 0..most + 10 {
            for _ in 0..3 {
                failures.note(address(n), &login, start + Duration::from_micros(n.into()));
            }
        }
        let now = start + Duration::from_secs(1);
        assert!(failures.entries.lock().unwrap().len() <= MAX_ADDRESSES);
        assert!(failures.blocked(address(0), &login, now).is_none());
        assert!(failures.blocked(address(most + 9), &login, now).is_some());
    }
}
