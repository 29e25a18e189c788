//! Bits of a NAL unit, past the emulation prevention bytes (H.264 section 7.3.1, H.265 section 7.3.1.1).

/// Reads bits from the most significant one down; every read fails at the end.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Index of the current byte.
    at: usize,
    /// Bits of the current byte already read.
    used: u32,
    /// Zero bytes right before the current one.
    zeros: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, used: 0, zeros: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        if self.used == 8 {
            self.zeros = if self.bytes[self.at] == 0 { self.zeros + 1 } else { 0 };
            self.at += 1;
            self.used = 0;
        }
        if self.used == 0 && self.zeros >= 2 && self.bytes.get(self.at) == Some(&3) {
            self.at += 1;
            self.zeros = 0;
        }
        let byte = *self.bytes.get(self.at)?;
        self.used += 1;
        Some(u32::from(byte >> (8 - self.used)) & 1)
    }

    /// An unsigned number of `count` bits, at most 32.
    pub(super) fn number(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | self.bit()?))
    }

    pub(super) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(|_| ()))
    }

    /// An Exp-Golomb number, `ue(v)`.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_numbers_are_read() {
        // 1 | 010 | 011 | 00100 | 1...
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_1000]);
        assert_eq!([bits.ue(), bits.ue(), bits.ue(), bits.ue()], [Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn an_emulation_prevention_byte_is_no_data() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0, 0, 3]);
        assert_eq!(bits.number(24), Some(1));
        assert_eq!(bits.number(16), Some(0));
        assert_eq!(bits.bit(), None);
    }

    #[test]
    fn the_end_is_an_end() {
        assert_eq!(Bits::new(&[]).bit(), None);
        assert_eq!(Bits::new(&[0; 8]).ue(), None);
        assert_eq!(Bits::new(&[0xff]).skip(9), None);
    }
}
