//! Synthetic H.265 in RTP (RFC 7798), for cameras whose codec changes. As with H.264 the pictures are stamps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stamp::{Stamp, filler};

/// The encoder and packetiser: the same frame number always gives the same bytes.
#[derive(Clone, Debug)]
pub struct H265 {
    /// Packets the slice of a frame is cut into (fragmentation units, so at least 2).
    pub packets_per_frame: u16,
    /// Payload bytes of each of them.
    pub packet_size: usize,
}

impl H265 {
    /// The RTP payloads of a frame, in order; a key frame starts with VPS, SPS, PPS in packets of their own.
    pub fn frame(&self, number: u32, key: bool) -> Vec<Vec<u8>> {
        let mut payloads: Vec<Vec<u8>> = if key {
            [VPS, SPS, PPS].iter().map(|set| STANDARD.decode(set).unwrap()).collect()
        } else {
            Vec::new()
        };
        let heads = payloads.len() as u16;
        let parts = self.packets_per_frame.max(2);
        for i in 0..parts {
            let stamp = Stamp { frame: number, packet: heads + i, packets: heads + parts, key };
            let start = if i == 0 { 0x80 } else { 0 };
            let end = if i + 1 == parts { 0x40 } else { 0 };
            let mut payload = vec![49 << 1, 1, start | end | if key { IDR_W_RADL } else { TRAIL_R }];
            payload.extend_from_slice(stamp.text().as_bytes());
            let rest = self.packet_size.saturating_sub(payload.len());
            payload.extend(filler(stamp, rest));
            payloads.push(payload);
        }
        payloads
    }

    /// The `a=` lines for the SDP, payload type `pt`.
    pub fn sdp(&self, pt: u8) -> String {
        format!(
            "a=rtpmap:{pt} H265/90000\r\n\
             a=fmtp:{pt} profile-id=1;sprop-vps={VPS};sprop-sps={SPS};sprop-pps={PPS}\r\n"
        )
    }
}

const IDR_W_RADL: u8 = 19;
const TRAIL_R: u8 = 1;
/// Parameter sets of a Dahua camera.
const VPS: &str = "QAEMAf//AWAAAAMAsAAAAwAAAwBarAwAAAMABAAAAwAyqA==";
const SPS: &str = "QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=";
const PPS: &str = "RAHA8saNA7NA";
