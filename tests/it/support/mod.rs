//! What the tests stand on: a simulated camera and a raw-wire viewer, both on real sockets and port 0, and both
//! ignorant of the code under test: they speak RTSP and RTP with a few lines of their own, so that a mistake in the
//! relay cannot hide behind the same mistake in its tests.
//!
//! Nothing here sleeps to synchronise. A test waits for a condition ([`eventually`], `Camera::until`) or for bytes
//! (`Viewer`), always under a limit whose message names what was waited for.
#![allow(dead_code, reason = "support offers more than the tests of one day use")]

pub mod anybody;
pub mod audio;
pub mod camera;
pub mod dice;
pub mod digest;
pub mod h264;
pub mod h265;
pub mod jpeg;
pub mod proof;
pub mod relay;
pub mod rtp;
pub mod sdp;
pub mod stamp;
pub mod tls;
pub mod viewer;
pub mod websocket;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// The longest any step of a test may take on a slow and busy machine. A limit, not a figure to reach.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; panics with `what` when it does not within `limit`.
///
/// For state that only polling shows (a metric, a counter of the relay). Where there is something to await, await it.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Awaits `future`; panics with `what` when it takes longer than `limit`.
#[track_caller]
pub fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(limit, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: not within {limit:?}: {what}"),
        }
    }
}
