//! One session with a source, looked at again and again: what `fanlight watch` shows.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{timeout, timeout_at};

use super::clean::Clean;
use super::heard::Heard;
use super::measure::Measure;
use super::probing::{Options, tracks};
use super::report::{Reading, Track};
use crate::config::CameraUrl;
use crate::source::direct::{Described, Playing, Teardowns};
use crate::source::error::Error;
use crate::vocabulary::{FailureClass, Transport};

/// A session that plays.
pub struct Watch {
    playing: Playing,
    measure: Measure,
    description: crate::sdp::Description,
    clean: Clean,
    teardowns: Teardowns,
    before: (Instant, Vec<Reading>),
}

/// What came since the glance before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    /// The tracks.
    pub tracks: Vec<Track>,
    /// By track, what came in all.
    pub total: Vec<Reading>,
    /// By track, frames a second.
    pub fps: Vec<f64>,
    /// Bits a second of all tracks.
    pub bit_rate: f64,
    /// Packets lost, of all tracks.
    pub lost: u64,
    /// How old frames are when they come, in seconds, by the camera's clock; `None` without sender reports, or where its
    /// clock is off by more than a minute.
    pub latency: Option<f64>,
}

impl Watch {
    /// Opens a session; takes at most a few times the step limit of `options`.
    ///
    /// # Errors
    /// Why it cannot be watched, and whether trying again makes sense.
    pub async fn open(
        camera: &CameraUrl,
        options: &Options,
        transport: Transport,
    ) -> Result<Self, (String, bool)> {
        let clean = Clean::new(camera);
        let teardowns = Teardowns::default();
        let mut reach = options.reach(&Heard::default(), &(Arc::new(|_: &str| {}) as super::heard::Tell));
        reach.ask_options = false;
        let opening = async {
            let described = Described::open(camera, &reach, teardowns.clone()).await?;
            let description = described.description().clone();
            Ok::<_, Error>((described.play(transport).await?, description))
        };
        let (playing, description) = opening.await.map_err(|error| {
            let words = clean.text(&error.message).replace(" (connect_timeout)", "");
            (words, error.is_worth_a_retry())
        })?;
        let now = Instant::now();
        let measure = Measure::new(&description, now);
        let before = (now, measure.readings());
        Ok(Self { playing, measure, description, clean, teardowns, before })
    }

    /// Takes what comes until `deadline`, and says what it was.
    ///
    /// # Errors
    /// Why the session ended.
    pub async fn until(&mut self, deadline: Instant) -> Result<Glance, String> {
        loop {
            let playing = &mut self.playing;
            match timeout_at(deadline.into(), poll_fn(|cx| playing.poll_next(cx))).await {
                Err(_) => break,
                Ok(Some(Ok(event))) => {
                    let now = Instant::now();
                    self.measure.take(&event, now, SystemTime::now().into());
                    if now >= deadline {
                        break;
                    }
                }
                Ok(Some(Err(error))) => return Err(self.clean.text(&error.message)),
                Ok(None) => {
                    let error = Error::new(FailureClass::EndOfStream, "the camera closed the connection");
                    return Err(error.message);
                }
            }
        }
        Ok(self.glance())
    }

    fn glance(&mut self) -> Glance {
        let (now, readings) = (Instant::now(), self.measure.readings());
        let (then, before) = std::mem::replace(&mut self.before, (now, readings.clone()));
        let seconds = now.saturating_duration_since(then).as_secs_f64().max(1e-3);
        let pairs = || readings.iter().zip(&before);
        let bytes: u64 = pairs().map(|(now, then)| now.bytes - then.bytes).sum();
        let latency = self.measure.tallies().iter().find_map(super::measure::Tally::latency);
        Glance {
            tracks: tracks(&self.description, self.measure.tallies(), &self.clean),
            fps: pairs().map(|(now, then)| (now.frames - then.frames) as f64 / seconds).collect(),
            bit_rate: bytes as f64 * 8.0 / seconds,
            lost: pairs().map(|(now, then)| now.lost.saturating_sub(then.lost)).sum(),
            latency: latency.filter(|seconds| seconds.abs() < LATENCY_MAX),
            total: readings,
        }
    }

    /// Says goodbye; takes at most two seconds.
    pub async fn close(self) {
        drop(self.playing);
        let _ = timeout(GOODBYE, self.teardowns.done()).await;
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("measure", &self.measure).finish_non_exhaustive()
    }
}

/// An older frame says that a clock is wrong, not that it is late.
const LATENCY_MAX: f64 = 60.0;

const GOODBYE: Duration = Duration::from_secs(2);
