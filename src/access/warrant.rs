//! By what right somebody watches, to be asked again whenever the rules change or time passes.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Policy, link};
use crate::config::{Action, Password};

/// What a viewer was let in by. It may watch for as long as one of these is good.
#[derive(Clone, Debug)]
pub struct Warrant {
    pub(super) address: IpAddr,
    pub(super) known: Option<Known>,
    pub(super) token: Option<String>,
}

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) user: String,
    /// What the log-in was checked with: with another password it is another log-in.
    password: Password,
}

impl Warrant {
    /// Whether its holder may still watch a stream.
    pub fn holds(&self, policy: &Policy, stream: &str, now: SystemTime) -> bool {
        let user = self.known.as_ref().and_then(|known| known.name(policy));
        policy.allows(None, self.address, Some(stream), Action::Watch)
            || self.token.as_deref().is_some_and(|token| opens(policy, stream, token, now).is_ok())
            || (user.is_some() && policy.allows(user, self.address, Some(stream), Action::Watch))
    }

    /// Whether it may end without a change of the rules: it is, or holds, a watch link.
    pub fn may_expire(&self) -> bool {
        self.token.is_some()
    }
}

impl Known {
    /// The user of this name, who has just shown that they are it.
    pub(super) fn new(policy: &Policy, user: String) -> Option<Self> {
        let password = policy.users.get(&user)?.clone();
        Some(Self { user, password })
    }

    /// The user's name, for as long as there is that user with that password.
    pub(super) fn name(&self, policy: &Policy) -> Option<&str> {
        (policy.users.get(&self.user) == Some(&self.password)).then_some(self.user.as_str())
    }
}

/// Whether a token opens a stream at this time.
pub(super) fn opens(
    policy: &Policy,
    stream: &str,
    token: &str,
    now: SystemTime,
) -> Result<(), link::LinkError> {
    let secret = policy.login.link_secret.as_ref().ok_or(link::LinkError::Forged)?;
    let now = now.duration_since(UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs());
    link::verify(secret, stream, token, now)
}
