//! The first message to a browser: what it needs to set its decoders up.

use serde::Serialize;

use crate::codec::{Codec, ParameterSetKind, ParameterSets, parameters};
use crate::sdp::Track;

/// The message, as JSON. `clock` is the time on the clock of the sender reports, in milliseconds since 1970.
pub(super) fn hello<'t>(stream: &str, tracks: impl Iterator<Item = &'t Track>, clock: f64) -> String {
    let hello = Hello { stream, tracks: tracks.map(TrackHello::new).collect(), clock };
    serde_json::to_string(&hello).expect("there is no map with keys that are no text")
}

#[derive(Serialize)]
struct Hello<'t> {
    stream: &'t str,
    tracks: Vec<TrackHello<'t>>,
    clock: f64,
}

/// A track.
#[derive(Serialize)]
struct TrackHello<'t> {
    /// Its packets come on the channel `2 * id`, its reports on the one behind.
    id: u8,
    kind: &'t str,
    /// What the relay makes of it.
    codec: &'static str,
    /// The encoding name of its SDP, which tells sound apart.
    encoding: Option<&'t str>,
    payload_type: u8,
    clock_rate: u32,
    channels: Option<u16>,
    /// The parameters of its `a=fmtp`.
    fmtp: Option<&'t str>,
    /// As WebCodecs and Media Source name it (RFC 6381), where that is known.
    #[serde(rename = "codec_string")]
    name: Option<String>,
    /// Width and height, where JPEG pictures do not say.
    size: Option<(u16, u16)>,
    /// The NAL units a decoder needs first, in base64 and in that order; of H.264 and H.265 only.
    parameter_sets: Vec<String>,
}

impl<'t> TrackHello<'t> {
    fn new(track: &'t Track) -> Self {
        let sets = ParameterSets::from_fmtp(track.codec, track.fmtp.as_deref().unwrap_or_default());
        Self {
            id: track.id.0,
            kind: &track.kind,
            codec: track.codec.name(),
            encoding: track.encoding.as_deref(),
            payload_type: track.payload_type,
            clock_rate: track.clock_rate,
            channels: track.channels,
            fmtp: track.fmtp.as_deref(),
            name: codec_string(track, &sets),
            size: track.dimensions(),
            parameter_sets: sets.iter().map(base64).collect(),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn codec_string(track: &Track, sets: &ParameterSets) -> Option<String> {
    let fmtp = || parameters(track.fmtp.as_deref().unwrap_or_default());
    let value =
        |name: &str| fmtp().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let number = |name: &str| value(name).and_then(|value| value.parse::<u32>().ok());
    match (track.codec, track.encoding.as_deref()) {
        (Codec::H264, _) => sets.of(ParameterSetKind::Sequence).find_map(avc_string),
        (Codec::H265, _) => sets.of(ParameterSetKind::Sequence).find_map(hevc_string),
        // The AV1 RTP specification, section 7.2.1: profile 0, level 2.0 and tier 0 unless it says otherwise; the depth is not said.
        (Codec::Av1, _) => {
            let (profile, level) = (number("profile").unwrap_or(0), number("level-idx").unwrap_or(5));
            let tier = if number("tier").unwrap_or(0) == 1 { 'H' } else { 'M' };
            Some(format!("av01.{profile}.{level:02}{tier}.08"))
        }
        (Codec::Vp8, _) => Some("vp8".to_owned()),
        (Codec::Vp9, _) => Some(format!("vp09.{:02}.10.08", number("profile-id").unwrap_or(0))),
        (Codec::Audio, Some("MPEG4-GENERIC" | "MP4A-LATM")) => {
            // The object type stands in the first five bits of the configuration (ISO/IEC 14496-3 section 1.6.2.1).
            let first = value("config").and_then(|config| u8::from_str_radix(config.get(..2)?, 16).ok());
            Some(format!("mp4a.40.{}", first.map_or(2, |first| first >> 3)))
        }
        (Codec::Audio, Some("OPUS")) => Some("opus".to_owned()),
        _ => None,
    }
}

/// Profile, constraints and level stand behind the header of the NAL unit (RFC 6381 section 3.3).
fn avc_string(sps: &[u8]) -> Option<String> {
    let &[_, profile, constraints, level, ..] = sps else { return None };
    Some(format!("avc1.{profile:02X}{constraints:02X}{level:02X}"))
}

/// ISO/IEC 14496-15 annex E: what `profile_tier_level` says, whose 11 bytes are behind the two of the header and the one of
/// layers.
fn hevc_string(sps: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(MAX_PROFILE);
    for &byte in sps.get(3..)? {
        // Without the bytes that keep start codes out (ITU-T H.265 section 7.3.1.1).
        if !(byte == 3 && plain.ends_with(&[0, 0])) {
            plain.push(byte);
        }
        if plain.len() == MAX_PROFILE {
            break;
        }
    }
    let &[first, c0, c1, c2, c3, ref constraints @ .., level] = plain.as_slice() else { return None };
    if constraints.len() != 6 {
        return None;
    }
    let space = ["", "A", "B", "C"][usize::from(first >> 6)];
    let tier = if first & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let mut name = format!("hvc1.{space}{}.{compatible:X}.{tier}{level}", first & 0x1F);
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        name.push_str(&format!(".{byte:X}"));
    }
    Some(name)
}

/// Bytes of general profile, tier and level.
const MAX_PROFILE: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{Description, parse};

    fn hello_of(sdp: &str) -> serde_json::Value {
        let description = Description::from_sdp(&parse(sdp.as_bytes()).unwrap());
        serde_json::from_str(&hello("door", description.tracks.iter(), 12.5)).unwrap()
    }

    fn name(sdp: &str) -> Option<String> {
        hello_of(sdp)["tracks"][0]["codec_string"].as_str().map(str::to_owned)
    }

    #[test]
    fn h264_is_named_by_its_parameter_sets() {
        let hello = hello_of(
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
             a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==",
        );
        let track = &hello["tracks"][0];
        assert_eq!((&hello["stream"], &hello["clock"]), (&"door".into(), &12.5.into()));
        assert_eq!(track["codec"], "h264");
        assert_eq!(track["codec_string"], "avc1.4D001F");
        assert_eq!(track["parameter_sets"], serde_json::json!(["Z00AH5WoFAFuQA==", "aO48gA=="]));
    }

    #[test]
    fn h265_is_named_by_its_profile_tier_and_level() {
        let sdp = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-vps=QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ;\
            sprop-sps=QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE;sprop-pps=RAHAcvAbJA==";
        assert_eq!(name(sdp).as_deref(), Some("hvc1.1.6.L150"));
    }

    #[test]
    fn what_has_no_parameter_sets_is_named_by_its_fmtp_or_not_at_all() {
        for (sdp, expected) in [
            ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000", None),
            ("m=video 0 RTP/AVP 26", None),
            (
                "m=video 0 RTP/AVP 96\na=rtpmap:96 AV1/90000\na=fmtp:96 level-idx=8;tier=1",
                Some("av01.0.08H.08"),
            ),
            (
                "m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/48000/2\na=fmtp:97 config=1190;mode=AAC-hbr",
                Some("mp4a.40.2"),
            ),
            ("m=audio 0 RTP/AVP 97\na=rtpmap:97 opus/48000/2", Some("opus")),
            ("m=audio 0 RTP/AVP 8", None),
        ] {
            assert_eq!(name(sdp).as_deref(), expected, "{sdp}");
        }
    }
}
