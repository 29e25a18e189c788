//! Keeps one stream's source running: `run` retries, `run_once` is the straight line of one session.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use retina::client::SessionGroup;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::camera::{self, Described, Event};
use super::error::Error;
use super::policy::{
    Choice, FailBack, Governor, History, Limits, Liveness, Nature, Patience, Spacing, Strategy, Streak,
    Verdict,
};
use crate::config::{CameraUrl, Retry, Source, Stream as Settings, UpstreamTransport};
use crate::hub::{Care, Publisher, Stream};
use crate::metrics::Metrics;
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, Transport};
use crate::workers::panic_message;

/// What the sources of a process share.
#[derive(Clone, Debug)]
pub struct Sources {
    metrics: Arc<Metrics>,
    /// Locked once an attempt.
    governor: Arc<Mutex<Governor>>,
}

impl Sources {
    /// No source yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, governor: Arc::new(Mutex::new(Governor::new(Spacing::default(), Instant::now()))) }
    }

    /// How long an attempt at this host has to wait for its turn among all the others.
    fn turn(&self, host: &str) -> Duration {
        let mut governor = self.governor.lock().unwrap_or_else(PoisonError::into_inner);
        governor.admit(host, Instant::now(), rand::random())
    }
}

/// Runs the source of one stream until `stop`: connects (for an on-demand stream when somebody wants it), publishes,
/// and tries again after every failure.
pub async fn run(publisher: Publisher, settings: Settings, sources: Sources, stop: CancellationToken) {
    let span = tracing::info_span!("source", stream = publisher.stream().name());
    let name = publisher.stream().name().to_owned();
    let count = match &settings.source {
        Source::Cameras(cameras) => cameras.len(),
        Source::File { .. } => 1,
    };
    let limits = Limits {
        retry_min: settings.retry_min,
        retry_max: settings.retry_max,
        unreachable_max: 2 * settings.retry_max,
        refusal_max: 6 * settings.retry_max,
        ..Limits::default()
    };
    let care = Care { grace: settings.outage_grace };
    let supervisor = Supervisor {
        rule: rule(&settings).map(|strategy| (strategy, Streak::default())),
        settings,
        sources,
        histories: vec![History::new(limits); count],
        choice: Choice::new(count, FailBack::default()),
        camera: 0,
        liveness: None,
        group: Arc::new(SessionGroup::default().named(name.clone())),
        name,
        udp_is_dead: false,
    };
    // A task of its own, so that packets do not wake it; it ends with the set.
    let mut beside = JoinSet::new();
    beside.spawn_local(care.run(Arc::clone(publisher.stream())));
    supervisor.run(publisher, stop).instrument(span).await;
}

struct Supervisor {
    /// Of the stream.
    name: String,
    settings: Settings,
    sources: Sources,
    /// What each of the cameras has done so far.
    histories: Vec<History>,
    /// A rule of the user's in place of what the histories say, and the failures it counts.
    rule: Option<(Strategy, Streak)>,
    choice: Choice,
    /// Which of the cameras is next.
    camera: usize,
    /// The rhythm of the tracks, kept from one session to the next of the same camera.
    liveness: Option<Rhythm>,
    /// The library's record of sessions whose TEARDOWN is under way.
    group: Arc<SessionGroup>,
    /// No packet came over UDP: with `transport: auto`, TCP from now on.
    udp_is_dead: bool,
}

/// The rule the user chose; `None` for `auto`.
fn rule(settings: &Settings) -> Option<Strategy> {
    let (min, max) = (settings.retry_min, settings.retry_max);
    match settings.retry {
        Retry::Auto => None,
        Retry::Immediate => Some(Strategy::Immediate),
        Retry::Fixed => Some(Strategy::Fixed { delay: min }),
        Retry::Linear => Some(Strategy::Linear { step: min, max }),
        Retry::Exponential => Some(Strategy::Exponential { min, max }),
    }
}

/// What is known of how a camera's pictures come.
struct Rhythm {
    camera: usize,
    tracks: Vec<Nature>,
    liveness: Liveness,
}

/// Why a session, or the wait for the next one, ended.
enum Ended {
    Stopped,
    Unwatched,
    Failed(Error),
}

impl Supervisor {
    async fn run(mut self, mut publisher: Publisher, stop: CancellationToken) {
        let stream = Arc::clone(publisher.stream());
        let close_after = self.settings.on_demand.then_some(self.settings.on_demand_close_after);
        loop {
            if self.settings.on_demand && *stream.demand().borrow() == 0 {
                publisher.idle();
                let mut demand = stream.demand();
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = demand.wait_for(|count| *count > 0) => {}
                }
            }
            publisher.connecting();
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => Ended::Stopped,
                () = stream.reconnect_requested() => {
                    Ended::Failed(Error::new(FailureClass::Requested, "a new session was asked for"))
                }
                () = unwatched(&stream, close_after) => Ended::Unwatched,
                error = self.run_caught(&mut publisher) => Ended::Failed(error),
            };
            publisher.flush();
            let delivered = stream.status().borrow().live_since();
            match ended {
                Ended::Stopped => break,
                Ended::Unwatched => {
                    tracing::info!("nobody watches: the session is closed");
                    self.torn_down().await;
                }
                Ended::Failed(error) => self.wait_after(error, delivered, &mut publisher, &stop).await,
            }
        }
        self.torn_down().await;
    }

    /// Logs and shows a failure, and waits for the next try.
    async fn wait_after(
        &mut self,
        error: Error,
        delivered: Option<Instant>,
        publisher: &mut Publisher,
        stop: &CancellationToken,
    ) {
        let stream = Arc::clone(publisher.stream());
        let now = Instant::now();
        let mut decision = self.histories[self.camera].decide(error.class, now, rand::random());
        if let Some((strategy, streak)) = &mut self.rule {
            if let Some(since) = delivered {
                streak.delivered(since, now);
            }
            // What somebody asked for, and what only needs another transport, has no pause by any rule.
            if !matches!(error.class, FailureClass::Requested | FailureClass::NoUdp) {
                decision.delay = strategy.delay(streak.failed(), rand::random());
                decision.why = strategy.to_string();
            }
        }
        self.udp_is_dead |= decision.use_tcp;
        self.choice.failed(self.camera, now, decision.delay, decision.next_source);
        let next = self.choice.next(now);
        let why = if next.source == self.camera {
            decision.why
        } else {
            format!("{} Source {} of {} is next.", decision.why, next.source + 1, self.histories.len())
        };
        self.camera = next.source;
        let delay = next.wait;
        // Once per change of what is wrong, not once per attempt.
        let news = stream.status().borrow().last_failure.as_ref().map(|last| last.message.clone());
        if delivered.is_some() || news.as_ref() != Some(&error.message) {
            tracing::warn!(reason = error.class.as_str(), retry_in = ?delay, "{error}: {why}");
        } else {
            tracing::debug!(reason = error.class.as_str(), retry_in = ?delay, "{error}");
        }
        publisher.failed(error.class, error.message, delay, why);
        publisher.explain(&self.strategy(), self.histories[self.camera].learned());
        let rested = async {
            tokio::select! {
                () = time::sleep(delay) => {}
                () = stream.reconnect_requested() => {}
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = async { tokio::join!(rested, self.torn_down()) } => {}
        }
    }

    /// The rule by which attempts are made, in words.
    fn strategy(&self) -> String {
        let auto = || "Auto: what failed and what the camera did before decide.".to_owned();
        self.rule.as_ref().map_or_else(auto, |(strategy, _)| strategy.to_string())
    }

    /// Waits until the TEARDOWN of earlier sessions has been tried, so that a camera has one session of ours at a time.
    async fn torn_down(&mut self) {
        let group = Arc::clone(&self.group);
        let waited = AssertUnwindSafe(time::timeout(TEARDOWN_LIMIT, group.await_teardown())).catch_unwind();
        // An error is a TEARDOWN that the camera did not take: there is nothing more to do about that session.
        if waited.await.is_err() {
            // The task that was to send it panicked (on a space behind the session's id, say), and whoever waits for
            // it panics as well, now and ever after: its record is of no more use.
            self.sources.metrics.task_panics.inc();
            self.group = Arc::new(SessionGroup::default().named(self.name.clone()));
        }
    }

    /// One session; a panic of the library on what the camera sent is a failure like others.
    async fn run_caught(&mut self, publisher: &mut Publisher) -> Error {
        match AssertUnwindSafe(self.run_once(publisher)).catch_unwind().await {
            Ok(Err(error)) => error,
            Ok(Ok(never)) => match never {},
            Err(panic) => {
                self.sources.metrics.task_panics.inc();
                let message = format!("the RTSP library panicked: {}", panic_message(&*panic));
                Error::new(FailureClass::Panic, message)
            }
        }
    }

    /// Connects and publishes until something fails.
    async fn run_once(&mut self, publisher: &mut Publisher) -> Result<std::convert::Infallible, Error> {
        match self.settings.source.clone() {
            Source::Cameras(cameras) => self.camera_session(&cameras[self.camera], publisher).await,
            Source::File { path, fps, packet_size } => {
                super::file::play(&path, fps, packet_size, publisher).await
            }
        }
    }

    async fn camera_session(
        &mut self,
        camera: &CameraUrl,
        publisher: &mut Publisher,
    ) -> Result<std::convert::Infallible, Error> {
        time::sleep(self.sources.turn(camera.url().host_str().unwrap_or_default())).await;
        let started = Instant::now();
        let limit = self.settings.connect_timeout;
        let transport = match self.settings.transport {
            UpstreamTransport::Tcp => Transport::Tcp,
            UpstreamTransport::Udp => Transport::Udp,
            UpstreamTransport::Auto if self.udp_is_dead => Transport::Tcp,
            UpstreamTransport::Auto => Transport::Udp,
        };
        let described = Described::open(camera, Arc::clone(&self.group), limit).await?;
        let description = described.description().clone();
        let mut session = match described.play(transport, limit).await {
            Err(error) if transport == Transport::Udp && refuses_udp(&self.settings, &error) => {
                self.udp_is_dead = true;
                return Err(Error::new(FailureClass::NoUdp, format!("{error}: TCP is next")));
            }
            played => played?,
        };

        let playing_since = Instant::now();
        let mut liveness = self.rhythm(&description, playing_since);
        let mut heard = false;
        let mut description = Some(description);
        let mut check = pin!(time::sleep(POLL_EVERY));
        loop {
            let checked = poll_fn(|cx| {
                for _ in 0..MAX_EVENTS {
                    match session.poll_next(cx) {
                        Poll::Ready(Some(Ok(event))) => {
                            if let Some(description) = description.take() {
                                let now = Instant::now();
                                self.sources
                                    .metrics
                                    .source_connect_seconds
                                    .observe((now - started).as_secs_f64());
                                self.histories[self.camera].live(now);
                                self.choice.delivered(self.camera, now);
                                tracing::info!(source = %camera, transport = transport.as_str(), "live");
                                publisher.begin(description);
                                publisher.live(Some(transport));
                                publisher.explain(&self.strategy(), self.histories[self.camera].learned());
                            }
                            heard = true;
                            publish(&session, event, publisher, &mut liveness.liveness);
                        }
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(None) => {
                            let message = "the camera closed the connection";
                            return Poll::Ready(Err(Error::new(FailureClass::EndOfStream, message)));
                        }
                        Poll::Pending => {
                            publisher.settle(cx);
                            return check.as_mut().poll(cx).map(Ok);
                        }
                    }
                }
                // More is waiting: let others run in between.
                publisher.flush();
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            let checked = checked.await;
            let now = Instant::now();
            let verdict = checked.and_then(|()| match liveness.liveness.verdict(now) {
                _ if !heard
                    && transport == Transport::Udp
                    && self.settings.transport == UpstreamTransport::Auto
                    && playing_since.elapsed() >= UDP_PATIENCE =>
                {
                    let message = "no packet came over UDP within 3 s: TCP is next";
                    Err(Error::new(FailureClass::NoUdp, message))
                }
                Verdict::Stalled { why, .. } if heard => Err(Error::new(FailureClass::Stall, why)),
                Verdict::Stalled { .. } => {
                    let waited = playing_since.elapsed().as_secs_f64();
                    let message = format!("no packet for {waited:.1} s after PLAY (read_timeout)");
                    Err(Error::new(FailureClass::Stall, message))
                }
                Verdict::Healthy | Verdict::Suspect { .. } => Ok(()),
            });
            if let Err(error) = verdict {
                self.liveness = Some(liveness);
                return Err(error);
            }
            let next = liveness.liveness.next_check(now).clamp(now + CHECK_AT_MOST_EVERY, now + POLL_EVERY);
            check.as_mut().reset(next.into());
        }
    }

    /// What is known of the rhythm of these tracks, for a session that starts to play `now`.
    fn rhythm(&mut self, description: &Description, now: Instant) -> Rhythm {
        let tracks: Vec<Nature> = description.tracks.iter().map(|track| Nature::of(&track.kind)).collect();
        let known =
            self.liveness.take().filter(|known| known.camera == self.camera && known.tracks == tracks);
        if let Some(mut known) = known {
            known.liveness.restarted(now);
            return known;
        }
        let patience = Patience {
            stall_timeout: None,
            key_frame_timeout: None,
            read_timeout: self.settings.read_timeout,
        };
        let liveness = Liveness::new(patience, tracks.iter().copied(), now);
        Rhythm { camera: self.camera, tracks, liveness }
    }
}

fn publish(session: &camera::Playing, event: Event, publisher: &mut Publisher, liveness: &mut Liveness) {
    match event {
        Event::Packet(packet) => {
            let Some(track) = session.track(packet.stream_id()) else { return };
            let received = camera::received(&packet);
            match publisher.packet(track, packet.raw(), received) {
                Ok(kind) if kind.frame_start => liveness.frame(track, kind.key, received),
                Ok(_) => liveness.packet(received),
                Err(error) => tracing::trace!(%track, %error, "a packet is left out"),
            }
        }
        Event::Reports(reports) => {
            let Some(track) = session.track(reports.stream_id()) else { return };
            camera::sender_reports(reports.raw(), |ntp, timestamp| {
                publisher.sender_report(track, ntp, timestamp)
            });
        }
    }
}

/// Whether a camera that failed over UDP may do over TCP: it says so (461), or the library could not use its answer.
fn refuses_udp(settings: &Settings, error: &Error) -> bool {
    settings.transport == UpstreamTransport::Auto
        && matches!(error.class, FailureClass::Status | FailureClass::Protocol)
}

/// Waits until nobody has wanted an on-demand stream for this long; forever for other streams.
async fn unwatched(stream: &Stream, close_after: Option<Duration>) {
    let Some(close_after) = close_after else { return std::future::pending().await };
    let mut demand = stream.demand();
    loop {
        // Closed only when the stream is gone, and then somebody stops us.
        if demand.wait_for(|count| *count == 0).await.is_err() {
            return std::future::pending().await;
        }
        let mut wanted = pin!(demand.wait_for(|count| *count > 0));
        if time::timeout(close_after, &mut wanted).await.is_err() {
            return;
        }
    }
}

/// The library forgets its waker when the camera sends a request (an OPTIONS of a Dahua, for one): media would wait for
/// the next keep-alive. Polling it again bounds that gap.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// A picture that is due any moment is not looked for more often than this.
const CHECK_AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// Packets taken before other tasks of the thread get their turn.
const MAX_EVENTS: usize = 512;

/// `transport: auto` gives UDP up when no packet comes for this long.
const UDP_PATIENCE: Duration = Duration::from_secs(3);

/// How long the TEARDOWN of a session may hold up the next one, or the end of the relay.
const TEARDOWN_LIMIT: Duration = Duration::from_secs(2);
