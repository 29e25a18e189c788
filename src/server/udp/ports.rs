//! UDP ports: the server's pair for all its viewers, and those that a flow by multicast leaves by.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use quinn_udp::{RecvMeta, UdpSockRef};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::learn::Port;
use super::sender::Sender;
use super::table::UdpTable;
use crate::hub::Burst;
use crate::rtsp::transport::PortPair;
use crate::server::player::{Carrier, Plan, Player};
use crate::server::scratch::Layout;
use crate::vocabulary::Transport;

/// The server's pair of UDP ports.
#[derive(Debug)]
pub struct UdpPorts {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: PortPair,
    sender: Sender,
    transport: Transport,
}

impl UdpPorts {
    /// Binds RTP and RTCP to `ports` of `ip`; ports of 0 are chosen by the system, an even one and the next.
    ///
    /// # Errors
    /// A port cannot be bound; the message names it.
    pub fn bind(ip: IpAddr, ports: (u16, u16)) -> io::Result<Self> {
        let (rtp, rtcp) =
            if ports == (0, 0) { bind_any(ip)? } else { (bind(ip, ports.0)?, bind(ip, ports.1)?) };
        let ports = PortPair { rtp: rtp.local_addr()?.port(), rtcp: rtcp.local_addr()?.port() };
        let sender = Sender::new(&UdpSocket::bind((ip, 0))?)?;
        Ok(Self { rtp, rtcp, ports, sender, transport: Transport::Udp })
    }

    /// A pair of any ports whose packets to a group leave by this interface, if it matters, and pass `ttl` routers less one.
    pub(in crate::server) fn for_multicast(interface: Option<Ipv4Addr>, ttl: u8) -> io::Result<Self> {
        let ip = IpAddr::from(interface.unwrap_or(Ipv4Addr::UNSPECIFIED));
        let ports = Self { transport: Transport::Multicast, ..Self::bind(ip, (0, 0))? };
        for socket in [&ports.rtp, &ports.rtcp] {
            let socket = socket2::SockRef::from(socket);
            socket.set_multicast_ttl_v4(ttl.into())?;
            if let Some(interface) = &interface {
                socket.set_multicast_if_v4(interface)?;
            }
        }
        Ok(ports)
    }

    /// How packets travel from here.
    pub(in crate::server) fn transport(&self) -> Transport {
        self.transport
    }

    /// The port that reports leave by, to hear what comes to it.
    pub(in crate::server) fn reports(&self) -> io::Result<UdpSocket> {
        self.rtcp.try_clone()
    }

    /// The ports, as `server_port` names them.
    pub fn ports(&self) -> PortPair {
        self.ports
    }

    /// Hands every datagram that arrives to `table`, until cancelled.
    ///
    /// # Errors
    /// The sockets cannot be watched.
    pub(in crate::server) async fn receive(&self, table: &UdpTable) -> io::Result<()> {
        // Woken to read only: a socket of tokio's own would wake this thread whenever a burst has left as well.
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that give up their descriptor early; a socket does not"
        )]
        let watch = |socket: &UdpSocket| AsyncFd::with_interest(socket.try_clone()?, Interest::READABLE);
        let (rtp, rtcp) = (watch(&self.rtp)?, watch(&self.rtcp)?);
        tokio::select! {
            ended = self.receive_from(&rtp, Port::Rtp, table) => ended,
            ended = self.receive_from(&rtcp, Port::Rtcp, table) => ended,
        }
    }

    /// Sends the planned packets. Returns whether the kernel took all of them.
    pub(in crate::server) fn send(&self, player: &Player, plan: &Plan, copy: &[u8]) -> bool {
        let mut taken = true;
        let mut rest = plan.parts.iter().peekable();
        while let Some(track) = rest.peek().map(|part| part.track) {
            let mut ranges = std::iter::from_fn(|| rest.next_if(|part| part.track == track))
                .map(|part| part.range.clone());
            match player.track(track).map(|track| track.carrier) {
                Some(Carrier::Ports { rtp, .. }) => {
                    taken &= self.sender.send(&self.rtp, rtp, copy, &mut ranges);
                }
                _ => ranges.for_each(drop),
            }
        }
        taken
    }

    /// Sends one packet.
    pub(in crate::server) fn send_packet(&self, to: SocketAddr, packet: &[u8]) {
        // What the kernel does not take is lost, as on the way.
        let _ = self.rtp.send_to(packet, to);
    }

    /// Sends all packets of a burst, as they stand in `copy`. Returns whether the kernel took all of them.
    pub(in crate::server) fn send_whole(&self, to: SocketAddr, burst: &Burst, copy: &[u8]) -> bool {
        let packets = burst.packets().iter().enumerate();
        let mut ranges = packets.map(|(index, packet)| Layout::Bare.range(index, packet));
        self.sender.send(&self.rtp, to, copy, &mut ranges)
    }

    pub(in crate::server) fn send_report(&self, to: SocketAddr, compound: &[u8]) {
        // A report that is lost is followed by the next one.
        let _ = self.rtcp.send_to(compound, to);
    }

    /// Takes whatever has arrived with one system call: a thousand viewers report within the same five seconds.
    async fn receive_from(
        &self,
        socket: &AsyncFd<UdpSocket>,
        port: Port,
        table: &UdpTable,
    ) -> io::Result<()> {
        let mut datagrams = vec![0; MAX_REPORT * BATCH];
        let mut origins = [RecvMeta::default(); BATCH];
        loop {
            let mut ready = socket.readable().await?;
            let received = ready.try_io(|socket| {
                let mut slots: Vec<_> = datagrams.chunks_mut(MAX_REPORT).map(IoSliceMut::new).collect();
                self.sender.state().recv(UdpSockRef::from(socket.get_ref()), &mut slots, &mut origins)
            });
            // An error here belongs to some datagram sent earlier: there is nobody to tell.
            let Ok(Ok(count)) = received else { continue };
            for (origin, datagram) in origins[..count].iter().zip(datagrams.chunks(MAX_REPORT)) {
                table.received(origin.addr, port, &datagram[..origin.len]);
            }
        }
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, port))
        .map_err(|error| io::Error::new(error.kind(), format!("UDP port {port} of {ip}: {error}")))?;
    socket.set_nonblocking(true)?;
    // A burst to many viewers is more than the usual 208 KiB. Less than asked for is not an error.
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER);
    Ok(socket)
}

fn bind_any(ip: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..100 {
        let rtp = bind(ip, 0)?;
        let port = rtp.local_addr()?.port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = bind(ip, port + 1)
        {
            return Ok((rtp, rtcp));
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no even UDP port is free together with the next one"))
}

/// Datagrams of viewers longer than this are cut: reports are shorter, and noise is not read.
const MAX_REPORT: usize = 2048;

/// Datagrams received at once.
const BATCH: usize = quinn_udp::BATCH_SIZE;

/// A burst to many viewers at once is more than the usual 208 KiB.
const SEND_BUFFER: usize = 4 << 20;
