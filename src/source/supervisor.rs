//! Keeps one stream's source running: `run` retries, `run_once` is the straight line of one session.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use retina::client::SessionGroup;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::camera::{self, Described, Event};
use super::error::Error;
use super::retry::Backoff;
use crate::config::{CameraUrl, Source, Stream as Settings, UpstreamTransport};
use crate::hub::{Publisher, Stream};
use crate::metrics::Metrics;
use crate::vocabulary::{FailureClass, Transport};
use crate::workers::panic_message;

/// Runs the source of one stream until `stop`: connects (for an on-demand stream when somebody wants it), publishes,
/// and tries again after every failure.
pub async fn run(publisher: Publisher, settings: Settings, metrics: Arc<Metrics>, stop: CancellationToken) {
    let span = tracing::info_span!("source", stream = publisher.stream().name());
    let name = publisher.stream().name().to_owned();
    let supervisor = Supervisor {
        backoff: Backoff::new(settings.retry_min, settings.retry_max),
        settings,
        metrics,
        group: Arc::new(SessionGroup::default().named(name.clone())),
        name,
        camera: 0,
        udp_is_dead: false,
    };
    supervisor.run(publisher, stop).instrument(span).await;
}

struct Supervisor {
    /// Of the stream.
    name: String,
    settings: Settings,
    metrics: Arc<Metrics>,
    backoff: Backoff,
    /// The library's record of sessions whose TEARDOWN is under way.
    group: Arc<SessionGroup>,
    /// Which of the cameras is next.
    camera: usize,
    /// No packet came over UDP: with `transport: auto`, TCP from now on.
    udp_is_dead: bool,
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
            let sessions = stream.status().borrow().sessions;
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
            let delivered = stream.status().borrow().sessions > sessions;
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
        delivered: bool,
        publisher: &mut Publisher,
        stop: &CancellationToken,
    ) {
        let stream = Arc::clone(publisher.stream());
        if delivered {
            self.backoff.reset();
        } else if let Source::Cameras(cameras) = &self.settings.source {
            self.camera = (self.camera + 1) % cameras.len();
        }
        let delay = match error.class {
            FailureClass::Requested | FailureClass::NoUdp => Duration::ZERO,
            _ => self.backoff.next(rand::random()),
        };
        // Once per change of what is wrong, not once per attempt.
        let news = stream.status().borrow().last_failure.as_ref().map(|last| last.message.clone());
        if delivered || news.as_ref() != Some(&error.message) {
            tracing::warn!(reason = error.class.as_str(), retry_in = ?delay, "{error}");
        } else {
            tracing::debug!(reason = error.class.as_str(), retry_in = ?delay, "{error}");
        }
        publisher.failed(error.class, error.message, delay);
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

    /// Waits until the TEARDOWN of earlier sessions has been tried, so that a camera has one session of ours at a time.
    async fn torn_down(&mut self) {
        let group = Arc::clone(&self.group);
        let waited = AssertUnwindSafe(time::timeout(TEARDOWN_LIMIT, group.await_teardown())).catch_unwind();
        // An error is a TEARDOWN that the camera did not take: there is nothing more to do about that session.
        if waited.await.is_err() {
            // The task that was to send it panicked (on a space behind the session's id, say), and whoever waits for
            // it panics as well, now and ever after: its record is of no more use.
            self.metrics.task_panics.inc();
            self.group = Arc::new(SessionGroup::default().named(self.name.clone()));
        }
    }

    /// One session; a panic of the library on what the camera sent is a failure like others.
    async fn run_caught(&mut self, publisher: &mut Publisher) -> Error {
        match AssertUnwindSafe(self.run_once(publisher)).catch_unwind().await {
            Ok(Err(error)) => error,
            Ok(Ok(never)) => match never {},
            Err(panic) => {
                self.metrics.task_panics.inc();
                let message = format!("the RTSP library panicked: {}", panic_message(&*panic));
                Error::new(FailureClass::Panic, message)
            }
        }
    }

    /// Connects and publishes until something fails.
    async fn run_once(&mut self, publisher: &mut Publisher) -> Result<std::convert::Infallible, Error> {
        match self.settings.source.clone() {
            Source::Cameras(cameras) => {
                self.camera_session(&cameras[self.camera % cameras.len()], publisher).await
            }
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

        let mut tick = time::interval(POLL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_packet: Option<Instant> = None;
        let playing_since = Instant::now();
        let mut description = Some(description);
        loop {
            let ticked = poll_fn(|cx| {
                for _ in 0..MAX_EVENTS {
                    match session.poll_next(cx) {
                        Poll::Ready(Some(Ok(event))) => {
                            if let Some(description) = description.take() {
                                self.metrics.source_connect_seconds.observe(started.elapsed().as_secs_f64());
                                tracing::info!(source = %camera, transport = transport.as_str(), "live");
                                publisher.begin(description);
                                publisher.live(Some(transport));
                            }
                            last_packet = Some(Instant::now());
                            publish(&session, event, publisher);
                        }
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(None) => {
                            let message = "the camera closed the connection";
                            return Poll::Ready(Err(Error::new(FailureClass::EndOfStream, message)));
                        }
                        Poll::Pending => {
                            publisher.flush();
                            return tick.poll_tick(cx).map(|_| Ok(()));
                        }
                    }
                }
                // More is waiting: let others run in between.
                publisher.flush();
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            ticked.await?;
            let quiet = last_packet.unwrap_or(playing_since).elapsed();
            if transport == Transport::Udp
                && last_packet.is_none()
                && self.settings.transport == UpstreamTransport::Auto
                && quiet >= UDP_PATIENCE
            {
                self.udp_is_dead = true;
                return Err(Error::new(
                    FailureClass::NoUdp,
                    "no packet came over UDP within 3 s: TCP is next",
                ));
            }
            if quiet >= self.settings.read_timeout {
                let message =
                    format!("no packet for {} s (read_timeout)", self.settings.read_timeout.as_secs_f64());
                return Err(Error::new(FailureClass::Stall, message));
            }
        }
    }
}

fn publish(session: &camera::Playing, event: Event, publisher: &mut Publisher) {
    match event {
        Event::Packet(packet) => {
            let Some(track) = session.track(packet.stream_id()) else { return };
            if let Err(error) = publisher.packet(track, packet.raw(), camera::received(&packet)) {
                tracing::trace!(%track, %error, "a packet is left out");
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

/// Packets taken before other tasks of the thread get their turn.
const MAX_EVENTS: usize = 512;

/// `transport: auto` gives UDP up when no packet comes for this long.
const UDP_PATIENCE: Duration = Duration::from_secs(3);

/// How long the TEARDOWN of a session may hold up the next one, or the end of the relay.
const TEARDOWN_LIMIT: Duration = Duration::from_secs(2);
