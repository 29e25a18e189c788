//! Frames of the WebSocket protocol ([RFC 6455 section 5](https://datatracker.ietf.org/doc/html/rfc6455#section-5)), as
//! far as a live picture needs them: what goes out is never masked and never in pieces, so that a burst's message is a few
//! bytes in front of what an RTSP viewer gets; what comes in is short.

use bytes::{Buf, BytesMut};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The head of a frame from here.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Head {
    bytes: [u8; 10],
    length: usize,
}

/// One frame of a client, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: Opcode,
    /// The last of its message.
    pub(super) last: bool,
    pub(super) payload: Vec<u8>,
}

/// Why a client's frame ends its connection; the code is that of the closing frame (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// RFC 6455 section 5.1.
    #[error("a frame is not masked")]
    Unmasked,
    /// No extension was agreed on.
    #[error("a frame has bits of an extension")]
    Extension,
    #[error("a frame has the unknown opcode {0}")]
    Opcode(u8),
    /// RFC 6455 section 5.5.
    #[error("a control frame is in pieces or longer than {MAX_CONTROL} bytes")]
    Control,
    #[error("a frame is longer than {MAX_MESSAGE} bytes")]
    TooLong,
}

impl FrameError {
    /// The code of the closing frame.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::TooLong => 1009,
            Self::Unmasked | Self::Extension | Self::Opcode(_) | Self::Control => 1002,
        }
    }
}

impl Head {
    /// Of a whole message of `length` bytes.
    pub(in crate::server) fn new(opcode: Opcode, length: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = LAST | opcode as u8;
        let length = match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..=125), _) => {
                bytes[1] = short;
                2
            }
            (_, Ok(long)) => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&long.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, length }
    }

    pub(in crate::server) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A whole frame from here.
pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    [Head::new(opcode, payload.len()).as_bytes(), payload].concat()
}

/// A closing frame. A reason that is too long for one is cut.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut cut = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(cut) {
        cut -= 1;
    }
    frame(Opcode::Close, &[&code.to_be_bytes(), &reason.as_bytes()[..cut]].concat())
}

/// Takes the next frame of a client from `input`; `None` while it is not all there.
///
/// # Errors
/// What came is no frame that a client may send.
pub(super) fn take(input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let &[first, second, ref rest @ ..] = &input[..] else { return Ok(None) };
    if first & RESERVED != 0 {
        return Err(FrameError::Extension);
    }
    let opcode = match first & 0x0F {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        unknown => return Err(FrameError::Opcode(unknown)),
    };
    let last = first & LAST != 0;
    let is_control = opcode as u8 >= Opcode::Close as u8;
    if second & MASKED == 0 {
        return Err(FrameError::Unmasked);
    }
    if is_control && (!last || second & !MASKED > 125) {
        return Err(FrameError::Control);
    }
    let (length, long) = match second & !MASKED {
        127 => return Err(FrameError::TooLong),
        126 => match rest {
            &[high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 2),
            _ => return Ok(None),
        },
        short => (usize::from(short), 0),
    };
    if length > MAX_MESSAGE {
        return Err(FrameError::TooLong);
    }
    let start = 2 + long + 4;
    let Some(masked) = input.get(start..start + length) else { return Ok(None) };
    let key = &input[start - 4..start];
    let payload = masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    input.advance(start + length);
    Ok(Some(Frame { opcode, last, payload }))
}

const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Bytes of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: usize = 125;

/// Bytes of a client's message: what it may say is said in fifty.
pub(super) const MAX_MESSAGE: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from_client(first: u8, payload: &[u8]) -> BytesMut {
        let mut bytes = vec![first];
        match payload.len() {
            short @ ..=125 => bytes.push(MASKED | short as u8),
            long => {
                bytes.push(MASKED | 126);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        let key = [0x37, 0xFA, 0x21, 0x3D];
        bytes.extend(key);
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        BytesMut::from(&bytes[..])
    }

    #[test]
    fn the_example_of_the_rfc_is_read() {
        let mut input =
            BytesMut::from(&[0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58][..]);
        let hello = Frame { opcode: Opcode::Text, last: true, payload: b"Hello".to_vec() };
        assert_eq!(take(&mut input), Ok(Some(hello)));
        assert!(input.is_empty());
    }

    #[test]
    fn a_length_is_written_in_as_few_bytes_as_hold_it() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 255, 255]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(Head::new(Opcode::Binary, length).as_bytes(), head, "{length}");
        }
    }

    #[test]
    fn what_a_client_must_not_send_has_its_code() {
        for (bytes, code) in [
            (&[0x81, 0x05][..], 1002),
            (&[0xC1, 0x85], 1002),
            (&[0x83, 0x85], 1002),
            (&[0x09, 0x85], 1002),
            (&[0x89, 0xFE, 0, 200], 1002),
            (&[0x81, 0xFF], 1009),
            (&[0x81, 0xFE, 0x10, 0x01], 1009),
        ] {
            assert_eq!(take(&mut BytesMut::from(bytes)).unwrap_err().code(), code, "{bytes:x?}");
        }
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_its_letters() {
        let bytes = close(1013, &"ä".repeat(100));
        assert_eq!((bytes[0], bytes[1]), (0x88, 2 + 122));
        assert_eq!(bytes[2..4], 1013u16.to_be_bytes());
        assert!(std::str::from_utf8(&bytes[4..]).is_ok());
    }

    proptest! {
        #[test]
        fn a_frame_that_comes_in_pieces_is_the_frame_that_was_sent(
            payload in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300,
        ) {
            let whole = from_client(0x81, &payload);
            let cut = cut.min(whole.len() - 1);
            let mut input = BytesMut::from(&whole[..cut]);
            prop_assert_eq!(take(&mut input), Ok(None));
            input.extend_from_slice(&whole[cut..]);
            prop_assert_eq!(take(&mut input), Ok(Some(Frame { opcode: Opcode::Text, last: true, payload })));
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut input) {}
        }
    }
}
