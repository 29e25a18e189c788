//! The `Transport` header (RFC 2326 section 12.39).
//!
//! A client offers one or several transports in SETUP; the server takes the first it can serve and grants it.
//! One bad alternative never loses the others, and what cannot be served is not an error but [not an
//! offer](TransportSpec::offer): the answer is then 461, on which players try their next transport, while a
//! 400 is the end for ffmpeg.

mod parse;

use std::fmt;

use crate::vocabulary::Transport;

pub use parse::parse;

/// One alternative of a `Transport` header, as sent by a client or granted by a server.
///
/// Fields hold what was legible; what was not is `None` and named in `fault`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSpec {
    /// The profile.
    pub profile: Profile,
    /// TCP if the name says so, or if it says nothing and there is `interleaved` but no `client_port` (Escam
    /// Q6); else UDP.
    pub lower: Transport,
    /// Whether it is multicast. RFC 2326 makes that the default; nobody means it (Luckfox leaves `unicast`
    /// out over TCP).
    pub multicast: bool,
    /// What the client wants to do with it.
    pub mode: Mode,
    /// The interleaved channels; a single number is the first of two.
    pub interleaved: Option<Channels>,
    /// The client's ports.
    pub client_port: Option<Ports>,
    /// The server's ports. Cameras send 0, ports that are not adjacent, or none at all.
    pub server_port: Option<Ports>,
    /// The multicast ports.
    pub port: Option<Ports>,
    /// The multicast time to live.
    pub ttl: Option<u8>,
    /// The synchronisation source; `None` also if it is not 1 to 8 hexadecimal digits (some cameras send
    /// decimal).
    pub ssrc: Option<u32>,
    /// Where the media shall go, or goes; empty ones are left out. A server must not follow it to another
    /// host.
    pub destination: Option<String>,
    /// Where the media comes from; empty ones are left out. It may be a host name, or wrong.
    pub source: Option<String>,
    /// The first parameter that could not be read, if it matters.
    pub fault: Option<Fault>,
}

/// The RTP profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `RTP/AVP`.
    Avp,
    /// `RTP/SAVP` or `RTP/SAVPF`: SRTP.
    Savp,
    /// Anything else, `RTP/AVPF` included, or no name at all.
    Other,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Receive.
    Play,
    /// Send (`record`, or `receive` as old clients say).
    Record,
}

/// What is wrong with an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// `interleaved` is not one or two ascending numbers below 256.
    #[error("malformed interleaved channels")]
    Channels,
    /// A port parameter is not one or two ascending numbers below 65536.
    #[error("malformed ports")]
    Ports,
}

/// A pair of interleaved channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channels {
    /// The channel of RTP.
    pub rtp: u8,
    /// The channel of RTCP.
    pub rtcp: u8,
}

/// One or two UDP ports, as written: possibly 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// The port of RTP.
    pub rtp: u16,
    /// The port of RTCP, if it is given.
    pub rtcp: Option<u16>,
}

/// A pair of UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortPair {
    /// The port of RTP.
    pub rtp: u16,
    /// The port of RTCP.
    pub rtcp: u16,
}

/// What a client offers and a server could take. Its `Display` is the header a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// Interleaved in the connection, on these channels; on the next free ones if it does not say.
    Tcp(Option<Channels>),
    /// To these ports of the client's host.
    Udp(PortPair),
}

/// What a server grants. Its `Display` is the header of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Interleaved in the connection.
    Tcp {
        /// The channels.
        channels: Channels,
        /// The synchronisation source the packets will carry.
        ssrc: u32,
    },
    /// By UDP.
    Udp {
        /// The ports of the client's offer.
        client: PortPair,
        /// The ports the media comes from.
        server: PortPair,
        /// The synchronisation source the packets will carry.
        ssrc: u32,
    },
}

impl TransportSpec {
    /// What this offers to a server that plays RTP/AVP by TCP and UDP unicast; `None` is answered with 461.
    ///
    /// UDP needs both ports, from 1024 up: lower ones are not a player's, and media must not be aimed at a
    /// system service. `destination` plays no part, media goes to the connection's peer.
    ///
    /// ```
    /// use fanlight::rtsp::transport::{Offer, parse};
    /// let specs = parse("RTP/AVP;multicast, RTP/AVP/TCP;unicast;interleaved=2-3");
    /// let offer = specs.iter().find_map(|spec| spec.offer());
    /// assert!(matches!(offer, Some(Offer::Tcp(Some(channels))) if channels.rtp == 2));
    /// ```
    pub fn offer(&self) -> Option<Offer> {
        if self.profile != Profile::Avp || self.multicast || self.mode == Mode::Record || self.fault.is_some()
        {
            return None;
        }
        match self.lower {
            Transport::Tcp | Transport::Tls | Transport::WebSocket | Transport::Http => {
                Some(Offer::Tcp(self.interleaved))
            }
            Transport::Udp => {
                let Ports { rtp, rtcp: Some(rtcp) } = self.client_port? else { return None };
                (rtp >= LOWEST_CLIENT_PORT).then_some(Offer::Udp(PortPair { rtp, rtcp }))
            }
        }
    }
}

impl Offer {
    /// The transport offered.
    pub fn transport(self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Udp(_) => Transport::Udp,
        }
    }
}

impl Channels {
    /// The pair of channels a client asks for the track it sets up as its `index`th, from 0; `None` after
    /// 128.
    pub fn nth(index: usize) -> Option<Self> {
        let rtp = u8::try_from(index.checked_mul(2)?).ok()?;
        Some(Self { rtp, rtcp: rtp + 1 })
    }

    /// Whether the two pairs have a channel in common.
    pub fn overlaps(self, other: Self) -> bool {
        [other.rtp, other.rtcp].iter().any(|channel| [self.rtp, self.rtcp].contains(channel))
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.rtp, self.rtcp)
    }
}

impl fmt::Display for PortPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.rtp, self.rtcp)
    }
}

impl fmt::Display for Offer {
    /// `RTP/AVP` rather than `RTP/AVP/UDP`, which some cameras answer with 461 though it means the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(Some(channels)) => write!(f, "RTP/AVP/TCP;unicast;interleaved={channels}"),
            Self::Tcp(None) => f.write_str("RTP/AVP/TCP;unicast"),
            Self::Udp(ports) => write!(f, "RTP/AVP;unicast;client_port={ports}"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { channels, ssrc } => {
                write!(f, "RTP/AVP/TCP;unicast;interleaved={channels};ssrc={ssrc:08X}")
            }
            Self::Udp { client, server, ssrc } => {
                write!(f, "RTP/AVP;unicast;client_port={client};server_port={server};ssrc={ssrc:08X}")
            }
        }
    }
}

/// Below are the ports of the system's services.
const LOWEST_CLIENT_PORT: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(header: &str) -> Vec<Option<Offer>> {
        parse(header).iter().map(TransportSpec::offer).collect()
    }

    fn tcp(rtp: u8, rtcp: u8) -> Option<Offer> {
        Some(Offer::Tcp(Some(Channels { rtp, rtcp })))
    }

    fn udp(rtp: u16, rtcp: u16) -> Option<Offer> {
        Some(Offer::Udp(PortPair { rtp, rtcp }))
    }

    #[test]
    fn every_form_a_player_sends_is_an_offer() {
        for header in [
            "RTP/AVP;unicast;client_port=5000-5001",
            "RTP/AVP/UDP;unicast;client_port=5000-5001",
            "rtp/avp;UNICAST;Client_Port=5000-5001",
            "RTP/AVP;unicast;client_port=5000-5001;mode=\"PLAY\"",
            "client_port=5000-5001;RTP/AVP;mode=\"PLAY\";unicast",
            " RTP/AVP ; unicast ; client_port = 5000 - 5001 ; ",
            "RTP/AVP;unicast;destination=10.9.9.9;client_port=5000-5001;x=y",
            "RTP/AVP;unicast;client_port=\"5000-5001\";mode=play",
            "RTP/AVP;unicast;client_port=5000-5001;interleaved=0-1",
        ] {
            assert_eq!(offers(header), [udp(5000, 5001)], "{header}");
        }
        for header in [
            "RTP/AVP/TCP;unicast;interleaved=0-1",
            "RTP/AVP/TCP;interleaved=0-1",
            "RTP/AVP/TCP; unicast; Interleaved=0-1",
            "RTP/AVP;unicast;interleaved=0-1",
            "RTP/AVP/TCP;unicast;interleaved=0",
            "RTP/AVP/TCP;unicast;interleaved=0-1;client_port=5000-5001;ssrc=zz",
        ] {
            assert_eq!(offers(header), [tcp(0, 1)], "{header}");
        }
        assert_eq!(offers("RTP/AVP/TCP;unicast"), [Some(Offer::Tcp(None))]);
    }

    #[test]
    fn any_two_ascending_channels_are_taken() {
        for (rtp, rtcp) in [(2, 3), (7, 8), (200, 201), (254, 255), (0, 5)] {
            assert_eq!(offers(&format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")), [tcp(rtp, rtcp)]);
        }
    }

    #[test]
    fn channels_that_do_not_fit_are_no_offer() {
        for channels in [
            "256-257",
            "255",
            "255-256",
            "3-2",
            "0-0",
            "a-b",
            "",
            "-",
            "0-",
            "-1",
            "+0-1",
            "0-1-2",
            "65536-65537",
        ] {
            let header = format!("RTP/AVP/TCP;unicast;interleaved={channels}");
            assert_eq!(offers(&header), [None], "{channels}");
            assert_eq!(parse(&header)[0].fault, Some(Fault::Channels), "{channels}");
        }
    }

    #[test]
    fn ports_that_do_not_fit_are_no_offer() {
        for ports in [
            "0-0",
            "0-1",
            "1-2",
            "1022-1023",
            "5000",
            "65535-65536",
            "65536-65537",
            "65535",
            "5001-5000",
            "abc",
            "",
        ] {
            assert_eq!(offers(&format!("RTP/AVP;unicast;client_port={ports}")), [None], "{ports}");
        }
        assert_eq!(offers("RTP/AVP;unicast;client_port=65534-65535"), [udp(65534, 65535)]);
    }

    #[test]
    fn what_we_do_not_serve_is_no_offer() {
        for header in [
            "RTP/AVP;multicast",
            "RTP/AVP;multicast;client_port=5000-5001",
            "RTP/AVP;multicast;destination=225.219.201.15;port=7000-7001;ttl=127",
            "RTP/AVP;unicast",
            "RTP/AVP/TCP;unicast;interleaved=0-1;mode=RECORD",
            "RTP/AVP;unicast;client_port=5000-5001;mode=\"receive\"",
            "RTP/SAVP;unicast;client_port=3456-3457",
            "RTP/SAVP/TCP;interleaved=0-1",
            "RAW/RAW/UDP;unicast;client_port=5000-5001",
            "RTP/AVP/SCTP;unicast;client_port=5000-5001",
            "unicast;client_port=5000-5001",
        ] {
            assert_eq!(offers(header), [None], "{header}");
        }
    }

    #[test]
    fn a_bad_alternative_does_not_lose_the_others() {
        let header = "RTP/AVP;unicast;client_port=0-0, RTP/AVP;multicast,,;=,x=\"a,b\", RTP/AVP/TCP;unicast;interleaved=2-3";
        let usable: Vec<_> = offers(header).into_iter().flatten().collect();
        assert_eq!(usable, [Offer::Tcp(Some(Channels { rtp: 2, rtcp: 3 }))]);
        assert_eq!(
            offers(
                "RTP/AVP;unicast;client_port=3456-3457;mode=\"PLAY\", RTP/AVP/TCP;unicast;interleaved=0-1"
            ),
            [udp(3456, 3457), tcp(0, 1)]
        );
    }

    #[test]
    fn what_we_write_is_what_players_read() {
        let channels = Channels { rtp: 0, rtcp: 1 };
        assert_eq!(
            Grant::Tcp { channels, ssrc: 0xbeef }.to_string(),
            "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0000BEEF"
        );
        let (client, server) = (PortPair { rtp: 5000, rtcp: 5001 }, PortPair { rtp: 8000, rtcp: 8001 });
        assert_eq!(
            Grant::Udp { client, server, ssrc: u32::MAX }.to_string(),
            "RTP/AVP;unicast;client_port=5000-5001;server_port=8000-8001;ssrc=FFFFFFFF"
        );
    }

    #[test]
    fn an_offer_written_is_read_back() {
        for offer in [tcp(4, 5), Some(Offer::Tcp(None)), udp(5000, 5001)] {
            assert_eq!(offers(&offer.unwrap().to_string()), [offer]);
        }
    }

    #[test]
    fn channel_pairs_run_to_the_end_of_a_byte() {
        assert_eq!(Channels::nth(1), Some(Channels { rtp: 2, rtcp: 3 }));
        assert_eq!(Channels::nth(127), Some(Channels { rtp: 254, rtcp: 255 }));
        assert_eq!((Channels::nth(128), Channels::nth(usize::MAX)), (None, None));
        let odd = Channels { rtp: 1, rtcp: 2 };
        assert!(odd.overlaps(Channels { rtp: 2, rtcp: 3 }) && odd.overlaps(Channels { rtp: 0, rtcp: 1 }));
        assert!(!odd.overlaps(Channels { rtp: 3, rtcp: 4 }));
    }
}
