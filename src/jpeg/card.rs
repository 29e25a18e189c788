//! A picture made by the relay itself: a few words on a dark ground, for the time in which a camera sends none.
//!
//! A font of 3x5 dots, each dot a number of whole 8x8 blocks: every block has one colour, so it is one DC coefficient, and
//! an encoder is a Huffman table and a page of code.

use super::Frame;
use super::image::{DQT, EOI, SOF0, SOI, SOS, Sampling};
use super::tables::{HuffmanTable, STANDARD_AC, STANDARD_DC};

impl Frame {
    /// A picture of the given size with these lines of text in the middle, as large as they fit; a line that does not fit
    /// at all is left out. `rfc2435_type` is the type of the camera's pictures, whose sampling is kept. Sizes are at least
    /// 8 and at most [`super::MAX_DIMENSION`].
    pub fn card(rfc2435_type: u8, width: u16, height: u16, lines: &[&str]) -> Option<Self> {
        let sampling = if rfc2435_type & 1 == 0 { Sampling::Yuv422 } else { Sampling::Yuv420 };
        let (width, height) = (width.clamp(8, super::MAX_DIMENSION), height.clamp(8, super::MAX_DIMENSION));
        let mut jpeg = vec![0xff, SOI];
        let mut segment = |marker: u8, content: &[u8]| {
            jpeg.extend([0xff, marker]);
            jpeg.extend((content.len() as u16 + 2).to_be_bytes());
            jpeg.extend_from_slice(content);
        };
        // With all entries 8 a block of one colour has the colour's distance from grey as its DC coefficient.
        segment(DQT, &[&[0][..], &[8; 64], &[1], &[8; 64]].concat());
        let [[h1, h0], [w1, w0]] = [height.to_be_bytes(), width.to_be_bytes()];
        let [y, cb, cr] = sampling.factors();
        segment(SOF0, &[8, h1, h0, w1, w0, 3, 1, y, 0, 2, cb, 1, 3, cr, 1]);
        segment(SOS, &[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
        jpeg.extend(scan(sampling, usize::from(width), usize::from(height), lines));
        jpeg.extend([0xff, EOI]);
        // Made by the rules that it is read by.
        Self::parse(jpeg.into()).ok()
    }
}

/// The picture data.
fn scan(sampling: Sampling, width: usize, height: usize, lines: &[&str]) -> Vec<u8> {
    let (rows, columns) = (height.div_ceil(8), width.div_ceil(8));
    let lit = dots(columns, rows, lines);
    let is_lit = |column: usize, row: usize| lit.contains(&(column, row));
    let tall = if sampling == Sampling::Yuv420 { 2 } else { 1 };
    let mut bits = Bits::default();
    let mut before = 0;
    for unit_row in 0..rows.div_ceil(tall) {
        for unit in 0..columns.div_ceil(2) {
            for block in 0..2 * tall {
                let (column, row) = (2 * unit + block % 2, tall * unit_row + block / 2);
                let luma = if is_lit(column, row) { INK } else { GROUND };
                bits.flat_block(0, luma - before);
                before = luma;
            }
            bits.flat_block(1, 0);
            bits.flat_block(1, 0);
        }
    }
    bits.finish()
}

/// The blocks that are lit, in columns and rows.
fn dots(columns: usize, rows: usize, lines: &[&str]) -> std::collections::HashSet<(usize, usize)> {
    let wide = |line: &str| 4 * line.chars().count() - 1;
    let scale =
        |line: &str| (columns.saturating_sub(2) / wide(line)).min(rows / (8 * lines.len())).min(MAX_SCALE);
    let fitting: Vec<&str> =
        lines.iter().copied().filter(|line| !line.is_empty() && scale(line) > 0).collect();
    let tall: usize = fitting.iter().map(|line| 7 * scale(line)).sum();
    let mut top = rows.saturating_sub(tall) / 2;
    let mut lit = std::collections::HashSet::new();
    for line in fitting {
        let scale = scale(line);
        let left = (columns - wide(line) * scale) / 2;
        for (place, glyph) in line.chars().map(glyph).enumerate() {
            for dot in (0..15).filter(|dot| glyph >> (14 - dot) & 1 == 1) {
                let (x, y) = (left + (4 * place + dot % 3) * scale, top + dot / 3 * scale);
                lit.extend((0..scale * scale).map(|part| (x + part % scale, y + part / scale)));
            }
        }
        top += 7 * scale;
    }
    lit
}

/// Five rows of three dots, an octal digit each. Letters have no case; what is not there is blank.
fn glyph(c: char) -> u16 {
    match c.to_ascii_uppercase() {
        'A' => 0o25755,
        'B' => 0o65656,
        'C' => 0o34443,
        'D' => 0o65556,
        'E' => 0o74647,
        'F' => 0o74644,
        'G' => 0o34553,
        'H' => 0o55755,
        'I' => 0o72227,
        'J' => 0o11152,
        'K' => 0o55655,
        'L' => 0o44447,
        'M' => 0o57755,
        'N' => 0o65555,
        'O' => 0o25552,
        'P' => 0o65644,
        'Q' => 0o25563,
        'R' => 0o65655,
        'S' => 0o34216,
        'T' => 0o72222,
        'U' => 0o55557,
        'V' => 0o55552,
        'W' => 0o55775,
        'X' => 0o55255,
        'Y' => 0o55222,
        'Z' => 0o71247,
        '0' => 0o75557,
        '1' => 0o26227,
        '2' => 0o61247,
        '3' => 0o61216,
        '4' => 0o55711,
        '5' => 0o74616,
        '6' => 0o34652,
        '7' => 0o71222,
        '8' => 0o25252,
        '9' => 0o25316,
        '-' => 0o00700,
        '_' => 0o00007,
        '.' => 0o00002,
        '/' => 0o11244,
        _ => 0,
    }
}

/// Entropy-coded data on its way.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    /// A block of one colour, which differs by `difference` from the one before of the same component: no AC
    /// coefficients. `table` is 0 for luma, 1 for chroma.
    fn flat_block(&mut self, table: usize, difference: i32) {
        let size = 32 - difference.unsigned_abs().leading_zeros();
        self.code(&STANDARD_DC[table], size as u8);
        // A negative number is written as one less (T.81 section F.1.2.1).
        let number = if difference < 0 { difference - 1 } else { difference };
        self.put(number.cast_unsigned() & ((1 << size) - 1), size);
        self.code(&STANDARD_AC[table], END_OF_BLOCK);
    }

    /// The code of a value: codes of one length count up, and the next length goes on with the double (T.81 annex C).
    fn code(&mut self, table: &HuffmanTable, value: u8) {
        let (mut code, mut values) = (0, table.values.iter());
        for (length, count) in (1..).zip(table.counts) {
            for _ in 0..count {
                if values.next() == Some(&value) {
                    return self.put(code, length);
                }
                code += 1;
            }
            code <<= 1;
        }
    }

    fn put(&mut self, bits: u32, count: u32) {
        self.pending = self.pending << count | bits;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.pending >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0); // or it would be a marker
            }
        }
        self.pending &= (1 << self.count) - 1;
    }

    fn finish(mut self) -> Vec<u8> {
        // The rest of the last byte is ones.
        self.put(0x7f, 7);
        self.bytes
    }
}

/// Distances from middle grey.
const GROUND: i32 = -100;
const INK: i32 = 60;

const END_OF_BLOCK: u8 = 0;

/// A dot is at most this many blocks wide.
const MAX_SCALE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the blocks of the lines look like.
    fn drawn(columns: usize, rows: usize, lines: &[&str]) -> Vec<String> {
        let lit = dots(columns, rows, lines);
        let row = |y| (0..columns).map(|x| if lit.contains(&(x, y)) { '#' } else { ' ' }).collect::<String>();
        (0..rows).map(row).filter(|row| !row.trim().is_empty()).collect()
    }

    #[test]
    fn words_are_drawn_as_large_as_they_fit_and_left_out_where_they_do_not() {
        assert_eq!(
            drawn(10, 8, &["No"]),
            [" ##   #   ", " # # # #  ", " # # # #  ", " # # # #  ", " # #  #   "]
        );
        assert_eq!(drawn(20, 16, &["No"]).len(), 10);
        assert!(drawn(8, 8, &["No"]).is_empty());
        assert!(drawn(255, 255, &["", "a very long name ".repeat(9).as_str()]).is_empty());
        let both = dots(80, 60, &["no signal", "door"]);
        assert!(both.iter().all(|(x, y)| *x < 80 && *y < 60) && both.len() > 100);
    }

    #[test]
    fn a_card_of_any_size_travels_over_rtp() {
        for (kind, width, height) in
            [(0, 640, 480), (1, 640, 360), (65, 1920, 1080), (1, 2040, 2040), (0, 1, 1)]
        {
            let card = Frame::card(kind, width, height, &["no signal", "site/door"]).unwrap();
            assert_eq!((card.width(), card.height()), (width.max(8), height.max(8)));
            let mut payloads = 0;
            card.packetize(1400, |headers, _, _| {
                assert_eq!(headers[4], kind & 1);
                payloads += 1;
            });
            assert!(payloads > 0 && card.data().len() < 70_000, "{}", card.data().len());
        }
    }

    #[test]
    fn the_first_blocks_of_a_dark_picture_are_the_codes_of_the_standard() {
        // -100 from 0: category 7 (11110), then -101 in 7 bits (0011011), then the end of the block (1010); the other
        // three blocks and the two of chroma have no difference (00 1010, and 00 00 for chroma).
        let expected = "11110 0011011 1010 001010 001010 001010 0000 0000 1111".replace(' ', "");
        let scan = scan(Sampling::Yuv420, 16, 16, &[]);
        let bits: String = scan.iter().map(|byte| format!("{byte:08b}")).collect();
        assert!(bits.starts_with(&expected[..42]), "{bits}");
    }
}
