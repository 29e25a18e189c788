//! Cases a3: DESCRIBE, and the URLs that players make of its answer.

use std::time::{Duration, Instant};

use super::{assert_usable, camera, described, ready, scene};
use crate::support::camera::{Camera, Close};
use crate::support::relay::Relay;
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually, sdp};

/// A51: the only two forms with which all players build right SETUP URLs; ours is the one without a query and with a
/// slash at its end.
#[tokio::test]
async fn the_base_of_the_tracks_has_a_slash_and_no_query() {
    let (_camera, relay) = scene().await;
    for url in [relay.url("cam"), relay.url("cam/"), relay.url("cam?ch=1&sub=0"), relay.url("cam/?ch=1")] {
        let mut viewer = Viewer::open(&url).await;
        let answer = viewer.describe().await.ok();
        assert_eq!(answer.header("Content-Type"), Some("application/sdp"));
        assert_eq!(answer.header("Content-Length"), Some(answer.body.len().to_string().as_str()));
        assert_eq!(answer.header("Content-Base"), Some(format!("{}/", relay.url("cam")).as_str()), "{url}");
        // Nothing follows the body.
        assert_usable(&mut viewer).await;
    }
}

/// A52.
#[tokio::test]
async fn a_stream_that_does_not_exist_is_not_found() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("nothing")).await;
    assert_eq!(viewer.describe().await.status, 404);
    viewer.url = relay.url("cam");
    viewer.describe().await.ok();
}

/// A53.
#[tokio::test]
async fn a_client_that_takes_no_sdp_is_told_that_there_is_nothing_else() {
    let (_camera, relay) = scene().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let url = relay.url("cam");
    for (accept, status) in [
        ("text/plain", 406),
        ("application/sdp", 200),
        ("text/plain, Application/SDP;level=2", 200),
        ("application/*", 200),
        ("*/*", 200),
        ("", 200),
    ] {
        assert_eq!(
            viewer.request("DESCRIBE", &url, &[("Accept", accept)]).await.status,
            status,
            "{accept:?}"
        );
    }
    viewer.request("DESCRIBE", &url, &[]).await.ok();
}

/// A54.
#[tokio::test]
async fn a_client_may_describe_two_streams_and_set_up_the_second() {
    let (first, second) = (camera().await, camera().await);
    let relay = Relay::builder().camera("main", &first.url()).camera("sub", &second.url()).start().await;
    let mut viewer = Viewer::open(&relay.url("main")).await;
    viewer.describe().await.ok();
    viewer.url = relay.url("sub");
    viewer.describe().await.ok();
    viewer.setup_tcp(0).await.ok();
    viewer.play().await.ok();
    viewer.next_rtp(0).await;
    assert_eq!((relay.stream("main").viewers().len(), relay.stream("sub").viewers().len()), (0, 1));
}

/// A55.
#[tokio::test]
async fn describe_does_not_disturb_a_viewer_in_play() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    viewer.play().await.ok();
    for _ in 0..20 {
        viewer.describe().await.ok();
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A56, and VLC's patience of five seconds: whatever `describe_timeout` is, the answer comes when it has passed, 503
/// with the reason; nobody else waits.
#[tokio::test]
async fn a_dead_source_holds_up_only_those_who_ask_for_it() {
    let (good, dead) = (camera().await, camera().await);
    dead.refuse().await;
    let relay = Relay::builder()
        .camera("cam", &good.url())
        .camera("dead", &dead.url())
        .settings(|settings| settings.describe_timeout = Duration::from_secs(1))
        .start()
        .await;
    let mut waiting = Viewer::open(&relay.url("dead")).await;
    let asked = Instant::now();
    waiting.send("DESCRIBE", &relay.url("dead"), &[]).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    viewer.next_rtp(0).await;
    assert!(waiting.answer_now().is_none() || asked.elapsed() >= Duration::from_secs(1));
    let answer = waiting.read_answer().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("Retry-After"), Some("5"));
    assert!(answer.text().starts_with("the source of dead is not available: refused"), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(4));
    waiting.url = relay.url("cam");
    waiting.describe().await.ok();
}

/// A56: a server that is told to stop does not wait for a source first.
#[tokio::test]
async fn a_server_stops_while_somebody_waits_for_a_source() {
    let dead = camera().await;
    dead.refuse().await;
    let relay = Relay::builder()
        .camera("dead", &dead.url())
        .settings(|settings| settings.describe_timeout = Duration::from_secs(60))
        .start()
        .await;
    let mut viewer = Viewer::open(&relay.url("dead")).await;
    viewer.send("DESCRIBE", &relay.url("dead"), &[]).await;
    // Its waiting shows in the demand for the source.
    let stream = relay.stream("dead");
    eventually("somebody waits", PATIENCE, || *stream.demand().borrow() > 0).await;
    assert_eq!(relay.shutdown(Duration::from_secs(5)).await, 0);
    viewer.ended().await;
}

/// A57, B29. Decided: a client that goes on with the tracks of an earlier description is told that its session is gone
/// (454), and has to describe again; so no packet reaches a player that was told of another codec.
#[tokio::test]
async fn setup_by_a_description_that_has_changed_is_refused() {
    let (camera, relay) = scene().await;
    let mut half_way = described(&relay).await;
    half_way.setup_tcp(0).await.ok();
    let mut before_setup = described(&relay).await;
    let mut udp = described(&relay).await;
    udp.setup_udp(0).await.ok();
    let old = half_way.sdp.clone();
    camera.change_to_h265();
    camera.drop_connections(Close::Fin).await;
    let mut newcomer = Viewer::open(&relay.url("cam")).await;
    let changed = tokio::time::timeout(PATIENCE, async {
        loop {
            if newcomer.describe().await.status == 200 && newcomer.sdp != old {
                return;
            }
        }
    });
    changed.await.expect("the new description");
    assert_eq!(half_way.setup_tcp(1).await.status, 454);
    assert_eq!(udp.setup_udp(1).await.status, 454);
    assert_eq!(before_setup.setup_tcp(0).await.status, 454);
    assert_eq!(udp.get_parameter().await.status, 454);
    for viewer in [&mut half_way, &mut before_setup] {
        viewer.session = None;
        viewer.describe().await.ok();
        viewer.setup_tcp(0).await.ok();
        viewer.play().await.ok();
        viewer.next_rtp(0).await;
    }
}

/// A58.
#[tokio::test]
async fn every_track_has_a_control_and_no_address_of_the_camera_is_told() {
    let (camera, relay) = scene().await;
    let viewer = described(&relay).await;
    let lines: Vec<&str> = viewer.sdp.lines().collect();
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (count("v="), count("o="), count("s="), count("t="), count("c="), count("m=")),
        (1, 1, 1, 1, 1, 2)
    );
    assert_eq!(lines.iter().find(|line| line.starts_with("o=")).unwrap().split(' ').count(), 6);
    for track in 0..2 {
        let media = sdp::media(&viewer.sdp, track).unwrap();
        assert_eq!(media.iter().filter(|line| line.starts_with("a=control:")).count(), 1);
        assert_eq!(sdp::attribute(&viewer.sdp, track, "control").unwrap(), format!("trackID={track}"));
    }
    assert!(!viewer.sdp.contains(&camera.address().port().to_string()), "{}", viewer.sdp);
}

/// A59. The URLs that ffmpeg, GStreamer and live555 make of the same description, for names with and without a slash
/// in them, and with no name at all where there is only one stream.
#[tokio::test]
async fn a_track_is_found_wherever_players_put_it() {
    let camera = Camera::builder().h264(50).gop(10).start().await;
    for name in ["cam", "yard/cam"] {
        let relay = Relay::builder().camera(name, &camera.url()).start().await;
        let root = relay.url("");
        for path in [
            format!("{name}/trackID=0"),
            format!("{name}?a=b/trackID=0"),
            format!("{name}/trackID=0?a=b"),
            format!("{name}/?a=b/trackID=0"),
            format!("{name}/"),
            format!("{name}?a=b/"),
            format!("{name}/?a=b"),
            name.to_owned(),
            "trackID=0".into(),
            "?a=b/trackID=0".into(),
            String::new(),
            "/".into(),
            "//trackID=0".into(),
        ] {
            let mut viewer = Viewer::open(&relay.url(name)).await;
            let url = format!("{root}{path}");
            let transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");
            let answer = viewer.request("SETUP", &url, &[transport]).await;
            assert_eq!(answer.status, 200, "SETUP {url}");
            let session = answer.header("Session").unwrap().to_owned();
            let aggregate = url.replace("/trackID=0", "").replace("trackID=0", "");
            let answer = viewer.request("PLAY", &aggregate, &[("Session", &session)]).await;
            assert_eq!(answer.status, 200, "PLAY {aggregate}");
            viewer.next_rtp(0).await;
        }
    }
}
