//! Taking the samples of all streams.

use std::convert::Infallible;
use std::time::Instant;

use tokio::time::{self, MissedTickBehavior};

use super::history::{Counted, History, Sample};
use super::{Hub, Stream};

impl Hub {
    /// Takes a sample of every stream every ten seconds, for ever.
    pub async fn keep_history(&self) -> Infallible {
        let mut ticks = time::interval(History::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sample(Instant::now());
        }
    }

    /// Takes a sample of every stream.
    pub fn sample(&self, now: Instant) {
        for stream in self.streams() {
            stream.sample(now);
        }
    }
}

impl Stream {
    fn sample(&self, now: Instant) {
        let elapsed = self.elapsed(now);
        let described = self.status().borrow().described.clone();
        let tracks = described.iter().flat_map(|described| &described.description.tracks);
        let (mut sample, mut counted) = (Sample::default(), Counted::default());
        let mut is_video = false;
        for (track, stats) in tracks.zip(self.track_stats()) {
            let metrics = self.metrics().track(track.id);
            counted.lost += metrics.lost_packets.get();
            counted.received += metrics.received_packets.get();
            *sample.bit_rate.get_or_insert(0) += stats.bit_rate.per_second(elapsed) as u64;
            if sample.fps.is_none() || (track.is_video() && !is_video) {
                sample.fps = Some(stats.rate.per_second(elapsed) as f32);
                is_video |= track.is_video();
            }
        }
        sample.viewers = u32::try_from(self.viewers().len()).ok();
        counted.latency = self.metrics().latencies();
        let wall = self.wall(elapsed);
        self.history_with(|history| history.sample(sample, counted, wall));
    }
}
