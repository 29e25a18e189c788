//! What comes in a session, counted: frames, bits, key frames, jitter, loss. Pure: the time is an argument.

use std::time::{Duration, Instant};

use crate::codec::{AccessPoints, Codec, Picture};
use crate::rtp::{Header, Jitter, WallTime};
use crate::sdp::{Description, Track};
use crate::source::direct::Event;

use super::report::Reading;

/// Everything that came in a session so far.
#[derive(Debug)]
pub(super) struct Measure {
    began: Instant,
    tallies: Vec<Tally>,
    /// When the first packet came.
    first: Option<Instant>,
    /// The camera's clock ahead of ours, in seconds.
    clock_offset: Option<f64>,
}

/// What came on a track.
#[derive(Debug)]
pub(super) struct Tally {
    track: u8,
    pub(super) codec: Codec,
    clock_rate: f64,
    points: AccessPoints,
    size: Option<(u32, u32)>,
    packets: u64,
    bytes: u64,
    frames: u64,
    key_frames: u64,
    first_key: Option<Instant>,
    last_frame: Option<Instant>,
    bytes_at_last_frame: u64,
    /// From here on rates are counted.
    steady: Option<Steady>,
    /// Of the source that sends now; `lost` counts those before it.
    numbers: Option<Numbers>,
    lost: u64,
    jitter: Jitter,
    media: MediaTime,
    /// Frames and media time of the last key frame.
    last_key: Option<(u64, f64)>,
    gops: Vec<u64>,
    longest_gop: f64,
    /// The camera's wall clock at a media time, in seconds.
    reported: Option<(f64, f64)>,
    latency: Option<f64>,
}

/// The end of the burst at the start: many cameras and relays send what they hold at once.
#[derive(Clone, Copy, Debug)]
struct Steady {
    at: Instant,
    frames: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    first: u64,
    highest: u64,
    received: u64,
}

/// Timestamps, counted on where they wrap.
#[derive(Clone, Copy, Debug, Default)]
struct MediaTime {
    ticks: i64,
    last: Option<u32>,
}

impl MediaTime {
    fn at(&mut self, timestamp: u32) -> i64 {
        let step = self.last.map_or(0, |last| timestamp.wrapping_sub(last).cast_signed());
        self.ticks += i64::from(step);
        self.last = Some(timestamp);
        self.ticks
    }
}

impl Measure {
    /// Begins with the tracks of a session.
    pub(super) fn new(description: &Description, began: Instant) -> Self {
        let tallies = description.tracks.iter().map(Tally::new).collect();
        Self { began, tallies, first: None, clock_offset: None }
    }

    /// Counts what came; `now` and `wall` are the same moment.
    pub(super) fn take(&mut self, event: &Event, now: Instant, wall: WallTime) {
        match event {
            Event::Packet { track, packet, received } => {
                let Some(tally) = self.tallies.get_mut(track.index()) else { return };
                let first = *self.first.get_or_insert(*received);
                let clock = Clock { began: self.began, first, received: *received, now, wall };
                tally.packet(packet, &clock);
            }
            Event::Report { track, ntp, timestamp } => {
                let offset = ntp.since(wall) as f64 / 1e9;
                // Nobody set the clock: 1970 or 1900 is no offset.
                self.clock_offset = Some(offset);
                if let Some(tally) = self.tallies.get_mut(track.index()) {
                    tally.report(ntp.as_secs_f64(), *timestamp);
                }
            }
            Event::Epoch { track } => {
                if let Some(tally) = self.tallies.get_mut(track.index()) {
                    tally.restart();
                }
            }
        }
    }

    /// When the first packet came.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// When a decoder could begin: at the first key frame of video; without video, at the first packet.
    pub(super) fn first_key(&self) -> Option<Instant> {
        let mut videos = self.tallies.iter().filter(|tally| tally.is_video()).peekable();
        if videos.peek().is_none() {
            return self.first;
        }
        videos.filter_map(|tally| tally.first_key).min()
    }

    /// How far the camera's clock is ahead of ours, in seconds, less the time its report took.
    pub(super) fn clock_offset(&self) -> Option<f64> {
        self.clock_offset
    }

    /// By track.
    pub(super) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// All tracks.
    pub(super) fn readings(&self) -> Vec<Reading> {
        self.tallies.iter().map(Tally::reading).collect()
    }
}

/// The moment of a packet.
struct Clock {
    began: Instant,
    first: Instant,
    received: Instant,
    now: Instant,
    wall: WallTime,
}

impl Tally {
    fn new(track: &Track) -> Self {
        Self {
            track: track.id.0,
            codec: track.codec,
            clock_rate: f64::from(track.clock_rate.max(1)),
            points: AccessPoints::new(track.codec, track.fmtp.as_deref()),
            size: None,
            packets: 0,
            bytes: 0,
            frames: 0,
            key_frames: 0,
            first_key: None,
            last_frame: None,
            bytes_at_last_frame: 0,
            steady: None,
            numbers: None,
            lost: 0,
            jitter: Jitter::default(),
            media: MediaTime::default(),
            last_key: None,
            gops: Vec::new(),
            longest_gop: 0.0,
            reported: None,
            latency: None,
        }
    }

    pub(super) fn is_video(&self) -> bool {
        !matches!(self.codec, Codec::Audio | Codec::Metadata | Codec::Other)
    }

    fn packet(&mut self, packet: &[u8], clock: &Clock) {
        let Ok(header) = Header::parse(packet) else { return };
        self.packets += 1;
        self.number(header.sequence);
        let payload = &packet[header.payload.clone()];
        let kind = self.points.inspect(payload, header.timestamp);
        if kind.frame_start {
            let media = self.media.at(header.timestamp) as f64 / self.clock_rate;
            self.frame(media, clock);
        }
        self.bytes += packet.len() as u64;
        if kind.key {
            self.key_frame(clock.received);
        }
        if let (Codec::Jpeg, [_, 0, 0, 0, _, _, width, height, ..]) = (self.codec, payload)
            && (*width, *height) != (0, 0)
        {
            self.size = Some((u32::from(*width) * 8, u32::from(*height) * 8));
        }
    }

    fn number(&mut self, sequence: u16) {
        let start = u64::from(sequence) + (1 << 32);
        let numbers = self.numbers.get_or_insert(Numbers { first: start, highest: start, received: 0 });
        let step = sequence.wrapping_sub(numbers.highest as u16).cast_signed();
        numbers.highest = numbers.highest.max(numbers.highest.saturating_add_signed(step.into()));
        numbers.received += 1;
    }

    fn frame(&mut self, media: f64, clock: &Clock) {
        self.frames += 1;
        self.last_frame = Some(clock.received);
        self.bytes_at_last_frame = self.bytes;
        if self.steady.is_none() && clock.received.saturating_duration_since(clock.first) >= BURST {
            self.steady = Some(Steady { at: clock.received, frames: self.frames, bytes: self.bytes });
        }
        if self.steady.is_some() {
            self.jitter.arrived(media, clock.received.saturating_duration_since(clock.began).as_secs_f64());
        }
        self.latency = self.reported.map(|(wall, reported)| {
            let ago = clock.now.saturating_duration_since(clock.received).as_secs_f64();
            clock.wall.as_secs_f64() - ago - (wall + media - reported)
        });
    }

    fn key_frame(&mut self, received: Instant) {
        self.key_frames += 1;
        self.first_key.get_or_insert(received);
        let media = self.media.ticks as f64 / self.clock_rate;
        if let Some((frames, before)) = self.last_key.replace((self.frames, media))
            && self.codec.has_key_frames()
        {
            if self.gops.len() < GOPS_MAX {
                self.gops.push(self.frames - frames);
            }
            self.longest_gop = self.longest_gop.max(media - before);
        }
    }

    fn report(&mut self, wall: f64, timestamp: u32) {
        if let Some(last) = self.media.last {
            let ahead = i64::from(timestamp.wrapping_sub(last).cast_signed());
            self.reported = Some((wall, (self.media.ticks + ahead) as f64 / self.clock_rate));
        }
    }

    /// What follows has nothing to do with what came before.
    fn restart(&mut self) {
        self.lost = self.lost();
        self.numbers = None;
        self.jitter.restart();
        self.media.last = None;
        self.last_key = None;
        self.reported = None;
    }

    fn lost(&self) -> u64 {
        let missing =
            |numbers: Numbers| (numbers.highest + 1 - numbers.first).saturating_sub(numbers.received);
        self.lost + self.numbers.map_or(0, missing)
    }

    /// The size of its pictures, as the stream itself says.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        self.size
    }

    /// What its parameter sets say of the pictures, those in the stream included.
    pub(super) fn picture(&self) -> Option<Picture> {
        Picture::of(self.codec, self.points.parameter_sets()?)
    }

    /// How old a frame was when it came, in seconds, by the camera's own clock: right where both clocks are.
    pub(super) fn latency(&self) -> Option<f64> {
        self.latency
    }

    pub(super) fn reading(&self) -> Reading {
        let span = self.steady.zip(self.last_frame);
        let rate = |of: &dyn Fn(&Steady) -> u64| {
            let (steady, last) = span?;
            let seconds = last.saturating_duration_since(steady.at).as_secs_f64();
            (seconds > 0.0).then(|| of(&steady) as f64 / seconds)
        };
        let mut gops = self.gops.clone();
        gops.sort_unstable();
        let lost = self.lost();
        Reading {
            track: self.track,
            packets: self.packets,
            bytes: self.bytes,
            frames: self.frames,
            fps: rate(&|steady| self.frames - steady.frames),
            bit_rate: rate(&|steady| (self.bytes_at_last_frame - steady.bytes) * 8),
            key_frames: self.key_frames,
            gop_frames: gops.get(gops.len() / 2).copied(),
            key_frame_interval_seconds: (!gops.is_empty()).then_some(self.longest_gop),
            jitter_seconds: self.jitter.seconds(),
            lost,
            loss: if lost == 0 { 0.0 } else { lost as f64 / (lost + self.packets) as f64 },
        }
    }
}

/// What comes sooner than this after the first packet may have been held for us.
const BURST: Duration = Duration::from_millis(700);

/// Groups of pictures that are remembered.
const GOPS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp;
    use crate::vocabulary::TrackId;
    use bytes::Bytes;

    const SDP: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 sprop-parameter-sets=Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=,aO48gA==\r\n";

    struct Run {
        measure: Measure,
        began: Instant,
        wall: WallTime,
    }

    impl Run {
        fn new() -> Self {
            let began = Instant::now();
            let description = Description::from_sdp(&sdp::parse(SDP.as_bytes()).unwrap());
            Self { measure: Measure::new(&description, began), began, wall: WallTime(1_000_000_000_000) }
        }

        fn packet(&mut self, sequence: u16, timestamp: u32, millis: u64, key: bool) {
            let header =
                Header { marker: true, payload_type: 96, sequence, timestamp, ssrc: 1, payload: 12..12 };
            let payload: &[u8] = if key { &[0x65, 0x88, 1, 2] } else { &[0x41, 0x9a, 1, 2] };
            let packet = Bytes::from([&header.write()[..], payload, &[0; 984]].concat());
            let received = self.began + Duration::from_millis(millis);
            let wall = self.wall.after(Duration::from_millis(millis));
            self.measure.take(&Event::Packet { track: TrackId(0), packet, received }, received, wall);
        }

        fn reading(&self) -> Reading {
            self.measure.readings().remove(0)
        }
    }

    #[test]
    fn rates_are_those_after_the_burst_at_the_start() {
        let mut run = Run::new();
        // Fifty frames at once, then 25 a second; numbers and timestamps wrap on the way.
        for frame in 0..200u64 {
            let millis = if frame < 50 { 10 } else { 10 + (frame - 49) * 40 };
            let timestamp = (u32::MAX - 90_000).wrapping_add(frame as u32 * 3600);
            run.packet((65_500 + frame) as u16, timestamp, millis, frame % 50 == 0);
        }
        let reading = run.reading();
        assert!((reading.fps.unwrap() - 25.0).abs() < 0.01, "{reading:?}");
        assert!((reading.bit_rate.unwrap() - 200_000.0).abs() < 100.0, "{reading:?}");
        assert_eq!((reading.frames, reading.key_frames, reading.gop_frames), (200, 4, Some(50)));
        assert!((reading.key_frame_interval_seconds.unwrap() - 2.0).abs() < 1e-6);
        assert_eq!((reading.lost, reading.loss), (0, 0.0));
        assert!(reading.jitter_seconds < 1e-6);
        let picture = run.measure.tallies()[0].picture().unwrap();
        assert_eq!((picture.width, picture.height), (1920, 1080));
    }

    #[test]
    fn what_never_came_is_lost_also_before_an_epoch() {
        let mut run = Run::new();
        for sequence in [10, 11, 13, 12, 16] {
            run.packet(sequence, 0, 0, false);
        }
        assert_eq!(run.reading().lost, 2);
        run.measure.take(&Event::Epoch { track: TrackId(0) }, run.began, run.wall);
        for sequence in [3, 5] {
            run.packet(sequence, 9, 1, false);
        }
        assert_eq!(run.reading().lost, 3);
        assert!((run.reading().loss - 0.3).abs() < 1e-9);
    }

    #[test]
    fn the_clock_and_the_age_of_a_frame_follow_from_a_report() {
        let mut run = Run::new();
        run.packet(1, 90_000, 0, true);
        let ntp = run.wall.shifted(2_000_000_000);
        run.measure.take(&Event::Report { track: TrackId(0), ntp, timestamp: 90_000 }, run.began, run.wall);
        assert_eq!(run.measure.clock_offset(), Some(2.0));
        // A second of media later, 1.25 s on our clock: 0.25 s late, on a clock that is 2 s ahead.
        run.packet(2, 180_000, 1250, false);
        let latency = run.measure.tallies()[0].latency().unwrap();
        assert!((latency + 1.75).abs() < 1e-6, "{latency}");
    }

    #[test]
    fn a_decoder_begins_at_the_key_frame() {
        let mut run = Run::new();
        run.packet(1, 0, 20, false);
        assert_eq!(run.measure.first_key(), None);
        run.packet(2, 3600, 60, true);
        assert_eq!(run.measure.first(), Some(run.began + Duration::from_millis(20)));
        assert_eq!(run.measure.first_key(), Some(run.began + Duration::from_millis(60)));
    }
}
