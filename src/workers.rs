//! The worker threads: one single-threaded runtime each, with tasks that stay where they were placed.
//!
//! A viewer's packets are then sent by the thread that was woken for them, without a queue between threads: on two
//! cores this takes 64 ms of CPU per Gbit at 1000 viewers, where a work-stealing runtime takes 75, and a bare epoll
//! loop 57 (when it was decided).

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet, LocalSet};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::metrics::Metrics;

/// A handle to the worker threads, cheap to clone. The threads end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Workers {
    workers: Arc<[Worker]>,
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    load: Arc<AtomicUsize>,
}

/// A task on its way to its worker. The task itself is made there, so that it need not be `Send`.
struct Job {
    make: Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>,
}

impl Workers {
    /// Starts `count` threads (at least one).
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor for its event loop.
    pub fn start(count: usize, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let workers = (0..count.max(1)).map(Worker::start).collect::<Result<_, _>>()?;
        Ok(Self { workers, tasks: TaskTracker::new(), metrics: Arc::clone(metrics) })
    }

    /// Runs a task on the worker with the fewest. A panic in it is caught, logged under `name`, and counted.
    pub fn spawn<F, T>(&self, name: &'static str, make: F)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + 'static,
    {
        self.spawn_among(0, name, make);
    }

    /// The same for one of many tasks that are woken together: while there are few, they all go to the first worker, unless
    /// some camera spreads its pictures over time.
    pub fn spawn_together<F, T>(&self, name: &'static str, make: F)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + 'static,
    {
        self.spawn_among(if self.metrics.has_spread() { FEW_OF_SPREAD } else { FEW }, name, make);
    }

    /// Workers with fewer tasks than `alike` are as good as each other.
    fn spawn_among<F, T>(&self, alike: usize, name: &'static str, make: F)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + 'static,
    {
        let load = |worker: &&Worker| worker.load.load(Ordering::Relaxed).max(alike);
        let Some(worker) = self.workers.iter().min_by_key(load) else { return };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let guard = self.guard(name);
        let job = Job { make: Box::new(move || Box::pin(async move { guard.run(make).await })) };
        if worker.jobs.send(job).is_err() {
            tracing::error!(task = name, "a worker thread is gone; the task is not run");
        }
    }

    /// Runs a task on the worker that this is called on, where it shares what is not `Send` with others. It weighs nothing
    /// when tasks are placed. A panic in it is treated as in [`Workers::spawn`].
    ///
    /// # Panics
    /// This is no worker thread.
    pub fn spawn_here(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let guard = self.guard(name);
        task::spawn_local(async move { guard.run(|| task).await });
    }

    /// Logs and counts a panic that was caught.
    pub fn report_panic(&self, name: &str, panic: &(dyn std::any::Any + Send)) {
        report(&self.metrics, name, panic);
    }

    fn guard(&self, name: &'static str) -> Guard {
        Guard { name, metrics: Arc::clone(&self.metrics), _running: self.tasks.token() }
    }

    /// Waits until no task is left, at most for `grace`. Returns how many are.
    pub async fn drained(&self, grace: Duration) -> usize {
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await; // what is left is counted below
        self.tasks.len()
    }
}

/// What accompanies a task to its end.
struct Guard {
    name: &'static str,
    metrics: Arc<Metrics>,
    _running: TaskTrackerToken,
}

impl Guard {
    async fn run<T: Future<Output = ()>>(self, make: impl FnOnce() -> T) {
        let task = AssertUnwindSafe(async move { make().await });
        if let Err(panic) = task.catch_unwind().await {
            report(&self.metrics, self.name, &*panic);
        }
    }
}

fn report(metrics: &Metrics, name: &str, panic: &(dyn std::any::Any + Send)) {
    metrics.task_panics.inc();
    tracing::error!(task = name, panic = panic_message(panic), "a task panicked: this is a bug");
}

impl Worker {
    fn start(index: usize) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread_load = Arc::clone(&load);
        std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            // A task itself: what is blocked on is polled whenever any task was.
            let work = async move { task::spawn_local(work(inbox, thread_load)).await };
            LocalSet::new().block_on(&runtime, work)
        })?;
        Ok(Self { jobs, load })
    }
}

async fn work(mut inbox: mpsc::UnboundedReceiver<Job>, load: Arc<AtomicUsize>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            job = inbox.recv() => {
                let Some(Job { make }) = job else { break };
                tasks.spawn_local(make());
            }
            Some(_) = tasks.join_next() => {
                load.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Tasks that one worker has before the next gets any. A second thread that has to be woken for each burst costs more than
/// it gains where the first is done within a millisecond: 100 viewers at 4 Mbit/s took 103 ms of CPU per Gbit on one worker,
/// and 112 on two (medians of four interleaved rounds on a busy machine; the floor program 90).
const FEW: usize = 128;

/// The same where some camera spreads its pictures over time: the last packets of a picture are small writes then, and how
/// soon all viewers have them is up to how many threads write them. 100 viewers of a camera that takes 0.8 of its interval had
/// the last packet after 1.05 times what a floor program takes that writes each packet, on one worker after 1.76 times
/// (`fanout --paced 0.8`, medians of 9 rounds), for 0.38 and 0.36 of its CPU time. Who came before three pictures had stays.
const FEW_OF_SPREAD: usize = 16;

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

    /// Of so many tasks that are woken together, how many the first of two workers has.
    async fn on_the_first(tasks: usize, metrics: &Arc<Metrics>) -> usize {
        let workers = Workers::start(2, metrics).unwrap();
        let (names, mut seen) = mpsc::unbounded_channel();
        let stop = tokio_util::sync::CancellationToken::new();
        for _ in 0..tasks {
            let (names, stop) = (names.clone(), stop.clone());
            workers.spawn_together("each", move || async move {
                names.send(std::thread::current().name().map(str::to_owned)).unwrap();
                stop.cancelled().await;
            });
        }
        let mut on_the_first = 0;
        for _ in 0..tasks {
            on_the_first += usize::from(seen.recv().await.unwrap().unwrap() == "worker-0");
        }
        stop.cancel();
        assert_eq!(workers.drained(Duration::from_secs(5)).await, 0);
        on_the_first
    }

    #[tokio::test]
    async fn tasks_that_are_woken_together_are_spread_once_there_are_many() {
        let metrics = Arc::new(Metrics::new());
        assert_eq!(on_the_first(FEW, &metrics).await, FEW);
        assert_eq!(on_the_first(2 * FEW + 2, &metrics).await, FEW + 1);
        let _spread = metrics.stream("door").spreads();
        assert_eq!(on_the_first(FEW_OF_SPREAD, &metrics).await, FEW_OF_SPREAD);
        assert_eq!(on_the_first(2 * FEW_OF_SPREAD + 2, &metrics).await, FEW_OF_SPREAD + 1);
    }
}
