//! A file, played to one viewer: the bundled file server's side of a session.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::codec::{Cutting, PacketKind};
use crate::config::Viewing;
use crate::hub::{BurstBuilder, Delivery, Described, Stream};
use crate::jpeg::{Clip, ClipPackets};
use crate::metrics::Metrics;
use crate::rtp::{Header, Place, WallTime};
use crate::sdp::Description;
use crate::vocabulary::TrackId;

/// A clip under a name.
#[derive(Debug)]
pub struct ClipMount {
    stream: Arc<Stream>,
    clip: Arc<Clip>,
    described: Described,
    settings: ClipSettings,
}

/// How a clip is played.
#[derive(Clone, Copy, Debug)]
pub struct ClipSettings {
    /// Frames a second, above 0.
    pub fps: f64,
    /// Largest RTP packet in bytes, header included.
    pub packet_size: usize,
    /// Begin again at the end, rather than end the stream.
    pub repeat: bool,
}

/// One viewer's position in a clip.
#[derive(Debug)]
pub(super) struct Playback {
    mount: Arc<ClipMount>,
    /// The next frame.
    frame: usize,
    /// When the next frame is due.
    due: Instant,
    /// Frames sent since this playback was made: the clock of its timeline, which goes on when the clip starts again.
    sent: u64,
    sequence: u64,
    builder: BurstBuilder,
    /// A frame's place on the timeline and on the wall clock, for reports.
    anchor: (u64, Instant, WallTime),
}

impl ClipMount {
    /// Puts a clip under `name`.
    pub fn new(name: &str, clip: Arc<Clip>, settings: ClipSettings, metrics: &Metrics) -> Self {
        let (stream, _never_published) = Stream::new(name, metrics.stream(name), Viewing::default());
        let first = &clip.frames()[0];
        let description = Description::jpeg(first.width(), first.height(), settings.fps);
        Self { stream, clip, described: Described::new(description, 0, true), settings }
    }

    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(super) fn described(&self) -> &Described {
        &self.described
    }

    /// The file of a picture, counted from 0; `None` behind the last.
    pub(super) fn picture(&self, index: usize) -> Option<&[u8]> {
        let frames = self.clip.frames();
        let index = if self.settings.repeat { index % frames.len() } else { index };
        frames.get(index).map(|frame| &frame.data()[..])
    }

    /// Pictures a second.
    pub(super) fn fps(&self) -> f64 {
        self.settings.fps
    }

    /// `None` where it has no end.
    pub(super) fn duration(&self) -> Option<Duration> {
        (!self.settings.repeat).then(|| self.at(self.clip.frames().len()))
    }

    /// When a frame is due, from the start of the clip.
    fn at(&self, frame: usize) -> Duration {
        Duration::from_secs_f64(frame as f64 / self.settings.fps)
    }
}

impl Playback {
    /// At the start of the clip.
    pub(super) fn new(mount: Arc<ClipMount>) -> Self {
        let now = Instant::now();
        let mut builder = BurstBuilder::default();
        builder.cut_as([Cutting::Jpeg]);
        Self {
            mount,
            frame: 0,
            due: now,
            sent: 0,
            sequence: 0,
            builder,
            anchor: (0, now, SystemTime::now().into()),
        }
    }

    /// Goes on from where it stands, or from `position`. `false` where the clip ends before that.
    pub(super) fn resume(&mut self, position: Option<Duration>) -> bool {
        let now = Instant::now();
        if let Some(position) = position {
            let frame = (position.as_secs_f64() * self.mount.settings.fps).floor() as usize;
            if frame >= self.mount.clip.frames().len() {
                return false;
            }
            self.frame = frame;
        }
        self.due = now;
        self.anchor = (self.timestamp(), now, SystemTime::now().into());
        true
    }

    /// When the next frame is due, or after the last one the end: the last picture is shown as long as any other. BYE right
    /// behind it would come by another UDP port and overtake it: ffmpeg then ends one picture early.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The next frame, or the end.
    pub(super) fn take(&mut self) -> Delivery {
        let frames = self.mount.clip.frames();
        if self.frame >= frames.len() {
            if !self.mount.settings.repeat {
                return Delivery::Closed;
            }
            self.frame = 0;
        }
        let timestamp = self.timestamp();
        let mut packets = ClipPackets::new(self.mount.settings.packet_size);
        let (builder, sequence, now) = (&mut self.builder, &mut self.sequence, Instant::now());
        let mut first = true;
        packets.frame(
            &frames[self.frame],
            *sequence as u16,
            timestamp as u32,
            0,
            |packet, header: &Header| {
                let place =
                    Place { sequence: *sequence, timestamp, lost: 0, reordered: false, restarted: false };
                let kind = PacketKind { key: first, frame_start: first, ..PacketKind::default() };
                builder.push(TrackId(0), packet, header, place, kind, now);
                *sequence += 1;
                first = false;
            },
        );
        self.frame += 1;
        self.sent += 1;
        // From the time the frame was due, not from now: a late frame does not delay those after it. But a viewer that
        // was away for long is not shown what it missed in a rush.
        let interval = self.mount.at(1);
        self.due = (self.due + interval).max(now.checked_sub(MAX_BEHIND).unwrap_or(now));
        match self.builder.finish(0) {
            Some(burst) => Delivery::Burst(Arc::new(burst)),
            None => Delivery::Lagged, // a frame without a packet: none exists, the clip was checked when it was read
        }
    }

    /// The moment `now` on the timeline and on the wall clock.
    pub(super) fn report(&self, now: Instant) -> Option<(u64, WallTime)> {
        let (timestamp, at, wall) = self.anchor;
        let elapsed = now.saturating_duration_since(at);
        Some((timestamp + (elapsed.as_secs_f64() * f64::from(CLOCK_RATE)) as u64, wall.after(elapsed)))
    }

    /// The next frame's place in the clip.
    pub(super) fn position(&self) -> Duration {
        self.mount.at(self.frame)
    }

    /// The next frame's timestamp.
    fn timestamp(&self) -> u64 {
        (self.sent as f64 * f64::from(CLOCK_RATE) / self.mount.settings.fps).round() as u64
    }
}

/// RTP/JPEG's clock ([RFC 2435 section 3](https://datatracker.ietf.org/doc/html/rfc2435#section-3)).
const CLOCK_RATE: u32 = 90_000;

/// How far a playback may be behind before it leaves the past alone.
const MAX_BEHIND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jpeg::Clip;
    use crate::metrics::Metrics;

    #[test]
    fn the_last_picture_has_its_time_before_the_end() {
        let clip = Arc::new(Clip::demo());
        let last = clip.frames().len() - 1;
        let settings = ClipSettings { fps: 20.0, packet_size: 1400, repeat: false };
        let mount = Arc::new(ClipMount::new("clip", clip, settings, &Arc::new(Metrics::new())));
        let mut playback = Playback::new(mount);
        assert!(playback.resume(Some(Duration::from_secs_f64(last as f64 / 20.0 + 0.001))));
        let started = Instant::now();
        assert!(playback.due() <= Instant::now());
        assert!(matches!(playback.take(), Delivery::Burst(_)));
        assert!(playback.due() >= started + Duration::from_millis(49), "{:?}", playback.due() - started);
        assert!(matches!(playback.take(), Delivery::Closed));
    }
}
