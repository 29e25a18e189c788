//! What RFC 2326 and real players ask of the server, case by case, on the wire.
//!
//! The cases are numbered A01 to A118 and grouped by section, a file each; the id of a case stands in the doc comment
//! of the test that covers it. Where the RFC or the players leave a choice, the comment says what was decided. Besides
//! them: the requests of real players as they were recorded ([`players`]), and hostile input ([`seeds`]).

mod describe;
mod framing;
mod life;
mod parameters;
mod play;
mod players;
mod rules;
mod scripts;
mod seeds;
mod setup;
mod setup_order;
mod tunnel;

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::audio::Audio;
use crate::support::camera::Camera;
use crate::support::relay::Relay;
use crate::support::viewer::{Ended, Viewer};
use crate::support::{PATIENCE, within};

/// A camera with a picture and sound, a key frame every fifth of a second, and a relay that serves it as `cam`.
async fn scene() -> (Camera, Relay) {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    (camera, relay)
}

/// As [`scene`], TCP only.
async fn scene_without_udp() -> (Camera, Relay) {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).without_udp().start().await;
    (camera, relay)
}

/// As [`scene`], with the time-outs of sessions and requests cut to this.
async fn scene_of(timeout: Duration) -> (Camera, Relay) {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).settings(|settings| {
        settings.session_timeout = timeout;
        settings.request_timeout = timeout;
    });
    (camera, relay.start().await)
}

async fn camera() -> Camera {
    Camera::builder().h264(50).gop(10).packets_per_frame(3).audio(Audio::Pcmu).start().await
}

/// A viewer that has described `cam`.
async fn described(relay: &Relay) -> Viewer {
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    viewer
}

/// A viewer that has set up both tracks of `cam` over TCP.
async fn ready(relay: &Relay) -> Viewer {
    let mut viewer = described(relay).await;
    for track in 0..2 {
        viewer.setup_tcp(track).await.ok();
    }
    viewer
}

/// Brings a described viewer into a state of RFC 2326 appendix A.2; the states before it have to have been reached.
async fn bring_to(viewer: &mut Viewer, state: &str) {
    match state {
        "ready" => drop(viewer.setup_tcp(0).await.ok()),
        "playing" => drop(viewer.play().await.ok()),
        _ => {}
    }
}

/// The connection still answers.
#[track_caller]
fn assert_usable(viewer: &mut Viewer) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let url = viewer.url.clone();
        let session = viewer.session.take();
        let answer = viewer.request("OPTIONS", &url, &[]).await;
        viewer.session = session;
        assert_eq!(answer.status, 200, "{caller}: {answer:?}");
    }
}

/// The server has closed the connection, in order: what it said before can be read.
#[track_caller]
fn assert_closed(viewer: &mut Viewer) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let (ended, _) = within("the server closes", PATIENCE, viewer.ended()).await;
        assert_eq!(ended, Ended::Closed, "{caller}");
    }
}

/// Every case (A) and every published flaw (B) stands in the comment of a test: here, and about log-ins, TLS and cameras beside.
#[test]
fn no_case_is_forgotten() {
    fn comments(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                comments(&path, all);
            } else {
                let source = fs::read_to_string(path).unwrap();
                for line in source.lines().filter(|line| line.trim_start().starts_with("//")) {
                    all.push_str(line);
                    all.push('\n');
                }
            }
        }
    }
    let mut all = String::new();
    comments(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut all);
    let words: Vec<&str> = all.split(|c: char| !c.is_alphanumeric()).collect();
    let cases = (1..=118).map(|n| format!("A{n:02}")).chain((1..=33).map(|n| format!("B{n:02}")));
    let missing: Vec<String> = cases.filter(|id| !words.contains(&id.as_str())).collect();
    assert!(missing.is_empty(), "no test and no decision for {missing:?}");
}
