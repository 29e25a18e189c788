//! The pictures since the newest key frame: what a viewer needs in order to see the newest one.
//!
//! One for each stream, shared by all its viewers: it holds the very bursts that went through the ring. It begins with the
//! burst that brings the first packet of a key frame of the main track (the first track of pictures), and holds whatever
//! comes after that, of all tracks. Where every frame is a key frame (JPEG) that is one frame; a stream of sound has none.
//!
//! It is bounded in bytes and in age. Beyond either it is dropped as a whole until the next key frame, since a part of it
//! is of no use: viewers then wait for that, as they would without a cache.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::burst::Burst;
use crate::vocabulary::TrackId;

/// The bursts since the newest key frame of a stream.
#[derive(Debug)]
pub(super) struct GopCache {
    max_bytes: usize,
    max_age: Duration,
    /// The track whose key frames count.
    main: Option<TrackId>,
    /// Empty until there is a key frame.
    bursts: VecDeque<Arc<Burst>>,
    bytes: usize,
    /// When the newest burst of all arrived, cached or not.
    newest: Option<Instant>,
}

/// What pushing a burst did.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// The bursts that are not cached any more: to be let go where nobody waits for the cache.
    pub(super) _replaced: VecDeque<Arc<Burst>>,
    /// A bound was exceeded.
    pub(super) dropped: bool,
}

impl GopCache {
    pub(super) fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self { max_bytes, max_age, main: None, bursts: VecDeque::new(), bytes: 0, newest: None }
    }

    /// An epoch begins: what follows does not build on what came before. `main` is the track whose key frames count.
    pub(super) fn begin(&mut self, main: Option<TrackId>) {
        self.main = main;
        self.clear();
    }

    /// The epoch is over: who comes now is not shown what was.
    pub(super) fn end(&mut self) {
        self.clear();
    }

    /// Takes the next burst of the stream.
    pub(super) fn push(&mut self, burst: &Arc<Burst>) -> Pushed {
        self.newest = Some(burst.received());
        let of_main = || burst.packets().iter().rev().filter(|packet| Some(packet.track) == self.main);
        let mut pushed = Pushed::default();
        if of_main().any(|packet| packet.key) {
            // A new allocation now and then, and no freeing of a whole group of pictures under the lock.
            pushed._replaced = std::mem::take(&mut self.bursts);
            self.bytes = 0;
        } else if of_main().any(|packet| packet.restarted) {
            pushed._replaced = self.clear();
            return pushed;
        } else if self.bursts.is_empty() {
            return pushed;
        }
        self.bytes += burst.wire().len();
        self.bursts.push_back(Arc::clone(burst));
        if self.bytes > self.max_bytes || self.age() > self.max_age {
            pushed._replaced = self.clear();
            pushed.dropped = true;
        }
        pushed
    }

    /// The bursts, from the key frame on.
    pub(super) fn bursts(&self) -> VecDeque<Arc<Burst>> {
        self.bursts.clone()
    }

    /// The id of the burst in which the newest key frame begins, and when it arrived.
    pub(super) fn key(&self) -> Option<(u64, Instant)> {
        self.bursts.front().map(|burst| (burst.id(), burst.received()))
    }

    /// When the newest burst arrived.
    pub(super) fn newest(&self) -> Option<Instant> {
        self.newest
    }

    fn age(&self) -> Duration {
        match (self.bursts.front(), self.bursts.back()) {
            (Some(oldest), Some(newest)) => newest.received().saturating_duration_since(oldest.received()),
            _ => Duration::ZERO,
        }
    }

    fn clear(&mut self) -> VecDeque<Arc<Burst>> {
        self.bytes = 0;
        std::mem::take(&mut self.bursts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::BurstBuilder;
    use super::*;
    use crate::codec::PacketKind;
    use crate::rtp::{Header, Place};

    const VIDEO: TrackId = TrackId(0);
    const SOUND: TrackId = TrackId(1);

    /// A burst of one packet of 100 bytes, at `millis` after `start`.
    fn burst(start: Instant, millis: u64, track: TrackId, key: bool, restarted: bool) -> Arc<Burst> {
        let mut builder = BurstBuilder::default();
        let header =
            Header { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, payload: 12..12 };
        let mut packet = header.write().to_vec();
        packet.resize(100 - 4, 0);
        let place = Place { sequence: 1, timestamp: 2, lost: 0, reordered: false, restarted };
        let kind = PacketKind { key, frame_start: true, ..PacketKind::default() };
        builder.push(track, &packet, &header, place, kind, start + Duration::from_millis(millis));
        Arc::new(builder.finish(1).unwrap())
    }

    fn cache(max_bytes: usize, max_age: Duration) -> GopCache {
        let mut cache = GopCache::new(max_bytes, max_age);
        cache.begin(Some(VIDEO));
        cache
    }

    #[test]
    fn it_holds_what_came_since_the_newest_key_frame_of_the_pictures() {
        let (mut cache, start) = (cache(10_000, Duration::from_secs(10)), Instant::now());
        cache.push(&burst(start, 0, VIDEO, false, false));
        assert_eq!((cache.bursts().len(), cache.key()), (0, None), "nobody can begin here");
        let key = burst(start, 40, VIDEO, true, false);
        for burst in [&key, &burst(start, 50, SOUND, true, false), &burst(start, 80, VIDEO, false, false)] {
            cache.push(burst);
        }
        assert_eq!((cache.bursts().len(), cache.key()), (3, Some((key.id(), key.received()))));
        assert_eq!(cache.newest(), Some(start + Duration::from_millis(80)));
        let next = burst(start, 120, VIDEO, true, false);
        assert_eq!(cache.push(&next)._replaced.len(), 3);
        assert_eq!(cache.bursts().iter().map(|burst| burst.id()).collect::<Vec<_>>(), [next.id()]);
    }

    #[test]
    fn beyond_its_bounds_it_is_dropped_until_the_next_key_frame() {
        let start = Instant::now();
        for (mut cache, fits) in
            [(cache(350, Duration::from_secs(10)), 3), (cache(10_000, Duration::from_millis(100)), 3)]
        {
            let frames: Vec<bool> = (0..6)
                .map(|frame| cache.push(&burst(start, frame * 45, VIDEO, frame == 0, false)).dropped)
                .collect();
            assert_eq!(frames, [false, false, false, true, false, false]);
            assert_eq!(frames.iter().position(|dropped| *dropped), Some(fits));
            assert!(cache.bursts().is_empty() && cache.newest().is_some());
            cache.push(&burst(start, 300, VIDEO, true, false));
            assert_eq!(cache.bursts().len(), 1);
        }
    }

    #[test]
    fn a_new_epoch_does_not_build_on_the_one_before() {
        let (mut cache, start) = (cache(10_000, Duration::from_secs(10)), Instant::now());
        cache.push(&burst(start, 0, VIDEO, true, false));
        cache.push(&burst(start, 40, VIDEO, false, true));
        cache.push(&burst(start, 80, VIDEO, false, false));
        assert!(cache.bursts().is_empty());
        cache.push(&burst(start, 120, VIDEO, true, true));
        assert_eq!(cache.bursts().len(), 1);
        cache.begin(None);
        cache.push(&burst(start, 160, SOUND, true, false));
        assert!(cache.bursts().is_empty(), "sound has no pictures");
    }
}
