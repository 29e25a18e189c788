//! Cuts a long fragment of a JPEG frame into shorter ones.

use super::payload::{Fragment, MAIN_HEADER, MAX_OFFSET, RESTART_HEADER};

/// Cuts an RTP payload of RFC 2435 into payloads of at most `max` bytes and hands each to `each`: its headers, then its
/// share of the picture. The quantization tables stay with the first. Returns `false`, before it has called `each`,
/// where that is not possible: the payload is malformed, the headers leave no room, or the picture is too long for the
/// 24 bits of an offset.
pub(crate) fn cut(payload: &[u8], max: usize, mut each: impl FnMut(&[u8], &[u8])) -> bool {
    let Some(fragment) = Fragment::parse(payload) else { return false };
    let (first, data) = payload.split_at(payload.len() - fragment.data.len());
    let repeated = MAIN_HEADER + if fragment.restarts { RESTART_HEADER } else { 0 };
    let end = fragment.offset + data.len();
    let Some(room) = max.checked_sub(first.len()).filter(|room| *room > 0) else { return false };
    if end > MAX_OFFSET || data.is_empty() {
        return false;
    }
    let mut headers = [0; MAIN_HEADER + RESTART_HEADER];
    headers[..repeated].copy_from_slice(&first[..repeated]);
    let mut offset = fragment.offset;
    let mut rest = data;
    while !rest.is_empty() {
        let is_first = rest.len() == data.len();
        let room = if is_first { room } else { max - repeated };
        let (piece, later) = rest.split_at(room.min(rest.len()));
        let [_, bytes @ ..] = (offset as u32).to_be_bytes();
        headers[1..4].copy_from_slice(&bytes);
        if fragment.restarts {
            // The pieces of a chunk: the first and the last are so of the whole only (RFC 2435 section 3.1.7).
            let keep = if is_first { FIRST } else { 0 } | if later.is_empty() { LAST } else { 0 };
            headers[RESTART_FLAGS] = first[RESTART_FLAGS] & (!(FIRST | LAST) | keep);
        }
        if is_first && first.len() > repeated {
            let mut buffer = first.to_vec();
            buffer[..repeated].copy_from_slice(&headers[..repeated]);
            each(&buffer, piece);
        } else {
            each(&headers[..repeated], piece);
        }
        offset += piece.len();
        rest = later;
    }
    true
}

/// Where the two flags stand, behind the main header and the restart interval.
const RESTART_FLAGS: usize = MAIN_HEADER + 2;
const FIRST: u8 = 0x80;
const LAST: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cuts(payload: &[u8], max: usize) -> Vec<Vec<u8>> {
        let mut cuts = Vec::new();
        assert!(cut(payload, max, |headers, piece| cuts.push([headers, piece].concat())));
        cuts
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let never = |payload: &[u8], max| cut(payload, max, |_, _| panic!("it was cut"));
        assert!(!never(&[0, 0, 0, 0, 1, 80, 40], 100), "shorter than its header");
        assert!(!never(&[0, 0, 0, 0, 1, 80, 40, 30, 1, 2], 8), "no room behind the header");
        assert!(!never(&[0, 0xff, 0xff, 0xff, 1, 80, 40, 30, 1, 2], 9), "too far in the picture");
        assert!(!never(&[0, 0, 0, 0, 1, 80, 40, 30], 9), "nothing to cut");
    }

    #[test]
    fn the_flags_of_a_restart_chunk_stay_with_its_ends() {
        let payload = [0, 0, 0, 4, 0x41, 80, 40, 30, 0, 5, 0xff, 0xff, 1, 2, 3];
        let flags: Vec<_> =
            cuts(&payload, 13).iter().map(|cut| (cut[3], cut[10], cut[11], cut[12])).collect();
        assert_eq!(flags, [(4, 0xbf, 0xff, 1), (5, 0x3f, 0xff, 2), (6, 0x7f, 0xff, 3)]);
    }

    proptest! {
        #[test]
        fn the_picture_is_the_same_and_the_tables_come_once(
            data in prop::collection::vec(any::<u8>(), 1..2000), max in 160usize..400,
            offset in prop::sample::select(vec![0u32, 1400, 70_000]), restarts: bool, tables: bool,
        ) {
            let mut payload = offset.to_be_bytes().to_vec();
            payload.extend([if restarts { 0x41 } else { 1 }, if tables { 255 } else { 80 }, 40, 30]);
            if restarts {
                payload.extend([0, 7, 0xc0, 9]);
            }
            if tables && offset == 0 {
                payload.extend([0, 0, 0, 128]);
                payload.extend(1..=128);
            }
            payload.extend(&data);
            let whole = Fragment::parse(&payload).unwrap();
            let mut picture: Vec<u8> = Vec::new();
            for (index, cut) in cuts(&payload, max).iter().enumerate() {
                prop_assert!(cut.len() <= max);
                let piece = Fragment::parse(cut).unwrap();
                prop_assert_eq!(piece.offset, whole.offset + picture.len());
                let same = |f: &Fragment<'_>| (f.type_, f.restart_interval, f.q, f.width, f.height);
                prop_assert_eq!(same(&piece), same(&whole));
                let tables = piece.tables.map(|tables| tables.bytes);
                prop_assert_eq!(tables, whole.tables.map(|tables| tables.bytes).filter(|_| index == 0));
                picture.extend(piece.data);
            }
            prop_assert_eq!(picture, data);
        }
    }
}
