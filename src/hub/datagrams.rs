//! Bursts for viewers over UDP: no packet longer than a datagram that needs no fragments of IP.

use super::burst::{Burst, Packet};
use crate::rtp::Header;

impl Burst {
    /// The same packets, none of them longer than `MAX_DATAGRAM`: longer ones are cut where their payload format knows
    /// fragments, and marked [`Packet::oversized`] where it does not. Made once for all viewers; usually the burst itself.
    pub fn datagrams(&self) -> &Self {
        if self.packets.iter().all(|packet| packet.len() <= MAX_DATAGRAM) {
            return self;
        }
        self.datagrams.get_or_init(|| Box::new(cut(self)))
    }
}

fn cut(burst: &Burst) -> Burst {
    let mut packets = Vec::with_capacity(burst.packets.len());
    let mut wire = Vec::with_capacity(burst.wire.len() + burst.wire.len() / 16);
    for packet in &burst.packets {
        let rtp = &burst.wire[packet.framed()][Packet::FRAMING..];
        if rtp.len() <= MAX_DATAGRAM {
            push(&mut packets, &mut wire, *packet, &[rtp]);
        } else {
            cut_packet(packet, rtp, &mut packets, &mut wire);
        }
    }
    Burst {
        id: burst.id,
        generation: burst.generation,
        received: burst.received,
        packets: packets.into(),
        wire: wire.into(),
        datagrams: Default::default(),
        only_track: None,
    }
}

fn cut_packet(packet: &Packet, rtp: &[u8], packets: &mut Vec<Packet>, wire: &mut Vec<u8>) {
    const PADDING: u8 = 0x20;
    const MARKER: u8 = 0x80;
    let Ok(header) = Header::parse(rtp) else { return }; // the hub admits none
    let plain = Header { marker: false, ..header.clone() }.write();
    // Contributing sources and an extension stay with the first piece, where there is room for them.
    let mut full = rtp[..header.payload.start].to_vec();
    full[0] &= !PADDING;
    full[1] &= !MARKER;
    let first: &[u8] = if full.len() <= MAX_HEADER { &full } else { &plain };
    let before = packets.len();
    let cut = packet.cutting.cut(&rtp[header.payload.clone()], PIECE - first.len(), |front, piece| {
        let added = packets.len() > before;
        let shape = Packet {
            key: packet.key && !added,
            frame_start: packet.frame_start && !added,
            restarted: packet.restarted && !added,
            marker: false,
            added,
            ..*packet
        };
        push(packets, wire, shape, &[if added { &plain } else { first }, front, piece]);
    });
    if !cut {
        push(packets, wire, Packet { oversized: true, ..*packet }, &[&plain]);
    } else if let Some(last) = packets.last_mut().filter(|_| packet.marker) {
        last.marker = true;
        wire[last.start as usize + Packet::FRAMING + 1] |= MARKER;
    }
}

fn push(packets: &mut Vec<Packet>, wire: &mut Vec<u8>, shape: Packet, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let (Ok(start), Ok(length)) = (u32::try_from(wire.len()), u16::try_from(length)) else { return };
    wire.extend([b'$', 0]);
    wire.extend(length.to_be_bytes());
    parts.iter().for_each(|part| wire.extend_from_slice(part));
    packets.push(Packet { start, length, ..shape });
}

/// What an Ethernet frame holds: 1500 bytes less 28 of IPv4 and UDP. Cameras over UDP fill it, so nothing below is cut.
const MAX_DATAGRAM: usize = 1472;

/// How long the pieces are at most: with room for IPv6 and a tunnel's headers.
const PIECE: usize = 1400;

/// Extension and contributing sources above this are left out of packets that are cut.
const MAX_HEADER: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::BurstBuilder;
    use super::*;
    use crate::codec::{Cutting, PacketKind};
    use crate::rtp::Place;
    use crate::vocabulary::TrackId;

    /// A burst of packets with these payloads, all but the last without the marker bit.
    fn burst(cutting: Cutting, payloads: &[Vec<u8>]) -> Burst {
        let mut builder = BurstBuilder::default();
        builder.cut_as([cutting]);
        for (index, payload) in payloads.iter().enumerate() {
            let header = Header {
                marker: index + 1 == payloads.len(),
                payload_type: 96,
                sequence: index as u16,
                timestamp: 7,
                ssrc: 3,
                payload: 12..12,
            };
            // With an extension of one word and three bytes of padding.
            let mut packet = header.write().to_vec();
            packet[0] |= 0x30;
            packet.extend([0xBE, 0xDE, 0, 1, 7, 7, 7, 7]);
            packet.extend(payload);
            packet.extend([0, 0, 3]);
            let place =
                Place { sequence: index as u64, timestamp: 7, lost: 0, reordered: false, restarted: true };
            let kind = PacketKind { key: true, frame_start: true, ..PacketKind::default() };
            builder.push(TrackId(0), &packet, &header, place, kind, Instant::now());
        }
        builder.finish(5).unwrap()
    }

    fn rtp<'a>(burst: &'a Burst, packet: &Packet) -> &'a [u8] {
        &burst.wire()[packet.framed()][Packet::FRAMING..]
    }

    #[test]
    fn a_burst_that_fits_is_sent_as_it_is() {
        let burst = burst(Cutting::H264, &[vec![0x65; MAX_DATAGRAM - 23]]);
        assert_eq!(burst.packets()[0].len(), MAX_DATAGRAM);
        assert!(std::ptr::eq(burst.datagrams(), &burst));
    }

    #[test]
    fn a_long_packet_becomes_several_that_bear_its_numbers_and_marks_once() {
        let burst = burst(Cutting::H264, &[vec![0x67; 20], vec![0x65; 4000], vec![0x65; 4000]]);
        let datagrams = burst.datagrams();
        assert!(std::ptr::eq(datagrams, burst.datagrams()), "made once");
        assert_eq!((datagrams.id(), datagrams.generation()), (burst.id(), 5));
        let packets = datagrams.packets();
        assert_eq!(packets.len(), 1 + 3 + 3);
        assert_eq!(rtp(datagrams, &packets[0]), rtp(&burst, &burst.packets()[0]));
        let flags: Vec<_> = packets.iter().map(|p| (p.added, p.sequence, p.key && p.restarted)).collect();
        let expected = [
            (false, 0, true),
            (false, 1, true),
            (true, 1, false),
            (true, 1, false),
            (false, 2, true),
            (true, 2, false),
            (true, 2, false),
        ];
        assert_eq!(flags, expected);
        for (index, packet) in packets.iter().enumerate() {
            let header = Header::parse(rtp(datagrams, packet)).unwrap();
            assert_eq!((header.timestamp, header.payload_type), (7, 96));
            assert_eq!((header.marker, packet.marker), (index == 6, index == 6));
            assert!(packet.len() <= PIECE || index == 0);
        }
        let extended: Vec<bool> =
            packets.iter().map(|packet| rtp(datagrams, packet)[0] & 0x10 != 0).collect();
        assert_eq!(extended, [true, true, false, false, true, false, false]);
        let picture: usize = packets[1..4]
            .iter()
            .map(|packet| Header::parse(rtp(datagrams, packet)).unwrap().payload.len() - 2)
            .sum();
        assert_eq!(picture, 3999, "all but the header of the NAL unit, and no padding");
    }

    #[test]
    fn what_cannot_be_cut_is_marked() {
        let burst = burst(Cutting::Never, &[vec![1; 4000], vec![1; 10]]);
        let packets = burst.datagrams().packets();
        assert_eq!(packets.iter().map(|p| p.oversized).collect::<Vec<_>>(), [true, false]);
        assert!(packets[0].len() < 100);
    }
}
