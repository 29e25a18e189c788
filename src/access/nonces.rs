//! Nonces for clients that come on many connections, as browsers do: HTTP.
//!
//! A nonce says when and for which address it was made, and is signed with a key of this process, so that nothing has to be
//! kept of those that strangers are given. Only what a right password was shown with is remembered, to take each count
//! once ([RFC 7616 section 3.4](https://datatracker.ietf.org/doc/html/rfc7616#section-3.4)); browsers send several
//! requests at a time, so counts may overtake each other a little.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The nonces of a process.
pub(super) struct Nonces {
    key: [u8; 32],
    begun: Instant,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    by_nonce: HashMap<String, Counts>,
    /// What was made before is not taken any more: it may have been forgotten.
    floor: u64,
}

/// The counts that a nonce was used with: the highest, and which of the 64 below it.
#[derive(Clone, Copy, Default)]
struct Counts {
    highest: u32,
    seen: u64,
}

impl Default for Nonces {
    fn default() -> Self {
        Self { key: rand::random(), begun: Instant::now(), used: Mutex::default() }
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

impl Nonces {
    /// A new one for a client there.
    pub(super) fn issue(&self, address: IpAddr, now: Instant) -> String {
        self.signed(self.age(now), rand::random(), address)
    }

    /// Whether a nonce is one of ours, for that address, not too old, and was not used with this count yet. To be asked
    /// only by those who have proved their password. A client that does not count (RFC 2069) may use it once.
    pub(super) fn take(&self, nonce: &str, address: IpAddr, count: Option<u32>, now: Instant) -> bool {
        let field = |range| nonce.get(range).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let (Some(made), Some(random)) = (field(0..16), field(16..32)) else { return false };
        if self.signed(made, random, address) != nonce || self.age(now).saturating_sub(made) > LIFETIME {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.by_nonce.contains_key(nonce) {
            if used.by_nonce.len() >= MAX_USED {
                used.make_room(self.age(now));
            }
            if made < used.floor {
                return false;
            }
        }
        used.by_nonce.entry(nonce.to_owned()).or_default().take(count.unwrap_or(1))
    }

    /// Milliseconds since the process began.
    fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn signed(&self, made: u64, random: u64, address: IpAddr) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length (RFC 2104)");
        mac.update(format!("fanlight nonce {made} {random} {}", address.to_canonical()).as_bytes());
        let signature = mac.finalize().into_bytes();
        let signature = signature.iter().take(16).fold(0u128, |digits, byte| digits << 8 | u128::from(*byte));
        format!("{made:016x}{random:016x}{signature:032x}")
    }
}

impl Used {
    /// Forgets those that have expired, or else the older half.
    fn make_room(&mut self, now: u64) {
        self.forget_before(now.saturating_sub(LIFETIME));
        if self.by_nonce.len() >= MAX_USED {
            let mut made: Vec<u64> = self.by_nonce.keys().filter_map(|nonce| made(nonce)).collect();
            made.sort_unstable();
            self.forget_before(made.get(made.len() / 2).map_or(now, |middle| middle + 1));
        }
    }

    fn forget_before(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        self.by_nonce.retain(|nonce, _| made(nonce).is_some_and(|made| made >= floor));
    }
}

impl Counts {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            self.seen = self.seen.checked_shl(count - self.highest).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1u64.checked_shl(self.highest - count).unwrap_or(0);
        let fresh = bit != 0 && count > 0 && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// When a nonce of ours was made.
fn made(nonce: &str) -> Option<u64> {
    u64::from_str_radix(nonce.get(..16)?, 16).ok()
}

/// How long a nonce is good, in milliseconds.
const LIFETIME: u64 = Duration::from_secs(300).as_millis() as u64;

/// Nonces remembered, about 100 bytes each.
const MAX_USED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn each_count_is_good_once_and_may_overtake_others() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let nonce = nonces.issue(HERE, now);
        let taken = |count| nonces.take(&nonce, HERE, Some(count), now);
        let expected =
            [(1, true), (3, true), (2, true), (2, false), (3, false), (100, true), (30, false), (36, false)];
        for (count, fresh) in
            expected.into_iter().chain([(37, true), (37, false), (0, false), (u32::MAX, true)])
        {
            assert_eq!(taken(count), fresh, "{count}");
        }
        let once = nonces.issue(HERE, now);
        assert!(nonces.take(&once, HERE, None, now) && !nonces.take(&once, HERE, None, now));
    }

    #[test]
    fn what_is_not_ours_or_not_theirs_or_too_old_is_not_taken() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let nonce = nonces.issue(HERE, now);
        let elsewhere = "10.0.0.1".parse().unwrap();
        assert!(!nonces.take(&nonce, elsewhere, Some(1), now));
        assert!(!Nonces::default().take(&nonce, HERE, Some(1), now));
        let later = now + Duration::from_millis(LIFETIME + 1001);
        assert!(!nonces.take(&nonce, HERE, Some(1), later));
        for forged in ["", "ä", &nonce[1..], &nonce.replace('0', "1"), &"f".repeat(64), &nonce.to_uppercase()]
        {
            assert!(forged == nonce || !nonces.take(forged, HERE, Some(1), now), "{forged}");
        }
        assert!(nonces.take(&nonce, HERE, Some(1), now));
    }

    #[test]
    fn the_table_is_bounded_and_what_was_forgotten_is_not_taken_again() {
        let (nonces, start) = (Nonces::default(), Instant::now());
        let mut first = None;
        for n in 0..2 * MAX_USED as u64 {
            let now = start + Duration::from_millis(n);
            let nonce = nonces.issue(HERE, now);
            assert!(nonces.take(&nonce, HERE, Some(1), now), "{n}");
            first.get_or_insert(nonce);
            assert!(nonces.used.lock().unwrap().by_nonce.len() <= MAX_USED);
        }
        let now = start + Duration::from_millis(2 * MAX_USED as u64);
        assert!(!nonces.take(&first.unwrap(), HERE, Some(1), now), "replayed");
    }
}
