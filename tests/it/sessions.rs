//! Several sessions with one camera, or several cameras: one is published, and viewers see none of what goes on beside it.

use std::time::{Duration, Instant};

use fanlight::config::{Race, Source, Stream as Settings};
use fanlight::vocabulary::{FailureClass, Phase};

use crate::support::camera::{Camera, Close, Fault};
use crate::support::eventually;
use crate::support::relay::{Relay, camera_settings};
use crate::support::viewer::{Viewer, assert_no_gap};

/// A relay of cameras in order of preference.
async fn relay_of(cameras: &[&Camera], change: impl FnOnce(&mut Settings)) -> Relay {
    let mut settings = camera_settings(&cameras[0].url());
    let urls = cameras.iter().map(|camera| camera.url().parse().unwrap()).collect();
    settings.source = Source::Cameras(urls);
    change(&mut settings);
    Relay::builder().stream("cam", settings).start().await
}

/// Long enough for the rhythm of the pictures to be known.
async fn settle(viewer: &mut Viewer) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        viewer.next_rtp(0).await;
    }
}

#[tokio::test]
async fn a_picture_that_stops_is_looked_for_in_a_second_session_while_the_first_is_kept() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let stall_timeout = Some(Duration::from_secs(2)); // and four until the first is given up
    let relay = relay_of(&[&camera], |settings| settings.stall_timeout = stall_timeout).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    settle(&mut viewer).await;
    camera.stop_sending();
    camera.until("a second session is opened beside the first", |c| c.sessions_open == 2).await;
    assert_eq!(relay.stream("cam").status().borrow().phase, Phase::Live, "and nothing is given up yet");
    camera.resume();
    // Whichever delivers first stays, and the other is torn down.
    camera.until("one is left", |c| c.sessions_open == 1 && c.teardowns + 1 == c.sessions_total).await;
    assert_no_gap(&viewer.packets(0, 60).await);
    assert_eq!(camera.counts().connections, 1);
}

#[tokio::test]
async fn the_losers_of_a_race_are_torn_down() {
    for race in [Race::FirstWins, Race::LastWins] {
        let camera = Camera::builder().h264(50).gop(10).start().await;
        camera.fault(Fault::Delay("PLAY", Duration::from_secs(1)));
        let three = |settings: &mut Settings| {
            (settings.race, settings.race_attempts, settings.race_stagger) =
                (race, 3, Duration::from_millis(10));
        };
        let relay = relay_of(&[&camera], three).await;
        let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
        camera.until("three sessions were set up", |c| c.sessions_total == 3).await;
        camera.until("one is left", |c| c.sessions_open == 1 && c.teardowns == 2).await;
        assert_no_gap(&viewer.packets(0, 60).await);
    }
}

#[tokio::test]
async fn the_next_camera_is_shown_when_the_first_is_gone() {
    let [first, second] =
        [Camera::builder().h264(50).gop(10).start().await, Camera::builder().h264(50).gop(10).start().await];
    let relay = relay_of(&[&first, &second], |_| {}).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let before = viewer.packets(0, 60).await.pop().unwrap();
    assert_eq!((first.sessions_open(), second.sessions_open()), (1, 0));
    first.refuse().await;
    first.drop_connections(Close::Rst).await;
    second.until("it is shown", |c| c.playing == 1).await;
    let after = viewer.packets(0, 60).await;
    assert_no_gap(&after);
    assert_eq!(after[0].ssrc, before.ssrc, "in the same session of the viewer");
}

#[tokio::test]
async fn a_camera_that_stands_by_takes_over_and_is_torn_down_at_the_end() {
    let [first, second] =
        [Camera::builder().h264(50).gop(10).start().await, Camera::builder().h264(50).gop(10).start().await];
    let relay = relay_of(&[&first, &second], |settings| settings.standby = true).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    second.until("it stands by", |c| c.playing == 1).await;
    settle(&mut viewer).await;
    first.refuse().await;
    first.drop_connections(Close::Rst).await;
    viewer.packets(0, 60).await;
    relay.live("cam").await;
    assert_eq!(second.sessions_total(), 1, "the session that was there already");
    assert_eq!(relay.shutdown(Duration::from_secs(5)).await, 0);
    second.until("it is torn down", |c| c.sessions_open == 0 && c.teardowns == 1).await;
}

#[tokio::test]
async fn a_camera_that_answers_no_keep_alive_keeps_its_viewers() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let relay = relay_of(&[&camera], |_| {}).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    viewer.packets(0, 60).await;
    // An answer that nobody asked for is what the library takes for a broken keep-alive.
    camera.answer_unasked();
    relay.failed("cam", FailureClass::KeepAlive).await;
    relay.live("cam").await;
    assert_no_gap(&viewer.packets(0, 120).await);
    let learned = || relay.stream("cam").record().learned.iter().any(|fact| fact.contains("keep-alive"));
    eventually("it is remembered", Duration::from_secs(5), learned).await;
}
