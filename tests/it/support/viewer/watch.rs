//! Viewers that watch in the background and keep books: what they got, the longest they waited for a frame, and
//! everything that no player should be shown.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::super::rtp::{Rtcp, Rtp};
use super::super::stamp::Stamp;
use super::super::{PATIENCE, eventually};
use super::{Interleaved, Message, Viewer, take_message};

/// What a viewer has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whole frames of track 0.
    pub frames: u32,
    pub packets: u32,
    /// Sequence numbers of track 0 that were left out.
    pub missing: u32,
    /// Of all tracks.
    pub missing_of_all: u32,
    /// Times the pictures went on after a hole in them with something else than a whole key frame.
    pub not_at_a_key_frame: u32,
    /// Times the pictures went on with a key frame that had been seen, or one before it.
    pub pictures_again: u32,
    /// Seconds by which the timestamps of track 0 are ahead of the clock, against the first live frame.
    pub drift: f64,
    /// Packets of tracks after the first.
    pub other_packets: u32,
    /// What no player should be shown: numbers that go back or come again, another SSRC, an error in place of an answer.
    pub wrong: Vec<String>,
    /// The viewer's session or connection has come to its end.
    pub ended: bool,
    last_frame: Instant,
    longest: Duration,
    origin: Option<(Instant, u32)>,
}

impl Seen {
    fn new() -> Self {
        Self {
            frames: 0,
            packets: 0,
            missing: 0,
            missing_of_all: 0,
            not_at_a_key_frame: 0,
            pictures_again: 0,
            drift: 0.0,
            other_packets: 0,
            wrong: Vec::new(),
            ended: false,
            last_frame: Instant::now(),
            longest: Duration::ZERO,
            origin: None,
        }
    }

    /// The longest wait for a frame since [`Crowd::start_over`], the present one included.
    pub fn longest_gap(&self) -> Duration {
        self.longest.max(self.last_frame.elapsed())
    }

    fn wrong(&mut self, what: String) {
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }
}

/// Viewers of one stream.
#[derive(Debug)]
pub struct Crowd {
    seen: Vec<Arc<Mutex<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Crowd {
    /// So many over TCP and over UDP, each with its first frame.
    pub async fn gather(url: &str, tcp: usize, udp: usize) -> Self {
        let (mut seen, mut tasks) = (Vec::new(), JoinSet::new());
        for n in 0..tcp + udp {
            let (viewer, _) = if n < tcp { Viewer::play_tcp(url).await } else { Viewer::play_udp(url).await };
            let books = Arc::new(Mutex::new(Seen::new()));
            seen.push(Arc::clone(&books));
            tasks.spawn(viewer.watch(books));
        }
        let crowd = Self { seen, _tasks: tasks };
        crowd.all("a first frame", PATIENCE, |seen| seen.frames > 0).await;
        crowd
    }

    /// What each has seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.iter().map(|seen| seen.lock().unwrap().clone()).collect()
    }

    /// Waits until it is so at every viewer.
    pub async fn all(&self, what: &str, limit: Duration, condition: impl Fn(&Seen) -> bool) {
        let holds = || self.seen.iter().all(|seen| condition(&seen.lock().unwrap()));
        eventually(&format!("every viewer: {what}"), limit, holds).await;
    }

    /// Waits until every viewer has got so many more frames.
    pub async fn go_on(&self, frames: u32, limit: Duration) {
        let wanted: Vec<u32> = self.seen().iter().map(|seen| seen.frames + frames).collect();
        let holds = || self.seen.iter().zip(&wanted).all(|(seen, n)| seen.lock().unwrap().frames >= *n);
        eventually(&format!("every viewer gets {frames} more frames"), limit, holds).await;
    }

    /// Measures gaps from here on.
    pub fn start_over(&self) {
        for seen in &self.seen {
            let mut seen = seen.lock().unwrap();
            (seen.longest, seen.last_frame) = (Duration::ZERO, Instant::now());
        }
    }

    /// The longest gap at each viewer, shortest first.
    pub fn gaps(&self) -> Vec<Duration> {
        let mut gaps: Vec<Duration> = self.seen().iter().map(Seen::longest_gap).collect();
        gaps.sort_unstable();
        gaps
    }

    /// Viewers that are not in their session any more.
    pub fn lost(&self) -> usize {
        self.seen().iter().filter(|seen| seen.ended).count()
    }

    /// Panics when one viewer was lost, or saw what none should be shown.
    #[track_caller]
    pub fn assert_whole(&self) {
        for (n, seen) in self.seen().iter().enumerate() {
            assert!(seen.wrong.is_empty(), "viewer {n}: {:#?}", seen.wrong);
            assert!(!seen.ended, "viewer {n} has lost its session");
        }
    }

    /// As [`Crowd::assert_whole`], and all went on at key frames, without a missing number, and with the clock.
    #[track_caller]
    pub fn assert_unharmed(&self) {
        self.assert_whole();
        for (n, seen) in self.seen().iter().enumerate() {
            assert_eq!((seen.missing, seen.not_at_a_key_frame), (0, 0), "viewer {n}: {seen:?}");
            assert!(seen.drift.abs() < 2.0, "viewer {n}: timestamps are {} s ahead", seen.drift);
        }
    }
}

/// What is remembered of a track.
#[derive(Debug, Default)]
struct Track {
    last: Option<Rtp>,
    stamp: Option<Stamp>,
}

impl Viewer {
    /// Watches and keeps the session alive until the session ends.
    async fn watch(mut self, seen: Arc<Mutex<Seen>>) {
        let mut alive = interval(KEEP_ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tracks: Vec<Track> = Vec::new();
        let mut datagram = vec![0; 65_536];
        let inbox = std::mem::take(&mut self.inbox);
        for Interleaved { channel, data } in inbox {
            heard(&mut seen.lock().unwrap(), &mut tracks, channel, &data);
        }
        loop {
            while let Some(message) = take_message(&mut self.buffer) {
                let mut seen = seen.lock().unwrap();
                match message {
                    Message::Interleaved(Interleaved { channel, data }) => {
                        heard(&mut seen, &mut tracks, channel, &data);
                    }
                    Message::Answer(answer) if answer.status == 200 => {}
                    // 454: its session is gone.
                    Message::Answer(answer) if answer.status == 454 => {
                        seen.ended = true;
                        return;
                    }
                    Message::Answer(answer) => seen.wrong(format!("{answer:?}")),
                }
            }
            let udp = &self.udp;
            let mut buffer = ReadBuf::new(&mut datagram);
            let any_datagram = poll_fn(|cx| {
                for track in udp {
                    if let Poll::Ready(read) = track.poll_rtp(cx, &mut buffer) {
                        return Poll::Ready(read.map(|()| (2 * track.track as u8, buffer.filled().len())));
                    }
                }
                Poll::Pending
            });
            tokio::select! {
                biased;
                _ = alive.tick() => {
                    let base = self.base.clone();
                    self.send("GET_PARAMETER", &base, &[]).await;
                }
                Ok((channel, len)) = any_datagram => {
                    heard(&mut seen.lock().unwrap(), &mut tracks, channel, &datagram[..len]);
                }
                read = self.stream.read_buf(&mut self.buffer) => {
                    if !matches!(read, Ok(1..)) {
                        seen.lock().unwrap().ended = true;
                        return;
                    }
                }
            }
        }
    }
}

fn heard(seen: &mut Seen, tracks: &mut Vec<Track>, channel: u8, data: &[u8]) {
    let index = usize::from(channel / 2);
    if tracks.len() <= index {
        tracks.resize_with(index + 1, Track::default);
    }
    if !channel.is_multiple_of(2) {
        if Rtcp::parse(data).iter().any(|packet| matches!(packet, Rtcp::Bye { .. })) {
            seen.ended = true;
        }
        return;
    }
    let (track, packet) = (&mut tracks[index], Rtp::parse(data));
    seen.packets += 1;
    if let Some(last) = &track.last {
        let step = packet.sequence.wrapping_sub(last.sequence) as i16;
        let ticks = packet.timestamp.wrapping_sub(last.timestamp) as i32;
        // A packet without the marker bit may have lost the one after it, with the bit.
        let same_frame_is_over = last.marker && index == 0;
        if packet.ssrc != last.ssrc {
            seen.wrong(format!("another SSRC: {packet:?} after {last:?}"));
        } else if step <= 0 || ticks < 0 || (ticks == 0 && (same_frame_is_over || index > 0)) {
            seen.wrong(format!("numbers go back or come again: {packet:?} after {last:?}"));
        } else {
            let missing = step as u32 - 1;
            seen.missing_of_all += missing;
            seen.missing += if index == 0 { missing } else { 0 };
        }
    }
    if index == 0 {
        picture(seen, track, &packet);
    } else {
        seen.other_packets += 1;
    }
    track.last = Some(packet);
}

/// A packet of the pictures.
fn picture(seen: &mut Seen, track: &mut Track, packet: &Rtp) {
    let now = Instant::now();
    if let Some(stamp) = packet.stamp() {
        let follows = track.stamp.is_some_and(|last| match stamp.frame.checked_sub(last.frame) {
            Some(0) => stamp.packet > last.packet,
            Some(1) => true,
            _ => false,
        });
        let goes_back =
            track.stamp.is_some_and(|last| (stamp.frame, stamp.packet) <= (last.frame, last.packet));
        let whole_key_frame = stamp.key && stamp.packet == 0;
        if goes_back && whole_key_frame {
            // Two sessions for a moment: the second may begin with the picture that the first ended with.
            seen.pictures_again += 1;
        } else if goes_back {
            seen.wrong(format!("pictures go back: {stamp:?} after {:?}", track.stamp));
        } else if !follows && !whole_key_frame {
            seen.not_at_a_key_frame += 1;
        }
        track.stamp = Some(stamp);
    }
    if packet.marker {
        seen.frames += 1;
        seen.longest = seen.longest.max(now - seen.last_frame);
        seen.last_frame = now;
        // The first frames of a viewer may come faster than their time.
        if seen.frames > SETTLED {
            let (at, timestamp) = *seen.origin.get_or_insert((now, packet.timestamp));
            let media = f64::from(packet.timestamp.wrapping_sub(timestamp) as i32) / 90_000.0;
            seen.drift = media - (now - at).as_secs_f64();
        }
    }
}

/// Between two requests of a viewer that only watches.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Frames of a viewer until what comes is live.
const SETTLED: u32 = 50;
