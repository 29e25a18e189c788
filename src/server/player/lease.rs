//! The usual case: a viewer in the middle of its stream gets the whole of a burst of one track.
//!
//! What is known of a viewer lies in many places: its session, its tracks, its connection. Between two bursts the caches
//! fill with the packets of all the others, so that every place may cost a trip to memory. A viewer with whom nothing is the
//! matter is therefore served from a [`Lease`], which has the few numbers that such a burst needs side by side. Whoever wants
//! to look at the player has them put back first ([`Player::settle`]), and so has a burst that is not as simple as that.
//!
//! With the general way for every burst, 17 to 19 % of the relay's CPU time at 500 TCP viewers was its own code, and 79 % the
//! kernel's (perf; the floor program's own code takes 1 %). With leases, and the memory of several viewers fetched at once, it is
//! 9 and 88 %; at 100 viewers, over whom a burst's own work is spread less, 12 and 84 % (libc the rest).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::plan::RTP_HEADER;
use super::{Carrier, Player};
use crate::hub::{Burst, Packet};
use crate::rtp::Rewriter;
use crate::server::scratch::Layout;

/// A viewer's numbers, on loan from its player.
#[derive(Debug)]
pub(in crate::server) struct Lease {
    /// By track; of further tracks the player itself decides.
    lanes: [Option<Lane>; LANES],
    /// The description they belong to.
    generation: u32,
    /// A burst that is older makes the viewer one that is behind.
    oldest: Duration,
    /// When a report is due.
    until: Instant,
}

/// One track.
#[derive(Debug)]
struct Lane {
    rewriter: Rewriter,
    to: To,
    /// The last burst sent.
    seen: u64,
    /// The frame of the last packet sent.
    frame: u32,
    /// The same, unless that was its last packet.
    unfinished: Option<u32>,
    is_video: bool,
    packets: u32,
    octets: u32,
}

/// Where a track's packets go.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) enum To {
    /// This channel of the connection.
    Channel(u8),
    /// The viewer's port.
    Port(SocketAddr),
}

/// A burst that goes out as a whole.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Whole {
    pub(in crate::server) to: To,
    /// RTP packets in it.
    pub(in crate::server) packets: u64,
    /// Bytes of RTP in it.
    pub(in crate::server) bytes: u64,
}

impl Lease {
    /// Writes the viewer's numbers into `copy`, a copy of the burst, all of which is to be sent. `None` where the player has
    /// to decide; then nothing is done.
    pub(in crate::server) fn whole(
        &mut self,
        burst: &Burst,
        now: Instant,
        layout: Layout,
        copy: &mut [u8],
    ) -> Option<Whole> {
        let lane = self.lanes.get_mut(burst.only_track()?.index())?.as_mut()?;
        let packets = burst.packets();
        let (first, last) = (packets.first()?, packets.last()?);
        if burst.generation() != self.generation
            || burst.id() <= lane.seen
            || now >= self.until
            || now.saturating_duration_since(burst.received()) > self.oldest
            // Frames are missing, and to be counted.
            || lane.is_video && first.frame.wrapping_sub(lane.frame) > 1
        {
            return None;
        }
        match lane.to {
            To::Channel(channel) => {
                for (index, packet) in packets.iter().enumerate() {
                    let bytes = &mut copy[layout.range(index, packet)];
                    bytes[1] = channel;
                    let rtp = &mut bytes[Packet::FRAMING..];
                    lane.rewriter.rewrite(packet.sequence, packet.timestamp, rtp);
                }
            }
            To::Port(_) => {
                for (index, packet) in packets.iter().enumerate() {
                    let rtp = &mut copy[layout.range(index, packet)];
                    lane.rewriter.rewrite(packet.sequence, packet.timestamp, rtp);
                }
            }
        }
        (lane.frame, lane.seen) = (last.frame, burst.id());
        lane.unfinished = (!last.marker).then_some(last.frame);
        let bytes = burst.wire().len() - packets.len() * Packet::FRAMING;
        lane.packets = lane.packets.wrapping_add(packets.len() as u32);
        lane.octets = lane.octets.wrapping_add((bytes - packets.len() * RTP_HEADER) as u32);
        Some(Whole { to: lane.to, packets: packets.len() as u64, bytes: bytes as u64 })
    }
}

impl Lease {
    /// A word of each part of it.
    pub(in crate::server) fn words(&self) -> (u32, Duration, [Option<u64>; LANES]) {
        (self.generation, self.oldest, self.lanes.each_ref().map(|lane| lane.as_ref().map(|lane| lane.seen)))
    }
}

impl Player {
    /// Lends the numbers of a viewer that has just got `burst`, where what comes next is likely to be simple. Until they are
    /// put back the player does not know what is sent.
    pub(in crate::server) fn lease(&self, burst: &Burst) -> Option<Lease> {
        if self.opened.is_none() || burst.id() <= self.ahead_until {
            return None;
        }
        let mut lanes = [const { None }; LANES];
        for (lane, track) in lanes.iter_mut().zip(&self.tracks) {
            let Some(track) = track.as_ref().filter(|track| track.playing && !track.waits_for_key) else {
                continue;
            };
            let (Some(frame), true) = (track.last_frame(), track.is_steady()) else { continue };
            *lane = Some(Lane {
                rewriter: track.rewriter.clone(),
                to: match track.carrier {
                    Carrier::Channels { rtp, .. } => To::Channel(rtp),
                    Carrier::Ports { rtp, .. } => To::Port(rtp),
                },
                seen: track.seen,
                frame,
                unfinished: track.unfinished,
                is_video: track.is_video,
                packets: track.packets,
                octets: track.octets,
            });
        }
        // A track without a lane does not send, or its player is asked: its reports are due there.
        let mut until = None;
        for track in
            self.tracks.iter().flatten().filter(|track| track.playing && track.rewriter.is_anchored())
        {
            let next = track.next_report?;
            until = Some(until.map_or(next, |until: Instant| until.min(next)));
        }
        let oldest = (self.max_lag / 2).saturating_add(self.behind);
        Some(Lease { lanes, generation: self.generation, oldest, until: until? })
    }

    /// Takes back what was lent.
    pub(in crate::server) fn settle(&mut self, lease: Lease) {
        for (track, lane) in self.tracks.iter_mut().zip(lease.lanes) {
            let (Some(track), Some(lane)) = (track, lane) else { continue };
            track.rewriter = lane.rewriter;
            track.arrived_at(lane.frame);
            (track.unfinished, track.seen) = (lane.unfinished, lane.seen);
            (track.packets, track.octets) = (lane.packets, lane.octets);
        }
    }
}

/// Tracks that are lent: pictures and sound.
const LANES: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::tests::{Camera, INTER, KEY, SOUND, SPARE, VIDEO, Watcher};
    use super::*;
    use crate::config::FastStart;
    use crate::rtp::Start;
    use crate::server::scratch;
    use proptest::prelude::*;

    /// Gives it a burst by its lease where that does, and else as anybody; returns whether it did.
    fn take_leased(viewer: &mut Watcher, lease: &mut Option<Lease>, burst: &Burst, now: Instant) -> bool {
        let whole = scratch::with_copy(burst, Layout::Framed, |sheet| {
            let whole = lease.as_mut()?.whole(burst, now, Layout::Framed, sheet.copy)?;
            let track = burst.only_track()?;
            for packet in burst.packets() {
                let framed = &sheet.copy[packet.framed()];
                assert_eq!(framed[1], 2 * track.0);
                viewer.note(track, &framed[Packet::FRAMING..]);
            }
            Some(whole)
        });
        if let Some(whole) = whole {
            assert_eq!(whole.packets, burst.packets().len() as u64);
            return true;
        }
        if let Some(lease) = lease.take() {
            viewer.player.settle(lease);
        }
        viewer.take(burst, now);
        viewer.player.reports(now, |_| Some((0, std::time::SystemTime::UNIX_EPOCH.into())), |_, _| {});
        *lease = viewer.player.lease(burst);
        false
    }

    fn numbered_alike() -> [Watcher; 2] {
        [(), ()].map(|()| {
            let mut viewer = Watcher::new(Layout::Framed);
            for track in viewer.player.tracks.iter_mut().flatten() {
                track.rewriter = Rewriter::new(7, Start { sequence: 65_500, timestamp: u32::MAX - 4000 });
            }
            viewer
        })
    }

    #[test]
    fn who_is_in_step_is_served_by_its_lease_until_a_report_is_due() {
        let (mut camera, [mut viewer, _]) = (Camera::new(), numbered_alike());
        let mut lease = None;
        let served: Vec<bool> = (0..7)
            .map(|second| {
                camera.video(second * 1000, KEY);
                take_leased(&mut viewer, &mut lease, &camera.burst(), camera.at(second * 1000))
            })
            .collect();
        assert_eq!(served, [false, true, true, true, true, false, true]);
    }

    #[test]
    fn a_second_after_the_pictures_of_the_cache_a_viewer_is_like_any_other() {
        let (mut camera, [mut viewer, _]) = (Camera::new(), numbered_alike());
        let mut video = |at, shape| {
            camera.video(at, shape);
            (camera.burst(), camera.at(at))
        };
        let cached = [(0, KEY), (40, INTER), (80, INTER)].map(|(at, shape)| video(at, shape).0);
        let start = video(120, INTER).1;
        viewer.player.open(&cached.iter().cloned().collect(), FastStart::LiveEdge, start);
        let mut lease = None;
        for burst in &cached {
            assert!(!take_leased(&mut viewer, &mut lease, burst, start));
        }
        let mut served = |at| {
            let (burst, now) = video(at, INTER);
            take_leased(&mut viewer, &mut lease, &burst, now)
        };
        assert_eq!([160, 1080, 1081, 1120, 1160].map(&mut served), [false, false, false, true, true]);
    }

    proptest! {
        #[test]
        fn a_viewer_gets_the_same_with_a_lease_as_without(
            steps in prop::collection::vec((0u8..9, 0u64..40), 1..120),
        ) {
            let (mut camera, [mut one, mut other]) = (Camera::new(), numbered_alike());
            let (mut lease, mut clock, mut missed) = (None, 0, false);
            for (step, delay) in steps {
                clock += 40;
                match step {
                    0 => camera.video(clock, KEY),
                    1 => camera.video(clock, SPARE),
                    2 => camera.first_half(clock, INTER),
                    3 => camera.second_half(clock, INTER),
                    4 => camera.sound(clock),
                    5 => { camera.video(clock, INTER); camera.sound(clock) }
                    _ => camera.video(clock, INTER),
                }
                let burst = camera.burst();
                // Now and then a burst does not come, and now and then it comes too late.
                missed = !missed && delay == 1;
                if missed {
                    continue;
                }
                let now = camera.at(clock + if delay == 0 { 1500 } else { delay });
                take_leased(&mut one, &mut lease, &burst, now);
                other.take(&burst, now);
                other.player.reports(now, |_| Some((0, std::time::SystemTime::UNIX_EPOCH.into())), |_, _| {});
                prop_assert_eq!(&one.got, &other.got);
            }
            if let Some(lease) = lease.take() {
                one.player.settle(lease);
            }
            for track in [VIDEO, SOUND] {
                let state = |viewer: &Watcher| {
                    let track = viewer.player.track(track).unwrap();
                    let sent = (track.packets, track.octets, track.unfinished, viewer.player.seen());
                    (sent, track.last_frame(), track.rewriter.next(), track.waits_for_key)
                };
                prop_assert_eq!(state(&one), state(&other));
            }
        }
    }
}
