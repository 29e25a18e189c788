//! Multicast to viewers: one flow for all of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use fanlight::config::{ClientChoice, FastStart, Group, UpstreamTransport};
use fanlight::vocabulary::Disconnect;

use crate::support::camera::{Audio, Camera, Close};
use crate::support::relay::{Relay, camera_settings};
use crate::support::rtp::{Rtcp, Rtp, reception};
use crate::support::viewer::{Ended, Viewer, assert_no_gap, stamps};
use crate::support::{PATIENCE, eventually};

/// A relay of a camera in manual mode that has taken the first frame; viewers may have it by multicast.
async fn relay_of(camera: &Camera) -> Relay {
    let relay = Relay::builder().stream("cam", settings(camera)).start().await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    relay
}

fn settings(camera: &Camera) -> fanlight::config::Stream {
    let mut settings = camera_settings(&camera.url());
    settings.viewing.multicast = Group::Any;
    settings
}

fn numbers(packet: &Rtp) -> (u32, u16, u32) {
    (packet.ssrc, packet.sequence, packet.timestamp)
}

#[tokio::test]
async fn all_viewers_hear_one_flow_whose_numbers_each_is_told() {
    let camera = Camera::builder().gop(4).audio(Audio::Pcmu).manual().start().await;
    let relay = relay_of(&camera).await;
    let url = relay.url("cam");
    let mut first = Viewer::open(&url).await;
    first.describe().await.ok();
    let video = first.setup_multicast(0).await.ok();
    let audio = first.setup_multicast(1).await.ok();
    for (parameter, value) in [("multicast", ""), ("ttl", "1"), ("source", "127.0.0.1")] {
        assert_eq!(video.transport(parameter), Some(value), "{video:?}");
    }
    let group: Ipv4Addr = video.transport("destination").unwrap().parse().unwrap();
    assert!(group.is_multicast());
    assert_eq!(audio.transport("destination"), video.transport("destination"));
    assert_ne!(audio.transport("port"), video.transport("port"));
    let told = first.play().await.ok().rtp_info();
    // Frame 0 has gone by; frame 4 is the first that can be decoded.
    camera.frames(6).await;
    let packet = first.next_rtp(0).await;
    assert_eq!(numbers(&packet), (hex(video.transport("ssrc")), told[0].sequence, told[0].rtptime));
    let sound = first.next_rtp(1).await;
    assert_eq!(numbers(&sound), (hex(audio.transport("ssrc")), told[1].sequence, told[1].rtptime));

    let (mut second, answer) = Viewer::play_multicast(&url).await;
    let told = answer.rtp_info();
    camera.frames(4).await;
    // The first goes on with frame 4, of which it has read one packet; the second came after frame 6.
    let (mut heard, mut also) = (Vec::new(), Vec::new());
    for _ in 4..=10 {
        heard.extend(first.next_frame().await);
    }
    for _ in 7..=10 {
        also.extend(second.next_frame().await);
    }
    assert_eq!((also[0].ssrc, also[0].sequence), (packet.ssrc, told[0].sequence));
    assert!(also[0].timestamp.wrapping_sub(told[0].rtptime).cast_signed() >= 0);
    assert!(heard.ends_with(&also), "what the first hears as well");
    assert_no_gap(&heard);

    assert_eq!(relay.metric(r#"fanlight_viewers{stream="cam",transport="multicast"}"#), 2.0);
    let viewers = relay.stream("cam").viewers();
    let sent = || relay.metric(r#"fanlight_viewer_sent_packets_total{stream="cam",transport="multicast"}"#);
    eventually("one packet is counted for both", PATIENCE, || sent() == viewers[0].packets() as f64).await;
    assert!(viewers[1].packets() > 0 && viewers[1].packets() < viewers[0].packets());
    assert!(relay.stream("cam").lag(&viewers[1]).unwrap() < Duration::from_secs(1));
}

fn hex(ssrc: Option<&str>) -> u32 {
    u32::from_str_radix(ssrc.unwrap(), 16).unwrap()
}

#[tokio::test]
async fn who_comes_to_a_flow_does_not_have_the_cache_sent_to_the_others_again() {
    let camera = Camera::builder().gop(5).manual().start().await;
    let mut settings = settings(&camera);
    settings.viewing.fast_start = FastStart::LiveEdge;
    let relay = Relay::builder().stream("cam", settings).start().await;
    camera.playing().await;
    camera.frames(3).await;
    relay.published("cam", 3).await;
    let (mut first, _) = Viewer::play_multicast(&relay.url("cam")).await;
    camera.frames(5).await;
    let mut packets = Vec::new();
    for _ in 5..=7 {
        packets.extend(first.next_frame().await);
    }
    assert_eq!(stamps(&packets)[0].frame, 5, "the next key frame, and not the one before");
    let (_second, _) = Viewer::play_multicast(&relay.url("cam")).await;
    camera.frames(4).await;
    let mut more = Vec::new();
    for _ in 8..=11 {
        more.extend(first.next_frame().await);
    }
    assert_no_gap(packets.iter().chain(&more));
    let frames: Vec<u32> = stamps(&more).iter().map(|stamp| stamp.frame).collect();
    assert!(frames.is_sorted() && frames[0] == 8, "{frames:?}");
}

#[tokio::test]
async fn a_stream_that_is_not_sent_by_multicast_says_so_and_the_next_transport_is_taken() {
    let camera = Camera::builder().manual().start().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    camera.playing().await;
    camera.frame().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    let refused = viewer.setup(0, "RTP/AVP;multicast").await;
    assert_eq!(refused.status, 461);
    assert!(refused.text().starts_with("cam is not sent by multicast"), "{refused:?}");
    let taken = viewer.setup(0, "RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1").await.ok();
    assert_eq!(taken.transport("interleaved"), Some("0-1"));
}

#[tokio::test]
async fn one_who_pauses_or_leaves_does_not_stop_the_others_and_the_last_one_does() {
    let camera = Camera::builder().gop(2).packets_per_frame(2).manual().start().await;
    let relay = relay_of(&camera).await;
    let url = relay.url("cam");
    let ((mut first, _), (mut second, _)) =
        (Viewer::play_multicast(&url).await, Viewer::play_multicast(&url).await);
    camera.frames(2).await;
    let mut heard = first.packets(0, 2).await;
    second.pause().await.ok();
    camera.frames(2).await;
    heard.extend(first.packets(0, 4).await);
    second.teardown().await.ok();
    camera.frames(2).await;
    heard.extend(first.packets(0, 4).await);
    assert_no_gap(&heard);

    first.pause().await.ok();
    camera.frames(4).await;
    let told = first.play().await.ok().rtp_info();
    camera.frames(2).await;
    // Frames of the pause may have been under way.
    let last = heard.last().unwrap().sequence;
    let next = loop {
        let packet = first.next_rtp(0).await;
        if packet.sequence == told[0].sequence {
            break packet;
        }
        assert!(packet.sequence.wrapping_sub(last) < 64, "{packet:?}");
    };
    assert_eq!((next.ssrc, next.timestamp), (heard[0].ssrc, told[0].rtptime));

    first.teardown().await.ok();
    let bye = loop {
        let compound = first.next_rtcp(0).await;
        if compound.iter().any(|packet| matches!(packet, Rtcp::Bye { .. })) {
            break compound;
        }
    };
    assert!(format!("{bye:?}").contains(&heard[0].ssrc.to_string()), "{bye:?}");
    // With the last of them the flow is gone, and the next has numbers of its own.
    let (_third, _) = Viewer::play_multicast(&url).await;
    let gone = || relay.metric(r#"fanlight_viewers{stream="cam",transport="multicast"}"#) == 1.0;
    eventually("only the third is there", PATIENCE, gone).await;
}

#[tokio::test]
async fn a_flow_goes_on_through_an_outage_as_any_viewer_does() {
    let camera = Camera::builder().gop(5).start().await;
    let relay = Relay::builder().stream("cam", settings(&camera)).start().await;
    relay.live("cam").await;
    let (mut viewer, _) = Viewer::play_multicast(&relay.url("cam")).await;
    let mut packets = viewer.packets(0, 30).await;
    camera.drop_connections(Close::Rst).await;
    camera.until("it is connected again", |counts| counts.sessions_total == 2 && counts.playing == 1).await;
    packets.extend(viewer.packets(0, 200).await);
    assert_no_gap(&packets);
    assert!(packets.iter().all(|packet| packet.ssrc == packets[0].ssrc));
    assert!(packets.is_sorted_by(|a, b| b.timestamp.wrapping_sub(a.timestamp).cast_signed() >= 0));
}

#[tokio::test]
async fn reports_of_receivers_are_heard_in_the_group() {
    let camera = Camera::builder().gop(2).manual().start().await;
    let relay = relay_of(&camera).await;
    let (mut viewer, _) = Viewer::play_multicast(&relay.url("cam")).await;
    camera.frames(3).await;
    let report = viewer.next_report(0).await;
    assert_eq!(report.ssrc, viewer.next_rtp(0).await.ssrc);
    let heard = || relay.metric("fanlight_rtcp_fraction_lost_count");
    assert_eq!(heard(), 0.0, "the flow does not take its own reports for anybody's");
    // About another source: somebody else's in the group.
    viewer.send_rtcp(0, &reception(7, report.ssrc ^ 1)).await;
    viewer.send_rtcp(0, &reception(7, report.ssrc)).await;
    eventually("one report is counted", PATIENCE, || heard() == 1.0).await;
}

#[tokio::test]
async fn two_streams_never_share_a_group_and_one_of_its_own_is_used() {
    let camera = Camera::builder().manual().start().await;
    let mut own = settings(&camera);
    own.viewing.multicast = Group::At(Ipv4Addr::new(239, 255, 200, 1), Some(31_000));
    let mut builder = Relay::builder().stream("own", own.clone()).stream("own-too", own);
    for name in ["a", "b", "c"] {
        builder = builder.stream(name, settings(&camera));
    }
    let relay = builder.start().await;
    camera.until("all are connected", |counts| counts.playing == 5).await;
    camera.frame().await;
    let mut groups = Vec::new();
    let mut viewers = Vec::new();
    for name in ["a", "b", "c", "own"] {
        relay.published(name, 1).await;
        let mut viewer = Viewer::open(&relay.url(name)).await;
        viewer.describe().await.ok();
        let answer = viewer.setup_multicast(0).await.ok();
        groups.push(answer.transport("destination").unwrap().to_owned());
        if name == "own" {
            assert_eq!(groups.last().unwrap(), "239.255.200.1");
            assert_eq!(answer.transport("port"), Some("31000-31001"));
        }
        viewers.push(viewer);
    }
    groups.sort();
    groups.dedup();
    assert_eq!(groups.len(), 4);
    let mut late = Viewer::open(&relay.url("own-too")).await;
    late.describe().await.ok();
    let refused = late.setup(0, "RTP/AVP;multicast").await;
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (461, "own-too is not to be had by multicast: own has its group\n")
    );
}

#[tokio::test]
async fn a_relay_of_a_relay_hears_it_by_multicast_and_misses_nothing() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    let near = Relay::builder().stream("cam", settings(&camera)).start().await;
    near.live("cam").await;
    let mut settings = camera_settings(&near.url("cam"));
    settings.transport = UpstreamTransport::Multicast;
    settings.client = ClientChoice::Direct;
    let far = Relay::builder().stream("far", settings).start().await;
    far.live("far").await;
    assert_eq!(near.metric(r#"fanlight_viewers{stream="cam",transport="multicast"}"#), 1.0);
    let (mut viewer, _) = Viewer::play_tcp(&far.url("far")).await;
    let packets = viewer.packets(0, 400).await;
    assert_no_gap(&packets);
    let frames: Vec<u32> = stamps(&packets).iter().map(|stamp| stamp.frame).collect();
    assert!(frames.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{frames:?}");
    assert!(frames[frames.len() - 1] > frames[0] + 20, "{frames:?}");
    far.stop_source("far");
    let left = || near.metric(r#"fanlight_viewer_disconnects_total{reason="teardown",stream="cam"}"#) == 1.0;
    eventually("it says goodbye", PATIENCE, left).await;
}

#[tokio::test]
async fn who_hears_a_stream_whose_codec_changes_has_to_describe_again() {
    let camera = Camera::builder().gop(2).manual().start().await;
    let relay = relay_of(&camera).await;
    let (mut viewer, _) = Viewer::play_multicast(&relay.url("cam")).await;
    camera.frames(2).await;
    viewer.next_rtp(0).await;
    camera.change_to_h265();
    camera.drop_connections(Close::Rst).await;
    camera.until("it is connected again", |counts| counts.sessions_total == 2 && counts.playing == 1).await;
    camera.frames(2).await;
    let gone =
        || relay.metric(r#"fanlight_viewer_disconnects_total{reason="stream_changed",stream="cam"}"#) == 1.0;
    eventually("its session has ended", PATIENCE, gone).await;
    assert_eq!(viewer.get_parameter().await.status, 454);
    viewer.session = None;
    viewer.describe().await.ok();
    viewer.setup_multicast(0).await.ok();
}

#[tokio::test]
async fn a_viewer_is_disconnected_and_times_out_without_the_others() {
    let camera = Camera::builder().gop(2).manual().start().await;
    let relay = relay_of(&camera).await;
    let url = relay.url("cam");
    let ((mut first, _), (mut second, _)) =
        (Viewer::play_multicast(&url).await, Viewer::play_multicast(&url).await);
    relay.stream("cam").viewers()[0].kick(Disconnect::Kicked);
    let one = || relay.stream("cam").viewers().len() == 1;
    eventually("the first is out", PATIENCE, one).await;
    assert_eq!(first.get_parameter().await.status, 454);
    second.get_parameter().await.ok();
    camera.frames(2).await;
    second.next_rtp(0).await;
    assert_eq!(relay.shutdown(Duration::from_secs(5)).await, 0);
    assert_eq!(second.ended().await.0, Ended::Closed);
}
