//! Several attempts side by side: when the next one starts, and who stays when one has proven itself.

use std::time::{Duration, Instant};

use super::{Race, Wins};

/// A race under way.
#[derive(Clone, Copy, Debug)]
pub struct Heat {
    race: Race,
    started: u8,
    next: Instant,
}

impl Heat {
    /// A race whose first attempt starts now.
    pub fn new(race: Race, now: Instant) -> Self {
        Self { race, started: 1, next: now + race.stagger }
    }

    /// When the next attempt starts, if there is one more.
    pub fn next(&self) -> Option<Instant> {
        (self.started < self.race.attempts).then_some(self.next)
    }

    /// Whether one more attempt starts now; it is counted as started.
    pub fn start(&mut self, now: Instant) -> bool {
        let due = self.next().is_some_and(|next| next <= now);
        if due {
            self.started += 1;
            self.next = now + self.race.stagger;
        }
        due
    }

    /// No more attempts: one has proven itself.
    pub fn stop(&mut self) {
        self.started = self.race.attempts;
    }

    /// Whether the others are given up as soon as one attempt has an answer.
    pub fn until_answered(&self) -> bool {
        self.race == SILENT_HOST
    }

    /// Which of two sessions stays.
    pub fn wins(&self) -> Wins {
        self.race.wins
    }
}

impl Wins {
    /// Whether an attempt goes on after another one has proven itself; both by the order in which they were opened.
    pub fn goes_on(self, attempt: u64, winner: u64) -> bool {
        match self {
            Self::First => false,
            Self::Last => attempt > winner,
        }
    }
}

/// Attempts at a host that says nothing at all: a lost SYN is sent again only after a second, and one that reaches a
/// host a moment before it is up is lost. As soon as one is answered, the others are given up.
pub const SILENT_HOST: Race = Race { attempts: 6, stagger: Duration::from_millis(300), wins: Wins::First };

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn attempts_start_one_after_the_other_and_no_more_than_allowed() {
        let now = Instant::now();
        let mut heat = Heat::new(Race { attempts: 3, stagger: ms(150), wins: Wins::First }, now);
        assert!(!heat.start(now + ms(149)));
        assert_eq!(heat.next(), Some(now + ms(150)));
        assert!(heat.start(now + ms(160)) && !heat.start(now + ms(300)));
        assert!(heat.start(now + ms(310)));
        assert_eq!(heat.next(), None);
        assert!(!heat.start(now + ms(9999)));
        let mut heat = Heat::new(SILENT_HOST, now);
        heat.stop();
        assert_eq!(heat.next(), None);
    }

    #[test]
    fn the_first_sends_all_others_home_and_the_last_only_older_ones() {
        assert!(!Wins::First.goes_on(1, 2) && !Wins::First.goes_on(3, 2));
        assert!(!Wins::Last.goes_on(1, 2) && Wins::Last.goes_on(3, 2));
    }
}
