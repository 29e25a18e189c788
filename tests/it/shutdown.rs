//! The end: everybody is told, nothing is left.

use std::time::Duration;

use crate::support::camera::{Audio, Camera};
use crate::support::relay::relay;
use crate::support::rtp::Rtcp;
use crate::support::viewer::{Ended, Viewer};

#[tokio::test]
async fn fifty_viewers_hear_goodbye_and_the_camera_a_teardown() {
    let camera = Camera::builder().gop(5).packet_size(400).audio(Audio::Pcmu).start().await;
    let relay = relay(&camera.url()).await;
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    for _ in 0..25 {
        tcp.push(Viewer::play_tcp(&relay.url("cam")).await.0);
        udp.push(Viewer::play_udp(&relay.url("cam")).await.0);
    }
    let mut ssrcs = Vec::new();
    for viewer in tcp.iter_mut().chain(&mut udp) {
        ssrcs.push([viewer.next_rtp(0).await.ssrc, viewer.next_rtp(1).await.ssrc]);
    }
    let udp_ssrcs = ssrcs.split_off(25);

    assert_eq!(relay.shutdown(Duration::from_secs(5)).await, 0, "nothing is left");
    camera.until("it is let go", |c| c.teardowns == 1 && c.sessions_open == 0 && c.connections == 0).await;

    for (viewer, ssrcs) in tcp.iter_mut().zip(ssrcs) {
        let (ended, rest) = viewer.ended().await;
        assert_eq!(ended, Ended::Closed, "FIN, not RST");
        for (channel, ssrc) in [1, 3].into_iter().zip(ssrcs) {
            let last = rest.iter().rev().find(|packet| packet.channel == channel).unwrap();
            assert!(Rtcp::parse(&last.data).contains(&Rtcp::Bye { ssrc }));
        }
    }
    for (viewer, ssrcs) in udp.iter_mut().zip(udp_ssrcs) {
        for (track, ssrc) in ssrcs.into_iter().enumerate() {
            while !viewer.next_rtcp(track).await.contains(&Rtcp::Bye { ssrc }) {}
        }
        assert_eq!(viewer.ended().await.0, Ended::Closed);
    }
    let left = "fanlight_viewer_disconnects_total{reason=\"shutdown\",stream=\"cam\"}";
    assert_eq!(relay.metric(left), 50.0);
    assert_eq!(relay.metric("fanlight_task_panics_total"), 0.0);
}
