//! Who may do what: log-ins, access rules, watch links, and addresses that guess passwords.
//!
//! The RTSP server and the sidecar ask the same [`Access`]. A [`Visitor`] is what it remembers of one connection; each
//! request is a [`Wish`] that is admitted or refused with a [`Refusal`]. What is asked for is decided in this order:
//!
//! 1. Without `users` and `access` everything is allowed, but for changes from other machines: those need a user.
//! 2. What the rules allow everybody needs no log-in.
//! 3. A watch link ([`link`]) that is valid for the stream is as good as a rule that stands first.
//! 4. Then the user counts: from the credentials of the request, else from the ones that the connection showed before.
//!    The first rule that applies decides; where none does, a user may do everything and nobody else anything.
//!
//! Wrong passwords are answered late, counted by address, and block the address for a while.
//!
//! What somebody was let in by is their [`Warrant`]. Once it does not hold any more, because the user, the password or
//! the rules changed or the link expired, a session that plays ends as well. A browser that watches goes from the sidecar
//! to the server with its own, in a [`Handover`].

mod failures;
mod handover;
pub mod link;
mod nonces;
mod password;
mod policy;
#[cfg(test)]
mod tests;
mod visitor;
mod warrant;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

pub use handover::Handover;
pub use password::hash;
pub use policy::Policy;
pub use visitor::{Digest, Schemes, Visitor, Wish};
pub use warrant::Warrant;

use crate::metrics::Metrics;
use failures::Failures;
pub(crate) use failures::subscriber;
use nonces::Nonces;

/// The present policy and what is known of those who broke it.
#[derive(Debug)]
pub struct Access {
    /// Locked for a moment for each request, never for media.
    policy: watch::Sender<Arc<Policy>>,
    failures: Failures,
    nonces: Nonces,
    /// Slow hashes computed at a time.
    slow: Semaphore,
    metrics: Arc<Metrics>,
}

/// Why a wish is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody who logs in may: 401 with a `WWW-Authenticate` line for each of these, at least one.
    LogIn(Vec<String>),
    /// Nobody, or not this user: 403.
    Forbidden,
    /// Too many wrong passwords came from this address: 403, and nothing is checked for this long.
    Blocked(Duration),
}

impl Access {
    /// The given policy.
    pub fn new(policy: Policy, metrics: Arc<Metrics>) -> Self {
        Self {
            policy: watch::Sender::new(Arc::new(policy)),
            failures: Failures::default(),
            nonces: Nonces::default(),
            slow: Semaphore::new(SLOW),
            metrics,
        }
    }

    /// Everything is allowed.
    pub fn open(metrics: Arc<Metrics>) -> Self {
        Self::new(Policy::default(), metrics)
    }

    /// The present policy.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// Puts a policy in force, for every request from now on.
    pub fn replace(&self, policy: Policy) {
        self.policy.send_if_modified(|present| {
            let changed = **present != policy;
            if changed {
                *present = Arc::new(policy);
            }
            changed
        });
    }

    /// Notices that another policy came into force: what was allowed for long may not be any more.
    pub fn changes(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }
}

/// An argon2id hash takes about 20 MiB and tens of milliseconds.
const SLOW: usize = 2;
