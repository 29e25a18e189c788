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

/// What a client makes of a camera with this description.
struct Verdict {
    plays: bool,
    /// Kind and encoding of each track.
    tracks: String,
    /// Where it sets them up, without the camera's authority.
    controls: String,
}

async fn verdict(sdp: String, client: ClientChoice) -> Verdict {
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
    let described = status.described.iter().flat_map(|described| &described.description.tracks);
    let tracks: Vec<String> = described
        .map(|track| format!("{} {}", track.kind, track.encoding.as_deref().unwrap_or("unknown")))
        .collect();
    Verdict {
        plays: status.phase == Phase::Live,
        tracks: tracks.join(", "),
        controls: controls.iter().map(|control| format!("`{control}`")).collect::<Vec<_>>().join(" "),
    }
}

/// Every description plays by the direct client, with all its tracks set up where `tests/data/sdp/verdicts.md` says; whether by
/// retina as well is what the library makes of it. `FANLIGHT_BLESS=1 cargo test --test it real_device` writes that table, to
/// be read in the diff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_description_of_a_real_device_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp");
    let mut runs = JoinSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
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
            assert!(direct.plays && !direct.controls.is_empty(), "{name}");
            let Verdict { tracks, controls, .. } = direct;
            format!("| {name} | {} | plays | {tracks} | {controls} |\n", word(retina.plays))
        });
    }
    let mut rows = runs.join_all().await;
    rows.sort();
    assert_eq!(rows.len(), 27);
    let table = format!("{HEAD}{}", rows.concat());
    let path = folder.join("verdicts.md");
    if std::env::var_os("FANLIGHT_BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(&path).unwrap_or_default(), "see the comment on this test");
}

const HEAD: &str = "# Descriptions of real devices, played by a camera that has each\n\n\
    `client: retina` beside `client: direct`; written by `FANLIGHT_BLESS=1 cargo test --test it real_device`.\n\n\
    | description | retina 0.4.21 | direct | tracks | set up at |\n|---|---|---|---|---|\n";
