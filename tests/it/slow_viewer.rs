//! A viewer that does not read: it harms nobody, and what it gets can be decoded.

use std::time::Duration;

use fanlight::config::SlowViewer;
use tokio::time::interval;

use crate::support::camera::Camera;
use crate::support::relay::{Relay, camera_settings};
use crate::support::rtp::Rtp;
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually};

/// Groups of ten frames of one packet each.
async fn camera() -> Camera {
    Camera::builder().gop(10).packets_per_frame(1).packet_size(10_000).manual().start().await
}

async fn relay(camera: &Camera, write_timeout: Duration) -> Relay {
    let relay = Relay::builder()
        .stream("cam", camera_settings(&camera.url()))
        .settings(|settings| settings.write_timeout = write_timeout)
        .start()
        .await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    relay
}

#[tokio::test]
async fn who_falls_behind_gets_whole_pictures_again_and_nobody_else_misses_any() {
    let camera = camera().await;
    let relay = relay(&camera, Duration::from_secs(60)).await;
    let mut slow = Viewer::play_narrow(&relay.url("cam")).await;
    let (mut quick, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let mut number = camera.frames(9).await;
    let mut expected = number + 1;
    let viewer = || {
        let viewers = relay.stream("cam").viewers();
        viewers.into_iter().min_by_key(|viewer| viewer.id).unwrap()
    };
    let slow_one = viewer();
    // Until its connection takes no more, and then for as long as the ring is, and a little longer. The quick one
    // reads each frame before the next one is sent, so each is a burst.
    let (mut stuck, mut sent) = (0, 0);
    let mut last = None;
    while stuck < 560 {
        number = camera.frame().await;
        let frame = quick.next_frame().await;
        assert_eq!(frame[0].stamp().unwrap().frame, expected);
        expected += 1;
        if let Some(last) = last.replace(frame[0].sequence) {
            let step = frame[0].sequence.wrapping_sub(last);
            assert!(step == 1 || step == 2, "a key frame has two packets: {step}");
        }
        stuck = if slow_one.packets() == sent { stuck + 1 } else { 0 };
        sent = slow_one.packets();
        assert!(number < 6000, "the connection takes everything");
    }
    assert_eq!(slow_one.skipped(), 0, "it does not know yet");

    // Now it reads. First what was on its way, then what the ring still holds, from a key frame on.
    let mut packets = Vec::new();
    let mut got = Vec::new();
    let mut resumed = None;
    while got.last() != Some(&number) {
        let frame = slow.next_frame().await;
        let stamp = frame[0].stamp().unwrap();
        if let Some(last) = got.last()
            && stamp.frame != last + 1
        {
            assert!(stamp.key && resumed.is_none(), "{stamp:?} after {last}");
            resumed = Some((*last, stamp.frame));
        }
        assert_eq!(frame.len(), usize::from(stamp.packets), "a whole picture");
        got.push(stamp.frame);
        packets.extend(frame);
    }
    assert_no_gap(&packets);
    let (before, after) = resumed.expect("the ring went past it");
    let distance = packets.iter().find(|p| p.stamp().unwrap().frame == after).unwrap().timestamp;
    let from = packets.iter().find(|p| p.stamp().unwrap().frame == before).unwrap().timestamp;
    assert_eq!(distance.wrapping_sub(from), (after - before) * 3600, "the time that passed shows");
    let missed = u64::from(after - before - 1);
    // Counted when it is written, which the viewer may be quicker to read.
    eventually("what it missed is counted", PATIENCE, || slow_one.skipped() == missed).await;
    let by_reason = |reason: &str| {
        let series = "fanlight_viewer_skipped_frames_total";
        relay.metric(&format!("{series}{{reason=\"{reason}\",stream=\"cam\"}}")) as u64
    };
    assert_eq!(by_reason("lagged") + by_reason("key_frame"), missed);
    assert!(by_reason("lagged") > 0 && by_reason("key_frame") < 10, "{}", by_reason("key_frame"));
    assert_eq!(viewer().id, slow_one.id, "it was not disconnected");
}

/// What stands in the kernel before the next burst counts as well as what waits in the relay: without it these pictures are
/// half a second older.
#[tokio::test]
async fn who_reads_at_half_rate_sees_nothing_older_than_max_lag() {
    const FRAMES_A_SECOND: u32 = 25;
    let camera = Camera::builder().gop(10).packets_per_frame(2).packet_size(10_000).start().await;
    let mut settings = camera_settings(&camera.url());
    settings.viewing.max_lag = Duration::from_secs(1);
    let relay = Relay::builder().stream("cam", settings).start().await;
    relay.published("cam", 1).await;
    let mut slow = Viewer::play_narrow(&relay.url("cam")).await;
    let mut pace = interval(2 * Duration::from_secs(1) / FRAMES_A_SECOND);
    let mut ages = Vec::new();
    for _ in 0..100 {
        pace.tick().await;
        let frame = slow.next_frame().await[0].stamp().unwrap().frame;
        ages.push(camera.frames_made() - frame);
    }
    // Nearly the oldest: when the machine stands still a moment, the camera catches up at once.
    ages.sort_unstable();
    let oldest = ages[ages.len() * 9 / 10];
    assert!(oldest > FRAMES_A_SECOND / 2, "it was never behind: {oldest} frames");
    // Where nothing is counted beyond the relay it is 37 of them; a busy machine adds its own.
    assert!(oldest <= FRAMES_A_SECOND * 5 / 4, "{oldest} frames at {FRAMES_A_SECOND} a second");
    let viewers = relay.stream("cam").viewers();
    assert!(viewers.len() == 1 && viewers[0].skipped() > 10, "it skips, and stays: {viewers:?}");
}

#[tokio::test]
async fn who_takes_nothing_for_the_write_timeout_is_disconnected() {
    let camera = camera().await;
    let relay = relay(&camera, Duration::from_millis(500)).await;
    let slow = Viewer::play_narrow(&relay.url("cam")).await;
    let (mut quick, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let closed = "fanlight_viewer_disconnects_total{reason=\"write_timeout\",stream=\"cam\"}";
    camera.frames(9).await;
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    while relay.metric(closed) == 0.0 {
        camera.frame().await;
        quick.next_frame().await;
        assert!(tokio::time::Instant::now() < deadline, "it is still there");
    }
    eventually("one viewer is left", PATIENCE, || relay.stream("cam").viewers().len() == 1).await;
    camera.frame().await;
    quick.next_frame().await;
    drop(slow);
}

#[tokio::test]
async fn who_is_too_slow_is_disconnected_where_that_is_the_rule() {
    let camera = camera().await;
    let mut settings = camera_settings(&camera.url());
    settings.viewing.slow_viewer = SlowViewer::Disconnect;
    settings.viewing.max_lag = Duration::from_millis(300);
    let relay = Relay::builder()
        .stream("cam", settings)
        .settings(|settings| settings.write_timeout = Duration::from_secs(600))
        .start()
        .await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    let slow = Viewer::play_narrow(&relay.url("cam")).await;
    let closed = "fanlight_viewer_disconnects_total{reason=\"too_slow\",stream=\"cam\"}";
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    let lag = || relay.stream("cam").viewers().first().and_then(|viewer| relay.stream("cam").lag(viewer));
    let mut furthest = Duration::ZERO;
    while relay.metric(closed) == 0.0 {
        furthest = furthest.max(lag().unwrap_or_default());
        camera.frame().await;
        tokio::time::sleep(Duration::from_millis(1)).await; // the camera of this test has no clock, the rule has one
        assert!(tokio::time::Instant::now() < deadline, "it is still there");
    }
    assert!(furthest > Duration::from_millis(100), "its lag is shown: {furthest:?}");
    eventually("it is gone", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
    drop(slow);
}

/// A camera over TCP may send packets that fit no datagram.
#[tokio::test]
async fn long_packets_are_cut_for_viewers_over_udp_only() {
    let camera = Camera::builder().gop(10).packets_per_frame(2).packet_size(20_000).manual().start().await;
    let relay = relay(&camera, Duration::from_secs(60)).await;
    let (mut tcp, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let (mut udp, _) = Viewer::play_udp(&relay.url("cam")).await;
    camera.frames(12).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let (whole, cut) = (tcp.next_frame().await, udp.next_frame().await);
        assert!(whole.iter().any(|packet| packet.payload.len() == 20_000), "as the camera sent it");
        assert!(cut.iter().all(|packet| packet.payload.len() <= 1472 - 12), "each fits a datagram");
        let marked = |frame: &[Rtp]| frame.iter().filter(|packet| packet.marker).count();
        assert_eq!((marked(&whole), marked(&cut)), (1, 1));
        assert!(cut.iter().all(|packet| packet.timestamp == cut[0].timestamp));
        assert_eq!(slices(&cut), slices(&whole), "a decoder gets the same");
        all.extend(cut);
    }
    assert_no_gap(&all);
}

/// The fragmented NAL units of a frame, put together.
fn slices(frame: &[Rtp]) -> Vec<Vec<u8>> {
    let mut slices: Vec<Vec<u8>> = Vec::new();
    for packet in frame.iter().filter(|packet| packet.payload[0] & 0x1f == 28) {
        let [indicator, header, data @ ..] = packet.payload.as_slice() else { panic!("no fragment") };
        if header & 0x80 != 0 {
            slices.push(vec![indicator & 0xe0 | header & 0x1f]);
        }
        slices.last_mut().expect("a fragment begins with a start").extend(data);
    }
    slices
}
