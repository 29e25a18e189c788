//! What real devices answered, as retina and as the direct client understand it.

use std::fs;
use std::path::Path;

use fanlight::config::{ClientChoice, UpstreamTransport};
use fanlight::hub::Status;
use fanlight::vocabulary::Phase;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::camera::{Ask, Script, frame};
use super::{LIMIT, Relay, camera_settings};
use crate::support::eventually;

/// What a client makes of a camera with this description.
struct Verdict {
    plays: bool,
    /// Kind and encoding of each track.
    tracks: String,
    /// Where it sets them up, without the camera's authority.
    controls: String,
}

/// What a client makes of it; `until` says when it has been seen for long enough.
async fn verdict(
    script: Script,
    client: ClientChoice,
    transport: UpstreamTransport,
    until: impl Fn(&[Ask]) -> bool,
) -> Verdict {
    let camera = script.start().await;
    let mut settings = camera_settings(&camera.url);
    (settings.client, settings.transport) = (client, transport);
    let relay = Relay::builder().stream("cam", settings).start().await;
    let mut status = relay.stream("cam").status();
    let decided = |status: &Status| status.phase == Phase::Live || status.last_failure.is_some();
    let mut status = timeout(LIMIT, status.wait_for(decided)).await.unwrap().unwrap().clone();
    if status.phase == Phase::Live {
        let now = || relay.stream("cam").status().borrow().clone();
        eventually("it was seen for long enough", LIMIT, || {
            now().last_failure.is_some() || until(&camera.log.lock().unwrap())
        })
        .await;
        status = now();
    }
    let authority = camera.url.split('@').next_back().unwrap().split("/live").next().unwrap();
    let authority = format!("rtsp://{}", authority.trim_start_matches("rtsp://"));
    let log = camera.log.lock().unwrap();
    let controls = log.iter().filter(|ask| ask.method == "SETUP");
    let controls: Vec<String> = controls.map(|ask| ask.uri.replace(&authority, "")).collect();
    let described = status.described.iter().flat_map(|described| &described.description.tracks);
    let tracks: Vec<String> = described
        .map(|track| format!("{} {}", track.kind, track.encoding.as_deref().unwrap_or("unknown")))
        .collect();
    Verdict {
        plays: status.phase == Phase::Live && status.last_failure.is_none(),
        tracks: tracks.join(", "),
        controls: controls.iter().map(|control| format!("`{control}`")).collect::<Vec<_>>().join(" "),
    }
}

/// A camera with this description.
fn describes(sdp: &str) -> Script {
    let media: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    let video = media.iter().position(|line| line.starts_with("m=video")).unwrap();
    let payload_type = media[video].split_whitespace().nth(3).and_then(|number| number.parse().ok());
    Script::new()
        .path("/live")
        .payload_type(payload_type.unwrap_or(96))
        .media(move |_, packets| packets.iter().flat_map(|packet| frame(2 * video as u8, packet)).collect())
        .sdp(sdp)
}

/// A camera that gives this answer to the request that it answers, and else what belongs to it: the same session, packets
/// with the SSRC that it grants. Only the number of the request and the ports are not those of the day.
fn answers(name: &str, answer: String) -> (Script, UpstreamTransport) {
    let field = |name: &str| {
        let fields =
            answer.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
        let mut values =
            fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        values.next().unwrap_or_default().to_owned()
    };
    let grant = field("Transport");
    let udp = grant.contains("client_port");
    let mut script = match answer.split_once("\r\n\r\n") {
        Some((_, sdp)) if !sdp.is_empty() => describes(sdp),
        _ => Script::new(),
    };
    let ssrc = grant.split("ssrc=").nth(1).and_then(|text| text.split(';').next()).unwrap_or_default();
    if let Ok(ssrc @ 1..) = u32::from_str_radix(ssrc.trim().trim_start_matches("0x"), 16) {
        script = script.ssrc(ssrc);
    }
    if let session @ 1.. = field("Session").split(';').next().unwrap_or_default().len() {
        let session = field("Session")[..session].to_owned();
        script = script.on("*", move |_, text| text.replace("12345678", &session));
    }
    let method =
        ["options", "describe", "setup", "play", "unauthorized"].into_iter().find(|word| name.contains(word));
    let method = method.unwrap_or("play");
    let (login, track) = (method == "unauthorized", if name.contains("audio") { "track1" } else { "track0" });
    if login {
        script = script.login("ann:hunter2@");
    }
    let to = if login { "DESCRIBE".to_owned() } else { method.to_uppercase() };
    let setup = to == "SETUP";
    let script = script.with("*", "timeout=60", "timeout=1").on(&to, move |ask, text| {
        if (login && ask.has("Authorization")) || (setup && !ask.has(track)) {
            return text;
        }
        let lines = answer.split_inclusive("\r\n").map(|line| match line.split_once(": ") {
            Some((key, rest)) if key.eq_ignore_ascii_case("CSeq") => {
                format!("{key}: {}{}", ask.cseq, rest.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            Some((key @ "Transport", grant)) if udp => {
                let ports = ask.text.split("client_port=").nth(1).unwrap().split(['\r', ';']).next().unwrap();
                let grant = grant.trim_end().split(';').map(|part| match part.split('=').next() {
                    Some("client_port") => format!("client_port={ports}"),
                    Some("server_port") => "server_port=UDP_RTP-UDP_RTCP".to_owned(),
                    _ => part.to_owned(),
                });
                format!("{key}: {}\r\n", grant.collect::<Vec<_>>().join(";"))
            }
            _ => line.to_owned(),
        });
        lines.collect()
    });
    (script, if udp { UpstreamTransport::Udp } else { UpstreamTransport::Tcp })
}

/// A sign of life that follows OPTIONS: what OPTIONS was answered was understood.
fn went_on(log: &[Ask]) -> bool {
    let signs = log.iter().skip_while(|ask| ask.method != "PLAY").filter(|ask| ask.method != "TEARDOWN");
    signs.skip(1).count() >= 2
}

fn word(plays: bool) -> &'static str {
    if plays { "plays" } else { "refuses" }
}

/// The files of a kind, by name, their bytes as characters.
fn files(folder: &Path, kind: &str) -> Vec<(String, String)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == kind))
        .map(|path| {
            let text = fs::read(&path).unwrap().into_iter().map(char::from).collect();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), text)
        })
        .collect();
    files.sort();
    files
}

/// Compares a table with the one that is kept, or writes it.
fn is_kept(path: &Path, table: &str) {
    if std::env::var_os("FANLIGHT_BLESS").is_some() {
        fs::write(path, table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(path).unwrap_or_default(), "see the comment on this test");
}

/// Every description plays by the direct client, with all its tracks set up where `tests/data/sdp/verdicts.md` says; whether by
/// retina as well is what the library makes of it. `FANLIGHT_BLESS=1 cargo test --test it real_device` writes that table, to
/// be read in the diff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_description_of_a_real_device_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp");
    let mut runs = JoinSet::new();
    for (name, sdp) in files(&folder, "sdp") {
        runs.spawn(async move {
            let by = |client| verdict(describes(&sdp), client, UpstreamTransport::Tcp, |_| true);
            let (retina, direct) = tokio::join!(by(ClientChoice::Retina), by(ClientChoice::Direct));
            assert!(direct.plays && !direct.controls.is_empty(), "{name}");
            let Verdict { tracks, controls, .. } = direct;
            format!("| {name} | {} | plays | {tracks} | {controls} |\n", word(retina.plays))
        });
    }
    let mut rows = runs.join_all().await;
    rows.sort();
    assert_eq!(rows.len(), 27);
    is_kept(&folder.join("verdicts.md"), &format!("{HEAD}{}", rows.concat()));
}

/// Every answer plays by the direct client; whether by retina as well stands in `tests/data/rtsp/verdicts.md`, which is kept in
/// the same way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_a_real_device_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rtsp");
    let mut runs = JoinSet::new();
    // Nobody waits for what a TEARDOWN is answered.
    for (name, answer) in files(&folder, "txt").into_iter().filter(|(name, _)| !name.ends_with("teardown")) {
        runs.spawn(async move {
            let by = async |client| {
                let (script, transport) = answers(&name, answer.clone());
                verdict(script, client, transport, |log| !name.ends_with("options") || went_on(log)).await
            };
            let (retina, direct) = tokio::join!(by(ClientChoice::Retina), by(ClientChoice::Direct));
            assert!(direct.plays, "{name}");
            format!("| {name} | {} | plays |\n", word(retina.plays))
        });
    }
    let mut rows = runs.join_all().await;
    rows.sort();
    assert_eq!(rows.len(), 31);
    is_kept(&folder.join("verdicts.md"), &format!("{ANSWERS}{}", rows.concat()));
}

const HEAD: &str = "# Descriptions of real devices, played by a camera that has each\n\n\
    `client: retina` beside `client: direct`; written by `FANLIGHT_BLESS=1 cargo test --test it real_device`.\n\n\
    | description | retina 0.4.21 | direct | tracks | set up at |\n|---|---|---|---|---|\n";

const ANSWERS: &str = "# Answers of real devices, given by a camera that else has nothing peculiar\n\n\
    `client: retina` beside `client: direct`; written by `FANLIGHT_BLESS=1 cargo test --test it real_device`.\n\n\
    | answer | retina 0.4.21 | direct |\n|---|---|---|\n";
