//! Care for the viewers of a stream while its source is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stream::Stream;
use crate::vocabulary::Disconnect;

/// What viewers get while the source is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// How long they are kept.
    pub grace: Duration,
    /// Whether those of a JPEG stream are shown "no signal" once a second.
    pub no_signal: bool,
}

impl Care {
    /// Cares for the viewers of `stream` for ever: run it beside the source, and stop it with it. A viewer who has been
    /// without pictures for the grace, counted from the start of the outage or from its own PLAY if that was later, is
    /// closed in order.
    pub async fn run(self, stream: Arc<Stream>) {
        let mut status = stream.status();
        let mut shown = None;
        loop {
            status.mark_unchanged();
            let now = Instant::now();
            let next = stream.away_since().map(|since| {
                let next = self.dismiss(&stream, since, now);
                if self.no_signal { next.min(show(&stream, since, &mut shown, now)) } else { next }
            });
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The stream is held here, so its status does not close.
                _ = status.changed() => {}
                () = due => {}
            }
        }
    }

    /// Closes who has waited for long enough at `now`; returns when to look again.
    fn dismiss(self, stream: &Stream, since: Instant, now: Instant) -> Instant {
        // Who begins to wait from now on does so for at least this long.
        let mut next = now + self.grace.max(SHORTEST);
        for viewer in stream.viewers() {
            let Some(playing) = viewer.playing_since() else { continue };
            let until = playing.max(since) + self.grace;
            if until <= now {
                viewer.kick(Disconnect::Outage);
            } else {
                next = next.min(until);
            }
        }
        next
    }
}

/// Shows "no signal" when that is due at `now`: when the source has been away for a second, and then every second. Returns
/// when it is due next.
fn show(stream: &Stream, since: Instant, shown: &mut Option<Instant>, now: Instant) -> Instant {
    let due = shown.filter(|shown| *shown >= since).unwrap_or(since) + NO_SIGNAL_EVERY;
    if due > now {
        return due;
    }
    stream.show_no_signal(now);
    *shown = Some(now);
    now + NO_SIGNAL_EVERY
}

const NO_SIGNAL_EVERY: Duration = Duration::from_secs(1);

/// With no grace at all the viewers are still not looked through more often than this.
const SHORTEST: Duration = Duration::from_millis(100);
