//! Which wall-clock time a moment of the stream is: the ground for the sender reports to viewers.

use std::time::Duration;

use super::ntp::WallTime;
use crate::vocabulary::TrackId;

/// Maps each track's timeline to wall-clock time, for the sender reports of all viewers.
///
/// Until the camera has sent a report, arrival times serve. Its reports then give the exact relation between its
/// tracks. Once a viewer has been given a report, the clock does not jump any more: where the camera's clock is
/// elsewhere (it began late, or was set), the difference is kept as a shift. What remains is followed at `SLEW`: a
/// track whose first packet after an outage came late is off by as much until then. ffmpeg, for one, moves its
/// timestamps with every step of the report's clock, and complains of a step back that is longer than a frame.
///
/// Times are durations since the stream was made, so that a step of the relay's own clock changes nothing.
#[derive(Clone, Debug)]
pub struct StreamClock {
    /// The wall clock when the stream was made.
    origin: WallTime,
    tracks: Vec<TrackClock>,
    /// Added to the camera's clock for viewers.
    shift: i64,
    /// Nanoseconds by which the viewers' clock is ahead of the arrival clock.
    bias: i64,
    /// The camera has not said yet what its clock is in this epoch, which is not the first one.
    anew: bool,
}

#[derive(Clone, Debug)]
struct TrackClock {
    rate: u32,
    /// Smoothed arrival time of timestamp 0, in nanoseconds since the stream was made.
    arrival_of_zero: Option<i128>,
    /// The camera's wall-clock time of timestamp 0, from its last report in this epoch.
    camera_of_zero: Option<i128>,
    /// What viewers were told last.
    told: Option<Told>,
}

/// What viewers were told of a track, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// The viewers' wall-clock time of timestamp 0.
    zero: i128,
    /// The media time of that report.
    media: i128,
}

impl StreamClock {
    /// A clock for tracks with the given clock rates; `origin` is the wall-clock time of duration zero.
    pub fn new(origin: WallTime, rates: impl IntoIterator<Item = u32>) -> Self {
        let tracks = rates.into_iter().map(TrackClock::new).collect();
        Self { origin, tracks, shift: 0, bias: 0, anew: false }
    }

    /// The tracks are now these, a clock rate each, and whether it is a track that goes on: what is known of it stays.
    pub fn change_tracks(&mut self, tracks: impl IntoIterator<Item = (u32, bool)>) {
        let mut before = std::mem::take(&mut self.tracks).into_iter();
        for (rate, goes_on) in tracks {
            let known = before.next().filter(|_| goes_on);
            self.tracks.push(known.unwrap_or_else(|| TrackClock::new(rate)));
        }
    }

    /// What the camera reported belongs to an earlier epoch.
    pub fn start_epoch(&mut self) {
        for track in &mut self.tracks {
            track.camera_of_zero = None;
        }
        self.anew = true;
    }

    /// A frame with this timestamp arrived.
    pub fn arrived(&mut self, track: TrackId, timestamp: u64, arrival: Duration) {
        let Some(track) = self.tracks.get_mut(track.index()) else { return };
        let observed = nanos(arrival) - track.media_time(timestamp);
        track.arrival_of_zero = Some(match track.arrival_of_zero {
            Some(smoothed) if (observed - smoothed).abs() < STEP => {
                smoothed + (observed - smoothed) / SMOOTHING
            }
            _ => observed,
        });
    }

    /// The camera reported that `timestamp` is `camera` on its clock.
    pub fn sender_report(&mut self, track: TrackId, timestamp: u64, camera: WallTime) {
        let Some(clock) = self.tracks.get(track.index()) else { return };
        if clock.arrival_of_zero.is_none() {
            return;
        }
        let arrival = self.arrival_wall(clock, timestamp);
        let expected = arrival + i128::from(self.bias);
        let reported = i128::from(camera.0);
        let difference = expected - (reported + i128::from(self.shift));
        let anew = std::mem::take(&mut self.anew);
        if self.tracks.iter().any(|track| track.told.is_some()) {
            // In a new epoch also a small difference: the camera may have restarted, or be another one.
            if anew || difference.abs() > STEP {
                self.shift = clamp(expected - reported);
            }
        } else {
            self.shift = 0;
        }
        self.bias = clamp(reported + i128::from(self.shift) - arrival);
        let clock = &mut self.tracks[track.index()];
        clock.camera_of_zero = Some(reported - clock.media_time(timestamp));
    }

    /// The moment `now` on the track's timeline and on the viewers' clock: what a sender report says. `None` before
    /// the track's first frame.
    pub fn report(&mut self, track: TrackId, now: Duration) -> Option<(u64, WallTime)> {
        let clock = self.tracks.get(track.index())?;
        let media = nanos(now) - clock.arrival_of_zero?;
        let ticks = (media * i128::from(clock.rate) + 500_000_000) / 1_000_000_000; // to the nearest
        let timestamp = u64::try_from(ticks).ok()?;
        let media = clock.media_time(timestamp);
        let zero = match clock.camera_of_zero {
            Some(zero) => zero + i128::from(self.shift),
            None => self.arrival_wall(clock, 0) + i128::from(self.bias),
        };
        let zero = clock.told.map_or(zero, |told| told.towards(zero, media));
        self.tracks[track.index()].told = Some(Told { zero, media });
        Some((timestamp, WallTime(clamp(zero + media))))
    }

    /// How long after its time on the camera's clock a frame of the track arrives, in nanoseconds, on average; negative
    /// when the clocks disagree. `None` before the camera's first report in this epoch.
    pub fn camera_delay(&self, track: TrackId) -> Option<i64> {
        let clock = self.tracks.get(track.index())?;
        Some(clamp(i128::from(self.origin.0) + clock.arrival_of_zero? - clock.camera_of_zero?))
    }

    fn arrival_wall(&self, clock: &TrackClock, timestamp: u64) -> i128 {
        i128::from(self.origin.0) + clock.arrival_of_zero.unwrap_or(0) + clock.media_time(timestamp)
    }
}

impl Told {
    /// The time of timestamp 0 to tell at `media`, where it ought to be `zero`.
    fn towards(self, zero: i128, media: i128) -> i128 {
        let most = (media - self.media).max(0) / SLEW;
        self.zero + (zero - self.zero).clamp(-most, most)
    }
}

impl TrackClock {
    fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), arrival_of_zero: None, camera_of_zero: None, told: None }
    }

    /// Nanoseconds from timestamp 0 to `timestamp`.
    fn media_time(&self, timestamp: u64) -> i128 {
        i128::from(timestamp) * 1_000_000_000 / i128::from(self.rate)
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn clamp(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// One over the weight of a frame's arrival: at 25 frames a second it takes ten seconds to follow a change, which
/// leaves out the network's jitter and follows the drift between two crystals.
const SMOOTHING: i128 = 256;

/// One over the part of the time by which the viewers' clock follows: 2 ms in a second, 10 ms from one report to the
/// next, which is less than a frame of the common codecs and 20 times what crystals are apart.
const SLEW: i128 = 500;

/// A difference beyond one second is a clock that was set, not jitter or drift.
const STEP: i128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);
    const ORIGIN: WallTime = WallTime(1_700_000_000_000_000_000);

    fn clock() -> StreamClock {
        let mut clock = StreamClock::new(ORIGIN, [90_000, 8000]);
        clock.arrived(VIDEO, 1_000_000, Duration::ZERO);
        clock.arrived(AUDIO, 2_000_000, Duration::from_millis(20));
        clock
    }

    /// Equal but for what rounding to a tick leaves.
    fn same(a: WallTime, b: WallTime) -> bool {
        a.since(b).abs() <= 5
    }

    #[test]
    fn without_a_report_arrival_is_the_clock() {
        let mut clock = clock();
        let (timestamp, wall) = clock.report(VIDEO, Duration::from_secs(2)).unwrap();
        assert_eq!(timestamp, 1_000_000 + 180_000);
        assert!(same(wall, ORIGIN.after(Duration::from_secs(2))));
    }

    #[test]
    fn a_camera_that_comes_back_with_another_time_moves_nobody() {
        for step in [-900_000_000, -400_000_000, 3_000_000, 700_000_000, 3_600_000_000_000] {
            let mut clock = clock();
            clock.sender_report(VIDEO, 1_000_000, ORIGIN);
            let (_, before) = clock.report(VIDEO, Duration::from_secs(1)).unwrap();
            clock.start_epoch();
            // Two seconds later, and the camera's clock went `step` further.
            clock.arrived(VIDEO, 1_000_000 + 180_000, Duration::from_secs(2));
            let (_, unsaid) = clock.report(VIDEO, Duration::from_secs(2)).unwrap();
            clock.sender_report(VIDEO, 1_000_000 + 180_000, WallTime(ORIGIN.0 + 2_000_000_000 + step));
            let (_, said) = clock.report(VIDEO, Duration::from_secs(2)).unwrap();
            for now in [unsaid, said] {
                assert!((now.since(before) - 1_000_000_000).abs() < 20_000, "{step}: {}", now.since(before));
            }
        }
    }

    #[test]
    fn a_track_that_goes_on_keeps_its_time_when_others_change() {
        let mut clock = clock();
        let before = clock.report(VIDEO, Duration::from_secs(1)).unwrap();
        clock.change_tracks([(90_000, true), (48_000, false), (90_000, false)]);
        assert_eq!(clock.report(VIDEO, Duration::from_secs(1)), Some(before));
        assert_eq!(clock.report(AUDIO, Duration::from_secs(1)), None, "its time begins with its first frame");
        clock.change_tracks([(90_000, true)]);
        assert_eq!(clock.report(AUDIO, Duration::from_secs(1)), None);
    }

    #[test]
    fn the_camera_s_reports_say_how_its_tracks_belong_together() {
        let mut clock = clock();
        let camera = WallTime(5_000_000_000);
        clock.sender_report(VIDEO, 1_000_000, camera);
        clock.sender_report(AUDIO, 2_000_000, camera);
        let (video, at) = clock.report(VIDEO, Duration::from_secs(1)).unwrap();
        let (audio, also) = clock.report(AUDIO, Duration::from_millis(1020)).unwrap();
        assert_eq!((video, audio), (1_090_000, 2_008_000));
        assert_eq!(clock.camera_delay(VIDEO), Some(ORIGIN.since(camera)));
        assert!(same(at, camera.after(Duration::from_secs(1))) && same(also, at));
    }

    #[test]
    fn a_track_that_came_late_after_an_outage_is_put_right_little_by_little() {
        let mut clock = clock();
        let camera = |after_ms: i64| WallTime(5_000_000_000 + after_ms * 1_000_000);
        clock.sender_report(VIDEO, 1_000_000, camera(0));
        clock.sender_report(AUDIO, 2_000_000, camera(20));
        let (told, before) = clock.report(AUDIO, Duration::from_millis(1000)).unwrap();
        clock.start_epoch();
        // The picture is on time, the sound 60 ms late: its timestamps go on by too much.
        clock.arrived(VIDEO, 1_000_000 + 180_000, Duration::from_secs(2));
        clock.arrived(AUDIO, 2_000_000 + 16_480, Duration::from_millis(2080));
        clock.sender_report(VIDEO, 1_180_000, camera(2000));
        clock.sender_report(AUDIO, 2_016_480, camera(2020));
        // How far the wall clock is ahead of the sound's timestamps, against how far it was.
        let mut ahead = |seconds| {
            let (timestamp, wall) = clock.report(AUDIO, Duration::from_secs(seconds)).unwrap();
            (wall.since(before) - (timestamp - told) as i64 * 125_000) / 1_000_000
        };
        let steps =
            [0].into_iter().chain([6, 11, 16, 21, 26, 31, 36, 41].map(&mut ahead)).collect::<Vec<i64>>();
        assert!(steps.windows(2).all(|pair| (0..=10).contains(&(pair[0] - pair[1]))), "{steps:?}");
        assert_eq!(steps.last(), Some(&-60));
    }

    #[test]
    fn a_report_that_comes_after_a_viewer_s_does_not_move_the_viewers_clock() {
        let mut clock = clock();
        let (_, before) = clock.report(VIDEO, Duration::from_secs(1)).unwrap();
        clock.sender_report(VIDEO, 1_090_000, WallTime(0));
        let (_, after) = clock.report(VIDEO, Duration::from_secs(2)).unwrap();
        assert!(same(after, before.after(Duration::from_secs(1))));
    }

    #[test]
    fn a_camera_that_sets_its_clock_does_not_move_the_viewers_clock() {
        let mut clock = clock();
        clock.sender_report(VIDEO, 1_000_000, WallTime(5_000_000_000));
        let (_, before) = clock.report(VIDEO, Duration::from_secs(1)).unwrap();
        assert!(same(before, WallTime(6_000_000_000)));
        clock.start_epoch();
        clock.sender_report(VIDEO, 1_180_000, WallTime(9_000_000_000_000));
        let (_, after) = clock.report(VIDEO, Duration::from_secs(3)).unwrap();
        assert!(same(after, before.after(Duration::from_secs(2))));
    }

    #[test]
    fn the_arrival_clock_follows_a_crystal_that_runs_fast() {
        let mut clock = StreamClock::new(ORIGIN, [90_000]);
        for frame in 0..25 * 600u64 {
            // 100 millionths fast over ten minutes.
            clock.arrived(VIDEO, frame * 3600, Duration::from_nanos(frame * 39_996_000));
        }
        let now = Duration::from_nanos(25 * 600 * 39_996_000);
        let (timestamp, _) = clock.report(VIDEO, now).unwrap();
        let error = timestamp.abs_diff(25 * 600 * 3600);
        assert!(error < 90 * 4, "{error} ticks off");
    }
}
