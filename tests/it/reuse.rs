//! What connections with a camera are used for: everything a session needs, again after a rest, and never too many.

use std::collections::BTreeSet;
use std::time::Duration;

use fanlight::config::{ClientChoice, Stream as Settings};
use fanlight::vocabulary::{Disconnect, Phase};

use crate::support::camera::{Camera, Close, Fault};
use crate::support::relay::{Relay, camera_settings};
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually};

#[tokio::test]
async fn description_session_and_signs_of_life_share_one_connection() {
    for client in [ClientChoice::Retina, ClientChoice::Direct] {
        let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
        camera.fault(Fault::SessionTimeout(Duration::from_secs(2)));
        let mut settings = camera_settings(&camera.url().replace("rtsp://", "rtsp://ann:hunter2@"));
        settings.client = client;
        let relay = Relay::builder().stream("cam", settings).start().await;
        relay.live("cam").await;
        let sign_of_life = || {
            let requests = camera.requests();
            let playing = requests.iter().skip_while(|request| request.method != "PLAY").skip(1);
            playing.filter(|request| ["OPTIONS", "GET_PARAMETER"].contains(&&*request.method)).count() > 1
        };
        eventually("signs of life", PATIENCE, sign_of_life).await;
        let connections: BTreeSet<_> = camera.requests().iter().map(|request| request.connection).collect();
        assert_eq!((connections.len(), camera.counts().connections_total), (1, 1), "{client:?}");
        assert_eq!(camera.counts().timed_out, 0);
    }
}

/// A stream that keeps a connection while nobody watches.
fn warm(camera: &Camera) -> Settings {
    let mut settings = camera_settings(&camera.url().replace("rtsp://", "rtsp://ann:hunter2@"));
    (settings.on_demand, settings.on_demand_warm) = (true, true);
    settings.on_demand_close_after = Duration::from_millis(100);
    settings
}

async fn kept(relay: &Relay, stream: &str) {
    let what = |status: &fanlight::hub::Status| {
        status.phase == Phase::Idle
            && status.decision.as_ref().is_some_and(|why| why.starts_with("A connection is kept"))
    };
    relay.until(stream, "a connection is kept", what).await;
}

fn methods(camera: &Camera) -> Vec<String> {
    camera.requests().into_iter().map(|request| request.method).filter(|method| method != "OPTIONS").collect()
}

#[tokio::test]
async fn the_first_viewer_of_a_warm_stream_starts_with_setup_and_so_does_the_next() {
    let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
    let relay = Relay::builder().stream("cam", warm(&camera)).start().await;
    for round in 1..=2 {
        kept(&relay, "cam").await;
        assert_eq!((camera.counts().connections_total, camera.sessions_open()), (round, 0));
        assert!(methods(&camera).ends_with(&["DESCRIBE".to_owned()]));
        camera.forget_requests();
        let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
        assert_no_gap(&viewer.packets(0, 50).await);
        assert_eq!(methods(&camera), ["SETUP", "PLAY"], "no request more");
        assert_eq!(camera.counts().connections_total, round, "no connection more");
        drop(viewer);
        for viewer in relay.stream("cam").viewers() {
            viewer.kick(Disconnect::Kicked);
        }
        camera.until("the session is closed", |c| c.teardowns == round && c.sessions_open == 0).await;
    }
}

#[tokio::test]
async fn a_kept_connection_has_signs_of_life_and_is_made_anew_when_it_is_lost() {
    let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
    let relay = Relay::builder().stream("cam", warm(&camera)).start().await;
    kept(&relay, "cam").await;
    let options = || camera.requests().iter().any(|request| request.method == "OPTIONS");
    eventually("a sign of life", PATIENCE, options).await;
    camera.drop_connections(Close::Rst).await;
    camera.until("it is connected again", |c| c.connections_total == 2 && c.connections == 1).await;
    kept(&relay, "cam").await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert_no_gap(&viewer.packets(0, 50).await);
}

#[tokio::test]
async fn where_the_kept_connection_is_dead_the_viewer_gets_another() {
    let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
    let relay = Relay::builder().stream("cam", warm(&camera)).start().await;
    for (connections, fault) in [(2, Fault::CloseOn("SETUP")), (4, Fault::Status("SETUP", 454))] {
        kept(&relay, "cam").await;
        camera.fault(fault);
        let url = relay.url("cam");
        let mended = async {
            camera.until("another connection", |c| c.connections_total == connections).await;
            camera.heal();
        };
        let ((mut viewer, _), ()) = tokio::join!(Viewer::play_tcp(&url), mended);
        assert_no_gap(&viewer.packets(0, 50).await);
        drop(viewer);
        for viewer in relay.stream("cam").viewers() {
            viewer.kick(Disconnect::Kicked);
        }
        camera.until("the session is closed", |c| c.sessions_open == 0).await;
    }
}

#[tokio::test]
async fn streams_of_one_camera_respect_its_budget_of_connections_and_say_that_they_wait() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let mut settings = camera_settings(&camera.url());
    settings.max_connections_per_camera = Some(2);
    let names = ["a", "b", "c"];
    let builder = names.iter().fold(Relay::builder(), |relay, name| relay.stream(name, settings.clone()));
    let relay = builder.start().await;
    camera.until("two play", |c| c.playing == 2).await;
    let waits = |name: &str| {
        let why = relay.stream(name).status().borrow().decision.clone().unwrap_or_default();
        why == "All 2 connections with 127.0.0.1 are taken (max_connections_per_camera): waits for one."
    };
    eventually("one says that it waits", PATIENCE, || names.iter().any(|name| waits(name))).await;
    let waiting = *names.iter().find(|name| waits(name)).unwrap();
    let (plays, other) = match waiting {
        "a" => ("b", "c"),
        "b" => ("a", "c"),
        _ => ("a", "b"),
    };
    relay.live(plays).await;
    relay.live(other).await;
    assert_eq!((camera.counts().connections_total, camera.connections()), (2, 2));
    relay.stop_source(plays);
    relay.live(waiting).await;
    assert_eq!((camera.counts().connections_total, camera.connections()), (3, 2), "the other one stays");
}

#[tokio::test]
async fn a_connection_that_is_merely_kept_gives_way_to_a_viewer() {
    let camera = Camera::builder().h264(50).gop(5).require_auth("ann", "hunter2").start().await;
    let mut settings = warm(&camera);
    settings.max_connections_per_camera = Some(1);
    let relay = Relay::builder().stream("idle", settings.clone()).start().await;
    kept(&relay, "idle").await;
    settings.on_demand = false;
    relay.add("wanted", settings);
    relay.live("wanted").await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("wanted")).await;
    assert_no_gap(&viewer.packets(0, 50).await);
    assert_eq!(camera.connections(), 1);
}
