//! The driver in virtual time, with scripted cameras and one viewer.

mod beside;
mod recovery;
mod scripted;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::driver::now;
use super::hosts::Sources;
use super::supervisor::supervise;
use crate::config::{Source, Stream as Settings, UpstreamTransport};
use crate::hub::{Delivery, Hub, Packet, Status, Stream};
use crate::metrics::Metrics;
use crate::vocabulary::{FailureClass, Phase, TrackId};
use scripted::{Camera, Cameras, Door};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A stream of scripted cameras.
struct Rehearsal {
    cameras: Vec<Camera>,
    stream: Arc<Stream>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

/// Runs `test` on a stream of `count` cameras, in virtual time.
async fn rehearse<T>(
    count: usize,
    change: impl FnOnce(&mut Settings),
    test: impl AsyncFnOnce(&Rehearsal) -> T,
) -> T {
    let urls = (0..count).map(|i| format!("rtsp://ann:secret@10.0.0.{i}/").parse().unwrap()).collect();
    let mut settings = Settings::new(Source::Cameras(urls));
    change(&mut settings);
    let metrics = Arc::new(Metrics::new());
    let hub = Hub::new(Arc::clone(&metrics));
    let publisher = hub.add("cam");
    let stop = CancellationToken::new();
    let cameras: Vec<Camera> = (0..count).map(|_| Camera::default()).collect();
    let rehearsal = Rehearsal {
        cameras: cameras.clone(),
        stream: hub.find("cam").unwrap(),
        metrics: metrics.clone(),
        stop,
    };
    let set = LocalSet::new();
    let told = rehearsal.stop.clone();
    let driver = set.spawn_local(async move {
        supervise(publisher, &settings, Box::new(Cameras(cameras)), Sources::new(metrics), told).await;
    });
    let done = set.run_until(test(&rehearsal)).await;
    rehearsal.stop.cancel();
    set.run_until(driver).await.unwrap();
    assert!(rehearsal.cameras.iter().all(|camera| camera.open() == 0), "every session is torn down");
    done
}

/// The same with one camera, and every setting at its default.
async fn rehearse_one<T>(test: impl AsyncFnOnce(&Rehearsal) -> T) -> T {
    rehearse(1, |_| {}, test).await
}

impl Rehearsal {
    fn camera(&self) -> &Camera {
        &self.cameras[0]
    }

    async fn live(&self) -> Status {
        let mut status = self.stream.status();
        let live = status.wait_for(|status| status.phase == Phase::Live);
        time::timeout(s(300), live).await.expect("it goes live").unwrap().clone()
    }

    fn status(&self) -> Status {
        self.stream.status().borrow().clone()
    }

    fn failures(&self, class: FailureClass) -> bool {
        let series = format!("fanlight_source_failures_total{{reason=\"{class}\",stream=\"cam\"}} 0");
        !self.metrics.render().unwrap().lines().any(|line| line == series)
    }

    /// A viewer who comes when the stream has been live for a minute: what is to be learned of the camera is known.
    async fn viewer_after_a_minute(&self) -> Viewer {
        self.live().await;
        time::sleep(s(60)).await;
        self.viewer()
    }

    /// A viewer from now on.
    fn viewer(&self) -> Viewer {
        let mut subscription = self.stream.subscribe();
        let viewer = Viewer { frames: Rc::default() };
        let frames = Rc::clone(&viewer.frames);
        tokio::task::spawn_local(async move {
            while let Delivery::Burst(burst) = subscription.next().await {
                frames.borrow_mut().extend(burst.packets().iter().map(|packet| (now(), *packet)));
            }
        });
        viewer
    }
}

/// What a viewer was sent, and when. A packet of a scripted camera is a frame.
struct Viewer {
    frames: Rc<RefCell<Vec<(Instant, Packet)>>>,
}

impl Viewer {
    /// The longest time without a picture that can be decoded, from the first one up to now.
    fn longest_gap(&self) -> Duration {
        let (mut last, mut longest, mut broken) = (None, Duration::ZERO, true);
        for (at, packet) in self.frames.borrow().iter().filter(|(_, packet)| packet.track == TrackId(0)) {
            broken = (broken || packet.restarted) && !packet.key;
            if !broken {
                longest = longest.max(*at - last.replace(*at).unwrap_or(*at));
            }
        }
        longest.max(now() - last.expect("a picture"))
    }

    #[track_caller]
    fn assert_gaps_below(&self, most: Duration) {
        let longest = self.longest_gap();
        assert!(longest < most, "{longest:?} without a picture");
    }

    /// How far the clock of the pictures is from that of the wall by now.
    fn drift(&self) -> Duration {
        let frames = self.frames.borrow();
        let mut video = frames.iter().filter(|(_, packet)| packet.track == TrackId(0));
        let (Some(first), Some(last)) = (video.next(), video.next_back()) else { panic!("no pictures") };
        let media = Duration::from_secs_f64((last.1.timestamp - first.1.timestamp) as f64 / 90_000.0);
        media.abs_diff(last.0 - first.0)
    }

    /// No number comes twice or goes back, and those of a track follow each other.
    fn assert_continuous(&self) {
        for track in [TrackId(0), TrackId(1)] {
            let frames = self.frames.borrow();
            let of_track: Vec<_> = frames.iter().filter(|(_, packet)| packet.track == track).collect();
            for pair in of_track.windows(2) {
                let [(_, a), (_, b)] = pair else { continue };
                assert_eq!(b.sequence, a.sequence + 1, "{a:?} {b:?}");
                assert!(b.timestamp > a.timestamp, "{a:?} {b:?}");
            }
        }
    }

    /// Forgets what it has been sent.
    fn look_away(&self) {
        self.frames.borrow_mut().clear();
    }
}
