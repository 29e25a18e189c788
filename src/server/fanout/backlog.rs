//! The bursts that some viewer of a worker has still to get.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::{Burst, RING};

/// The latest bursts of a stream, as far back as the viewer furthest behind needs them, and never more than the stream's
/// ring holds. Empty while all are in step.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// In the order of their ids.
    bursts: VecDeque<Arc<Burst>>,
    /// The id of the last burst that is gone although somebody may have needed it.
    lost: u64,
    /// The id of the newest burst.
    newest: u64,
}

/// What the backlog has for a viewer.
#[derive(Debug)]
pub(super) enum Missed {
    /// The next burst.
    Burst(Arc<Burst>),
    /// The backlog went past the viewer up to the burst with this id.
    Lagged(u64),
    /// Nothing: the viewer has everything.
    Nothing,
}

impl Backlog {
    /// The id of the newest burst.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds the newest burst.
    pub(super) fn push(&mut self, burst: &Arc<Burst>) {
        if self.bursts.len() == RING
            && let Some(oldest) = self.bursts.pop_front()
        {
            self.lost = oldest.id();
        }
        self.bursts.push_back(Arc::clone(burst));
        self.newest = burst.id();
    }

    /// What a viewer gets next whose last burst was the one with the id `last`.
    pub(super) fn after(&self, last: u64) -> Missed {
        if last < self.lost {
            return Missed::Lagged(self.lost);
        }
        let next = self.bursts.partition_point(|burst| burst.id() <= last);
        self.bursts.get(next).map_or(Missed::Nothing, |burst| Missed::Burst(Arc::clone(burst)))
    }

    /// Forgets what is not needed: `furthest` is the last burst that the viewer furthest behind has, if one is behind.
    pub(super) fn forget(&mut self, furthest: Option<u64>) {
        match furthest {
            Some(last) => {
                let had = self.bursts.partition_point(|burst| burst.id() <= last);
                self.bursts.drain(..had);
            }
            None => self.bursts.clear(),
        }
    }

    /// The worker itself missed bursts: whatever viewers were behind with is no use any more.
    pub(super) fn lag(&mut self) {
        self.bursts.clear();
        self.lost = self.newest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::PacketKind;
    use crate::hub::BurstBuilder;
    use crate::rtp::{Header, Place};
    use crate::vocabulary::TrackId;

    fn burst() -> Arc<Burst> {
        let header =
            Header { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, payload: 12..12 };
        let place = Place { sequence: 1, timestamp: 2, lost: 0, reordered: false, restarted: false };
        let (mut builder, kind) = (BurstBuilder::default(), PacketKind::default());
        builder.push(TrackId(0), &header.write(), &header, place, kind, std::time::Instant::now());
        Arc::new(builder.finish(0).unwrap())
    }

    #[test]
    fn a_viewer_gets_what_it_missed_in_order_and_then_nothing() {
        let (mut backlog, bursts) = (Backlog::default(), [burst(), burst(), burst()]);
        for burst in &bursts {
            backlog.push(burst);
        }
        let mut last = bursts[0].id();
        for expected in &bursts[1..] {
            let Missed::Burst(burst) = backlog.after(last) else { panic!("a burst") };
            assert_eq!(burst.id(), expected.id());
            last = burst.id();
        }
        assert!(matches!(backlog.after(last), Missed::Nothing));
    }

    #[test]
    fn what_everybody_has_is_forgotten_and_nobody_is_told_of_a_loss() {
        let (mut backlog, bursts) = (Backlog::default(), [burst(), burst(), burst()]);
        for burst in &bursts {
            backlog.push(burst);
        }
        backlog.forget(Some(bursts[1].id()));
        assert_eq!(backlog.bursts.len(), 1);
        let Missed::Burst(burst) = backlog.after(bursts[1].id()) else { panic!("a burst") };
        assert_eq!(burst.id(), bursts[2].id());
        backlog.forget(None);
        assert!(backlog.bursts.is_empty());
        assert!(matches!(backlog.after(bursts[2].id()), Missed::Nothing));
    }

    #[test]
    fn who_is_further_behind_than_the_ring_is_long_is_told_once() {
        let mut backlog = Backlog::default();
        let first = burst();
        backlog.push(&first);
        for _ in 0..RING {
            backlog.push(&burst());
        }
        assert_eq!(backlog.bursts.len(), RING);
        let Missed::Lagged(up_to) = backlog.after(first.id() - 1) else { panic!("it missed one") };
        assert_eq!(up_to, first.id());
        assert!(matches!(backlog.after(up_to), Missed::Burst(_)));
    }

    #[test]
    fn what_the_worker_missed_its_slow_viewers_missed() {
        let mut backlog = Backlog::default();
        let first = burst();
        backlog.push(&first);
        backlog.push(&burst());
        backlog.lag();
        assert!(matches!(backlog.after(first.id()), Missed::Lagged(_)));
        assert!(matches!(backlog.after(backlog.newest()), Missed::Nothing));
    }
}
