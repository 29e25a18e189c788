//! Streams that are pulled only while somebody watches.

use std::time::Duration;

use fanlight::vocabulary::Phase;

use crate::support::camera::Camera;
use crate::support::relay::{Relay, camera_settings};
use crate::support::viewer::{Viewer, assert_no_gap};

async fn relay_on_demand(camera: &Camera, close_after: Duration) -> Relay {
    let mut settings = camera_settings(&camera.url());
    settings.on_demand = true;
    settings.on_demand_close_after = close_after;
    Relay::builder().stream("cam", settings).start().await
}

#[tokio::test]
async fn the_camera_is_pulled_from_the_first_viewer_to_the_last_and_again() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let relay = relay_on_demand(&camera, Duration::from_millis(200)).await;
    relay.until("cam", "nobody wants it", |status| status.phase == Phase::Idle).await;
    for round in 1..=2 {
        assert_eq!(camera.counts().connections_total, round - 1);
        let mut viewers =
            [Viewer::play_tcp(&relay.url("cam")).await.0, Viewer::play_udp(&relay.url("cam")).await.0];
        for viewer in &mut viewers {
            assert_no_gap(&viewer.packets(0, 30).await);
        }
        assert_eq!((camera.sessions_total(), camera.sessions_open()), (round, 1));
        let [mut first, second] = viewers;
        first.teardown().await.ok();
        drop(second); // over UDP: gone only after a silence
        let mut third = Viewer::play_tcp(&relay.url("cam")).await.0;
        third.packets(0, 10).await;
        drop(third);
        for viewer in relay.stream("cam").viewers() {
            viewer.kick(fanlight::vocabulary::Disconnect::Kicked);
        }
        camera.until("the session is closed", |c| c.teardowns == round && c.sessions_open == 0).await;
        relay.until("cam", "it is idle again", |status| status.phase == Phase::Idle).await;
    }
    let closed = "fanlight_source_outage_seconds_total{stream=\"cam\"}";
    assert!(relay.metric(closed) < 5.0, "a source that nobody wants is not away");
}

#[tokio::test]
async fn a_description_is_enough_to_have_it_pulled() {
    let camera = Camera::builder().gop(5).start().await;
    let relay = relay_on_demand(&camera, Duration::from_millis(200)).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    assert_eq!(camera.sessions_total(), 1);
    camera.until("nobody stayed", |c| c.teardowns == 1 && c.sessions_open == 0).await;
}

#[tokio::test]
async fn a_viewer_that_comes_while_it_waits_to_close_keeps_it() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let relay = relay_on_demand(&camera, Duration::from_secs(2)).await;
    let (mut first, _) = Viewer::play_tcp(&relay.url("cam")).await;
    first.packets(0, 5).await;
    first.teardown().await.ok();
    let (mut second, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut frames = 0;
    let from = second.next_frame().await[0].stamp().unwrap().frame;
    // Three seconds of the camera's time: longer than the wait that was under way.
    while second.next_frame().await[0].stamp().unwrap().frame < from + 150 {
        frames += 1;
    }
    assert_eq!(frames, 149, "none is missing");
    assert_eq!((camera.sessions_total(), camera.teardowns()), (1, 0));
}

#[tokio::test]
async fn a_camera_that_is_down_is_let_be_when_nobody_wants_it_any_more() {
    let camera = Camera::builder().gop(5).start().await;
    camera.status_for_describe(404);
    let mut settings = camera_settings(&camera.url());
    settings.on_demand = true;
    settings.on_demand_close_after = Duration::from_millis(100);
    let relay = Relay::builder()
        .stream("cam", settings)
        .settings(|settings| settings.describe_timeout = Duration::from_millis(500))
        .start()
        .await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    assert_eq!(viewer.describe().await.status, 503);
    relay.until("cam", "it is idle", |status| status.phase == Phase::Idle).await;
    camera.heal();
    assert_eq!(viewer.describe().await.status, 200);
}
