//! Sessions on their way out: their TEARDOWN is sent, whatever became of the task that had them.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

/// The sessions of one stream that are being torn down. The next session should wait for them, since many cameras have
/// only one or two to give.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Teardowns(Arc<Mutex<JoinSet<()>>>);

impl Teardowns {
    /// Waits until every TEARDOWN so far was answered, or given up.
    pub(in crate::source) fn done(&self) -> impl Future<Output = ()> + use<> {
        let tasks = Arc::clone(&self.0);
        poll_fn(move |cx| {
            let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while ready!(tasks.poll_join_next(cx)).is_some() {}
            Poll::Ready(())
        })
    }

    /// Does `work` in the background, for a while.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the process is at its end.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let _ = timeout(LIMIT, work).await;
        });
    }
}

/// How long a camera has to answer TEARDOWN, on one connection or another.
const LIMIT: Duration = Duration::from_secs(4);
