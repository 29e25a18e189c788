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
    /// Turns that are taken away, while a call is made.
    held: Vec<RestoreOnPending>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            account: File::open("/proc/thread-self/io").ok(),
            read: 0,
            held: Vec::with_capacity(TURNS_MAX),
        }
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
        let outcome = self.limit(cx, TURNS, call);
        if let (Some(before), Some(after)) = (before, self.total()) {
            self.read += after.saturating_sub(before).saturating_sub(OWN);
        }
        outcome
    }

    /// Makes a call that may read twice: a packet is there after one read, or after one more. What it reads is not counted,
    /// which costs more than a packet does.
    pub(super) fn bound<T>(&mut self, cx: &mut Context<'_>, call: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.limit(cx, TURNS_UNCOUNTED, call)
    }

    fn limit<T>(
        &mut self,
        cx: &mut Context<'_>,
        turns: usize,
        call: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        // Each turn that is taken away is given back when its holder is dropped, in the opposite order. Where there are few
        // left none is: the task is about to let others run.
        while coop::has_budget_remaining() && self.held.len() < TURNS_MAX {
            match coop::poll_proceed(cx) {
                Poll::Ready(turn) => self.held.push(turn),
                Poll::Pending => break,
            }
        }
        for _ in 0..turns {
            self.held.pop();
        }
        let outcome = call(cx);
        while self.held.pop().is_some() {}
        outcome
    }

    fn total(&self) -> Option<u64> {
        let mut text = [0; 64];
        let length = self.account.as_ref()?.read_at(&mut text, 0).ok()?;
        let line = std::str::from_utf8(&text[..length]).ok()?.lines().next()?;
        line.strip_prefix("rchar: ")?.parse().ok()
    }
}

/// Reads and writes of one call; the library doubles its buffer with a read at most.
const TURNS: usize = 4;
const TURNS_UNCOUNTED: usize = 2;

/// More than tokio gives a task.
const TURNS_MAX: usize = 256;

/// What reading the account adds to it.
const OWN: u64 = 64;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::IoSliceMut;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_call_reads_a_few_times_and_what_it_read_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut camera, _) = listener.accept().await.unwrap();
        camera.write_all(&[7; 100_000]).await.unwrap();
        let (mut meter, mut reads, mut most) = (Meter::new(), 0, 0);
        poll_fn(|cx| {
            let before = reads;
            meter.measure(cx, |cx| {
                while reads * 1000 < 100_000 {
                    match stream.poll_read_ready(cx) {
                        Poll::Ready(ready) => ready.unwrap(),
                        Poll::Pending => return,
                    }
                    let mut chunk = [0; 1000];
                    match stream.try_read_vectored(&mut [IoSliceMut::new(&mut chunk)]) {
                        Ok(length) => assert_eq!(length, 1000),
                        Err(_) => continue,
                    }
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
}
