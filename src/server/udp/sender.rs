//! Datagrams on their way out: as few system calls as the kernel allows.
//!
//! With segmentation offload a run of packets of one size is one call (44 to 48 ms of CPU per Gbit where it was measured).
//! Where the kernel or the network card refuses that, the whole burst is one `sendmmsg` (116 ms), and where that is
//! forbidden, as in some sandboxes, each packet is a call of its own (130 ms). A way that was refused is not tried again.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

/// Sends packets in the best way that is left.
#[derive(Debug)]
pub(super) struct Sender {
    offload: UdpSocketState,
    offloads: AtomicBool,
    gathers: AtomicBool,
}

impl Sender {
    /// Learns from `probe`, a socket for nothing else, what the kernel can do. (It also forbids fragments on that socket, and
    /// a camera's packet may be larger than a viewer's path allows.)
    ///
    /// # Errors
    /// The kernel does not know UDP sockets as they have been for decades.
    pub(super) fn new(probe: &UdpSocket) -> io::Result<Self> {
        let offload = UdpSocketState::new(UdpSockRef::from(probe))?;
        let offloads = AtomicBool::new(offload.max_gso_segments() > 1);
        Ok(Self { offload, offloads, gathers: AtomicBool::new(true) })
    }

    /// What the kernel can do, for receiving.
    pub(super) fn state(&self) -> &UdpSocketState {
        &self.offload
    }

    /// Sends the packets that stand at `ranges` of `copy` to one viewer. Returns whether the kernel took all of them.
    pub(super) fn send(
        &self,
        socket: &UdpSocket,
        to: SocketAddr,
        copy: &[u8],
        ranges: &mut dyn Iterator<Item = Range<usize>>,
    ) -> bool {
        let mut ranges = ranges.peekable();
        let mut taken = true;
        while let Some(first) = ranges.next() {
            let size = first.len();
            let mut run = first;
            let mut count = 1;
            // A segment is as long as the first one; the last may be shorter, and ends the run.
            let mut open = size <= MAX_SEGMENT && self.offloads.load(Ordering::Relaxed);
            while open
                && count < self.offload.max_gso_segments()
                && let Some(next) = ranges.next_if(|next| {
                    next.start == run.end && next.len() <= size && next.end - run.start <= MAX_DATAGRAM
                })
            {
                open = next.len() == size;
                run.end = next.end;
                count += 1;
            }
            if count > 1 {
                taken &= self.segmented(socket, to, &copy[run], size);
                continue;
            }
            if self.offloads.load(Ordering::Relaxed) {
                taken &= socket.send_to(&copy[run], to).is_ok();
                continue;
            }
            let mut batch = [IoSlice::new(&[]); MAX_GATHERED];
            batch[0] = IoSlice::new(&copy[run]);
            let mut gathered = 1;
            while gathered < MAX_GATHERED
                && let Some(next) = ranges.next()
            {
                batch[gathered] = IoSlice::new(&copy[next]);
                gathered += 1;
            }
            taken &= self.gathered(socket, to, &batch[..gathered]);
        }
        taken
    }

    /// One system call for a run of packets of one size.
    fn segmented(&self, socket: &UdpSocket, to: SocketAddr, contents: &[u8], size: usize) -> bool {
        let transmit =
            Transmit { destination: to, ecn: None, contents, segment_size: Some(size), src_ip: None };
        match self.offload.try_send(UdpSockRef::from(socket), &transmit) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                if self.offload.max_gso_segments() <= 1 && self.offloads.swap(false, Ordering::Relaxed) {
                    tracing::info!(%error, "UDP segmentation offload is not to be had: sendmmsg is used instead");
                }
                let packets: Vec<IoSlice<'_>> = contents.chunks(size).map(IoSlice::new).collect();
                packets.chunks(MAX_GATHERED).all(|packets| self.gathered(socket, to, packets))
            }
        }
    }

    /// One system call for several packets.
    fn gathered(&self, socket: &UdpSocket, to: SocketAddr, packets: &[IoSlice<'_>]) -> bool {
        let mut rest = packets;
        while rest.len() > 1 && self.gathers.load(Ordering::Relaxed) {
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(rest.len(), None);
            let slices: Vec<[IoSlice<'_>; 1]> = rest.iter().map(|packet| [*packet]).collect();
            let addresses = vec![Some(SockaddrStorage::from(to)); rest.len()];
            let no_messages: [ControlMessage<'_>; 0] = [];
            let flags = MsgFlags::empty();
            match sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), addresses, no_messages, flags) {
                Ok(sent) => match sent.count() {
                    0 => return false,
                    count => rest = &rest[count.min(rest.len())..],
                },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(error @ (Errno::ENOSYS | Errno::EPERM)) => {
                    if self.gathers.swap(false, Ordering::Relaxed) {
                        tracing::info!(%error, "sendmmsg is not to be had: each packet is sent by itself");
                    }
                }
                // Of one packet: the others may do.
                Err(_) => break,
            }
        }
        // Each is tried: what one viewer's path refuses of one packet says nothing of the next.
        rest.iter().fold(true, |taken, packet| taken & socket.send_to(packet, to).is_ok())
    }
}

/// The largest datagram over IPv4, and so the most that one system call can segment.
const MAX_DATAGRAM: usize = 65_507;

/// Larger packets fit no Ethernet frame over IPv6. The kernel fragments them one by one, but does not segment them: the
/// refusal would look as if it did not segment at all.
const MAX_SEGMENT: usize = 1452;

/// Packets of one `sendmmsg`.
const MAX_GATHERED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    /// Sends packets of these sizes in this way; every one has to arrive, in order and by itself.
    fn arrive(offloads: bool, gathers: bool, sizes: &[usize]) {
        let (from, to) = (socket(), socket());
        let sender = Sender::new(&socket()).unwrap();
        sender.offloads.fetch_and(offloads, Ordering::Relaxed);
        sender.gathers.store(gathers, Ordering::Relaxed);
        let mut copy = Vec::new();
        let ranges: Vec<Range<usize>> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| {
                let start = copy.len();
                copy.resize(start + size, index as u8);
                start..copy.len()
            })
            .collect();
        assert!(sender.send(&from, to.local_addr().unwrap(), &copy, &mut ranges.into_iter()));
        let mut datagram = [0; 65_536];
        for (index, size) in sizes.iter().enumerate() {
            let length = to.recv(&mut datagram).unwrap();
            assert_eq!((length, usize::from(datagram[0])), (*size, index));
        }
    }

    const MIXED: &[usize] = &[1400, 1400, 1400, 700, 1400, 12, 3000, 3000, 60, 60, 60];

    #[test]
    fn every_packet_arrives_by_itself_with_segmentation_offload() {
        arrive(true, true, MIXED);
        arrive(true, true, &[500; 60]);
    }

    #[test]
    fn every_packet_arrives_by_itself_with_sendmmsg() {
        arrive(false, true, MIXED);
        arrive(false, true, &[100; 130]);
    }

    #[test]
    fn every_packet_arrives_by_itself_when_each_is_a_call() {
        arrive(false, false, MIXED);
    }

    #[test]
    fn a_packet_that_is_refused_does_not_take_the_others_with_it() {
        let (from, to) = (socket(), socket());
        let sender = Sender::new(&socket()).unwrap();
        sender.offloads.store(false, Ordering::Relaxed);
        let copy = vec![7; 70_000];
        let ranges = [0..100, 100..69_900, 69_900..70_000];
        assert!(!sender.send(&from, to.local_addr().unwrap(), &copy, &mut ranges.into_iter()));
        let mut datagram = [0; 1000];
        for _ in 0..2 {
            assert_eq!(to.recv(&mut datagram).unwrap(), 100);
        }
    }
}
