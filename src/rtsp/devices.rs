//! Answers of real devices (`tests/data/rtsp`), read as a client would.

use std::time::Duration;

use super::range::{NptTime, Range};
use super::transport::{Channels, Ports, TransportSpec};
use super::{Item, Limits, Response, Status, parse, rtp_info, session_id, transport};
use crate::vocabulary::Transport;

macro_rules! device {
    ($name:literal) => {
        read($name, include_bytes!(concat!("../../tests/data/rtsp/", $name, ".txt")))
    };
}

fn read(name: &str, bytes: &[u8]) -> Response {
    match parse(bytes, &Limits::default()) {
        Ok(Some((Item::Response(response), len))) if len == bytes.len() => response,
        other => panic!("{name}: {other:?}"),
    }
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers.get(name).unwrap_or_else(|| panic!("no {name} in {response:?}"))
}

fn session(response: &Response) -> (&str, Option<u64>) {
    let (id, timeout) = session_id::parse(header(response, "Session")).unwrap();
    (id, timeout.map(|timeout| timeout.as_secs()))
}

fn grant(response: &Response) -> TransportSpec {
    let mut specs = transport::parse(header(response, "Transport"));
    assert_eq!((specs.len(), specs[0].fault), (1, None));
    specs.remove(0)
}

/// The (`seq`, `rtptime`) of every track.
fn firsts(response: &Response) -> Vec<(Option<u16>, Option<u32>)> {
    rtp_info::parse(header(response, "RTP-Info")).iter().map(|info| (info.seq, info.rtptime)).collect()
}

#[test]
fn the_grants_of_cameras_over_tcp_are_read() {
    for (response, id, ssrc) in [
        (device!("dahua_setup"), ("634214675641", Some(60)), Some(0x30a9_8ee7)),
        (device!("gw_main_setup_video"), ("9a90de54", Some(60)), None),
        (device!("hikvision_setup"), ("708345999", Some(60)), Some(0x4cac_c3d1)),
        (device!("hikvision_setup_ssrc_space"), ("708886412", Some(60)), Some(0x0d6d_6627)),
        (device!("luckfox_rkipc_setup_tcp"), ("12345678", None), Some(0x2234_5684)),
        (device!("reolink_setup"), ("F8F8E425", None), None),
        (device!("rubetek_setup_ssrc_0x"), ("5657612475258969210", None), Some(0x6f7c)),
        (device!("setup_ssrc_4_hex_digits"), ("1066441024", Some(60)), Some(0xa046)),
    ] {
        let grant = grant(&response);
        assert_eq!(session(&response), id);
        assert_eq!((grant.lower, grant.interleaved), (Transport::Tcp, Some(Channels { rtp: 0, rtcp: 1 })));
        assert_eq!(grant.ssrc, ssrc, "{id:?}");
    }
}

#[test]
fn the_grants_of_cameras_over_udp_are_read() {
    for (response, rtp, cseq) in
        [(device!("h264dvr_setup_video"), 40004, 4), (device!("luckfox_rkipc_setup_udp"), 49152, 2)]
    {
        let grant = grant(&response);
        assert_eq!(response.cseq(), Some(cseq));
        assert_eq!(grant.lower, Transport::Udp);
        assert_eq!(grant.server_port, Some(Ports { rtp, rtcp: Some(rtp + 1) }));
    }
}

#[test]
fn what_cameras_say_of_their_first_packets_is_read() {
    assert_eq!(
        firsts(&device!("dahua_play")),
        [(47121, 3_475_222_385), (45186, 2_234_446_919), (36583, 816_418_535)]
            .map(|(s, t)| (Some(s), Some(t)))
    );
    assert_eq!(firsts(&device!("dahua_play_decimal_ssrc")), [(Some(13210), Some(1_067_824_145))]);
    assert_eq!(firsts(&device!("gw_main_play")), [(Some(271), Some(1_621_990_950))]);
    assert_eq!(firsts(&device!("laureii_play")), [(Some(0), Some(0))]);
    assert_eq!(firsts(&device!("bad_rtptime")), [(Some(1), None), (Some(1), None)]);
    assert_eq!(firsts(&device!("reolink_play")).len(), 2);
    let hikvision = device!("hikvision_play");
    assert_eq!(
        rtp_info::parse(header(&hikvision, "RTP-Info"))[0].url.as_deref(),
        Some(
            "rtsp://192.168.5.106:554/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1"
        )
    );
}

#[test]
fn the_ranges_of_cameras_are_read() {
    for (response, range) in [
        (device!("dahua_play"), Range::START),
        (device!("h264dvr_play"), Range::NOW),
        (
            device!("bunny_play"),
            Range::Npt {
                start: Some(NptTime::At(Duration::ZERO)),
                end: Some(Duration::from_millis(596_480)),
            },
        ),
    ] {
        assert_eq!(Range::parse(header(&response, "Range")), Ok(range));
    }
    assert!(session(&device!("h264dvr_play")).0.starts_with("231970"));
}

#[test]
fn descriptions_come_with_their_whole_body() {
    for (response, len) in [
        (device!("anjvision_describe"), 888),
        (device!("gw_main_describe"), 451),
        (device!("hikvision_describe"), 902),
        (device!("missing_content_type_describe"), 494),
        (device!("vstarcam_describe"), 403),
    ] {
        assert_eq!((response.body.len(), response.body.starts_with(b"v=0\r\n")), (len, true));
    }
}

#[test]
fn the_end_of_a_session_needs_no_more_than_its_number() {
    let response = device!("reolink_teardown");
    assert_eq!((response.status, response.cseq()), (Status::OK, Some(7)));
}

#[test]
fn a_blank_after_the_cseq_is_nothing() {
    let response = device!("longse_unauthorized");
    assert_eq!((response.status, response.cseq()), (Status::UNAUTHORIZED, Some(1)));
    assert!(header(&response, "WWW-Authenticate").starts_with("Digest realm=\"Surveillance Server\""));
}

#[test]
fn the_methods_of_a_camera_are_a_list() {
    let response = device!("dahua_options");
    assert_eq!(response.headers.list("Public").count(), 10);
    assert_eq!(response.headers.list("Public").last(), Some("GET_PARAMETER"));
}
