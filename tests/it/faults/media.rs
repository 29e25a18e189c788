//! Packets that stop, or whose numbers make no sense.

use std::time::Duration;

use futures_util::future::join_all;

use super::{SLACK, Scene, usual};
use crate::support::camera::{Camera, Close, Fault, Numbering, Stall};

#[tokio::test]
async fn a_session_that_falls_silent_is_replaced_within_two_seconds() {
    let scene = Scene::open(usual()).await;
    scene.camera.stall_sessions(Stall::Everything);
    let gap = scene.recovers(1).await;
    assert!(gap < Duration::from_secs(2) + SLACK, "{gap:?}");
    scene.is_well().await;
}

#[tokio::test]
async fn pictures_that_stop_while_sound_and_answers_go_on_come_back_within_three_seconds() {
    let scene = Scene::open(usual()).await;
    let sound = |scene: &Scene| scene.crowd.seen().iter().map(|seen| seen.other_packets).min().unwrap_or(0);
    let before = sound(&scene);
    scene.camera.stall_sessions(Stall::Track(0));
    let gap = scene.recovers(1).await;
    assert!(gap < Duration::from_secs(3) + SLACK, "{gap:?}");
    assert!(sound(&scene) > before + 30, "the sound went on");
    scene.is_well().await;
}

#[tokio::test]
async fn a_connection_that_is_half_open_is_replaced() {
    let scene = Scene::open(usual()).await;
    scene.camera.hang_connections();
    let gap = scene.recovers(1).await;
    assert!(gap < Duration::from_secs(2) + SLACK, "{gap:?}");
    scene.crowd.assert_unharmed();
    scene.is_at_rest().await;
}

#[tokio::test]
async fn numbers_that_begin_anew_in_mid_session_are_continued_at_viewers() {
    let cases = [
        Numbering { ssrc: Some(77), sequence: Some(5), timestamp: Some(1 << 31) },
        Numbering { ssrc: None, sequence: Some(31_000), timestamp: None },
        Numbering { ssrc: None, sequence: None, timestamp: Some(12_345) },
    ];
    let cases = cases.map(|numbering| async move {
        let scene = Scene::open(usual()).await;
        scene.camera.renumber(numbering);
        scene.crowd.go_on(60, Duration::from_secs(20)).await;
        let gap = scene.crowd.gaps().pop().unwrap();
        assert!(gap < Duration::from_secs(1) + SLACK, "{numbering:?}: {gap:?}");
        scene.crowd.assert_whole();
        scene.is_at_rest().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn sequence_numbers_that_go_back_are_continued_at_viewers() {
    let scene = Scene::open(usual()).await;
    for packets in [1, 40] {
        scene.camera.rewind(packets);
        scene.crowd.go_on(60, Duration::from_secs(20)).await;
    }
    let gap = scene.crowd.gaps().pop().unwrap();
    assert!(gap < Duration::from_secs(1) + SLACK, "{gap:?}");
    scene.is_well().await;
}

#[tokio::test]
async fn clocks_that_jump_do_not_move_the_clock_of_viewers() {
    let scene = Scene::open(usual()).await;
    for (rtp, wall) in [(3600.0, 3600.0), (-7200.0, -7200.0), (0.0, 86_400.0), (30.0, 0.0), (-30.0, 0.0)] {
        scene.camera.jump(rtp, wall);
        scene.crowd.go_on(30, Duration::from_secs(20)).await;
        for seen in scene.crowd.seen() {
            assert!(seen.drift.abs() < 2.0, "{rtp} s, {wall} s: {} s ahead", seen.drift);
        }
    }
    scene.crowd.assert_whole();
    scene.is_at_rest().await;
}

#[tokio::test]
async fn a_camera_whose_bytes_come_one_by_one_is_watched_like_any_other() {
    // Two kilobytes a second: a busy machine has time to write each of them on its own.
    let tiny = Camera::builder().h264(25).gop(25).packets_per_frame(1).packet_size(60).key_frame_on_play();
    let tiny = tiny.fault(Fault::Drip(1, Duration::ZERO));
    let scene = Scene::open(tiny).await;
    scene.crowd.go_on(50, Duration::from_secs(20)).await;
    assert_eq!(scene.camera.sessions_total(), 1);
    // An answer in pieces with pauses in between is an answer.
    scene.camera.fault(Fault::Drip(100, Duration::from_millis(10)));
    scene.camera.drop_connections(Close::Rst).await;
    scene.recovers(1).await;
    scene.is_well().await;
}

#[tokio::test]
async fn a_goodbye_of_the_camera_is_followed_by_a_new_session() {
    let scene = Scene::open(usual()).await;
    // Some cameras say BYE and send no more, some say it and go on: only what comes counts.
    scene.camera.bye();
    scene.camera.stall_sessions(Stall::Everything);
    let gap = scene.recovers(1).await;
    assert!(gap < Duration::from_secs(2) + SLACK, "{gap:?}");
    scene.is_well().await;
}
