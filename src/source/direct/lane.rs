//! One track on its way from the camera: where its packets come from and in which order, and what we report of them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Event;
use super::line::{Arrival, Line};
use super::reorder::Bounds;
use crate::rtp::{Header, Reception, WallTime, rtcp};
use crate::rtsp::transport::{Channels, PortPair, TransportSpec};
use crate::vocabulary::TrackId;

/// A track that is set up.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) track: TrackId,
    payload_type: u8,
    /// Its packets have another payload type than the one described, and nothing else is wrong with them. Known from the
    /// first packet on; `None` before, and where nothing is known of such cameras.
    misnumbered: Option<bool>,
    clock_rate: u32,
    pub(super) path: Path,
    line: Line,
    reception: Option<Reception>,
    /// Our own source, for reports.
    ssrc: u32,
    /// Packets and reports that were none.
    dropped: u64,
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Interleaved.
    Tcp(Channels),
    /// Datagrams.
    Udp(Remote),
}

/// The camera's side of a pair of UDP ports. Nothing it says of its ports is taken for certain (C40 to C43): what counts
/// is the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    peer: IpAddr,
    /// Another address the camera named for its media.
    source: Option<IpAddr>,
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    /// Packets come to a group instead of to us.
    group: Option<Group>,
}

/// Where multicast packets go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) address: IpAddr,
    pub(super) ports: PortPair,
}

/// Which of the two ports of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Rtp,
    Rtcp,
}

impl Remote {
    /// From the answer to SETUP. Ports that are missing or 0 are learnt from the first datagram.
    pub(super) fn new(peer: IpAddr, spec: Option<&TransportSpec>) -> Self {
        let source = spec.and_then(|spec| spec.source.as_deref()?.parse().ok());
        let source = source
            .filter(|source: &IpAddr| *source != peer && !source.is_unspecified() && !source.is_multicast());
        let ports = spec.and_then(|spec| spec.server_port).filter(|ports| ports.rtp > 0);
        let from = source.unwrap_or(peer);
        let rtcp =
            ports.map(|ports| ports.rtcp.filter(|port| *port > 0).unwrap_or(ports.rtp.wrapping_add(1)));
        Self {
            peer,
            source,
            rtp: ports.map(|ports| SocketAddr::new(from, ports.rtp)),
            rtcp: rtcp.map(|port| SocketAddr::new(from, port)),
            group: None,
        }
    }

    /// From the answer to SETUP of multicast; `None` if it names no group. Reports go to the camera itself, once its
    /// address is known.
    pub(super) fn multicast(peer: IpAddr, spec: Option<&TransportSpec>) -> Option<Self> {
        let spec = spec?;
        let address: IpAddr = spec.destination.as_deref()?.parse().ok()?;
        // Some write the group's ports as the server's.
        let ports = spec.port.or(spec.server_port).or(spec.client_port).filter(|ports| ports.rtp > 0)?;
        let rtcp = ports.rtcp.filter(|port| *port > 0).or(ports.rtp.checked_add(1))?;
        let group = Group { address, ports: PortPair { rtp: ports.rtp, rtcp } };
        let source = spec.source.as_deref().and_then(|source| source.parse().ok());
        address.is_multicast().then_some(Self { peer, source, rtp: None, rtcp: None, group: Some(group) })
    }

    /// The group to join.
    pub(super) fn group(&self) -> Option<Group> {
        self.group
    }

    /// Where to send to.
    pub(super) fn of(&self, port: Port) -> Option<SocketAddr> {
        match port {
            Port::Rtp => self.rtp,
            Port::Rtcp => self.rtcp,
        }
    }

    /// Whether a datagram is the camera's: any port of its host. Where it comes from is where ours go to from now on.
    fn accepts(&mut self, port: Port, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        if ip != self.peer.to_canonical() && Some(ip) != self.source {
            return false;
        }
        match port {
            Port::Rtp => {
                self.rtp = Some(from);
                self.rtcp.get_or_insert(SocketAddr::new(from.ip(), from.port().wrapping_add(1)));
            }
            Port::Rtcp => self.rtcp = Some(from),
        }
        true
    }
}

impl Lane {
    pub(super) fn new(track: &crate::sdp::Track, path: Path, reorder: Bounds, ssrc: u32) -> Self {
        let reorder = matches!(path, Path::Udp(_)).then_some(reorder);
        Self {
            track: track.id,
            payload_type: track.payload_type,
            misnumbered: (!track.is_video()).then_some(false),
            clock_rate: track.clock_rate,
            path,
            line: Line::new(reorder),
            reception: None,
            ssrc,
            dropped: 0,
        }
    }

    pub(super) fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// The source of its packets, once some came.
    pub(super) fn source(&self) -> Option<u32> {
        self.reception.as_ref().map(Reception::ssrc)
    }

    /// Whether any packet came yet.
    pub(super) fn heard(&self) -> bool {
        self.reception.is_some()
    }

    /// Packets left out: runts, repetitions, late ones, those of others.
    pub(super) fn left_out(&self) -> u64 {
        self.dropped + self.line.late()
    }

    /// A datagram for one of our ports.
    pub(super) fn datagram(
        &mut self,
        port: Port,
        from: SocketAddr,
        packet: Bytes,
        clock: Clock,
        out: impl FnMut(Event),
    ) {
        let ours = match &mut self.path {
            Path::Udp(remote) => remote.accepts(port, from),
            Path::Tcp(_) => false,
        };
        if ours {
            self.packet(packet, clock, out);
        } else {
            self.dropped += 1;
        }
    }

    /// A packet for this track: RTP or RTCP, by what it is, since cameras mix the channels up (RFC 5761 section 4).
    pub(super) fn packet(&mut self, packet: Bytes, clock: Clock, mut out: impl FnMut(Event)) {
        if is_rtcp(&packet) {
            return self.reports(&packet, clock, out);
        }
        let Ok(mut header) = Header::parse(&packet) else {
            self.dropped += 1; // a runt (C80)
            return;
        };
        let other = header.payload_type != self.payload_type;
        let mut packet = packet;
        if other && *self.misnumbered.get_or_insert(true) {
            header.payload_type = self.payload_type;
            let mut copy = packet.to_vec();
            copy[1] = copy[1] & 0x80 | self.payload_type;
            packet = copy.into();
        } else if !other {
            self.misnumbered = Some(false);
        }
        let track = self.track;
        let (reception, rate) = (&mut self.reception, self.clock_rate);
        reception.get_or_insert_with(|| Reception::new(header.ssrc, rate, header.sequence));
        let mut restarted = false;
        self.line.push(&header, packet, clock.now, |arrival| {
            restarted |= arrival == Arrival::Epoch;
            out(event(track, arrival));
        });
        if restarted {
            self.reception = Some(Reception::new(header.ssrc, rate, header.sequence));
        }
        if let Some(reception) = self.reception.as_mut().filter(|reception| reception.ssrc() == header.ssrc) {
            reception.arrived(header.sequence, header.timestamp, clock.since_start);
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.line.due()
    }

    /// Lets packets go that waited long enough for the ones before them.
    pub(super) fn expire(&mut self, now: Instant, mut out: impl FnMut(Event)) {
        let track = self.track;
        self.line.expire(now, |arrival| out(event(track, arrival)));
    }

    /// A receiver report, empty as long as nothing came.
    pub(super) fn report(&mut self, clock: Clock) -> Vec<u8> {
        let block = self.reception.as_mut().map(|reception| reception.report(clock.since_start));
        let mut packet = Vec::new();
        rtcp::write_receiver_report(self.ssrc, block.as_ref(), CNAME, &mut packet);
        packet
    }

    /// A packet that opens the way back through a firewall: an RTP header and no more, as ffmpeg sends it.
    pub(super) fn punch(&self) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0];
        packet.extend(self.ssrc.to_be_bytes());
        packet
    }

    fn reports(&mut self, packet: &[u8], clock: Clock, mut out: impl FnMut(Event)) {
        let track = self.track;
        rtcp::read(packet, |item| {
            if let rtcp::Item::SenderReport(report) = item {
                if let Some(reception) = &mut self.reception {
                    reception.sender_report(report.ntp, clock.since_start);
                }
                out(Event::Report { track, ntp: WallTime::from(report.ntp), timestamp: report.timestamp });
            }
        });
    }
}

/// The time of a packet, as the parts that need it count it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: Instant,
    /// Since the session began.
    pub(super) since_start: Duration,
}

/// Whether a packet is RTCP rather than RTP.
pub(super) fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [first, 192..=223, ..] if first >> 6 == 2)
}

/// The channels or ports a track asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Tcp(Channels),
    Udp(PortPair),
    /// To a group and ports that the camera names.
    Multicast,
}

fn event(track: TrackId, arrival: Arrival) -> Event {
    match arrival {
        Arrival::Packet(packet, received) => Event::Packet { track, packet, received },
        Arrival::Epoch => Event::Epoch { track },
    }
}

/// Our name in reports; nobody reads it.
const CNAME: &str = "fanlight";
