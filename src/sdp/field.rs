//! Tests with what real cameras sent: the files of `tests/data/sdp`, and single lines known from the trackers.

use super::*;
use crate::codec::{Codec, ParameterSets};

macro_rules! cameras {
    ($($name:literal => $expected:expr;)*) => {
        [$(($name, include_bytes!(concat!("../../tests/data/sdp/", $name, ".sdp")).as_slice(), $expected.as_slice())),*]
    };
}

type Camera = (&'static str, &'static [u8], &'static [&'static str]);

/// Name, SDP, and for every medium: kind, payload type, encoding, control, and what is special.
const CAMERAS: [Camera; 27] = cameras! {
    "anjvision" => ["video 96 H265/90000 trackID=1"];
    "anpviz" => ["video 96 H264/90000 trackID=1", "audio 0 MPEG4-GENERIC/16000/2 trackID=2"];
    "bunny" => ["audio 96 MPEG4-GENERIC/12000/2 trackID=1", "video 97 H264/90000 trackID=2"];
    "dahua_h264_aac_onvif" => [
        "video 96 H264/90000 trackID=0",
        "audio 97 MPEG4-GENERIC/48000 trackID=1",
        "application 107 VND.ONVIF.METADATA/90000 trackID=4",
    ];
    "dahua_h265_pcma" => ["video 98 H265/90000 trackID=0", "audio 8 PCMA/8000 trackID=1"];
    "foscam" => ["video 96 H264/90000 track1", "audio 0 PCMU/8000/1 track2"];
    "geovision" => [
        "video 105 H264/90000 rtsp://192.168.5.237/media/video1/video",
        "application 107 VND.ONVIF.METADATA/90000 rtsp://192.168.5.237/media/video1/metadata",
    ];
    "go2rtc_bug_1" => ["video 96 H264/90000 track0", "audio 97 MPEG4-GENERIC/8000/1 track1"];
    "go2rtc_bug_2" => ["video 96 H264/90000 track0", "audio 8 PCMA/8000/1 track1"];
    "go2rtc_bug_3" => [
        "video 96 H264/90000 track1",
        "audio 97 MPEG4-GENERIC/16000 track2",
        "audio 8 PCMA/8000 track3 back",
    ];
    "go2rtc_bug_4" => [
        "video 96 H264/90000 track1",
        "audio 8 PCMA/8000 track2",
        "application/mercury 95 MERCURY/90000 track3",
    ];
    "go2rtc_bug_5" => ["video 99 H264/90000 trackID=1", "audio 127 MPEG4-GENERIC/8000/1 trackID=2"];
    "go2rtc_bug_6" => [
        "video 26 JPEG/90000 track1",
        "audio 0 PCMU/8000/1 track2",
        "application 107 VND.ONVIF.METADATA/90000/500 track4",
        "vana 108 VIDEO.ANALYSIS/90000/500 track5",
    ];
    "go2rtc_bug_7" => [
        "video 105 H264/90000 rtsp://1.0.1.113/media/video2/video",
        "audio 0 PCMU/8000/1 rtsp://1.0.1.113/media/video2/audio1",
        "audio 0 PCMA/8000 rtsp://1.0.1.113/media/video2/backchannel back",
        "application 107 VND.ONVIF.METADATA/90000 rtsp://1.0.1.113/media/video2/metadata",
    ];
    "go2rtc_hikvision_pcm" => [
        "video 96 H264/90000 rtsp://192.168.1.12:554/Streaming/channels/101/trackID=1",
        "audio 11 L16/48000 rtsp://192.168.1.12:554/Streaming/channels/101/trackID=2",
    ];
    "gw_main" => ["video 96 H264/90000 video", "audio 8 PCMU/8000/1 audio"];
    "gw_sub" => ["video 96 H264/90000 video"];
    "h264dvr" => ["video 96 H264/90000 trackID=3", "audio 8 PCMA/8000/1 trackID=4"];
    "hikvision" => [
        "video 96 H264/90000 rtsp://192.168.5.106:554/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1",
        "application 107 VND.ONVIF.METADATA/90000 rtsp://192.168.5.106:554/Streaming/Channels/101/trackID=3?transportmode=unicast&profile=Profile_1",
    ];
    "ipcam" => ["video 96 H264/90000 trackID=1"];
    "macrovideo" => ["video 96 H264/90000 track1"];
    "missing_content_type" => ["video 96 H264/90000 streamid=0", "audio 97 MPEG4-GENERIC/48000/2 streamid=1"];
    "reolink" => ["video 96 H264/90000 trackID=1", "audio 97 MPEG4-GENERIC/16000 trackID=2"];
    "reolink_control_first" => ["video 96 H264/90000 trackID=1", "audio 97 MPEG4-GENERIC/16000 trackID=2"];
    "tplink" => [
        "video 96 H265/90000 track1",
        "audio 8 PCMA/8000 track2",
        "application/tp-link 95 TP-LINK/90000 track3",
    ];
    "ubiquiti" => [
        "audio 96 MPEG4-GENERIC/48000/1 trackID=0",
        "audio 96 OPUS/48000/2 trackID=1",
        "video 97 H264/90000 trackID=2",
    ];
    "vstarcam" => ["video 96 H264/90000 track0", "audio 8 PCMA/8000/1 track1"];
};

fn camera(name: &str) -> Sdp {
    let (_, bytes, _) = CAMERAS.iter().find(|(found, ..)| *found == name).unwrap();
    parse(bytes).unwrap()
}

fn summary(sdp: &Sdp, media: &Media) -> String {
    let mut text = format!("{} {}", media.kind, media.payload_types[0]);
    if let Some(Encoding { name, clock_rate, channels, .. }) = media.encoding() {
        text += &format!(" {name}/{clock_rate}");
        if let Some(channels) = channels {
            text += &format!("/{channels}");
        }
    }
    if let Some(control) = media.control() {
        text += &format!(" {control}");
    }
    if sdp.is_back_channel(media) {
        text += " back";
    }
    text
}

#[test]
fn every_camera_is_understood() {
    for (name, bytes, expected) in CAMERAS {
        let sdp = parse(bytes).unwrap();
        let found: Vec<String> = sdp.media.iter().map(|media| summary(&sdp, media)).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_description_is_one_a_viewer_can_read_back_and_leaks_nothing() {
    for (name, bytes, expected) in CAMERAS {
        let sdp = parse(bytes).unwrap();
        let description = Description::from_sdp(&sdp);
        let forwarded = expected.iter().filter(|line| !line.ends_with(" back")).count();
        assert_eq!(description.tracks.len(), forwarded, "{name}");
        let written = description.write(name, 1, Range::Live);
        assert!(!written.contains("://"), "{name}: {written}");
        let text = String::from_utf8_lossy(bytes);
        for word in text.split([' ', '/', ':', '\r', '\n']) {
            let address =
                word.split('.').count() == 4 && word.split('.').all(|part| part.parse::<u8>().is_ok());
            let address = address && word != "0.0.0.0";
            assert!(!address || !written.contains(word), "{name} leaks {word}");
        }
        let again = parse(written.as_bytes()).unwrap();
        for (track, media) in description.tracks.iter().zip(&again.media) {
            assert_eq!(media.control(), Some(format!("trackID={}", track.id).as_str()), "{name}");
            assert!(Track::from_media(track.id, media).unwrap().is_same(track), "{name}");
            assert_eq!(media.fmtp(track.payload_type), track.fmtp.as_deref(), "{name}");
        }
        assert_eq!(written.matches("\r\nc=").count(), 1);
    }
}

#[test]
fn every_h264_and_h265_camera_has_its_parameter_sets() {
    let mut cameras = 0;
    for (name, bytes, _) in CAMERAS {
        for track in Description::from_sdp(&parse(bytes).unwrap()).tracks {
            if matches!(track.codec, Codec::H264 | Codec::H265) {
                let sets = ParameterSets::from_fmtp(track.codec, track.fmtp.as_deref().unwrap_or_default());
                assert!(sets.is_complete(track.codec), "{name}");
                cameras += 1;
            }
        }
    }
    assert_eq!(cameras, 26, "all but the JPEG one");
}

#[test]
fn session_lines_of_real_cameras_are_found() {
    assert_eq!(camera("reolink").tool.as_deref(), Some("LIVE555 Streaming Media v2013.04.08"));
    assert_eq!(camera("reolink_control_first").tool, camera("reolink").tool);
    assert_eq!(camera("reolink").name.as_deref(), Some("Session streamed by \"preview\""));
    let control = "rtsp://192.168.5.106:554/Streaming/Channels/101/?transportmode=unicast&profile=Profile_1";
    assert_eq!(camera("hikvision").control.as_deref(), Some(control));
    assert_eq!(camera("tplink").control, None);
}

#[test]
fn an_fmtp_behind_the_audio_is_given_to_the_video() {
    let sdp = camera("go2rtc_bug_2");
    assert!(sdp.media[0].fmtp(96).is_some_and(|fmtp| fmtp.starts_with("packetization-mode=1")));
    assert_eq!(sdp.media[1].attribute("framerate"), Some("25"));
}

#[test]
fn profiles_and_start_codes_of_real_cameras_are_put_right() {
    let fmtp = |name| Description::from_sdp(&camera(name)).tracks[0].fmtp.clone().unwrap();
    // C74: both sets end in a start code, the profile has seven digits.
    let gw =
        "packetization-mode=1;profile-level-id=4D002A;sprop-parameter-sets=Z00AKpWoHgCJ+WbgICAgQA==,aO48gA==";
    assert_eq!(fmtp("gw_main"), gw);
    assert!(fmtp("macrovideo").starts_with("profile-level-id=4DE028;"));
    // Right already, so as the camera wrote it, spaces and all.
    assert!(fmtp("go2rtc_bug_4").starts_with("packetization-mode=1; profile-level-id=640016; sprop"));
}

/// The first medium of an SDP that has `line` in front of `rest`.
fn first(sdp: &[u8]) -> String {
    let sdp = parse(sdp).unwrap();
    summary(&sdp, &sdp.media[0])
}

#[test]
fn no_session_line_can_spoil_the_media() {
    // C61 to C66 and C69 to C72 of the camera survey.
    for line in [
        b"o=- 1001 1 IN".as_slice(),
        b"o=- 1001 1 IN IP4",
        b"c=IN 198.51.100.1",
        b"c=IN",
        b"o= 2890842807 IN IP4 192.168.0.1",
        b"o=JefferyZhang Inno Fuzhou 0 0 IN IP4 0.0.0.0",
        b"o=-0 0 IN IP4 0.0.0.0",
        b"o=- -5 1.5 IN IP4 0.0.0.0",
        b"o=RTSP Session 1 2 IN IP4 0.0.0.0",
        b"o=- 0x1F 1 IP IP4 0.0.0.0",
        b"t=now-",
        b"s=Cam\xe9ra",
        b"s=\xff\xfe\x80",
        b"c=IN c=IN IP4 0.0.0.0",
        b"b=TIAS:1000",
        b"nonsense",
        b"=",
        b"a=",
        b"a=:",
        b"\xef\xbb\xbf",
        b"\0\0\0",
        b"   ",
    ] {
        for end in [b"\r\n".as_slice(), b"\n", b"\r", b"\n\n", b"\r\n\0"] {
            let media = b"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:t";
            let sdp = [b"v=0", end, line, end, media, end, line, end, b"\0"].concat();
            assert_eq!(first(&sdp), "video 96 H264/90000 t", "{}", line.escape_ascii());
        }
    }
    assert_eq!(parse(b"s=Cam\xe9ra\nm=video 0 RTP/AVP 26").unwrap().name.as_deref(), Some("Caméra"));
}

#[test]
fn an_sdp_may_begin_with_its_first_medium() {
    // C67: no v=, o= or s=; with a byte order mark, too.
    assert_eq!(first(b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000"), "video 96 H264/90000");
    assert_eq!(first(b"\xef\xbb\xbfm=video 0 RTP/AVP 26"), "video 26 JPEG/90000");
}

#[test]
fn an_m_line_without_a_format_costs_no_other_medium() {
    // C60; the rtpmap knows what the m= line lacks.
    let sdp = parse(
        b"m=video 0 RTP/AVP \r\nm=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP \r\na=rtpmap:96 H264/90000\r\n",
    )
    .unwrap();
    assert!(sdp.media[0].payload_types.is_empty());
    let tracks = Description::from_sdp(&sdp).tracks;
    let found: Vec<_> = tracks.iter().map(|track| (track.id.0, track.codec)).collect();
    assert_eq!(found, [(1, Codec::Audio), (2, Codec::H264)]);
}

#[test]
fn payload_types_nobody_explains_stay() {
    // C68: AJA sends 96 without an rtpmap; C76: Geovision has a static 50, and L16 has a clock of 44100.
    let sdp =
        parse(b"m=video 0 RTP/AVP 96\nm=audio 0 RTP/AVP 50\nm=audio 0 RTP/AVP 10\nm=audio 0 RTP/AVP 11")
            .unwrap();
    let tracks = Description::from_sdp(&sdp).tracks;
    assert_eq!(tracks.iter().map(|track| track.clock_rate).collect::<Vec<_>>(), [90000, 8000, 44100, 44100]);
    let written = Description { tracks }.write("x", 1, Range::Live);
    assert!(!written.contains("rtpmap:96") && !written.contains("rtpmap:50"));
    assert!(
        written.contains("a=rtpmap:10 L16/44100/2\r\n") && written.contains("a=rtpmap:11 L16/44100/1\r\n")
    );
}

#[test]
fn two_media_may_share_a_payload_type() {
    // C75: UniFi, whose second fmtp is empty.
    let tracks = Description::from_sdp(&camera("ubiquiti")).tracks;
    assert_eq!((tracks[0].payload_type, tracks[1].payload_type), (96, 96));
    assert!(tracks[0].fmtp.is_some());
    assert_eq!(tracks[1].fmtp, None);
}
