//! Sessions that cameras count, forget, end, or want another password for.

use std::time::Duration;

use fanlight::vocabulary::FailureClass;
use futures_util::future::join_all;

use super::{SLACK, Scene, usual};
use crate::support::camera::{Close, Fault, Host, Stall};
use crate::support::proof::gaps::default_settings;
use crate::support::proof::{keeping, password};

const NEVER_KEPT: Duration = Duration::ZERO;

#[tokio::test]
async fn a_camera_with_a_single_session_gets_it_back_before_the_next_is_asked_for() {
    let scene = Scene::open(usual().fault(Fault::SessionLimit { sessions: 1, kept: NEVER_KEPT })).await;
    scene.camera.stall_sessions(Stall::Everything);
    scene.recovers(1).await;
    scene.is_well().await;
    let before = scene.camera.sessions_total();
    scene.camera.drop_connections(Close::Rst).await;
    scene.recovers(before).await;
    scene.is_well().await;
}

#[tokio::test]
async fn a_session_that_the_camera_has_not_forgotten_yet_is_waited_for() {
    let kept = Duration::from_secs(4);
    let scene = Scene::open(usual().fault(Fault::SessionLimit { sessions: 1, kept })).await;
    // Its TEARDOWN is lost with it: this camera knows nothing of other connections.
    scene.camera.fault(Fault::Ignore("TEARDOWN"));
    scene.camera.drop_connections(Close::Rst).await;
    let gap = scene.recovers(1).await;
    assert!(gap >= kept - Duration::from_secs(1), "{gap:?}: the camera had forgotten it");
    assert!(gap < 4 * kept + SLACK, "{gap:?}");
    scene.relay.failed("cam", FailureClass::SessionLimit).await;
    scene.crowd.assert_unharmed();
}

#[tokio::test]
async fn a_camera_whose_new_sessions_end_the_old_ones_settles_on_one() {
    let scene = Scene::open(usual().fault(Fault::NewSessionEndsOld)).await;
    scene.camera.stall_sessions(Stall::Everything);
    scene.recovers(1).await;
    let total = scene.camera.sessions_total();
    scene.crowd.go_on(100, Duration::from_secs(20)).await;
    assert_eq!(scene.camera.sessions_total(), total, "its sessions push each other out");
    scene.is_well().await;
}

#[tokio::test]
async fn a_session_of_five_seconds_is_kept() {
    let outcome = keeping::keep(Duration::from_secs(20)).await;
    assert_eq!((outcome.timed_out, outcome.sessions, outcome.missing), (0, 1, 0), "{outcome:?}");
    assert!(outcome.longest < Duration::from_millis(500) + SLACK, "{outcome:?}");
}

#[tokio::test]
async fn a_keep_alive_without_an_answer_ends_nothing_for_the_viewers() {
    let scene = Scene::open(usual().fault(Fault::SessionTimeout(Duration::from_secs(2)))).await;
    for method in ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER"] {
        scene.camera.fault(Fault::Ignore(method));
    }
    scene.crowd.go_on(200, Duration::from_secs(30)).await;
    let gap = scene.crowd.gaps().pop().unwrap();
    assert!(gap < Duration::from_millis(500) + SLACK, "{gap:?}");
    assert_eq!(scene.camera.counts().timed_out, 0);
    scene.crowd.assert_unharmed();
}

#[tokio::test]
async fn a_nonce_that_is_not_good_any_more_ends_nothing_for_the_viewers() {
    let timeout = Fault::SessionTimeout(Duration::from_secs(2));
    let camera = usual().require_auth("relay", "secret").fault(timeout).start().await;
    let settings = default_settings(&camera.url().replace("//", "//relay:secret@"));
    let scene = Scene::between(camera, settings).await;
    for _ in 0..2 {
        scene.camera.rotate_nonce();
        scene.crowd.go_on(75, Duration::from_secs(30)).await;
    }
    let gap = scene.crowd.gaps().pop().unwrap();
    assert!(gap < Duration::from_secs(2) + SLACK, "{gap:?}");
    scene.crowd.assert_unharmed();
    scene.relay.live("cam").await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_three_times_and_then_once_a_minute() {
    let outcome = password::try_for(Duration::from_secs(12)).await;
    assert_eq!(outcome.complaints(), Vec::<String>::new(), "{outcome:?}");
}

#[tokio::test]
async fn a_camera_that_reads_requests_and_answers_none_gets_time() {
    let scene = Scene::open_with(usual(), |settings| settings.connect_timeout = Duration::from_secs(1)).await;
    scene.camera.fault(Fault::Mute);
    scene.camera.drop_connections(Close::Fin).await;
    scene.relay.failed("cam", FailureClass::ConnectTimeout).await;
    scene.camera.heal();
    scene.recovers(1).await;
    scene.crowd.assert_unharmed();
}

#[tokio::test]
async fn viewers_stay_through_every_kind_of_outage() {
    let outages = [Host::Refusing, Host::Silent].map(|how| async move {
        let scene =
            Scene::open_with(usual(), |settings| settings.connect_timeout = Duration::from_secs(3)).await;
        scene.camera.outage(how, Duration::from_secs(3)).await;
        let gap = scene.recovers(1).await;
        assert!(
            gap > Duration::from_millis(2500) && gap < Duration::from_secs(6) + SLACK,
            "{how:?}: {gap:?}"
        );
        scene.crowd.assert_unharmed();
        scene.is_at_rest().await;
    });
    join_all(outages).await;
}
