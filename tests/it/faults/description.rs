//! A camera that comes back with something else to show.

use std::time::Duration;

use super::{Scene, usual};
use crate::support::camera::{Audio, Builder, Camera, Close, Extra};
use crate::support::sdp;
use crate::support::viewer::Viewer;

#[tokio::test]
async fn another_resolution_goes_on_in_the_same_sessions() {
    let scene = Scene::open(usual()).await;
    scene.camera.change_parameter_sets();
    scene.camera.drop_connections(Close::Rst).await;
    scene.recovers(1).await;
    scene.is_well().await;
    let mut viewer = Viewer::open(&scene.relay.url("cam")).await;
    viewer.describe().await.ok();
    let sets = sdp::fmtp(&viewer.sdp, 0, "sprop-parameter-sets");
    assert!(sets.is_some_and(|sets| sets.starts_with("Z01A")), "the new ones are described");
}

/// Lets the camera come back changed. Every viewer's session has to end, and the next description tells the change.
async fn closes_the_viewers(camera: Builder, change: impl FnOnce(&Camera), tracks: usize, rtpmap: &str) {
    let scene = Scene::open(camera).await;
    change(&scene.camera);
    scene.camera.drop_connections(Close::Rst).await;
    scene.crowd.all("its session ends", Duration::from_secs(20), |seen| seen.ended).await;
    for seen in scene.crowd.seen() {
        assert!(seen.wrong.iter().all(|wrong| wrong.contains("454")), "{:?}", seen.wrong);
    }
    let (mut again, _) = Viewer::play_tcp(&scene.relay.url("cam")).await;
    assert_eq!(sdp::tracks(&again.sdp), tracks);
    assert!(again.sdp.contains(rtpmap), "{}", again.sdp);
    again.next_frame().await;
}

#[tokio::test]
async fn another_codec_ends_the_sessions_in_order() {
    closes_the_viewers(usual(), Camera::change_to_h265, 2, "H265/90000").await;
}

#[tokio::test]
async fn another_clock_rate_ends_the_sessions_in_order() {
    let before = usual().audio(Audio::L16(8_000));
    closes_the_viewers(before, |c| c.change_audio(Some(Audio::L16(16_000))), 2, "L16/16000").await;
}

#[tokio::test]
async fn a_track_more_is_described_and_changes_nothing_for_who_watches_the_others() {
    let scene = Scene::open(usual()).await;
    scene.camera.change_extras(&[Extra::METADATA]);
    scene.camera.drop_connections(Close::Rst).await;
    scene.recovers(1).await;
    scene.is_well().await;
    let (mut again, _) = Viewer::play_tcp(&scene.relay.url("cam")).await;
    assert!(sdp::tracks(&again.sdp) == 3 && again.sdp.contains("onvif.metadata"), "{}", again.sdp);
    again.next_rtp(2).await;
}

#[tokio::test]
async fn a_track_less_ends_the_sessions_in_order() {
    closes_the_viewers(usual(), |camera| camera.change_audio(None), 1, "H264/90000").await;
}
