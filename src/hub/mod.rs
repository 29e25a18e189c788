//! The hub: where sources publish and viewers subscribe.
//!
//! A [`Stream`] is a ring of [`Burst`]s with one [`Publisher`] and any number of [`Subscription`]s. The publisher never
//! waits: a viewer that falls behind misses bursts, is told so, and harms nobody. Numbers that continue through
//! reconnects are computed once here, for all viewers ([`crate::rtp::Timeline`]). What one viewer says to the camera goes the
//! other way, through the [`BackChannel`]. While a source is away, [`Care`] looks after its viewers and [`Record`] keeps what
//! went wrong. [`History`] is what was, for who looks later.

mod back_channel;
mod burst;
mod cache;
mod capture;
mod care;
mod coalesce;
mod datagrams;
mod history;
mod outage;
mod publisher;
mod record;
mod sampling;
mod standby;
mod status;
mod stream;
mod subscription;
#[cfg(test)]
mod tests;
mod track;
mod viewer;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

pub use back_channel::{BackChannel, Floor, Talker};
pub use burst::{Burst, BurstBuilder, Packet};
pub use capture::{Capture, Way};
pub use care::Care;
pub use history::{History, Sample, Spell};
pub use publisher::Publisher;
pub use record::{Outage, OutageTotal, Record, Trouble};
pub use status::{BitRate, Described, Failure, Status, TrackStats};
pub use stream::{Demand, Provenance, RING, Stream};
pub use subscription::{Delivery, Subscription};
pub use viewer::{Seat, Tally, Viewer};

use tokio::sync::watch;

use crate::config::Viewing;
use crate::metrics::Metrics;

/// All streams, by name.
#[derive(Debug)]
pub struct Hub {
    metrics: Arc<Metrics>,
    /// Locked when a stream is looked up, added or removed; never on the way of a packet.
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    /// Told when there are other streams, or a source does something else.
    bell: watch::Sender<()>,
}

impl Hub {
    /// A hub without streams.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, streams: RwLock::default(), bell: watch::Sender::default() }
    }

    /// The process's metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Adds a stream with the default rules for its viewers, in place of one of the same name, whose viewers leave.
    pub fn add(&self, name: &str) -> Publisher {
        self.add_with(name, Viewing::default())
    }

    /// Adds a stream that is given to its viewers like this, in place of one of the same name, whose viewers leave.
    pub fn add_with(&self, name: &str, viewing: Viewing) -> Publisher {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: both have the same metrics, and the new one's state is to be the last word.
        let history = streams.get(name).map(|replaced| {
            replaced.close();
            replaced.history_shared()
        });
        let metrics = self.metrics.stream(name);
        let (stream, publisher) =
            Stream::with(name, metrics, viewing, self.bell.clone(), history.unwrap_or_default());
        streams.insert(name.to_owned(), stream);
        drop(streams);
        self.bell.send_replace(());
        publisher
    }

    /// Removes a stream, its viewers and its metrics.
    pub fn remove(&self, name: &str) {
        let removed = self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(stream) = removed {
            stream.close();
            self.metrics.remove_stream(name);
            self.bell.send_replace(());
        }
    }

    /// Notices that streams came or went, or that a source does something else.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// The stream of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All streams, by name.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
