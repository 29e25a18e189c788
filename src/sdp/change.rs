//! What changed between two sessions of a camera: whether a decoder that runs can go on with what a track has become.

use super::track::Track;
use crate::codec::{Codec, parameters};

impl Track {
    /// Whether a viewer of this track can go on with `other` after a reconnect, without asking again: the same medium in
    /// the same encoding at the same clock, and an fmtp that is read the same way. Another resolution is no other track:
    /// its parameter sets come in-band. Nor is another payload type of the same encoding: it is written back to the one
    /// that viewers were told.
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |track: &Self| (track.id, track.codec, track.clock_rate, track.channels);
        let named = self.encoding.is_some() || self.payload_type == other.payload_type;
        key(self) == key(other)
            && named
            && self.kind == other.kind
            && self.encoding == other.encoding
            && self.reading() == other.reading()
    }

    /// The parameters of the fmtp that say how payloads are to be read, as names in lower case with their values, in
    /// order. Of video that is how it is cut into packets: the rest comes in-band with the next key frame. Of audio it is
    /// nearly everything, the `config` of AAC first of all: an AudioSpecificConfig has no other way to the decoder.
    fn reading(&self) -> Vec<(String, String)> {
        let counts = |name: &str, value: &str| match self.codec {
            // Interleaved, which only mode 2 is (RFC 6184 section 5.4).
            Codec::H264 => name == "packetization-mode" && value == "2",
            // Decoding order numbers stand in the payloads (RFC 7798 section 7.1).
            Codec::H265 => name == "sprop-max-don-diff" && value != "0",
            Codec::Audio => !DESCRIPTIVE.contains(&name),
            _ => false,
        };
        let parameters = parameters(self.fmtp.as_deref().unwrap_or_default());
        let mut reading: Vec<_> = parameters
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_ascii_lowercase()))
            .filter(|(name, value)| counts(name, value))
            .collect();
        reading.sort();
        reading
    }
}

/// Parameters of audio that no decoder needs: bounds, hints and names.
const DESCRIPTIVE: [&str; 6] =
    ["profile-level-id", "streamtype", "objecttype", "bitrate", "maxplaybackrate", "maxaveragebitrate"];

#[cfg(test)]
mod tests {
    use super::super::{Description, parse};

    fn same(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|text| {
            let mut tracks = Description::from_sdp(&parse(text.as_bytes()).unwrap()).tracks;
            assert_eq!(tracks.len(), 1, "{text}");
            tracks.remove(0)
        });
        assert_eq!(one.is_same(&other), other.is_same(&one));
        one.is_same(&other)
    }

    #[test]
    fn only_what_a_running_decoder_minds_makes_another_track() {
        let video = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1";
        for (from, to, expected) in [
            ("mode=1", "mode=0", true),
            ("mode=1", "mode=1;sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==", true),
            ("96", "97", true),
            ("mode=1", "mode=2", false),
            ("H264", "H265", false),
            ("90000", "45000", false),
            ("video", "audio", false),
        ] {
            assert_eq!(same(video, &video.replace(from, to)), expected, "{from} -> {to}");
        }
        let h265 = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 profile-id=1";
        assert!(same(h265, &h265.replace("profile-id=1", "profile-id=2;sprop-max-don-diff=0")));
        assert!(!same(h265, &h265.replace("profile-id=1", "sprop-max-don-diff=2")));
    }

    #[test]
    fn another_way_to_read_its_sound_makes_another_track() {
        let aac = "m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/16000/1\n\
            a=fmtp:97 streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;config=140A";
        for (from, to, expected) in [
            ("config=140A", "config=140a", true),
            ("streamtype=5;mode=AAC-hbr", "Mode=AAC-hbr; profile-level-id=1", true),
            ("sizelength=13;indexlength=3", "indexlength=3;sizelength=13", true),
            ("config=140A", "config=1210", false),
            ("indexlength=3;", "", false),
            ("16000/1", "8000/1", false),
            ("16000/1", "16000/2", false),
        ] {
            assert_eq!(same(aac, &aac.replace(from, to)), expected, "{from} -> {to}");
        }
        assert!(!same("m=audio 0 RTP/AVP 0", "m=audio 0 RTP/AVP 8"));
    }

    #[test]
    fn a_number_without_a_name_is_the_same_only_as_itself() {
        assert!(same("m=video 0 RTP/AVP 96", "m=video 0 RTP/AVP 96"));
        assert!(!same("m=video 0 RTP/AVP 96", "m=video 0 RTP/AVP 97"));
    }
}
