//! The last words to a browser: a closing frame that says why.

use tokio::time;

use super::frame::{self, FrameError};
use crate::server::farewell::FAREWELL;
use crate::server::outbox::{Outbox, hang_up};
use crate::vocabulary::Disconnect;

/// What is left to say to a browser: the code of the closing frame, and the reason.
pub(super) struct Farewell {
    pub(super) code: u16,
    pub(super) words: String,
    /// What is counted, where there was a session.
    pub(super) reason: Disconnect,
}

impl Farewell {
    /// The end of a session.
    pub(super) fn of(reason: Disconnect) -> Self {
        let (code, words) = match reason {
            Disconnect::Teardown | Disconnect::Closed | Disconnect::EndOfStream => (1000, "it is over"),
            Disconnect::Shutdown => (1001, "the relay is stopping"),
            Disconnect::Protocol => (1002, "what came is no WebSocket"),
            Disconnect::AccessEnded => (1008, "you may not watch this any more: log in again"),
            Disconnect::Kicked => (1008, "disconnected by the operator"),
            Disconnect::Timeout => (1013, "nothing was heard for too long"),
            Disconnect::WriteTimeout => (1013, "nothing was read for too long"),
            Disconnect::TooSlow => (1013, "the network is too slow for this stream"),
            Disconnect::StreamChanged => (1013, "the stream has changed"),
            Disconnect::Outage => (1013, "the source has been away for too long"),
        };
        Self { code, words: words.to_owned(), reason }
    }

    /// It may be better in a moment.
    pub(super) fn again(words: String) -> Self {
        Self { code: 1013, words, reason: Disconnect::Closed }
    }

    pub(super) fn gone(stream: &str) -> Self {
        Self {
            code: 1008,
            words: format!("there is no stream {stream:?}"),
            reason: Disconnect::StreamChanged,
        }
    }

    pub(super) fn refused(code: u16, words: &str) -> Self {
        Self { code, words: words.to_owned(), reason: Disconnect::Protocol }
    }

    /// Sends the closing frame behind what waits, and closes in order. Who does not read is not waited for.
    pub(super) async fn say(self, outbox: &Outbox, finished: bool) {
        let deadline = time::Instant::now() + FAREWELL;
        if finished || outbox.answer(&frame::close(self.code, &self.words)).is_err() {
            return;
        }
        if matches!(self.reason, Disconnect::WriteTimeout | Disconnect::TooSlow) {
            return;
        }
        let said = async {
            while !outbox.is_empty() {
                outbox.socket().writable().await?;
                outbox.flush()?;
            }
            outbox.close()?;
            hang_up(outbox.socket()).await
        };
        let _ = time::timeout_at(deadline, said).await;
    }
}

impl From<FrameError> for Farewell {
    fn from(error: FrameError) -> Self {
        Self::refused(error.code(), &error.to_string())
    }
}
