//! What a track carries, and where in it a decoder can start.
//!
//! [`AccessPoints`] reads the first bytes of every RTP payload of one track and says which packets are the first of a
//! key frame (so a viewer may begin there), which begin a frame, and which can be left out without hurting any other.
//! It has no look-ahead and allocates only when a parameter set is new.
//!
//! | codec | payload format | access point |
//! |---|---|---|
//! | H.264 | RFC 6184 | SPS or PPS that leads to a key picture, else the first packet of an IDR picture |
//! | H.265 | RFC 7798 | VPS, SPS or PPS, else the first packet of an IRAP picture (types 16 to 23) |
//! | AV1 | AOM RTP specification 1.0 | the N bit, or a sequence header not followed by an inter frame |
//! | VP8 | RFC 7741 | start of partition 0 of a frame whose P bit is clear |
//! | VP9 | RFC 9628 | start of a frame not predicted from another, spatial layer 0 |
//! | JPEG | RFC 2435 | every frame: the fragment at offset 0 |
//! | all else | | the first packet of every timestamp |

mod av1;
mod bits;
mod fmtp;
mod fragment;
mod gate;
mod h264;
mod h265;
mod nal;
mod parameter_sets;
mod picture;
mod seen;
mod vpx;

pub(crate) use fmtp::parameters;
pub use fragment::Cutting;
pub use parameter_sets::{ParameterSetKind, ParameterSets};
pub use picture::Picture;

/// What a track carries, as coarse as a relay needs it; the exact encoding name stays with the track's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 (RFC 6184).
    H264,
    /// H.265 (RFC 7798).
    H265,
    /// AV1 (AOM's RTP payload specification).
    Av1,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// JPEG frames (RFC 2435).
    Jpeg,
    /// Any audio.
    Audio,
    /// ONVIF metadata: XML documents about what the camera sees.
    Metadata,
    /// Anything else, or a payload type the camera did not explain.
    Other,
}

impl Codec {
    /// The codec of a medium: `kind` is the first word of its `m=` line, `encoding` the name in its rtpmap. The case of
    /// either does not matter.
    pub fn of(kind: &str, encoding: &str) -> Self {
        let is = |name: &str| encoding.eq_ignore_ascii_case(name);
        let starts =
            |name: &str| encoding.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if kind.eq_ignore_ascii_case("audio") {
            Self::Audio
        } else if is("H264") {
            Self::H264
        } else if is("H265") || is("HEVC") {
            Self::H265
        } else if is("AV1") {
            Self::Av1
        } else if is("VP8") {
            Self::Vp8
        } else if is("VP9") {
            Self::Vp9
        } else if is("JPEG") {
            Self::Jpeg
        } else if starts("VND.ONVIF.METADATA") {
            // Also .GZIP and .EXI.*, ONVIF streaming specification section 5.1.2.1.1.
            Self::Metadata
        } else {
            Self::Other
        }
    }

    /// Every value.
    pub const ALL: &'static [Self] = &[
        Self::H264,
        Self::H265,
        Self::Av1,
        Self::Vp8,
        Self::Vp9,
        Self::Jpeg,
        Self::Audio,
        Self::Metadata,
        Self::Other,
    ];

    /// The name for the API, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Av1 => "av1",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Jpeg => "jpeg",
            Self::Audio => "audio",
            Self::Metadata => "metadata",
            Self::Other => "other",
        }
    }

    /// Whether a viewer has to wait for a key frame: not so where every frame stands alone.
    pub fn has_key_frames(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Av1 | Self::Vp8 | Self::Vp9)
    }
}

/// What one packet is to a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketKind {
    /// First packet of a random access point: a viewer may start with this one. Set once for each.
    pub key: bool,
    /// First packet of a frame: its timestamp differs from the packet's before.
    pub frame_start: bool,
    /// A part of a picture that no other needs (H.264 `nal_ref_idc` 0, H.265 sub-layer non-reference in the top layer, VP8
    /// N bit): it can be left out as a whole with its frame.
    pub droppable: bool,
    /// Nothing of a picture, only what is said about one (delimiters, SEI messages): of no use without its frame.
    pub supplement: bool,
}

/// Watches the RTP payloads of one track, in order, and says where a decoder can start.
///
/// One per track and epoch: after a reconnect make a new one.
#[derive(Debug)]
pub struct AccessPoints {
    timestamp: Option<u32>,
    syntax: Syntax,
}

/// What other frames lose without a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// Something, or nobody knows.
    Needed,
    /// Nothing: a part of a picture that no other needs.
    Droppable,
    /// Nothing: there is no part of a picture in it.
    Supplement,
}

#[derive(Debug)]
enum Syntax {
    H264(h264::Watch),
    H265(h265::Watch),
    Av1(av1::Watch),
    Vp8,
    Vp9,
    Jpeg,
    EveryFrame,
}

impl AccessPoints {
    /// A watch for a track whose `a=fmtp` parameters (without the payload type) are `fmtp`.
    pub fn new(codec: Codec, fmtp: Option<&str>) -> Self {
        let fmtp = fmtp.unwrap_or_default();
        let syntax = match codec {
            Codec::H264 => Syntax::H264(h264::Watch::new(ParameterSets::from_fmtp(codec, fmtp))),
            Codec::H265 => Syntax::H265(h265::Watch::new(ParameterSets::from_fmtp(codec, fmtp), fmtp)),
            Codec::Av1 => Syntax::Av1(av1::Watch::default()),
            Codec::Vp8 => Syntax::Vp8,
            Codec::Vp9 => Syntax::Vp9,
            Codec::Jpeg => Syntax::Jpeg,
            Codec::Audio | Codec::Metadata | Codec::Other => Syntax::EveryFrame,
        };
        Self { timestamp: None, syntax }
    }

    /// What the next packet is. `payload` is what follows the RTP header, its CSRCs and its extension, without padding;
    /// anything may stand in it, a truncated or hostile one is simply no key frame.
    pub fn inspect(&mut self, payload: &[u8], timestamp: u32) -> PacketKind {
        let frame_start = self.timestamp != Some(timestamp);
        self.timestamp = Some(timestamp);
        let (key, worth) = match &mut self.syntax {
            Syntax::H264(watch) => watch.inspect(payload, timestamp),
            Syntax::H265(watch) => watch.inspect(payload, timestamp),
            Syntax::Av1(watch) => (watch.inspect(payload, timestamp), Worth::Needed),
            Syntax::Vp8 => {
                let (key, droppable) = vpx::vp8(payload);
                (key, if droppable { Worth::Droppable } else { Worth::Needed })
            }
            Syntax::Vp9 => (vpx::vp9(payload), Worth::Needed),
            Syntax::Jpeg => (jpeg(payload), Worth::Needed),
            Syntax::EveryFrame => (frame_start, Worth::Needed),
        };
        PacketKind {
            key,
            frame_start,
            droppable: worth == Worth::Droppable,
            supplement: worth == Worth::Supplement,
        }
    }

    /// The parameter sets of H.264 and H.265, from the fmtp and from what went by since; `None` when there are none.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        let sets = match &self.syntax {
            Syntax::H264(watch) => watch.parameter_sets(),
            Syntax::H265(watch) => watch.parameter_sets(),
            Syntax::Av1(_) | Syntax::Vp8 | Syntax::Vp9 | Syntax::Jpeg | Syntax::EveryFrame => return None,
        };
        (!sets.is_empty()).then_some(sets)
    }

    /// Whether the packet inspected last brings the parameter sets of a sequence, or none can be put in front of it.
    pub fn opens_with_parameter_sets(&self) -> bool {
        match &self.syntax {
            Syntax::H264(watch) => watch.opens(),
            Syntax::H265(watch) => watch.opens(),
            Syntax::Av1(_) | Syntax::Vp8 | Syntax::Vp9 | Syntax::Jpeg | Syntax::EveryFrame => true,
        }
    }

    /// Whether packets brought a parameter set that was not known yet, since the last time this was asked.
    pub fn parameter_sets_changed(&mut self) -> bool {
        match &mut self.syntax {
            Syntax::H264(watch) => watch.take_changed(),
            Syntax::H265(watch) => watch.take_changed(),
            Syntax::Av1(_) | Syntax::Vp8 | Syntax::Vp9 | Syntax::Jpeg | Syntax::EveryFrame => false,
        }
    }
}

/// Whether an RFC 2435 payload begins a frame: an eight-byte header whose 24-bit fragment offset is 0.
fn jpeg(payload: &[u8]) -> bool {
    matches!(payload, [_, 0, 0, 0, _, _, _, _, ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Codec; 9] = [
        Codec::H264,
        Codec::H265,
        Codec::Av1,
        Codec::Vp8,
        Codec::Vp9,
        Codec::Jpeg,
        Codec::Audio,
        Codec::Metadata,
        Codec::Other,
    ];

    #[test]
    fn a_codec_is_known_by_its_encoding_name_in_any_case() {
        assert_eq!(Codec::of("video", "h264"), Codec::H264);
        assert_eq!(Codec::of("video", "HEVC"), Codec::H265);
        assert_eq!(Codec::of("VIDEO", "Av1"), Codec::Av1);
        assert_eq!(Codec::of("audio", "MPEG4-GENERIC"), Codec::Audio);
        assert_eq!(Codec::of("application", "vnd.onvif.metadata.gzip"), Codec::Metadata);
        assert_eq!(Codec::of("video", "MP4V-ES"), Codec::Other);
        assert_eq!(Codec::of("video", ""), Codec::Other);
    }

    #[test]
    fn every_jpeg_frame_is_an_access_point_and_only_its_first_fragment() {
        let mut points = AccessPoints::new(Codec::Jpeg, None);
        let fragment = |offset: u8| [0, 0, 0, offset, 1, 80, 40, 30, 0xaa];
        assert!(points.inspect(&fragment(0), 1).key);
        assert!(!points.inspect(&fragment(9), 1).key);
        assert!(!points.inspect(&fragment(9), 2).key, "the first fragment of this frame was lost");
        assert!(points.inspect(&fragment(0), 3).key);
        assert!(!points.inspect(&[0, 0, 0, 0], 4).key, "shorter than the header");
    }

    #[test]
    fn every_timestamp_of_audio_and_of_unknown_codecs_is_an_access_point() {
        for codec in [Codec::Audio, Codec::Metadata, Codec::Other] {
            let mut points = AccessPoints::new(codec, None);
            let kinds = [1, 1, 2].map(|timestamp| points.inspect(&[1, 2, 3], timestamp));
            assert_eq!(kinds.map(|kind| kind.key), [true, false, true]);
            assert_eq!(kinds.map(|kind| kind.frame_start), [true, false, true]);
            assert!(points.parameter_sets().is_none());
            assert!(!points.parameter_sets_changed());
        }
    }

    /// Bytes that often look like the start of a real payload.
    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            any::<u8>(),
            prop::sample::select(vec![
                0x67, 0x68, 0x65, 0x41, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x40, 0x42, 0x44, 0x26, 0x60,
                0x62, 0x10, 0x90, 0x08, 0x18, 0xff, 0,
            ]),
        ];
        (first, prop::collection::vec(prop_oneof![any::<u8>(), Just(0u8), Just(0xffu8)], 0..80)).prop_map(
            |(first, rest)| {
                let mut payload = vec![first];
                payload.extend(rest);
                payload
            },
        )
    }

    proptest! {
        #[test]
        fn no_sequence_of_payloads_panics_or_grows_without_bound(
            packets in prop::collection::vec((payload(), 0u32..4), 0..60),
            don in any::<bool>(),
        ) {
            let fmtp = don.then_some("sprop-max-don-diff=2");
            for codec in ALL {
                let mut points = AccessPoints::new(codec, fmtp);
                let mut before = None;
                prop_assert!(!points.inspect(&[], 9).droppable);
                for (payload, timestamp) in &packets {
                    let kind = points.inspect(payload, *timestamp);
                    prop_assert_eq!(kind.frame_start, before != Some(*timestamp));
                    before = Some(*timestamp);
                }
                let bytes: usize = points.parameter_sets().map_or(0, |sets| sets.iter().map(<[u8]>::len).sum());
                prop_assert!(bytes <= 16 * 4096);
            }
        }

        #[test]
        fn no_fmtp_panics(fmtp in "[ -~]{0,80}", sprop in prop::collection::vec(any::<u8>(), 0..60)) {
            use base64::Engine as _;
            let sprop = base64::engine::general_purpose::STANDARD.encode(sprop);
            for codec in ALL {
                AccessPoints::new(codec, Some(&fmtp));
                let fmtp = format!("{fmtp};sprop-parameter-sets={sprop},{sprop};sprop-sps={sprop}");
                AccessPoints::new(codec, Some(&fmtp));
            }
        }
    }
}
