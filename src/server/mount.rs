//! What stands behind a name: a live stream, or a file that each viewer plays on its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::playback::{ClipMount, Playback};
use crate::hub::{Delivery, Demand, Described, Hub, Stream};
use crate::rtp::WallTime;
use crate::vocabulary::TrackId;

/// Everything the server serves.
#[derive(Clone, Debug)]
pub struct Mounts {
    /// Live streams, which come and go at run time.
    pub hub: Arc<Hub>,
    /// Files, by name.
    pub clips: BTreeMap<String, Arc<ClipMount>>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub(super) enum Mount {
    Live(Arc<Stream>),
    Clip(Arc<ClipMount>),
}

/// Where a playing session gets its bursts from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a session has one, and keeps it in place")]
pub(super) enum Feed {
    /// The stream, whose bursts the worker's fan-out gives to all its viewers together. It stays wanted meanwhile.
    Live { _wanted: Demand },
    /// A file, which each viewer plays on its own.
    Clip(Playback),
}

impl Mounts {
    /// Only live streams.
    pub fn live(hub: Arc<Hub>) -> Self {
        Self { hub, clips: BTreeMap::new() }
    }

    /// What `path` leads to. The empty path leads to the only stream, where there is just one.
    pub(super) fn find(&self, path: &str) -> Option<Mount> {
        if let Some(stream) = self.hub.find(path) {
            return Some(Mount::Live(stream));
        }
        if let Some(clip) = self.clips.get(path) {
            return Some(Mount::Clip(Arc::clone(clip)));
        }
        let mut live = self.hub.streams();
        match (path.is_empty(), live.len(), self.clips.len()) {
            (true, 1, 0) => live.pop().map(Mount::Live),
            (true, 0, 1) => self.clips.values().next().cloned().map(Mount::Clip),
            _ => None,
        }
    }
}

impl Mount {
    /// The stream whose viewers and metrics these are. A file's stream is never published to.
    pub(super) fn stream(&self) -> &Arc<Stream> {
        match self {
            Self::Live(stream) => stream,
            Self::Clip(clip) => clip.stream(),
        }
    }

    /// The tracks: waits at most `patience` for a source that is on its way.
    pub(super) async fn describe(&self, patience: Duration) -> Option<Described> {
        match self {
            Self::Live(stream) => {
                let _wanted = stream.want();
                tokio::time::timeout(patience, stream.described()).await.ok().flatten()
            }
            Self::Clip(clip) => Some(clip.described().clone()),
        }
    }

    /// Length of what is played; `None` for a live stream.
    pub(super) fn duration(&self) -> Option<Duration> {
        match self {
            Self::Live { .. } => None,
            Self::Clip(clip) => clip.duration(),
        }
    }

    /// Whether the stream still is what the server has under its name.
    pub(super) fn is_gone(&self) -> bool {
        self.stream().is_closed()
    }
}

impl Feed {
    /// When the next burst of a file is due; `None` for a live stream.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Live { .. } => None,
            Self::Clip(playback) => Some(playback.due()),
        }
    }

    /// The burst of a file that is due; `None` for a live stream.
    pub(super) fn take(&mut self) -> Option<Delivery> {
        match self {
            Self::Live { .. } => None,
            Self::Clip(playback) => Some(playback.take()),
        }
    }

    /// The moment `now` on a track's timeline and on the wall clock, for a sender report.
    pub(super) fn report(&self, stream: &Stream, track: TrackId, now: Instant) -> Option<(u64, WallTime)> {
        match self {
            Self::Live { .. } => stream.report(track, now),
            Self::Clip(playback) => playback.report(now),
        }
    }
}
