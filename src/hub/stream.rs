//! A stream: what its source publishes and what its viewers share.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, broadcast, watch};

use super::back_channel::BackChannel;
use super::burst::Burst;
use super::cache::GopCache;
use super::capture::Capture;
use super::history::History;
use super::outage::Away;
use super::publisher::Publisher;
use super::record::Record;
use super::standby::Standby;
use super::status::{Described, Status, TrackStats};
use super::subscription::Subscription;
use super::viewer::{Seat, Viewer, Viewers};
use crate::config::Viewing;
use crate::metrics::StreamMetrics;
use crate::rtp::{StreamClock, WallTime};
use crate::vocabulary::{Disconnect, Phase, TrackId, Transport};

/// A named feed. Cloned as an `Arc`: the source holds it to publish, each viewer to subscribe, the API to look.
#[derive(Debug)]
pub struct Stream {
    name: String,
    made: Instant,
    origin: WallTime,
    pub(super) ring: broadcast::Sender<Arc<Burst>>,
    pub(super) status: watch::Sender<Status>,
    pub(super) metrics: Arc<StreamMetrics>,
    /// How many want the source to run: viewers, and requests that wait for its description.
    demand: watch::Sender<usize>,
    viewers: Arc<Viewers>,
    reconnect: Notify,
    /// Locked for each report to or from somebody and once a burst by the publisher; never by a viewer's packets.
    clock: Mutex<StreamClock>,
    /// Locked once a burst by the publisher, and by whoever looks.
    pub(super) stats: Mutex<Vec<TrackStats>>,
    viewing: Viewing,
    provenance: OnceLock<Provenance>,
    /// Locked once a burst by the publisher, and when a viewer joins or has fallen too far behind.
    cache: Mutex<GopCache>,
    /// The outage in progress, if there is one.
    pub(super) outage: Mutex<Option<Away>>,
    /// Locked when something goes wrong or right with the source, and by whoever looks.
    record: Mutex<Record>,
    /// Outlives the stream where another of its name replaces it. Locked when the source does something else, every ten
    /// seconds, and by whoever looks.
    history: Arc<Mutex<History>>,
    capture: Arc<Capture>,
    /// Rung when the source does something else.
    bell: watch::Sender<()>,
    /// The numbers of a JPEG track while its camera is away. Locked when an outage begins or ends, and once a second
    /// while it lasts.
    standby: Mutex<Option<Standby>>,
    back_channel: Option<Arc<BackChannel>>,
}

/// Where a stream comes from, for whoever looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Cameras in order of preference, or a file. Without credentials.
    pub from: Vec<String>,
    /// Connected only while somebody watches.
    pub on_demand: bool,
    /// The settings without secrets, as the configuration has them; `None` = nobody may change them over the network.
    pub settings: Option<Arc<serde_json::Value>>,
}

impl Stream {
    /// A stream without a source yet, and the one [`Publisher`] it will ever have.
    pub fn new(name: &str, metrics: Arc<StreamMetrics>, viewing: Viewing) -> (Arc<Self>, Publisher) {
        Self::with(name, metrics, viewing, watch::Sender::default(), Arc::default())
    }

    /// The same, which rings this bell and continues this history.
    pub(super) fn with(
        name: &str,
        metrics: Arc<StreamMetrics>,
        viewing: Viewing,
        bell: watch::Sender<()>,
        history: Arc<Mutex<History>>,
    ) -> (Arc<Self>, Publisher) {
        let status = Status::new();
        metrics.phase(status.phase);
        let (made, origin) = (Instant::now(), SystemTime::now().into());
        let capture = Capture::new(viewing.capture_size, viewing.capture_age, made, origin);
        let (back_channel, said) =
            viewing.back_channel.then(|| BackChannel::new(Arc::clone(&metrics))).unzip();
        let stream = Arc::new(Self {
            name: name.to_owned(),
            made,
            origin,
            capture: Arc::new(capture),
            ring: broadcast::Sender::new(RING),
            status: watch::Sender::new(status),
            metrics,
            demand: watch::Sender::new(0),
            viewers: Arc::default(),
            reconnect: Notify::new(),
            clock: Mutex::new(StreamClock::new(WallTime(0), [])),
            stats: Mutex::default(),
            cache: Mutex::new(GopCache::new(viewing.gop_cache_size, viewing.gop_cache_age)),
            viewing,
            provenance: OnceLock::new(),
            outage: Mutex::default(),
            record: Mutex::default(),
            history,
            bell,
            standby: Mutex::default(),
            back_channel,
        });
        let publisher = Publisher::new(Arc::clone(&stream), said);
        (stream, publisher)
    }

    /// The name it is served under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is given to its viewers.
    pub fn viewing(&self) -> &Viewing {
        &self.viewing
    }

    /// The way back to its camera, where it is configured.
    pub fn back_channel(&self) -> Option<&Arc<BackChannel>> {
        self.back_channel.as_ref()
    }

    /// The bursts since the newest key frame, or none where there is none to begin with. Every burst published later
    /// comes through the ring; one that was under way may come through both, and is told by its [`Burst::id`]: so who
    /// subscribes first misses nothing.
    pub fn since_key_frame(&self) -> VecDeque<Arc<Burst>> {
        self.cache().bursts()
    }

    /// The id of the burst in which the newest key frame begins, and when it arrived.
    pub fn newest_key_frame(&self) -> Option<(u64, Instant)> {
        self.cache().key()
    }

    /// How far a viewer is behind the live edge: how much later than the last burst it was given, or than its PLAY where it
    /// was given none since, the newest one arrived. `None` while it pauses.
    pub fn lag(&self, viewer: &Viewer) -> Option<Duration> {
        viewer.playing_since()?;
        let newest = self.cache().newest();
        Some(newest.map_or(Duration::ZERO, |newest| newest.saturating_duration_since(viewer.reached())))
    }

    /// Tells where it comes from, once.
    pub fn comes_from(&self, provenance: Provenance) {
        // A second time would be a defect of the caller's, and harmless.
        let _ = self.provenance.set(provenance);
    }

    /// Where it comes from, as far as that was told.
    pub fn provenance(&self) -> Provenance {
        self.provenance.get().cloned().unwrap_or_default()
    }

    /// Counters of this stream.
    pub fn metrics(&self) -> &Arc<StreamMetrics> {
        &self.metrics
    }

    /// Follows what the source does.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Waits until the source has described its tracks and their parameter sets are known, or two seconds have passed
    /// since it went live: some cameras never say. During an outage what was known before it has to do. `None` when the
    /// stream is removed. The caller bounds the wait.
    pub async fn described(&self) -> Option<Described> {
        let mut status = self.status.subscribe();
        loop {
            let patience = {
                let status = status.borrow_and_update();
                if status.phase == Phase::Stopped {
                    return None;
                }
                match (&status.described, status.live_since()) {
                    (Some(described), _) if described.complete => return Some(described.clone()),
                    (Some(described), Some(live)) if live.elapsed() >= PARAMETER_PATIENCE => {
                        return Some(described.clone());
                    }
                    // Between two attempts, and during one that follows a failed one.
                    (Some(described), None) if status.attempt > 0 && status.sessions > 0 => {
                        return Some(described.clone());
                    }
                    (_, live) => live.map(|live| PARAMETER_PATIENCE.saturating_sub(live.elapsed())),
                }
            };
            let changed = async {
                match patience {
                    Some(patience) => {
                        tokio::time::timeout(patience, status.changed()).await.unwrap_or(Ok(()))
                    }
                    None => status.changed().await,
                }
            };
            changed.await.ok()?;
        }
    }

    /// Follows the bursts from now on. That alone does not keep the source wanted ([`Stream::want`]).
    pub fn subscribe(&self) -> Subscription {
        Subscription { bursts: self.ring.subscribe() }
    }

    /// Keeps the source wanted for as long as the value lives.
    pub fn want(self: &Arc<Self>) -> Demand {
        self.demand.send_modify(|count| *count += 1);
        Demand { stream: Arc::clone(self) }
    }

    /// Follows how many want the source to run.
    pub fn demand(&self) -> watch::Receiver<usize> {
        self.demand.subscribe()
    }

    /// Takes a seat among the viewers.
    pub fn join(&self, peer: IpAddr, transport: Transport, user_agent: Option<String>) -> Seat {
        self.viewers.join(Arc::clone(&self.metrics), Viewer::new(peer, transport, user_agent, None))
    }

    /// Takes a seat for one who hears what `flow` is sent, together with others.
    pub fn join_hearing(&self, flow: &Arc<Viewer>, peer: IpAddr, user_agent: Option<String>) -> Seat {
        let viewer = Viewer::new(peer, flow.transport, user_agent, Some(flow));
        self.viewers.join(Arc::clone(&self.metrics), viewer)
    }

    /// A seat for what several viewers are to hear who have seats of their own: it counts what is sent, and is nobody.
    pub fn shared_seat(&self, address: IpAddr, transport: Transport) -> Seat {
        Seat::shared(Arc::clone(&self.metrics), Viewer::new(address, transport, None, None))
    }

    /// Who watches.
    pub fn viewers(&self) -> Vec<Arc<Viewer>> {
        self.viewers.list()
    }

    /// Ends the stream: its viewers leave, and nobody waits for it any more.
    pub fn close(&self) {
        self.update(|status| status.enter(Phase::Stopped));
        self.metrics.phase(Phase::Stopped);
        self.outage_ends(Instant::now());
        // A stream of the same name counts on in the same metrics, and may have fewer tracks.
        if let Some(described) = &self.status.borrow().described {
            for track in &described.description.tracks {
                self.metrics.track(track.id).fps.set(0.0);
            }
        }
        self.disconnect_viewers(Disconnect::StreamChanged);
    }

    /// Changes what the source is said to do, and tells whoever follows. Of a stream that has ended nothing is told.
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut told = None;
        self.status.send_modify(|status| {
            let had_ended = status.phase == Phase::Stopped;
            change(status);
            if !had_ended {
                let tries = status.phase == Phase::Connecting && status.attempt > 0;
                let phase = if tries { Phase::Retrying } else { status.phase };
                let failure = status.last_failure.as_ref().filter(|_| phase == Phase::Retrying);
                told = Some((phase, failure.map(|failure| (failure.class, failure.message.clone()))));
            }
        });
        let Some((phase, why)) = told else { return };
        let now = self.wall(self.elapsed(Instant::now()));
        self.history_with(|history| {
            history.note(phase, why.as_ref().map(|(class, message)| (*class, message.as_str())), now);
        });
        self.bell.send_replace(());
    }

    /// Its incident recorder.
    pub fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    /// What the stream did.
    pub fn history(&self) -> History {
        self.history_with(|history| history.clone())
    }

    pub(super) fn history_with<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        look(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the stream that replaces this one.
    pub(super) fn history_shared(&self) -> Arc<Mutex<History>> {
        Arc::clone(&self.history)
    }

    /// The part of the packets of the last minute that got lost on the way from the camera; `None` where none came.
    pub fn loss(&self) -> Option<f64> {
        self.history_with(|history| history.loss())
    }

    /// Whether the stream has ended.
    pub fn is_closed(&self) -> bool {
        self.status.borrow().phase == Phase::Stopped
    }

    pub(super) fn disconnect_viewers(&self, reason: Disconnect) {
        for viewer in self.viewers.list() {
            viewer.kick(reason);
        }
    }

    /// Asks the source to drop its session and connect anew.
    pub fn request_reconnect(&self) {
        self.reconnect.notify_waiters();
    }

    /// Waits for somebody to ask for a new upstream session.
    pub async fn reconnect_requested(&self) {
        self.reconnect.notified().await;
    }

    /// How the source's tracks do, as of now.
    pub fn track_stats(&self) -> Vec<TrackStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands a burst to whoever follows.
    pub(super) fn publish(&self, burst: Burst) {
        let burst = Arc::new(burst);
        // First, so that who follows the ring and then looks here has every burst at least once.
        let pushed = self.cache().push(&burst);
        if pushed.dropped {
            self.metrics.gop_cache_dropped.inc();
        }
        // Fails when nobody watches, which is no failure.
        let _ = self.ring.send(burst);
    }

    pub(super) fn standby(&self) -> MutexGuard<'_, Option<Standby>> {
        self.standby.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows "no signal" in place of the camera's pictures, where the stream has such a picture and the camera is away.
    pub(super) fn show_no_signal(&self, now: Instant) {
        let mut standby = self.standby();
        if let Some(burst) = standby.as_mut().and_then(|standby| standby.picture(now, self.elapsed(now))) {
            self.metrics.no_signal_frames.inc();
            // Still locked: the camera's next picture comes behind it.
            self.publish(burst);
        }
    }

    /// What is remembered of the source's troubles.
    pub fn record(&self) -> Record {
        self.record_with(|record| record.clone())
    }

    pub(super) fn record_with<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The moment `now` on a track's timeline and on the viewers' wall clock, for a sender report.
    pub fn report(&self, track: TrackId, now: Instant) -> Option<(u64, WallTime)> {
        self.clock().report(track, self.elapsed(now))
    }

    /// Time from the making of the stream to `instant`.
    pub fn elapsed(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.made)
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, GopCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> MutexGuard<'_, StreamClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock at `elapsed` after the stream was made. The clock of the host is read once, so that one moment has
    /// one time, whenever it is asked for.
    pub fn wall(&self, elapsed: Duration) -> WallTime {
        self.origin.after(elapsed)
    }
}

/// Keeps a source wanted, by being held.
#[derive(Debug)]
pub struct Demand {
    stream: Arc<Stream>,
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.stream.demand.send_modify(|count| *count -= 1);
    }
}

/// Bursts in a ring. A slot is emptied when every worker has seen it, so at rest the ring holds nothing. A worker keeps as
/// many for viewers that are slow: 17 seconds of a camera with 30 frames a second.
pub const RING: usize = 512;

/// How long a description waits for parameter sets that come in-band. A camera sends them with its first key frame.
const PARAMETER_PATIENCE: Duration = Duration::from_secs(2);
