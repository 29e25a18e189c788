//! A camera that ends sessions without a request for five seconds.

use std::time::Duration;

use super::super::camera::Fault;
use super::super::relay::Relay;
use super::super::viewer::watch::Crowd;
use super::gaps::{camera, default_settings};

/// What it was like.
#[derive(Debug)]
pub struct Outcome {
    /// Sessions that the camera ended.
    pub timed_out: usize,
    /// Sessions in all.
    pub sessions: usize,
    /// Frames at the viewer that saw the fewest.
    pub frames: u32,
    /// Packets that viewers missed.
    pub missing: u32,
    pub longest: Duration,
}

/// Watches it for so long.
pub async fn keep(time: Duration) -> Outcome {
    let camera = camera(25).await;
    camera.fault(Fault::SessionTimeout(Duration::from_secs(5)));
    let relay = Relay::builder().stream("cam", default_settings(&camera.url())).start().await;
    let crowd = Crowd::gather(&relay.url("cam"), 2, 2).await;
    crowd.start_over();
    tokio::time::sleep(time).await;
    let seen = crowd.seen();
    crowd.assert_whole();
    Outcome {
        timed_out: camera.counts().timed_out,
        sessions: camera.sessions_total(),
        frames: seen.iter().map(|seen| seen.frames).min().unwrap_or(0),
        missing: seen.iter().map(|seen| seen.missing_of_all).sum(),
        longest: crowd.gaps().pop().unwrap_or_default(),
    }
}

impl Outcome {
    pub fn holds(&self) -> bool {
        (self.timed_out, self.sessions, self.missing) == (0, 1, 0)
    }
}
