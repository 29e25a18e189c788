//! One track as viewers see it: what the camera said of it, without where the camera is.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::encoding::{is_token, usual_clock_rate};
use super::media::{Attribute, Media};
use crate::codec::{Codec, ParameterSetKind, ParameterSets, parameters};
use crate::vocabulary::TrackId;

/// A track of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number, which is also its control URL: `trackID=N`.
    pub id: TrackId,
    /// The kind of medium: `video`, `audio`, `application`.
    pub kind: String,
    /// What the relay makes of it.
    pub codec: Codec,
    /// The encoding name in upper case; `None` for a dynamic payload type the camera did not explain.
    pub encoding: Option<String>,
    /// The RTP payload type, the camera's own.
    pub payload_type: u8,
    /// RTP timestamp units per second, never 0.
    pub clock_rate: u32,
    /// Audio channels, if known.
    pub channels: Option<u16>,
    /// The parameters of `a=fmtp`, without the payload type.
    pub fmtp: Option<String>,
    /// Further attributes that players use, such as `framerate`. Never addresses, keys or controls.
    pub attributes: Vec<Attribute>,
    /// `b=AS`, in kbit/s.
    pub bandwidth: Option<u32>,
}

impl Track {
    /// Whether it carries pictures.
    pub fn is_video(&self) -> bool {
        self.kind.eq_ignore_ascii_case("video")
    }

    /// Width and height of JPEG pictures that are too large for RFC 2435 to say (`a=x-dimensions`).
    pub fn dimensions(&self) -> Option<(u16, u16)> {
        let attribute = self.attributes.iter().find(|attribute| attribute.name == "x-dimensions")?;
        let (width, height) = attribute.value.as_deref()?.split_once(',')?;
        Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
    }

    /// The track for a camera's medium, or `None` when it has no payload type or is no plain RTP. Parameter sets in its
    /// fmtp are put right on the way: start codes removed, the H.264 profile taken from the SPS.
    pub fn from_media(id: TrackId, media: &Media) -> Option<Self> {
        let payload_type = *media.payload_types.first()?;
        // TP-Link says `application/TP-LINK`, which is not a word of the grammar.
        let kind = media.kind.split('/').next().filter(|kind| is_token(kind))?.to_owned();
        // `AVP`, `TCP/RTP/AVP` and the like are all meant the same; what is encrypted says so.
        let plain =
            media.protocol.is_empty() || ["RTP", "AVP"].iter().any(|word| media.protocol.contains(word));
        if !plain || media.protocol.contains("SAVP") {
            return None;
        }
        let encoding = media.encoding();
        let codec = Codec::of(&kind, encoding.as_ref().map_or("", |encoding| &encoding.name));
        let clock_rate = match &encoding {
            Some(encoding) => encoding.clock_rate,
            None => usual_clock_rate(payload_type, &kind),
        };
        let channels = encoding.as_ref().and_then(|encoding| encoding.channels).filter(|_| kind == "audio");
        let fmtp = media.fmtp(payload_type).and_then(publishable_fmtp);
        let mut track = Self {
            id,
            kind,
            codec,
            encoding: encoding.map(|encoding| encoding.name),
            payload_type,
            clock_rate,
            channels,
            fmtp,
            attributes: kept_attributes(media),
            bandwidth: media.bandwidth,
        };
        let told = ParameterSets::from_fmtp(codec, track.fmtp.as_deref().unwrap_or_default());
        track.set_parameter_sets(&told);
        Some(track)
    }

    /// Puts the parameter sets of H.264 or H.265 into the fmtp, in place of the camera's or in addition; `true` when that
    /// changed anything. Sets a decoder could not begin with, and those of other codecs, change nothing.
    pub fn set_parameter_sets(&mut self, sets: &ParameterSets) -> bool {
        if !sets.is_complete(self.codec) {
            return false;
        }
        let joined = |kinds: &[ParameterSetKind]| {
            let sets = kinds.iter().flat_map(|kind| sets.of(*kind));
            sets.map(|nal| BASE64.encode(nal)).collect::<Vec<_>>().join(",")
        };
        use ParameterSetKind::{Picture, Sequence, Video};
        let wanted = match self.codec {
            Codec::H264 => {
                // Bytes 1 to 3 of the SPS are the profile, its constraints and the level (RFC 6184 section 8.1). Cameras
                // write another there, or base64 (Macro-Video).
                let profile = sets.of(Sequence).find_map(|sps| sps.get(1..4));
                let profile = profile.map(|bytes| bytes.iter().fold(String::new(), write_hex));
                let mut wanted = vec![("sprop-parameter-sets", joined(&[Sequence, Picture]))];
                wanted.extend(profile.map(|profile| ("profile-level-id", profile)));
                wanted
            }
            Codec::H265 => vec![
                ("sprop-vps", joined(&[Video])),
                ("sprop-sps", joined(&[Sequence])),
                ("sprop-pps", joined(&[Picture])),
            ],
            _ => return false,
        };
        let old = self.fmtp.clone().unwrap_or_default();
        let mut new: Vec<(&str, &str)> = parameters(&old).collect();
        let mut changed = false;
        for (name, value) in &wanted {
            match new.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name)) {
                Some((_, found)) if found.eq_ignore_ascii_case(value) && *name == "profile-level-id" => {}
                Some((_, found)) if found == value => {}
                Some((_, found)) => (*found, changed) = (value, true),
                None => {
                    new.push((name, value));
                    changed = true;
                }
            }
        }
        if changed {
            let pair = |(name, value): &(&str, &str)| match *value {
                "" => (*name).to_owned(),
                value => format!("{name}={value}"),
            };
            self.fmtp = Some(new.iter().map(pair).collect::<Vec<_>>().join(";"));
        }
        changed
    }

    /// Appends the media section.
    pub(super) fn write(&self, sdp: &mut String) {
        let Self { kind, payload_type, .. } = self;
        let mut line = |text: std::fmt::Arguments<'_>| {
            sdp.write_fmt(text).expect("a String takes everything");
            sdp.push_str("\r\n");
        };
        line(format_args!("m={kind} 0 RTP/AVP {payload_type}"));
        if let Some(bandwidth) = self.bandwidth {
            line(format_args!("b=AS:{bandwidth}"));
        }
        if let Some(name) = &self.encoding {
            let (name, clock_rate) = (registered_spelling(name), self.clock_rate);
            match self.channels {
                Some(channels) => {
                    line(format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}/{channels}"))
                }
                None => line(format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}")),
            }
        }
        if let Some(fmtp) = &self.fmtp {
            line(format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
        for Attribute { name, value } in &self.attributes {
            line(format_args!("a={name}:{}", value.as_deref().unwrap_or_default()));
        }
        line(format_args!("a=control:trackID={}", self.id));
    }
}

/// The attributes that tell a player something about the media and nothing about the camera, each once.
fn kept_attributes(media: &Media) -> Vec<Attribute> {
    const KEPT: [&str; 10] = [
        "framerate",
        "x-framerate",
        "framesize",
        "x-dimensions",
        "cliprect",
        "ptime",
        "maxptime",
        "lang",
        "label",
        "quality",
    ];
    let mut kept: Vec<Attribute> = Vec::new();
    for Attribute { name, value } in &media.attributes {
        let (name, Some(value)) = (name.to_ascii_lowercase(), value) else { continue };
        let new = KEPT.contains(&name.as_str()) && !kept.iter().any(|other| other.name == name);
        // An H264DVR writes `framerate:0S` in front of the right one.
        let sane = !name.ends_with("framerate") || value.parse().is_ok_and(|rate: f64| rate > 0.0);
        if new && sane && !value.is_empty() && value.len() <= 255 && is_publishable(value) {
            kept.push(Attribute { name, value: Some(value.clone()) });
        }
    }
    kept
}

/// An fmtp as it is, or without the parameters that are not for viewers; `None` when nothing is left.
fn publishable_fmtp(fmtp: &str) -> Option<String> {
    if is_publishable(fmtp) {
        return Some(fmtp.to_owned());
    }
    let kept: Vec<&str> = fmtp.split(';').filter(|parameter| is_publishable(parameter)).collect();
    let kept = kept.join(";").trim().to_owned();
    (!kept.is_empty()).then_some(kept)
}

/// Whether a camera's text may go to viewers: one line, and no URL in it.
fn is_publishable(text: &str) -> bool {
    !text.contains("://") && !text.contains(char::is_control)
}

/// The encoding name as registered, for players that compare exactly; upper case is right for most.
fn registered_spelling(name: &str) -> &str {
    match name {
        "MPEG4-GENERIC" => "mpeg4-generic",
        "OPUS" => "opus",
        "VND.ONVIF.METADATA" => "vnd.onvif.metadata",
        name => name,
    }
}

fn write_hex(mut text: String, byte: &u8) -> String {
    write!(text, "{byte:02X}").expect("a String takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn track(text: &str) -> Track {
        Track::from_media(TrackId(0), &parse(text.as_bytes()).unwrap().media[0]).unwrap()
    }

    fn h264(fmtp: &str) -> Track {
        track(&format!("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 {fmtp}"))
    }

    const SETS: &str = "sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==";

    #[test]
    fn a_good_fmtp_is_kept_as_it_is() {
        let fmtp = format!("packetization-mode=1; profile-level-id=4d001f; {SETS}");
        assert_eq!(h264(&fmtp).fmtp, Some(fmtp));
        assert_eq!(h264("packetization-mode=1").fmtp.as_deref(), Some("packetization-mode=1"));
    }

    #[test]
    fn a_url_in_the_fmtp_is_left_out() {
        let fmtp = h264("packetization-mode=1; from=rtsp://u:p@10.0.0.7/1; x=y").fmtp;
        assert_eq!(fmtp.as_deref(), Some("packetization-mode=1; x=y"));
        assert_eq!(h264("rtsp://10.0.0.7/1").fmtp, None);
    }

    #[test]
    fn start_codes_and_a_wrong_profile_are_put_right() {
        // GW Security: a start code behind both; Macro-Video: a base64 profile.
        let fmtp = "packetization-mode=1;profile-level-id=TeAo;sprop-parameter-sets=AAAAAWdNAB+VqBQBbkA=,aO48gAAAAAE=;x";
        let expected = format!("packetization-mode=1;profile-level-id=4D001F;{SETS};x");
        assert_eq!(h264(fmtp).fmtp, Some(expected));
    }

    #[test]
    fn learned_parameter_sets_complete_or_replace_the_fmtp() {
        let sets = ParameterSets::from_fmtp(Codec::H264, SETS);
        let mut bare = track("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000");
        assert!(bare.set_parameter_sets(&sets));
        assert_eq!(bare.fmtp, Some(format!("{SETS};profile-level-id=4D001F")));
        assert!(!bare.set_parameter_sets(&sets), "nothing new");
        assert!(!bare.set_parameter_sets(&ParameterSets::default()));
        let mut other =
            h264("sprop-parameter-sets=Z0IAHvQCgC3I,aM48gA==;profile-level-id=42001E;packetization-mode=1");
        assert!(other.set_parameter_sets(&sets));
        assert_eq!(other.fmtp, Some(format!("{SETS};profile-level-id=4D001F;packetization-mode=1")));
    }

    #[test]
    fn h265_parameter_sets_have_a_parameter_each() {
        let fmtp = "sprop-vps=QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ;\
            sprop-sps=QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE;sprop-pps=RAHAcvAbJA==";
        let mut bare = track("m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 profile-id=1");
        assert!(bare.set_parameter_sets(&ParameterSets::from_fmtp(Codec::H265, fmtp)));
        assert_eq!(bare.fmtp, Some(format!("profile-id=1;{fmtp}")));
    }

    #[test]
    fn a_payload_type_nobody_explains_has_the_usual_clock() {
        let video = track("m=video 0 RTP/AVP 96");
        assert_eq!((video.codec, video.encoding, video.clock_rate), (Codec::Other, None, 90000));
        let audio = track("m=audio 0 RTP/AVP 97");
        assert_eq!((audio.codec, audio.encoding, audio.clock_rate), (Codec::Audio, None, 8000));
    }

    #[test]
    fn what_is_no_plain_rtp_makes_no_track() {
        for line in [
            "m=video 0 RTP/SAVP 96",
            "m=application 9 UDP/DTLS/SCTP 5000",
            "m=video 0 RTP/AVP",
            "m=<b> 0 RTP/AVP 96",
        ] {
            let sdp = parse(line.as_bytes()).unwrap();
            assert_eq!(Track::from_media(TrackId(0), &sdp.media[0]), None, "{line}");
        }
    }

    #[test]
    fn only_attributes_about_the_media_are_kept() {
        let track = track(
            "m=video 0 RTP/AVP 26\na=framerate:0S\na=FrameRate:25\na=framerate:26\na=control:rtsp://u:p@10.0.0.7/1\n\
             a=range:npt=0-\na=ssrc:1 cname:x\na=label:http://10.0.0.7/\na=x-dimensions: 1280, 720\na=sendonly\na=lang:",
        );
        let kept: Vec<_> =
            track.attributes.iter().map(|kept| (kept.name.as_str(), kept.value.as_deref())).collect();
        assert_eq!(kept, [("framerate", Some("25")), ("x-dimensions", Some("1280, 720"))]);
        assert_eq!(track.dimensions(), Some((1280, 720)));
    }
}
