//! How much `retina` reads from a camera.
//!
//! The library bounds neither the head nor the body of what it is answered, and its connection is its own: an endless
//! answer would fill the memory (C30). What can be had from outside is the kernel's count of bytes that this thread has
//! read into vectors, which on a source's thread is what the library read in the call just made; and tokio's budget, which
//! says how often it may read in one call. Together they bound what a camera can make it hold to a few megabytes. Where
//! `/proc` does not tell (another system, a process that may not be traced) nothing is bounded.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::task::{Context, Poll};

use tokio::task::coop::{self, RestoreOnPending};

/// Counts what calls read.
#[derive(Debug)]
pub(super) struct Meter {
    /// The kernel's account of this thread. A meter stays on its thread, as sessions do.
    account: Option<File>,
    read: u64,
    /// Turns that are taken away from the task, while calls of one poll follow each other.
    held: Option<RestoreOnPending>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { account: File::open("/proc/thread-self/io").ok(), read: 0, held: None }
    }

    /// Bytes read since the beginning, or the last [`Self::reset`].
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    pub(super) fn reset(&mut self) {
        self.read = 0;
    }

    /// Makes a call that may read a few times, and counts what it read.
    pub(super) fn measure<T>(&mut self, cx: &mut Context<'_>, call: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let before = self.total();
        self.held = None;
        let held = leave(cx);
        let outcome = call(cx);
        drop(held);
        if let (Some(before), Some(after)) = (before, self.total()) {
            self.read += after.saturating_sub(before).saturating_sub(OWN);
        }
        outcome
    }

    /// Makes one of the calls that follow each other until one brings nothing, all of which together may read a few times. What
    /// they read is not counted, which costs more than a packet does.
    pub(super) fn bound<T>(
        &mut self,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if has_more(cx) {
            // The first call since the task was polled. What was held was another poll's.
            self.held = None;
            self.held = leave(cx);
        }
        let outcome = call(cx);
        if outcome.is_pending() {
            self.held = None;
        }
        outcome
    }

    fn total(&self) -> Option<u64> {
        let mut text = [0; 64];
        let length = self.account.as_ref()?.read_at(&mut text, 0).ok()?;
        let line = std::str::from_utf8(&text[..length]).ok()?.lines().next()?;
        line.strip_prefix("rchar: ")?.parse().ok()
    }
}

/// Whether the task has more than [`TURNS`] turns.
fn has_more(cx: &mut Context<'_>) -> bool {
    let mut taken = [const { None }; TURNS];
    for turn in &mut taken {
        if !coop::has_budget_remaining() {
            break;
        }
        let Poll::Ready(one) = coop::poll_proceed(cx) else { break };
        *turn = Some(one);
    }
    let more = coop::has_budget_remaining();
    // A turn that is given back takes those with it that were taken after it.
    taken.iter_mut().rev().for_each(|turn| *turn = None);
    more
}

/// Leaves the task [`TURNS`] turns, or fewer where there are fewer: then it is about to let others run. They are all there
/// again when what is returned is dropped.
fn leave(cx: &mut Context<'_>) -> Option<RestoreOnPending> {
    let mut first = None;
    let mut last = [const { None }; TURNS];
    let mut taken = 0;
    while taken < TURNS_MAX
        && coop::has_budget_remaining()
        && let Poll::Ready(turn) = coop::poll_proceed(cx)
    {
        if let Some(turn) = last[taken % TURNS].replace(turn) {
            if first.is_none() {
                first = Some(turn);
            } else {
                turn.made_progress();
            }
        }
        taken += 1;
    }
    for number in (taken.saturating_sub(TURNS)..taken).rev() {
        last[number % TURNS] = None;
    }
    first
}

/// Reads and writes of one call; the library doubles its buffer with a read at most.
const TURNS: usize = 4;

/// More than tokio gives a task; without a bound where it gives no budget.
const TURNS_MAX: usize = 256;

/// What reading the account adds to it.
const OWN: u64 = 64;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::IoSliceMut;
    use std::task::ready;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection on which 100 KB have come.
    async fn sent() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut camera, _) = listener.accept().await.unwrap();
        camera.write_all(&[7; 100_000]).await.unwrap();
        (stream, camera)
    }

    /// Reads a hundredth of it.
    fn read(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(stream.poll_read_ready(cx)).unwrap();
            let mut chunk = [0; 1000];
            if let Ok(length) = stream.try_read_vectored(&mut [IoSliceMut::new(&mut chunk)]) {
                assert_eq!(length, 1000);
                return Poll::Ready(());
            }
        }
    }

    #[tokio::test]
    async fn a_call_reads_a_few_times_and_what_it_read_is_counted() {
        let (stream, _camera) = sent().await;
        let (mut meter, mut reads, mut most) = (Meter::new(), 0, 0);
        poll_fn(|cx| {
            let before = reads;
            meter.measure(cx, |cx| {
                while reads < 100 && read(&stream, cx).is_ready() {
                    reads += 1;
                }
            });
            most = most.max(reads - before);
            if reads == 100 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(most <= TURNS, "{most} reads in one call");
        assert!((99_000..101_000).contains(&meter.read()), "{}", meter.read());
        meter.reset();
        assert_eq!(meter.read(), 0);
    }

    #[tokio::test]
    async fn calls_that_follow_each_other_read_a_few_times_together() {
        let (stream, _camera) = sent().await;
        let (mut meter, mut reads, mut most, mut polls) = (Meter::new(), 0, 0, 0);
        poll_fn(|cx| {
            let before = reads;
            // Most bring what was read before. Some polls end although more may come.
            for call in 0.. {
                let outcome =
                    meter.bound(cx, |cx| if call % 3 == 0 { read(&stream, cx) } else { Poll::Ready(()) });
                if outcome.is_pending() {
                    assert!(coop::has_budget_remaining(), "others have their turns");
                    break;
                }
                reads += usize::from(call % 3 == 0);
                if reads == 100 {
                    break;
                }
                if polls % 2 == 0 && call == 4 {
                    cx.waker().wake_by_ref();
                    break;
                }
            }
            polls += 1;
            most = most.max(reads - before);
            if reads == 100 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(most, TURNS, "reads until one brought nothing");
    }

    #[tokio::test]
    async fn one_call_reads_a_few_times_whatever_came_before() {
        let (stream, _camera) = sent().await;
        let mut meter = Meter::new();
        for before in [0, 1, 15, 16, 17, 40] {
            for _ in 0..before {
                poll_fn(|cx| meter.bound(cx, |_| Poll::Ready(()))).await;
            }
            // Another poll, with all its turns.
            tokio::task::yield_now().await;
            let mut reads = 0;
            poll_fn(|cx| {
                let _ = meter.bound(cx, |cx| {
                    while read(&stream, cx).is_ready() {
                        reads += 1;
                    }
                    Poll::<()>::Pending
                });
                Poll::Ready(())
            })
            .await;
            assert_eq!(reads, TURNS, "after {before} calls");
        }
    }
}
