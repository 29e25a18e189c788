//! What a probe is doing, in one line on stderr that is gone when it is done. Only on a terminal.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// What is being done now.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<String>>);

impl Progress {
    /// Another thing is being done.
    pub(super) fn now(&self, what: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what.to_owned();
    }

    fn words(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs `work` and shows how far it is; `limit` is the longest that it takes.
pub(super) async fn beside<T>(progress: &Progress, limit: Duration, work: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let began = Instant::now();
    let mut work = pin!(work);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for turn in 0.. {
        tokio::select! {
            done = &mut work => {
                clear();
                return done;
            }
            _ = ticks.tick() => draw(turn, &progress.words(), began.elapsed(), limit),
        }
    }
    work.await
}

fn draw(turn: usize, what: &str, elapsed: Duration, limit: Duration) {
    let sign = SIGNS[turn % SIGNS.len()];
    let (elapsed, limit) = (elapsed.as_secs_f64(), limit.as_secs());
    // Nobody is left without a report because the line cannot be drawn.
    let _ = write!(io::stderr(), "\r\x1b[K{sign} {what} ({elapsed:.1} of at most {limit} s)");
    let _ = io::stderr().flush();
}

fn clear() {
    let _ = write!(io::stderr(), "\r\x1b[K");
    let _ = io::stderr().flush();
}

const SIGNS: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];
const EVERY: Duration = Duration::from_millis(120);
