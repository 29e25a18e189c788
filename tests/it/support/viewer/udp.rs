//! The pair of UDP ports of one track of a viewer, its own or those of a group.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

#[derive(Debug)]
pub(super) struct UdpTrack {
    pub(super) track: usize,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Where the server wants RTCP, once SETUP has said so.
    pub(super) server_rtcp: Option<SocketAddr>,
    /// Where its packets come from.
    pub(super) server_rtp: Option<SocketAddr>,
}

impl UdpTrack {
    /// Binds an even port for RTP and the next one for RTCP.
    pub(super) async fn bind(track: usize, ip: IpAddr) -> Self {
        for _ in 0..200 {
            let rtp = UdpSocket::bind((ip, 0)).await.unwrap();
            let port = rtp.local_addr().unwrap().port();
            if !port.is_multiple_of(2) {
                continue;
            }
            // The kernel's default holds a few frames: a test that reads late must not lose any.
            socket2::SockRef::from(&rtp).set_recv_buffer_size(4 << 20).unwrap();
            if let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await {
                return Self { track, rtp, rtcp, server_rtcp: None, server_rtp: None };
            }
        }
        panic!("no free pair of udp ports");
    }

    /// Joins a group on loopback, as any number of viewers may.
    pub(super) fn join(track: usize, group: Ipv4Addr, (rtp, rtcp): (u16, u16)) -> Self {
        let [rtp, rtcp] = [rtp, rtcp].map(|port| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.set_recv_buffer_size(4 << 20).unwrap();
            socket.bind(&SocketAddr::from((group, port)).into()).unwrap();
            socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
            socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
            socket.set_nonblocking(true).unwrap();
            (UdpSocket::from_std(socket.into()).unwrap(), SocketAddr::from((group, port)))
        });
        Self { track, rtp: rtp.0, rtcp: rtcp.0, server_rtcp: Some(rtcp.1), server_rtp: Some(rtp.1) }
    }

    pub(super) fn ports(&self) -> (u16, u16) {
        let port = self.rtp.local_addr().unwrap().port();
        (port, port + 1)
    }

    /// The next datagram on the RTP or the RTCP port.
    pub(super) async fn receive(&self, rtcp: bool) -> Vec<u8> {
        let socket = if rtcp { &self.rtcp } else { &self.rtp };
        let mut data = vec![0; 65_536];
        let len = socket.recv(&mut data).await.unwrap();
        data.truncate(len);
        data
    }

    pub(super) fn poll_rtp(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.rtp.poll_recv(cx, buffer)
    }

    pub(super) async fn send_rtp(&self, data: &[u8]) {
        self.rtp.send_to(data, self.server_rtp.expect("set up")).await.unwrap();
    }

    pub(super) async fn send_rtcp(&self, data: &[u8]) {
        self.rtcp.send_to(data, self.server_rtcp.expect("set up")).await.unwrap();
    }
}
