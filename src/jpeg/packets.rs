//! Whole RTP packets of a JPEG frame.

use super::{Frame, PAYLOAD_TYPE};
use crate::rtp::Header;

/// Cuts frames into RTP packets of a given size, in a buffer that is used again.
#[derive(Debug)]
pub struct ClipPackets {
    packet_size: usize,
    packet: Vec<u8>,
}

impl ClipPackets {
    /// Packets of at most `packet_size` bytes, the 12 of the RTP header included.
    pub fn new(packet_size: usize) -> Self {
        Self { packet_size, packet: Vec::new() }
    }

    /// Hands the packets of `frame` to `emit`, with their headers, numbered from `sequence` on. Returns the number that
    /// follows.
    pub fn frame(
        &mut self,
        frame: &Frame,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        mut emit: impl FnMut(&[u8], &Header),
    ) -> u16 {
        let mut sequence = sequence;
        let max_payload = self.packet_size.saturating_sub(Header::LEN);
        frame.packetize(max_payload, |headers, data, marker| {
            let end = Header::LEN + headers.len() + data.len();
            let header = Header {
                marker,
                payload_type: PAYLOAD_TYPE,
                sequence,
                timestamp,
                ssrc,
                payload: Header::LEN..end,
            };
            self.packet.clear();
            self.packet.extend_from_slice(&header.write());
            self.packet.extend_from_slice(headers);
            self.packet.extend_from_slice(data);
            emit(&self.packet, &header);
            sequence = sequence.wrapping_add(1);
        });
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::super::Clip;
    use super::*;

    #[test]
    fn a_frame_becomes_packets_of_the_size_asked_for_in_order() {
        let clip = Clip::demo();
        let mut packets = Vec::new();
        let next = ClipPackets::new(1400).frame(&clip.frames()[0], 65_535, 7, 9, |packet, header| {
            assert_eq!(Header::parse(packet).as_ref(), Ok(header));
            packets.push((packet.len(), header.sequence, header.marker));
        });
        assert!(packets.len() > 2);
        assert!(packets.iter().all(|(length, ..)| *length <= 1400));
        assert_eq!((packets[0].1, packets[1].1), (65_535, 0));
        assert_eq!(next, packets.len() as u16 - 1);
        assert_eq!(packets.iter().filter(|(.., marker)| *marker).count(), 1);
        assert!(packets[packets.len() - 1].2, "the last packet has the marker");
    }
}
