//! What the POST of a tunnel carries: RTSP in base64, as QuickTime began it ("Tunneling RTSP and RTP over HTTP", 1999).
//!
//! A client encodes each write by itself, padding included (ffmpeg, GStreamer, live555), or the whole as one text, and the
//! network cuts both anywhere. So padding ends a group of four and nothing else, and blanks and line ends mean nothing.

/// Reads base64 that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The bits of an unfinished group of four letters.
    bits: u32,
    /// Its letters so far, padding included.
    letters: u8,
    /// How many of them are padding.
    padding: u8,
}

/// A byte that base64 does not have, or padding in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64")]
pub struct NotBase64;

impl Decoder {
    /// Appends to `out` what `piece` completes: at most three bytes for every four of it, and two more.
    ///
    /// # Errors
    /// The piece is not base64; `out` has what came before.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        for byte in piece {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if self.letters >= 2 => {
                    self.padding += 1;
                    0
                }
                b'\r' | b'\n' | b' ' | b'\t' => continue,
                _ => return Err(NotBase64),
            };
            if self.padding > 0 && *byte != b'=' {
                return Err(NotBase64);
            }
            self.bits = self.bits << 6 | u32::from(value);
            self.letters += 1;
            if self.letters == 4 {
                let [_, bytes @ ..] = self.bits.to_be_bytes();
                out.extend_from_slice(&bytes[..3 - usize::from(self.padding)]);
                *self = Self::default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use proptest::prelude::*;

    use super::*;

    fn decoded(pieces: &[&[u8]]) -> Result<Vec<u8>, NotBase64> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        pieces.iter().try_for_each(|piece| decoder.push(piece, &mut out))?;
        Ok(out)
    }

    #[test]
    fn padding_in_the_middle_ends_a_write_and_not_the_stream() {
        assert_eq!(decoded(&[b"T1BUSU9OUw==", b"IA==KiA=\r\nUlRTUA=="]).unwrap(), b"OPTIONS * RTSP");
    }

    #[test]
    fn what_is_not_base64_is_said_to_be_none() {
        for bad in ["=", "A=", "AA=A", "A-AA", "OPTIONS *", "$\0\0\0"] {
            assert_eq!(decoded(&[bad.as_bytes()]), Err(NotBase64), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_cuts_of_any_writes_give_what_was_written(
            writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            size in 1usize..9,
        ) {
            let text: String = writes.iter().map(|write| BASE64.encode(write)).collect();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(decoded(&pieces).unwrap(), writes.concat());
        }

        #[test]
        fn no_bytes_make_it_panic_or_give_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = Decoder::default().push(&bytes, &mut out);
            prop_assert!(out.len() <= bytes.len());
        }
    }
}
