//! Many viewers on one thread. All count bytes; a few read the stamps. Bad ones may watch beside them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use super::connect::{Way, connect, ready, try_connect};
use super::process::Process;
use super::watch::{Look, Tally, key_frame, read_slowly, watch};

/// What the viewers saw during the measured time.
pub(crate) struct Figures {
    pub(crate) bytes: u64,
    pub(crate) cpu: Duration,
    pub(crate) mbit_per_second: f64,
    /// From the camera's write to a viewer's read, of the last packet of each frame: then a player can show it.
    pub(crate) last: Spread,
    /// The same of the first packet of each frame.
    pub(crate) first: Spread,
    /// From PLAY to the first packet of a key frame, of viewers that came one after the other while the others watched.
    pub(crate) start: Spread,
    /// Viewers that were disconnected.
    pub(crate) lost: usize,
    /// Frames that viewers who look at their packets did not get, or not whole.
    pub(crate) missed: u64,
    /// What the process grew by for each viewer.
    pub(crate) kib_per_viewer: f64,
    /// What it had at the end of the measured time.
    pub(crate) rss_mib: f64,
    /// The age in milliseconds of the oldest packet that a viewer at half rate has read, and how many of those were
    /// disconnected.
    pub(crate) half_rate: Option<(f64, usize)>,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Spread {
    pub(crate) fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        let percentile = |p: usize| {
            let rank = (nanos.len() * p / 100).min(nanos.len().saturating_sub(1));
            nanos.get(rank).map_or(f64::NAN, |nanos| *nanos as f64 / 1e6)
        };
        Self { p50: percentile(50), p99: percentile(99) }
    }
}

/// Viewers whose packets are looked into. One is drawn at random from each tenth of them in the order they came: who is
/// served first sees less latency than who is served last, and both count. Beside bad ones all are looked into: none of
/// them may miss anything.
const SAMPLED: usize = 10;

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Load<'l> {
    pub(crate) address: SocketAddr,
    /// The streams; viewers are spread over them in turn.
    pub(crate) streams: &'l [String],
    pub(crate) way: Way,
    pub(crate) viewers: usize,
    pub(crate) time: Duration,
    /// Viewers that come later, to measure how long they wait for a key frame, each at most this long.
    pub(crate) late: usize,
    pub(crate) patience: Duration,
    /// Every viewer looks at its packets.
    pub(crate) look_at_all: bool,
    /// Viewers over TCP that never read.
    pub(crate) never_reading: usize,
    /// Viewers over TCP that read half of what the camera sends.
    pub(crate) half_rate: usize,
}

/// Connects the viewers, lets them settle, and measures.
pub(crate) fn run(load: Load<'_>, process: &Process) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tally = Rc::new(RefCell::new(Tally::default()));
    let Load { address, way, viewers: count, .. } = load;
    LocalSet::new().block_on(&runtime, async {
        let stream = |index: usize| load.streams[index % load.streams.len()].clone();
        // With what the process needs once.
        ready(address, load.streams).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = process.rss_kib();
        let mut tasks = JoinSet::new();
        for index in 0..load.never_reading + load.half_rate {
            let (tally, stream) = (Rc::clone(&tally), stream(index));
            let reads = index >= load.never_reading;
            tasks.spawn_local(async move {
                let viewer = try_connect(address, &stream, false, Some(NARROW)).await.unwrap();
                if !reads {
                    return std::future::pending().await; // and keeps its socket open
                }
                read_slowly(viewer.control, &tally).await;
                tally.borrow_mut().half_rate.lost += 1;
            });
        }
        let share = count.div_ceil(SAMPLED).max(1);
        let drawn: Vec<usize> =
            (0..SAMPLED).map(|tenth| tenth * share + rand::random_range(0..share)).collect();
        for index in 0..count {
            let (tally, stream) = (Rc::clone(&tally), stream(index));
            let look = if load.look_at_all || drawn.contains(&index) { Look::At } else { Look::Not };
            tasks.spawn_local(async move {
                let viewer = connect(address, &stream, way).await;
                tally.borrow_mut().playing += 1;
                watch(viewer, &tally, look).await;
                tally.borrow_mut().lost += 1;
            });
        }
        while tally.borrow().playing < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What newcomers got of the past is not measured; who is late for good is.
        for _ in 0..LONGEST_SETTLING {
            tally.borrow_mut().begin();
            tokio::time::sleep(Duration::from_secs(1)).await;
            if tally.borrow().last.iter().all(|nanos| *nanos < SETTLED) {
                break;
            }
        }
        tally.borrow_mut().begin();
        let (cpu, started) = (process.cpu(), Instant::now());
        tokio::time::sleep(load.time).await;
        let (cpu, elapsed) = (process.cpu() - cpu, started.elapsed());
        let rss = process.rss_kib();
        let (bytes, missed, first, last) = {
            let mut tally = tally.borrow_mut();
            (tally.bytes, tally.missed, std::mem::take(&mut tally.first), std::mem::take(&mut tally.last))
        };
        let mut late = JoinSet::new();
        for index in 0..load.late {
            let stream = stream(index);
            late.spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(37) * index as u32).await;
                let mut viewer = connect(address, &stream, way).await;
                // Who never sees one waited for as long as it had patience.
                let _ = tokio::time::timeout(load.patience, key_frame(&mut viewer)).await;
                viewer.asked.elapsed().as_nanos() as u64
            });
        }
        let start = Spread::of(late.join_all().await);
        let mbit_per_second = bytes as f64 * 8.0 / 1e6 / elapsed.as_secs_f64();
        let tally = tally.borrow();
        let half_rate = &tally.half_rate;
        Figures {
            bytes,
            cpu,
            mbit_per_second,
            first: Spread::of(first),
            last: Spread::of(last),
            start,
            lost: tally.lost,
            missed,
            kib_per_viewer: rss.saturating_sub(before) as f64 / count.max(1) as f64,
            rss_mib: rss as f64 / 1024.0,
            half_rate: (load.half_rate > 0).then(|| (half_rate.oldest as f64 / 1e6, half_rate.lost)),
        }
    })
}

/// Viewers have settled when within a second none that is looked at has got a frame this late, in nanoseconds.
const SETTLED: u64 = 100_000_000;
/// In seconds.
const LONGEST_SETTLING: u32 = 10;
/// The receive buffer of bad viewers: what is in it is late.
const NARROW: u32 = 16 << 10;
