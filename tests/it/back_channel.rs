//! ONVIF's back channel: one viewer at a time talks to the camera.

use fanlight::config::{ClientChoice, UpstreamTransport};

use crate::support::camera::{Camera, Close, Fault};
use crate::support::relay::{Builder, Relay, camera_settings};
use crate::support::rtp::Rtp;
use crate::support::viewer::{Answer, Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, sdp};

const TAG: &str = "www.onvif.org/ver20/backchannel";

async fn camera(format: &str) -> Camera {
    Camera::builder().h264(50).gop(5).listens(format).start().await
}

fn builder(camera: &Camera) -> Builder {
    over(camera, UpstreamTransport::Tcp)
}

fn over(camera: &Camera, transport: UpstreamTransport) -> Builder {
    let mut settings = camera_settings(&camera.url());
    settings.viewing.back_channel = true;
    settings.transport = transport;
    Relay::builder().stream("cam", settings)
}

/// A viewer that was shown the back channel, as its track 1.
async fn talker(relay: &Relay) -> Viewer {
    let mut viewer = Viewer::open(&format!("{}?backchannel=1", relay.url("cam"))).await;
    viewer.describe().await.ok();
    assert!(viewer.sdp.contains("a=sendonly"), "{}", viewer.sdp);
    viewer
}

/// A viewer that plays and may talk, over TCP.
async fn talks(relay: &Relay) -> Viewer {
    let mut viewer = talker(relay).await;
    viewer.setup_tcp(0).await.ok();
    viewer.setup_tcp(1).await.ok();
    viewer.play().await.ok();
    viewer
}

fn sound(ssrc: u32, number: u16, payload_type: u8) -> Vec<u8> {
    let payload = format!("sound {ssrc} {number}").into_bytes();
    let timestamp = u32::from(number) * 160;
    Rtp { payload_type, marker: false, sequence: number, timestamp, ssrc, payload }.to_bytes()
}

async fn says(viewer: &mut Viewer, ssrc: u32, numbers: std::ops::Range<u16>) {
    for number in numbers {
        viewer.send_interleaved(2, &sound(ssrc, number, 0)).await;
    }
}

fn said(heard: &[Rtp]) -> Vec<String> {
    heard.iter().map(|packet| String::from_utf8_lossy(&packet.payload).into_owned()).collect()
}

/// One source, without a hole in its numbers.
#[track_caller]
fn assert_one_source(heard: &[Rtp]) {
    for pair in heard.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
}

async fn refused(answer: &Answer, status: u16, words: &str) {
    assert!(answer.status == status && answer.text().contains(words), "{answer:?}");
}

/// What was learned of the camera, once that has these words.
async fn learned(relay: &Relay, words: &str) -> String {
    let learned = || relay.stream("cam").record().learned.join(" ");
    eventually(&format!("{words} is learned"), PATIENCE, || learned().contains(words)).await;
    learned()
}

/// What `Require` headers the camera saw, by method.
fn required(camera: &Camera) -> Vec<String> {
    let requests = camera.requests();
    let requiring = requests.iter().filter(|request| request.header("Require").is_some());
    requiring.map(|request| request.method.clone()).collect()
}

#[tokio::test]
async fn what_a_viewer_says_the_camera_hears() {
    let camera = camera("0").await;
    let relay = builder(&camera).start().await;
    relay.live("cam").await;
    let mut viewer = talks(&relay).await;
    says(&mut viewer, 7, 0..20).await;
    let heard = camera.heard(20).await;
    assert_eq!(said(&heard), (0..20).map(|number| format!("sound 7 {number}")).collect::<Vec<_>>());
    assert_one_source(&heard);
    assert!(heard[0].ssrc != 7 && heard[0].payload_type == 0);
    assert_eq!(heard[19].timestamp.wrapping_sub(heard[0].timestamp), 19 * 160);
    assert_no_gap(&viewer.packets(0, 20).await);
    assert_eq!(required(&camera), ["DESCRIBE", "SETUP", "PLAY"]);
    let play = camera.requests().into_iter().find(|request| request.method == "PLAY").unwrap();
    assert_eq!(play.header("Range"), None, "GStreamer's ONVIF server answers 503 to it");
    let learned = learned(&relay, "retina").await;
    assert!(learned.contains("The direct client speaks with it: retina has no back channel."), "{learned}");
    assert!(learned.contains("Viewers may talk to it, one at a time, in PCMU/8000."), "{learned}");
    assert_eq!(relay.metric("fanlight_backchannel_packets_total{stream=\"cam\"}"), 20.0);
}

#[tokio::test]
async fn over_udp_on_both_sides_it_is_the_same() {
    let camera = camera("0").await;
    let relay = over(&camera, UpstreamTransport::Udp).start().await;
    relay.live("cam").await;
    let mut viewer = talker(&relay).await;
    viewer.setup_udp(0).await.ok();
    viewer.setup_udp(1).await.ok();
    viewer.play().await.ok();
    // What a datagram's way takes is nobody's promise: the next follows when one was heard.
    for number in 0..10 {
        viewer.send_rtp(1, &sound(7, number, 0)).await;
        camera.heard(usize::from(number) + 1).await;
    }
    let heard = camera.heard(10).await;
    assert_eq!(said(&heard), (0..10).map(|number| format!("sound 7 {number}")).collect::<Vec<_>>());
    assert_one_source(&heard);
}

#[tokio::test]
async fn a_camera_without_the_option_is_never_bothered() {
    for client in [ClientChoice::Retina, ClientChoice::Direct] {
        let camera = camera("0").await;
        let mut settings = camera_settings(&camera.url());
        settings.client = client;
        let relay = Relay::builder().stream("cam", settings).start().await;
        relay.live("cam").await;
        let mut viewer = Viewer::open(&format!("{}?backchannel=1", relay.url("cam"))).await;
        viewer.describe().await.ok();
        assert!(!viewer.sdp.contains("sendonly"), "{}", viewer.sdp);
        viewer.headers.push(("Require".to_owned(), TAG.to_owned()));
        let answer = viewer.describe().await;
        refused(&answer, 551, "backchannel: true").await;
        assert_eq!(answer.header("Unsupported"), Some(TAG));
        assert!(!camera.requests().is_empty());
        assert_eq!(required(&camera), [""; 0]);
    }
}

#[tokio::test]
async fn only_who_asks_is_shown_the_way_back() {
    let camera = camera("0").await;
    let relay = builder(&camera).start().await;
    relay.live("cam").await;
    let mut other = Viewer::open(&relay.url("cam")).await;
    other.describe().await.ok();
    assert!(sdp::tracks(&other.sdp) == 1 && !other.sdp.contains("only"), "{}", other.sdp);
    let (uri, transport) = (format!("{}/trackID=1", relay.url("cam")), "RTP/AVP/TCP;unicast;interleaved=2-3");
    assert_eq!(other.request("SETUP", &uri, &[("Transport", transport)]).await.status, 404);
    other.headers.push(("Require".to_owned(), TAG.to_owned()));
    other.describe().await.ok();
    assert_eq!(sdp::attribute(&other.sdp, 1, "control"), Some("trackID=1"), "as ONVIF's clients ask");
    other.setup_tcp(1).await.ok();
}

#[tokio::test]
async fn one_viewer_talks_at_a_time_and_then_the_next() {
    let camera = camera("0").await;
    let relay = builder(&camera).start().await;
    relay.live("cam").await;
    let mut one = talks(&relay).await;
    says(&mut one, 1, 100..105).await;
    camera.heard(5).await;
    let mut two = talker(&relay).await;
    two.setup_tcp(0).await.ok();
    let answer = two.setup_tcp(1).await;
    refused(&answer, 453, "somebody else talks to cam").await;
    two.play().await.ok();
    two.next_rtp(0).await;
    // What is refused to the first one, who plays, costs it nothing.
    assert_eq!(one.setup_tcp(1).await.status, 455);
    assert_eq!(talker(&relay).await.setup_tcp(1).await.status, 453);
    says(&mut one, 1, 105..106).await;
    camera.heard(6).await;
    one.teardown().await.ok();
    let mut two = talks(&relay).await;
    says(&mut two, 2, 60_000..60_005).await;
    let heard = camera.heard(11).await;
    assert_one_source(&heard);
    assert_eq!(said(&heard[6..])[0], "sound 2 60000");
    // A connection that breaks gives the floor back as well.
    two.reset();
    let channel = relay.stream("cam");
    let free = || channel.back_channel().is_some_and(|channel| channel.talker().is_none());
    eventually("the floor is free", PATIENCE, free).await;
    talks(&relay).await;
}

#[tokio::test]
async fn a_viewer_goes_on_talking_when_the_camera_reconnects() {
    let camera = camera("0").await;
    let relay = builder(&camera).start().await;
    relay.live("cam").await;
    let mut viewer = talks(&relay).await;
    says(&mut viewer, 7, 0..5).await;
    camera.heard(5).await;
    let sessions = relay.live("cam").await.sessions;
    // The same encoding under another payload type: it is written into what the viewer sends.
    camera.listen(Some("97\r\na=rtpmap:97 PCMU/8000"));
    camera.drop_connections(Close::Fin).await;
    relay.until("cam", "another session", |status| status.sessions > sessions).await;
    says(&mut viewer, 7, 5..10).await;
    let heard = camera.heard(10).await;
    assert_eq!(said(&heard[5..])[4], "sound 7 9");
    assert_eq!(heard[9].payload_type, 97);
    assert_one_source(&heard[5..]);
    viewer.next_rtp(0).await;
}

#[tokio::test]
async fn another_encoding_has_the_viewer_ask_again() {
    let camera = camera("0").await;
    let relay = builder(&camera).start().await;
    relay.live("cam").await;
    let mut viewer = talks(&relay).await;
    camera.listen(Some("8"));
    camera.drop_connections(Close::Fin).await;
    viewer.ended().await;
    let viewer = talker(&relay).await;
    assert!(viewer.sdp.contains("PCMA/8000"), "{}", viewer.sdp);
}

/// C54, and cameras that never heard of ONVIF.
#[tokio::test]
async fn a_camera_that_refuses_the_way_back_is_relayed_without_and_that_is_said() {
    let deaf = Camera::builder().h264(50).gop(5).start().await;
    let busy = Camera::builder().h264(50).gop(5).listens("0").fault(Fault::RefuseBack(453)).start().await;
    for (camera, words) in [(&deaf, "refuses to be asked for one (551"), (&busy, "refuses to set it up (453")]
    {
        let relay = builder(camera).start().await;
        relay.live("cam").await;
        let learned = learned(&relay, "without a back channel").await;
        assert!(learned.contains(words), "{learned}");
        let (mut viewer, _) = Viewer::play_tcp(&format!("{}?backchannel=1", relay.url("cam"))).await;
        assert!(!viewer.sdp.contains("sendonly"), "{}", viewer.sdp);
        assert_no_gap(&viewer.packets(0, 20).await);
        let mut onvif = Viewer::open(&relay.url("cam")).await;
        onvif.headers.push(("Require".to_owned(), TAG.to_owned()));
        assert_eq!(onvif.describe().await.status, 551);
    }
}

#[tokio::test]
async fn who_may_watch_may_not_talk_unless_a_rule_says_so() {
    let camera = camera("0").await;
    let rules = "users: {ann: {password: correct horse}}\naccess: [{allow: watch}]\n";
    let relay = builder(&camera).access(rules).start().await;
    relay.live("cam").await;
    let mut viewer = Viewer::open(&format!("{}?backchannel=1", relay.url("cam"))).await;
    assert_eq!(viewer.describe().await.status, 401, "ann may");
    viewer.url = relay.url("cam");
    viewer.describe().await.ok();
    let rules = "users: {ann: {password: correct horse}}\naccess: [{allow: [watch, talk]}]\n";
    relay.access.replace(crate::support::relay::policy(rules));
    let mut viewer = talks(&relay).await;
    relay.access.replace(crate::support::relay::policy("access: [{allow: talk}]"));
    assert_eq!(viewer.play().await.status, 403, "who may not watch may not talk");
}

/// Only the way back is set up: nothing comes, and what is said is heard.
#[tokio::test]
async fn a_viewer_may_talk_without_watching() {
    let camera = camera("0").await;
    let relay = builder(&camera).start().await;
    relay.live("cam").await;
    let mut viewer = talker(&relay).await;
    viewer.setup(1, "RTP/AVP/TCP;unicast;interleaved=2-3;mode=record").await.ok();
    says(&mut viewer, 7, 0..3).await; // to nobody: it does not play
    viewer.play().await.ok();
    says(&mut viewer, 7, 3..6).await;
    assert_eq!(said(&camera.heard(3).await)[0], "sound 7 3");
    viewer.get_parameter().await.ok();
    viewer.teardown().await.ok();
}
