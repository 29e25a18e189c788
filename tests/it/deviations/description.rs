//! c3: session descriptions.

use super::camera::{SDP, Script, VIDEO};
use super::{Refused, Relayed, rows};

fn script() -> Script {
    Script::new()
}

/// The usual description with another line in place of the one that begins so.
fn line(begin: &str, instead: &str) -> Script {
    let lines = SDP
        .split_inclusive("\r\n")
        .map(|line| if line.starts_with(begin) { format!("{instead}\r\n") } else { line.to_owned() });
    script().sdp(lines.collect::<String>())
}

rows! {
    c60_no_format_in_the_m_line: script().sdp_with("RTP/AVP 96", "RTP/AVP ") => Relayed;
    c61_an_origin_without_an_address: line("o=", "o=- 1001 1 IN") => Relayed;
    c62_an_origin_with_half_an_address: line("o=", "o=- 1001 1 IN IP4") => Relayed;
    c63_a_connection_without_its_type: line("c=", "c=IN 198.51.100.1") => Relayed;
    c63_a_connection_of_version_six_without_its_type: line("c=", "c=IN 2001:db8::1") => Relayed;
    c64_an_origin_without_a_user: line("o=", "o= 2890842807 IN IP4 192.168.0.1") => Relayed;
    c65_an_origin_with_blanks: line("o=", "o=JefferyZhang Inno Fuzhou 0 0 IN IP4 0.0.0.0") => Relayed;
    c65_an_origin_with_decimals: line("o=", "o=- 1.5 2.5 IN IP4 0.0.0.0") => Relayed;
    c65_an_origin_below_zero: line("o=", "o=- -1 -1 IN IP4 0.0.0.0") => Relayed;
    c65_an_origin_glued_together: line("o=", "o=-0 0 IN IP4 0.0.0.0") => Relayed;
    c66_a_time_of_now: line("t=", "t=now-") => Relayed;
    c67_nothing_in_front_of_the_media: script().sdp(VIDEO) => Relayed;
    c68_no_rtpmap: script().sdp("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=control:track0\r\n") => Relayed;
    c69_latin_1: line("s=", "s=Haust\u{fc}r") => Relayed;
    c70_an_odd_medium_beside:
        script().sdp(format!("{SDP}m=application/MERCURY 0 RTP/AVP smart/1/90000\r\na=rtpmap:95 MERCURY/90000\r\na=control:track2\r\n")) => Relayed;
    c71_a_connection_twice_in_one: line("c=", "c=IN c=IN IP4 0.0.0.0") => Relayed;
    c72_ip_for_in: line("c=", "c=IP IP4 0.0.0.0") => Relayed;
    c72_other_bandwidths: line("c=", "b=TIAS:1000000\r\nb=RR:0\r\nb=RS:0\r\nb=AS:") => Relayed;
    c72_a_session_in_words: line("o=", "o=RTSP Session 1 2 IN IP4 0.0.0.0") => Relayed;
    c73_no_origin: script().sdp_with("o=- 1 1 IN IP4 0.0.0.0\r\n", "") => Relayed;
    c73_no_time: script().sdp_with("t=0 0\r\n", "") => Relayed;
    c73_no_name: script().sdp_with("s=x\r\n", "") => Relayed;
    c73_lf: script().sdp(SDP.replace("\r\n", "\n")) => Relayed;
    c73_nul_at_the_end: script().sdp(format!("{SDP}\0")) => Relayed;
    c73_blank_lines: script().sdp(SDP.replace("m=", "\r\n\r\nm=")) => Relayed;
    c73_names_twice: line("s=", "s=one\r\ns=two") => Relayed;
    c73_no_line_end_at_the_end: script().sdp(SDP.trim_end()) => Relayed;
    c74_a_start_code_in_the_parameter_sets:
        script().sdp_with("Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=", "AAAAAWdNACqdqB4Aifl") => Relayed;
    c75_one_number_for_two_media:
        script().sdp(SDP.replace("RTP/AVP 0\r\n", "RTP/AVP 96\r\na=rtpmap:96 L16/8000\r\na=fmtp:96\r\n")) => Relayed;
    c76_a_static_number_nobody_has:
        script().sdp(SDP.replace("RTP/AVP 0\r\n", "RTP/AVP 50\r\n")) => Relayed;
    c76_linear_samples: script().sdp(SDP.replace("RTP/AVP 0\r\n", "RTP/AVP 11\r\n")) => Relayed;
}

rows! {
    an_empty_description: script().sdp("") => Refused("SDP");
    a_description_that_is_a_page: script().sdp("<html><body>404</body></html>") => Refused("SDP");
    a_description_without_media: script().sdp("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n") => Refused("SDP");
    a_description_of_encrypted_media: script().sdp(VIDEO.replace("RTP/AVP", "RTP/SAVP")) => Refused("SDP");
    ten_thousand_tracks: script().sdp("m=video 0 RTP/AVP 96\r\n".repeat(2500)) => Refused("more than 32 media");
    forty_tracks: script().sdp(format!("{SDP}{}", "m=audio 0 RTP/AVP 0\r\na=control:t\r\n".repeat(40))) => Refused("more than 32 media");
    a_byte_order_mark: script().sdp(format!("\u{feff}{SDP}")) => Relayed;
    keys_in_capitals: script().sdp(SDP.replace("m=video", "M=video")) => Relayed;
    blanks_around_the_equals_sign: script().sdp(SDP.replace("m=video", "m = video")) => Relayed;
    a_profile_with_feedback: script().sdp(SDP.replace("RTP/AVP 96", "RTP/AVPF 96")) => Relayed;
    a_profile_with_its_transport: script().sdp(SDP.replace("RTP/AVP 96", "RTP/AVP/TCP 96")) => Relayed;
    a_profile_the_wrong_way_round: script().sdp(SDP.replace("RTP/AVP 96", "TCP/RTP/AVP 96")) => Relayed;
    a_profile_of_half: script().sdp(SDP.replace("RTP/AVP 96", "AVP 96")) => Relayed;
    no_clock_rate: script().sdp(SDP.replace("H264/90000", "H264")) => Relayed;
    no_blank_in_the_rtpmap: script().sdp(SDP.replace("a=rtpmap:96 H264", "a=rtpmap: 96  h264")) => Relayed;
    parameter_sets_that_are_no_base64: script().sdp(SDP.replace("Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=", "!!!!")) => Relayed;
    no_control_at_all: script().sdp(SDP.replace("a=control:track0\r\n", "").replace("a=control:track1\r\n", "")) => Relayed;
    a_control_of_a_star: script().sdp(VIDEO.replace("control:track0", "control:*")) => Relayed;
    controls_with_a_query: script().sdp(SDP.replace("control:track0", "control:trackID=0?token=1&x=2")) => Relayed;
    controls_with_a_blank: script().sdp(SDP.replace("control:track0", "control: track0 ")) => Relayed;
    a_line_that_is_very_long: script().sdp(SDP.replace("s=x", &format!("s={}", "x".repeat(20_000)))) => Relayed;
    attributes_without_end: script().sdp(format!("{SDP}{}", "a=x\r\n".repeat(9_000))) => Relayed;
    a_length_that_is_too_small:
        script().on("DESCRIBE", |_, text| {
            let length: usize = text.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
            text.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {}", length - 40))
        }) => Relayed;
    a_length_that_is_too_large:
        script().on("DESCRIBE", |_, text| {
            let length: usize = text.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
            text.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {}", length + 2))
        }) => Relayed;
    no_length: script().on("DESCRIBE", |_, text| {
        let at = text.find("Content-Length").unwrap();
        let end = at + text[at..].find("\r\n").unwrap() + 2;
        format!("{}{}", &text[..at], &text[end..])
    }) => Relayed;
}
