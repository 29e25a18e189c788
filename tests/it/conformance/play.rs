//! Cases a5, A89 to A101: PLAY, PAUSE, TEARDOWN.

use std::time::Duration;

use tokio::time::sleep;

use super::{assert_usable, bring_to, described, ready, scene, scene_of};
use crate::support::audio::Audio;
use crate::support::camera::Camera;
use crate::support::relay::Relay;
use crate::support::rtp::Rtp;
use crate::support::viewer::{Answer, Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually};

/// The packet is the one that `RTP-Info` announced for this track.
#[track_caller]
fn assert_announced(answer: &Answer, track: usize, packet: &Rtp) {
    let infos = answer.rtp_info();
    let info = infos.iter().find(|info| info.url.ends_with(&format!("/trackID={track}"))).expect("the track");
    assert_eq!((info.sequence, info.rtptime), (packet.sequence, packet.timestamp), "track {track}");
}

/// A89, A90. Decided: 454 without a session, in every state of the connection; 455 has nothing to say here, since a
/// session in INIT is never told to a client.
#[tokio::test]
async fn requests_that_need_a_session_are_refused_without_one() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for state in ["init", "ready", "playing"] {
        bring_to(&mut viewer, state).await;
        let session = viewer.session.take();
        for method in ["PLAY", "PAUSE", "TEARDOWN"] {
            let url = viewer.base.clone();
            assert_eq!(viewer.request(method, &url, &[]).await.status, 454, "{method} in {state}");
        }
        viewer.session = session;
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A91, A92. A camera whose every frame is a key frame has something to send at any moment.
#[tokio::test]
async fn the_answer_to_play_comes_before_the_first_packet_and_announces_it() {
    let camera = Camera::builder().h264(100).gop(1).packets_per_frame(2).audio(Audio::Pcmu).start().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    for _ in 0..20 {
        let mut viewer = ready(&relay).await;
        let answer = viewer.play().await.ok();
        assert_eq!(viewer.unread().count(), 0, "media before the answer");
        for track in 0..2 {
            let packet = viewer.next_rtp(track).await;
            assert_announced(&answer, track, &packet);
        }
    }
}

/// A91, A92 over UDP, where nothing but the server keeps the order: at a thousand pictures a second there is always one
/// in the moment before the answer is written.
#[tokio::test]
async fn the_answer_to_play_comes_before_the_first_datagram_and_announces_it() {
    let camera = Camera::builder().h264(1000).gop(1).packets_per_frame(1).packet_size(200).audio(Audio::Pcmu);
    let camera = camera.start().await;
    let relay = Relay::builder().camera("cam", &camera.url()).start().await;
    for _ in 0..60 {
        let mut viewer = described(&relay).await;
        for track in 0..2 {
            viewer.setup_udp(track).await.ok();
        }
        let url = viewer.base.clone();
        viewer.send("PLAY", &url, &[]).await;
        let packet = viewer.next_datagram(0).await;
        let answer = viewer.answer_now().expect("media before the answer");
        assert_announced(&answer, 0, &packet);
        assert_announced(&answer, 1, &viewer.next_rtp(1).await);
        viewer.teardown().await.ok(); // or the next one may be given ports that this one still has
    }
}

/// A92: two entries, in the words of the client, in the order of the tracks.
#[tokio::test]
async fn rtp_info_has_an_entry_for_each_track() {
    let (_camera, relay) = scene().await;
    let (_, answer) = Viewer::play_tcp(&relay.url("cam")).await;
    let urls: Vec<String> = answer.rtp_info().into_iter().map(|info| info.url).collect();
    assert_eq!(urls, [relay.url("cam/trackID=0"), relay.url("cam/trackID=1")]);
    assert_eq!(answer.header("Range"), Some("npt=now-"));
}

/// A93.
#[tokio::test]
async fn play_is_taken_on_every_form_of_the_aggregate() {
    let (_camera, relay) = scene().await;
    for path in ["cam", "cam/", "cam?q=1", "cam?q=1/", "cam/?q=1"] {
        let mut viewer = ready(&relay).await;
        viewer.request("PLAY", &relay.url(path), &[]).await.ok();
        viewer.next_rtp(0).await;
        viewer.request("PAUSE", &relay.url(path), &[]).await.ok();
        viewer.request("GET_PARAMETER", &relay.url(path), &[]).await.ok();
        viewer.request("TEARDOWN", &relay.url(path), &[]).await.ok();
    }
    let mut viewer = ready(&relay).await;
    viewer.request("PLAY", "*", &[]).await.ok();
}

/// A94. Decided: they act on the track, as VLC needs; the session ends with its last track.
#[tokio::test]
async fn one_track_may_be_played_paused_and_torn_down() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    let tracks = [viewer.control(0), viewer.control(1)];
    let answer = viewer.request("PLAY", &tracks[1], &[]).await.ok();
    assert_eq!(answer.rtp_info().len(), 1);
    assert_announced(&answer, 1, &viewer.next_rtp(1).await);
    viewer.packets(1, 5).await;
    assert!(viewer.unread().all(|packet| packet.channel >= 2));
    let answer = viewer.request("PLAY", &tracks[0], &[]).await.ok();
    assert_eq!(answer.rtp_info().len(), 2);
    assert_announced(&answer, 0, &viewer.next_rtp(0).await);
    viewer.request("PAUSE", &tracks[0], &[]).await.ok();
    assert_no_gap(&viewer.packets(1, 20).await);
    viewer.request("TEARDOWN", &tracks[0], &[]).await.ok();
    assert_eq!(viewer.request("PLAY", &tracks[0], &[]).await.status, 404);
    assert_no_gap(&viewer.packets(1, 20).await);
    viewer.request("TEARDOWN", &tracks[1], &[]).await.ok();
    assert_eq!(viewer.get_parameter().await.status, 454);
    assert!(relay.stream("cam").viewers().is_empty());
    assert_usable(&mut viewer).await;
}

/// A94, A92: a track that begins late is announced with the numbers it begins with.
#[tokio::test]
async fn a_track_that_is_played_later_begins_as_announced() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    let tracks = [viewer.control(0), viewer.control(1)];
    viewer.request("PLAY", &tracks[0], &[]).await.ok();
    // Far more than what counts as starting together.
    viewer.packets(0, 150).await;
    let answer = viewer.request("PLAY", &tracks[1], &[]).await.ok();
    assert_announced(&answer, 1, &viewer.next_rtp(1).await);
}

/// A95. The stream is live, so it plays now whatever was asked for; only what cannot be read is refused.
#[tokio::test]
async fn a_range_is_read_and_answered_with_what_is_played() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    let digits = format!("npt={}-", "9".repeat(10_000));
    for (range, status) in [
        ("npt=0-", 200),
        ("npt=0.000-", 200),
        ("npt=now-", 200),
        ("npt=0.000-12.000", 200),
        ("npt=0:00:05-", 200),
        ("clock=19960213T143205Z-", 200),
        ("smpte=0:10:00-", 200),
        ("npt=abc", 457),
        ("npt=20-10", 457),
        ("clock=", 457),
        ("bytes=0-1", 457),
        (digits.as_str(), 457),
    ] {
        let url = viewer.base.clone();
        let answer = viewer.request("PLAY", &url, &[("Range", range)]).await;
        assert_eq!(answer.status, status, "{}", &range[..range.len().min(40)]);
        if status == 200 {
            assert_eq!(answer.header("Range"), Some("npt=now-"));
        }
    }
    assert_no_gap(&viewer.packets(0, 30).await);
}

/// A96. The sequence number announced is the next packet's; `rtptime` is the present, as the `Range: npt=now-` beside it
/// says, since the next packet's is not known yet.
#[tokio::test]
async fn play_while_playing_changes_nothing() {
    let (_camera, relay) = scene().await;
    for udp in [false, true] {
        let url = relay.url("cam");
        let (mut viewer, _) = if udp { Viewer::play_udp(&url).await } else { Viewer::play_tcp(&url).await };
        let before = viewer.packets(0, 10).await;
        let answer = viewer.play().await.ok();
        let after = viewer.packets(0, 60).await;
        assert_no_gap(before.iter().chain(&after));
        let info = &answer.rtp_info()[0];
        if !udp {
            let last = before.last().unwrap();
            let sent = info.sequence.wrapping_sub(last.sequence);
            assert!((1..50).contains(&sent), "{sent} after {last:?}");
        }
        let next = after.iter().find(|packet| packet.sequence == info.sequence).expect("it is sent");
        let apart = next.timestamp.wrapping_sub(info.rtptime).cast_signed();
        assert!(apart.abs() < 90_000, "{apart} ticks from the present");
        assert!(relay.stream("cam").viewers().len() <= 2);
    }
}

/// A97. The sequence goes on; the first packet, of a key frame, carries what `RTP-Info` announced.
#[tokio::test]
async fn play_after_pause_goes_on_as_announced() {
    let (_camera, relay) = scene().await;
    for udp in [false, true] {
        let url = relay.url("cam");
        let (mut viewer, _) = if udp { Viewer::play_udp(&url).await } else { Viewer::play_tcp(&url).await };
        let mut last = [0; 2];
        for round in 0..3 {
            for (track, last) in last.iter_mut().enumerate() {
                *last = viewer.packets(track, 10).await.last().unwrap().sequence;
            }
            viewer.pause().await.ok();
            // Whatever was under way has come.
            sleep(Duration::from_millis(if round == 1 { 700 } else { 50 })).await;
            for (track, last) in last.iter_mut().enumerate() {
                while let Some(packet) = viewer.anything_on(2 * track as u8, Duration::ZERO).await {
                    *last = Rtp::parse(&packet).sequence;
                }
            }
            let answer = viewer.play().await.ok();
            for (track, last) in last.iter().enumerate() {
                let packet = viewer.next_rtp(track).await;
                assert_announced(&answer, track, &packet);
                assert_eq!(packet.sequence, last.wrapping_add(1), "track {track}, udp: {udp}");
            }
        }
    }
}

/// A97, track by track as VLC does it.
#[tokio::test]
async fn tracks_paused_and_played_one_by_one_go_on_as_announced() {
    let (_camera, relay) = scene().await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let tracks = [viewer.control(0), viewer.control(1)];
    viewer.packets(0, 20).await;
    for track in &tracks {
        viewer.request("PAUSE", track, &[]).await.ok();
    }
    // Longer than what counts as starting together.
    sleep(Duration::from_millis(700)).await;
    for track in 0..2 {
        while viewer.anything_on(2 * track, Duration::ZERO).await.is_some() {}
    }
    for (track, url) in tracks.iter().enumerate() {
        let answer = viewer.request("PLAY", url, &[]).await.ok();
        assert_announced(&answer, track, &viewer.next_rtp(track).await);
    }
}

/// A97: a track that is paused while another plays comes back in step with it.
#[tokio::test]
async fn a_track_that_comes_back_is_in_step_with_the_others() {
    let (_camera, relay) = scene().await;
    let (mut viewer, answer) = Viewer::play_tcp(&relay.url("cam")).await;
    let video = viewer.control(0);
    let infos = answer.rtp_info();
    viewer.packets(0, 20).await;
    viewer.request("PAUSE", &video, &[]).await.ok();
    viewer.packets(1, 60).await;
    while viewer.anything_on(0, Duration::ZERO).await.is_some() {}
    let answer = viewer.request("PLAY", &video, &[]).await.ok();
    let packet = viewer.next_rtp(0).await;
    assert_eq!(answer.rtp_info()[0].sequence, packet.sequence);
    let sound =
        viewer.unread().filter(|packet| packet.channel == 2).last().map(|packet| Rtp::parse(&packet.data));
    let sound = match sound {
        Some(sound) => sound,
        None => viewer.next_rtp(1).await,
    };
    let since = |timestamp: u32, start: u32, clock: f64| f64::from(timestamp.wrapping_sub(start)) / clock;
    let apart = since(packet.timestamp, infos[0].rtptime, 90_000.0)
        - since(sound.timestamp, infos[1].rtptime, 8_000.0);
    assert!(apart.abs() < 0.4, "video and sound are {apart} s apart");
}

/// A98. Decided: 200, as nothing has to change.
#[tokio::test]
async fn pause_before_play_is_fine() {
    let (_camera, relay) = scene().await;
    let mut viewer = ready(&relay).await;
    viewer.pause().await.ok();
    viewer.play().await.ok();
    viewer.pause().await.ok();
    viewer.pause().await.ok();
    viewer.play().await.ok();
    viewer.next_rtp(0).await;
}

/// A99.
#[tokio::test]
async fn nothing_comes_after_teardown() {
    let (_camera, relay) = scene().await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    viewer.packets(0, 10).await;
    viewer.teardown().await.ok();
    while viewer.anything_on(0, Duration::ZERO).await.is_some() {}
    assert!(viewer.anything_on(0, Duration::from_millis(200)).await.is_none());
    assert_eq!(viewer.get_parameter().await.status, 454);
    assert_usable(&mut viewer).await;

    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    viewer.packets(0, 10).await;
    viewer.teardown().await.ok();
    while viewer.anything_on(0, Duration::from_millis(20)).await.is_some() {}
    assert!(viewer.anything_on(0, Duration::from_millis(200)).await.is_none());
    assert_eq!(viewer.get_parameter().await.status, 454);
    assert_usable(&mut viewer).await;
    eventually("nobody watches", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
}

/// A99, A87: who tears down and begins again at once has its ports back, every time.
#[tokio::test]
async fn ports_are_free_as_soon_as_teardown_is_answered() {
    let (_camera, relay) = scene().await;
    let mut viewer = described(&relay).await;
    for _ in 0..100 {
        viewer.session = None;
        viewer.setup(0, "RTP/AVP;unicast;client_port=21500-21501").await.ok();
        viewer.teardown().await.ok();
    }
}

/// A100: ffmpeg's way to leave.
#[tokio::test]
async fn teardown_and_reset_leave_nothing() {
    let (_camera, relay) = scene().await;
    for _ in 0..10 {
        let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
        viewer.next_rtp(0).await;
        let url = viewer.base.clone();
        viewer.send("TEARDOWN", &url, &[]).await;
        viewer.reset();
    }
    eventually("nobody watches", PATIENCE, || relay.stream("cam").viewers().is_empty()).await;
}

/// A101.
#[tokio::test]
async fn teardown_of_an_expired_session_is_refused() {
    let (_camera, relay) = scene_of(Duration::from_secs(1)).await;
    let (mut gone, _) = Viewer::play_udp(&relay.url("cam")).await;
    let (mut other, _) = Viewer::play_tcp(&relay.url("cam")).await;
    eventually("the silent one is gone", PATIENCE, || relay.stream("cam").viewers().len() == 1).await;
    let mut again = Viewer::open(&relay.url("cam")).await;
    again.session = gone.session.take();
    assert_eq!(again.teardown().await.status, 454);
    other.teardown().await.ok();
}
