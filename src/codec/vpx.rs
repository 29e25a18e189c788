//! VP8 (RFC 7741) and VP9 (RFC 9628) in RTP: both put a descriptor in front of every packet.

/// Whether a VP8 packet begins a key frame, and whether its frame can be left out.
pub(super) fn vp8(payload: &[u8]) -> (bool, bool) {
    const X: u8 = 0x80;
    const N: u8 = 0x20;
    /// S, start of partition, with the partition index 0.
    const FIRST: u8 = 0x10;
    const FIRST_MASK: u8 = 0x17;
    /// In the payload header: not a key frame.
    const P: u8 = 0x01;
    let Some(descriptor) = payload.first() else { return (false, false) };
    let droppable = descriptor & N != 0;
    if descriptor & FIRST_MASK != FIRST {
        return (false, droppable);
    }
    let mut length = 1;
    if descriptor & X != 0 {
        let Some(extension) = payload.get(1) else { return (false, droppable) };
        length += 1;
        if extension & 0x80 != 0 {
            // A picture id of one byte, or of two with the first bit set.
            length += 1 + usize::from(payload.get(2).is_some_and(|id| id & 0x80 != 0));
        }
        length += usize::from(extension & 0x40 != 0);
        length += usize::from(extension & 0x30 != 0);
    }
    (payload.get(length).is_some_and(|header| header & P == 0), droppable)
}

/// Whether a VP9 packet begins a key frame: the beginning of a frame (B) that is not predicted from another picture
/// (P clear), in spatial layer 0. Which frames nobody refers to, the descriptor does not say.
pub(super) fn vp9(payload: &[u8]) -> bool {
    const I: u8 = 0x80;
    const P: u8 = 0x40;
    const L: u8 = 0x20;
    const B: u8 = 0x08;
    let Some(descriptor) = payload.first() else { return false };
    if descriptor & B == 0 || descriptor & P != 0 || payload.len() < 2 {
        return false;
    }
    if descriptor & L == 0 {
        return true;
    }
    let mut at = 1;
    if descriptor & I != 0 {
        at += 1 + usize::from(payload[1] & 0x80 != 0);
    }
    // TID (3 bits), U, SID (3 bits), D.
    payload.get(at).is_some_and(|layers| layers >> 1 & 7 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vp8_key_frame_begins_with_partition_0_and_a_clear_p_bit() {
        assert!(vp8(&[0x10, 0x50]).0);
        assert!(!vp8(&[0x10, 0x51]).0, "inter frame");
        assert!(!vp8(&[0x00, 0x50]).0, "not the start of a partition");
        assert!(!vp8(&[0x11, 0x50]).0, "partition 1");
        assert!(vp8(&[0x90, 0x80, 0x11, 0x50]).0, "picture id of 7 bits");
        assert!(!vp8(&[0x90, 0x80, 0x10, 0x51]).0, "picture id of 7 bits, inter frame");
        assert!(vp8(&[0x90, 0xf0, 0x91, 0x11, 0x11, 0x11, 0x50]).0, "picture id of 15 bits, TL0PICIDX, TID");
        assert!(!vp8(&[0x90, 0xf0, 0x90, 0x10, 0x10, 0x10, 0x51]).0);
        for length in 0..7 {
            assert!(!vp8(&[0x90, 0xf0, 0x91, 0x11, 0x11, 0x11, 0x50][..length]).0, "truncated");
        }
    }

    #[test]
    fn a_vp8_frame_without_reference_is_droppable() {
        assert_eq!(vp8(&[0x30, 0x51]), (false, true));
        assert_eq!(vp8(&[0x20, 0x00]), (false, true));
        assert_eq!(vp8(&[0x10, 0x51]), (false, false));
    }

    #[test]
    fn a_vp9_key_frame_begins_an_unpredicted_frame_of_spatial_layer_0() {
        assert!(vp9(&[0x08, 1]));
        assert!(!vp9(&[0x48, 1]), "predicted");
        assert!(!vp9(&[0x04, 1]), "not the beginning");
        assert!(vp9(&[0x8a, 0x11, 1]));
        assert!(vp9(&[0xaa, 0x91, 0x11, 0x00, 0x11]), "layers behind a picture id of 15 bits");
        assert!(!vp9(&[0xaa, 0x91, 0x11, 0x02, 0x11]), "spatial layer 1");
        assert!(!vp9(&[0x28, 0x02]));
        assert!(!vp9(&[0x28]));
        assert!(!vp9(&[]));
    }
}
