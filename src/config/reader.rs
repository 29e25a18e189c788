//! Reading a typed configuration out of the untyped tree, noting every mistake on the way.
//!
//! Each section of the configuration is a table of [`Key`]s: the one list of names that is read, that unknown keys are
//! compared with, and that the documented example is held to. A reading method gives `None` when it has noted a
//! problem; the caller keeps its default and goes on, so that all mistakes are found in one go.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value as Json;

use super::node::Node;
use super::problems::{Problem, Problems};
use super::redact::quote;
use super::substitute::{Environment, Fit, has_placeholder, substitute};
use super::suggest::nearest;
use super::units;

/// One key of a section: its name, and how its value is read into the section.
#[derive(Debug)]
pub(super) struct Key<T> {
    pub(super) name: &'static str,
    pub(super) read: fn(&mut T, &Value<'_>),
}

/// One reading of a tree: where values from the environment come from, and what was wrong so far.
pub(super) struct Reader<'a> {
    /// `None` leaves `${…}` alone: whoever sends an API request must not read the environment with it.
    environment: Option<Environment<'a>>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: Option<Environment<'a>>) -> Self {
        Self { environment, problems: RefCell::default() }
    }

    /// The whole tree as a value.
    pub(super) fn root(&'a self, node: &'a Node) -> Value<'a> {
        Value { reader: self, node, path: String::new() }
    }

    /// `read`, unless there was a problem.
    pub(super) fn finish<T>(self, read: T) -> Result<T, Problems> {
        let problems = self.problems.into_inner();
        if problems.is_empty() { Ok(read) } else { Err(Problems(problems)) }
    }
}

/// A node of the tree with its key path.
pub(super) struct Value<'a> {
    reader: &'a Reader<'a>,
    node: &'a Node,
    path: String,
}

impl<'a> Value<'a> {
    /// Notes a problem with this value.
    pub(super) fn problem(&self, message: impl Into<String>) {
        let problem = Problem { key: self.path.clone(), message: message.into() };
        self.reader.problems.borrow_mut().push(problem);
    }

    /// Notes a problem with the key `name` of this section, present or not.
    pub(super) fn problem_at(&self, name: &str, message: impl Into<String>) {
        self.child(name, self.node).problem(message);
    }

    /// Notes that something else should stand here.
    pub(super) fn expected(&self, what: &str) {
        self.problem(format!("expected {what}, found {}", self.found()));
    }

    /// What stands here, as a problem may show it.
    pub(super) fn found(&self) -> String {
        match self.node {
            Node::Null => "nothing".to_owned(),
            Node::Bool(value) => value.to_string(),
            Node::Number(value) => value.clone(),
            Node::Text(text) if self.reader.environment.is_some() && has_placeholder(text) => {
                format!("{} (its value is not shown)", quote(text))
            }
            Node::Text(text) => quote(text),
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a section of keys".to_owned(),
        }
    }

    fn child(&self, name: &str, node: &'a Node) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-~/".contains(&b);
        let name = if !name.is_empty() && name.bytes().all(plain) { name.to_owned() } else { quote(name) };
        let path = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
        Value { reader: self.reader, node, path }
    }

    /// Whether this is a section of keys (or still could become one: nothing).
    pub(super) fn is_section(&self) -> bool {
        matches!(self.node, Node::Map(_) | Node::Null)
    }

    /// Whether this is a section that has the key `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self.node, Node::Map(entries) if entries.iter().any(|(key, _)| key == name))
    }

    /// The keys of a section with their values. Nothing (all keys commented out) is an empty section.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let map: &[(String, Node)] = match self.node {
            Node::Map(map) => map,
            Node::Null => &[],
            Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::List(_) => {
                self.expected("a section of keys");
                &[]
            }
        };
        let mut entries: Vec<(&str, Value<'_>)> = Vec::with_capacity(map.len());
        let mut seen = std::collections::HashSet::with_capacity(map.len());
        for (name, node) in map {
            let value = self.child(name, node);
            if seen.insert(name) {
                entries.push((name, value));
            } else {
                value.problem("this key stands here more than once");
            }
        }
        entries
    }

    /// Reads a section by its tables, in the tables' order. Keys in none of them are problems.
    pub(super) fn read_section<T>(&self, tables: &[&[Key<T>]], section: &mut T) {
        let entries = self.entries();
        let known = || tables.iter().copied().flatten();
        for (name, value) in &entries {
            if known().all(|key| key.name != *name) {
                value.problem(match nearest(name, known().map(|key| key.name)) {
                    Some(near) => format!("unknown key, did you mean `{near}`?"),
                    None => "unknown key".to_owned(),
                });
            }
        }
        for key in known() {
            if let Some((_, value)) = entries.iter().find(|(name, _)| *name == key.name) {
                (key.read)(section, value);
            }
        }
    }

    /// The values of a list; any other value is a list of itself.
    pub(super) fn items(&self) -> Vec<Self> {
        let item = |(index, node)| Value { path: format!("{}[{index}]", self.path), node, ..*self };
        match self.node {
            Node::List(list) => list.iter().enumerate().map(item).collect(),
            node => vec![Value { path: self.path.clone(), node, ..*self }],
        }
    }

    /// The values of a list, possibly none; anything but a list or nothing is a problem.
    pub(super) fn list_of(&self, what: &str) -> Vec<Self> {
        match self.node {
            Node::Null => Vec::new(),
            Node::List(_) => self.items(),
            Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Map(_) => {
                self.expected(&format!("a list of {what}"));
                Vec::new()
            }
        }
    }

    /// Puts what `read` makes of this value into `target`; after a problem `target` stays as it is.
    pub(super) fn read<T>(&self, target: &mut T, read: impl FnOnce(&Self) -> Option<T>) {
        if let Some(value) = read(self) {
            *target = value;
        }
    }

    /// Text, with what comes from the environment filled in. A number is no text: YAML may have changed its spelling
    /// (`007`, `1.10`, `0x1F`).
    pub(super) fn text(&self, what: &str) -> Option<String> {
        self.text_fitted(what, |_, value, _| value)
    }

    /// The same, with `fit` adjusting each value from the environment to the text around it.
    pub(super) fn text_fitted(&self, what: &str, fit: Fit) -> Option<String> {
        match self.node {
            Node::Text(text) => self.fill(text, fit),
            Node::Number(_) | Node::Bool(_) => {
                // Without the value: this may be a password.
                self.problem(format!("expected {what}; put quotes around it to make it text"));
                None
            }
            Node::Null | Node::List(_) | Node::Map(_) => {
                self.expected(what);
                None
            }
        }
    }

    fn fill(&self, text: &str, fit: Fit) -> Option<String> {
        let Some(environment) = self.reader.environment else {
            return Some(text.to_owned());
        };
        match substitute(text, environment, fit) {
            Ok(text) => Some(text),
            Err(wrong) => {
                wrong.into_iter().for_each(|message| self.problem(message));
                None
            }
        }
    }

    /// What stands here, with what comes from the environment filled in, and whether anything does. What is wrong with it is
    /// noted where it is read.
    pub(super) fn written(&self, fit: Fit) -> (Json, bool) {
        fn fill(node: &Node, environment: Option<Environment<'_>>, fit: Fit, filled: &mut bool) -> Json {
            match node {
                Node::Null => Json::Null,
                Node::Bool(value) => Json::from(*value),
                Node::Number(text) => {
                    text.parse::<serde_json::Number>().map_or_else(|_| text.as_str().into(), Json::Number)
                }
                Node::Text(text) => {
                    let Some(environment) = environment else { return text.as_str().into() };
                    *filled |= has_placeholder(text);
                    substitute(text, environment, fit).unwrap_or_default().into()
                }
                Node::List(list) => list.iter().map(|node| fill(node, environment, fit, filled)).collect(),
                Node::Map(map) => map
                    .iter()
                    .map(|(key, node)| (key.clone(), fill(node, environment, fit, filled)))
                    .collect(),
            }
        }
        let mut filled = false;
        (fill(self.node, self.reader.environment, fit, &mut filled), filled)
    }

    /// Any single value as text, to be parsed: what comes from the environment is text, whatever it stands for.
    pub(super) fn scalar(&self, what: &str) -> Option<String> {
        match self.node {
            Node::Bool(value) => Some(value.to_string()),
            Node::Number(value) => Some(value.clone()),
            Node::Text(text) => self.fill(text, |_, value, _| value),
            Node::Null | Node::List(_) | Node::Map(_) => {
                self.expected(what);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        self.word(&[("true", true), ("false", false)])
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let what = match names.split_last() {
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => return None,
        };
        let text = self.scalar(&what)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.expected(&what);
        }
        found.map(|(_, value)| *value)
    }

    /// A number within `range`; `what` says what kind of number.
    pub(super) fn number<T>(&self, what: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let what = format!("{what} from {} to {}", range.start(), range.end());
        let number = self.scalar(&what)?.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.expected(&what);
        }
        number
    }

    /// A duration, `least` or longer.
    pub(super) fn duration(&self, least: Duration) -> Option<Duration> {
        let what = "a duration such as 500ms, 10s, 2m or 1h";
        match units::duration(&self.scalar(what)?) {
            Ok(duration) if duration < least => {
                self.problem(format!("expected at least {least:?}, found {}", self.found()));
                None
            }
            Ok(duration) => Some(duration),
            Err(why) => {
                self.problem(format!("expected {what}, found {}: {why}", self.found()));
                None
            }
        }
    }

    /// A size in bytes within `range`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let what = "a size such as 1400B, 64KiB or 50MiB";
        match units::size(&self.scalar(what)?) {
            Ok(size) if range.contains(&size) => Some(size),
            Ok(_) => {
                self.expected(&format!("a size from {}B to {}B", range.start(), range.end()));
                None
            }
            Err(why) => {
                self.problem(format!("expected {what}, found {}: {why}", self.found()));
                None
            }
        }
    }

    /// An address and a port to listen on; nothing or an empty text means off.
    pub(super) fn listen(&self) -> Option<Option<SocketAddr>> {
        let what = "an address and a port such as 0.0.0.0:8554 or [::]:8554 (empty = off)";
        if *self.node == Node::Null {
            return Some(None);
        }
        let text = self.scalar(what)?;
        if text.is_empty() {
            return Some(None);
        }
        let address = text.parse().ok();
        if address.is_none() {
            self.expected(what);
        }
        address.map(Some)
    }
}
