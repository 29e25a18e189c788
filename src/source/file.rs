//! A file, played in a loop as if it were a camera.

use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use tokio::time;

use super::error::Error;
use crate::hub::Publisher;
use crate::jpeg::{self, Clip, ClipPackets};
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, TrackId};

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

/// Publishes the clip at `path` over and over.
pub(super) async fn play(
    path: &Path,
    fps: f64,
    packet_size: usize,
    publisher: &mut Publisher,
) -> Result<Infallible, Error> {
    let owned = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || load(&owned)).await;
    let clip = match loaded {
        Ok(clip) => clip.map_err(|message| Error::new(FailureClass::File, message))?,
        Err(_) => return Err(Error::new(FailureClass::Panic, "reading the file panicked")),
    };
    let first = &clip.frames()[0];
    publisher.begin(Description::jpeg(first.width(), first.height(), fps));
    publisher.live(None);
    let mut packets = ClipPackets::new(packet_size);
    let started = Instant::now();
    let (mut sequence, ssrc) = (rand::random(), rand::random());
    let first_timestamp: u32 = rand::random();
    let mut next_report = started;
    for (count, frame) in clip.frames().iter().cycle().enumerate() {
        // From the start, so that what one frame is late does not add up.
        let due = started + Duration::from_secs_f64(count as f64 / fps);
        time::sleep_until(due.into()).await;
        let ticks = (count as f64 * f64::from(jpeg::CLOCK_RATE) / fps).round() as u64;
        let timestamp = first_timestamp.wrapping_add(ticks as u32);
        let now = Instant::now();
        sequence = packets.frame(frame, sequence, timestamp, ssrc, |packet, _| {
            if let Err(error) = publisher.packet(TrackId(0), packet, now) {
                tracing::error!(%error, "a packet of our own making is not RTP: this is a bug");
            }
        });
        if now >= next_report {
            next_report = now + REPORT_EVERY;
            let late = now.saturating_duration_since(due);
            let wall = SystemTime::now().checked_sub(late).unwrap_or_else(SystemTime::now);
            publisher.sender_report(TrackId(0), wall.into(), timestamp);
        }
        publisher.flush();
    }
    Err(Error::new(FailureClass::File, "the clip has no frames"))
}

/// Clips are held in memory.
const MAX_FILE: u64 = 1 << 30;

/// How often the file says what its clock is, as a camera does.
const REPORT_EVERY: Duration = Duration::from_secs(5);
