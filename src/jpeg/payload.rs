//! The headers of an RTP payload of JPEG (RFC 2435 section 3.1).
//!
//! ```text
//! main header      type-specific (8) | fragment offset (24) | type (8) | Q (8) | width / 8 (8) | height / 8 (8)
//! restart header   restart interval (16) | F (1) | L (1) | restart count (14)        types 64 to 127 only
//! table header     0 (8) | precision (8) | length (16), then the tables              Q >= 128 and offset 0 only
//! ```

use super::image::Sampling;

/// An 8-bit quantization table, in bytes.
pub(super) const TABLE: usize = 64;

pub(super) const MAIN_HEADER: usize = 8;
pub(super) const RESTART_HEADER: usize = 4;
const TABLE_HEADER: usize = 4;

/// Fragments begin below this offset: it has 24 bits.
pub(super) const MAX_OFFSET: usize = 1 << 24;

/// The longest headers that [`FragmentHeader::write`] makes: the first fragment of a frame with restart markers.
pub(super) const MAX_FRAGMENT_HEADER: usize = MAIN_HEADER + RESTART_HEADER + TABLE_HEADER + 2 * TABLE;

/// The bit of the type that says that a restart header follows.
const WITH_RESTARTS: u8 = 0x40;

/// The `Q` whose tables come with every frame.
const Q_IN_BAND: u8 = 255;

/// The lowest `Q` whose tables come in a table header instead of being computed.
const Q_WITH_TABLES: u8 = 128;

/// First and last fragment of a restart chunk, and the count that goes with both set: the receiver has to put the
/// whole frame together before it decodes (RFC 2435 section 3.1.7), as all known receivers do anyway.
const WHOLE_FRAME: u16 = 0xffff;

/// What the headers of a fragment we send say.
pub(super) struct FragmentHeader {
    /// Where in the frame's picture data the fragment begins; less than 2^24.
    pub(super) offset: usize,
    pub(super) sampling: Sampling,
    pub(super) restart_interval: u16,
    /// In pixels, at most 2040.
    pub(super) width: u16,
    pub(super) height: u16,
}

impl FragmentHeader {
    /// Writes the headers into `buffer`, with the quantization `tables` (luma, chroma; 64 bytes each) when the
    /// fragment is the first, and returns what was written.
    pub(super) fn write<'a>(
        &self,
        tables: [&[u8]; 2],
        buffer: &'a mut [u8; MAX_FRAGMENT_HEADER],
    ) -> &'a [u8] {
        let [_, offset @ ..] = (self.offset as u32).to_be_bytes();
        let units = |pixels: u16| pixels.div_ceil(8) as u8;
        let with_restarts = if self.restart_interval > 0 { WITH_RESTARTS } else { 0 };
        buffer[0] = 0; // progressively scanned
        buffer[1..4].copy_from_slice(&offset);
        buffer[4] = self.sampling as u8 | with_restarts;
        buffer[5] = Q_IN_BAND;
        buffer[6] = units(self.width);
        buffer[7] = units(self.height);
        let mut end = MAIN_HEADER;
        let mut put = |bytes: &[u8]| {
            buffer[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        };
        if self.restart_interval > 0 {
            put(&self.restart_interval.to_be_bytes());
            put(&WHOLE_FRAME.to_be_bytes());
        }
        if self.offset == 0 {
            put(&[0, 0]);
            put(&(2 * TABLE as u16).to_be_bytes());
            put(tables[0]);
            put(tables[1]);
        }
        &buffer[..end]
    }
}

/// A received payload, taken apart.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) offset: usize,
    pub(super) type_: u8,
    /// A restart header follows the main one.
    pub(super) restarts: bool,
    /// 0 when the frame has no restart markers.
    pub(super) restart_interval: u16,
    pub(super) q: u8,
    /// In pixels; 0 when the sender says it elsewhere.
    pub(super) width: u16,
    pub(super) height: u16,
    /// The content of the table header, in a first fragment with a `q` of 128 and above; may be empty.
    pub(super) tables: Option<Tables<'a>>,
    /// The picture data.
    pub(super) data: &'a [u8],
}

/// The quantization tables of a table header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables<'a> {
    /// Bit n says that table n has entries of 16 bits.
    pub(super) precision: u8,
    pub(super) bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Takes `payload` apart; `None` when it is shorter than its headers say.
    pub(super) fn parse(payload: &'a [u8]) -> Option<Self> {
        let (&[_, o2, o1, o0, type_, q, width, height], rest) = payload.split_first_chunk::<MAIN_HEADER>()?;
        let offset = u32::from_be_bytes([0, o2, o1, o0]) as usize;
        let mut fragment = Self {
            offset,
            type_: type_ & !WITH_RESTARTS,
            // Types from 128 on are defined per session; bit 6 has its meaning below that only.
            restarts: type_ & (WITH_RESTARTS | 0x80) == WITH_RESTARTS,
            restart_interval: 0,
            q,
            width: u16::from(width) * 8,
            height: u16::from(height) * 8,
            tables: None,
            data: rest,
        };
        if fragment.restarts {
            let (&[i1, i0, _, _], rest) = fragment.data.split_first_chunk::<RESTART_HEADER>()?;
            fragment.restart_interval = u16::from_be_bytes([i1, i0]);
            fragment.data = rest;
        }
        if offset == 0 && q >= Q_WITH_TABLES {
            let (&[_, precision, l1, l0], rest) = fragment.data.split_first_chunk::<TABLE_HEADER>()?;
            let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l1, l0])))?;
            fragment.tables = Some(Tables { precision, bytes });
            fragment.data = rest;
        }
        Some(fragment)
    }

    /// Whether its tables hold for this frame only and must not be remembered for the `q`.
    pub(super) fn tables_of_this_frame_only(&self) -> bool {
        self.q == Q_IN_BAND
    }
}
