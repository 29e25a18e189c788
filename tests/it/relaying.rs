//! The main job: one camera, many viewers, each with numbers of its own.

use crate::support::camera::Camera;
use crate::support::relay::relay;
use crate::support::viewer::Viewer;

#[tokio::test]
async fn a_viewer_gets_the_camera_s_packets_in_order_over_tcp() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let relay = relay(&camera.url()).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let packets = viewer.packets(0, 100).await;
    crate::support::viewer::assert_no_gap(&packets);
}
