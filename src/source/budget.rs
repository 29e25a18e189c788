//! How many connections all streams together may have with one camera.
//!
//! Every session counts, and so does a connection that is kept for later; those of streams without a limit count for the
//! others. Who finds none free waits. A connection that is merely kept gives way.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

use super::error::Error;
use super::session::{Event, Session};
use crate::sdp::{Description, Track};
use crate::vocabulary::Transport;

/// The connections with one host.
#[derive(Debug, Default)]
pub(super) struct Budget(watch::Sender<Load>);

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    open: usize,
    /// Who would connect if there were room.
    waiting: usize,
}

/// A connection that counts, by being held.
#[derive(Debug)]
pub(super) struct Connection {
    budget: Arc<Budget>,
    /// There is a limit: others are let in when this one has said goodbye.
    scarce: bool,
}

/// A session that counts.
pub(super) struct Counted {
    /// Dropped before its connection is free.
    session: Box<dyn Session>,
    _connection: Connection,
}

/// Somebody who waits, by being held.
struct Waiting<'a>(&'a Budget);

impl Budget {
    /// Waits until fewer connections are open than `most`, and counts one more. `waits` is called once if there is a wait.
    pub(super) async fn connect(self: &Arc<Self>, most: Option<usize>, waits: impl FnOnce()) -> Connection {
        if let Some(connection) = self.try_connect(most) {
            return connection;
        }
        waits();
        let _waiting = Waiting::new(self);
        let mut load = self.0.subscribe();
        loop {
            if let Some(connection) = self.try_connect(most) {
                return connection;
            }
            // The sender is ours.
            let _ = load.changed().await;
        }
    }

    /// Counts one more connection if fewer than `most` are open.
    pub(super) fn try_connect(self: &Arc<Self>, most: Option<usize>) -> Option<Connection> {
        let connects = self.0.send_if_modified(|load| {
            let room = most.is_none_or(|most| load.open < most);
            load.open += usize::from(room);
            room
        });
        connects.then(|| Connection { budget: Arc::clone(self), scarce: most.is_some() })
    }
}

impl Connection {
    /// Counts until the session is over.
    pub(super) fn of(self, session: Box<dyn Session>) -> Counted {
        Counted { session, _connection: self }
    }

    /// Ready when somebody waits for a connection with this host.
    pub(super) async fn wanted(&self) {
        // The sender lives as long as we do.
        let _ = self.budget.0.subscribe().wait_for(|load| load.waiting > 0).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let budget = Arc::clone(&self.budget);
        let free = move || budget.0.send_modify(|load| load.open -= 1);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.scarce => {
                runtime.spawn(async move {
                    time::sleep(GOODBYE).await;
                    free();
                });
            }
            _ => free(),
        }
    }
}

impl Session for Counted {
    fn description(&self) -> &Description {
        self.session.description()
    }

    fn transport(&self) -> Option<Transport> {
        self.session.transport()
    }

    fn back_channel(&self) -> Option<&Track> {
        self.session.back_channel()
    }

    fn say(&mut self, packet: &[u8]) -> bool {
        self.session.say(packet)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        self.session.poll_event(cx)
    }
}

impl<'a> Waiting<'a> {
    fn new(budget: &'a Budget) -> Self {
        budget.0.send_modify(|load| load.waiting += 1);
        Self(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|load| load.waiting -= 1);
    }
}

/// A session that is dropped tells the camera so, which takes a moment.
const GOODBYE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_connection_free_waits_until_one_has_said_goodbye() {
        let budget = Arc::new(Budget::default());
        let told = Cell::new(0);
        let connect = || budget.connect(Some(2), || told.set(told.get() + 1));
        let (first, _second) = (connect().await, connect().await);
        assert_eq!(told.get(), 0, "there was room");
        assert!(time::timeout(HOUR, connect()).await.is_err());
        assert_eq!(told.get(), 1);
        let began = time::Instant::now();
        drop(first);
        let third = time::timeout(HOUR, connect()).await;
        assert!(third.is_ok() && began.elapsed() >= GOODBYE);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_without_a_limit_count_for_the_others() {
        let budget = Arc::new(Budget::default());
        let many = [budget.connect(None, || ()).await, budget.connect(None, || ()).await];
        assert!(time::timeout(HOUR, budget.connect(Some(2), || ())).await.is_err());
        drop(many);
        assert!(time::timeout(HOUR, budget.connect(Some(2), || ())).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_a_connection_hears_that_it_is_wanted() {
        let budget = Arc::new(Budget::default());
        let kept = budget.connect(Some(1), || ()).await;
        assert!(time::timeout(HOUR, kept.wanted()).await.is_err(), "nobody waits");
        let give_way = async {
            kept.wanted().await;
            drop(kept);
        };
        let (_, connected) = tokio::join!(give_way, time::timeout(HOUR, budget.connect(Some(1), || ())));
        assert!(connected.is_ok());
        assert!(time::timeout(HOUR, connected.unwrap().wanted()).await.is_err(), "who waited has it");
    }
}
