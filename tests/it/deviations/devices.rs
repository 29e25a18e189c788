//! What real devices answered, as retina and as the direct client understand it.

use std::fs;
use std::path::Path;

use fanlight::config::ClientChoice;
use fanlight::hub::Status;
use fanlight::vocabulary::Phase;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::camera::{Script, frame};
use super::{LIMIT, Relay, camera_settings};

/// Whether a client plays a camera with this description, and where it sets its tracks up.
async fn verdict(sdp: String, client: ClientChoice) -> (bool, String) {
    let media: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    let video = media.iter().position(|line| line.starts_with("m=video")).unwrap();
    let payload_type = media[video].split_whitespace().nth(3).and_then(|number| number.parse().ok());
    let script = Script::new()
        .path("/live")
        .payload_type(payload_type.unwrap_or(96))
        .media(move |_, packets| packets.iter().flat_map(|packet| frame(2 * video as u8, packet)).collect());
    // A copy of a description names the host it was taken from.
    let camera = script.sdp(&sdp).start().await;
    let mut settings = camera_settings(&camera.url);
    settings.client = client;
    let relay = Relay::builder().stream("cam", settings).start().await;
    let mut status = relay.stream("cam").status();
    let decided = |status: &Status| status.phase == Phase::Live || status.last_failure.is_some();
    let status = timeout(LIMIT, status.wait_for(decided)).await.unwrap().unwrap().clone();
    let authority = camera.url.split("/live").next().unwrap();
    let log = camera.log.lock().unwrap();
    let controls = log.iter().filter(|ask| ask.method == "SETUP");
    let controls: Vec<String> = controls.map(|ask| ask.uri.replace(authority, "")).collect();
    (status.phase == Phase::Live, controls.join(" "))
}

/// Every description plays by the direct client; whether by retina as well is what the library makes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_description_of_a_real_device_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp");
    let mut runs = JoinSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "sdp") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let sdp: String = fs::read(&path).unwrap().into_iter().map(char::from).collect();
        runs.spawn(async move {
            let (retina, direct) =
                tokio::join!(verdict(sdp.clone(), ClientChoice::Retina), verdict(sdp, ClientChoice::Direct));
            let word = |plays| if plays { "plays" } else { "refuses" };
            assert!(direct.0, "{name}");
            format!("{name} | {} | {} | {}", word(retina.0), word(direct.0), direct.1)
        });
    }
    let mut rows = runs.join_all().await;
    rows.sort();
    // Description | retina 0.4.21 | the direct client | the URIs of its tracks, without the camera's authority.
    for row in &rows {
        eprintln!("{row}");
    }
    assert_eq!(rows.len(), 27);
}
