//! The usual case of a plan: a viewer that gets every packet of a burst.

use super::plan::{Part, Plan, RTP_HEADER};
use super::{Carrier, Player};
use crate::hub::Burst;
use crate::server::scratch::Layout;

impl Player {
    /// Plans a burst of one track that a viewer in the middle of its stream gets whole; `false` where it is not as simple as
    /// that, and nothing is done. The parts are the same for all such viewers, so those of the one before are left in place.
    pub(super) fn plan_steadily(
        &mut self,
        burst: &Burst,
        layout: Layout,
        copy: &mut [u8],
        plan: &mut Plan,
    ) -> bool {
        let Some(only) = burst.only_track() else { return false };
        let Some(track) = self.tracks.get_mut(only.index()).and_then(Option::as_mut) else { return false };
        if self.opened.is_none()
            || !track.playing
            || track.waits_for_key
            || !track.is_steady()
            || burst.id() <= track.seen
        {
            return false;
        }
        let packets = burst.packets();
        let (Some(first), Some(last)) = (packets.first(), packets.last()) else { return false };
        let lagged = track.advance(first.frame).frames.saturating_sub(1);
        track.advance(last.frame);
        let channel = match (layout, track.carrier) {
            (Layout::Framed, Carrier::Channels { rtp, .. }) => Some(rtp),
            _ => None,
        };
        for (index, packet) in packets.iter().enumerate() {
            let mut bytes = &mut copy[layout.range(index, packet)];
            if let Some(channel) = channel {
                bytes[1] = channel;
                bytes = &mut bytes[4..];
            }
            track.rewriter.rewrite(packet.sequence, packet.timestamp, bytes);
        }
        track.unfinished = (!last.marker).then_some(last.frame);
        track.seen = burst.id();
        let count = packets.len();
        let rtp = burst.wire().len() - count * crate::hub::Packet::FRAMING;
        track.packets = track.packets.wrapping_add(count as u32);
        track.octets = track.octets.wrapping_add((rtp - count * RTP_HEADER) as u32);
        plan.whole(burst, layout, only);
        (plan.packets, plan.bytes, plan.lagged) = (count as u64, rtp as u64, lagged);
        true
    }
}

impl Plan {
    /// All packets of a burst of one track.
    fn whole(&mut self, burst: &Burst, layout: Layout, track: crate::vocabulary::TrackId) {
        if self.whole_of == Some((burst.id(), layout)) {
            return;
        }
        self.parts.clear();
        let ranges = burst.packets().iter().enumerate().map(|(index, packet)| layout.range(index, packet));
        self.parts.extend(ranges.map(|range| Part { range, track }));
        self.whole_of = Some((burst.id(), layout));
    }
}
