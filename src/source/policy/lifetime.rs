//! Sessions that end after the same time, whatever one does: a camera that does not hear the keep-alives, a client that
//! does not hear the answers, a cap on the length of a session. Who knows the time opens the next session before it.

use std::time::Duration;

/// Learns after how long the sessions of a source end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetime {
    /// How long the last session lasted that ended by itself.
    last: Option<Duration>,
    known: Option<Duration>,
}

impl Lifetime {
    /// A session that delivered ended by itself after this time. One that a keep-alive `timed_out` tells the time all by
    /// itself; of other ends it takes two in a row that are alike.
    pub fn ended(&mut self, span: Duration, timed_out: bool) {
        let alike = |last: Duration| last.abs_diff(span) <= TOLERANCE.max(span / 30);
        let again = self.last.replace(span).is_some_and(alike);
        self.known = if span < SHORTEST {
            None
        } else if timed_out || again {
            Some(span)
        } else {
            // Ended sooner than it should: something else was the matter. Later: it was never so.
            self.known.filter(|known| *known > span || alike(*known))
        };
    }

    /// How long after its start a session should have been replaced; `None` where sessions last.
    pub fn renew_after(&self) -> Option<Duration> {
        self.known.map(|known| known - (known / 2).min(MARGIN))
    }
}

/// Finds sessions that end one like the other: the client may do something that this camera does not take, or not do what it
/// waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends(Option<Duration>);

impl Ends {
    /// A session ended by itself, or its media did, after this time; returns whether that was as with the one before.
    pub fn ended(&mut self, span: Duration) -> bool {
        let alike = |last: Duration| last.abs_diff(span) <= SLACK.max(span / 10);
        self.0.replace(span).is_some_and(alike) && span >= SHORTEST_TIMEOUT
    }
}

/// The end is seen between two packets, and the beginning with a key frame: a second of it, or a tenth.
const SLACK: Duration = Duration::from_secs(1);

/// No camera forgets a session sooner: what ends before that has another reason.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1500);

/// Sessions that last no longer are not renewed: that would be most of what there is to do.
const SHORTEST: Duration = Duration::from_secs(4);

/// Two spans that differ by less are alike; so are those that differ by a thirtieth.
const TOLERANCE: Duration = Duration::from_millis(700);

/// The replacement is opened this long before the end, or after half the time: it has to wait for a key frame.
const MARGIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_unanswered_keep_alive_tells_at_once_how_long_sessions_last() {
        let mut lifetime = Lifetime::default();
        assert_eq!(lifetime.renew_after(), None);
        lifetime.ended(s(60), true);
        assert_eq!(lifetime.renew_after(), Some(s(50)));
        lifetime.ended(s(5), true);
        assert_eq!(lifetime.renew_after(), Some(Duration::from_millis(2500)));
    }

    #[test]
    fn two_ends_after_the_same_time_are_a_rule_and_others_are_not() {
        let mut lifetime = Lifetime::default();
        for span in [s(60), s(300), s(61)] {
            lifetime.ended(span, false);
            assert_eq!(lifetime.renew_after(), None);
        }
        lifetime.ended(Duration::from_millis(60_500), false);
        assert_eq!(lifetime.renew_after(), Some(Duration::from_millis(50_500)));
        // A reboot in between changes nothing; a session that lasts longer disproves it.
        lifetime.ended(s(20), false);
        assert_eq!(lifetime.renew_after(), Some(Duration::from_millis(50_500)));
        lifetime.ended(s(400), false);
        assert_eq!(lifetime.renew_after(), None);
    }

    #[test]
    fn sessions_that_end_one_like_the_other_are_noticed_with_the_second() {
        let ends = |spans: &[u64]| {
            let mut ends = Ends::default();
            spans.iter().map(|span| ends.ended(s(*span))).collect::<Vec<_>>()
        };
        assert_eq!(ends(&[60, 63, 900, 60]), [false, true, false, false]);
        assert_eq!(ends(&[2, 2]), [false, true]);
        assert_eq!(ends(&[0, 0, 1, 1]), [false; 4], "a camera that dies at once has another trouble");
    }

    #[test]
    fn sessions_of_a_moment_are_not_renewed() {
        let mut lifetime = Lifetime::default();
        for _ in 0..5 {
            lifetime.ended(s(2), true);
            assert_eq!(lifetime.renew_after(), None);
        }
    }
}
