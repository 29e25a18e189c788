//! What is remembered of one connection, and what each of its requests is answered with.

use std::net::IpAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Access, Policy, Refusal, link, password};
use crate::config::{Action, REALM};
use crate::rtsp::authorization::{Authorization, Proof};

/// The client of one connection.
///
/// A nonce belongs to the connection it was given on, and counts up, so what was heard on another one opens nothing.
/// That is also why it does not expire: live555 and GStreamer use the first one for as long as they play.
#[derive(Debug)]
pub struct Visitor {
    address: IpAddr,
    schemes: Schemes,
    user: Option<String>,
    nonce: Option<Nonce>,
    /// A watch link shown before: players leave the query out when they set up and play.
    token: Option<String>,
}

/// How a client may log in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// With Digest, which needs a connection that lasts.
    pub digest: bool,
    /// With Basic, even if `login.basic` is off: nobody can listen.
    pub basic: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What is to be done.
    pub action: Action,
    /// With which stream, if it is about one.
    pub stream: Option<&'a str>,
    /// The method of the request, which Digest covers.
    pub method: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `token` of the URI.
    pub token: Option<&'a str>,
}

#[derive(Debug)]
struct Nonce {
    text: String,
    /// The highest count seen.
    count: u32,
}

/// What came of credentials.
enum Checked {
    Right(String),
    /// Right, but for a nonce of another time: the client may try again at once.
    Stale,
    Wrong,
    /// Nothing that was offered.
    Useless,
}

impl Visitor {
    /// A client of which nothing is known yet.
    pub fn new(address: IpAddr, schemes: Schemes) -> Self {
        Self { address, schemes, user: None, nonce: None, token: None }
    }

    /// Who has logged in, if anybody.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Decides on a request. A wrong password makes it take as long as `login.delay`.
    ///
    /// # Errors
    /// It is refused.
    pub async fn admit(&mut self, access: &Access, wish: &Wish<'_>) -> Result<(), Refusal> {
        let policy = access.policy();
        let allows = |user| policy.allows(user, self.address, wish.stream, wish.action);
        if policy.is_open() || allows(None) || self.has_link(access, &policy, wish) {
            return Ok(());
        }
        let mut stale = false;
        if let Some(header) = wish.authorization {
            if let Some(left) = access.failures.blocked(self.address, &policy.login, Instant::now()) {
                return Err(Refusal::Blocked(left));
            }
            self.user = None;
            match self.check(access, &policy, header, wish.method).await {
                Checked::Right(user) => self.user = Some(user),
                Checked::Stale => stale = true,
                Checked::Wrong => {
                    access.note_failure(self.address, &policy);
                    tokio::time::sleep(policy.login.delay).await;
                }
                Checked::Useless => {}
            }
        }
        match self.user() {
            Some(user) if policy.allows(Some(user), self.address, wish.stream, wish.action) => Ok(()),
            Some(user) if policy.users.contains_key(user) => Err(Refusal::Forbidden),
            _ if policy.some_user_may(self.address, wish.stream, wish.action) => {
                let challenges = self.challenges(&policy, stale);
                Err(if challenges.is_empty() { Refusal::Forbidden } else { Refusal::LogIn(challenges) })
            }
            _ => Err(Refusal::Forbidden),
        }
    }

    fn has_link(&mut self, access: &Access, policy: &Policy, wish: &Wish<'_>) -> bool {
        let (Action::Watch, Some(secret), Some(stream)) =
            (wish.action, &policy.login.link_secret, wish.stream)
        else {
            return false;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs());
        let opens = |token: &str| link::verify(secret, stream, token, now);
        match wish.token.map(|token| (token, opens(token))) {
            Some((token, Ok(()))) => {
                self.token = Some(token.to_owned());
                true
            }
            Some((_, Err(error))) => {
                tracing::debug!(peer = %self.address, stream, %error, "a watch link was refused");
                access.metrics.auth_failures.inc();
                false
            }
            None => self.token.as_deref().is_some_and(|token| opens(token).is_ok()),
        }
    }

    async fn check(&mut self, access: &Access, policy: &Policy, header: &str, method: &str) -> Checked {
        match Authorization::parse(header) {
            Ok(Authorization::Digest(proof)) if self.schemes.digest && proof.realm == REALM => {
                self.check_proof(policy, proof, method)
            }
            Ok(Authorization::Basic { user, password }) if self.takes_basic(policy) => {
                if access.knows(policy, &user, &password).await {
                    Checked::Right(user)
                } else {
                    Checked::Wrong
                }
            }
            Ok(_) => Checked::Useless,
            Err(error) => {
                tracing::debug!(peer = %self.address, %error, "credentials were not understood");
                Checked::Useless
            }
        }
    }

    fn check_proof(&mut self, policy: &Policy, proof: Proof, method: &str) -> Checked {
        if !password::proves(policy, &proof, method) {
            return Checked::Wrong;
        }
        let fresh = self.nonce.as_mut().filter(|nonce| nonce.text == proof.nonce);
        match (fresh, &proof.count) {
            (Some(nonce), Some(count)) if count.number > nonce.count => {
                nonce.count = count.number;
                Checked::Right(proof.user)
            }
            (Some(_), None) => Checked::Right(proof.user),
            _ => Checked::Stale,
        }
    }

    fn takes_basic(&self, policy: &Policy) -> bool {
        self.schemes.basic || policy.login.basic
    }

    /// A `WWW-Authenticate` line for each way to log in, with a new nonce. Realm and nonce come first, where live555 looks for
    /// them; both algorithms share the nonce, because go2rtc takes the first line and answers with MD5 in any case.
    fn challenges(&mut self, policy: &Policy, stale: bool) -> Vec<String> {
        let mut challenges = Vec::new();
        if self.schemes.digest {
            let nonce = format!("{:032x}", rand::random::<u128>());
            let stale = if stale { ", stale=true" } else { "" };
            challenges.extend(policy.algorithms().map(|algorithm| {
                let algorithm = algorithm.name();
                format!(
                    "Digest realm=\"{REALM}\", nonce=\"{nonce}\"{stale}, algorithm={algorithm}, qop=\"auth\""
                )
            }));
            self.nonce = Some(Nonce { text: nonce, count: 0 });
        }
        if self.takes_basic(policy) {
            challenges.push(format!("Basic realm=\"{REALM}\""));
        }
        challenges
    }
}

impl Access {
    /// Counts a wrong password. The user is not named: people type passwords in its place.
    fn note_failure(&self, address: IpAddr, policy: &Policy) {
        self.metrics.auth_failures.inc();
        if self.failures.note(address, &policy.login, Instant::now()) {
            let failures = policy.login.failures;
            tracing::warn!(peer = %address, failures, block = ?policy.login.block, "an address is blocked: wrong passwords");
        }
    }
}
