//! The way from the camera: transports, passwords, limits, and a session that is always given back.

use std::time::{Duration, Instant};

use fanlight::config::{ClientChoice, Retry, Stream as Settings, UpstreamTransport};
use fanlight::vocabulary::{FailureClass, Phase, Transport};

use crate::support::camera::{Audio, Camera, Close, Fault};
use crate::support::eventually;
use crate::support::relay::{Relay, camera_settings, relay};
use crate::support::viewer::{Viewer, assert_no_gap};

/// A relay with one stream whose settings are a little different.
async fn relay_with(url: &str, change: impl FnOnce(&mut Settings)) -> Relay {
    let mut settings = camera_settings(url);
    change(&mut settings);
    Relay::builder().stream("cam", settings).start().await
}

fn failures(relay: &Relay, class: FailureClass) -> f64 {
    relay.metric(&format!("fanlight_source_failures_total{{reason=\"{class}\",stream=\"cam\"}}"))
}

#[tokio::test]
async fn a_camera_is_pulled_over_tcp_and_over_udp() {
    for (setting, transport, word) in [
        (UpstreamTransport::Tcp, Transport::Tcp, "interleaved="),
        (UpstreamTransport::Udp, Transport::Udp, "client_port="),
        (UpstreamTransport::Auto, Transport::Udp, "client_port="),
    ] {
        let camera = Camera::builder().h264(50).gop(10).audio(Audio::Pcmu).start().await;
        let relay = relay_with(&camera.url(), |settings| settings.transport = setting).await;
        let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
        assert_no_gap(&viewer.packets(0, 60).await);
        assert_no_gap(&viewer.packets(1, 20).await);
        assert_eq!(relay.live("cam").await.transport, Some(transport));
        let requests = camera.requests();
        let mut setups = requests.iter().filter(|request| request.method == "SETUP");
        assert!(setups.all(|setup| setup.header("Transport").unwrap().contains(word)));
    }
}

#[tokio::test]
async fn auto_gives_udp_up_when_no_packet_comes_within_three_seconds() {
    let camera = Camera::builder().start().await;
    camera.fault(Fault::SilentUdp);
    let started = Instant::now();
    let relay = relay_with(&camera.url(), |settings| settings.transport = UpstreamTransport::Auto).await;
    let status = relay.live("cam").await;
    assert_eq!(status.transport, Some(Transport::Tcp));
    assert!(started.elapsed() >= Duration::from_secs(3));
    assert_eq!(failures(&relay, FailureClass::NoUdp), 1.0);
    camera.until("the UDP session is torn down", |c| c.teardowns == 1 && c.sessions_open == 1).await;
}

#[tokio::test]
async fn auto_takes_tcp_from_a_camera_that_refuses_udp() {
    let camera = Camera::builder().start().await;
    camera.fault(Fault::RefuseUdp);
    let relay = relay_with(&camera.url(), |settings| settings.transport = UpstreamTransport::Auto).await;
    assert_eq!(relay.live("cam").await.transport, Some(Transport::Tcp));
    let message = relay.failed("cam", FailureClass::NoUdp).await;
    assert!(message.contains("461"), "{message}");
}

#[tokio::test]
async fn a_camera_that_asks_for_digest_gets_it() {
    let camera = Camera::builder().require_auth("relay", "s3cr3t pass").start().await;
    let relay = relay(&camera.url().replace("//", "//relay:s3cr3t%20pass@")).await;
    relay.live("cam").await;
    let requests = camera.requests();
    let play = requests.iter().find(|request| request.method == "PLAY").unwrap();
    assert!(play.header("Authorization").unwrap().starts_with("Digest "));
    assert!(requests.iter().all(|request| !request.uri.contains("s3cr3t")));
}

#[tokio::test]
async fn a_wrong_password_is_said_in_words_without_the_password() {
    let camera = Camera::builder().require_auth("relay", "right").start().await;
    let relay = relay(&camera.url().replace("//", "//relay:wr0ng-s3cr3t@")).await;
    let message = relay.failed("cam", FailureClass::Unauthorized).await;
    assert!(message.contains("401"), "{message}");
    let page = relay.metrics.render().unwrap();
    for text in [&message, &page, &format!("{:?}", relay.stream("cam"))] {
        assert!(!text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test]
async fn a_track_that_the_camera_refuses_is_left_out_and_the_others_play() {
    let camera = Camera::builder().gop(5).audio(Audio::Aac).start().await;
    camera.fault(Fault::RefuseTrack(1, 500));
    let relay = relay(&camera.url()).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    assert_no_gap(&viewer.packets(0, 30).await);
    camera.fault(Fault::RefuseTrack(0, 500));
    camera.drop_connections(Close::Fin).await;
    relay.failed("cam", FailureClass::Status).await;
}

/// B21, B33: what a hostile camera says is understood by a library that can panic.
#[tokio::test]
async fn a_panic_of_the_library_is_one_more_failure_and_hurts_no_other_stream() {
    let healthy = Camera::builder().h264(50).gop(5).start().await;
    let hostile = Camera::builder().start().await;
    let empty_format = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP \r\n";
    hostile.set_sdp(Some(empty_format));
    let mut settings = camera_settings(&hostile.url());
    settings.client = ClientChoice::Retina; // the other one has nothing to panic on
    let relay = Relay::builder().camera("good", &healthy.url()).stream("cam", settings).start().await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("good")).await;
    relay.failed("cam", FailureClass::Panic).await;
    // The other way to make it panic: a space behind the session's id.
    hostile.set_sdp(None);
    let before = failures(&relay, FailureClass::Panic);
    hostile.fault(Fault::SpacedSession);
    eventually("it panics again", Duration::from_secs(10), || {
        failures(&relay, FailureClass::Panic) > before + 1.0
    })
    .await;
    assert!(relay.metric("fanlight_task_panics_total") >= failures(&relay, FailureClass::Panic));
    assert_no_gap(&viewer.packets(0, 100).await);
    hostile.heal();
    relay.live("cam").await;
    Viewer::play_tcp(&relay.url("cam")).await.0.packets(0, 5).await;
}

#[tokio::test]
async fn a_camera_that_asks_whether_we_live_holds_the_media_up_for_half_a_second_at_most() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let relay = relay(&camera.url()).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    viewer.packets(0, 30).await;
    for _ in 0..3 {
        camera.ask();
        let asked = Instant::now();
        let mut longest = Duration::ZERO;
        let mut last = asked;
        while asked.elapsed() < Duration::from_millis(1200) {
            viewer.next_rtp(0).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        // Half a second by our own clock; the rest is for a busy machine. Without polling it were 28 seconds.
        assert!(longest < Duration::from_secs(3), "{longest:?} without a packet");
    }
    assert_eq!(camera.sessions_total(), 1, "the session goes on");
}

#[tokio::test]
async fn every_step_of_the_handshake_has_a_time_limit() {
    for step in ["DESCRIBE", "SETUP", "PLAY"] {
        let camera = Camera::builder().start().await;
        camera.fault(Fault::Delay(step, Duration::from_secs(60)));
        let limit = Duration::from_millis(200);
        let relay = relay_with(&camera.url(), |settings| settings.connect_timeout = limit).await;
        let message = relay.failed("cam", FailureClass::ConnectTimeout).await;
        assert!(message.contains(step) && message.contains("connect_timeout"), "{message}");
        camera.heal();
        relay.live("cam").await;
    }
}

/// The rules a user can choose in place of `auto`: each is the one that decides, and says so.
#[tokio::test]
async fn a_chosen_rule_decides_when_to_try_again() {
    for (retry, says) in [
        (Retry::Immediate, "Immediate: "),
        (Retry::Fixed, "Fixed: "),
        (Retry::Linear, "Linear: "),
        (Retry::Exponential, "Exponential: "),
    ] {
        let camera = Camera::builder().start().await;
        camera.status_for_describe(500);
        let relay = relay_with(&camera.url(), |settings| settings.retry = retry).await;
        let status = relay.until("cam", "three attempts have failed", |status| status.attempt >= 3).await;
        assert!(status.decision.as_deref().is_some_and(|why| why.starts_with(says)), "{:?}", status.decision);
        camera.heal();
        relay.live("cam").await;
    }
}

#[tokio::test]
async fn a_camera_that_plays_and_sends_nothing_has_stalled() {
    let camera = Camera::builder().start().await;
    camera.stop_sending();
    let limit = Duration::from_millis(300);
    let relay = relay_with(&camera.url(), |settings| settings.read_timeout = limit).await;
    let message = relay.failed("cam", FailureClass::Stall).await;
    assert!(message.contains("read_timeout"), "{message}");
    assert_eq!(relay.until("cam", "no session delivered", |s| s.sessions == 0).await.sessions, 0);
    camera.resume();
    relay.live("cam").await;
}

#[tokio::test]
async fn a_session_is_torn_down_on_every_way_out() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let mut settings = camera_settings(&camera.url());
    settings.read_timeout = Duration::from_millis(700);
    let relay = Relay::builder().stream("cam", settings).start().await;
    let mut torn_down = 0;
    let mut expect = async |what: &str, left: usize| {
        torn_down += 1;
        let (n, what) = (torn_down, format!("{what}: TEARDOWN {torn_down}, {left} sessions left"));
        camera.until(&what, |c| c.teardowns >= n && c.sessions_open == left && c.playing == left).await;
        assert_eq!(camera.teardowns(), n, "{what}");
    };

    relay.live("cam").await;
    relay.stream("cam").request_reconnect();
    relay.failed("cam", FailureClass::Requested).await;
    expect("a new session is asked for", 1).await;

    relay.live("cam").await;
    camera.stop_sending();
    relay.failed("cam", FailureClass::Stall).await;
    camera.resume();
    relay.live("cam").await;
    expect("a stall", 1).await;

    // As a reload does: the old source is stopped, then a new one has the name.
    relay.stop_source("cam");
    relay.add("cam", camera_settings(&camera.url()));
    relay.live("cam").await;
    expect("the stream is replaced", 1).await;

    relay.stop_source("cam");
    relay.hub.remove("cam");
    expect("the stream is removed", 0).await;

    relay.add("cam", camera_settings(&camera.url()));
    relay.live("cam").await;
    assert_eq!(relay.shutdown(Duration::from_secs(5)).await, 0);
    expect("the end", 0).await;
    camera.until("its connection is closed", |c| c.connections == 0).await;
}

#[tokio::test]
async fn a_source_that_is_stopped_in_the_middle_of_the_handshake_is_gone() {
    for step in ["DESCRIBE", "SETUP", "PLAY"] {
        let camera = Camera::builder().start().await;
        camera.fault(Fault::Delay(step, Duration::from_secs(60)));
        let relay = relay(&camera.url()).await;
        eventually("the step is asked for", Duration::from_secs(10), || {
            camera.requests().iter().any(|request| request.method == step)
        })
        .await;
        assert_eq!(relay.shutdown(Duration::from_secs(8)).await, 0, "{step}");
    }
}

#[tokio::test]
async fn a_stream_that_was_replaced_stays_stopped() {
    let camera = Camera::builder().h264(50).gop(5).start().await;
    let relay = relay(&camera.url()).await;
    relay.live("cam").await;
    let old = relay.stream("cam");
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    viewer.packets(0, 5).await;
    // Two sources for a moment: the old one goes on publishing into a stream that has ended.
    relay.add("cam", camera_settings(&camera.url()));
    viewer.ended().await;
    relay.live("cam").await;
    old.request_reconnect();
    camera.until("the old one reconnects", |c| c.sessions_total >= 3 && c.playing == 2).await;
    assert!(old.is_closed());
    assert_eq!(old.status().borrow().phase, Phase::Stopped);
    assert_eq!(relay.metric("fanlight_source_state{state=\"live\",stream=\"cam\"}"), 1.0);
    assert_eq!(relay.metric("fanlight_source_state{state=\"stopped\",stream=\"cam\"}"), 0.0);
}
