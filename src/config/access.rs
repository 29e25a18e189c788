//! Who may do what: the rules of `access`, and how log-ins are treated.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{Key, Value};
use super::redact::quote;
use super::{Config, StreamName};
use crate::vocabulary::Secret;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See a stream, over RTSP.
    Watch,
    /// Change something through the API: streams, sessions of cameras, viewers.
    Control,
    /// Read the status page, the API and the metrics.
    Metrics,
    /// Be heard where the camera is: its back channel. Only who may watch the stream may talk.
    Talk,
}

impl Action {
    const WORDS: [(&str, Self); 4] = [
        ("watch", Self::Watch),
        ("control", Self::Control),
        ("metrics", Self::Metrics),
        ("talk", Self::Talk),
    ];
}

/// One rule. It applies where all of streams, network, user and action do; the first that applies decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Streams by name; empty = all, and what is about no single stream.
    pub streams: Vec<Pattern>,
    /// Where the asking address has to be; empty = anywhere.
    pub from: Vec<IpNet>,
    /// Who asks.
    pub users: Who,
    /// What is asked.
    pub actions: Vec<Action>,
    /// Whether it may be done.
    pub allow: bool,
}

/// Streams of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The stream of this name.
    Name(StreamName),
    /// All whose names begin with this and a slash.
    Below(StreamName),
}

/// Users of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, logged in or not.
    Anybody,
    /// Everybody who has logged in.
    AnyUser,
    /// One of these.
    Users(BTreeSet<String>),
}

/// How log-ins are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Basic, which sends the password readable, is offered without TLS.
    pub basic: bool,
    /// How late a wrong password is answered.
    pub delay: Duration,
    /// Wrong passwords from one address before it is blocked.
    pub failures: u32,
    /// How long an address is blocked, and after how long its failures are forgotten.
    pub block: Duration,
    /// What watch links are signed with; `None` = there are none.
    pub link_secret: Option<Secret>,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            basic: false,
            delay: Duration::from_secs(1),
            failures: 10,
            block: Duration::from_secs(300),
            link_secret: None,
        }
    }
}

impl Pattern {
    /// Whether the stream of this name is meant.
    pub fn matches(&self, stream: &str) -> bool {
        match self {
            Self::Name(name) => name.as_str() == stream,
            Self::Below(folder) => {
                stream.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl Rule {
    /// Whether this rule decides. `stream` is `None` for what is about no single stream.
    pub fn applies(&self, user: Option<&str>, address: IpAddr, stream: Option<&str>, action: Action) -> bool {
        let address = address.to_canonical();
        let streams = self.streams.is_empty()
            || stream.is_some_and(|stream| self.streams.iter().any(|pattern| pattern.matches(stream)));
        let who = match (&self.users, user) {
            (Who::Anybody, _) | (Who::AnyUser, Some(_)) => true,
            (Who::Users(users), Some(user)) => users.contains(user),
            (Who::AnyUser | Who::Users(_), None) => false,
        };
        streams
            && who
            && self.actions.contains(&action)
            && (self.from.is_empty() || self.from.iter().any(|network| network.contains(&address)))
    }
}

/// A rule on its way.
#[derive(Default)]
pub(super) struct Draft {
    streams: Vec<Pattern>,
    from: Vec<IpNet>,
    users: Option<Who>,
    allow: Vec<Action>,
    deny: Vec<Action>,
}

/// Keys of a rule.
pub(super) const RULE_KEYS: &[Key<Draft>] = &[
    Key { name: "streams", read: |rule, value| rule.streams = list(value, pattern) },
    Key { name: "from", read: |rule, value| rule.from = list(value, network) },
    Key { name: "users", read: |rule, value| rule.users = Some(who(value)) },
    Key { name: "allow", read: |rule, value| rule.allow = list(value, |v| v.word(&Action::WORDS)) },
    Key { name: "deny", read: |rule, value| rule.deny = list(value, |v| v.word(&Action::WORDS)) },
];

/// Keys of `login`.
pub(super) const LOGIN_KEYS: &[Key<Login>] = &[
    Key { name: "basic", read: |login, value| value.read(&mut login.basic, Value::flag) },
    Key { name: "delay", read: |login, value| value.read(&mut login.delay, delay) },
    Key {
        name: "failures",
        read: |login, value| value.read(&mut login.failures, |v| v.number("a whole number", 1..=10_000)),
    },
    Key {
        name: "block",
        read: |login, value| value.read(&mut login.block, |v| v.duration(Duration::from_secs(1))),
    },
    Key { name: "link_secret", read: |login, value| value.read(&mut login.link_secret, link_secret) },
];

pub(super) fn read_access(config: &mut Config, value: &Value<'_>) {
    for value in value.list_of("rules, such as `- {streams: [door], from: [10.0.0.0/8], allow: watch}`") {
        let mut draft = Draft::default();
        value.read_section(&[RULE_KEYS], &mut draft);
        let allow = value.has("allow");
        if allow == value.has("deny") {
            value.problem("needs either `allow` or `deny`, with watch, control, metrics or talk");
        }
        if let Some(Who::Users(users)) = &draft.users {
            for user in users.iter().filter(|user| !config.users.contains_key(*user)) {
                value.problem_at("users", format!("there is no user {} in `users`", quote(user)));
            }
        }
        config.access.push(Rule {
            streams: draft.streams,
            from: draft.from,
            users: draft.users.unwrap_or(Who::Anybody),
            actions: if allow { draft.allow } else { draft.deny },
            allow,
        });
    }
}

/// What `read` makes of each value of a list. An empty list is a problem: it looks like "nobody" and would be "all".
fn list<T>(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Option<T>) -> Vec<T> {
    let items = value.items();
    if items.is_empty() {
        value.problem("an empty list applies to nothing; leave the key out for all");
    }
    items.iter().filter_map(read).collect()
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let text = value.text("the name of a stream, or `NAME/*`")?;
    let name = text.strip_suffix("/*").unwrap_or(&text);
    match name.parse::<StreamName>() {
        Ok(name) if text.ends_with("/*") => Some(Pattern::Below(name)),
        Ok(name) => Some(Pattern::Name(name)),
        Err(error) => {
            value.problem(error.to_string());
            None
        }
    }
}

fn network(value: &Value<'_>) -> Option<IpNet> {
    let what = "a network such as 10.0.0.0/8 or fd00::/8, or an address";
    let text = value.text(what)?;
    let network = text.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)));
    if network.is_none() {
        value.expected(what);
    }
    network
}

/// Names, or `any` for everybody who has logged in.
fn who(value: &Value<'_>) -> Who {
    let names: BTreeSet<String> =
        list(value, |v| v.text("the name of a user, or `any`")).into_iter().collect();
    if names.len() == 1 && names.contains(ANY) { Who::AnyUser } else { Who::Users(names) }
}

fn delay(value: &Value<'_>) -> Option<Duration> {
    let delay = value.duration(Duration::ZERO)?;
    if delay > MAX_DELAY {
        value.problem(format!("expected at most {MAX_DELAY:?}, found {}", value.found()));
        return None;
    }
    Some(delay)
}

fn link_secret(value: &Value<'_>) -> Option<Option<Secret>> {
    let secret = value.text("a secret text")?;
    if secret.len() < MIN_LINK_SECRET {
        value.problem(format!(
            "expected at least {MIN_LINK_SECRET} bytes, such as `openssl rand -hex 32` prints"
        ));
        return None;
    }
    Some(Some(Secret::new(secret)))
}

/// In `users` of a rule: everybody who has logged in.
pub(super) const ANY: &str = "any";

/// Players give up a request that takes longer.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// A shorter secret could be found by trying.
const MIN_LINK_SECRET: usize = 16;
