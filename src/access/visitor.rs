//! What is remembered of one connection, and what each of its requests is answered with.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use super::warrant::{Known, opens};
use super::{Access, Policy, Refusal, Warrant, password};
use crate::config::{Action, REALM};
use crate::rtsp::authorization::{Authorization, Proof};

/// The client of one connection.
///
/// Where a connection is the client's own (RTSP), a nonce belongs to the connection it was given on, and counts up, so what
/// was heard on another one opens nothing. That is also why it does not expire: live555 and GStreamer use the first one
/// for as long as they play. Over HTTP it belongs to the address, for a while (`nonces`).
#[derive(Debug)]
pub struct Visitor {
    schemes: Schemes,
    /// Who it is. A watch link shown before counts on: players leave the query out when they set up and play.
    warrant: Warrant,
    nonce: Option<Nonce>,
}

/// How a client may log in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// With Digest; how its nonces are kept.
    pub digest: Digest,
    /// With Basic, even if `login.basic` is off: nobody can listen.
    pub basic: bool,
}

/// What the nonces of Digest belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// The connection, which lasts: RTSP.
    Connection,
    /// The address: HTTP.
    Address,
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
    /// Path and query that Digest has to cover, too. `None` over RTSP, where live555 signs the aggregate's URI for each track.
    pub uri: Option<&'a str>,
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
        Self { schemes, warrant: Warrant { address, known: None, token: None }, nonce: None }
    }

    /// Who has logged in, if anybody.
    pub fn user(&self) -> Option<&str> {
        self.warrant.known.as_ref().map(|known| known.user.as_str())
    }

    /// What it is let in by.
    pub fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    /// Decides on a request. A wrong password makes it take as long as `login.delay`.
    ///
    /// # Errors
    /// It is refused.
    pub async fn admit(&mut self, access: &Access, wish: &Wish<'_>) -> Result<(), Refusal> {
        let policy = access.policy();
        let address = self.warrant.address;
        let allows = |user| policy.allows(user, address, wish.stream, wish.action);
        // Nobody who could reach the port may change something for that alone.
        let open =
            policy.is_open() && (wish.action != Action::Control || address.to_canonical().is_loopback());
        if open || (!policy.is_open() && allows(None)) || self.has_link(access, &policy, wish) {
            return Ok(());
        }
        let mut stale = false;
        if let Some(header) = wish.authorization {
            if let Some(left) = access.failures.blocked(address, &policy.login, Instant::now()) {
                return Err(Refusal::Blocked(left));
            }
            self.warrant.known = None;
            match self.check(access, &policy, header, wish).await {
                Checked::Right(user) => self.warrant.known = Known::new(&policy, user),
                Checked::Stale => stale = true,
                Checked::Wrong => {
                    access.note_failure(address, &policy);
                    tokio::time::sleep(policy.login.delay).await;
                }
                Checked::Useless => {}
            }
        }
        match self.warrant.known.as_ref().and_then(|known| known.name(&policy)) {
            user @ Some(_) if allows(user) => Ok(()),
            Some(_) => Err(Refusal::Forbidden),
            None if policy.some_user_may(address, wish.stream, wish.action) => {
                let challenges = self.challenges(access, &policy, stale);
                Err(if challenges.is_empty() { Refusal::Forbidden } else { Refusal::LogIn(challenges) })
            }
            None => Err(Refusal::Forbidden),
        }
    }

    fn has_link(&mut self, access: &Access, policy: &Policy, wish: &Wish<'_>) -> bool {
        let (Action::Watch, Some(_), Some(stream)) = (wish.action, &policy.login.link_secret, wish.stream)
        else {
            return false;
        };
        let opens = |token: &str| opens(policy, stream, token, SystemTime::now());
        match wish.token.map(|token| (token, opens(token))) {
            Some((token, Ok(()))) => {
                self.warrant.token = Some(token.to_owned());
                true
            }
            Some((_, Err(error))) => {
                tracing::debug!(peer = %self.warrant.address, stream, %error, "a watch link was refused");
                access.metrics.auth_failures.inc();
                false
            }
            None => self.warrant.token.as_deref().is_some_and(|token| opens(token).is_ok()),
        }
    }

    async fn check(&mut self, access: &Access, policy: &Policy, header: &str, wish: &Wish<'_>) -> Checked {
        match Authorization::parse(header) {
            Ok(Authorization::Digest(proof)) if proof.realm == REALM && wish.is_covered_by(&proof) => {
                self.check_proof(access, policy, proof, wish.method)
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
                tracing::debug!(peer = %self.warrant.address, %error, "credentials were not understood");
                Checked::Useless
            }
        }
    }

    fn check_proof(&mut self, access: &Access, policy: &Policy, proof: Proof, method: &str) -> Checked {
        if !password::proves(policy, &proof, method) {
            return Checked::Wrong;
        }
        if self.schemes.digest == Digest::Address {
            let count = proof.count.as_ref().map(|count| count.number);
            let fresh = access.nonces.take(&proof.nonce, self.warrant.address, count, Instant::now());
            return if fresh { Checked::Right(proof.user) } else { Checked::Stale };
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
    fn challenges(&mut self, access: &Access, policy: &Policy, stale: bool) -> Vec<String> {
        let nonce = match self.schemes.digest {
            Digest::Connection => format!("{:032x}", rand::random::<u128>()),
            Digest::Address => access.nonces.issue(self.warrant.address, Instant::now()),
        };
        let stale = if stale { ", stale=true" } else { "" };
        let digest = policy.algorithms().map(|algorithm| {
            let algorithm = algorithm.name();
            format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\"{stale}, algorithm={algorithm}, qop=\"auth\"")
        });
        let mut challenges: Vec<String> = digest.collect();
        self.nonce = Some(Nonce { text: nonce, count: 0 });
        if self.takes_basic(policy) {
            challenges.push(format!("Basic realm=\"{REALM}\""));
        }
        challenges
    }
}

impl Wish<'_> {
    fn is_covered_by(&self, proof: &Proof) -> bool {
        self.uri.is_none_or(|uri| {
            let signed = proof.uri.as_str();
            let path = signed.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
            signed == uri || path == Some(uri)
        })
    }
}

impl Access {
    /// Counts a wrong password. The user is not named: people type passwords in its place.
    fn note_failure(&self, address: IpAddr, policy: &Policy) {
        self.metrics.auth_failures.inc();
        tracing::debug!(peer = %address, "a wrong password, or no user of that name");
        if self.failures.note(address, &policy.login, Instant::now()) {
            let failures = policy.login.failures;
            tracing::warn!(peer = %address, failures, block = ?policy.login.block, "an address is blocked: wrong passwords");
        }
    }
}
