//! A validated view of one RTP packet.

use std::ops::Range;

use thiserror::Error;

/// What stands in the fixed header of an RTP packet, and where its payload is
/// ([RFC 3550 section 5.1](https://datatracker.ietf.org/doc/html/rfc3550#section-5.1)).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |V=2|P|X|  CC   |M|     PT      |       sequence number         |
/// |                           timestamp                           |
/// |           synchronization source (SSRC) identifier            |
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Set on the last packet of a video frame, by most payload formats.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number, as sent.
    pub sequence: u16,
    /// The timestamp, as sent, in units of the track's clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
    /// The payload: behind the CSRC list and the extension, without the padding.
    pub payload: Range<usize>,
}

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Fewer than the 12 bytes of the fixed header.
    #[error("shorter than an RTP header")]
    Short,
    /// The two highest bits are not 2.
    #[error("not RTP version 2")]
    Version,
    /// The CSRC list, the extension or the padding reach past the end.
    #[error("its header or padding is longer than the packet")]
    Overrun,
}

impl Header {
    /// The length of the fixed header.
    pub const LEN: usize = 12;

    /// Reads and validates the header of `packet`.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn parse(packet: &[u8]) -> Result<Self, HeaderError> {
        let Some(fixed) = packet.first_chunk::<{ Self::LEN }>() else { return Err(HeaderError::Short) };
        if fixed[0] >> 6 != 2 {
            return Err(HeaderError::Version);
        }
        let mut start = Self::LEN + 4 * usize::from(fixed[0] & 0x0F);
        if fixed[0] & 0x10 != 0 {
            let length = packet.get(start + 2..start + 4).ok_or(HeaderError::Overrun)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
        let mut end = packet.len();
        if fixed[0] & 0x20 != 0 {
            // Of what stands behind the headers: their last byte is no count, and changes with the SSRC.
            let padding = packet.get(start..).and_then(<[u8]>::last).ok_or(HeaderError::Overrun)?;
            let padding = usize::from(*padding);
            end = end.checked_sub(padding).ok_or(HeaderError::Overrun)?;
        }
        if start > end {
            return Err(HeaderError::Overrun);
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload: start..end,
        })
    }

    /// The fixed header on the wire, without CSRC list, extension or padding.
    pub fn write(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = 0x80;
        bytes[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_shorter_than_the_header_is_refused() {
        assert_eq!(Header::parse(&[0x80; 11]), Err(HeaderError::Short));
    }

    #[test]
    fn csrcs_extension_and_padding_are_not_payload() {
        let mut packet = vec![0xB1, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([9, 9, 9, 9]); // one CSRC
        packet.extend([0xBE, 0xDE, 0, 1, 7, 7, 7, 7]); // an extension of one word
        packet.extend(*b"payload");
        packet.extend([0, 0, 3]); // three bytes of padding
        let header = Header::parse(&packet).unwrap();
        assert_eq!(&packet[header.payload], b"payload");
    }

    #[test]
    fn padding_longer_than_the_packet_is_refused() {
        let mut packet = vec![0xA0, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.push(200);
        assert_eq!(Header::parse(&packet), Err(HeaderError::Overrun));
    }

    #[test]
    fn padding_of_nothing_is_refused() {
        // The last byte is the SSRC's: with another one there would be another padding.
        let packet = [0xA0, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
        assert_eq!(Header::parse(&packet), Err(HeaderError::Overrun));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(header) = Header::parse(&packet) {
                prop_assert!(header.payload.end <= packet.len());
            }
        }

        #[test]
        fn what_is_written_is_read(marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc, payload: 12..12 };
            prop_assert_eq!(Header::parse(&header.write()), Ok(header));
        }
    }
}
