//! The parameter sets of an H.264 or H.265 track: from the camera's fmtp, kept current from what goes by in-band.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Codec;
use super::bits::Bits;
use super::fmtp::parameters;
use super::nal::split_annex_b;

/// Which parameter set a NAL unit is, in the order a decoder needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParameterSetKind {
    /// Video parameter set, H.265 only.
    Video,
    /// Sequence parameter set.
    Sequence,
    /// Picture parameter set.
    Picture,
}

/// The parameter sets a decoder needs before the first picture: whole NAL units with their header, without start codes.
///
/// At most 16 of at most 4 KiB each; what goes beyond is not learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    /// In order of kind and id.
    sets: Vec<ParameterSet>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ParameterSet {
    kind: ParameterSetKind,
    id: u32,
    nal: Vec<u8>,
}

impl ParameterSets {
    /// What an fmtp tells: `sprop-parameter-sets` (RFC 6184 section 8.1), or `sprop-vps`, `sprop-sps` and `sprop-pps`
    /// (RFC 7798 section 7.1). What a NAL unit is, its own header says. Start codes, missing padding and broken entries
    /// are passed over.
    pub fn from_fmtp(codec: Codec, fmtp: &str) -> Self {
        let names: &[&str] = match codec {
            Codec::H264 => &["sprop-parameter-sets"],
            Codec::H265 => &["sprop-vps", "sprop-sps", "sprop-pps"],
            _ => &[],
        };
        let mut sets = Self::default();
        for (name, value) in parameters(fmtp) {
            if !names.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                continue;
            }
            for entry in value.split(',') {
                let Ok(bytes) = BASE64.decode(entry.trim()) else { continue };
                for nal in split_annex_b(&bytes) {
                    sets.learn(codec, nal);
                }
            }
        }
        sets
    }

    /// Takes in one NAL unit if it is a parameter set of `codec`; `true` when that is news. The same id replaces.
    pub(super) fn learn(&mut self, codec: Codec, nal: &[u8]) -> bool {
        if nal.len() > MAX_LENGTH || self.sets.iter().any(|set| set.nal == nal) {
            return false;
        }
        let Some((kind, id)) = identify(codec, nal) else { return false };
        match self.sets.binary_search_by_key(&(kind, id), |set| (set.kind, set.id)) {
            Ok(found) => self.sets[found].nal = nal.to_vec(),
            Err(_) if self.sets.len() >= MAX_SETS => return false,
            Err(place) => self.sets.insert(place, ParameterSet { kind, id, nal: nal.to_vec() }),
        }
        true
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// All of them, in the order a decoder needs them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.sets.iter().map(|set| set.nal.as_slice())
    }

    /// Those of one kind, by id.
    pub fn of(&self, kind: ParameterSetKind) -> impl Iterator<Item = &[u8]> {
        self.sets.iter().filter(move |set| set.kind == kind).map(|set| set.nal.as_slice())
    }

    /// Whether a decoder of `codec` can begin with them.
    pub fn is_complete(&self, codec: Codec) -> bool {
        let has = |kind| self.of(kind).next().is_some();
        has(ParameterSetKind::Sequence)
            && has(ParameterSetKind::Picture)
            && (codec != Codec::H265 || has(ParameterSetKind::Video))
    }
}

/// Which parameter set of `codec` a NAL unit is, and its id.
fn identify(codec: Codec, nal: &[u8]) -> Option<(ParameterSetKind, u32)> {
    use ParameterSetKind::{Picture, Sequence, Video};
    const FORBIDDEN: u8 = 0x80;
    if nal.first()? & FORBIDDEN != 0 {
        return None;
    }
    let (kind, id, ids) = match codec {
        Codec::H264 => match nal[0] & 0x1f {
            // Section 7.3.2.1.1: profile, constraints and level are a byte each, then the id.
            7 => (Sequence, Bits::new(nal.get(4..)?).ue()?, 32),
            8 => (Picture, Bits::new(&nal[1..]).ue()?, 256),
            _ => return None,
        },
        Codec::H265 => match nal[0] >> 1 & 0x3f {
            32 => (Video, Bits::new(nal.get(2..)?).number(4)?, 16),
            33 => (Sequence, h265_sps_id(nal.get(2..)?)?, 16),
            34 => (Picture, Bits::new(nal.get(2..)?).ue()?, 64),
            _ => return None,
        },
        _ => return None,
    };
    (id < ids).then_some((kind, id))
}

/// The id in an H.265 SPS, which stands behind the profile, tier and level (sections 7.3.2.2.1 and 7.3.3).
fn h265_sps_id(rbsp: &[u8]) -> Option<u32> {
    const PROFILE: u32 = 88;
    const LEVEL: u32 = 8;
    let mut bits = Bits::new(rbsp);
    bits.skip(4)?;
    let sub_layers = bits.number(3)?;
    bits.skip(1 + PROFILE + LEVEL)?;
    let mut present = 0;
    for _ in 0..sub_layers {
        present += PROFILE * bits.bit()?;
        present += LEVEL * bits.bit()?;
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers))?;
    }
    bits.skip(present)?;
    bits.ue()
}

const MAX_SETS: usize = 16;
const MAX_LENGTH: usize = 4096;

/// Base64 as cameras write it: the padding may be missing, the last bits may be anything.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    /// A Dahua camera's H.265 parameters.
    const DAHUA: &str = "profile-id=1;sprop-sps=QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=;\
        sprop-pps=RAHA8saNA7NA;sprop-vps=QAEMAf//AWAAAAMAsAAAAwAAAwBarAwAAAMABAAAAwAyqA==";

    fn h264(fmtp: &str) -> Vec<Vec<u8>> {
        ParameterSets::from_fmtp(Codec::H264, fmtp).iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn h264_sets_come_from_the_fmtp() {
        let fmtp =
            "packetization-mode=1;profile-level-id=4D001F;sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==";
        let sets = h264(fmtp);
        assert_eq!(sets[0][..4], [0x67, 0x4d, 0, 0x1f]);
        assert_eq!(sets[1], [0x68, 0xee, 0x3c, 0x80]);
        assert!(ParameterSets::from_fmtp(Codec::H264, fmtp).is_complete(Codec::H264));
        assert!(ParameterSets::from_fmtp(Codec::Vp8, fmtp).is_empty());
    }

    #[test]
    fn start_codes_and_missing_padding_in_the_fmtp_are_survived() {
        // A GW Security camera appends one, moonfire-nvr 213 and 331 have them in front.
        assert_eq!(h264("sprop-parameter-sets=aO48gAAAAAE="), [[0x68, 0xee, 0x3c, 0x80]]);
        assert_eq!(h264("sprop-parameter-sets=AAAAAWjuPIA="), [[0x68, 0xee, 0x3c, 0x80]]);
        assert_eq!(h264("sprop-parameter-sets=aO48gA"), [[0x68, 0xee, 0x3c, 0x80]]);
        assert_eq!(h264("sprop-parameter-sets=!!,,aO48gA=="), [[0x68, 0xee, 0x3c, 0x80]]);
    }

    #[test]
    fn h265_sets_are_ordered_by_kind() {
        let sets = ParameterSets::from_fmtp(Codec::H265, DAHUA);
        let kinds: Vec<u8> = sets.iter().map(|nal| nal[0] >> 1).collect();
        assert_eq!(kinds, [32, 33, 34]);
        assert!(sets.sets.iter().all(|set| set.id == 0));
        assert!(sets.is_complete(Codec::H265));
        assert_eq!(sets.of(ParameterSetKind::Picture).count(), 1);
    }

    #[test]
    fn a_set_with_the_same_id_replaces_and_the_same_bytes_are_no_news() {
        let mut sets = ParameterSets::default();
        assert!(sets.learn(Codec::H264, &[0x68, 0xee, 0x3c]));
        assert!(!sets.learn(Codec::H264, &[0x68, 0xee, 0x3c]));
        assert!(sets.learn(Codec::H264, &[0x68, 0xee, 0x3d]));
        assert_eq!(sets.iter().count(), 1);
        assert!(sets.learn(Codec::H264, &[0x68, 0b0101_0000]), "id 1");
        assert_eq!(sets.iter().count(), 2);
    }

    #[test]
    fn an_sps_with_sub_layers_has_its_id_behind_them() {
        // One sub-layer with a level, no profile; then seven times two reserved bits, the level, and ue(3).
        let mut sps = vec![0x42, 1, 0b0000_0011];
        sps.extend([1; 12]);
        sps.extend([0b0100_0000, 0, 93, 0b0010_0100]);
        assert_eq!(identify(Codec::H265, &sps), Some((ParameterSetKind::Sequence, 3)));
    }

    #[test]
    fn number_and_length_are_bounded() {
        let mut sets = ParameterSets::default();
        assert!(!sets.learn(Codec::H264, &[&[0x68, 0xff], [1; MAX_LENGTH].as_slice()].concat()));
        for id in 0..64u32 {
            // ue(v) of ids 31..=62 takes eleven bits: five zeros, then id + 1 in six.
            let number = (id % 32 + 32) << 5;
            let bytes = number.to_be_bytes();
            sets.learn(Codec::H264, &[0x68, bytes[2], bytes[3], 0x80, 1]);
        }
        assert_eq!(sets.iter().count(), MAX_SETS);
        assert!(!sets.learn(Codec::H264, &[0xe8, 0xee]), "the forbidden bit");
        assert!(!sets.learn(Codec::H264, &[0x67, 1, 2, 3]), "no id");
    }
}
