//! How long each of many viewers sees no frame when something happens to the camera.

use std::time::Duration;

use super::super::PATIENCE;
use super::super::camera::{Audio, Camera, Close, Host, Stall};
use super::super::relay::Relay;
use super::super::viewer::watch::Crowd;
use fanlight::config::{CameraUrl, Source, Stream as Settings};

/// What happens to the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its connections are reset; it can be reached.
    Reset,
    /// It is away for two seconds, and refuses connections.
    Outage,
    /// It is away for two seconds, and answers nothing at all.
    SilentOutage,
    /// It sends nothing any more, and keeps the connection.
    Stall,
    /// Its encoder hangs: sound, sender reports and answers go on.
    Hang,
}

/// What it was like.
#[derive(Debug)]
pub struct Outcome {
    /// The longest gap at each viewer, shortest first.
    pub gaps: Vec<Duration>,
    /// Viewers that lost their session.
    pub lost: usize,
    /// What no viewer should be shown.
    pub wrong: Vec<String>,
    /// Sessions opened after the first.
    pub reconnects: usize,
}

impl Trouble {
    pub const ALL: [Self; 5] = [Self::Reset, Self::Outage, Self::SilentOutage, Self::Stall, Self::Hang];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset, camera reachable",
            Self::Outage => "2 s outage, refused",
            Self::SilentOutage => "2 s outage, silent host",
            Self::Stall => "silent stall",
            Self::Hang => "encoder hung, RTCP goes on",
        }
    }

    /// What the longest gap has to stay under on a machine that has time for it.
    pub fn limit(self) -> Duration {
        Duration::from_millis(match self {
            Self::Reset => 500,
            Self::Outage | Self::SilentOutage => 2500,
            Self::Stall => 2000,
            Self::Hang => 3000,
        })
    }

    async fn happens_to(self, camera: &Camera) {
        let away = Duration::from_secs(2);
        match self {
            Self::Reset => camera.drop_connections(Close::Rst).await,
            Self::Outage => camera.outage(Host::Refusing, away).await,
            Self::SilentOutage => camera.outage(Host::Silent, away).await,
            Self::Stall => camera.stall_sessions(Stall::Everything),
            Self::Hang => camera.stall_sessions(Stall::Track(0)),
        }
    }
}

/// A camera of 25 frames a second with sound, a key frame every `gop` frames and one after PLAY.
pub async fn camera(gop: u32) -> Camera {
    let builder = Camera::builder().h264(25).gop(gop).packets_per_frame(2).packet_size(300);
    builder.audio(Audio::Pcmu).key_frame_on_play().start().await
}

/// A stream from this camera with every setting at its default.
pub fn default_settings(url: &str) -> Settings {
    let url: CameraUrl = url.parse().expect("the camera has a URL");
    Settings::new(Source::Cameras(vec![url]))
}

/// Lets it happen to a camera that so many viewers watch, half of them over UDP.
pub async fn measure(trouble: Trouble, viewers: usize) -> Outcome {
    let camera = camera(25).await;
    let relay = Relay::builder().stream("cam", default_settings(&camera.url())).start().await;
    let crowd = Crowd::gather(&relay.url("cam"), viewers.div_ceil(2), viewers / 2).await;
    // Long enough for its rhythm to be known and its session to count as stable.
    crowd.go_on(HEALTHY_FRAMES, 2 * PATIENCE).await;
    crowd.start_over();
    let before = camera.sessions_total();
    trouble.happens_to(&camera).await;
    camera.until("a new session plays", |c| c.sessions_total > before && c.playing > 0).await;
    crowd.go_on(25, PATIENCE).await;
    Outcome {
        gaps: crowd.gaps(),
        lost: crowd.lost(),
        wrong: crowd.seen().into_iter().flat_map(|seen| seen.wrong).collect(),
        reconnects: camera.sessions_total() - before,
    }
}

/// Six seconds.
const HEALTHY_FRAMES: u32 = 150;
