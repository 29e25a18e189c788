//! Who may watch: log-ins as players do them, rules, links, and those who guess.

mod crowd;
mod ending;
mod login;
mod rules;

use crate::support::camera::Camera;
use crate::support::digest;
use crate::support::relay::Relay;
use crate::support::viewer::{Answer, Viewer};

/// A user who is known, and one stream from a camera. Wrong passwords are answered at once, to keep tests short.
const USERS: &str = "
users:
  ann: {password: correct horse}
  bob: {password: battery staple}
";

const QUICK: &str = "login: {delay: 0s}\n";

async fn guarded(policy: &str) -> (Camera, Relay) {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let builder = Relay::builder().camera("cam", &camera.url()).camera("yard/main", &camera.url());
    let relay = builder.access(policy).start().await;
    relay.live("cam").await;
    (camera, relay)
}

/// The challenges of a 401, in order.
#[track_caller]
fn challenges(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 401, "{answer:?}");
    let lines = answer.headers.iter().filter(|(name, _)| name == "WWW-Authenticate");
    let lines: Vec<String> = lines.map(|(_, value)| value.clone()).collect();
    assert!(!lines.is_empty(), "{answer:?}");
    lines
}

/// The last Digest challenge: the one ffmpeg, GStreamer and live555 answer.
#[track_caller]
fn last_digest(answer: &Answer) -> String {
    let lines = challenges(answer);
    lines.iter().rfind(|line| line.starts_with("Digest ")).cloned().unwrap_or_else(|| panic!("{lines:?}"))
}

/// DESCRIBE with credentials for `challenge`.
async fn log_in(viewer: &mut Viewer, challenge: &str, user: &str, password: &str) -> Answer {
    let url = viewer.url.clone();
    let authorization = digest::authorization(user, password, challenge, "DESCRIBE", &url);
    viewer.request("DESCRIBE", &url, &[("Authorization", &authorization)]).await
}

/// The answer to DESCRIBE with a password, from the start.
async fn described_as(relay: &Relay, user: &str, password: &str) -> (Viewer, Answer) {
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let challenge = last_digest(&viewer.describe().await);
    let answer = log_in(&mut viewer, &challenge, user, password).await;
    if answer.status == 200 {
        viewer.sdp = answer.text();
        viewer.base = answer.header("Content-Base").expect("a base").to_owned();
    }
    (viewer, answer)
}
