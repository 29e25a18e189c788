//! What a viewer gets of bursts that are made by hand, at times that are made up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::codec::{Cutting, PacketKind};
use crate::hub::BurstBuilder;
use crate::rtp::{Header, Place};
use crate::sdp::{self, Description};
use crate::server::scratch::{self, Layout};

pub(super) const VIDEO: TrackId = TrackId(0);
pub(super) const SOUND: TrackId = TrackId(1);
const MEDIA: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 0\r\n";

/// A camera of 25 frames a second, two packets a frame, whose clock is the test's.
pub(super) struct Camera {
    start: Instant,
    builder: BurstBuilder,
    sequence: [u64; 2],
}

/// What is special about a frame.
#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    key: bool,
    droppable: bool,
    size: usize,
}

pub(super) const INTER: Shape = Shape { key: false, droppable: false, size: 30 };
pub(super) const KEY: Shape = Shape { key: true, ..INTER };
pub(super) const SPARE: Shape = Shape { droppable: true, ..INTER };

impl Camera {
    pub(super) fn new() -> Self {
        let mut builder = BurstBuilder::default();
        builder.cut_as([Cutting::H264, Cutting::Never]);
        Self { start: Instant::now(), builder, sequence: [1000, 5000] }
    }

    pub(super) fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn push(&mut self, track: TrackId, millis: u64, kind: PacketKind, marker: bool, size: usize) {
        let rate = if track == VIDEO { 90 } else { 8 };
        let sequence = &mut self.sequence[track.index()];
        let header = Header {
            marker,
            payload_type: 96,
            sequence: *sequence as u16,
            timestamp: (millis * rate) as u32,
            ssrc: 1,
            payload: 12..12,
        };
        let mut packet = header.write().to_vec();
        packet.resize(size, 0x41);
        let place = Place {
            sequence: *sequence,
            timestamp: (1 << 32) + millis * rate,
            lost: 0,
            reordered: false,
            restarted: false,
        };
        *sequence += 1;
        let received = self.start + Duration::from_millis(millis);
        self.builder.push(track, &packet, &header, place, kind, received);
    }

    /// The frame of this moment and the sound that goes with it.
    fn frame(&mut self, millis: u64, shape: Shape) -> Arc<Burst> {
        self.video(millis, shape);
        self.sound(millis);
        self.burst()
    }

    pub(super) fn video(&mut self, millis: u64, shape: Shape) {
        self.first_half(millis, shape);
        self.second_half(millis, shape);
    }

    pub(super) fn sound(&mut self, millis: u64) {
        let kind = PacketKind { key: true, frame_start: true, ..PacketKind::default() };
        self.push(SOUND, millis, kind, false, 100);
    }

    pub(super) fn first_half(&mut self, millis: u64, shape: Shape) {
        let kind = PacketKind {
            key: shape.key,
            frame_start: true,
            droppable: shape.droppable,
            ..PacketKind::default()
        };
        self.push(VIDEO, millis, kind, false, shape.size);
    }

    pub(super) fn second_half(&mut self, millis: u64, shape: Shape) {
        let kind = PacketKind { droppable: shape.droppable, ..PacketKind::default() };
        self.push(VIDEO, millis, kind, true, shape.size);
    }

    pub(super) fn burst(&mut self) -> Arc<Burst> {
        Arc::new(self.builder.finish(1).unwrap())
    }
}

/// What a viewer got: track, sequence number, timestamp, marker.
pub(super) type Got = (TrackId, u16, u32, bool);

pub(super) struct Watcher {
    pub(super) player: Player,
    plan: Plan,
    layout: Layout,
    pub(super) got: Vec<Got>,
}

impl Watcher {
    pub(super) fn new(layout: Layout) -> Self {
        let text = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{MEDIA}");
        let description = Description::from_sdp(&sdp::parse(text.as_bytes()).unwrap());
        let described = Described::new(description.clone(), 1, true);
        let mut player = Player::new(&described, "me".into(), &Viewing::default());
        for track in &description.tracks {
            player.set_up(track, Carrier::Channels { rtp: 2 * track.id.0, rtcp: 2 * track.id.0 + 1 });
        }
        player.play(None, Instant::now(), |_| None);
        Self { player, plan: Plan::default(), layout, got: Vec::new() }
    }

    /// Gives it a burst at this time; returns how many packets of pictures and of sound it got.
    pub(super) fn take(&mut self, burst: &Burst, now: Instant) -> (usize, usize) {
        let burst = if self.layout == Layout::Bare { burst.datagrams() } else { burst };
        let before = self.got.len();
        let (player, layout, got, plan) = (&mut self.player, self.layout, &mut self.got, &mut self.plan);
        scratch::with_copy(burst, layout, |sheet| {
            player.plan(burst, now, layout, sheet.copy, plan);
            for part in &plan.parts {
                let skip = if layout == Layout::Framed { 4 } else { 0 };
                let header = Header::parse(&sheet.copy[part.range.clone()][skip..]).unwrap();
                got.push((part.track, header.sequence, header.timestamp, header.marker));
            }
        });
        let of = |track| self.got[before..].iter().filter(|got| got.0 == track).count();
        (of(VIDEO), of(SOUND))
    }

    pub(super) fn note(&mut self, track: TrackId, packet: &[u8]) {
        let header = Header::parse(packet).unwrap();
        self.got.push((track, header.sequence, header.timestamp, header.marker));
    }

    fn of(&self, track: TrackId) -> Vec<Got> {
        self.got.iter().filter(|got| got.0 == track).copied().collect()
    }

    fn assert_no_gap(&self) {
        for track in [VIDEO, SOUND] {
            let got = self.of(track);
            assert!(got.windows(2).all(|pair| pair[1].1 == pair[0].1.wrapping_add(1)), "{track}: {got:?}");
        }
    }
}

#[test]
fn who_is_too_slow_loses_pictures_up_to_a_young_key_frame_and_no_sequence_number() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    assert_eq!(viewer.take(&camera.frame(0, KEY), camera.at(0)), (2, 1));
    assert_eq!(viewer.take(&camera.frame(40, INTER), camera.at(2040)), (2, 1), "2 s are not too much");
    let late = camera.frame(80, INTER);
    assert!(viewer.player.is_late(&late, camera.at(2081)));
    assert_eq!(viewer.take(&late, camera.at(2081)), (0, 0));
    assert_eq!(viewer.plan.lagged, 1);
    assert_eq!(viewer.take(&camera.frame(120, KEY), camera.at(2121)), (0, 0), "too old to begin with");
    assert_eq!(viewer.take(&camera.frame(160, INTER), camera.at(2130)), (0, 1), "sound goes on");
    assert_eq!((viewer.plan.lagged, viewer.plan.skipped), (0, 1));
    assert_eq!(viewer.take(&camera.frame(200, KEY), camera.at(2150)), (2, 1));
    viewer.assert_no_gap();
    let pictures = viewer.of(VIDEO);
    let distance = pictures[4].2.wrapping_sub(pictures[3].2);
    assert_eq!(distance, 160 * 90, "the time that passed shows");
}

#[test]
fn a_frame_under_way_is_finished_before_anything_is_left_out() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    viewer.take(&camera.frame(0, KEY), camera.at(0));
    camera.first_half(40, INTER);
    assert_eq!(viewer.take(&camera.burst(), camera.at(100)), (1, 0));
    camera.second_half(40, INTER);
    camera.first_half(80, INTER);
    assert_eq!(
        viewer.take(&camera.burst(), camera.at(5000)),
        (1, 0),
        "the rest, and nothing of the next one"
    );
    assert!(viewer.of(VIDEO).last().unwrap().3, "with its end");
    camera.second_half(80, INTER);
    assert_eq!(viewer.take(&camera.burst(), camera.at(5000)), (0, 0));
    viewer.take(&camera.frame(4990, KEY), camera.at(5000));
    viewer.assert_no_gap();
}

#[test]
fn the_newest_key_frame_is_waited_for_where_older_ones_would_do() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    viewer.take(&camera.frame(0, KEY), camera.at(0));
    let (late, older, newest) = (camera.frame(40, INTER), camera.frame(1000, KEY), camera.frame(2000, KEY));
    assert!(viewer.player.is_late(&late, camera.at(2100)));
    viewer.player.pictures_from(newest.id());
    let got = [&late, &older, &newest].map(|burst| viewer.take(burst, camera.at(2100)));
    assert_eq!(got, [(0, 0), (0, 1), (2, 1)]);
    viewer.assert_no_gap();
}

#[test]
fn who_is_behind_loses_first_what_no_other_frame_needs_and_always_whole_frames() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    viewer.take(&camera.frame(0, KEY), camera.at(0));
    assert_eq!(viewer.take(&camera.frame(40, SPARE), camera.at(50)), (2, 1), "not behind");
    assert_eq!(viewer.take(&camera.frame(80, SPARE), camera.at(1100)), (0, 1));
    assert_eq!(viewer.plan.unreferenced, 1);
    assert_eq!(viewer.take(&camera.frame(120, INTER), camera.at(1130)), (2, 1), "others need it");
    // One that was begun is finished, one that was not is not.
    camera.first_half(160, SPARE);
    assert_eq!(viewer.take(&camera.burst(), camera.at(170)), (1, 0));
    camera.second_half(160, SPARE);
    camera.first_half(200, SPARE);
    assert_eq!(viewer.take(&camera.burst(), camera.at(1300)), (1, 0));
    camera.second_half(200, SPARE);
    assert_eq!(viewer.take(&camera.burst(), camera.at(210)), (0, 0));
    assert_eq!(viewer.plan.unreferenced, 0, "counted once");
    viewer.assert_no_gap();
}

#[test]
fn what_was_cut_off_in_the_middle_leaves_a_gap_and_what_was_not_does_not() {
    for unfinished in [false, true] {
        let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
        viewer.take(&camera.frame(0, KEY), camera.at(0));
        if unfinished {
            camera.first_half(40, INTER);
            viewer.take(&camera.burst(), camera.at(40));
        }
        viewer.player.lose();
        assert_eq!(viewer.take(&camera.frame(400, INTER), camera.at(400)), (0, 1));
        assert_eq!(viewer.take(&camera.frame(440, KEY), camera.at(440)), (2, 1));
        let pictures = viewer.of(VIDEO);
        let [.., before, after, _] = pictures.as_slice() else { panic!("{pictures:?}") };
        assert_eq!(after.1.wrapping_sub(before.1), if unfinished { 2 } else { 1 });
    }
}

#[test]
fn cached_pictures_take_one_frame_interval_and_their_age_counts_from_play_on() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    let cached: VecDeque<_> =
        (0..250).map(|n| camera.frame(n * 40, if n == 0 { KEY } else { SPARE })).collect();
    let promised = viewer.player.announced(VIDEO, None).unwrap();
    viewer.player.open(&cached, FastStart::LiveEdge, camera.at(15_000));
    for burst in &cached {
        assert_eq!(viewer.take(burst, camera.at(15_000)), (2, 0), "pictures, and all of them");
    }
    let edge = cached.back().unwrap();
    assert_eq!(viewer.take(edge, camera.at(15_000)), (0, 0), "the ring has it as well");
    // What was there before it came is not late by any fault of the viewer's.
    assert_eq!(viewer.take(&camera.frame(10_000, INTER), camera.at(16_900)), (2, 1));
    assert_eq!(
        viewer.take(&camera.frame(10_040, INTER), camera.at(17_100)),
        (0, 0),
        "but it has to catch up"
    );
    let pictures = viewer.of(VIDEO);
    assert_eq!((pictures[0].1, pictures[0].2), (promised.sequence, promised.timestamp));
    let time = |frame: usize| pictures[2 * frame].2.wrapping_sub(pictures[0].2);
    assert!((1..250).all(|frame| time(frame) > time(frame - 1)));
    assert!(time(249) <= 3600 && time(250) - time(249) == 3600, "{} {}", time(249), time(250));
    viewer.assert_no_gap();
}

#[test]
fn who_cannot_take_the_cache_in_time_waits_for_a_key_frame() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    let cached: VecDeque<_> =
        (0..100).map(|n| camera.frame(n * 40, if n == 0 { KEY } else { INTER })).collect();
    viewer.player.open(&cached, FastStart::LiveEdge, camera.at(4000));
    assert_eq!(viewer.take(&cached[0], camera.at(4000)), (2, 0));
    assert_eq!(viewer.take(&cached[1], camera.at(6000)), (2, 0));
    assert_eq!(viewer.take(&cached[2], camera.at(6001)), (0, 0));
    assert_eq!(viewer.take(&camera.frame(4040, INTER), camera.at(6002)), (0, 1));
    assert_eq!(viewer.take(&camera.frame(4080, KEY), camera.at(6003)), (2, 1));
    viewer.assert_no_gap();
}

#[test]
fn pictures_with_their_own_time_bring_their_sound() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    let cached: VecDeque<_> =
        (0..100).map(|n| camera.frame(n * 40, if n == 0 { KEY } else { INTER })).collect();
    viewer.player.open(&cached, FastStart::Cached, camera.at(60_000));
    for burst in &cached {
        assert_eq!(viewer.take(burst, camera.at(60_000)), (2, 1));
    }
    let (pictures, sound) = (viewer.of(VIDEO), viewer.of(SOUND));
    assert_eq!(pictures[198].2.wrapping_sub(pictures[0].2), 99 * 3600);
    assert_eq!(sound[99].2.wrapping_sub(sound[0].2), 99 * 320);
}

#[test]
fn who_plays_the_cache_at_its_own_pace_may_stay_as_far_behind_as_it_began() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Framed));
    let cached: VecDeque<_> =
        (0..100).map(|n| camera.frame(n * 40, if n == 0 { KEY } else { INTER })).collect();
    viewer.player.open(&cached, FastStart::Cached, camera.at(4000));
    for (n, burst) in (0..).zip(&cached) {
        assert_eq!(viewer.take(burst, camera.at(4000 + n * 40)), (2, 1));
    }
    assert_eq!(
        viewer.take(&camera.frame(4000, INTER), camera.at(8000)),
        (2, 1),
        "four seconds late, as at first"
    );
    assert_eq!(
        viewer.take(&camera.frame(4040, INTER), camera.at(10_041)),
        (0, 0),
        "two more: it cannot keep up"
    );
}

#[test]
fn packets_too_long_for_a_datagram_become_several_with_numbers_of_their_own() {
    let (mut camera, mut viewer) = (Camera::new(), Watcher::new(Layout::Bare));
    let long = Shape { size: 4000, ..KEY };
    assert_eq!(viewer.take(&camera.frame(0, long), camera.at(0)), (6, 1));
    let packet = camera.frame(40, INTER);
    assert_eq!(viewer.take(&packet, camera.at(40)), (2, 1));
    camera.push(SOUND, 80, PacketKind { frame_start: true, ..PacketKind::default() }, false, 3000);
    assert_eq!(viewer.take(&camera.burst(), camera.at(80)), (0, 0), "sound is not cut");
    assert_eq!(viewer.plan.oversized, 1);
    assert_eq!(viewer.take(&camera.frame(120, INTER), camera.at(120)), (2, 1));
    let pictures = viewer.of(VIDEO);
    assert!(pictures.windows(2).all(|pair| pair[1].1 == pair[0].1.wrapping_add(1)));
    assert_eq!(
        pictures.iter().map(|got| got.3).collect::<Vec<_>>()[..6],
        [false, false, false, false, false, true]
    );
    let sound = viewer.of(SOUND);
    assert_eq!(sound[2].1.wrapping_sub(sound[1].1), 2, "what is missing shows");
}
