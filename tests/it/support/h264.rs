//! Synthetic H.264 in RTP (RFC 6184): well-formed NAL units and fragments with real parameter sets. The pictures
//! themselves are stamps and filler: parsers and depacketisers accept them, decoders do not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stamp::{Stamp, filler};

/// An SPS, PPS pair as a camera announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    pub profile_level_id: &'static str,
    /// Base64, as in `sprop-parameter-sets`.
    pub sps: &'static str,
    /// Base64, as in `sprop-parameter-sets`.
    pub pps: &'static str,
}

impl ParameterSets {
    /// What a Dahua camera sends for its main stream.
    pub const MAIN: Self =
        Self { profile_level_id: "4d002a", sps: "Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=", pps: "aO48gA==" };
    /// Another resolution: what the same camera announces once somebody has changed its settings.
    pub const CHANGED: Self =
        Self { profile_level_id: "4d4032", sps: "Z01AMpWgCoAwfiZuAgICgAAB9AAAdTBC", pps: "aO48gA==" };
}

/// How the parameter sets travel in front of a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// SPS, PPS and a SEI in one STAP-A.
    Aggregated,
    /// SPS and PPS each in a packet of its own; these two carry no stamp.
    Single,
    /// Only in the SDP.
    SdpOnly,
}

/// The encoder and packetiser: the same frame number always gives the same bytes.
#[derive(Clone, Debug)]
pub struct H264 {
    pub parameter_sets: ParameterSets,
    pub delivery: Delivery,
    /// Packets the slice of a frame is cut into; 1 = a single NAL unit, more = FU-A.
    pub packets_per_frame: u16,
    /// Payload bytes of each of them.
    pub packet_size: usize,
}

impl H264 {
    /// The RTP payloads of a frame, in order.
    pub fn frame(&self, number: u32, key: bool) -> Vec<Vec<u8>> {
        let heads = match (key, self.delivery) {
            (true, Delivery::Aggregated) => 1,
            (true, Delivery::Single) => 2,
            (true, Delivery::SdpOnly) | (false, _) => 0,
        };
        let packets = heads + self.packets_per_frame;
        let stamp = |packet| Stamp { frame: number, packet, packets, key };
        let mut payloads = match heads {
            1 => vec![self.aggregate(stamp(0))],
            2 => vec![decode(self.parameter_sets.sps), decode(self.parameter_sets.pps)],
            _ => Vec::new(),
        };
        for i in 0..self.packets_per_frame {
            payloads.push(self.slice_part(i, stamp(heads + i)));
        }
        payloads
    }

    /// The `a=` lines for the SDP, payload type `pt`.
    pub fn sdp(&self, pt: u8) -> String {
        let ParameterSets { profile_level_id, sps, pps } = self.parameter_sets;
        format!(
            "a=rtpmap:{pt} H264/90000\r\na=fmtp:{pt} packetization-mode=1;profile-level-id={profile_level_id};\
             sprop-parameter-sets={sps},{pps}\r\n"
        )
    }

    /// STAP-A of SPS, PPS and the stamp in a SEI (user data unregistered).
    fn aggregate(&self, stamp: Stamp) -> Vec<u8> {
        let text = stamp.text();
        let mut sei = vec![NAL_SEI, 5, (16 + text.len()) as u8];
        sei.extend_from_slice(b"fanlight-testing");
        sei.extend_from_slice(text.as_bytes());
        sei.push(0x80); // rbsp_trailing_bits
        let mut payload = vec![NRI | 24];
        for nal in [decode(self.parameter_sets.sps), decode(self.parameter_sets.pps), sei] {
            payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            payload.extend_from_slice(&nal);
        }
        payload
    }

    fn slice_part(&self, i: u16, stamp: Stamp) -> Vec<u8> {
        let header = if stamp.key { NRI | 5 } else { 0x40 | 1 };
        let last = self.packets_per_frame - 1;
        let mut payload = if last == 0 {
            vec![header]
        } else {
            let start = if i == 0 { 0x80 } else { 0 };
            let end = if i == last { 0x40 } else { 0 };
            vec![(header & 0xe0) | 28, start | end | (header & 0x1f)]
        };
        if i == 0 {
            payload.push(if stamp.key { 0x88 } else { 0x9a }); // first_mb_in_slice 0, slice_type I or P
        }
        payload.extend_from_slice(stamp.text().as_bytes());
        let rest = self.packet_size.saturating_sub(payload.len());
        payload.extend(filler(stamp, rest));
        payload
    }
}

fn decode(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

const NRI: u8 = 0x60;
const NAL_SEI: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(delivery: Delivery, packets_per_frame: u16) -> H264 {
        H264 { parameter_sets: ParameterSets::MAIN, delivery, packets_per_frame, packet_size: 100 }
    }

    #[test]
    fn a_key_frame_is_a_stap_a_and_fragments_of_an_idr() {
        let frame = encoder(Delivery::Aggregated, 3).frame(7, true);
        let kinds: Vec<u8> = frame.iter().map(|p| p[0] & 0x1f).collect();
        assert_eq!(kinds, [24, 28, 28, 28]);
        assert_eq!([frame[1][1], frame[2][1], frame[3][1]], [0x85, 0x05, 0x45]);
        for (i, payload) in frame.iter().enumerate() {
            let stamp = Stamp { frame: 7, packet: i as u16, packets: 4, key: true };
            assert_eq!(Stamp::find(payload), Some(stamp));
        }
    }

    #[test]
    fn parameter_sets_may_travel_alone_or_not_at_all() {
        let kinds = |delivery| -> Vec<u8> {
            encoder(delivery, 1).frame(0, true).iter().map(|p| p[0] & 0x1f).collect()
        };
        assert_eq!(kinds(Delivery::Single), [7, 8, 5]);
        assert_eq!(kinds(Delivery::SdpOnly), [5]);
    }

    #[test]
    fn no_payload_holds_a_start_code() {
        for payload in encoder(Delivery::SdpOnly, 6).frame(0, true) {
            assert!(!payload.contains(&0), "{payload:?}");
        }
    }
}
