//! c2: SETUP, Session, Transport, PLAY.

use super::camera::{Reply, Script, frame};
use super::{Refused, Relayed, rows};

fn script() -> Script {
    Script::new()
}

rows! {
    c31_a_blank_behind_the_session: script().with("*", "12345678;timeout", "12345678 ; timeout") => Relayed;
    c32_a_semicolon_at_the_end: script().with("*", "timeout=60", "timeout=60;") => Relayed;
    c32_a_semicolon_and_nothing: script().with("*", ";timeout=60", ";") => Relayed;
    c32_timeout_in_capitals: script().with("*", ";timeout", ";Timeout") => Relayed;
    c32_a_timeout_of_nothing: script().with("*", "timeout=60", "timeout=0") => Relayed;
    c33_blanks_in_the_transport: script().with("SETUP", "TCP;unicast;", "TCP; unicast; ") => Relayed;
    c33_interleaved_in_capitals: script().with("SETUP", "interleaved=", "Interleaved=") => Relayed;
    c34_no_channels: script().on("SETUP", |_, text| format!("{}\r\n\r\n", text.split(";interleaved").next().unwrap())) => Relayed;
    c35_no_transport: script().on("SETUP", |_, text| format!("{}\r\n", text.split("Transport").next().unwrap())) => Relayed;
    c36_other_channels:
        script().with("SETUP", "interleaved=0-1", "interleaved=4-5")
        .media(|_, packets| packets.iter().flat_map(|packet| frame(4, packet)).collect()) => Relayed;
    c36_odd_channels:
        script().with("SETUP", "interleaved=0-1", "interleaved=7-8")
        .media(|_, packets| packets.iter().flat_map(|packet| frame(7, packet)).collect()) => Relayed;
    c37_one_channel: script().with("SETUP", "interleaved=0-1", "interleaved=0") => Relayed;
    c38_no_tcp_in_the_profile: script().with("SETUP", "RTP/AVP/TCP", "RTP/AVP") => Relayed;
    c39_an_empty_source: script().with("SETUP", "unicast;", "unicast;source=;") => Relayed;
    c39_a_name_for_a_source: script().with("SETUP", "unicast;", "unicast;source=camera.local;") => Relayed;
    c40_a_single_server_port: script().with("SETUP", "unicast;", "unicast;server_port=8052;") => Relayed;
    c45_blanks_in_the_ssrc: script().with("SETUP", "unicast;", "unicast;ssrc=     5EED;") => Relayed;
    c46_a_prefix_in_the_ssrc: script().with("SETUP", "unicast;", "unicast;ssrc=0x5eed;") => Relayed;
    c46_a_short_ssrc_in_front: script().with("SETUP", "RTP/AVP/TCP;", "RTP/AVP/TCP;ssrc=5EED;") => Relayed;
    c46_a_decimal_ssrc_in_rtp_info: script().with("PLAY", "seq=1000;", "ssrc=24301;seq=1000;") => Relayed;
    c46_another_ssrc_than_that_of_the_packets: script().with("SETUP", "unicast;", "unicast;ssrc=01020304;") => Relayed;
    c47_a_session_that_changes:
        script().on("SETUP", |ask, text| if ask.has("track1") { text.replace("12345678", "87654321") } else { text }) => Relayed;
    c48_no_rtp_info: script().on("PLAY", |_, text| format!("{}\r\n", text.split("RTP-Info").next().unwrap())) => Relayed;
    c49_rtp_info_without_a_url: script().on("PLAY", |_, text| {
        let at = text.find("url=").unwrap();
        let end = at + text[at..].find(';').unwrap();
        format!("{}{}", &text[..at], &text[end + 1..])
    }) => Relayed;
    c49_a_sequence_of_seventy_thousand: script().with("PLAY", "seq=1000", "seq=70000") => Relayed;
    c49_a_sequence_below_zero: script().with("PLAY", "seq=1000", "seq=-1") => Relayed;
    c49_a_parameter_without_a_value: script().with("PLAY", "seq=1000", "seq;") => Relayed;
    c49_a_time_that_is_none: script().with("PLAY", "rtptime=0", "rtptime=now") => Relayed;
    c50_a_blank_behind_the_comma: script().with("PLAY", "rtptime=0", "rtptime=0, url=rtsp://127.0.0.1/live/track1;seq=7;rtptime=8") => Relayed;
    c51_a_wrong_url_in_rtp_info: script().with("PLAY", "/track0;", "/nothing/like/it;") => Relayed;
    c51_set_parameter_is_the_sign_of_life:
        script().with("SETUP", "timeout=60", "timeout=1").with("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")
        .whole("GET_PARAMETER", "RTSP/1.0 501 No\r\nCSeq: CSEQ\r\n\r\n") => Relayed;
    c52_a_sequence_of_zero_and_packets_from_elsewhere: script().with("PLAY", "seq=1000", "seq=0") => Relayed;
    c52_a_sequence_of_one_and_packets_from_elsewhere: script().with("PLAY", "seq=1000", "seq=1") => Relayed;
    c53_a_control_behind_the_query:
        script().path("/live?channel=1&enableSrtp").on("DESCRIBE", |_, text| text) => Relayed;
    c54_a_track_that_is_refused:
        script().on("SETUP", |ask, text| if ask.has("track1") {
            format!("RTSP/1.0 500 Internal Server Error\r\nCSeq: {}\r\n\r\n", ask.cseq)
        } else { text }) => Relayed;
    c55_a_base_without_the_port: script().on("DESCRIBE", |_, text| {
        let at = text.find("Content-Base: rtsp://127.0.0.1:").unwrap() + "Content-Base: rtsp://127.0.0.1".len();
        let end = at + text[at..].find('/').unwrap();
        format!("{}{}", &text[..at], &text[end..])
    }) => Relayed;
    c56_a_base_without_the_scheme: script().with("DESCRIBE", "Content-Base: rtsp://", "Content-Base: ") => Relayed;
    c57_the_scheme_twice: script().with("DESCRIBE", "Content-Base: rtsp://", "Content-Base: rtsp://rtsp://") => Relayed;
    c57_an_address_of_both_kinds:
        script().with("DESCRIBE", "Content-Base: rtsp://127", "Content-Base: rtsp://::ffff:127") => Relayed;
    c58_a_control_that_begins_with_a_slash: script().sdp_with("control:track0", "control:/track0") => Relayed;
    c59_packets_on_another_channel_than_agreed:
        script().media(|_, packets| packets.iter().flat_map(|packet| frame(6, packet)).collect()) => Relayed;
    c89_not_found: script().whole("DESCRIBE", "RTSP/1.0 404 Not Found\r\nCSeq: CSEQ\r\n\r\n") => Refused("404");
    c90_no_session_left: script().whole("SETUP", "RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: CSEQ\r\n\r\n") => Refused("453");
}

rows! {
    both_tracks_on_the_same_channels:
        script().on("SETUP", |_, text| text.replace("interleaved=2-3", "interleaved=0-1")) => Relayed;
    channels_that_are_swapped:
        script().media(|n, packets| {
            let mut bytes: Vec<u8> = packets.iter().flat_map(|packet| frame(2, packet)).collect();
            let sound = [&[0x80, 0, (n >> 8) as u8, n as u8, 0, 0, 0, n as u8, 0, 0, 0, 9][..], b"sound"].concat();
            bytes.extend(frame(0, &sound));
            bytes
        }) => Relayed;
    no_session_at_all: script().on("*", |_, text| text.replace("Session: 12345678;timeout=60\r\n", "")) => Relayed;
    an_empty_session: script().on("*", |_, text| text.replace("12345678;timeout=60", "")) => Relayed;
    a_session_of_odd_characters: script().on("*", |_, text| text.replace("12345678", "a-b_c.d$e+f/g=h")) => Relayed;
    a_session_timeout_with_a_unit: script().on("*", |_, text| text.replace("timeout=60", "timeout=60s")) => Relayed;
    a_base_of_another_host:
        script().on("DESCRIBE", |_, text| text.replace("Content-Base: rtsp://127.0.0.1", "Content-Base: rtsp://192.168.1.10")) => Relayed;
    a_base_that_leads_nowhere:
        script().on("DESCRIBE", |_, text| text.replace("/live/\r\nContent-Type", "/wrong/\r\nContent-Type"))
        .on("SETUP", |ask, text| if ask.has("/wrong") {
            format!("RTSP/1.0 404 Not Found\r\nCSeq: {}\r\n\r\n", ask.cseq)
        } else { text }) => Relayed;
    play_is_never_answered_and_media_comes:
        script().on("PLAY", |_, _| Reply::Ignore).plays_anyway() => Relayed;
    play_wants_the_session_of_the_last_setup:
        script().on("SETUP", |ask, text| if ask.has("track1") { text.replace("12345678", "87654321") } else { text })
        .on("PLAY", |ask, text| if ask.has("87654321") { text } else {
            format!("RTSP/1.0 454 Session Not Found\r\nCSeq: {}\r\n\r\n", ask.cseq)
        }) => Relayed;
    play_without_a_range_only:
        script().on("PLAY", |ask, text| if ask.has("Range") {
            format!("RTSP/1.0 457 Invalid Range\r\nCSeq: {}\r\n\r\n", ask.cseq)
        } else { text }) => Relayed;
    the_connection_is_closed_with_the_challenge:
        script().login("ann:hunter2@").on("DESCRIBE", |ask, text| if ask.has("Authorization") { Reply::from(text) } else {
            Reply::SendAndClose(format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {}\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n\r\n", ask.cseq).into())
        }) => Relayed;
    the_connection_is_closed_after_the_description:
        script().on("DESCRIBE", |ask, text| if ask.before.is_multiple_of(3) {
            Reply::SendAndClose(text.into())
        } else { Reply::from(text) }) => Relayed;
    tcp_is_refused: script().whole("SETUP", "RTSP/1.0 461 Unsupported Transport\r\nCSeq: CSEQ\r\n\r\n") => Refused("461");
    every_answer_is_an_internal_error: script().whole("DESCRIBE", "RTSP/1.0 500 Internal Server Error\r\nCSeq: CSEQ\r\n\r\n") => Refused("500");
    a_camera_that_is_forbidden: script().whole("DESCRIBE", "RTSP/1.0 403 Forbidden\r\nCSeq: CSEQ\r\n\r\n") => Refused("403");
    a_login_without_a_challenge: script().login("ann:hunter2@").whole("DESCRIBE", "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\n\r\n") => Refused("401");
    a_login_nobody_gave: script().whole("DESCRIBE", "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n") => Refused("401");
}
