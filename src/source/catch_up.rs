//! Fits what a second session has delivered behind what viewers have already got.
//!
//! The group of pictures that a new session begins with may have arrived before the last packet of the old one. Published
//! as it is it would push the stream's clock ahead of the wall clock, by a little more with every change of sessions. So
//! it is compressed, as for a new viewer: its first packet comes right after the last one published, its last packet
//! keeps its time, and decoders race to the live edge.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::session::{Data, Event, Packet};
use crate::vocabulary::TrackId;

/// Moves the packets of the `video` track so that none has arrived before the last one published of it, and their
/// timestamps with them. Those of other tracks that came before the last one published have been heard already, and
/// are left out. `published` is by track.
pub(super) fn fit_behind(events: &mut Vec<Event>, video: Option<TrackId>, published: &[Option<Instant>]) {
    let last = |track: TrackId| published.get(track.index()).copied().flatten();
    events.retain(|event| match event {
        Event::Packet(packet) if Some(packet.track) != video => {
            last(packet.track).is_none_or(|last| packet.received > last)
        }
        Event::Packet(_) | Event::Epoch { .. } | Event::Report { .. } => true,
    });
    if let Some(track) = video
        && let Some(last) = last(track)
    {
        let of_track = events.iter_mut().filter_map(|event| match event {
            Event::Packet(packet) if packet.track == track => Some(packet),
            Event::Packet(_) | Event::Epoch { .. } | Event::Report { .. } => None,
        });
        compress(&mut of_track.collect::<Vec<_>>(), last + APART);
    }
}

/// Moves packets of one track so that the first arrives at `begin` and the last when it did.
fn compress(packets: &mut [&mut Packet], begin: Instant) {
    let arrivals = || packets.iter().map(|packet| packet.received);
    let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) else { return };
    if first >= begin {
        return;
    }
    let span = last.saturating_duration_since(first).as_secs_f64();
    let room = last.saturating_duration_since(begin).as_secs_f64();
    let scale = if span > 0.0 { (room / span).min(1.0) } else { 0.0 };
    let Some(newest) = packets.last().and_then(|packet| timestamp(packet)) else { return };
    // Frames stay apart, if only by a tick.
    let (mut before, mut ticks) = (newest, 0);
    for packet in packets.iter_mut().rev() {
        packet.received = begin + packet.received.saturating_duration_since(first).mul_f64(scale);
        let Some(raw) = timestamp(packet) else { continue };
        if raw != before {
            let behind = newest.wrapping_sub(raw);
            // Half the range and more is a frame after the newest: reordered, and it counts like its neighbour.
            let scaled = if behind < 1 << 31 { (f64::from(behind) * scale) as u32 } else { ticks };
            ticks = scaled.max(ticks + 1);
            before = raw;
        }
        stamp(packet, newest.wrapping_sub(ticks));
    }
}

/// Of an RTP packet (RFC 3550 section 5.1).
fn timestamp(packet: &Packet) -> Option<u32> {
    packet.bytes().get(4..8)?.try_into().ok().map(u32::from_be_bytes)
}

fn stamp(packet: &mut Packet, timestamp: u32) {
    let mut bytes = packet.bytes().to_vec();
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&timestamp.to_be_bytes());
    }
    packet.data = Data::Bytes(Bytes::from(bytes));
}

/// Between the last packet published and the first that follows.
const APART: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::backlog::tests::{IDR, INTER, audio, video};
    use super::*;

    const VIDEO: TrackId = TrackId(0);

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn of(event: &Event) -> (Instant, u32) {
        let Event::Packet(packet) = event else { panic!("a packet") };
        (packet.received, timestamp(packet).unwrap())
    }

    /// A group of pictures at 25 frames a second.
    fn group(start: Instant, frames: u16, first: u32) -> Vec<Event> {
        let frame = |i: u16| {
            let nal = if i == 0 { IDR } else { INTER };
            video(nal, i, first.wrapping_add(u32::from(i) * 3600), start + ms(40) * u32::from(i))
        };
        (0..frames).map(frame).collect()
    }

    #[test]
    fn what_comes_after_is_left_as_it_is() {
        let now = Instant::now();
        let mut events = group(now, 10, 5);
        let before: Vec<_> = events.iter().map(of).collect();
        fit_behind(&mut events, Some(VIDEO), &[Some(now - ms(500))]);
        assert_eq!(events.iter().map(of).collect::<Vec<_>>(), before);
    }

    #[test]
    fn sound_that_was_heard_is_left_out() {
        let now = Instant::now();
        let mut events: Vec<_> = (0..50u16).map(|i| audio(i, now + ms(20) * u32::from(i))).collect();
        fit_behind(&mut events, Some(VIDEO), &[Some(now), Some(now + ms(500))]);
        assert_eq!(events.len(), 24);
    }

    proptest! {
        #[test]
        fn the_first_follows_what_was_published_and_the_last_keeps_its_time(
            frames in 1u16..200, published in 0u64..10_000, first: u32,
        ) {
            let start = Instant::now();
            let mut events = group(start, frames, first);
            let (last_arrival, last_timestamp) = of(events.last().unwrap());
            let after = start + ms(published);
            fit_behind(&mut events, Some(VIDEO), &[Some(after)]);
            let moved: Vec<_> = events.iter().map(of).collect();
            prop_assert!(moved.iter().all(|(arrival, _)| *arrival > after));
            prop_assert_eq!(moved[moved.len() - 1].1, last_timestamp);
            prop_assert!(moved[moved.len() - 1].0 <= last_arrival.max(after + APART) + ms(1));
            prop_assert!(moved.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            let ticks = moved[moved.len() - 1].1.wrapping_sub(moved[0].1);
            let room = last_arrival.saturating_duration_since(after).as_secs_f64() * 90_000.0;
            prop_assert!(f64::from(ticks) <= room + 200.0, "{ticks} ticks in {room}");
            prop_assert!(moved.windows(2).all(|pair| (1..1 << 31).contains(&pair[1].1.wrapping_sub(pair[0].1))));
        }
    }
}
