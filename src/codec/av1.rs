//! AV1 in RTP (AOM's RTP payload format 1.0): the aggregation header `Z Y W W N - - -`, then OBU elements.

/// The watch over one track.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The timestamp of the newest access point: every one is reported once.
    reported: Option<u32>,
}

impl Watch {
    /// Whether the packet is the first of an access point: it begins a coded video sequence (N), or brings a sequence
    /// header that no inter frame follows in the same packet (encoders may repeat the header anywhere).
    pub(super) fn inspect(&mut self, payload: &[u8], timestamp: u32) -> bool {
        let key = begins_sequence(payload) && self.reported != Some(timestamp);
        if key {
            self.reported = Some(timestamp);
        }
        key
    }
}

fn begins_sequence(payload: &[u8]) -> bool {
    const CONTINUED: u8 = 0x80;
    const NEW_SEQUENCE: u8 = 0x08;
    let Some((header, rest)) = payload.split_first() else { return false };
    // A first element that continues an OBU begins nothing, so this packet cannot be where to start.
    if header & CONTINUED != 0 {
        return false;
    }
    header & NEW_SEQUENCE != 0 || has_sequence_header(rest, header >> 4 & 3)
}

/// Walks the elements; `count` of them, the last without a length, or with 0 all that fit, each with one.
fn has_sequence_header(elements: &[u8], count: u8) -> bool {
    let mut found = false;
    let mut rest = elements;
    let mut index = 0u8;
    while !rest.is_empty() {
        index = index.saturating_add(1); // `count` is 3 at most, elements may be thousands
        let element = if index == count {
            std::mem::take(&mut rest)
        } else {
            let Some((length, after)) = leb128(rest) else { return found };
            let (element, after) = after.split_at(length.min(after.len()));
            rest = after;
            element
        };
        match Obu::of(element) {
            Some(Obu::SequenceHeader) => found = true,
            Some(Obu::Frame { key }) => return found && key,
            Some(Obu::Other) | None => {}
        }
    }
    found
}

enum Obu {
    SequenceHeader,
    Frame { key: bool },
    Other,
}

impl Obu {
    /// The OBU that begins an element: header `0 TTTT X S 0`, an extension byte with X, a length with S (AV1 section 5.3.2).
    fn of(element: &[u8]) -> Option<Self> {
        let (header, mut rest) = element.split_first()?;
        if header & 0x04 != 0 {
            rest = rest.get(1..)?;
        }
        if header & 0x02 != 0 {
            rest = leb128(rest)?.1;
        }
        Some(match header >> 3 & 0x0f {
            1 => Self::SequenceHeader,
            // Frame header or frame: show_existing_frame, then two bits of frame type of which 0 is a key frame.
            3 | 6 => Self::Frame { key: rest.first()? & 0xe0 == 0 },
            _ => Self::Other,
        })
    }
}

/// A length in seven bits a byte, least significant first, at most five bytes.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: u8 = 1 << 3;
    const FRAME: u8 = 6 << 3;
    const KEY: u8 = 0x10;
    const INTER: u8 = 0x30;

    fn key(payload: &[u8]) -> bool {
        Watch::default().inspect(payload, 1)
    }

    #[test]
    fn the_new_sequence_bit_is_a_key_once() {
        let mut watch = Watch::default();
        assert!(watch.inspect(&[0x18, FRAME, KEY], 1));
        assert!(!watch.inspect(&[0x18, FRAME, KEY], 1));
        assert!(!watch.inspect(&[0x10, FRAME, INTER], 2));
        assert!(watch.inspect(&[0x18, FRAME, KEY], 3));
    }

    #[test]
    fn a_sequence_header_is_a_key_unless_an_inter_frame_follows() {
        assert!(key(&[0x10, SEQUENCE, 1, 2]));
        assert!(key(&[0x20, 3, SEQUENCE, 1, 2, FRAME, KEY]));
        assert!(!key(&[0x20, 3, SEQUENCE, 1, 2, FRAME, INTER]));
        assert!(key(&[0x00, 2, SEQUENCE, 1, 2, FRAME, KEY]), "every element with a length");
        assert!(!key(&[0x00, 2, FRAME, KEY]), "no sequence header");
        assert!(key(&[0x20, 5, SEQUENCE | 6, 0, 2, 1, 2, FRAME | 4, 0, KEY]), "with extension and length");
    }

    /// Found by fuzzing: the count of elements ran over.
    #[test]
    fn hundreds_of_empty_elements_are_walked_like_a_few() {
        for empty in [254, 255, 256, 300] {
            let elements = |last: &[u8]| [&[0x00], &vec![0; empty][..], last].concat();
            assert!(key(&elements(&[2, SEQUENCE, 1])), "{empty}");
            assert!(!key(&elements(&[3, FRAME, KEY, SEQUENCE])), "{empty}");
        }
    }

    #[test]
    fn a_continued_obu_begins_nothing() {
        assert!(!key(&[0x98, SEQUENCE, 1]));
        assert!(!key(&[]));
        assert!(!key(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    }
}
