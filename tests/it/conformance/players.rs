//! The requests of real players, header by header as they were recorded (ffmpeg 5.1, GStreamer 1.22, live555's openRTSP
//! 2026.06) or as their sources say (VLC 3, ExoPlayer), with the status that keeps each of them going. What they send
//! stands in [`super::scripts`].

use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::scripts::*;
use super::{camera, scene, scene_of, scene_without_udp};
use crate::support::relay::Relay;
use crate::support::viewer::{Answer, Viewer, assert_no_gap};
use crate::support::{PATIENCE, within};

/// A player that follows scripts.
#[derive(Debug)]
struct Player {
    viewer: Viewer,
    url: String,
    session: String,
    /// RTP and RTCP of each track.
    udp: [(UdpSocket, UdpSocket); 2],
}

impl Player {
    async fn open(relay: &Relay) -> Self {
        Self::with(relay, [udp_pair().await, udp_pair().await]).await
    }

    async fn with(relay: &Relay, udp: [(UdpSocket, UdpSocket); 2]) -> Self {
        let url = relay.url("cam");
        let viewer = Viewer::open(&url).await;
        Self { viewer, url, session: String::new(), udp }
    }

    async fn follow(&mut self, script: &str) {
        for line in script.trim().lines() {
            let answer = self.step(line).await;
            if answer.status == 200
                && let Some(session) = answer.header("Session")
            {
                self.session = session.split(';').next().unwrap().to_owned();
            }
        }
    }

    async fn step(&mut self, line: &str) -> Answer {
        let (request, status) = line.rsplit_once(" => ").unwrap();
        let ports = |track: usize| {
            let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
            format!("{}-{}", port(&self.udp[track].0), port(&self.udp[track].1))
        };
        let request = request
            .replace("{base}", &format!("{}/", self.url))
            .replace("{root}", self.url.trim_end_matches("cam"))
            .replace("{url}", &self.url)
            .replace("{session}", &self.session)
            .replace("{udp0}", &ports(0))
            .replace("{udp1}", &ports(1));
        let (first, headers) = request.split_once(" | ").unwrap();
        let text = format!("{first} RTSP/1.0\r\n{}\r\n\r\n", headers.replace(" | ", "\r\n"));
        self.viewer.send_raw(text).await;
        let answer = self.viewer.read_answer().await;
        let cseq = headers.split(" | ").find_map(|header| header.strip_prefix("CSeq: "));
        assert_eq!((answer.status.to_string().as_str(), answer.header("CSeq")), (status, cseq), "{request}");
        answer
    }

    /// Pictures and sound come over TCP.
    async fn sees(&mut self) {
        for track in 0..2 {
            assert_no_gap(&self.viewer.packets(track, 10).await);
        }
    }

    /// Pictures and sound come over UDP, after the player has punched its holes.
    async fn sees_udp(&mut self) {
        for (rtp, _) in &self.udp {
            let mut packet = [0; 2048];
            for _ in 0..10 {
                within("a packet over udp", PATIENCE, rtp.recv(&mut packet)).await.unwrap();
            }
        }
    }
}

async fn udp_pair() -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1)).await
        {
            return (rtp, rtcp);
        }
    }
}

#[tokio::test]
async fn ffmpeg_plays_over_udp() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(FFMPEG_UDP).await;
    player.sees_udp().await;
    player.follow(FFMPEG_ALIVE).await;
    player.viewer.reset();
}

#[tokio::test]
async fn ffmpeg_plays_over_tcp() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(FFMPEG_TCP).await;
    player.sees().await;
    player.follow(FFMPEG_ALIVE).await;
    player.viewer.reset();
}

#[tokio::test]
async fn ffmpeg_falls_back_to_tcp() {
    let (_camera, relay) = scene_without_udp().await;
    let mut player = Player::open(&relay).await;
    player.follow(FFMPEG_WITHOUT_UDP).await;
    player.sees().await;
}

/// A83 (i).
#[tokio::test]
async fn ffmpeg_goes_over_to_tcp_when_udp_stays_silent() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(FFMPEG_UDP).await;
    player.follow(FFMPEG_AFTER_SILENCE).await;
    player.sees().await;
    player.follow(FFMPEG_ALIVE).await;
}

#[tokio::test]
async fn ffmpeg_plays_a_url_with_a_query() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(FFMPEG_QUERY).await;
    player.sees().await;
}

#[tokio::test]
async fn gstreamer_plays_over_udp() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(GST_OPTIONS).await;
    player.follow(GST_UDP).await;
    player.sees_udp().await;
    player.follow(GST_ALIVE).await;
}

#[tokio::test]
async fn gstreamer_plays_over_tcp_and_sends_reports() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(GST_OPTIONS).await;
    player.follow(GST_TCP).await;
    player.sees().await;
    let report = [&[0x81, 0xc9, 0, 7, 0x11, 0xbf, 0x0d, 0x32][..], &[0; 24]].concat();
    player.viewer.send_interleaved(1, &report).await;
    player.viewer.send_interleaved(3, &report).await;
    player.sees().await;
}

/// A69.
#[tokio::test]
async fn gstreamer_falls_back_to_tcp() {
    let (_camera, relay) = scene_without_udp().await;
    let mut player = Player::open(&relay).await;
    player.follow(GST_OPTIONS).await;
    player.follow(GST_WITHOUT_UDP).await;
    player.sees().await;
}

/// It hears nothing over UDP for 5 s, tears down, and comes again over TCP.
#[tokio::test]
async fn gstreamer_comes_again_over_tcp_when_udp_stays_silent() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(GST_OPTIONS).await;
    player.follow(GST_UDP).await;
    player.follow(GST_ALIVE).await;
    let mut player = Player::with(&relay, player.udp).await;
    player.follow(GST_OPTIONS).await;
    player.follow(GST_TCP).await;
    player.sees().await;
}

/// A75.
#[tokio::test]
async fn gstreamer_asks_again_for_a_track_that_was_not_found() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(GST_OPTIONS).await;
    player.follow(GST_RETRY).await;
    player.sees().await;
}

#[tokio::test]
async fn live555_plays_over_udp() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(LIVE555_UDP).await;
    player.sees_udp().await;
    player.follow(LIVE555_TEARDOWN).await;
}

#[tokio::test]
async fn live555_plays_a_url_with_a_query() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(LIVE555_QUERY).await;
    player.sees().await;
    player.follow(LIVE555_TEARDOWN).await;
}

#[tokio::test]
async fn live555_is_told_that_there_is_no_udp() {
    let (_camera, relay) = scene_without_udp().await;
    Player::open(&relay).await.follow(LIVE555_WITHOUT_UDP).await;
}

/// A94. Over TCP it sends no keep-alive: A107 with VLC's requests.
#[tokio::test]
async fn vlc_plays_track_by_track_and_sends_no_keep_alive() {
    let camera = camera().await;
    let relay = Relay::builder().camera("cam", &camera.url()).without_udp();
    let relay = relay.settings(|settings| settings.session_timeout = Duration::from_secs(1)).start().await;
    let mut player = Player::open(&relay).await;
    player.follow(VLC_WITHOUT_UDP).await;
    player.sees().await;
    // 1.6 s.
    player.viewer.packets(0, 240).await;
    player.follow(VLC_PAUSE).await;
    player.sees().await;
    player.follow(VLC_TEARDOWN).await;
}

/// VLC gives up after five seconds. How long the server waits for a source is its setting; the answer comes at that time.
#[tokio::test]
async fn vlc_s_patience_is_enough_for_a_dead_source() {
    let dead = camera().await;
    dead.refuse().await;
    let relay = Relay::builder().camera("cam", &dead.url());
    let relay = relay.settings(|settings| settings.describe_timeout = Duration::from_secs(2)).start().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let asked = Instant::now();
    assert_eq!(viewer.describe().await.status, 503);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

/// A83 (ii).
#[tokio::test]
async fn exoplayer_comes_back_over_tcp_with_setup_at_once() {
    let (_camera, relay) = scene().await;
    let mut player = Player::open(&relay).await;
    player.follow(EXOPLAYER_UDP).await;
    let mut player = Player::with(&relay, player.udp).await;
    player.follow(EXOPLAYER_AFTER_SILENCE).await;
    player.sees().await;
}

/// A108: half the advertised time is the pace of ffmpeg, VLC and media3.
#[tokio::test]
async fn a_player_that_pings_at_half_time_stays() {
    let (_camera, relay) = scene_of(Duration::from_millis(1500)).await;
    let mut player = Player::open(&relay).await;
    player.follow(FFMPEG_UDP).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(750)).await;
        player.step("GET_PARAMETER {base} | CSeq: 6 | Session: {session} => 200").await;
    }
    player.sees_udp().await;
}
