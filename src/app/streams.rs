//! The streams that run, kept as the configuration says.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::{Quirks, Source, Stream as Settings, StreamName};
use crate::hub::{Hub, Provenance};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::source::{self, Sources};
use crate::workers::Workers;

/// The sources of all streams.
pub(super) struct Streams {
    hub: Arc<Hub>,
    workers: Workers,
    sources: Sources,
    journal: Arc<Journal>,
    running: BTreeMap<StreamName, Running>,
}

struct Running {
    settings: Settings,
    stop: CancellationToken,
}

impl Streams {
    pub(super) fn new(hub: Arc<Hub>, workers: Workers, quirks: Arc<Quirks>, journal: Arc<Journal>) -> Self {
        let sources = Sources::new(Arc::clone(hub.metrics())).with_quirks(quirks);
        Self { hub, workers, sources, journal, running: BTreeMap::new() }
    }

    /// What the process counts.
    pub(super) fn metrics(&self) -> &Metrics {
        self.hub.metrics()
    }

    /// Goes over from one configuration to the next: what is the same in both is not touched, nor are streams that were
    /// added through the API and are in neither.
    pub(super) fn apply(
        &mut self,
        before: &BTreeMap<StreamName, Settings>,
        wanted: &BTreeMap<StreamName, Settings>,
    ) {
        for name in before.keys().filter(|name| !wanted.contains_key(*name)) {
            self.remove(name);
        }
        for (name, settings) in wanted.iter().filter(|(name, settings)| before.get(*name) != Some(settings)) {
            self.put(name, settings);
        }
    }

    /// Starts a stream, or restarts it when it differs.
    pub(super) fn put(&mut self, name: &StreamName, settings: &Settings) -> Put {
        let put = match self.running.remove(name) {
            Some(running) if running.settings == *settings => {
                self.running.insert(name.clone(), running);
                return Put::Unchanged;
            }
            Some(running) => {
                running.stop.cancel();
                Put::Replaced
            }
            None => Put::Created,
        };
        self.journal.open(name.as_str());
        let mut publisher = self.hub.add_with(name.as_str(), settings.viewing.clone());
        publisher.coalesce(settings.coalesce);
        publisher.stream().comes_from(provenance(settings));
        let (stop, sources) = (CancellationToken::new(), self.sources.clone());
        self.running.insert(name.clone(), Running { settings: settings.clone(), stop: stop.clone() });
        let settings = settings.clone();
        self.workers.spawn("source", move || source::run(publisher, settings, sources, stop));
        put
    }

    /// What a stream runs with.
    pub(super) fn settings(&self, name: &StreamName) -> Option<&Settings> {
        self.running.get(name).map(|running| &running.settings)
    }

    /// Stops a stream. Returns whether there was one.
    pub(super) fn remove(&mut self, name: &StreamName) -> bool {
        let Some(running) = self.running.remove(name) else { return false };
        running.stop.cancel();
        self.hub.remove(name.as_str());
        self.journal.forget(name.as_str());
        true
    }

    /// Stops every source; they say goodbye to their cameras. The streams stay listed to the end.
    pub(super) fn stop(&self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
    }
}

/// What became of a stream that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Created,
    Replaced,
    Unchanged,
}

/// What page and API say of where a stream comes from.
fn provenance(settings: &Settings) -> Provenance {
    let from = match &settings.source {
        Source::Cameras(cameras) => cameras.iter().map(ToString::to_string).collect(),
        Source::File { path, .. } => vec![path.display().to_string()],
    };
    Provenance { from, on_demand: settings.on_demand, settings: settings.written.shown().map(Arc::new) }
}
