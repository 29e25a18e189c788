//! c4: packets.

use super::camera::{Script, frame, frames};
use super::{Relayed, rows};

fn script() -> Script {
    Script::new()
}

/// Changes every packet.
fn packets(change: impl Fn(u32, &mut Vec<u8>) + Send + Sync + 'static) -> Script {
    script().media(move |n, mut packets| {
        packets.iter_mut().for_each(|packet| change(n, packet));
        frames(&packets)
    })
}

rows! {
    c77_a_new_source_every_second: packets(|n, packet| packet[11] = (n / 40) as u8) => Relayed;
    c78_a_sequence_that_goes_back: packets(|n, packet| {
        let number = u16::from_be_bytes([packet[2], packet[3]]).wrapping_sub((n / 70 * 300) as u16);
        packet[2..4].copy_from_slice(&number.to_be_bytes());
    }) => Relayed;
    c79_garbage_between_frames: script().stray(b"\x17garbage\xFE") => Relayed;
    c79_nuls_between_frames: script().stray(&[0; 7]) => Relayed;
    c79_line_ends_between_frames: script().stray(b"\n\r\n\n") => Relayed;
    c79_a_dollar_too_many: script().stray(b"$") => Relayed;
    c80_runts: script().stray(b"$\0\0\x05\x80\x60\0\x01\0") => Relayed;
    c80_empty_frames: script().stray(b"$\0\0\0$\x01\0\0") => Relayed;
    c80_another_version: script().stray(b"$\0\0\x0E\x40\x60\0\x01\0\0\0\0\0\0\0\x09xx") => Relayed;
    c81_short_reports: script().stray(b"$\x01\0\x02\x80\xC8") => Relayed;
    c81_reports_with_a_wrong_length: script().stray(b"$\x01\0\x08\x80\xC9\xFF\xFF\0\0\0\x09") => Relayed;
    c81_reports_that_begin_with_app: script().stray(b"$\x01\0\x0C\x80\xCC\0\x02\0\0\0\x09ABCD") => Relayed;
    c81_a_goodbye_in_between: script().stray(b"$\x01\0\x08\x81\xCB\0\x01\0\0\x5E\xED") => Relayed;
    c81_frames_of_an_unknown_channel: script().stray(b"$\x09\0\x0D\x80\x60\0\x01\0\0\0\0\0\0\0\x09x") => Relayed;
    c84_bytes_behind_the_parameter_sets:
        script().sdp_with("aO48gA==", "aO48gAAAAP8=") => Relayed;
    c86_start_codes_in_packets: packets(|_, packet| drop(packet.splice(12..12, [0, 0, 0, 1]))) => Relayed;
    c87_fragments_that_change_their_kind: packets(|_, packet| packet[13] ^= u8::from(packet[13] & 0x40 != 0) << 2) => Relayed;
    c88_packets_of_an_old_session_at_first: script().media(|n, packets| {
        let old = |n: u8| frame(0, &[&[0x80, 96, 9, n, 0, 0, 0, n, 0, 0, 0, 9][..], b"\x61old<00000009.0000.0002.P>"].concat());
        if n < 10 { [old(n as u8), frames(&packets)].concat() } else { frames(&packets) }
    }) => Relayed;
}

rows! {
    extensions_and_padding: packets(|_, packet| {
        packet[0] |= 0x30;
        packet.splice(12..12, [0xBE, 0xDE, 0, 1, 1, 2, 3, 4]);
        packet.extend([0, 0, 0, 4]);
    }) => Relayed;
    contributing_sources: packets(|_, packet| {
        packet[0] |= 2;
        packet.splice(12..12, [1; 8]);
    }) => Relayed;
    no_marker_bits: packets(|_, packet| packet[1] &= 0x7F) => Relayed;
    c85_a_marker_on_every_packet: packets(|_, packet| packet[1] |= 0x80) => Relayed;
    timestamps_that_stand_still: packets(|_, packet| packet[4..8].fill(7)) => Relayed;
    timestamps_that_stand_still_for_a_while: packets(|n, packet| {
        let still = ((n - n % 20) * 900).to_be_bytes();
        packet[4..8].copy_from_slice(&still);
    }) => Relayed;
    timestamps_that_jump: packets(|n, packet| packet[4] = (n / 30 * 77) as u8) => Relayed;
    another_payload_type_than_described: packets(|_, packet| packet[1] = packet[1] & 0x80 | 98) => Relayed;
    a_source_of_zero: packets(|_, packet| packet[8..12].fill(0)) => Relayed;
    reports_on_the_channel_of_media: script().stray(b"$\0\0\x08\x80\xC9\0\x01\0\0\x5E\xED") => Relayed;
    media_on_the_channel_of_reports: script().media(|_, packets| packets.iter().flat_map(|packet| frame(1, packet)).collect()) => Relayed;
    a_channel_that_changes: script().media(|n, packets| {
        let channel = if n < 30 { 0 } else { 8 };
        packets.iter().flat_map(|packet| frame(channel, packet)).collect()
    }) => Relayed;
    a_goodbye_and_no_end: script().stray(b"$\x01\0\x08\x81\xCB\0\x01\0\0\x5E\xED$\x01\0\x04\x80\xCB\0\0") => Relayed;
    half_an_answer_in_between: script().stray(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n") => Relayed;
    a_page_in_between: script().stray(b"<html>busy</html>\r\n") => Relayed;
}
