//! The main job: one camera, many viewers, each with numbers of its own.

use std::collections::HashSet;
use std::time::SystemTime;

use base64::Engine as _;

use crate::support::camera::{Audio, Camera, Extra, Fault};
use crate::support::h264::{Delivery, ParameterSets};
use crate::support::relay::{Relay, relay};
use crate::support::rtp::{Rtcp, Rtp};
use crate::support::sdp;
use crate::support::viewer::{Answer, Frame, Viewer, assert_no_gap, stamps};

/// A relay of a camera in manual mode that has taken the first frame, so that the stream can be described.
async fn relay_of(camera: &Camera) -> Relay {
    let relay = relay(&camera.url()).await;
    camera.playing().await;
    camera.frame().await;
    relay.published("cam", 1).await;
    relay
}

fn payloads(frame: &Frame) -> Vec<Vec<u8>> {
    frame.iter().map(|packet| packet.payload.clone()).collect()
}

/// The number of a frame whose bytes are the camera's.
#[track_caller]
fn number_of(frame: &Frame, camera: &Camera) -> u32 {
    let stamp = frame.iter().find_map(Rtp::stamp).expect("a frame of the camera");
    assert!(payloads(frame) == camera.payloads_of(stamp.frame, stamp.key), "frame {}", stamp.frame);
    stamp.frame
}

#[tokio::test]
async fn ten_viewers_get_the_same_bytes_under_numbers_of_their_own() {
    let camera = Camera::builder().gop(5).audio(Audio::Pcmu).manual().start().await;
    let relay = relay_of(&camera).await;
    let mut viewers: Vec<(Viewer, Answer)> = Vec::new();
    for n in 0..10 {
        let url = relay.url("cam");
        viewers.push(if n < 5 { Viewer::play_tcp(&url).await } else { Viewer::play_udp(&url).await });
    }
    let last = camera.frames(19).await;
    let (mut ssrcs, mut sequences, mut timestamps) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (viewer, answer) in &mut viewers {
        // They came after frame 0 and within its group: frame 5 is the first that can be decoded.
        let mut video = Vec::new();
        for number in 5..=last {
            let frame = viewer.next_frame().await;
            assert_eq!(number_of(&frame, &camera), number);
            assert_eq!(
                frame[0].timestamp,
                answer.rtp_info()[0].rtptime.wrapping_add((number - 5) * 3600),
                "the camera's distance from frame to frame"
            );
            video.extend(frame);
        }
        // Two packets of sound a frame; the picture's first frame begins with sound packet 10.
        let audio = viewer.packets(1, 2 * (last as usize - 4)).await;
        for (k, packet) in (10..).zip(&audio) {
            assert_eq!(packet.payload, Audio::Pcmu.payload(k));
        }
        for (track, packets) in [(0, &video), (1, &audio)] {
            let promised = &answer.rtp_info()[track];
            assert_eq!(promised.url, viewer.control(track));
            assert_eq!((packets[0].sequence, packets[0].timestamp), (promised.sequence, promised.rtptime));
            assert_no_gap(packets);
            assert!(packets.iter().all(|packet| packet.ssrc == packets[0].ssrc));
            ssrcs.insert(packets[0].ssrc);
            sequences.insert(packets[0].sequence);
            timestamps.insert(packets[0].timestamp);
        }
    }
    assert_eq!(ssrcs.len(), 20, "each its own");
    // 16 bits drawn 20 times may repeat themselves once in a while.
    assert!(sequences.len() >= 17 && timestamps.len() >= 19, "{sequences:?} {timestamps:?}");
    let counts = camera.counts();
    assert_eq!((counts.connections_total, counts.sessions_total, counts.playing), (1, 1, 1));
    assert_eq!(relay.metric("fanlight_viewers{stream=\"cam\",transport=\"tcp\"}"), 5.0);
    assert_eq!(relay.metric("fanlight_viewers{stream=\"cam\",transport=\"udp\"}"), 5.0);
}

#[tokio::test]
async fn a_viewer_is_told_the_ssrc_that_its_packets_then_have() {
    let camera = Camera::builder().manual().start().await;
    let relay = relay_of(&camera).await;
    for tcp in [true, false] {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        viewer.describe().await.ok();
        let answer = if tcp { viewer.setup_tcp(0).await.ok() } else { viewer.setup_udp(0).await.ok() };
        viewer.play().await.ok();
        camera.force_key_frame();
        camera.frame().await;
        let ssrc = format!("{:08X}", viewer.next_rtp(0).await.ssrc);
        assert_eq!(answer.transport("ssrc"), Some(ssrc.as_str()));
    }
}

/// The camera's wall clock at its frame 0, by a report and a packet of which both times are known; `media` is the
/// packet's time since frame 0.
fn zero(report: &crate::support::rtp::SenderReport, packet: &Rtp, media: f64, clock: f64) -> f64 {
    let ticks = report.timestamp.wrapping_sub(packet.timestamp).cast_signed();
    report.unix_seconds() - media - f64::from(ticks) / clock
}

#[tokio::test]
async fn sender_reports_come_at_once_and_tell_the_camera_s_clock() {
    let started = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let camera = Camera::builder().gop(10).audio(Audio::Pcmu).clock_ahead(3600.0).start().await;
    let relay = relay(&camera.url()).await;
    for udp in [false, true] {
        let url = relay.url("cam");
        let (mut viewer, _) = if udp { Viewer::play_udp(&url).await } else { Viewer::play_tcp(&url).await };
        let mut zeros = Vec::new();
        let mut names = HashSet::new();
        for (track, clock, step) in [(0, 90_000.0, 1.0 / 25.0), (1, 8_000.0, 0.02)] {
            let packet = viewer.next_rtp(track).await;
            let media = f64::from(packet.stamp().unwrap().frame) * step;
            let compound = viewer.next_rtcp(track).await;
            let [Rtcp::SenderReport(report), Rtcp::Sdes { ssrc, cname }] = &compound[..] else {
                panic!("{compound:?}");
            };
            assert_eq!((report.ssrc, *ssrc), (packet.ssrc, packet.ssrc));
            names.insert(cname.clone());
            // At once: not after the five seconds that lie between two of them.
            let age = report.timestamp.wrapping_sub(packet.timestamp).cast_signed();
            assert!(f64::from(age) / clock < 2.5, "{age} ticks after the first packet");
            zeros.push(zero(report, &packet, media, clock));
            if !udp {
                let second = viewer.next_report(track).await;
                zeros.push(zero(&second, &packet, media, clock));
                assert!(second.packets > report.packets && second.octets > report.octets);
                let apart = second.unix_seconds() - report.unix_seconds();
                assert!((4.5..9.0).contains(&apart), "{apart} s");
            }
        }
        assert_eq!(names.len(), 1, "one name for both tracks: {names:?}");
        for zero in &zeros {
            assert!((zero - zeros[0]).abs() < 0.005, "they agree: {zeros:?}");
            assert!((zero - started - 3600.0).abs() < 5.0, "the camera's hour: {zero} {started}");
        }
    }
}

#[tokio::test]
async fn without_reports_of_the_camera_arrival_is_the_clock() {
    let camera = Camera::builder().gop(10).audio(Audio::Pcmu).without_sender_reports().start().await;
    let relay = relay(&camera.url()).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    for (track, clock) in [(0, 90_000.0), (1, 8_000.0)] {
        let packet = viewer.next_rtp(track).await;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let arrival = zero(&viewer.next_report(track).await, &packet, 0.0, clock);
        assert!((arrival - now).abs() < 2.0, "track {track} arrived at {arrival}, read at {now}");
    }
}

#[tokio::test]
async fn a_viewer_in_the_middle_of_a_group_starts_with_parameter_sets_and_a_key_frame() {
    let decode = |text| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    for delivery in [Delivery::Aggregated, Delivery::Single] {
        let camera = Camera::builder().gop(10).parameter_sets(delivery).manual().start().await;
        let relay = relay_of(&camera).await;
        camera.frames(3).await;
        relay.published("cam", 4).await;
        let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
        camera.frames(10).await;
        let frame = viewer.next_frame().await;
        assert_eq!(number_of(&frame, &camera), 10);
        let sps = decode(ParameterSets::MAIN.sps);
        assert!(frame[0].payload.windows(sps.len()).any(|window| window == sps));
    }
}

#[tokio::test]
async fn a_viewer_of_one_track_gets_that_one_only() {
    let camera = Camera::builder().gop(5).audio(Audio::Aac).manual().start().await;
    let relay = relay_of(&camera).await;
    for track in [0, 1] {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        viewer.describe().await.ok();
        viewer.setup_tcp(track).await.ok();
        assert_eq!(viewer.play().await.ok().rtp_info().len(), 1);
        let from = camera.frames_made();
        camera.frames(12).await;
        let first = viewer.next_rtp(track).await.stamp().unwrap();
        if track == 1 {
            // Sound alone waits for no picture.
            assert!(first.frame <= (from * 1920).div_ceil(1024) + 2, "{first:?} after frame {from}");
        }
        viewer.packets(track, 10).await;
        viewer.get_parameter().await.ok(); // all that came before its answer has been read
        let other = (2 - 2 * track) as u8;
        assert!(viewer.unread().all(|packet| packet.channel != other && packet.channel != other + 1));
    }
}

#[tokio::test]
async fn loss_on_the_way_from_the_camera_is_a_gap_of_the_same_size() {
    let camera = Camera::builder().gop(1000).parameter_sets(Delivery::SdpOnly).manual().start().await;
    let relay = relay_of(&camera).await;
    let mut viewers = [Viewer::play_tcp(&relay.url("cam")).await, Viewer::play_udp(&relay.url("cam")).await];
    camera.force_key_frame();
    camera.frame().await;
    camera.fault(Fault::LoseEvery(7));
    camera.frames(28).await; // six packets each: 168, of which 24 are lost
    camera.heal();
    let last = camera.frame().await;
    for (viewer, _) in &mut viewers {
        let packets = viewer.packets(0, 6 + 144 + 6).await;
        assert_eq!(packets.last().unwrap().stamp().unwrap().frame, last);
        // Six packets a frame: the stamp is a sequence number of its own.
        let place = |packet: &Rtp| packet.stamp().map(|s| s.frame as u16 * 6 + s.packet).unwrap();
        for pair in packets.windows(2) {
            let sent = place(&pair[1]).wrapping_sub(place(&pair[0]));
            assert_eq!(pair[1].sequence.wrapping_sub(pair[0].sequence), sent, "{pair:?}");
        }
    }
    assert_eq!(relay.metric("fanlight_source_lost_packets_total{stream=\"cam\",track=\"0\"}"), 24.0);
}

#[tokio::test]
async fn the_description_tells_nothing_of_the_camera_s_whereabouts() {
    let camera = Camera::builder().audio(Audio::Aac).require_auth("relay", "secret").manual().start().await;
    let relay = relay(&camera.url().replace("//", "//relay:secret@")).await;
    camera.playing().await;
    camera.frame().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let answer = viewer.describe().await.ok();
    assert_eq!(sdp::tracks(&viewer.sdp), 2);
    for word in ["127.0.0.1", "simulated", "track0", "secret", &camera.address().port().to_string()] {
        assert!(!viewer.sdp.contains(word), "{word} in {}", viewer.sdp);
        assert!(!answer.header("Server").unwrap_or_default().contains(word));
    }
    assert_eq!(sdp::attribute(&viewer.sdp, 0, "control"), Some("trackID=0"));
    assert_eq!(sdp::fmtp(&viewer.sdp, 1, "config"), Some("1190"), "the camera's fmtp is kept");
}

#[tokio::test]
async fn parameter_sets_that_come_in_band_only_are_in_the_description() {
    for delivery in [Delivery::Aggregated, Delivery::Single] {
        let camera = Camera::builder().bare_sdp().parameter_sets(delivery).manual().start().await;
        let relay = relay_of(&camera).await;
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        viewer.describe().await.ok();
        let ParameterSets { sps, pps, .. } = ParameterSets::MAIN;
        let sets = sdp::fmtp(&viewer.sdp, 0, "sprop-parameter-sets");
        assert_eq!(sets, Some(format!("{sps},{pps}").as_str()));
    }
    let camera = Camera::builder().h265(25).bare_sdp().manual().start().await;
    let relay = relay_of(&camera).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    for (name, start) in [("sprop-vps", "QAEMAf"), ("sprop-sps", "QgEBAW"), ("sprop-pps", "RAHA8s")] {
        let set = sdp::fmtp(&viewer.sdp, 0, name).unwrap_or_default();
        assert!(set.starts_with(start), "{name}: {}", viewer.sdp);
    }
}

#[tokio::test]
async fn h265_starts_with_its_parameter_sets() {
    let camera = Camera::builder().h265(25).gop(4).manual().start().await;
    let relay = relay_of(&camera).await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    camera.frames(9).await;
    let mut all = Vec::new();
    for number in 4..=9 {
        let frame = viewer.next_frame().await;
        assert_eq!(number_of(&frame, &camera), number);
        all.extend(frame);
    }
    assert_eq!(all[0].payload[0] >> 1, 32, "a VPS");
    assert_no_gap(&all);
}

#[tokio::test]
async fn metadata_and_unknown_codecs_are_relayed_as_they_are() {
    let extras = [Extra::METADATA, Extra::UNKNOWN];
    let builder = Camera::builder().gop(5).audio(Audio::Pcmu).extra(extras[0]).extra(extras[1]);
    let camera = builder.manual().start().await;
    let relay = relay_of(&camera).await;
    let mut viewers = [Viewer::play_tcp(&relay.url("cam")).await, Viewer::play_udp(&relay.url("cam")).await];
    camera.frames(10).await;
    for (viewer, answer) in &mut viewers {
        assert_eq!(answer.rtp_info().len(), 4);
        assert!(viewer.sdp.to_lowercase().contains("vnd.onvif.metadata/90000"), "{}", viewer.sdp);
        assert!(viewer.sdp.contains("X-SECRET/90000"), "{}", viewer.sdp);
        for (track, extra) in (2..).zip(extras) {
            let packets = viewer.packets(track, 6).await;
            assert_no_gap(&packets);
            for (number, packet) in (5..).zip(&packets) {
                assert_eq!((packet.payload_type, packet.marker), (extra.payload_type, true));
                assert_eq!(packet.payload, extra.payload(number));
            }
        }
    }
}

#[tokio::test]
async fn a_relay_of_a_relay_plays_both_tracks() {
    let camera = Camera::builder().h264(50).gop(10).audio(Audio::Aac).start().await;
    let first = relay(&camera.url()).await;
    first.live("cam").await;
    let second = relay(&first.url("cam")).await;
    let (mut viewer, _) = Viewer::play_tcp(&second.url("cam")).await;
    let mut video = Vec::new();
    let mut before = None;
    for _ in 0..30 {
        let frame = viewer.next_frame().await;
        let number = number_of(&frame, &camera);
        assert!(before.is_none_or(|before| number == before + 1), "{before:?}, then {number}");
        before = Some(number);
        video.extend(frame);
    }
    assert!(stamps(&video)[0].key);
    let audio = viewer.packets(1, 20).await;
    let from = audio[0].stamp().unwrap().frame;
    for (k, packet) in (from..).zip(&audio) {
        assert_eq!(packet.payload, Audio::Aac.payload(k));
    }
    assert_no_gap(&video);
    assert_no_gap(&audio);
    assert_eq!(first.stream("cam").viewers().len(), 1);
}
