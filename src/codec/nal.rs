//! What H.264 and H.265 have in common: Annex B start codes where none belong, and SEI messages.

/// The NAL units in `bytes`, which should be one but may hold Annex B start codes: before it, behind it (moonfire-nvr
/// 213 and 331 tell of `sprop-parameter-sets` that way) or between several that a camera put in one packet. Inside a NAL
/// unit a start code cannot occur. Trailing zero bytes are cut off, empty units left out.
pub(super) fn split_annex_b(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let Some(at) = bytes.windows(3).position(|three| three == [0, 0, 1]) else {
            rest = None;
            return Some(without_trailing_zeros(bytes));
        };
        rest = Some(&bytes[at + 3..]);
        Some(without_trailing_zeros(&bytes[..at]))
    })
    .filter(|nal| !nal.is_empty())
}

/// `payload` without a start code in front: a NAL unit never begins with a zero byte.
pub(super) fn without_start_code(payload: &[u8]) -> &[u8] {
    match payload {
        [0, 0, 1, nal @ ..] | [0, 0, 0, 1, nal @ ..] => nal,
        nal => nal,
    }
}

/// Whether the SEI messages in `rbsp` (what follows the NAL header) hold a recovery point: payload type 6 in both
/// H.264 (annex D.1.8) and H.265 (annex D.2.8).
pub(super) fn has_recovery_point(rbsp: &[u8]) -> bool {
    const RECOVERY_POINT: usize = 6;
    let mut rest = rbsp;
    // Two bytes are the shortest message; the last byte is the trailing bit.
    while rest.len() > 2 {
        let Some((kind, after)) = sei_number(rest) else { return false };
        let Some((length, after)) = sei_number(after) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        let Some(next) = after.get(length..) else { return false };
        rest = next;
    }
    false
}

/// A number in the SEI form: as many 255s as fit, then the remainder.
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xff).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), &bytes[full + 1..]))
}

fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> Vec<&[u8]> {
        split_annex_b(bytes).collect()
    }

    #[test]
    fn start_codes_before_between_and_behind_are_removed() {
        assert_eq!(split(&[0x67, 1, 2]), [&[0x67, 1, 2]]);
        assert_eq!(split(&[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2]), [&[0x67, 1], &[0x68, 2]]);
        assert_eq!(split(&[0x68, 0xee, 0, 0, 0, 1]), [&[0x68, 0xee]]);
        assert_eq!(split(&[0x68, 0xee, 0]), [&[0x68, 0xee]]);
        assert!(split(&[0, 0, 1, 0, 0, 1]).is_empty());
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn a_recovery_point_is_found_behind_another_message() {
        assert!(has_recovery_point(&[6, 1, 0x84, 0x80]));
        assert!(has_recovery_point(&[5, 2, 9, 9, 6, 1, 0x84, 0x80]));
        assert!(!has_recovery_point(&[5, 2, 6, 1, 0x80]));
        assert!(!has_recovery_point(&[0xff, 0xff, 0xff]));
        assert!(!has_recovery_point(&[5, 0xff, 0xff, 1]));
    }
}
