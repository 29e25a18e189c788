//! What a stream did: the spells of its source in the last day, and numbers of the last hour, one set every ten seconds.
//!
//! Kept in memory and bounded, whatever the camera does: a source that flaps all day has its shortest spells folded into
//! their neighbours, so that the day stays covered.

use std::collections::VecDeque;
use std::time::Duration;

use crate::rtp::WallTime;
use crate::vocabulary::{FailureClass, Phase};

/// The past of a stream.
#[derive(Clone, Debug, Default)]
pub struct History {
    spells: VecDeque<Spell>,
    samples: VecDeque<Sample>,
    /// When the newest sample was taken.
    sampled: Option<WallTime>,
    /// What had been counted then.
    counted: Option<Counted>,
}

/// A time in which a source did one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    /// When it began.
    pub from: WallTime,
    /// When it ended; `None` = it goes on.
    pub to: Option<WallTime>,
    /// What the source did. Attempts after a failure belong to the spell of [`Phase::Retrying`].
    pub phase: Phase,
    /// What it began with, where something failed: class, and words without secrets.
    pub why: Option<(FailureClass, String)>,
}

/// The numbers of ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Frames a second of the first video track, or of the first track; `None` without tracks, or where nobody looked.
    pub fps: Option<f32>,
    /// Bits a second of all tracks.
    pub bit_rate: Option<u64>,
    /// Half of the packets that went to viewers took at most so many milliseconds; `None` where none went.
    pub latency_p50: Option<f32>,
    /// The same of 99 in 100.
    pub latency_p99: Option<f32>,
    /// Who watched.
    pub viewers: Option<u32>,
    /// Packets that got lost on the way from the camera.
    pub lost: Option<u64>,
    /// Packets that came.
    pub received: u64,
}

/// Counters, and what they count by latency: the upper bounds in seconds and the packets up to each, the last one of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) lost: u64,
    pub(super) received: u64,
    pub(super) latency: Vec<(f64, u64)>,
}

impl History {
    /// Spells kept.
    pub const SPELLS: usize = 256;
    /// Samples kept: an hour.
    pub const SAMPLES: usize = 360;
    /// The time from one sample to the next.
    pub const EVERY: Duration = Duration::from_secs(10);

    /// The spells of the day before `now`, the oldest first.
    pub fn spells(&self, now: WallTime) -> impl Iterator<Item = &Spell> {
        self.spells.iter().filter(move |spell| spell.to.is_none_or(|to| now.since(to) < DAY))
    }

    /// The samples of the last hour, [`History::EVERY`] apart, and when the newest was taken.
    pub fn samples(&self) -> (impl ExactSizeIterator<Item = &Sample>, Option<WallTime>) {
        (self.samples.iter(), self.sampled)
    }

    /// The part of the packets of the last minute that got lost, from 0 to 1; `None` where there were none.
    pub fn loss(&self) -> Option<f64> {
        let minute = self.samples.iter().rev().take(6);
        let (lost, received) = minute.fold((0, 0), |(lost, received), sample| {
            (lost + sample.lost.unwrap_or(0), received + sample.received)
        });
        let all = lost + received;
        (all > 0).then(|| lost as f64 / all as f64)
    }

    /// The source does this from `now` on. The same again, for the same reason, goes on.
    pub(super) fn note(&mut self, phase: Phase, why: Option<(FailureClass, &str)>, now: WallTime) {
        let class = why.map(|(class, _)| class);
        if let Some(last) = self.spells.back_mut() {
            if last.phase == phase && last.why.as_ref().map(|(class, _)| *class) == class {
                return;
            }
            last.to = Some(now);
        }
        self.spells.retain(|spell| spell.to.is_none_or(|to| now.since(to) < DAY));
        if self.spells.len() >= Self::SPELLS {
            self.fold();
        }
        let why = why.map(|(class, message)| (class, message.chars().take(MAX_WHY).collect()));
        self.spells.push_back(Spell { from: now, to: None, phase, why });
    }

    /// Lets the spell before the shortest one go on in its place, and in that of the next where it is alike.
    fn fold(&mut self) {
        let length = |spell: &Spell| spell.to.map_or(i64::MAX, |to| to.since(spell.from));
        // Not the first, which has none before it.
        let shortest = (1..self.spells.len()).min_by_key(|at| length(&self.spells[*at]));
        let Some(at) = shortest else { return };
        if let Some(gone) = self.spells.remove(at) {
            self.spells[at - 1].to = gone.to;
        }
        let (before, after) = (&self.spells[at - 1], self.spells.get(at));
        if after.is_some_and(|after| after.phase == before.phase)
            && let Some(after) = self.spells.remove(at)
        {
            self.spells[at - 1].to = after.to;
        }
    }

    /// Takes the numbers of the ten seconds before `now`. Times in which nobody took any are left empty.
    pub(super) fn sample(&mut self, sample: Sample, counted: Counted, now: WallTime) {
        let missed = self.sampled.map_or(0, |last| (now.since(last) - EVERY / 2).max(0) / EVERY);
        for _ in 0..missed.min(Self::SAMPLES as i64) {
            self.push(Sample::default());
        }
        let mut sample = sample;
        if let Some(before) = self.counted.replace(counted.clone()) {
            sample.lost = Some(counted.lost.saturating_sub(before.lost));
            sample.received = counted.received.saturating_sub(before.received);
            let millis = |part| {
                quantile(&before.latency, &counted.latency, part).map(|seconds| (seconds * 1e3) as f32)
            };
            (sample.latency_p50, sample.latency_p99) = (millis(0.5), millis(0.99));
        }
        self.push(sample);
        self.sampled = Some(now);
    }

    fn push(&mut self, sample: Sample) {
        if self.samples.len() >= Self::SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// The latency that this part of what was counted between two looks stayed below, interpolated within its bucket. Of what
/// is beyond the last bound nothing is known but that.
fn quantile(before: &[(f64, u64)], after: &[(f64, u64)], part: f64) -> Option<f64> {
    let counted = |at: usize| {
        let earlier = before.get(at).map_or(0, |(_, count)| *count);
        after.get(at).map_or(0, |(_, count)| count.saturating_sub(earlier))
    };
    let all = counted(after.len().checked_sub(1)?);
    if all == 0 {
        return None;
    }
    let rank = part * all as f64;
    let (mut low, mut below) = (0.0, 0);
    for (at, (bound, _)) in after.iter().enumerate() {
        let up_to = counted(at);
        if up_to as f64 >= rank && up_to > below {
            let inside = (rank - below as f64) / (up_to - below) as f64;
            return Some(if bound.is_finite() { low + (bound - low) * inside.max(0.0) } else { low });
        }
        (low, below) = (*bound, up_to);
    }
    Some(low)
}

/// Nanoseconds, as [`WallTime::since`] gives them.
const DAY: i64 = 86_400_000_000_000;
const EVERY: i64 = History::EVERY.as_nanos() as i64;

/// Characters of a reason that are kept.
const MAX_WHY: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> WallTime {
        WallTime(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    const REFUSED: Option<(FailureClass, &str)> = Some((FailureClass::Refused, "connection refused"));

    #[test]
    fn spells_follow_each_other_and_the_same_again_goes_on() {
        let mut history = History::default();
        history.note(Phase::Connecting, None, at(0));
        history.note(Phase::Live, None, at(1));
        history.note(Phase::Retrying, REFUSED, at(60));
        history.note(Phase::Retrying, Some((FailureClass::Refused, "refused again")), at(62));
        history.note(Phase::Retrying, Some((FailureClass::Unauthorized, "401")), at(64));
        history.note(Phase::Live, None, at(70));
        let shown: Vec<_> = history
            .spells(at(80))
            .map(|spell| (spell.phase, spell.from, spell.to, spell.why.as_ref().map(|why| why.1.as_str())))
            .collect();
        assert_eq!(
            shown,
            [
                (Phase::Connecting, at(0), Some(at(1)), None),
                (Phase::Live, at(1), Some(at(60)), None),
                (Phase::Retrying, at(60), Some(at(64)), Some("connection refused")),
                (Phase::Retrying, at(64), Some(at(70)), Some("401")),
                (Phase::Live, at(70), None, None),
            ]
        );
        let tomorrow = at(70 + 86_400);
        assert_eq!(history.spells(tomorrow).count(), 1, "what ended a day ago is no more");
    }

    #[test]
    fn a_source_that_flaps_all_day_costs_no_more_and_leaves_no_hole() {
        let mut history = History::default();
        history.note(Phase::Live, None, at(0));
        for n in 1..2000 {
            // Away for two seconds a minute, and once for ten minutes.
            let long = if n == 700 { 600 } else { 0 };
            history.note(Phase::Retrying, REFUSED, at(n * 43));
            history.note(Phase::Live, None, at(n * 43 + 2 + long.min(40)));
        }
        let spells: Vec<_> = history.spells(at(86_000)).collect();
        assert!(spells.len() <= History::SPELLS && spells.len() > History::SPELLS / 2, "{}", spells.len());
        assert!(spells.windows(2).all(|two| two[0].to == Some(two[1].from)));
        assert!(spells.iter().any(|spell| spell.phase == Phase::Retrying && spell.from == at(700 * 43)));
        let long = "x".repeat(5000);
        history.note(Phase::Retrying, Some((FailureClass::Status, &long)), at(86_001));
        assert_eq!(history.spells.back().unwrap().why.as_ref().unwrap().1.len(), MAX_WHY);
    }

    #[test]
    fn an_hour_of_samples_is_kept_and_time_without_any_is_empty() {
        let mut history = History::default();
        let fps = |fps| Sample { fps: Some(fps), ..Sample::default() };
        for n in 0..400i16 {
            history.sample(fps(f32::from(n)), Counted::default(), at(i64::from(n) * 10));
        }
        assert_eq!(history.samples().0.len(), History::SAMPLES);
        assert_eq!(history.samples().0.next().unwrap().fps, Some(40.0));
        history.sample(fps(1.0), Counted::default(), at(3990 + 32));
        let newest: Vec<_> = history.samples().0.rev_fps(4);
        assert_eq!(newest, [Some(1.0), None, None, Some(399.0)]);
        // The host slept for a week.
        history.sample(fps(2.0), Counted::default(), at(600_000));
        assert_eq!(history.samples().0.rev_fps(2), [Some(2.0), None]);
        assert_eq!(history.samples().0.len(), History::SAMPLES);
    }

    trait RevFps {
        fn rev_fps(self, count: usize) -> Vec<Option<f32>>;
    }

    impl<'a, I: Iterator<Item = &'a Sample>> RevFps for I {
        fn rev_fps(self, count: usize) -> Vec<Option<f32>> {
            let all: Vec<_> = self.map(|sample| sample.fps).collect();
            all.into_iter().rev().take(count).collect()
        }
    }

    #[test]
    fn loss_and_latency_are_those_of_the_time_between() {
        let mut history = History::default();
        let counted = |lost, received, latency: [u64; 3]| Counted {
            lost,
            received,
            latency: [0.001, 0.010, f64::INFINITY].into_iter().zip(latency).collect(),
        };
        history.sample(Sample::default(), counted(50, 100, [7, 8, 9]), at(0));
        assert_eq!(history.loss(), None, "what was before is not of this time");
        history.sample(Sample::default(), counted(51, 199, [107, 108, 109]), at(10));
        let newest = *history.samples().0.last().unwrap();
        assert_eq!((newest.lost, newest.received, history.loss()), (Some(1), 99, Some(0.01)));
        let near = |found: Option<f32>, wanted: f32| (found.unwrap() - wanted).abs() < 0.001;
        assert!(near(newest.latency_p50, 0.5) && near(newest.latency_p99, 0.99), "{newest:?}");
        history.sample(Sample::default(), counted(51, 199, [107, 108, 309]), at(20));
        assert!(near(history.samples().0.last().unwrap().latency_p99, 10.0), "beyond the last bound");
        history.sample(Sample::default(), counted(51, 199, [107, 108, 309]), at(30));
        assert_eq!(history.samples().0.last().unwrap().latency_p99, None, "nobody watched");
    }
}
