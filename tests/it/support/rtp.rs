//! RTP and RTCP packets as the tests read them off the wire (RFC 3550). Malformed bytes panic: they fail the test.

use std::fmt;

use super::stamp::Stamp;

/// An RTP packet, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Rtp {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
}

impl Rtp {
    pub fn parse(data: &[u8]) -> Self {
        assert!(data.len() >= 12, "rtp packet of {} bytes", data.len());
        assert_eq!(data[0], 0x80, "version 2 without padding, extension or contributing sources");
        Self {
            payload_type: data[1] & 0x7f,
            marker: data[1] & 0x80 != 0,
            sequence: u16_at(data, 2),
            timestamp: u32_at(data, 4),
            ssrc: u32_at(data, 8),
            payload: data[12..].to_vec(),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut data = vec![0x80, self.payload_type | if self.marker { 0x80 } else { 0 }];
        data.extend_from_slice(&self.sequence.to_be_bytes());
        data.extend_from_slice(&self.timestamp.to_be_bytes());
        data.extend_from_slice(&self.ssrc.to_be_bytes());
        data.extend_from_slice(&self.payload);
        data
    }

    /// The stamp of the simulated camera, if the payload carries one.
    pub fn stamp(&self) -> Option<Stamp> {
        Stamp::find(&self.payload)
    }
}

/// The stamp in place of a kilobyte of filler.
impl fmt::Debug for Rtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rtp")
            .field("payload_type", &self.payload_type)
            .field("marker", &self.marker)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("ssrc", &self.ssrc)
            .field("payload_len", &self.payload.len())
            .field("stamp", &self.stamp())
            .finish()
    }
}

/// One packet of an RTCP compound packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rtcp {
    SenderReport(SenderReport),
    ReceiverReport {
        ssrc: u32,
    },
    /// Source description; `cname` of its first chunk.
    Sdes {
        ssrc: u32,
        cname: String,
    },
    Bye {
        ssrc: u32,
    },
    Other {
        packet_type: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// 32.32 seconds since 1900.
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

impl SenderReport {
    /// Seconds since 1970.
    pub fn unix_seconds(&self) -> f64 {
        self.ntp as f64 / 4_294_967_296.0 - NTP_TO_UNIX as f64
    }

    pub fn to_bytes(self) -> Vec<u8> {
        let mut data = vec![0x80, 200, 0, 6];
        data.extend_from_slice(&self.ssrc.to_be_bytes());
        data.extend_from_slice(&self.ntp.to_be_bytes());
        data.extend_from_slice(&self.timestamp.to_be_bytes());
        data.extend_from_slice(&self.packets.to_be_bytes());
        data.extend_from_slice(&self.octets.to_be_bytes());
        data
    }
}

impl Rtcp {
    /// The packets of a compound packet.
    pub fn parse(mut data: &[u8]) -> Vec<Self> {
        let mut packets = Vec::new();
        while !data.is_empty() {
            assert!(data.len() >= 4 && data[0] >> 6 == 2, "rtcp packet {data:02x?}");
            let len = 4 * (usize::from(u16_at(data, 2)) + 1);
            assert!(len <= data.len(), "rtcp length {len} of {} bytes", data.len());
            let (packet, rest) = data.split_at(len);
            packets.push(Self::parse_one(packet));
            data = rest;
        }
        packets
    }

    fn parse_one(packet: &[u8]) -> Self {
        match packet[1] {
            200 => Self::SenderReport(SenderReport {
                ssrc: u32_at(packet, 4),
                ntp: u64::from(u32_at(packet, 8)) << 32 | u64::from(u32_at(packet, 12)),
                timestamp: u32_at(packet, 16),
                packets: u32_at(packet, 20),
                octets: u32_at(packet, 24),
            }),
            201 => Self::ReceiverReport { ssrc: u32_at(packet, 4) },
            202 => {
                assert_eq!(packet[8], 1, "the first item of a source description is its CNAME");
                let len = usize::from(packet[9]);
                let cname = String::from_utf8_lossy(&packet[10..10 + len]).into_owned();
                Self::Sdes { ssrc: u32_at(packet, 4), cname }
            }
            203 => Self::Bye { ssrc: u32_at(packet, 4) },
            packet_type => Self::Other { packet_type },
        }
    }
}

/// A source description with a CNAME.
pub fn sdes(ssrc: u32, cname: &str) -> Vec<u8> {
    let mut body = ssrc.to_be_bytes().to_vec();
    body.extend_from_slice(&[1, cname.len() as u8]);
    body.extend_from_slice(cname.as_bytes());
    body.push(0);
    body.resize(body.len().next_multiple_of(4), 0);
    packet(0x81, 202, &body)
}

/// An empty receiver report: what a viewer sends to be heard.
pub fn receiver_report(ssrc: u32) -> Vec<u8> {
    packet(0x80, 201, &ssrc.to_be_bytes())
}

/// A receiver report that has one thing to say: nothing of `source` was lost.
pub fn reception(ssrc: u32, source: u32) -> Vec<u8> {
    let mut body = [ssrc.to_be_bytes(), source.to_be_bytes()].concat();
    body.resize(28, 0);
    packet(0x81, 201, &body)
}

pub fn bye(ssrc: u32) -> Vec<u8> {
    packet(0x81, 203, &ssrc.to_be_bytes())
}

/// Seconds from the NTP era's start, 1900, to 1970.
pub const NTP_TO_UNIX: u64 = 2_208_988_800;

fn packet(first: u8, packet_type: u8, body: &[u8]) -> Vec<u8> {
    let mut data = vec![first, packet_type];
    data.extend_from_slice(&((body.len() / 4) as u16).to_be_bytes());
    data.extend_from_slice(body);
    data
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([data[at], data[at + 1]])
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_is_read_as_it_was_written() {
        let packet = Rtp {
            payload_type: 96,
            marker: true,
            sequence: 65_535,
            timestamp: 7,
            ssrc: 9,
            payload: vec![1, 2],
        };
        assert_eq!(Rtp::parse(&packet.to_bytes()), packet);
    }

    #[test]
    fn a_compound_packet_is_read_packet_by_packet() {
        let report =
            SenderReport { ssrc: 1, ntp: (NTP_TO_UNIX + 5) << 32, timestamp: 90, packets: 3, octets: 4 };
        let compound = [report.to_bytes(), sdes(1, "camera"), bye(1)].concat();
        let expected = vec![
            Rtcp::SenderReport(report),
            Rtcp::Sdes { ssrc: 1, cname: "camera".into() },
            Rtcp::Bye { ssrc: 1 },
        ];
        assert_eq!(Rtcp::parse(&compound), expected);
        assert!((report.unix_seconds() - 5.0).abs() < 1e-6);
    }
}
