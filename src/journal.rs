//! The last log lines of each stream, for its page: what stands in the log, and no more.
//!
//! A layer of `tracing` takes the lines written within the span of a stream's source ([`crate::spans`]), or with a field that names
//! a stream (`stream`). The span of a viewer learns its stream later: what is written there, at `debug`, is the viewer's, and would
//! leave no room for the source's. Names come from viewers' requests too, so that only streams that were
//! [opened](Journal::open) have a place. What is kept of a stream is bounded in lines and in bytes; a line is written under one
//! lock, which no packet meets unless the log itself is at `trace`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The lines of all streams.
#[derive(Debug, Default)]
pub struct Journal {
    streams: Mutex<BTreeMap<String, Lines>>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts the lines of the stream, from 1.
    pub number: u64,
    /// When it was written.
    pub at: SystemTime,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The message and its fields, as in a log of text.
    pub message: String,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Line>,
    /// Of all messages.
    bytes: usize,
    written: u64,
}

impl Journal {
    /// Lines kept of a stream.
    pub const LINES: usize = 200;
    /// Bytes kept of a stream.
    pub const BYTES: usize = 64 * 1024;
    /// Characters kept of a line.
    pub const LINE: usize = 1000;

    /// From now on the lines of this stream are kept.
    pub fn open(&self, stream: &str) {
        let mut streams = self.streams();
        if !streams.contains_key(stream) {
            streams.insert(stream.to_owned(), Lines::default());
        }
    }

    /// The stream is no more.
    pub fn forget(&self, stream: &str) {
        self.streams().remove(stream);
    }

    /// The lines of a stream after that of this number, the oldest first.
    pub fn after(&self, stream: &str, number: u64) -> Vec<Line> {
        let streams = self.streams();
        let lines = streams.get(stream).into_iter().flat_map(|lines| &lines.lines);
        lines.filter(|line| line.number > number).cloned().collect()
    }

    /// What writes into the journal.
    pub fn layer(self: &Arc<Self>) -> Recorder {
        Recorder { journal: Arc::clone(self) }
    }

    fn write(&self, stream: &str, level: &'static str, message: String) {
        if let Some(lines) = self.streams().get_mut(stream) {
            lines.push(level, message);
        }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<String, Lines>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, level: &'static str, message: String) {
        self.written += 1;
        self.bytes += message.len();
        self.lines.push_back(Line { number: self.written, at: SystemTime::now(), level, message });
        while self.lines.len() > Journal::LINES || self.bytes > Journal::BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.message.len();
        }
    }
}

/// Writes the log lines of streams into a [`Journal`].
#[derive(Debug)]
pub struct Recorder {
    journal: Arc<Journal>,
}

/// The stream that a span is about.
struct About(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().fields().field("stream").is_none() {
            return;
        }
        let mut reader = Reader::default();
        attributes.record(&mut reader);
        if let (Some(stream), Some(span)) = (reader.stream, context.span(id)) {
            span.extensions_mut().insert(About(stream));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let about = context.event_scope(event).and_then(|mut spans| {
            spans.find_map(|span| span.extensions().get::<About>().map(|about| about.0.clone()))
        });
        let names_one = || event.metadata().fields().field("stream").is_some();
        if about.is_none() && !names_one() {
            return;
        }
        let mut reader = Reader::default();
        event.record(&mut reader);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        if let Some(stream) = about.or(reader.stream) {
            self.journal.write(&stream, level, reader.message.text + &reader.fields.text);
        }
    }
}

/// Reads the fields of a span or an event.
#[derive(Default)]
struct Reader {
    stream: Option<String>,
    message: Bounded,
    fields: Bounded,
}

impl Visit for Reader {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "stream" => self.stream = Some(value.to_owned()),
            "message" => self.message.put(format_args!("{value}")),
            name => self.fields.put(format_args!(" {name}={value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // `%name` comes as the text itself.
            "stream" => self.stream = Some(format!("{value:?}")),
            "message" => self.message.put(format_args!("{value:?}")),
            name => self.fields.put(format_args!(" {name}={value:?}")),
        }
    }
}

/// A text that takes half of what a line may have.
#[derive(Default)]
struct Bounded {
    text: String,
    length: usize,
}

impl Bounded {
    fn put(&mut self, what: fmt::Arguments<'_>) {
        let _ = self.write_fmt(what); // what is too long is cut off
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match (Journal::LINE / 2).checked_sub(self.length) {
                Some(0) | None => return Err(fmt::Error),
                Some(1) => self.text.push('…'),
                Some(_) => self.text.push(c),
            }
            self.length += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::spans;
    use crate::vocabulary::Transport;

    /// What the journal holds of a stream, after lines were logged.
    fn logged(open: &[&str], log: impl FnOnce()) -> Arc<Journal> {
        let journal = Arc::new(Journal::default());
        for stream in open {
            journal.open(stream);
        }
        let subscriber = tracing_subscriber::registry().with(journal.layer());
        tracing::subscriber::with_default(subscriber, log);
        journal
    }

    fn messages(journal: &Journal, stream: &str) -> Vec<String> {
        let lines = journal.after(stream, 0);
        lines.into_iter().map(|line| format!("{} {}", line.level, line.message)).collect()
    }

    #[test]
    fn lines_within_the_span_of_a_stream_and_lines_that_name_it_are_kept() {
        let journal = logged(&["door", "yard"], || {
            tracing::info!("of no stream");
            let span = tracing::info_span!("source", stream = "door");
            let _within = span.enter();
            tracing::warn!(reason = "refused", place = 3, "no answer");
            let inner = tracing::info_span!("attempt", number = 1);
            inner.in_scope(|| tracing::info!("deeper"));
            let name = "yard";
            tracing::info!(parent: None, stream = %name, "changed");
        });
        assert_eq!(messages(&journal, "door"), ["warn no answer reason=\"refused\" place=3", "info deeper"]);
        assert_eq!(messages(&journal, "yard"), ["info changed"]);
        let second = journal.after("door", 1);
        assert_eq!((second.len(), second[0].number), (1, 2));
    }

    #[test]
    fn what_is_said_of_a_source_is_kept_and_what_is_said_of_a_viewer_is_not() {
        let journal = logged(&["door"], || {
            let mut viewer = spans::Viewer::new(([10, 0, 0, 7], 5000).into());
            viewer.begins("0123456789abcdef", "door", Transport::Tcp, None);
            tracing::info!(parent: viewer.id(), "a connection ended");
            spans::stream("door").in_scope(|| tracing::info!("live"));
        });
        assert_eq!(messages(&journal, "door"), ["info live"]);
    }

    #[test]
    fn a_stream_that_is_none_gets_no_place_and_one_that_goes_loses_its_own() {
        let journal = logged(&["door"], || {
            for n in 0..100 {
                tracing::info!(stream = format!("guessed-{n}"), "refused");
            }
            tracing::info!(stream = "door", "here");
        });
        assert_eq!(journal.streams().len(), 1);
        journal.open("door");
        assert_eq!(messages(&journal, "door"), ["info here"], "opened again it goes on");
        journal.forget("door");
        assert!(journal.after("door", 0).is_empty() && journal.streams().is_empty());
    }

    #[test]
    fn lines_and_bytes_are_bounded_and_the_oldest_go() {
        let journal = logged(&["door"], || {
            let _within = tracing::info_span!("source", stream = "door").entered();
            for n in 0..1000 {
                tracing::info!("line {n}");
            }
        });
        let lines = journal.after("door", 0);
        assert_eq!((lines.len(), lines[0].message.as_str()), (Journal::LINES, "line 800"));
        let journal = logged(&["door"], || {
            let _within = tracing::info_span!("source", stream = "door").entered();
            let long = "é".repeat(100_000);
            for _ in 0..200 {
                tracing::info!(field = long, "{long}");
            }
        });
        let lines = journal.after("door", 0);
        let bytes: usize = lines.iter().map(|line| line.message.len()).sum();
        assert!(bytes <= Journal::BYTES && bytes > Journal::BYTES / 2, "{bytes}");
        assert_eq!(lines[0].message.chars().count(), Journal::LINE);
    }
}
