//! Cameras in virtual time.

use super::*;
use proptest::prelude::*;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Numbers from 0 to 1 that look random (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn watch(tracks: &[Nature]) -> (Liveness, Instant) {
    let start = Instant::now();
    (Liveness::new(Patience::default(), tracks.iter().copied(), start), start)
}

/// Frames of the video track at these distances, key frames every `gop`; every one finds the session healthy. Returns
/// when the last one came.
fn play(
    live: &mut Liveness,
    from: Instant,
    gop: usize,
    intervals: impl IntoIterator<Item = Duration>,
) -> Instant {
    let mut now = from;
    for (i, interval) in intervals.into_iter().enumerate() {
        now += interval;
        assert_eq!(live.verdict(now), Verdict::Healthy, "before frame {i}");
        live.frame(VIDEO, i % gop == 0, now);
    }
    now
}

/// How long after `last` the verdict is not healthy any more, and how long until it is that of a stall, going by
/// `next_check` alone.
fn found(live: &Liveness, last: Instant) -> (Duration, Duration) {
    let (mut now, mut suspect) = (last, None);
    for _ in 0..100 {
        now = live.next_check(now);
        match live.verdict(now) {
            Verdict::Healthy => {}
            Verdict::Suspect { .. } => suspect = suspect.or(Some(now - last)),
            Verdict::Stalled { .. } => return (suspect.expect("suspect first"), now - last),
        }
    }
    panic!("never found");
}

#[test]
fn an_hour_of_a_steady_camera_with_jitter_is_never_suspected() {
    let (mut live, start) = watch(&[Nature::Video]);
    let mut dice = Dice(7);
    // 25 fps, 15 ms more or less; now and then the network holds everything up for 300 ms.
    let intervals =
        (0..90_000).map(|i| ms(if i % 997 == 0 { 300 } else { 25 + (30.0 * dice.roll()) as u64 }));
    let end = play(&mut live, start, 50, intervals);
    let (suspect, stalled) = found(&live, end);
    assert!(suspect <= ms(600) && stalled <= ms(1200), "{suspect:?} {stalled:?}");
}

#[test]
fn a_sudden_stop_at_25_frames_a_second_is_found_within_half_a_second() {
    let (mut live, start) = watch(&[Nature::Video]);
    let end = play(&mut live, start, 50, [ms(40); 500]);
    assert_eq!(found(&live, end), (ms(500), ms(1000)));
    let why = "No video frame on track 0 for 500 ms; usual are 40 ms.".to_owned();
    assert_eq!(live.verdict(end + ms(500)), Verdict::Suspect { track: Some(VIDEO), why });
}

#[test]
fn a_camera_with_one_frame_a_second_is_found_after_three() {
    let (mut live, start) = watch(&[Nature::Video]);
    let end = play(&mut live, start, 4, [ms(1000); 60]);
    let (suspect, _) = found(&live, end);
    assert!((ms(3000)..ms(3100)).contains(&suspect), "{suspect:?}");
}

#[test]
fn a_camera_that_slows_down_at_night_is_not_suspected() {
    let (mut live, start) = watch(&[Nature::Video]);
    let at_dusk = (40..=200).flat_map(|interval| [ms(interval); 5]);
    let end = play(&mut live, start, 50, [ms(40); 500].into_iter().chain(at_dusk).chain([ms(200); 200]));
    let (suspect, _) = found(&live, end);
    assert!(suspect <= ms(800), "{suspect:?}");
    // Nor one that drops to 5 frames a second from one frame to the next.
    let (mut live, start) = watch(&[Nature::Video]);
    play(&mut live, start, 50, [ms(40); 500].into_iter().chain([ms(200); 200]));
}

#[test]
fn a_camera_that_sends_a_second_s_frames_at_once_is_not_suspected() {
    let (mut live, start) = watch(&[Nature::Video]);
    let burst = |i: usize| ms(if i.is_multiple_of(25) { 1000 } else { 0 });
    play(&mut live, start, 25, (0..5000).map(burst));
}

#[test]
fn a_picture_that_stands_still_is_found_while_audio_goes_on() {
    let (mut live, start) = watch(&[Nature::Video, Nature::Audio]);
    let end = play(&mut live, start, 50, [ms(40); 500]);
    let mut now = end;
    while !matches!(live.verdict(now), Verdict::Stalled { track: Some(VIDEO), .. }) {
        now += ms(20);
        live.frame(AUDIO, false, now);
        live.packet(now);
        assert!(now - end < ms(3000), "not found");
    }
}

#[test]
fn an_half_open_connection_is_found_like_any_other_stall() {
    let (mut live, start) = watch(&[Nature::Video, Nature::Audio, Nature::Sparse]);
    let mut now = start;
    for i in 0..500 {
        now += ms(40);
        live.frame(VIDEO, i % 50 == 0, now);
        live.frame(AUDIO, false, now);
    }
    assert!(found(&live, now).1 <= ms(1000));
}

#[test]
fn metadata_and_a_silent_microphone_are_never_judged() {
    let (mut live, start) = watch(&[Nature::Video, Nature::Audio, Nature::Sparse]);
    for i in 0..30 {
        live.frame(TrackId(2), false, start + ms(10 * i));
    }
    play(&mut live, start, 50, [ms(40); 10_000]);
}

#[test]
fn audio_that_pauses_is_not_suspected_and_audio_that_ends_is() {
    let (mut live, start) = watch(&[Nature::Video, Nature::Audio]);
    let mut now = start;
    for i in 0..2000 {
        now += ms(40);
        live.frame(VIDEO, i % 50 == 0, now);
        if i % 200 < 100 {
            live.frame(AUDIO, false, now);
        }
        assert_eq!(live.verdict(now), Verdict::Healthy, "frame {i}");
    }
    let silent = now;
    while live.verdict(now) == Verdict::Healthy {
        now += ms(40);
        live.frame(VIDEO, false, now);
        assert!(now - silent < ms(10_000), "not found");
    }
    assert!(matches!(live.verdict(now), Verdict::Suspect { track: Some(AUDIO), .. }));
}

#[test]
fn a_session_that_never_delivers_gets_the_read_timeout() {
    let (mut live, start) = watch(&[Nature::Video, Nature::Audio]);
    assert_eq!(found(&live, start), (ms(5000), ms(10_000)));
    let end = play(&mut live, start, 50, [ms(40); 5]);
    assert_eq!(found(&live, end), (ms(5000), ms(10_000)), "a few frames are no rhythm");
    let (live, start) = watch(&[Nature::Sparse]);
    assert_eq!(found(&live, start), (ms(5000), ms(10_000)));
    let why = "No packet for 10 s.".to_owned();
    assert_eq!(live.verdict(start + ms(10_000)), Verdict::Stalled { track: None, why });
}

#[test]
fn the_next_session_starts_with_what_was_learned() {
    let (mut live, start) = watch(&[Nature::Video]);
    let end = play(&mut live, start, 50, [ms(40); 500]);
    let again = end + ms(60_000);
    live.restarted(again);
    assert_eq!(found(&live, again), (ms(5000), ms(10_000)), "the first picture may take its time");
    let last = play(&mut live, again + ms(3000), 50, [ms(40); 2]);
    assert_eq!(found(&live, last), (ms(500), ms(1000)));
}

#[test]
fn key_frames_that_stay_away_are_found() {
    let (mut live, start) = watch(&[Nature::Video]);
    let end = play(&mut live, start, 50, [ms(40); 1000]);
    let end = end - ms(49 * 40); // the last key frame; a group lasts 2 s
    let mut now = end + ms(49 * 40);
    while live.verdict(now) == Verdict::Healthy {
        now += ms(40);
        live.frame(VIDEO, false, now);
    }
    assert!((ms(8000)..ms(8050)).contains(&(now - end)), "{:?}", now - end);
    let Verdict::Suspect { why, .. } = live.verdict(now) else { panic!("suspect first") };
    assert_eq!(why, "No key frame on track 0 for 8 s; usual are 2 s.");
}

#[test]
fn configured_times_take_the_place_of_learned_ones() {
    let patience = Patience {
        stall_timeout: Some(ms(3000)),
        key_frame_timeout: Some(ms(20_000)),
        read_timeout: ms(10_000),
    };
    let start = Instant::now();
    let mut live = Liveness::new(patience, [Nature::Video], start);
    let mut now = play(&mut live, start, 50, [ms(40); 500]);
    assert_eq!(found(&live, now), (ms(3000), ms(6000)));
    let last_key = now - ms(49 * 40);
    while live.verdict(now) == Verdict::Healthy {
        now += ms(40);
        live.frame(VIDEO, false, now);
    }
    assert!((ms(20_000)..ms(20_050)).contains(&(now - last_key)));
}

#[test]
fn the_kind_of_a_medium_says_what_to_expect_of_it() {
    let natures = ["video", "Audio", "application", "", "application/mercury"].map(Nature::of);
    assert_eq!(natures, [Nature::Video, Nature::Audio, Nature::Sparse, Nature::Sparse, Nature::Sparse]);
}

proptest! {
    #[test]
    fn a_verdict_holds_until_the_next_check(
        frames in prop::collection::vec((0u8..4, any::<bool>(), 0u64..2000), 0..200),
        part in 0.0f64..1.0,
    ) {
        let (mut live, start) = watch(&[Nature::Video, Nature::Audio, Nature::Sparse]);
        let mut now = start;
        for (track, key, pause) in frames {
            now += ms(pause);
            live.frame(TrackId(track), key, now);
        }
        let kind = |verdict: Verdict| std::mem::discriminant(&verdict);
        let mut at = now;
        for _ in 0..10 {
            let next = live.next_check(at);
            prop_assert!(next > at);
            let between = at + (next - at).mul_f64(part);
            if between < next {
                prop_assert_eq!(kind(live.verdict(between)), kind(live.verdict(at)));
            }
            at = next;
        }
        let stalled = matches!(live.verdict(now + ms(3_600_000)), Verdict::Stalled { .. });
        prop_assert!(stalled, "silence is always found");
    }

    #[test]
    fn a_steady_camera_of_any_rate_is_found_after_a_few_frames(interval in 10u64..3000) {
        let (mut live, start) = watch(&[Nature::Video]);
        let end = play(&mut live, start, 50, std::iter::repeat_n(ms(interval), 400));
        let (suspect, stalled) = found(&live, end);
        prop_assert!(suspect <= ms((interval * 3 + interval / 4).max(500)));
        prop_assert_eq!(stalled, suspect * 2);
    }
}
