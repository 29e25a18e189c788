//! A file, played in a loop as if it were a camera.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::time::{self, Sleep};

use super::error::Error;
use super::session::{Client, Data, Event, Local, Packet, Request, Session};
use crate::jpeg::{self, Clip, ClipPackets};
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, TrackId, Transport};

/// Reads a clip.
///
/// # Errors
/// It cannot be read, is larger than 1 GiB, or is not a clip that RTP can carry: in words, with its path.
pub fn load(path: &Path) -> Result<Clip, String> {
    let name = path.display();
    let length = std::fs::metadata(path).map_err(|error| format!("{name}: {error}"))?.len();
    if length > MAX_FILE {
        return Err(format!("{name}: {length} bytes are more than the {MAX_FILE} a clip may have"));
    }
    let data = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    Clip::parse(data.into()).map_err(|error| format!("{name}: {error}"))
}

/// Opens the file of a stream.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) fps: f64,
    pub(super) packet_size: usize,
}

impl Client for File {
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>> {
        let (path, fps, packet_size) = (self.path.clone(), self.fps, self.packet_size);
        Box::pin(async move {
            let loaded = tokio::task::spawn_blocking(move || load(&path)).await;
            request.progress.answer();
            let clip = match loaded {
                Ok(clip) => clip.map_err(|message| Error::new(FailureClass::File, message))?,
                Err(_) => return Err(Error::new(FailureClass::Panic, "reading the file panicked")),
            };
            let Some(first) = clip.frames().first() else {
                return Err(Error::new(FailureClass::File, "the clip has no frames"));
            };
            let now = time::Instant::now();
            Ok(Box::new(Playing {
                description: Description::jpeg(first.width(), first.height(), fps),
                packets: ClipPackets::new(packet_size),
                clip,
                fps,
                started: now.into_std(),
                count: 0,
                due: Box::pin(time::sleep_until(now)),
                sequence: rand::random(),
                ssrc: rand::random(),
                first_timestamp: rand::random(),
                next_report: now.into_std(),
                ready: VecDeque::new(),
            }) as Box<dyn Session>)
        })
    }

    fn goodbye(&self) -> Local<()> {
        Box::pin(std::future::ready(()))
    }

    fn forgotten(&self) -> Option<Local<()>> {
        None
    }
}

struct Playing {
    clip: Clip,
    description: Description,
    packets: ClipPackets,
    fps: f64,
    started: Instant,
    /// Frames so far.
    count: u64,
    due: Pin<Box<Sleep>>,
    sequence: u16,
    ssrc: u32,
    first_timestamp: u32,
    next_report: Instant,
    /// Of the frame that is due.
    ready: VecDeque<Event>,
}

impl Session for Playing {
    fn description(&self) -> &Description {
        &self.description
    }

    fn transport(&self) -> Option<Transport> {
        None
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Ok(event));
            }
            ready!(self.due.as_mut().poll(cx));
            self.frame(time::Instant::now().into_std());
        }
    }
}

impl Playing {
    /// Makes the packets of the frame that is due.
    fn frame(&mut self, now: Instant) {
        let Some(frame) = usize::try_from(self.count).ok().and_then(|count| {
            let frames = self.clip.frames();
            frames.get(count % frames.len().max(1))
        }) else {
            return;
        };
        let ticks = (self.count as f64 * f64::from(jpeg::CLOCK_RATE) / self.fps).round() as u64;
        let timestamp = self.first_timestamp.wrapping_add(ticks as u32);
        let track = TrackId(0);
        let ready = &mut self.ready;
        self.sequence = self.packets.frame(frame, self.sequence, timestamp, self.ssrc, |packet, _| {
            let data = Data::Bytes(Bytes::copy_from_slice(packet));
            ready.push_back(Event::Packet(Packet { track, received: now, data }));
        });
        if now >= self.next_report {
            self.next_report = now + REPORT_EVERY;
            let late = now.saturating_duration_since(self.due.deadline().into_std());
            let wall = SystemTime::now().checked_sub(late).unwrap_or_else(SystemTime::now);
            ready.push_back(Event::Report { track, ntp: wall.into(), timestamp });
        }
        // From the start, so that what one frame is late does not add up.
        self.count += 1;
        let due = self.started + Duration::from_secs_f64(self.count as f64 / self.fps);
        self.due.as_mut().reset(due.into());
    }
}

/// Clips are held in memory.
const MAX_FILE: u64 = 1 << 30;

/// How often the file says what its clock is, as a camera does.
const REPORT_EVERY: Duration = Duration::from_secs(5);
