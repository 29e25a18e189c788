//! The API's wishes for other streams: whoever runs the streams takes them from a channel.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::config::{Problems, StreamName};

/// Asks the app to change the set of streams.
#[derive(Clone, Debug)]
pub struct Control(mpsc::Sender<Command>);

/// A wish, and where its answer goes. An answer that nobody waits for any more is no error.
#[derive(Debug)]
pub enum Command {
    /// Add a stream, or change the one of this name.
    Put {
        /// The name it is served under.
        name: StreamName,
        /// Its configuration, for [`crate::config::Stream::from_json`]. It names no file of the host.
        stream: Value,
        /// What became of it, or all that is wrong with it.
        reply: oneshot::Sender<Result<(Change, Kept), Problems>>,
    },
    /// Remove a stream.
    Delete {
        /// The stream.
        name: StreamName,
        /// How long it is gone for; `None` = there was none.
        reply: oneshot::Sender<Option<Kept>>,
    },
}

/// What a [`Command::Put`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is one more stream.
    Created,
    /// The stream has other settings now.
    Replaced,
    /// The stream had these settings already, and goes on undisturbed.
    Unchanged,
}

impl Change {
    /// Every value.
    pub(super) const ALL: [Self; 3] = [Self::Created, Self::Replaced, Self::Unchanged];

    /// The name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        }
    }
}

/// How long a change lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is in the configuration file.
    InFile,
    /// Until the relay is restarted, for this reason.
    UntilRestart(String),
}

/// Nobody carried the wish out in time: the relay is stopping.
#[derive(Debug)]
pub(super) struct Unanswered;

impl Control {
    /// The two ends: for [`super::Web`], and for whoever runs the streams.
    pub fn channel() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    pub(super) async fn put(
        &self,
        name: StreamName,
        stream: Value,
    ) -> Result<Result<(Change, Kept), Problems>, Unanswered> {
        self.ask(|reply| Command::Put { name, stream, reply }).await
    }

    pub(super) async fn delete(&self, name: StreamName) -> Result<Option<Kept>, Unanswered> {
        self.ask(|reply| Command::Delete { name, reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.0.send(command(reply)).await.map_err(|_| Unanswered)?;
            answer.await.map_err(|_| Unanswered)
        };
        time::timeout(PATIENCE, asked).await.unwrap_or(Err(Unanswered))
    }
}

/// Commands that may wait; more make their requests wait.
const WAITING: usize = 16;

/// How long a request waits for the app. Below the deadline of a request, so that its answer says what happened.
const PATIENCE: Duration = Duration::from_secs(10);
