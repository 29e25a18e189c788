//! Synthetic audio in RTP: G.711 µ-law and linear samples (RFC 3551), and AAC (RFC 3640, AAC-hbr), stamped like video.

use super::stamp::{Stamp, filler};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// 8 kHz, 20 ms a packet, the static payload type 0.
    Pcmu,
    /// 48 kHz stereo, one access unit of 1024 samples a packet.
    Aac,
    /// Linear samples, mono, at this rate; 20 ms a packet.
    L16(u32),
}

impl Audio {
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Aac => 97,
            Self::L16(_) => 98,
        }
    }

    /// RTP ticks per second.
    pub fn clock(self) -> u32 {
        match self {
            Self::Pcmu => 8_000,
            Self::Aac => 48_000,
            Self::L16(rate) => rate,
        }
    }

    /// RTP ticks from one packet to the next.
    pub fn samples(self) -> u32 {
        match self {
            Self::Pcmu => 160,
            Self::Aac => 1024,
            Self::L16(rate) => rate / 50,
        }
    }

    /// The payload of packet `number`.
    pub fn payload(self, number: u32) -> Vec<u8> {
        let stamp = Stamp { frame: number, packet: 0, packets: 1, key: false };
        let mut data = stamp.text().into_bytes();
        data.extend(filler(stamp, 160 - data.len()));
        match self {
            Self::Pcmu | Self::L16(_) => data,
            Self::Aac => {
                let header = (data.len() as u16) << 3; // 13 bits size, 3 bits index
                let mut payload = vec![0, 16];
                payload.extend_from_slice(&header.to_be_bytes());
                payload.append(&mut data);
                payload
            }
        }
    }

    /// The `a=` lines for the SDP.
    pub fn sdp(self) -> String {
        match self {
            Self::Pcmu => "a=rtpmap:0 PCMU/8000\r\n".to_owned(),
            Self::L16(rate) => format!("a=rtpmap:98 L16/{rate}\r\n"),
            Self::Aac => {
                "a=rtpmap:97 MPEG4-GENERIC/48000/2\r\na=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;\
                 sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r\n"
                    .to_owned()
            }
        }
    }
}
