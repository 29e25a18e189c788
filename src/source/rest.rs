//! While nobody wants an on-demand stream: a connection for the next session is kept, if it is to be.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time;

use super::driver::{Driver, now};
use super::error::Error;
use crate::hub::Publisher;
use crate::vocabulary::FailureClass;

impl Driver {
    /// Keeps a connection with the preferred source for as long as it is polled; dropped, it leaves it to the next session.
    pub(super) async fn rest(&mut self, publisher: &mut Publisher) -> Infallible {
        let mut pause = PAUSE_MIN;
        loop {
            let began = now();
            let source = self.choice.next(began).source;
            let Err(error) = self.keep(source, publisher).await else { continue };
            self.kept = None;
            let lasted = now().saturating_duration_since(began);
            pause = match error.class {
                FailureClass::Unauthorized => PAUSE_MAX,
                _ if lasted > PAUSE_MAX / 2 => PAUSE_MIN,
                _ => (pause * 4).min(PAUSE_MAX),
            };
            tracing::debug!(source = %self.known[source].name, retry_in = ?pause, "no connection is kept: {error}");
            publisher.says(format!("No connection is kept: {error}. The next try is in {pause:?}."));
            time::sleep(pause).await;
        }
    }

    /// Connects, and looks after the connection until its time is over or somebody else needs it.
    async fn keep(&mut self, source: usize, publisher: &mut Publisher) -> Result<(), Error> {
        let host = self.known[source].host.clone();
        let Some(connection) = self.shared.budget(&host).try_connect(self.plan.max_connections) else {
            return Err(scarce(&host));
        };
        let connection = self.kept.insert(connection);
        let place = self.shared.turn(&host).await;
        self.client.keep(source, self.plan.connect_timeout).await?;
        drop(place);
        publisher.says("A connection is kept: the first viewer starts with SETUP.".to_owned());
        tokio::select! {
            error = self.client.lost() => return Err(error),
            () = connection.wanted() => {
                self.client.give_up();
                return Err(scarce(&host));
            }
            () = time::sleep(RENEW) => {}
        }
        self.client.give_up();
        self.kept = None;
        Ok(())
    }
}

fn scarce(host: &str) -> Error {
    let words = format!("other streams need the connections with {host} (max_connections_per_camera)");
    Error::new(FailureClass::SessionLimit, words)
}

/// Between two tries: a camera that closes what nobody uses is not to be kept busy by that.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What a camera says of its tracks is asked for again after this time: somebody may have changed them.
const RENEW: Duration = Duration::from_secs(300);
