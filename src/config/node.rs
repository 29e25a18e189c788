//! The untyped tree a configuration is read into, whatever it was written in.
//!
//! YAML and JSON both arrive here, so that a stream in the file and a stream in an API request are understood by the
//! same code. Nothing but this file knows `serde_yaml`. Unlike `serde_yaml::Value` the tree keeps duplicate keys (they
//! are reported with all other mistakes, instead of hiding them) and takes keys as written: a stream may be called
//! `101` or `yes`.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::problems::Problems;
use super::redact::redact;

/// One value of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// A number, in its canonical spelling: what it has to be (whole, positive) depends on the key.
    Number(String),
    Text(String),
    List(Vec<Self>),
    /// In the order of the document, duplicates included.
    Map(Vec<(String, Self)>),
}

/// Longest accepted YAML text. A thousand streams with every key written out take about 400 KiB.
pub(super) const MAX_TEXT: usize = 4 << 20;

/// Most bytes a tree may take. YAML aliases multiply: a text far below [`MAX_TEXT`] can stand for gigabytes.
const MAX_TREE: usize = 64 << 20;

/// Bytes a value takes beside its text.
const NODE_COST: usize = 64;

impl Node {
    /// Reads YAML. Text that is not YAML gives one problem, with line and column.
    pub(super) fn from_yaml(text: &str) -> Result<Self, Problems> {
        if text.len() > MAX_TEXT {
            return Err(Problems::one("", format!("longer than {} MiB", MAX_TEXT >> 20)));
        }
        let budget = Cell::new(MAX_TREE);
        Seed(&budget).deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| problem(&error))
    }

    /// Takes over parsed JSON.
    pub(super) fn from_json(value: &serde_json::Value) -> Result<Self, Problems> {
        let budget = Cell::new(MAX_TREE);
        Seed(&budget).deserialize(value).map_err(|error| Problems::one("", error.to_string()))
    }
}

/// Reads YAML of a fixed form, such as that of quirk profiles. The first mistake ends it, with line and column.
pub(super) fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problems> {
    serde_yaml::from_str(text).map_err(|error| problem(&error))
}

fn problem(error: &serde_yaml::Error) -> Problems {
    // Some messages begin with the path of keys, and a misplaced URL can be a key.
    let message = redact(&error.to_string());
    let Some(location) = error.location() else {
        return Problems::one("", message);
    };
    let place = format!("line {} column {}", location.line(), location.column());
    Problems::one(place.as_str(), message.replacen(&format!(" at {place}"), "", 1))
}

/// Builds a [`Node`], paying for each value from what is left of [`MAX_TREE`].
#[derive(Clone, Copy)]
struct Seed<'b>(&'b Cell<usize>);

impl Seed<'_> {
    fn pay<E: Error>(self, text: &str) -> Result<(), E> {
        let left = self.0.get().checked_sub(NODE_COST + text.len());
        self.0.set(left.ok_or_else(|| E::custom("too large once its aliases are filled in"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value (tags such as `!name` are not used here)")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.pay("")?;
        Ok(Node::Null)
    }

    // What `serde_yaml` makes of an empty document.
    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.pay("")?;
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.visit_i128(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.visit_u128(value.into())
    }

    // Too large for any key, but refused by the key's own message, which knows whether it may show the value.
    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.pay("")?;
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.pay("")?;
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.pay("")?;
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.pay(value)?;
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.pay("")?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        self.pay("")?;
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.pay(&key)?;
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Node {
        Node::Text(text.into())
    }

    #[test]
    fn keys_are_taken_as_written_and_duplicates_are_kept() {
        assert_eq!(
            Node::from_yaml("101: a\nyes: b\nyes: c\n"),
            Ok(Node::Map(vec![
                ("101".into(), text("a")),
                ("yes".into(), text("b")),
                ("yes".into(), text("c"))
            ]))
        );
    }

    #[test]
    fn json_and_yaml_give_the_same_tree() {
        let json = r#"{"a": [1, -2, 1.5, true, null, "x"], "b": {"c": "1"}}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(Node::from_yaml(json), Node::from_json(&value));
    }

    #[test]
    fn text_that_is_not_yaml_gives_one_problem_with_its_line() {
        let problems = Node::from_yaml("rtsp:\n  listen: [a, b\nhttp: {}\n").unwrap_err();
        assert_eq!(problems.0.len(), 1);
        assert_eq!(problems.0[0].key, "line 3 column 5", "{problems}");
    }

    #[test]
    fn a_number_too_large_for_any_key_is_not_shown_by_the_yaml_reader() {
        let huge = "9".repeat(38);
        assert!(matches!(Node::from_yaml(&format!("password: {huge}")), Ok(Node::Map(_))));
    }

    #[test]
    fn a_tag_is_refused_with_its_line() {
        let problems = Node::from_yaml("a: 1\nb: !thing 2\n").unwrap_err().to_string();
        assert!(problems.starts_with("line 2 ") && problems.contains("!name"), "{problems}");
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let bomb = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(2_000));
        let problems = Node::from_yaml(&bomb).unwrap_err().to_string();
        assert!(problems.contains("aliases"), "{problems}");
        let long = " ".repeat(MAX_TEXT + 1);
        assert!(Node::from_yaml(&long).unwrap_err().to_string().contains("longer than"));
    }
}
