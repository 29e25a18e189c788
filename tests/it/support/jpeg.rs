//! Synthetic pictures of an MJPEG camera in RTP (RFC 2435). As with H.264 they are stamps; every one stands for itself.

use super::stamp::{Stamp, filler};

/// The encoder and packetiser: the same frame number always gives the same bytes.
#[derive(Clone, Debug)]
pub struct Jpeg {
    /// Fragments of a frame.
    pub packets_per_frame: u16,
    /// Payload bytes of each of them.
    pub packet_size: usize,
}

impl Jpeg {
    /// The RTP payloads of a frame, in order.
    pub fn frame(&self, number: u32) -> Vec<Vec<u8>> {
        let mut offset = 0u32;
        let fragments = (0..self.packets_per_frame).map(|packet| {
            let stamp = Stamp { frame: number, packet, packets: self.packets_per_frame, key: true };
            let [_, high, middle, low] = offset.to_be_bytes();
            // 4:2:0, one of the standard quantization tables, 640x360.
            let mut payload = vec![0, high, middle, low, 1, 80, 80, 45];
            payload.extend_from_slice(stamp.text().as_bytes());
            let rest = self.packet_size.saturating_sub(payload.len());
            payload.extend(filler(stamp, rest));
            offset += payload.len() as u32 - 8;
            payload
        });
        fragments.collect()
    }

    /// The `a=` lines for the SDP, payload type `pt`.
    pub fn sdp(&self, pt: u8) -> String {
        format!("a=rtpmap:{pt} JPEG/90000\r\n")
    }
}
