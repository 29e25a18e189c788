//! What a stream remembers of its source's troubles: the last errors, the outages of the last day, what was learned.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::vocabulary::FailureClass;

/// The troubles of a source, bounded: the last [`Record::ERRORS`] different errors and [`Record::OUTAGES`] outages, and
/// numbers for the rest of a day.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The rule or the reasoning by which attempts are made; empty while nobody has said.
    pub strategy: String,
    /// What was learned about the source, a sentence each.
    pub learned: Vec<String>,
    /// Different errors, the latest one last.
    errors: VecDeque<Trouble>,
    /// Oldest first; only the last one may still go on.
    outages: VecDeque<Outage>,
    /// Outages that found no place any more, by the hour in which they ended.
    earlier: VecDeque<Hour>,
}

/// An error, and how often it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its class.
    pub class: FailureClass,
    /// What happened, in words, without secrets.
    pub message: String,
    /// When it came first.
    pub first: Instant,
    /// When it came last.
    pub last: Instant,
    /// How often.
    pub count: u64,
}

/// A time without packets of a source that should have delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the last packet came, or, of a source that never delivered, when it should have.
    pub start: Instant,
    /// When it was back, or not wanted any more; `None` = it goes on.
    pub end: Option<Instant>,
    /// What it began with.
    pub class: FailureClass,
    /// The same in words.
    pub message: String,
}

/// The outages of a day in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutageTotal {
    /// How many, the one going on included.
    pub count: u64,
    /// How long they were together.
    pub duration: Duration,
}

/// What is left of outages whose details are forgotten.
#[derive(Clone, Copy, Debug)]
struct Hour {
    /// When the first of them ended.
    since: Instant,
    total: OutageTotal,
}

impl Record {
    /// Errors remembered; the same one in other words of the camera counts anew.
    pub const ERRORS: usize = 16;
    /// Outages remembered one by one.
    pub const OUTAGES: usize = 50;

    /// The last errors that differ, the latest one first.
    pub fn errors(&self) -> impl Iterator<Item = &Trouble> {
        self.errors.iter().rev()
    }

    /// The outages of the day before `now` whose details are known, the latest one first.
    pub fn outages(&self, now: Instant) -> impl Iterator<Item = &Outage> {
        self.outages.iter().rev().filter(move |outage| outage.is_recent(now))
    }

    /// All outages of the day before `now` in numbers. Of one that began earlier, the part within the day counts. Where
    /// there were more than [`Record::OUTAGES`], the oldest leave by the hour.
    pub fn total(&self, now: Instant) -> OutageTotal {
        let mut total = OutageTotal::default();
        for outage in self.outages(now) {
            let longest = now.saturating_duration_since(outage.start).min(DAY);
            let after = outage.end.map_or(Duration::ZERO, |end| now.saturating_duration_since(end));
            total.add(longest.saturating_sub(after));
        }
        for hour in self.earlier.iter().filter(|hour| now.saturating_duration_since(hour.since) < DAY) {
            total.count += hour.total.count;
            total.duration += hour.total.duration;
        }
        total
    }

    /// An attempt or a session failed at `now`.
    pub(super) fn failed(&mut self, class: FailureClass, message: &str, now: Instant) {
        let known = self.errors.iter().position(|error| error.class == class && error.message == message);
        let error = known.and_then(|at| self.errors.remove(at));
        let error = match error {
            Some(error) => Trouble { last: now, count: error.count + 1, ..error },
            None => Trouble { class, message: message.to_owned(), first: now, last: now, count: 1 },
        };
        if self.errors.len() >= Self::ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    /// The source has been away since `start`, unless that is known.
    pub(super) fn outage_begins(&mut self, start: Instant, class: FailureClass, message: &str) {
        if self.outages.back().is_some_and(|outage| outage.end.is_none()) {
            return;
        }
        if self.outages.len() >= Self::OUTAGES
            && let Some(oldest) = self.outages.pop_front()
        {
            self.fold(&oldest);
        }
        self.outages.push_back(Outage { start, end: None, class, message: message.to_owned() });
    }

    /// The source is back at `now`, or not wanted any more.
    pub(super) fn outage_ends(&mut self, now: Instant) {
        if let Some(outage) = self.outages.back_mut() {
            outage.end.get_or_insert(now.max(outage.start));
        }
    }

    /// Keeps the numbers of an outage that is over.
    fn fold(&mut self, outage: &Outage) {
        let end = outage.end.unwrap_or(outage.start);
        let duration = end.saturating_duration_since(outage.start);
        self.earlier.retain(|hour| end.saturating_duration_since(hour.since) < DAY);
        match self.earlier.back_mut() {
            Some(hour) if end.saturating_duration_since(hour.since) < HOUR => hour.total.add(duration),
            _ => self
                .earlier
                .push_back(Hour { since: end, total: OutageTotal { count: 1, duration: duration.min(DAY) } }),
        }
    }
}

impl Outage {
    /// Whether part of it lies within the day before `now`.
    fn is_recent(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| now.saturating_duration_since(end) < DAY)
    }
}

impl OutageTotal {
    fn add(&mut self, duration: Duration) {
        self.count += 1;
        self.duration += duration;
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn an_error_that_comes_again_is_counted_and_is_the_latest() {
        let start = Instant::now();
        let mut record = Record::default();
        for (at, class, message) in [
            (0, FailureClass::Refused, "refused"),
            (1, FailureClass::Reset, "reset"),
            (2, FailureClass::Refused, "refused"),
            (3, FailureClass::Refused, "refused in other words"),
            (4, FailureClass::Refused, "refused"),
        ] {
            record.failed(class, message, start + S(at));
        }
        let errors: Vec<_> = record.errors().map(|e| (e.message.as_str(), e.count)).collect();
        assert_eq!(errors, [("refused", 3), ("refused in other words", 1), ("reset", 1)]);
        let latest = record.errors().next().unwrap();
        assert_eq!((latest.first, latest.last), (start, start + S(4)));
    }

    #[test]
    fn errors_are_bounded_and_the_oldest_go() {
        let mut record = Record::default();
        for n in 0..100 {
            record.failed(FailureClass::Status, &format!("status {n}"), Instant::now());
        }
        assert_eq!(record.errors().count(), Record::ERRORS);
        assert_eq!(record.errors().next().unwrap().message, "status 99");
    }

    #[test]
    fn outages_of_the_last_day_are_listed_and_added_up() {
        let start = Instant::now();
        let mut record = Record::default();
        record.outage_ends(start);
        record.outage_begins(start, FailureClass::Reset, "reset");
        record.outage_begins(start + S(1), FailureClass::Refused, "still away");
        record.outage_ends(start + S(10));
        record.outage_ends(start + S(99));
        record.outage_begins(start + S(100), FailureClass::Stall, "no picture");
        let now = start + S(130);
        let listed: Vec<_> = record.outages(now).map(|o| (o.message.as_str(), o.end)).collect();
        assert_eq!(listed, [("no picture", None), ("reset", Some(start + S(10)))]);
        assert_eq!(record.total(now), OutageTotal { count: 2, duration: S(40) });
        // A day later the first is forgotten, and the other one has lasted all day.
        let later = now + DAY;
        assert_eq!(record.outages(later).count(), 1);
        assert_eq!(record.total(later), OutageTotal { count: 1, duration: DAY });
    }

    #[test]
    fn a_camera_that_flaps_all_day_costs_no_more_and_is_counted_all_the_same() {
        let start = Instant::now();
        let mut record = Record::default();
        let mut now = start;
        for _ in 0..3 * 24 * 60 {
            record.outage_begins(now, FailureClass::Reset, "reset");
            record.outage_ends(now + S(6));
            now += S(60);
        }
        assert_eq!(record.outages(now).count(), Record::OUTAGES);
        assert!(record.earlier.len() <= 25, "{}", record.earlier.len());
        let total = record.total(now);
        assert!(total.count.abs_diff(24 * 60) <= 60, "{total:?}");
        assert_eq!(total.duration, S(6) * u32::try_from(total.count).unwrap());
    }
}
