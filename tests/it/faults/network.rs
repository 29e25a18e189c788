//! Datagrams that are lost or overtaken on the way from the camera.

use std::time::Duration;

use fanlight::config::UpstreamTransport;
use fanlight::vocabulary::Transport;

use super::{Scene, usual};
use crate::support::camera::{Close, Fault};

#[tokio::test]
async fn what_five_per_cent_loss_takes_is_what_viewers_miss() {
    let scene = Scene::open_with(usual().seed(5), |s| s.transport = UpstreamTransport::Udp).await;
    scene.camera.fault(Fault::Loss(5));
    scene.crowd.go_on(250, Duration::from_secs(30)).await;
    scene.camera.heal();
    // All that was sent has to be with the viewers before the books are compared.
    scene.crowd.go_on(10, Duration::from_secs(10)).await;
    assert_eq!(scene.camera.sessions_total(), 1, "the stream stays up");
    let lost = scene.camera.counts().lost as u32;
    assert!(lost >= 20, "{lost} packets are lost: too few to prove anything");
    for seen in scene.crowd.seen() {
        assert_eq!(seen.missing_of_all, lost, "neither hidden nor amplified: {seen:?}");
    }
    scene.crowd.assert_whole();
}

#[tokio::test]
async fn ten_per_cent_loss_moves_auto_to_tcp() {
    let scene = Scene::open_with(usual().seed(10), |s| s.transport = UpstreamTransport::Auto).await;
    assert_eq!(scene.relay.live("cam").await.transport, Some(Transport::Udp));
    scene.camera.fault(Fault::Loss(10));
    let limit = Duration::from_secs(60);
    scene
        .camera
        .until_within(limit, "a second session plays", |c| c.sessions_total > 1 && c.playing == 1)
        .await;
    scene.relay.until("cam", "it comes over TCP", |status| status.transport == Some(Transport::Tcp)).await;
    scene.crowd.go_on(50, Duration::from_secs(20)).await;
    scene.crowd.assert_whole();
    // And it stays there.
    scene.camera.drop_connections(Close::Rst).await;
    scene.crowd.go_on(50, Duration::from_secs(20)).await;
    assert_eq!(scene.relay.live("cam").await.transport, Some(Transport::Tcp));
}

#[tokio::test]
async fn datagrams_that_overtake_each_other_end_nothing() {
    let scene = Scene::open_with(usual().seed(3), |s| s.transport = UpstreamTransport::Udp).await;
    scene.camera.fault(Fault::Reorder(10));
    scene.crowd.go_on(150, Duration::from_secs(30)).await;
    assert_eq!(scene.camera.sessions_total(), 1);
    scene.crowd.assert_whole();
    let gap = scene.crowd.gaps().pop().unwrap();
    assert!(gap < Duration::from_secs(3), "{gap:?}");
}
