//! What a viewer gets ahead of the bursts that come: after PLAY, and after it has lost its place in the ring.
//!
//! The bursts since the newest key frame are taken from the stream's cache when the viewer's task asks for the first time,
//! after the answer to PLAY has been written and the viewer follows the ring: so none is missed, and those that come by both
//! ways are known by their ids. A connection takes them as fast as its socket does. Over UDP nothing holds the relay up, and
//! what is too much for a receiver's socket buffer is lost: there the bursts are spread in time, at most [`PACE`] bytes a
//! millisecond and one burst in [`DECODING`] (but all of them within half of `max_lag`), for as long as the viewer is behind
//! what comes. Live bursts wait their turn meanwhile, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::player::Player;
use crate::config::FastStart;
use crate::hub::{Burst, Stream};
use crate::vocabulary::Transport;

/// The bursts that one viewer gets ahead of those that come.
#[derive(Debug)]
pub(super) struct Ahead {
    /// PLAY has asked for them; they are still to be taken.
    wanted: bool,
    bursts: VecDeque<Arc<Burst>>,
    /// Over UDP while the viewer is behind: not before this moment.
    not_before: Option<Instant>,
    /// The least time between two bursts meanwhile.
    pause: Duration,
    transport: Transport,
}

impl Ahead {
    pub(super) fn new(transport: Transport) -> Self {
        Self { wanted: false, bursts: VecDeque::new(), not_before: None, pause: Duration::ZERO, transport }
    }

    /// After PLAY: to be taken from the stream when the next burst is asked for.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// When the next burst may be sent, from here or from the ring; `None` = at once.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The next burst ahead of the ring.
    pub(super) fn take(&mut self, stream: &Stream, player: &mut Player) -> Option<Arc<Burst>> {
        if std::mem::take(&mut self.wanted) {
            let start = stream.viewing().fast_start;
            if start != FastStart::Off && player.wants_pictures() {
                self.bursts = stream.since_key_frame();
                let now = Instant::now();
                player.open(&self.bursts, start, now);
                if self.transport == Transport::Udp && !self.bursts.is_empty() {
                    self.not_before = Some(now);
                    self.pause = DECODING.min(stream.viewing().max_lag / 2 / self.bursts.len() as u32);
                }
            }
        }
        self.bursts.pop_front()
    }

    /// The ring went past the viewer. What it missed is in the cache, or at least the newest key frame with all that
    /// followed; if that is older than `max_lag` it waits for the next one.
    pub(super) fn recover(&mut self, stream: &Stream, player: &mut Player) {
        let Some((id, received)) = stream.newest_key_frame() else { return player.lose() };
        let seen = player.seen();
        if id > seen {
            player.lose();
            if received.elapsed() > stream.viewing().max_lag {
                return;
            }
        }
        self.bursts = stream.since_key_frame();
        self.bursts.retain(|burst| burst.id() > seen);
    }

    /// `bytes` of a burst were sent at `now`.
    pub(super) fn sent(&mut self, burst: &Burst, bytes: u64, now: Instant) {
        let Some(not_before) = self.not_before else { return };
        let in_step = self.bursts.is_empty() && now.saturating_duration_since(burst.received()) < IN_STEP;
        let pause = Duration::from_nanos(bytes * 1_000_000 / PACE).max(self.pause);
        // From when it was due: a timer that fires late does not slow the whole down.
        self.not_before = (!in_step).then(|| not_before.max(now - pause.min(LATE_TIMER)) + pause);
    }
}

/// Bytes a millisecond to a viewer over UDP that is behind: 64 Mbit/s, so that 8 MiB take a second, and what an idle
/// receiver misses in 10 ms fits half of the smallest usual socket buffer (208 KiB).
const PACE: u64 = 8 * 1024;

/// The time of a frame in a slow decoder: ffmpeg, for one, does not read while it decodes.
const DECODING: Duration = Duration::from_millis(4);

/// A burst that is no older than this was sent as it came.
const IN_STEP: Duration = Duration::from_millis(20);

/// A pause that the timer made longer than it was by less than this is made up for.
const LATE_TIMER: Duration = Duration::from_millis(2);
