//! Those who come in numbers.

use std::time::Duration;

use super::*;
use crate::support::viewer::assert_no_gap;
use crate::support::{PATIENCE, eventually, within};

/// CVE-2021-41396: connections that say nothing, more than there is room for.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let builder =
        Relay::builder().camera("cam", &camera.url()).settings(|settings| settings.max_connections = 20);
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
    assert_eq!(relay.metric("fanlight_connections_refused_total"), 0.0);
}

#[tokio::test]
async fn an_address_has_a_limit_of_its_own() {
    let (_camera, relay) = {
        let camera = Camera::builder().h264(50).gop(10).start().await;
        let builder = Relay::builder().camera("cam", &camera.url());
        let relay = builder.settings(|settings| settings.max_connections_per_address = 3).start().await;
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
    eventually("it is counted", PATIENCE, || relay.metric("fanlight_connections_refused_total") == 1.0).await;
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
