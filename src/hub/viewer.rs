//! The viewers of a stream, for the API and for disconnecting them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus::local::LocalHistogram;
use tokio_util::sync::CancellationToken;

use crate::metrics::{StreamMetrics, ViewerMetrics};
use crate::vocabulary::{Disconnect, Skip, Transport};

/// One viewer, as others may see it. Its counters are written by the worker thread that serves it.
#[derive(Debug)]
pub struct Viewer {
    /// Different for every viewer of the process.
    pub id: u64,
    /// Where it watches from.
    pub peer: IpAddr,
    /// How its packets travel.
    pub transport: Transport,
    /// What it calls itself, if it does.
    pub user_agent: Option<String>,
    /// When its session began.
    pub since: Instant,
    /// Since when packets are to flow; `None` while it pauses. Locked at PLAY and PAUSE, and when somebody asks.
    playing: Mutex<Option<Instant>>,
    kicked: CancellationToken,
    kick_reason: OnceLock<Disconnect>,
    counts: Counts,
    /// By multicast: what it hears together with others, whose counters are its own.
    hears: Option<Hears>,
}

/// The flow that a viewer hears, and what it had sent when the viewer came.
#[derive(Debug)]
struct Hears {
    flow: Arc<Viewer>,
    packets: u64,
    bytes: u64,
    skipped: u64,
}

/// What changes with each burst: one line of the cache, whatever stands around it.
#[derive(Debug)]
#[repr(align(64))]
struct Counts {
    /// When the viewer's session began.
    since: Instant,
    packets: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    latency_micros: AtomicU64,
    /// When the last burst it was given arrived, in microseconds since `since`.
    reached_micros: AtomicU64,
}

impl Viewer {
    /// Ends its session; it may come back.
    pub fn kick(&self, reason: Disconnect) {
        let _ = self.kick_reason.set(reason); // the first reason stands
        self.kicked.cancel();
    }

    /// Waits until it is to be disconnected, and says why.
    pub async fn kicked(&self) -> Disconnect {
        self.kicked.cancelled().await;
        self.kick_reason.get().copied().unwrap_or(Disconnect::Kicked)
    }

    /// Since when packets are to flow to it; `None` while it pauses.
    pub fn playing_since(&self) -> Option<Instant> {
        *self.playing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// RTP packets handed to the kernel for it.
    pub fn packets(&self) -> u64 {
        let heard = self.hears.as_ref().map_or(0, |hears| hears.flow.packets() - hears.packets);
        self.counts.packets.load(Ordering::Relaxed) + heard
    }

    /// Bytes of RTP and RTCP handed to the kernel for it.
    pub fn bytes(&self) -> u64 {
        let heard = self.hears.as_ref().map_or(0, |hears| hears.flow.bytes() - hears.bytes);
        self.counts.bytes.load(Ordering::Relaxed) + heard
    }

    /// Frames it did not get.
    pub fn skipped(&self) -> u64 {
        let heard = self.hears.as_ref().map_or(0, |hears| hears.flow.skipped() - hears.skipped);
        self.counts.skipped.load(Ordering::Relaxed) + heard
    }

    /// When the last burst it was given arrived from the source, or when it said PLAY.
    pub fn reached(&self) -> Instant {
        let own = self.since + Duration::from_micros(self.counts.reached_micros.load(Ordering::Relaxed));
        self.hears.as_ref().map_or(own, |hears| own.max(hears.flow.reached()))
    }

    /// Recent time from a packet's arrival to its hand-over to the kernel.
    pub fn latency(&self) -> Duration {
        let counts = self.hears.as_ref().map_or(&self.counts, |hears| &hears.flow.counts);
        Duration::from_micros(counts.latency_micros.load(Ordering::Relaxed))
    }

    /// It was given what arrived at `received`, or passed over it.
    fn reaches(&self, received: Instant) {
        let micros = received.saturating_duration_since(self.counts.since).as_micros() as u64;
        self.counts.reached_micros.store(micros, Ordering::Relaxed);
    }

    /// Written by one thread only, so that no addition has to be atomic; others read.
    fn sent(&self, packets: u64, bytes: u64, latency: Duration) {
        let add = |counter: &AtomicU64, more| {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        let counts = &self.counts;
        add(&counts.packets, packets);
        add(&counts.bytes, bytes);
        let (old, new) = (counts.latency_micros.load(Ordering::Relaxed), latency.as_micros() as u64);
        let smoothed = if old == 0 { new } else { old - old / 8 + new / 8 };
        counts.latency_micros.store(smoothed, Ordering::Relaxed);
    }
}

/// What one thread has sent to viewers of a stream over one transport, and not yet added to its metrics: the workers share
/// those, and a shared counter touched for each viewer costs more than the viewer's own.
pub struct Tally {
    counters: ViewerMetrics,
    packets: u64,
    bytes: u64,
    latency: LocalHistogram,
}

impl Tally {
    /// Of the viewers of a stream over `transport`.
    pub fn new(metrics: &StreamMetrics, transport: Transport) -> Self {
        let counters = metrics.viewers(transport).clone();
        let latency = counters.latency.local();
        Self { counters, packets: 0, bytes: 0, latency }
    }

    /// Counts a burst that arrived at `received` and is handed to the kernel for this viewer now, or a moment after.
    pub fn sent(&mut self, viewer: &Viewer, packets: u64, bytes: u64, received: Instant, now: Instant) {
        viewer.reaches(received);
        // What was there before the viewer came did not wait for it.
        let latency = now.saturating_duration_since(received.max(viewer.counts.since));
        self.packets += packets;
        self.bytes += bytes;
        self.latency.observe(latency.as_secs_f64());
        viewer.sent(packets, bytes, latency);
    }

    /// Adds what was gathered to the metrics.
    pub fn flush(&mut self) {
        if self.packets > 0 {
            self.counters.sent_packets.inc_by(std::mem::take(&mut self.packets));
            self.counters.sent_bytes.inc_by(std::mem::take(&mut self.bytes));
            self.latency.flush();
        }
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").field("packets", &self.packets).finish_non_exhaustive()
    }
}

/// The viewers of one stream.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    /// Locked when a viewer comes, goes or is listed; never on the way of a packet.
    list: Mutex<Vec<Arc<Viewer>>>,
}

impl Viewers {
    pub(super) fn list(&self) -> Vec<Arc<Viewer>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn join(self: &Arc<Self>, metrics: Arc<StreamMetrics>, viewer: Viewer) -> Seat {
        let viewer = Arc::new(viewer);
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&viewer));
        let counters = metrics.viewers(viewer.transport).clone();
        counters.playing.inc();
        metrics.viewer_came();
        counters.sessions.inc();
        Seat { viewer, viewers: Some(Arc::clone(self)), metrics, counters, ended: Disconnect::Closed }
    }
}

impl Viewer {
    /// `hears`: what it shares with others.
    pub(super) fn new(
        peer: IpAddr,
        transport: Transport,
        user_agent: Option<String>,
        hears: Option<&Arc<Self>>,
    ) -> Self {
        let since = Instant::now();
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            peer,
            transport,
            user_agent,
            since,
            playing: Mutex::default(),
            kicked: CancellationToken::new(),
            kick_reason: OnceLock::new(),
            counts: Counts {
                since,
                packets: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                skipped: AtomicU64::new(0),
                latency_micros: AtomicU64::new(0),
                reached_micros: AtomicU64::new(0),
            },
            hears: hears.map(|flow| Hears {
                flow: Arc::clone(flow),
                packets: flow.packets(),
                bytes: flow.bytes(),
                skipped: flow.skipped(),
            }),
        }
    }
}

/// A viewer's place among the viewers of a stream, from its first PLAY to the end of its session.
#[derive(Debug)]
pub struct Seat {
    viewer: Arc<Viewer>,
    /// `None` for what several viewers hear, who each have a seat of their own.
    viewers: Option<Arc<Viewers>>,
    metrics: Arc<StreamMetrics>,
    counters: ViewerMetrics,
    ended: Disconnect,
}

impl Seat {
    /// For what several viewers hear: what is sent there is counted once, and it is no viewer itself.
    pub(super) fn shared(metrics: Arc<StreamMetrics>, viewer: Viewer) -> Self {
        let counters = metrics.viewers(viewer.transport).clone();
        Self { viewer: Arc::new(viewer), viewers: None, metrics, counters, ended: Disconnect::Closed }
    }

    /// The viewer who sits here.
    pub fn viewer(&self) -> &Arc<Viewer> {
        &self.viewer
    }

    /// Packets are to flow from now on.
    pub fn plays(&self) {
        let now = Instant::now();
        self.reached(now); // what went by during a pause is not what it lacks
        *self.viewer.playing.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// No packets are to flow for the time being.
    pub fn pauses(&self) {
        *self.viewer.playing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Counts what one write handed to the kernel, `latency` after its oldest packet arrived.
    pub fn sent(&self, packets: u64, bytes: u64, latency: Duration) {
        self.counters.sent_packets.inc_by(packets);
        self.counters.sent_bytes.inc_by(bytes);
        self.counters.latency.observe(latency.as_secs_f64());
        self.viewer.sent(packets, bytes, latency);
    }

    /// It was given what arrived at `received`, or passed over it.
    pub fn reached(&self, received: Instant) {
        self.viewer.reaches(received);
    }

    /// Counts frames that were left out for this viewer.
    pub fn skipped(&self, reason: Skip, frames: u64) {
        self.metrics.skipped(reason, frames);
        self.viewer.counts.skipped.fetch_add(frames, Ordering::Relaxed);
    }

    /// Counts the time from PLAY to the first key-frame packet.
    pub fn started(&self, after: Duration) {
        self.metrics.viewer_start.observe(after.as_secs_f64());
    }

    /// Gives the seat up, and says why.
    pub fn leave(mut self, reason: Disconnect) {
        self.ended = reason;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(viewers) = &self.viewers else { return };
        self.counters.playing.dec();
        self.metrics.viewer_left();
        self.metrics.disconnect(self.ended);
        let mut list = viewers.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|viewer| viewer.id != self.viewer.id);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
