//! Those who come in numbers.

use std::time::Duration;

use super::*;
use crate::support::viewer::assert_no_gap;
use crate::support::{PATIENCE, eventually, within};

const REFUSED: &str = r#"fanlight_limits_reached_total{limit="max_connections_per_address"}"#;

/// B13, CVE-2021-41396: connections that say nothing, more than there is room for.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let builder =
        Relay::builder().camera("cam", &camera.url()).settings(|settings| settings.capacity.connections = 20);
    let relay = builder.start().await;
    relay.live("cam").await;
    let (mut good, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(Viewer::connect(relay.address()).await);
    }
    let (mut other, _) = within("a new viewer plays", PATIENCE, Viewer::play_tcp(&relay.url("cam"))).await;
    assert_no_gap(&good.packets(0, 50).await);
    assert_no_gap(&other.packets(0, 10).await);
    assert_eq!(relay.metric(REFUSED), 0.0);
}

#[tokio::test]
async fn an_address_has_a_limit_of_its_own() {
    let (_camera, relay) = {
        let camera = Camera::builder().h264(50).gop(10).start().await;
        let builder = Relay::builder().camera("cam", &camera.url());
        let relay = builder.settings(|settings| settings.capacity.connections_per_address = 3).start().await;
        (camera, relay)
    };
    let mut first = Vec::new();
    for _ in 0..3 {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        viewer.options().await.ok();
        first.push(viewer);
    }
    let mut refused = Viewer::open(&relay.url("cam")).await;
    within("it is closed", PATIENCE, refused.ended()).await;
    eventually("it is counted", PATIENCE, || relay.metric(REFUSED) == 1.0).await;
    let mut elsewhere = Viewer::connect_from("127.0.0.2".parse().unwrap(), relay.address()).await;
    elsewhere.url = relay.url("cam");
    elsewhere.options().await.ok();
}

#[tokio::test]
async fn who_says_nothing_is_not_kept_as_long_as_a_viewer() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let builder = Relay::builder().camera("cam", &camera.url());
    let relay =
        builder.settings(|settings| settings.request_timeout = Duration::from_millis(300)).start().await;
    let mut asked = Viewer::open(&relay.url("cam")).await;
    asked.options().await.ok();
    let mut silent = Viewer::connect(relay.address()).await;
    within("the silent one is closed", PATIENCE, silent.ended()).await;
    asked.options().await.ok();
}

#[tokio::test]
async fn one_session_too_many_is_told_which_limit_it_is() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let builder =
        Relay::builder().camera("cam", &camera.url()).settings(|settings| settings.capacity.sessions = 2);
    let relay = builder.start().await;
    relay.live("cam").await;
    let (mut first, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (_second, _) = Viewer::play_udp(&relay.url("cam")).await;
    let mut third = Viewer::open(&relay.url("cam")).await;
    third.describe().await.ok();
    let refused = third.setup_tcp(0).await;
    assert_eq!(
        (refused.status, refused.text()),
        (503, "too many viewers: rtsp.max_sessions is 2\n".to_owned())
    );
    assert_eq!(relay.metric(r#"fanlight_limits_reached_total{limit="max_sessions"}"#), 1.0);
    assert_no_gap(&first.packets(0, 20).await);
    first.teardown().await.ok();
    third.setup_udp(0).await.ok();
}

#[tokio::test]
async fn who_asks_without_an_end_waits_for_the_answers() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let slow = |settings: &mut fanlight::server::Settings| settings.capacity.requests_per_address = 100;
    let relay = Relay::builder().camera("cam", &camera.url()).settings(slow).start().await;
    relay.live("cam").await;
    let (mut good, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut flood = Viewer::open(&relay.url("cam")).await;
    let asked = tokio::time::Instant::now();
    flood.send_raw("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(300)).await;
    for answer in 0..300 {
        flood.read_answer().await.ok();
        // Those that players need are answered at once, beside the flood as well.
        if answer == 150 {
            let (mut newcomer, _) = Viewer::play_tcp(&relay.url("cam")).await;
            newcomer.packets(0, 1).await;
        }
    }
    // 64 at once and 10 a second for itself; the rest at 100 a second.
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(1500), "{took:?}");
    assert!(relay.metric(r#"fanlight_limits_reached_total{limit="max_requests_per_address"}"#) > 50.0);
    assert_no_gap(&good.packets(0, 100).await);
}
