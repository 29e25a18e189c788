//! Cuts RTP payloads that are too long for a datagram into shorter ones, as the codec's payload format allows.
//!
//! A camera may put 64 KiB into one packet of its TCP connection. A viewer over UDP cannot be sent that: IP would cut it
//! into fragments of which none may be lost. What is cut here can be put together again by any receiver, and says the
//! same: H.264 becomes FU-A ([RFC 6184 section 5.8](https://datatracker.ietf.org/doc/html/rfc6184#section-5.8)), H.265
//! fragmentation units ([RFC 7798 section 4.4.3](https://datatracker.ietf.org/doc/html/rfc7798#section-4.4.3)), JPEG
//! fragments of RFC 2435; an aggregation packet is taken apart first.

use super::nal::without_start_code;
use super::{Codec, fmtp};

/// How the payloads of a track can be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cutting {
    /// Not at all: the payload format has no fragments, or they are not understood here.
    #[default]
    Never,
    /// RFC 6184; not its interleaved packets, which no camera sends.
    H264,
    /// RFC 7798 without decoding order numbers.
    H265,
    /// RFC 2435.
    Jpeg,
}

impl Cutting {
    /// How payloads of `codec` are cut whose `a=fmtp` parameters are `fmtp`.
    pub fn of(codec: Codec, fmtp: Option<&str>) -> Self {
        match codec {
            Codec::H264 => Self::H264,
            Codec::H265 => {
                let numbers = fmtp::parameter(fmtp.unwrap_or_default(), "sprop-max-don-diff");
                if numbers.is_none_or(|value| value.trim() == "0") { Self::H265 } else { Self::Never }
            }
            Codec::Jpeg => Self::Jpeg,
            Codec::Av1 | Codec::Vp8 | Codec::Vp9 | Codec::Audio | Codec::Metadata | Codec::Other => {
                Self::Never
            }
        }
    }

    /// Cuts `payload` into payloads of at most `max` bytes and hands each to `each`: what stands in front, then what was
    /// in the original. The marker bit belongs to the last one. Returns `false`, before it has called `each`, where that
    /// is not possible.
    pub fn cut(self, payload: &[u8], max: usize, each: impl FnMut(&[u8], &[u8])) -> bool {
        match self {
            Self::Never => false,
            Self::H264 => h264(without_start_code(payload), max, each),
            Self::H265 => h265(without_start_code(payload), max, each),
            Self::Jpeg => crate::jpeg::cut(payload, max, each),
        }
    }
}

fn h264(payload: &[u8], max: usize, mut each: impl FnMut(&[u8], &[u8])) -> bool {
    const TYPE: u8 = 0x1f;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    if max <= 2 {
        return false;
    }
    let mut whole = |nal: &[u8]| match nal {
        nal if nal.len() <= max => each(&[], nal),
        [header, body @ ..] => {
            let (indicator, kind) = (header & !TYPE | FU_A, header & TYPE);
            pieces(body, max - 2, START | END, |edges, piece| each(&[indicator, edges | kind], piece));
        }
        [] => {}
    };
    match payload {
        [header, ..] if (1..STAP_A).contains(&(header & TYPE)) => whole(payload),
        [header, units @ ..] if header & TYPE == STAP_A => return aggregated(units, whole),
        [header, fu, body @ ..] if header & TYPE == FU_A => {
            let (has, kind) = (fu & (START | END), fu & TYPE);
            pieces(body, max - 2, has, |edges, piece| each(&[*header, edges | kind], piece));
        }
        _ => return false,
    }
    true
}

fn h265(payload: &[u8], max: usize, mut each: impl FnMut(&[u8], &[u8])) -> bool {
    const TYPE: u8 = 0x3f;
    const AP: u8 = 48;
    const FU: u8 = 49;
    if max <= 3 {
        return false;
    }
    let kind_of = |first: &u8| first >> 1 & TYPE;
    let mut whole = |nal: &[u8]| match nal {
        nal if nal.len() <= max => each(&[], nal),
        [first, second, body @ ..] => {
            let kind = kind_of(first);
            let first = first & 0x81 | FU << 1;
            pieces(body, max - 3, START | END, |edges, piece| each(&[first, *second, edges | kind], piece));
        }
        _ => {}
    };
    match payload {
        [first, _, ..] if kind_of(first) < AP => whole(payload),
        [first, _, units @ ..] if kind_of(first) == AP => return aggregated(units, whole),
        [first, second, fu, body @ ..] if kind_of(first) == FU => {
            let (has, kind) = (fu & (START | END), fu & TYPE);
            pieces(body, max - 3, has, |edges, piece| each(&[*first, *second, edges | kind], piece));
        }
        _ => return false,
    }
    true
}

/// Hands each NAL unit of an aggregation packet to `each`, or none where a length exceeds the packet.
fn aggregated(units: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    let (mut checked, mut rest) = (units, units);
    while next_unit(&mut checked).is_some() {}
    if !checked.is_empty() {
        return false;
    }
    while let Some(nal) = next_unit(&mut rest) {
        each(nal);
    }
    !units.is_empty()
}

/// Takes the next NAL unit, behind its length.
fn next_unit<'a>(units: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = units.split_first_chunk()?;
    let (nal, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    if nal.is_empty() {
        return None;
    }
    *units = rest;
    Some(nal)
}

/// Hands pieces of at most `room` bytes to `each`, with those of the two bits [`START`] and [`END`] that are in `has` on
/// the first and the last.
fn pieces(body: &[u8], room: usize, has: u8, mut each: impl FnMut(u8, &[u8])) {
    let last = body.len().div_ceil(room).saturating_sub(1);
    for (index, piece) in body.chunks(room).enumerate() {
        let start = if index == 0 { has & START } else { 0 };
        let end = if index == last { has & END } else { 0 };
        each(start | end, piece);
    }
}

/// The bits of a fragment's header, the same in both codecs.
const START: u8 = 0x80;
const END: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(cutting: Cutting, payload: &[u8], max: usize) -> Vec<Vec<u8>> {
        let mut cuts = Vec::new();
        let done = cutting.cut(payload, max, |front, piece| cuts.push([front, piece].concat()));
        assert_eq!(done, !cuts.is_empty(), "{payload:02x?}");
        assert!(cuts.iter().all(|cut| cut.len() <= max), "longer than {max}");
        cuts
    }

    /// What a receiver makes of payloads: NAL units, and `None` for a fragment without its neighbours.
    fn received(codec: Cutting, payloads: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let header = if codec == Cutting::H264 { 1 } else { 2 };
        let mut nals = Vec::new();
        let mut open: Option<Vec<u8>> = None;
        for payload in payloads {
            let kind = if header == 1 { payload[0] & 0x1f } else { payload[0] >> 1 & 0x3f };
            match (header, kind) {
                (1, 24) | (2, 48) => {
                    let mut units = &payload[header..];
                    while let [high, low, rest @ ..] = units {
                        let (nal, rest) = rest.split_at(usize::from(*high) << 8 | usize::from(*low));
                        nals.push(Some(nal.to_vec()));
                        units = rest;
                    }
                }
                (1, 28) | (2, 49) => {
                    let fu = payload[header];
                    if fu & START != 0 {
                        let mut nal = payload[..header].to_vec();
                        nal[0] = if header == 1 {
                            nal[0] & 0xe0 | fu & 0x1f
                        } else {
                            nal[0] & 0x81 | (fu & 0x3f) << 1
                        };
                        assert!(open.replace(nal).is_none(), "a start within a NAL unit");
                    }
                    let nal = open.get_or_insert_default();
                    nal.extend(&payload[header + 1..]);
                    if fu & END != 0 {
                        nals.push(open.take());
                    }
                }
                _ => nals.push(Some(payload.clone())),
            }
        }
        nals.extend(open.map(Some));
        nals
    }

    #[test]
    fn a_long_idr_becomes_fragments_with_its_type_and_importance() {
        let idr: Vec<u8> = [0x65].into_iter().chain(1..=9).collect();
        assert_eq!(
            cut(Cutting::H264, &idr, 6),
            [&[0x7c, 0x85, 1, 2, 3, 4][..], &[0x7c, 0x05, 5, 6, 7, 8], &[0x7c, 0x45, 9]]
        );
        let idr: Vec<u8> = [0x26, 1].into_iter().chain(1..=5).collect();
        assert_eq!(cut(Cutting::H265, &idr, 6), [&[0x62, 1, 0x93, 1, 2, 3][..], &[0x62, 1, 0x53, 4, 5]]);
    }

    #[test]
    fn a_long_fragment_keeps_its_place_in_the_nal_unit() {
        for (fu, expected) in [(0x85, [0x85, 0x05]), (0x05, [0x05, 0x05]), (0x45, [0x05, 0x45])] {
            let cuts = cut(Cutting::H264, &[0x7c, fu, 1, 2, 3, 4], 4);
            assert_eq!(cuts, [[0x7c, expected[0], 1, 2], [0x7c, expected[1], 3, 4]]);
        }
    }

    #[test]
    fn a_long_aggregate_is_taken_apart_and_what_is_no_aggregate_is_not() {
        let stap = [0x78, 0, 2, 0x67, 1, 0, 5, 0x65, 1, 2, 3, 4];
        assert_eq!(cut(Cutting::H264, &stap, 4), [&[0x67, 1][..], &[0x7c, 0x85, 1, 2], &[0x7c, 0x45, 3, 4]]);
        for broken in [&[0x78][..], &[0x78, 0, 9, 1], &[0x78, 0, 1, 0x67, 0]] {
            assert!(cut(Cutting::H264, broken, 4).is_empty());
        }
        for interleaved in [25, 26, 27, 29, 30, 0] {
            assert!(cut(Cutting::H264, &[0x60 | interleaved, 1, 2, 3, 4, 5], 4).is_empty());
        }
        assert!(cut(Cutting::H265, &[100, 1, 2, 3, 4, 5], 4).is_empty(), "PACI");
        assert!(cut(Cutting::H264, &[], 4).is_empty() && cut(Cutting::H265, &[0x26], 4).is_empty());
    }

    #[test]
    fn codecs_without_fragments_and_decoding_order_numbers_are_left_alone() {
        assert_eq!(Cutting::of(Codec::Audio, None), Cutting::Never);
        assert_eq!(Cutting::of(Codec::Jpeg, None), Cutting::Jpeg);
        assert_eq!(Cutting::of(Codec::H265, Some("sprop-max-don-diff=0")), Cutting::H265);
        assert_eq!(Cutting::of(Codec::H265, Some("sprop-max-don-diff=2")), Cutting::Never);
        assert!(cut(Cutting::Never, &[1; 100], 10).is_empty());
    }

    proptest! {
        #[test]
        fn a_receiver_gets_the_very_same_nal_units(
            sizes in prop::collection::vec(3usize..300, 1..5), max in 8usize..100, h265: bool, seed: u8,
        ) {
            let cutting = if h265 { Cutting::H265 } else { Cutting::H264 };
            let header: &[u8] = if h265 { &[0x2a, 3] } else { &[0x41] };
            let nals: Vec<Vec<u8>> = sizes
                .iter()
                .map(|size| (0..*size).map(|i| header.get(i).copied().unwrap_or((i as u8).wrapping_mul(seed | 1))).collect())
                .collect();
            let mut aggregate = if h265 { vec![48 << 1, 3] } else { vec![0x78] };
            for nal in &nals {
                aggregate.extend((nal.len() as u16).to_be_bytes());
                aggregate.extend(nal);
            }
            let expected: Vec<_> = nals.iter().cloned().map(Some).collect();
            prop_assert_eq!(received(cutting, &cut(cutting, &aggregate, max)), expected);
            // Each alone, then what came of that once more, as if the camera had cut it first.
            let once: Vec<Vec<u8>> = nals.iter().flat_map(|nal| cut(cutting, nal, max)).collect();
            prop_assert_eq!(received(cutting, &once), nals.iter().cloned().map(Some).collect::<Vec<_>>());
            let twice: Vec<Vec<u8>> = once.iter().flat_map(|payload| cut(cutting, payload, 7)).collect();
            prop_assert_eq!(received(cutting, &twice), nals.into_iter().map(Some).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_cut_or_refused_without_a_panic(
            payload in prop::collection::vec(any::<u8>(), 0..200), max in 0usize..50,
        ) {
            for cutting in [Cutting::Never, Cutting::H264, Cutting::H265, Cutting::Jpeg] {
                cutting.cut(&payload, max, |front, piece| assert!(front.len() + piece.len() <= max));
            }
        }
    }
}
