//! What a sequence parameter set says of the pictures: their size, the profile and level they need.

use super::bits::Bits;
use super::{Codec, ParameterSetKind, ParameterSets};

/// How the pictures of a track are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// In pixels, after cropping.
    pub width: u32,
    /// In pixels, after cropping.
    pub height: u32,
    /// As the field says it: `High`, `Main 10`; `other` for one that cameras do not use.
    pub profile: &'static str,
    /// The level times ten: 40 is level 4.0.
    pub level: u32,
}

impl Picture {
    /// What the first sequence parameter set of H.264 (section 7.3.2.1.1) or H.265 (section 7.3.2.2.1) says; `None`
    /// without one, or with one that cannot be read.
    pub fn of(codec: Codec, sets: &ParameterSets) -> Option<Self> {
        let sps = sets.of(ParameterSetKind::Sequence).next()?;
        match codec {
            Codec::H264 => h264(sps.get(1..)?),
            Codec::H265 => h265(sps.get(2..)?),
            _ => None,
        }
        .filter(|picture| picture.width > 0 && picture.height > 0)
    }
}

fn h264(rbsp: &[u8]) -> Option<Picture> {
    let mut bits = Bits::new(rbsp);
    let profile = bits.number(8)?;
    let constraints = bits.number(8)?;
    let level = bits.number(8)?;
    bits.ue()?; // seq_parameter_set_id
    let mut chroma = 1;
    // The profiles with more colours or scaling lists.
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 134 | 135 | 138 | 139) {
        chroma = bits.ue()?;
        if chroma == 3 {
            bits.skip(1)?; // separate_colour_plane_flag
        }
        bits.ue()?; // bit_depth_luma_minus8
        bits.ue()?; // bit_depth_chroma_minus8
        bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? == 1 {
            let lists = if chroma == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.bit()? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?; // log2_max_frame_num_minus4
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.ue()?;
            bits.ue()?;
            let cycle = bits.ue()?;
            if cycle > 255 {
                return None;
            }
            (0..cycle).try_for_each(|_| bits.ue().map(drop))?;
        }
        _ => {}
    }
    bits.ue()?; // max_num_ref_frames
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let columns = bits.ue()?.checked_add(1)?;
    let rows = bits.ue()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    if frames_only == 0 {
        bits.skip(1)?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1)?; // direct_8x8_inference_flag
    let (mut left_right, mut top_bottom) = (0, 0);
    if bits.bit()? == 1 {
        let (unit_x, unit_y) = chroma_units(chroma);
        left_right = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        top_bottom = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y * (2 - frames_only))?;
    }
    let width = columns.checked_mul(16)?.checked_sub(left_right)?;
    let height = rows.checked_mul(16)?.checked_mul(2 - frames_only)?.checked_sub(top_bottom)?;
    let profile = match profile {
        66 if constraints & 0x40 != 0 => "Constrained Baseline",
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4",
        _ => "other",
    };
    Some(Picture { width, height, profile, level })
}

/// A list of differences, of which a running value of 0 ends the reading (section 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Bits<'_>, length: u32) -> Option<()> {
    let mut last: i64 = 8;
    for _ in 0..length {
        let code = i64::from(bits.ue()?);
        let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
        let next = (last + delta).rem_euclid(256);
        if next == 0 {
            return Some(());
        }
        last = next;
    }
    Some(())
}

fn h265(rbsp: &[u8]) -> Option<Picture> {
    let mut bits = Bits::new(rbsp);
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.number(3)?;
    bits.skip(1 + 2 + 1)?; // nesting flag; profile space and tier
    let profile = bits.number(5)?;
    bits.skip(32 + 48)?; // compatibility and constraint flags
    let level = bits.number(8)?;
    let mut present = 0;
    for _ in 0..sub_layers {
        present += 88 * bits.bit()? + 8 * bits.bit()?;
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers))?;
    }
    bits.skip(present)?;
    bits.ue()?; // sps_seq_parameter_set_id
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.skip(1)?; // separate_colour_plane_flag
    }
    let (mut width, mut height) = (bits.ue()?, bits.ue()?);
    if bits.bit()? == 1 {
        let (unit_x, unit_y) = chroma_units(chroma);
        let left_right = bits.ue()?.checked_add(bits.ue()?)?;
        width = width.checked_sub(left_right.checked_mul(unit_x)?)?;
        let top_bottom = bits.ue()?.checked_add(bits.ue()?)?;
        height = height.checked_sub(top_bottom.checked_mul(unit_y)?)?;
    }
    let profile = match profile {
        1 => "Main",
        2 => "Main 10",
        3 => "Main Still Picture",
        4 => "Range Extensions",
        _ => "other",
    };
    // Three units for each tenth of a level.
    Some(Picture { width, height, profile, level: level / 3 })
}

/// Pixels that one unit of cropping takes off in width and height, by chroma format (0 is grey, 1 to 3 are 4:2:0 to
/// 4:4:4).
fn chroma_units(chroma: u32) -> (u32, u32) {
    match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(codec: Codec, fmtp: &str) -> Option<(u32, u32, &'static str, u32)> {
        let picture = Picture::of(codec, &ParameterSets::from_fmtp(codec, fmtp))?;
        Some((picture.width, picture.height, picture.profile, picture.level))
    }

    #[test]
    fn the_size_is_what_is_left_after_cropping() {
        for (sps, expected) in [
            // A Dahua's main stream and its changed one; x264 at 1280x722, 1920x1080 and 640x360.
            ("Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=", (1920, 1080, "Main", 42)),
            ("Z01AMpWgCoAwfiZuAgICgAAB9AAAdTBC", (2688, 1520, "Main", 50)),
            ("Z2QAKKzZQHgCJ+XARAAAAwAEAAADAMg8YMZY", (1920, 1080, "High", 40)),
            ("Z2QAHqzZQKAv+XARAAADAAEAAAMAMg8WLZY=", (640, 360, "High", 30)),
            ("Z0LAINkAUAXfiMBEAAADAAQAAAMAyDxgySA=", (1280, 722, "Constrained Baseline", 32)),
        ] {
            assert_eq!(of(Codec::H264, &format!("sprop-parameter-sets={sps}")), Some(expected), "{sps}");
        }
        let dahua = "QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=";
        let found = of(Codec::H265, &format!("sprop-sps={dahua}"));
        assert_eq!(found, Some((704, 480, "Main", 30)));
    }

    #[test]
    fn without_a_set_nothing_is_known() {
        assert_eq!(of(Codec::H264, "packetization-mode=1"), None);
        assert_eq!(of(Codec::H264, "sprop-parameter-sets=Z00AKp2o"), None, "cut off");
        assert_eq!(of(Codec::Vp8, "sprop-parameter-sets=Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA="), None);
    }

    proptest! {
        #[test]
        fn no_set_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (h264(&bytes), h265(&bytes));
        }
    }
}
