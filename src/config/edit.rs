//! Changing one stream in the text of a configuration, of which everything else stays as it is, comments included.
//!
//! The text is changed by lines, in the block style that people write; then the result is read, and has to be the
//! configuration that was meant. What was not understood (a section in braces, an anchor) is so refused, never damaged.

use std::ops::Range;

use serde_json::Value as Json;

use super::problems::Problems;
use super::{Config, Stream, StreamName};

/// Why a configuration cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It has mistakes as it is.
    #[error("the configuration file has mistakes as it is: {0}")]
    Invalid(Problems),
    /// What is to be written is no stream.
    #[error("{0}")]
    NoStream(Problems),
    /// The change would not be the one that was meant.
    #[error(
        "the streams stand in the file in a way that only people can change (in braces, or with anchors)"
    )]
    NotUnderstood,
}

/// The text with this stream put into it, or (`None`) taken out of it. The same text where there is nothing to change.
///
/// # Errors
/// See [`EditError`].
pub fn edit(
    text: &str,
    name: &StreamName,
    stream: Option<&Json>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, EditError> {
    let before = Config::parse(text, environment).map_err(EditError::Invalid)?;
    let wanted = stream.map(|stream| Stream::from_json(stream, &before.defaults));
    let wanted = wanted.transpose().map_err(EditError::NoStream)?;
    if before.streams.get(name) == wanted.as_ref() {
        return Ok(text.to_owned());
    }
    let edited = replace(text, name, stream).ok_or(EditError::NotUnderstood)?;
    let mut meant = before;
    match wanted {
        Some(stream) => drop(meant.streams.insert(name.clone(), stream)),
        None => drop(meant.streams.remove(name)),
    }
    match Config::parse(&edited, environment) {
        Ok(found) if found == meant => Ok(edited),
        _ => Err(EditError::NotUnderstood),
    }
}

/// The lines changed; what became of the meaning is to be looked at.
fn replace(text: &str, name: &StreamName, stream: Option<&Json>) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let end = if lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
    let section = lines.iter().position(|line| key_of(line, 0).as_deref() == Some("streams"));
    let Some(section) = section else {
        let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { end };
        return Some(format!("{text}{line_end}{end}streams:{end}{}", block(name, stream?, INDENT, end)));
    };
    let (_, value) = lines[section].split_once(':')?;
    let is_empty = matches!(without_comment(value), "" | "{}" | "~" | "null");
    if !is_empty {
        return None;
    }
    let first = section + 1;
    let length = lines[first..].iter().position(|line| is_content(line) && indent_of(line) == 0);
    let last = length.map_or(lines.len(), |length| first + length);
    let indent = lines[first..last].iter().find(|line| is_content(line)).map_or(INDENT, |l| indent_of(l));
    let entries = entries(&lines, first..last, indent);
    let own = entries.iter().find(|(key, _)| key == name.as_str()).map(|(_, lines)| lines.clone());
    let place = own.unwrap_or_else(|| {
        let after = entries.last().map_or(first, |(_, lines)| lines.end);
        after..after
    });
    let mut edited = String::with_capacity(text.len() + 256);
    for (at, line) in lines[..place.start].iter().enumerate() {
        if at == section && !without_comment(value).is_empty() && stream.is_some() {
            edited.push_str("streams:");
            edited.push_str(end);
        } else {
            edited.push_str(line);
        }
    }
    if let Some(stream) = stream {
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push_str(end);
        }
        edited.push_str(&block(name, stream, indent, end));
    }
    lines[place.end..].iter().for_each(|line| edited.push_str(line));
    Some(edited)
}

/// The keys that stand this deep, each with its lines up to the last that says something.
fn entries(lines: &[&str], section: Range<usize>, indent: usize) -> Vec<(String, Range<usize>)> {
    let mut entries: Vec<(String, Range<usize>)> = Vec::new();
    for at in section {
        if let Some(key) = key_of(lines[at], indent) {
            entries.push((key, at..at + 1));
        } else if is_content(lines[at])
            && let Some((_, own)) = entries.last_mut()
        {
            own.end = at + 1;
        }
    }
    entries
}

/// The key of a line that is indented by so much and has one.
fn key_of(line: &str, indent: usize) -> Option<String> {
    if !is_content(line) || indent_of(line) != indent {
        return None;
    }
    let line = line.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = line.strip_prefix(quote) {
            let (key, after) = rest.split_once(quote)?;
            return after.trim_start().starts_with(':').then(|| key.to_owned());
        }
    }
    let (key, after) = line.split_once(':')?;
    (after.is_empty() || after.starts_with([' ', '\t'])).then(|| key.trim_end().to_owned())
}

/// Neither empty nor a comment.
fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn without_comment(value: &str) -> &str {
    value.split_once('#').map_or(value, |(value, _)| value).trim()
}

/// A stream as people write one.
fn block(name: &StreamName, stream: &Json, indent: usize, end: &str) -> String {
    let margin = " ".repeat(indent);
    let name = scalar(name.as_str());
    match stream {
        Json::Object(keys) if !keys.is_empty() => {
            let inner = " ".repeat(INDENT);
            let line = |(key, value): (&String, &Json)| {
                format!("{margin}{inner}{}: {}{end}", scalar(key), written(value))
            };
            format!("{margin}{name}:{end}{}", keys.iter().map(line).collect::<String>())
        }
        other => format!("{margin}{name}: {}{end}", written(other)),
    }
}

/// A value on one line. JSON is YAML, but for what the configuration makes of `${`.
fn written(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        Json::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Json::Object(keys) => {
            let keys = keys.iter().map(|(key, value)| format!("{}: {}", scalar(key), written(value)));
            format!("{{{}}}", keys.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text, in quotes unless it is plain beyond doubt.
fn scalar(text: &str) -> String {
    let escaped = text.replace("${", "$${");
    let is_plain = escaped.starts_with(|c: char| c.is_ascii_alphabetic())
        && escaped.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && escaped.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:@?=&%~+".contains(c))
        && !RESERVED.contains(&escaped.to_ascii_lowercase().as_str());
    if is_plain { escaped } else { Json::String(escaped).to_string() }
}

/// Words that YAML, of this or that version, takes for something else.
const RESERVED: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"];

/// Where nothing stands that shows how deep the others are.
const INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const FILE: &str = "# mine\nrtsp:\n  listen: 0.0.0.0:8554 # all\n\nstreams:   # cameras\n  # the door\n  \
        door: rtsp://10.0.0.7/a # old\n\n  # the yard, with\n  yard:\n    source: rtsp://10.0.0.8/b\n    # of the \
        kitchen\n    on_demand: true\n    #no_signal: true\n  # the end\n\n# and users\nlogin:\n  delay: 2s\n";

    fn put(text: &str, name: &str, stream: Json) -> Result<String, EditError> {
        edit(text, &name.parse().unwrap(), Some(&stream), &|_| None)
    }

    fn remove(text: &str, name: &str) -> Result<String, EditError> {
        edit(text, &name.parse().unwrap(), None, &|_| None)
    }

    #[test]
    fn a_stream_is_put_behind_the_others_and_nothing_else_changes() {
        let stream = json!({"source": ["rtsp://10.0.0.9/main", "rtsp://10.0.0.9/sub"], "password": "5: #'x", "transport": "udp"});
        let edited = put(FILE, "gate", stream).unwrap();
        let added = "  gate:\n    password: \"5: #'x\"\n    source: [rtsp://10.0.0.9/main, rtsp://10.0.0.9/sub]\n    transport: udp\n";
        assert_eq!(edited, FILE.replace("on_demand: true\n", &format!("on_demand: true\n{added}")));
        assert_eq!(remove(&edited, "gate").unwrap(), FILE);
    }

    #[test]
    fn a_stream_is_changed_where_it_stands() {
        let edited = put(FILE, "door", json!("rtsp://10.0.0.7/b")).unwrap();
        assert_eq!(edited, FILE.replace("door: rtsp://10.0.0.7/a # old", "door: rtsp://10.0.0.7/b"));
        let edited = put(FILE, "yard", json!({"source": "rtsp://10.0.0.8/c"})).unwrap();
        assert!(edited.contains("# the yard, with\n  yard:\n    source: rtsp://10.0.0.8/c\n    #no_signal"));
        assert_eq!(put(&edited, "yard", json!("rtsp://10.0.0.8/c")).unwrap(), edited, "it is so already");
    }

    #[test]
    fn a_stream_is_taken_out_and_its_neighbours_stay() {
        let edited = remove(FILE, "yard").unwrap();
        assert!(edited.contains("  # the yard, with\n    #no_signal: true\n  # the end\n\n# and users\n"));
        let edited = remove(&edited, "door").unwrap();
        assert!(Config::parse(&edited, &|_| None).unwrap().streams.is_empty());
        assert_eq!(remove(&edited, "door").unwrap(), edited);
        let again = put(&edited, "door", json!("rtsp://10.0.0.7/a")).unwrap();
        assert!(again.contains("streams:   # cameras\n  door: rtsp://10.0.0.7/a\n  # the door\n"), "{again}");
    }

    #[test]
    fn files_of_any_shape_are_changed_rightly_or_not_at_all() {
        for text in [
            "",
            "streams:",
            "streams: {}\n",
            "streams: ~ # none\n",
            "login: {delay: 2s}",
            "\"streams\":\r\n",
            "streams:\r\n    a: rtsp://h/a\r\nlogin:\r\n    delay: 2s\r\n",
            "streams:\n  a: rtsp://h/a",
            "streams:\n  'a':\n    source:\n    - rtsp://h/a\n    - rtsp://h/b\n# end\n",
            "streams:\n a: rtsp://h/a\nhttp:\n listen:\n",
        ] {
            let edited =
                put(text, "site/new", json!({"source": "rtsp://h/n", "password": "${HOME} $x $${y"}));
            let edited = edited.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(edited.contains("\r\n"), text.contains("\r\n"), "{edited:?}");
            let without = remove(&edited, "site/new").unwrap();
            let parse = |text: &str| Config::parse(text, &|_| None).unwrap();
            assert_eq!(parse(&without), parse(text), "{text:?}");
        }
        for text in ["{streams: {a: rtsp://h/a}}", "streams: {a: rtsp://h/a}\n"] {
            let error = put(text, "new", json!("rtsp://h/n")).unwrap_err();
            assert!(matches!(error, EditError::NotUnderstood), "{error}");
        }
        let anchors = "streams:\n  a: &it\n    source: rtsp://h/a\n  b: *it\n";
        assert!(matches!(remove(anchors, "a").unwrap_err(), EditError::NotUnderstood));
        assert!(matches!(put("streams: [", "a", json!("rtsp://h/a")).unwrap_err(), EditError::Invalid(_)));
        assert!(matches!(put("", "a", json!({"sauce": 1})).unwrap_err(), EditError::NoStream(_)));
    }

    #[test]
    fn the_documented_example_takes_a_stream() {
        let text = include_str!("../../config/fanlight.yml");
        let edited = put(text, "gate", json!({"source": "rtsp://10.0.0.9/", "on_demand": true})).unwrap();
        assert_eq!(remove(&edited, "gate").unwrap(), text);
    }

    proptest! {
        #[test]
        fn any_text_is_written_so_that_it_is_read_again(password in "\\PC{0,20}", quirk in "[$:{}#'\" \\\\y-]{0,8}") {
            for text in [password, quirk] {
                match put(FILE, "new", json!({"source": "rtsp://h/n", "password": text})) {
                    Ok(edited) => prop_assert_eq!(remove(&edited, "new").unwrap(), FILE),
                    Err(error) => prop_assert!(matches!(error, EditError::NoStream(_)), "{:?}: {}", text, error),
                }
            }
        }

        #[test]
        fn no_text_panics(text in "[a-z:#{}'\"\\[\\]\\n -]{0,60}") {
            let _ = (put(&text, "new", json!("rtsp://h/n")), put(&format!("streams:\n{text}"), "a", json!("rtsp://h/n")));
        }
    }
}
