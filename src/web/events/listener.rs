//! One listener: what it was told, and what it is told next.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::watch;

use super::feed::{Place, Snapshot};
use crate::web::Shared;
use crate::web::api::{Host, Viewers};
use crate::web::past::Log;

/// Whoever listens. Nothing is kept for one who reads slowly but what it was told last: it is told the difference to the
/// newest state when it reads on.
pub(super) struct Listener {
    shared: Arc<Shared>,
    host: Host,
    place: Place,
    /// The access rules; when they change, the listener has to ask anew.
    rules: watch::Receiver<()>,
    /// The one stream it asked for.
    only: Option<String>,
    /// `None` before the first event.
    told: Option<Arc<Snapshot>>,
    /// The last log line it was told.
    line: u64,
    viewers: String,
    waiting: VecDeque<Told>,
}

/// What is to be told.
#[derive(Debug, PartialEq)]
enum Told {
    Streams(Arc<Snapshot>),
    Stream(String, Arc<str>),
    Removed(String),
    /// The viewers and the log of the one stream, as they are when it is told.
    Viewers,
    Log,
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

#[derive(Serialize)]
struct Removed<'a> {
    name: &'a str,
}

impl Listener {
    pub(super) fn new(shared: Arc<Shared>, host: Host, place: Place, only: Option<String>) -> Self {
        let rules = shared.access.changes();
        let (told, waiting, viewers) = (None, VecDeque::new(), String::new());
        Self { shared, host, place, rules, only, told, line: 0, viewers, waiting }
    }

    /// The next event; none when the relay stops, or other access rules came into force.
    pub(super) async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            while let Some(told) = self.waiting.pop_front() {
                if let Some(event) = self.event(told) {
                    return Some((Ok(event), self));
                }
            }
            if self.told.is_some() {
                let draining = self.shared.draining.clone();
                tokio::select! {
                    biased;
                    () = draining.cancelled() => return None,
                    _ = self.rules.changed() => return None,
                    changed = self.place.latest.changed() => changed.ok()?,
                }
            }
            let newest = Arc::clone(&self.place.latest.borrow_and_update());
            let before = self.told.replace(Arc::clone(&newest));
            self.waiting.extend(news(before.as_deref(), &newest, self.only.as_deref()));
        }
    }

    fn event(&mut self, told: Told) -> Option<Event> {
        let named = |name: &str, data: String| Some(Event::default().event(name).data(data));
        match told {
            Told::Streams(snapshot) => {
                let shown = snapshot.streams.iter().filter(|(name, _)| is_asked(self.only.as_deref(), name));
                let streams: Vec<_> = shown.map(|(name, shown)| self.addressed(name, &shown.body)).collect();
                let data = format!("{{\"streams\":[{}]}}", streams.join(","));
                // A browser whose connection breaks comes back after this time, and not when it sees fit.
                Some(Event::default().event("streams").retry(RETRY).data(data))
            }
            Told::Stream(name, body) => named("stream", self.addressed(&name, &body)),
            Told::Removed(name) => {
                self.line = 0; // another stream of the name counts its lines anew
                named("removed", json(&Removed { name: &name }))
            }
            Told::Viewers => {
                let stream = self.shared.hub.find(self.only.as_deref()?)?;
                let viewers = json(&Viewers::of(&stream));
                if viewers == self.viewers {
                    return None;
                }
                self.viewers.clone_from(&viewers);
                named("viewers", viewers)
            }
            Told::Log => {
                let lines = self.shared.journal.after(self.only.as_deref()?, self.line);
                self.line = lines.last()?.number;
                named("log", json(&Log::new(lines)))
            }
        }
    }

    /// The state with the addresses for this listener: those of the host that it asked.
    fn addressed(&self, name: &str, body: &str) -> String {
        let urls = json(&self.shared.links.urls(&self.host, name));
        format!("{{\"urls\":{urls},{}", body.strip_prefix('{').unwrap_or(body))
    }
}

/// What differs between two states, for who listens to all streams or to one.
fn news(before: Option<&Snapshot>, newest: &Arc<Snapshot>, only: Option<&str>) -> Vec<Told> {
    let mut news = Vec::new();
    match before {
        None => news.push(Told::Streams(Arc::clone(newest))),
        Some(before) => {
            for (name, shown) in newest.streams.iter().filter(|(name, _)| is_asked(only, name)) {
                let known = before.streams.get(name);
                if known.is_none_or(|known| !Arc::ptr_eq(&known.body, &shown.body)) {
                    news.push(Told::Stream(name.clone(), Arc::clone(&shown.body)));
                }
            }
            let gone = before.streams.keys().filter(|name| !newest.streams.contains_key(*name));
            news.extend(gone.filter(|name| is_asked(only, name)).map(|name| Told::Removed(name.clone())));
        }
    }
    if only.is_some() {
        news.extend([Told::Viewers, Told::Log]);
    }
    news
}

fn is_asked(only: Option<&str>, name: &str) -> bool {
    only.is_none_or(|only| only == name)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers can be written as JSON")
}

/// When a browser connects anew.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::events::feed::Shown;

    fn snapshot(streams: &[(&str, &Arc<str>)]) -> Arc<Snapshot> {
        let shown = |(name, body): &(&str, &Arc<str>)| ((*name).to_owned(), Shown::of(Arc::clone(body)));
        Arc::new(Snapshot { streams: streams.iter().map(shown).collect() })
    }

    #[test]
    fn who_read_nothing_for_long_is_told_the_newest_state_and_nothing_between() {
        let bodies: [Arc<str>; 3] = ["{1}", "{2}", "{3}"].map(Arc::from);
        let first = snapshot(&[("door", &bodies[0]), ("gate", &bodies[0]), ("yard", &bodies[0])]);
        let last = snapshot(&[("door", &bodies[0]), ("garden", &bodies[1]), ("yard", &bodies[2])]);
        assert_eq!(news(None, &first, None), [Told::Streams(Arc::clone(&first))]);
        let told = |name: &str, body: &Arc<str>| Told::Stream(name.to_owned(), Arc::clone(body));
        assert_eq!(
            news(Some(&first), &last, None),
            [told("garden", &bodies[1]), told("yard", &bodies[2]), Told::Removed("gate".to_owned())]
        );
        assert_eq!(news(Some(&last), &last, None), []);
        assert_eq!(news(Some(&first), &last, Some("door")), [Told::Viewers, Told::Log]);
        assert_eq!(
            news(Some(&first), &last, Some("yard")),
            [told("yard", &bodies[2]), Told::Viewers, Told::Log]
        );
    }
}
