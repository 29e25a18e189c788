//! What goes wrong with cameras, one by one: the viewers keep their sessions and their numbers, and the picture comes
//! back.

mod description;
mod gaps;
mod media;
mod network;
mod sessions;
mod storm;

use std::time::Duration;

use fanlight::config::Stream as Settings;

use crate::support::camera::{Audio, Builder, Camera};
use crate::support::proof::gaps::default_settings;
use crate::support::relay::Relay;
use crate::support::viewer::watch::Crowd;

/// A camera, a relay with every setting at its default, and viewers over TCP and UDP that have seen two seconds of it.
struct Scene {
    camera: Camera,
    relay: Relay,
    crowd: Crowd,
}

/// 25 frames a second with sound, a key frame every second and one after PLAY.
fn usual() -> Builder {
    let builder = Camera::builder().h264(25).gop(25).packets_per_frame(2).packet_size(300);
    builder.audio(Audio::Pcmu).key_frame_on_play()
}

impl Scene {
    async fn open(camera: Builder) -> Self {
        Self::open_with(camera, |_| {}).await
    }

    async fn open_with(camera: Builder, change: impl FnOnce(&mut Settings)) -> Self {
        let camera = camera.start().await;
        let mut settings = default_settings(&camera.url());
        change(&mut settings);
        Self::between(camera, settings).await
    }

    async fn between(camera: Camera, settings: Settings) -> Self {
        let relay = Relay::builder().stream("cam", settings).start().await;
        let crowd = Crowd::gather(&relay.url("cam"), 2, 2).await;
        crowd.go_on(50, Duration::from_secs(20)).await;
        crowd.start_over();
        Self { camera, relay, crowd }
    }

    /// Waits until a session that is not one of the first `before` plays, and its pictures are at every viewer. Gives
    /// the longest gap.
    async fn recovers(&self, before: usize) -> Duration {
        let limit = Duration::from_secs(30);
        self.camera
            .until_within(limit, "a new session plays", |c| c.sessions_total > before && c.playing > 0)
            .await;
        self.crowd.go_on(25, limit).await;
        self.crowd.gaps().pop().unwrap_or_default()
    }

    /// The viewers noticed nothing but the gap; the camera has one session of ours, and every other was given back.
    async fn is_well(&self) {
        self.crowd.assert_unharmed();
        self.is_at_rest().await;
    }

    async fn is_at_rest(&self) {
        let what = "one session and one connection are left";
        let limit = Duration::from_secs(20);
        let at_rest =
            |c: &crate::support::camera::Counts| (c.sessions_open, c.playing, c.connections) == (1, 1, 1);
        self.camera.until_within(limit, what, at_rest).await;
        assert_eq!(self.camera.counts().abandoned, 0, "sessions left without TEARDOWN");
    }
}

/// What a test run on two busy cores may take longer than a machine that has time.
const SLACK: Duration = Duration::from_secs(2);
