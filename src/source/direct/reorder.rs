//! Packets that overtook others on the network, put back in order: bounded in time, count and bytes.
//!
//! A packet in order goes straight through. One that comes early waits for those before it, as long as
//! [`Bounds::window`] allows: then they count as lost, and what waited goes on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// What may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// How long a packet waits for the ones before it.
    pub(super) window: Duration,
    /// Packets of one track that may wait.
    pub(super) packets: usize,
    /// Bytes of one track that may wait.
    pub(super) bytes: usize,
}

/// The packets of one track that wait.
#[derive(Debug)]
pub(super) struct Reorder {
    bounds: Bounds,
    /// The sequence number that goes out next; `None` before the first packet.
    next: Option<u16>,
    /// In order of sequence, the first one behind a gap.
    held: VecDeque<Held>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    sequence: u16,
    packet: Bytes,
    arrived: Instant,
}

impl Reorder {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, next: None, held: VecDeque::new(), bytes: 0 }
    }

    /// Takes a packet; what is in order goes `out`, with the time of its arrival. `false` if it comes too late.
    pub(super) fn push(
        &mut self,
        sequence: u16,
        packet: Bytes,
        now: Instant,
        mut out: impl FnMut(Bytes, Instant),
    ) -> bool {
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next);
        if ahead >= 0x8000 {
            return false;
        }
        if ahead == 0 {
            self.next = Some(next.wrapping_add(1));
            out(packet, now);
            self.release(&mut out);
            return true;
        }
        let place = self.held.partition_point(|held| held.sequence.wrapping_sub(next) < ahead);
        if self.held.get(place).is_some_and(|held| held.sequence == sequence) {
            return false;
        }
        self.bytes += packet.len();
        // A copy, because the packet is a part of a buffer that is larger and wanted back.
        let packet = Bytes::copy_from_slice(&packet);
        self.held.insert(place, Held { sequence, packet, arrived: now });
        while self.held.len() > self.bounds.packets || self.bytes > self.bounds.bytes {
            self.skip_gap(&mut out);
        }
        true
    }

    /// When the oldest packet has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.arrived).min().map(|oldest| oldest + self.bounds.window)
    }

    /// Lets go what has waited long enough.
    pub(super) fn expire(&mut self, now: Instant, mut out: impl FnMut(Bytes, Instant)) {
        while self.due().is_some_and(|due| due <= now) {
            self.skip_gap(&mut out);
        }
    }

    /// Lets everything go and begins anew with the next packet.
    pub(super) fn restart(&mut self, mut out: impl FnMut(Bytes, Instant)) {
        while !self.held.is_empty() {
            self.skip_gap(&mut out);
        }
        self.next = None;
    }

    /// The packets before the first that waits are lost.
    fn skip_gap(&mut self, out: &mut impl FnMut(Bytes, Instant)) {
        if let Some(first) = self.held.front() {
            self.next = Some(first.sequence);
            self.release(out);
        }
    }

    /// Lets go what has become in order.
    fn release(&mut self, out: &mut impl FnMut(Bytes, Instant)) {
        while self.held.front().is_some_and(|held| Some(held.sequence) == self.next) {
            let Some(held) = self.held.pop_front() else { return };
            self.next = Some(held.sequence.wrapping_add(1));
            self.bytes -= held.packet.len();
            out(held.packet, held.arrived);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(50);

    fn reorder() -> Reorder {
        Reorder::new(Bounds { window: WINDOW, packets: 64, bytes: 1 << 20 })
    }

    fn push(reorder: &mut Reorder, sequence: u16, now: Instant, out: &mut Vec<u16>) -> bool {
        let packet = Bytes::copy_from_slice(&sequence.to_be_bytes());
        reorder.push(sequence, packet, now, |packet, _| out.push(u16::from_be_bytes([packet[0], packet[1]])))
    }

    #[test]
    fn what_overtook_waits_for_what_it_overtook() {
        let (mut reorder, mut out, now) = (reorder(), Vec::new(), Instant::now());
        for sequence in [65_534, 0, 1, 65_535, 3, 2, 2] {
            push(&mut reorder, sequence, now, &mut out);
        }
        assert_eq!(out, [65_534, 65_535, 0, 1, 2, 3]);
        assert_eq!(reorder.due(), None);
    }

    #[test]
    fn a_gap_is_waited_for_no_longer_than_the_window() {
        let (mut reorder, mut out, start) = (reorder(), Vec::new(), Instant::now());
        push(&mut reorder, 1, start, &mut out);
        push(&mut reorder, 3, start, &mut out);
        push(&mut reorder, 5, start + WINDOW / 2, &mut out);
        assert_eq!(reorder.due(), Some(start + WINDOW));
        let mut expired = |now, out: &mut Vec<u16>| {
            reorder.expire(now, |packet, _| out.push(u16::from_be_bytes([packet[0], packet[1]])));
        };
        expired(start + WINDOW - Duration::from_millis(1), &mut out);
        assert_eq!(out, [1]);
        expired(start + WINDOW, &mut out);
        assert_eq!(out, [1, 3]);
        assert!(!push(&mut reorder, 2, start + WINDOW, &mut out), "too late");
        assert!(push(&mut reorder, 4, start + WINDOW, &mut out));
        assert_eq!(out, [1, 3, 4, 5]);
    }

    #[test]
    fn count_and_bytes_are_bounded() {
        let now = Instant::now();
        for bounds in [
            Bounds { window: WINDOW, packets: 8, bytes: 1 << 20 },
            Bounds { window: WINDOW, packets: 1000, bytes: 16 },
        ] {
            let (mut reorder, mut out) = (Reorder::new(bounds), Vec::new());
            push(&mut reorder, 0, now, &mut out);
            for sequence in 1..100 {
                push(&mut reorder, sequence * 2, now, &mut out);
                assert!(reorder.held.len() <= 8 && reorder.bytes <= 16);
            }
            assert_eq!(out.len(), 100 - 8);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_within_the_window_is_lost_or_out_of_order(
            start: u16,
            delays in prop::collection::vec(0u64..50, 1..200),
        ) {
            // Packet n is sent at n milliseconds and takes its own time.
            let origin = Instant::now();
            let mut arrivals: Vec<(u64, u16)> =
                delays.iter().zip(0u16..).map(|(delay, n)| (u64::from(n) + delay, n)).collect();
            arrivals.sort();
            // The first to come begins the numbering: what is before it is late.
            let first = arrivals[0].1;
            let (mut reorder, mut out) = (reorder(), Vec::new());
            for (at, n) in arrivals {
                let now = origin + Duration::from_millis(at);
                reorder.expire(now, |packet, _| out.push(u16::from_be_bytes([packet[0], packet[1]])));
                push(&mut reorder, start.wrapping_add(n), now, &mut out);
            }
            reorder.restart(|packet, _| out.push(u16::from_be_bytes([packet[0], packet[1]])));
            let expected: Vec<u16> = (first..delays.len() as u16).map(|n| start.wrapping_add(n)).collect();
            prop_assert_eq!(out, expected);
        }
    }
}
