//! The server's UDP ports.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::learn::Port;
use super::table::UdpTable;
use crate::rtsp::transport::PortPair;
use crate::server::player::{Carrier, Plan, Player};

/// The server's pair of UDP ports.
#[derive(Debug)]
pub struct UdpPorts {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: PortPair,
    offload: UdpSocketState,
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
        // Learns what the kernel can do. On a socket of its own, because it also forbids fragments on the socket it is
        // given, and a camera's packet may be larger than a viewer's path allows.
        let offload = UdpSocketState::new(UdpSockRef::from(&UdpSocket::bind((ip, 0))?))?;
        Ok(Self { rtp, rtcp, ports, offload })
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
            ended = receive(&rtp, Port::Rtp, table) => ended,
            ended = receive(&rtcp, Port::Rtcp, table) => ended,
        }
    }

    /// Sends the planned packets. Returns whether the kernel took all of them.
    pub(in crate::server) fn send(&self, player: &Player, plan: &Plan, copy: &[u8]) -> bool {
        let mut taken = true;
        let mut rest = plan.parts.as_slice();
        while let Some(first) = rest.first() {
            let size = first.range.len();
            let mut count = 1;
            while let (Some(before), Some(part)) = (rest.get(count - 1), rest.get(count)) {
                let fits = part.track == first.track
                    && part.range.start == before.range.end
                    && before.range.len() == size
                    && part.range.len() <= size
                    && part.range.end - first.range.start <= MAX_DATAGRAM
                    && count < self.offload.max_gso_segments();
                if !fits {
                    break;
                }
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            rest = later;
            let Some(Carrier::Ports { rtp, .. }) = player.track(first.track).map(|track| track.carrier)
            else {
                continue;
            };
            let contents = &copy[first.range.start..now[count - 1].range.end];
            taken &= self.transmit(rtp, contents, (count > 1).then_some(size)).is_ok();
        }
        taken
    }

    /// One system call; where the kernel refuses to segment, one for each packet.
    fn transmit(&self, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size: segment, src_ip: None };
        match (self.offload.try_send(UdpSockRef::from(&self.rtp), &transmit), segment) {
            (Err(error), Some(size)) if error.kind() != io::ErrorKind::WouldBlock => {
                for packet in contents.chunks(size) {
                    self.rtp.send_to(packet, to)?;
                }
                Ok(())
            }
            (sent, _) => sent,
        }
    }

    pub(in crate::server) fn send_report(&self, to: SocketAddr, compound: &[u8]) {
        // A report that is lost is followed by the next one.
        let _ = self.rtcp.send_to(compound, to);
    }
}

async fn receive(socket: &AsyncFd<UdpSocket>, port: Port, table: &UdpTable) -> io::Result<()> {
    let mut datagram = [0; MAX_REPORT];
    loop {
        let mut ready = socket.readable().await?;
        // An error here belongs to some datagram sent earlier: there is nobody to tell.
        if let Ok(Ok((length, from))) = ready.try_io(|socket| socket.get_ref().recv_from(&mut datagram)) {
            table.received(from, port, &datagram[..length]);
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

/// The largest datagram over IPv4, and so the most that one system call can segment.
const MAX_DATAGRAM: usize = 65_507;

/// A burst to many viewers at once is more than the usual 208 KiB.
const SEND_BUFFER: usize = 4 << 20;
