//! The rules in force.

use std::net::IpAddr;

use crate::config::{Action, Config, Login, Rule, Users};
use crate::rtsp::digest::Algorithm;

/// Users, rules and how log-ins are treated. [`Policy::default`] allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub(super) users: Users,
    rules: Vec<Rule>,
    pub(super) login: Login,
}

impl Policy {
    /// The given users and rules; the first rule that applies decides.
    pub fn new(users: Users, rules: Vec<Rule>, login: Login) -> Self {
        Self { users, rules, login }
    }

    /// The policy of a configuration.
    pub fn of(config: &Config) -> Self {
        Self::new(config.users.clone(), config.access.clone(), config.login.clone())
    }

    /// Whether everybody may do everything: there are neither users nor rules.
    pub fn is_open(&self) -> bool {
        self.users.is_empty() && self.rules.is_empty()
    }

    /// Whether a user (`None` = nobody who logged in) at this address may do this. `stream` is `None` for what is about
    /// no single stream. A user that there is not, or not any more, is nobody.
    pub fn allows(&self, user: Option<&str>, address: IpAddr, stream: Option<&str>, action: Action) -> bool {
        if action == Action::Talk && !self.allows(user, address, stream, Action::Watch) {
            return false;
        }
        let user = user.filter(|user| self.users.contains_key(*user));
        match self.rules.iter().find(|rule| rule.applies(user, address, stream, action)) {
            Some(rule) => rule.allow,
            None => user.is_some() || self.is_open(),
        }
    }

    /// Whether there is a user who might do this.
    pub(super) fn some_user_may(&self, address: IpAddr, stream: Option<&str>, action: Action) -> bool {
        self.users.keys().any(|user| self.allows(Some(user), address, stream, action))
    }

    /// The Digest algorithms to offer, the better one first. Several players take the last one they see, whatever it is,
    /// and know MD5 only. One that a user's stored hashes do not cover is left out, because a client that picks it could
    /// not log in.
    pub(super) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let known = |algorithm: &Algorithm| {
            let mut users = self.users.values().filter(|password| password.knows_digest()).peekable();
            users.peek().is_some() && users.all(|password| password.knows(*algorithm))
        };
        let both = [Algorithm::Sha256, Algorithm::Md5];
        let none_for_all = !both.iter().any(known);
        both.into_iter().filter(move |algorithm| {
            known(algorithm)
                || (none_for_all && self.users.values().any(|password| password.knows(*algorithm)))
        })
    }
}
