//! The support code proves itself before it judges the relay: the viewer plays the camera directly, and so does
//! `retina`, the library the relay pulls cameras with.

use std::time::Duration;

use futures_util::StreamExt as _;

use crate::support::camera::{Audio, Camera, Close, Fault, Numbering};
use crate::support::h264::Delivery;
use crate::support::rtp::{Rtcp, Rtp, receiver_report};
use crate::support::viewer::{Ended, Viewer, assert_no_gap, stamps};
use crate::support::{digest, eventually, sdp};

#[tokio::test]
async fn a_viewer_over_tcp_gets_every_packet_in_order() {
    let camera = Camera::builder().gop(4).packets_per_frame(3).manual().start().await;
    let (mut viewer, answer) = Viewer::play_tcp(&camera.url()).await;
    camera.frames(9).await;
    expect_frames(&mut viewer, &camera, 9, &answer.rtp_info()[0]).await;
}

#[tokio::test]
async fn a_viewer_over_udp_gets_every_packet_in_order() {
    let camera = Camera::builder().gop(4).packets_per_frame(3).manual().start().await;
    let (mut viewer, answer) = Viewer::play_udp(&camera.url()).await;
    camera.frames(9).await;
    expect_frames(&mut viewer, &camera, 9, &answer.rtp_info()[0]).await;
    viewer.send_rtcp(0, &receiver_report(1)).await;
    camera.until("the receiver report has come", |c| c.reports == 1).await;
}

/// Frames from 0 on, byte for byte, from the sequence number and timestamp that PLAY promised.
async fn expect_frames(
    viewer: &mut Viewer,
    camera: &Camera,
    n: u32,
    promised: &crate::support::viewer::RtpInfo,
) {
    let mut all: Vec<Rtp> = Vec::new();
    for number in 0..n {
        let frame = viewer.next_frame().await;
        let key = number % 4 == 0;
        let payloads: Vec<Vec<u8>> = frame.iter().map(|packet| packet.payload.clone()).collect();
        assert_eq!(payloads, camera.payloads_of(number, key));
        assert_eq!(frame[0].timestamp, promised.rtptime.wrapping_add(number * 3600));
        assert!(stamps(&frame).iter().all(|stamp| stamp.frame == number && stamp.key == key));
        all.extend(frame);
    }
    assert_eq!(all[0].sequence, promised.sequence);
    assert_no_gap(&all);
}

#[tokio::test]
async fn sender_reports_agree_with_the_rtp_clock() {
    let camera = Camera::builder().audio(Audio::Pcmu).clock_ahead(3600.0).manual().start().await;
    let (mut viewer, answer) = Viewer::play_tcp(&camera.url()).await;
    camera.frames(26).await; // one second and a frame: two reports a track
    for (track, clock) in [(0, 90_000), (1, 8_000)] {
        let first = viewer.next_report(track).await;
        let second = viewer.next_report(track).await;
        let promised = &answer.rtp_info()[track];
        assert_eq!(first.timestamp, promised.rtptime);
        assert_eq!(second.timestamp.wrapping_sub(first.timestamp), clock);
        assert!((second.unix_seconds() - first.unix_seconds() - 1.0).abs() < 1e-3);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((first.unix_seconds() - now - 3600.0).abs() < 10.0, "an hour ahead");
        let packets = viewer.packets(track, second.packets as usize).await;
        let octets: usize = packets.iter().map(|packet| packet.payload.len()).sum();
        assert_eq!(second.octets as usize, octets);
    }
}

#[tokio::test]
async fn a_camera_without_sender_reports_sends_none() {
    let camera = Camera::builder().without_sender_reports().manual().start().await;
    let (mut viewer, _) = Viewer::play_tcp(&camera.url()).await;
    camera.frames(30).await;
    viewer.packets(0, 30 * 6).await;
    assert!(viewer.unread().all(|packet| packet.channel == 0));
}

#[tokio::test]
async fn both_audio_codecs_come_on_their_own_track_and_clock() {
    for (audio, samples) in [(Audio::Pcmu, 160), (Audio::Aac, 1024)] {
        let camera = Camera::builder().audio(audio).manual().start().await;
        let (mut viewer, answer) = Viewer::play_tcp(&camera.url()).await;
        camera.frames(10).await;
        let packets = viewer.packets(1, 10).await;
        assert_no_gap(&packets);
        for (i, packet) in packets.iter().enumerate() {
            assert_eq!(packet.payload, audio.payload(i as u32));
            assert_eq!(packet.timestamp, answer.rtp_info()[1].rtptime.wrapping_add(i as u32 * samples));
        }
    }
}

#[tokio::test]
async fn frames_come_in_real_time_when_nobody_pushes_them() {
    let started = std::time::Instant::now();
    let camera = Camera::builder().h264(100).packets_per_frame(1).start().await;
    let (mut viewer, _) = Viewer::play_tcp(&camera.url()).await;
    for _ in 0..50 {
        let number = viewer.next_frame().await[0].stamp().unwrap().frame;
        assert!(
            started.elapsed() >= Duration::from_millis(10) * number,
            "frame {number} came before its time"
        );
    }
}

#[tokio::test]
async fn teardown_and_bye_are_seen_on_both_sides() {
    let camera = Camera::builder().manual().start().await;
    let (mut viewer, _) = Viewer::play_tcp(&camera.url()).await;
    camera.frame().await;
    camera.bye();
    let ssrc = viewer.next_rtp(0).await.ssrc;
    viewer.next_report(0).await;
    assert!(viewer.next_rtcp(0).await.contains(&Rtcp::Bye { ssrc }));
    assert_eq!((camera.sessions_open(), camera.teardowns()), (1, 0));
    viewer.teardown().await.ok();
    assert_eq!((camera.sessions_open(), camera.sessions_total(), camera.teardowns()), (0, 1, 1));
    assert_eq!(camera.counts().playing, 0);
    let methods: Vec<String> = camera.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]);
}

#[tokio::test]
async fn every_session_has_its_own_numbers() {
    let camera = Camera::builder().manual().start().await;
    camera.number_sessions_from(Numbering {
        ssrc: Some(7),
        sequence: Some(65_534),
        timestamp: Some(u32::MAX),
    });
    let (mut first, _) = Viewer::play_tcp(&camera.url()).await;
    camera.number_sessions_from(Numbering::default());
    let (mut second, _) = Viewer::play_tcp(&camera.url()).await;
    camera.frames(2).await;
    let packets = first.packets(0, 4).await;
    assert_no_gap(&packets);
    let packet = &packets[3];
    assert_eq!((packet.ssrc, packet.sequence, packet.timestamp), (7, 1, u32::MAX));
    assert_ne!(second.next_rtp(0).await.ssrc, 7);
    camera.renumber(Numbering { ssrc: Some(9), ..Numbering::default() });
    camera.frame().await;
    first.next_frame().await;
    first.next_frame().await;
    assert!(first.next_frame().await.iter().all(|packet| packet.ssrc == 9));
}

#[tokio::test]
async fn a_dropped_connection_ends_as_asked_and_the_next_one_is_served() {
    let camera = Camera::builder().manual().start().await;
    for (how, seen) in [(Close::Fin, Ended::Closed), (Close::Rst, Ended::Reset)] {
        let (mut viewer, _) = Viewer::play_tcp(&camera.url()).await;
        camera.drop_connections(how).await;
        assert_eq!(viewer.ended().await.0, seen);
        assert_eq!((camera.connections(), camera.sessions_open()), (0, 0));
    }
    assert_eq!(camera.counts().connections_total, 2);
}

#[tokio::test]
async fn a_refusing_camera_keeps_its_port_and_its_open_connections() {
    let camera = Camera::builder().manual().start().await;
    let (mut viewer, _) = Viewer::play_tcp(&camera.url()).await;
    camera.refuse().await;
    let refused = tokio::net::TcpStream::connect(camera.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    camera.frame().await;
    viewer.next_frame().await;
    camera.accept().await;
    Viewer::open(&camera.url()).await.describe().await.ok();
}

#[tokio::test]
async fn a_silent_camera_keeps_the_connection_and_goes_on_when_told() {
    let camera = Camera::builder().manual().start().await;
    let (mut viewer, _) = Viewer::play_tcp(&camera.url()).await;
    camera.stop_sending();
    camera.frames(3).await;
    viewer.get_parameter().await.ok();
    assert_eq!(viewer.unread().count(), 0);
    camera.resume();
    let number = camera.frame().await;
    assert_eq!(viewer.next_frame().await[0].stamp().unwrap().frame, number);
}

#[tokio::test]
async fn faults_act_until_they_are_healed() {
    let camera = Camera::builder()
        .packets_per_frame(1)
        .gop(100)
        .parameter_sets(Delivery::SdpOnly)
        .manual()
        .start()
        .await;
    let mut viewer = Viewer::open(&camera.url()).await;
    camera.status_for_describe(503);
    camera.fault(Fault::Delay("OPTIONS", Duration::from_millis(50)));
    assert_eq!(viewer.describe().await.status, 503);
    let asked = std::time::Instant::now();
    viewer.options().await.ok();
    assert!(asked.elapsed() >= Duration::from_millis(50));
    camera.heal();
    viewer.describe().await.ok();
    viewer.setup_tcp(0).await.ok();
    viewer.play().await.ok();
    camera.fault(Fault::LoseEvery(3));
    camera.frames(6).await;
    let got: Vec<u32> = stamps(&viewer.packets(0, 4).await).iter().map(|stamp| stamp.frame).collect();
    assert_eq!(got, [0, 1, 3, 4]);
    camera.fault(Fault::Mute);
    viewer.send("OPTIONS", "*", &[]).await;
    eventually("the camera has read it", Duration::from_secs(5), || camera.requests().len() == 6).await;
    camera.heal();
    viewer.options().await.ok(); // the answer is this one's: the muted request is never answered
    camera.fault(Fault::CloseOn("OPTIONS"));
    viewer.send("OPTIONS", "*", &[]).await;
    assert_eq!(viewer.ended().await.0, Ended::Closed);
}

#[tokio::test]
async fn a_camera_with_a_password_asks_for_it_by_digest() {
    let camera = Camera::builder().require_auth("relay", "secret").manual().start().await;
    let mut viewer = Viewer::open(&camera.url()).await;
    let answer = viewer.describe().await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("WWW-Authenticate").unwrap().to_owned();
    for (password, status) in [("wrong", 401), ("secret", 200)] {
        let credentials = digest::authorization("relay", password, &challenge, "DESCRIBE", &viewer.url);
        let url = viewer.url.clone();
        let answer = viewer.request("DESCRIBE", &url, &[("Authorization", &credentials)]).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_changed_camera_describes_itself_anew() {
    let camera = Camera::builder().manual().start().await;
    let mut viewer = Viewer::open(&camera.url()).await;
    viewer.describe().await.ok();
    let before = sdp::fmtp(&viewer.sdp, 0, "sprop-parameter-sets").unwrap().to_owned();
    camera.change_parameter_sets();
    viewer.describe().await.ok();
    assert_ne!(sdp::fmtp(&viewer.sdp, 0, "sprop-parameter-sets"), Some(before.as_str()));
    camera.change_to_h265();
    viewer.describe().await.ok();
    assert!(viewer.sdp.contains("H265/90000"));
    camera.set_sdp(Some("v=0\r\n"));
    assert_eq!(viewer.describe().await.ok().text(), "v=0\r\n");
    viewer.url = format!("rtsp://{}/other", camera.address());
    assert_eq!(viewer.describe().await.status, 404);
}

#[tokio::test]
async fn two_sessions_see_the_same_frames() {
    let camera = Camera::builder().manual().start().await;
    let (mut first, _) = Viewer::play_tcp(&camera.url()).await;
    camera.frame().await;
    let (mut second, _) = Viewer::play_udp(&camera.url()).await;
    camera.until("two sessions play", |c| c.playing == 2).await;
    camera.force_key_frame();
    camera.frame().await;
    first.next_frame().await;
    let (a, b) = (first.next_frame().await, second.next_frame().await);
    assert_eq!(stamps(&a), stamps(&b));
    assert!(stamps(&a)[0].key && stamps(&a)[0].frame == 1);
}

/// The relay's upstream library takes the camera for one, with a password, all tracks, over both transports.
#[tokio::test]
async fn retina_plays_the_camera() {
    use retina::client::{Credentials, PlayOptions, Session, SessionOptions, SetupOptions};
    use retina::client::{PacketItem, TcpTransportOptions, Transport, UdpTransportOptions};
    let camera = Camera::builder().audio(Audio::Aac).require_auth("relay", "secret").manual().start().await;
    let transports =
        [Transport::Tcp(TcpTransportOptions::default()), Transport::Udp(UdpTransportOptions::default())];
    for transport in transports {
        let credentials = Credentials { username: "relay".into(), password: "secret".into() };
        let options = SessionOptions::default().creds(Some(credentials));
        let mut session = Session::describe(camera.url().parse().unwrap(), options).await.unwrap();
        for track in 0..2 {
            session.setup(track, SetupOptions::default().transport(transport.clone())).await.unwrap();
        }
        let mut session = session.play(PlayOptions::default()).await.unwrap();
        camera.playing().await;
        let number = camera.frames(3).await;
        let mut reports = 0;
        loop {
            let item = crate::support::within("a packet", Duration::from_secs(10), session.next()).await;
            match item.unwrap().unwrap() {
                PacketItem::Rtp(packet) => {
                    let stamp = crate::support::stamp::Stamp::find(packet.payload()).unwrap();
                    if packet.stream_id() == 0 && stamp.frame == number && packet.mark() {
                        break;
                    }
                }
                PacketItem::Rtcp(_) => reports += 1,
                _ => {}
            }
        }
        assert!(reports > 0);
        drop(session);
        camera.until("the session is over", |c| c.playing == 0).await;
    }
}
