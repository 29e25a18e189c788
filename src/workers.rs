//! The worker threads: one single-threaded runtime each, with tasks that stay where they were placed.
//!
//! A viewer's packets are then sent by the thread that was woken for them, without a queue between threads: on two
//! cores this takes 64 ms of CPU per Gbit at 1000 viewers, where a work-stealing runtime takes 75, and a bare epoll
//! loop 57 (design, section 6).

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::metrics::Metrics;

/// A handle to the worker threads, cheap to clone. The threads end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Workers {
    workers: Arc<[Worker]>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    load: Arc<AtomicUsize>,
}

/// A task on its way to its worker. The task itself is made there, so that it need not be `Send`.
struct Job {
    name: &'static str,
    make: Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>,
    _running: TaskTrackerToken,
}

impl Workers {
    /// Starts `count` threads (at least one).
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor for its event loop.
    pub fn start(count: usize, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let workers = (0..count.max(1))
            .map(|index| Worker::start(index, Arc::clone(metrics)))
            .collect::<Result<_, _>>()?;
        Ok(Self { workers, tasks: TaskTracker::new() })
    }

    /// Runs a task on the worker with the fewest. A panic in it is caught, logged under `name`, and counted.
    pub fn spawn<F, T>(&self, name: &'static str, make: F)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + 'static,
    {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed))
        else {
            return;
        };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let job = Job { name, make: Box::new(move || Box::pin(make())), _running: self.tasks.token() };
        if worker.jobs.send(job).is_err() {
            tracing::error!(task = name, "a worker thread is gone; the task is not run");
        }
    }

    /// Waits until no task is left, at most for `grace`. Returns how many are.
    pub async fn drained(&self, grace: Duration) -> usize {
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await; // what is left is counted below
        self.tasks.len()
    }
}

impl Worker {
    fn start(index: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread_load = Arc::clone(&load);
        std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || LocalSet::new().block_on(&runtime, work(inbox, &thread_load, &metrics)))?;
        Ok(Self { jobs, load })
    }
}

async fn work(mut inbox: mpsc::UnboundedReceiver<Job>, load: &AtomicUsize, metrics: &Arc<Metrics>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            job = inbox.recv() => {
                let Some(Job { name, make, _running }) = job else { break };
                let metrics = Arc::clone(metrics);
                tasks.spawn_local(async move {
                    let _running = _running;
                    let task = AssertUnwindSafe(async move { make().await });
                    if let Err(panic) = task.catch_unwind().await {
                        metrics.task_panics.inc();
                        tracing::error!(task = name, panic = panic_message(&*panic), "a task panicked: this is a bug");
                    }
                });
            }
            Some(_) = tasks.join_next() => {
                load.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// What a panic said.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_ends_its_task_only_and_is_counted() {
        let metrics = Arc::new(Metrics::new());
        let workers = Workers::start(1, &metrics).unwrap();
        workers.spawn("doomed", || async { panic!("for the test") });
        let (done, is_done) = oneshot::channel();
        workers.spawn("other", || async move { done.send(()).unwrap() });
        is_done.await.unwrap();
        assert_eq!(workers.drained(Duration::from_secs(5)).await, 0);
        assert_eq!(metrics.task_panics.get(), 1);
    }

    #[tokio::test]
    async fn tasks_are_spread_over_the_workers() {
        let workers = Workers::start(2, &Arc::new(Metrics::new())).unwrap();
        let (names, mut seen) = mpsc::unbounded_channel();
        let stop = tokio_util::sync::CancellationToken::new();
        for _ in 0..4 {
            let (names, stop) = (names.clone(), stop.clone());
            workers.spawn("each", move || async move {
                names.send(std::thread::current().name().map(str::to_owned)).unwrap();
                stop.cancelled().await;
            });
        }
        let mut threads = Vec::new();
        for _ in 0..4 {
            threads.push(seen.recv().await.unwrap().unwrap());
        }
        threads.sort();
        assert_eq!(threads, ["worker-0", "worker-0", "worker-1", "worker-1"]);
        stop.cancel();
        assert_eq!(workers.drained(Duration::from_secs(5)).await, 0);
    }
}
