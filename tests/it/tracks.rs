//! Some of a stream's tracks: by configuration for everybody, by the URL for one viewer.

use std::time::{SystemTime, UNIX_EPOCH};

use fanlight::access::link;
use fanlight::config::ClientChoice;
use fanlight::sdp::{Pick, Selection};
use fanlight::vocabulary::{FailureClass, Secret, TrackId};

use crate::support::audio::Audio;
use crate::support::camera::Camera;
use crate::support::relay::{Relay, camera_settings};
use crate::support::sdp;
use crate::support::viewer::{Viewer, assert_no_gap};

/// A camera with a picture and sound.
async fn camera() -> Camera {
    Camera::builder().h264(50).gop(5).audio(Audio::Pcmu).start().await
}

async fn picking(camera: &Camera, client: ClientChoice, picks: &[Pick]) -> Relay {
    let mut settings = camera_settings(&camera.url());
    settings.client = client;
    settings.tracks = Selection::new(picks.to_vec());
    Relay::builder().stream("cam", settings).start().await
}

fn kinds(viewer: &Viewer) -> Vec<String> {
    let lines = viewer.sdp.lines().filter_map(|line| line.strip_prefix("m="));
    lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// By kind and by number; the camera is never asked for the others.
#[tokio::test]
async fn tracks_that_are_not_configured_are_not_set_up_by_either_client() {
    for client in [ClientChoice::Retina, ClientChoice::Direct] {
        for (picks, kind, control) in
            [(&[Pick::Kind("video")][..], "video", "track0"), (&[Pick::Track(TrackId(1))], "audio", "track1")]
        {
            let camera = camera().await;
            let relay = picking(&camera, client, picks).await;
            relay.live("cam").await;
            let asked: Vec<String> = camera.requests().iter().map(|request| format!("{request:?}")).collect();
            let setups: Vec<&String> = asked.iter().filter(|request| request.contains("SETUP")).collect();
            assert!(setups.len() == 1 && setups[0].contains(control), "{client:?}: {setups:?}");
            let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
            assert_eq!(kinds(&viewer), [kind]);
            assert_no_gap(&viewer.packets(0, 20).await);
        }
    }
}

#[tokio::test]
async fn a_configuration_that_leaves_nothing_says_what_there_is() {
    for client in [ClientChoice::Retina, ClientChoice::Direct] {
        let camera = camera().await;
        let relay = picking(&camera, client, &[Pick::Kind("application")]).await;
        let said = relay.failed("cam", FailureClass::Protocol).await;
        let words = "`tracks: [application]` leaves nothing of what the camera has: 0 (video), 1 (audio)";
        assert!(said.contains(words), "{said}");
    }
}

/// The session has one track, and the other viewer's has both.
#[tokio::test]
async fn a_viewers_url_says_which_tracks_it_is_shown() {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    relay.live("cam").await;
    for (query, shown) in [
        ("?video&audio", &["video", "audio"][..]),
        ("?video", &["video"]),
        ("?audio=none", &["video"]),
        ("?audio", &["audio"]),
        ("?audio=pcmu", &["audio"]),
        ("?video=none", &["audio"]),
        ("?ch=1", &["video", "audio"]),
    ] {
        let (mut viewer, _) = Viewer::play_tcp(&format!("{}{query}", relay.url("cam"))).await;
        assert_eq!(kinds(&viewer), shown, "{query}");
        for track in 0..shown.len() {
            assert_no_gap(&viewer.packets(track, 20).await);
        }
    }
}

/// A player that makes one track the whole need not say which.
#[tokio::test]
async fn the_only_track_shown_is_set_up_without_its_number() {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    let mut viewer = Viewer::open(&format!("{}?audio", relay.url("cam"))).await;
    viewer.describe().await.ok();
    let transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");
    let answer = viewer.request("SETUP", &relay.url("cam"), &[transport]).await.ok();
    viewer.session = answer.header("Session").map(|session| session.split(';').next().unwrap().to_owned());
    viewer.play().await.ok();
    assert_eq!(viewer.next_rtp(0).await.payload_type, 0, "sound");
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    assert_eq!(viewer.request("SETUP", &relay.url("cam"), &[transport]).await.status, 459);
}

#[tokio::test]
async fn who_asks_for_tracks_there_are_not_is_told_which_there_are() {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    let mut viewer = Viewer::open(&format!("{}?video=h265", relay.url("cam"))).await;
    let answer = viewer.describe().await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text(), "cam has no such track; it has video (H264), audio (PCMU)\n");
}

/// The two queries do not know of each other.
#[tokio::test]
async fn a_watch_link_may_ask_for_tracks() {
    let camera = camera().await;
    let rules = "login: {link_secret: sixteen bytes ok}\nusers: {ann: {password: correct horse}}\n";
    let relay = Relay::builder().camera("cam", &camera.url()).access(rules).start().await;
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60;
    let token = link::sign(&Secret::new("sixteen bytes ok"), "cam", until);
    let (viewer, _) = Viewer::play_tcp(&format!("{}?token={token}&audio=none", relay.url("cam"))).await;
    assert_eq!((kinds(&viewer), sdp::tracks(&viewer.sdp)), (vec!["video".to_owned()], 1));
    let mut forged = Viewer::open(&format!("{}?audio=none&token=1-x", relay.url("cam"))).await;
    assert!(matches!(forged.describe().await.status, 401 | 403));
}
