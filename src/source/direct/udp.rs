//! A pair of UDP ports for one track.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::net::UdpSocket;

use super::lane::{Group, Port};
use crate::rtsp::transport::PortPair;

/// The sockets of one track.
#[derive(Debug)]
pub(super) struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    pair: PortPair,
}

impl Ports {
    /// An even port and the one above it, on this address.
    pub(super) fn bind(local: IpAddr) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            let probe = socket(local, 0)?;
            let port = probe.local_addr()?.port() & !1;
            let (rtp, rtcp) = match (probe.local_addr()?.port() == port, port.checked_add(1)) {
                (true, Some(next)) => (Ok(probe), socket(local, next)),
                (_, Some(_)) => (socket(local, port), Ok(probe)),
                (_, None) => continue,
            };
            match (rtp, rtcp) {
                (Ok(rtp), Ok(rtcp)) => {
                    return Ok(Self { rtp, rtcp, pair: PortPair { rtp: port, rtcp: port + 1 } });
                }
                (Err(error), _) | (_, Err(error)) => last = error,
            }
        }
        Err(last)
    }

    /// The ports of a multicast group, joined on the interface with this address.
    pub(super) fn join(group: Group, local: IpAddr) -> io::Result<Self> {
        Ok(Self {
            rtp: joined(group.address, group.ports.rtp, local)?,
            rtcp: joined(group.address, group.ports.rtcp, local)?,
            pair: group.ports,
        })
    }

    /// What to ask for in SETUP.
    pub(super) fn pair(&self) -> PortPair {
        self.pair
    }

    /// The next datagram of either port. `buf` is room for it.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<(Port, SocketAddr, Bytes)> {
        match recv(&self.rtp, cx, buf) {
            Poll::Ready((from, packet)) => Poll::Ready((Port::Rtp, from, packet)),
            Poll::Pending => {
                let (from, packet) = ready!(recv(&self.rtcp, cx, buf));
                Poll::Ready((Port::Rtcp, from, packet))
            }
        }
    }

    /// Sends a datagram, or loses it.
    pub(super) fn send(&self, port: Port, to: SocketAddr, packet: &[u8]) {
        let socket = match port {
            Port::Rtp => &self.rtp,
            Port::Rtcp => &self.rtcp,
        };
        if let Err(error) = socket.try_send_to(packet, to) {
            tracing::trace!(%error, "a datagram to the camera is lost");
        }
    }
}

fn recv(socket: &UdpSocket, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<(SocketAddr, Bytes)> {
    loop {
        // An error that stays makes the socket never ready: the watch on media ends such a session.
        if ready!(socket.poll_recv_ready(cx)).is_err() {
            return Poll::Pending;
        }
        if buf.capacity() - buf.len() < DATAGRAM_MAX {
            buf.reserve(CHUNK);
        }
        match socket.try_recv_buf_from(buf) {
            Ok((_, from)) => return Poll::Ready((from, buf.split().freeze())),
            // What ICMP says of an earlier packet of ours (the camera's port is closed), and false alarms.
            Err(_) => continue,
        }
    }
}

fn socket(local: IpAddr, port: u16) -> io::Result<UdpSocket> {
    ready_made(std::net::UdpSocket::bind(SocketAddr::new(local, port))?)
}

/// Bound to the group, so that other groups on the same port are not heard; others may listen as well.
fn joined(group: IpAddr, port: u16, local: IpAddr) -> io::Result<UdpSocket> {
    let domain = if group.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(group, port).into())?;
    match (group, local) {
        (IpAddr::V4(group), IpAddr::V4(local)) => socket.join_multicast_v4(&group, &local)?,
        (IpAddr::V6(group), _) => socket.join_multicast_v6(&group, 0)?,
        (IpAddr::V4(group), IpAddr::V6(_)) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
    }
    ready_made(socket.into())
}

fn ready_made(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    // A key frame comes as one burst; the kernel gives what its limit allows.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    UdpSocket::from_std(socket)
}

const ATTEMPTS: usize = 50;

/// The longest there is: some cameras send 10 kB and leave the cutting to IP (C83).
const DATAGRAM_MAX: usize = 65_536;

/// Room for one of the longest and many of the usual.
const CHUNK: usize = 128 << 10;

const RECEIVE_BUFFER: usize = 2 << 20;
