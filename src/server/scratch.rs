//! One copy of the current burst per worker thread, for the viewers of that thread to put their numbers in.
//!
//! All viewers of a burst need the same bytes but for 12 in each packet. A worker sends a burst to its viewers one after
//! the other, so one writable copy serves them all: a viewer overwrites what the one before it wrote, and the copying
//! is paid once per burst and thread instead of once per viewer.

use std::cell::RefCell;
use std::ops::Range;

use super::player::Plan;
use crate::hub::{Burst, Packet};

/// How packets lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each behind its 4 bytes of interleaved framing, for TCP.
    Framed,
    /// One right behind the other, for UDP.
    Bare,
}

/// What a thread writes into while it sends a burst to one viewer.
pub(super) struct Sheet<'s> {
    /// The packets of the burst. What a viewer finds in the bytes it rewrites is another viewer's.
    pub(super) copy: &'s mut [u8],
    /// What of it this viewer gets.
    pub(super) plan: &'s mut Plan,
    /// Sender reports on their way into the same write; empty at first.
    pub(super) reports: &'s mut Vec<u8>,
}

/// Runs `with` on this thread's copy of the burst.
pub(super) fn with_copy<T>(burst: &Burst, layout: Layout, with: impl FnOnce(Sheet<'_>) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let copy = match layout {
            Layout::Framed => &mut scratch.framed,
            Layout::Bare => &mut scratch.bare,
        };
        if copy.burst != burst.id() {
            copy.burst = burst.id();
            copy.bytes.clear();
            match layout {
                Layout::Framed => copy.bytes.extend_from_slice(burst.wire()),
                Layout::Bare => {
                    for packet in burst.packets() {
                        let framed = packet.framed();
                        copy.bytes
                            .extend_from_slice(&burst.wire()[framed.start + Packet::FRAMING..framed.end]);
                    }
                }
            }
        }
        scratch.reports.clear();
        with(Sheet { copy: &mut copy.bytes, plan: &mut scratch.plan, reports: &mut scratch.reports })
    })
}

impl Layout {
    /// Where the packet at `index` of a burst stands, framing included where there is any.
    pub(super) fn range(self, index: usize, packet: &Packet) -> Range<usize> {
        let framed = packet.framed();
        match self {
            Self::Framed => framed,
            Self::Bare => framed.start - Packet::FRAMING * index..framed.end - Packet::FRAMING * (index + 1),
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    framed: Copy,
    bare: Copy,
    plan: Plan,
    reports: Vec<u8>,
}

#[derive(Default)]
struct Copy {
    /// Ids begin at 1, so 0 is no burst.
    burst: u64,
    bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::PacketKind;
    use crate::hub::BurstBuilder;
    use crate::rtp::{Header, Place};
    use crate::vocabulary::TrackId;

    #[test]
    fn every_packet_stands_where_its_range_says_in_both_layouts() {
        let mut builder = BurstBuilder::default();
        let place = Place { sequence: 10, timestamp: 20, lost: 0, reordered: false, restarted: false };
        for size in [20, 12, 700] {
            let header = Header {
                marker: true,
                payload_type: 96,
                sequence: 1,
                timestamp: 2,
                ssrc: size,
                payload: 12..12,
            };
            let mut packet = header.write().to_vec();
            packet.resize(size as usize, 0xAA);
            builder.push(
                TrackId(0),
                &packet,
                &header,
                place,
                PacketKind::default(),
                std::time::Instant::now(),
            );
        }
        let burst = builder.finish(0).unwrap();
        for (index, packet) in burst.packets().iter().enumerate() {
            let bare = with_copy(&burst, Layout::Bare, |sheet| {
                sheet.copy[Layout::Bare.range(index, packet)].to_vec()
            });
            assert_eq!(Header::parse(&bare).unwrap().ssrc as usize, packet.len());
            let framed = with_copy(&burst, Layout::Framed, |sheet| {
                sheet.copy[Layout::Framed.range(index, packet)].to_vec()
            });
            assert_eq!(&framed[4..], bare);
        }
    }
}
