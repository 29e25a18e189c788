//! The camera's register of sessions: who has one, and who has gone and still counts.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Register {
    sessions: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    /// When it is forgotten; `None` while its connection is open.
    until: Option<Instant>,
}

impl Register {
    /// Enters a session, unless there are `limit` already.
    pub(super) fn admit(&mut self, id: &str, limit: usize, now: Instant) -> bool {
        self.sessions.retain(|entry| entry.until.is_none_or(|until| until > now));
        let admitted = self.sessions.len() < limit;
        if admitted {
            self.sessions.push(Entry { id: id.to_owned(), until: None });
        }
        admitted
    }

    /// The connection of a session has gone without TEARDOWN: it counts for `kept` more.
    pub(super) fn lost(&mut self, id: &str, kept: Duration, now: Instant) {
        for entry in self.sessions.iter_mut().filter(|entry| entry.id == id) {
            entry.until = Some(now + kept);
        }
    }

    /// A TEARDOWN names it, on whatever connection. Gives whether it was there.
    pub(super) fn end(&mut self, id: &str) -> bool {
        let before = self.sessions.len();
        self.sessions.retain(|entry| entry.id != id);
        self.sessions.len() < before
    }
}

#[test]
fn a_lost_session_counts_until_it_is_forgotten_or_torn_down() {
    let (mut register, now, kept) = (Register::default(), Instant::now(), Duration::from_secs(30));
    assert!(register.admit("a", 1, now));
    assert!(!register.admit("b", 1, now));
    register.lost("a", kept, now);
    assert!(!register.admit("b", 1, now + kept / 2));
    assert!(register.admit("b", 1, now + kept));
    register.lost("b", kept, now);
    assert!(register.end("b") && !register.end("b"));
    assert!(register.admit("c", 1, now));
}
