//! `fanlight watch`: a source, second by second.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::super::stop::StopSignals;
use super::screen::Screen;
use super::text;
use crate::config::CameraUrl;
use crate::source::probe::{Glance, Options, Watch, bit_rate, time};
use crate::vocabulary::Transport;

/// Watches until somebody ends it, or for `seconds`. Whether any frame came.
pub(super) async fn watch(
    camera: &CameraUrl,
    transport: Transport,
    seconds: Option<Duration>,
) -> anyhow::Result<bool> {
    let mut signals = StopSignals::listen()?;
    let Ok(screen) = Screen::open() else { return Ok(false) };
    let mut view =
        View { camera, transport, history: VecDeque::new(), began: Instant::now(), frames: 0, lost: 0 };
    let mut hangup = signal(SignalKind::hangup())?;
    let over = async {
        match seconds {
            Some(seconds) => sleep_until(Instant::now() + seconds).await,
            None => std::future::pending().await,
        }
    };
    let mut open = None;
    let failed = {
        let watching = follow(&screen, &mut view, &mut open);
        tokio::select! {
            failed = watching => failed,
            () = signals.told() => None,
            _ = hangup.recv() => None,
            () = over => None,
        }
    };
    if let Some(watch) = open {
        watch.close().await;
    }
    let frames = view.frames;
    drop(screen);
    match failed {
        Some(why) => anyhow::bail!("{why}"),
        None => Ok(frames > 0),
    }
}

/// Session after session; why there is no point in another, if so. `None`: nobody reads any more.
async fn follow(screen: &Screen, view: &mut View<'_>, open: &mut Option<Watch>) -> Option<String> {
    let options = Options::new("cam");
    let mut pause = PAUSE_MIN;
    loop {
        if show(screen, &view.trouble("connecting")).is_err() {
            return None;
        }
        let why = match Watch::open(view.camera, &options, view.transport).await {
            Err((why, false)) => return Some(why),
            Err((why, true)) => why,
            Ok(watch) => {
                let watch = open.insert(watch);
                let mut silent = 0;
                let why = loop {
                    let next = Instant::now() + EVERY;
                    match watch.until(next.into()).await {
                        Err(why) => break why,
                        Ok(glance) => {
                            let came = glance.fps.iter().any(|fps| *fps > 0.0);
                            silent = if came { 0 } else { silent + 1 };
                            if came {
                                pause = PAUSE_MIN;
                            }
                            view.take(&glance);
                            let shown =
                                if screen.is_terminal() { view.page(&glance) } else { view.line(&glance) };
                            if show(screen, &shown).is_err() {
                                return None;
                            }
                            if silent >= SILENT_MAX {
                                break format!("nothing came for {SILENT_MAX} s");
                            }
                        }
                    }
                };
                if let Some(watch) = open.take() {
                    watch.close().await;
                }
                why
            }
        };
        let words = format!("{why}; the next try is in {}", time(pause.as_secs_f64()));
        if show(screen, &view.trouble(&words)).is_err() {
            return None;
        }
        sleep_until(Instant::now() + pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn show(screen: &Screen, text: &str) -> std::io::Result<()> {
    if screen.is_terminal() { screen.page(text) } else { screen.line(text) }
}

/// What is shown.
struct View<'a> {
    camera: &'a CameraUrl,
    transport: Transport,
    /// The last minute: frames and bits a second, latency.
    history: VecDeque<[f64; 3]>,
    began: Instant,
    /// Since the beginning, over all sessions.
    frames: u64,
    lost: u64,
}

impl View<'_> {
    fn take(&mut self, glance: &Glance) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let fps = glance.fps.first().copied().unwrap_or_default();
        self.history.push_back([fps, glance.bit_rate, glance.latency.unwrap_or_default()]);
        self.frames += u64::from(glance.fps.iter().any(|fps| *fps > 0.0));
        self.lost += glance.lost;
    }

    fn head(&self) -> String {
        let elapsed = self.began.elapsed().as_secs();
        format!(
            "{}  over {}  {:02}:{:02}",
            self.camera,
            self.transport.as_str().to_uppercase(),
            elapsed / 60,
            elapsed % 60
        )
    }

    fn trouble(&self, words: &str) -> String {
        format!("{}  {words}", self.head())
    }

    fn page(&self, glance: &Glance) -> String {
        let mut page = format!("{}\n\n", self.head());
        for track in &glance.tracks {
            page += &format!("{}  {}\n", track.track, text::line(track));
        }
        let first = glance.total.first();
        let row =
            |name: &str, value: String, of: usize| format!("  {name:<10} {value:>12}  {}\n", self.spark(of));
        page.push('\n');
        page += &row("frames", format!("{:.1} fps", glance.fps.first().copied().unwrap_or_default()), 0);
        page += &row("bit rate", bit_rate(glance.bit_rate), 1);
        match glance.latency {
            Some(latency) => page += &row("latency", time(latency), 2),
            None => page += "  latency               -  no sender reports, or a clock that is wrong\n",
        }
        page += &format!("  {:<10} {:>12}\n", "jitter", jitter(glance));
        page += &format!("  {:<10} {:>12}  in the last second, {} in all\n", "lost", glance.lost, self.lost);
        page += &format!("  {:<10} {:>12}\n", "key frame", key_frames(first));
        page + "\nCtrl-C ends it."
    }

    fn line(&self, glance: &Glance) -> String {
        format!(
            "{:>4} s  {:>5.1} fps  {:>11}  latency {}  jitter {}  lost {}  key frame {}",
            self.began.elapsed().as_secs(),
            glance.fps.first().copied().unwrap_or_default(),
            bit_rate(glance.bit_rate),
            glance.latency.map_or_else(|| "-".to_owned(), time),
            jitter(glance),
            glance.lost,
            key_frames(glance.total.first()),
        )
    }

    /// The last minute in block characters, from 0 to the highest.
    fn spark(&self, of: usize) -> String {
        let highest = self.history.iter().map(|values| values[of]).fold(0.0, f64::max);
        let block = |value: f64| {
            let step =
                if highest > 0.0 { (value / highest * (BLOCKS.len() - 1) as f64).round() } else { 0.0 };
            BLOCKS[(step.max(0.0) as usize).min(BLOCKS.len() - 1)]
        };
        self.history.iter().map(|values| block(values[of])).collect()
    }
}

fn jitter(glance: &Glance) -> String {
    glance.total.first().map_or_else(|| "-".to_owned(), |reading| time(reading.jitter_seconds))
}

fn key_frames(reading: Option<&crate::source::probe::Reading>) -> String {
    match reading.and_then(|reading| Some((reading.gop_frames?, reading.key_frame_interval_seconds?))) {
        Some((frames, seconds)) => format!("every {frames} frames ({})", time(seconds)),
        None => "-".to_owned(),
    }
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Seconds that a line of blocks shows.
const HISTORY: usize = 60;

const EVERY: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// A session without a frame for so many seconds is given up.
const SILENT_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::probe::Reading;

    fn glance(fps: f64) -> Glance {
        let reading = Reading {
            gop_frames: Some(50),
            key_frame_interval_seconds: Some(2.0),
            jitter_seconds: 0.002,
            ..Reading::default()
        };
        Glance {
            total: vec![reading],
            fps: vec![fps],
            bit_rate: fps * 1e5,
            latency: Some(0.03),
            lost: 2,
            ..Glance::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_and_a_page_have_every_figure() {
        let camera: CameraUrl = "rtsp://ann:hunter2@cam/x".parse().unwrap();
        let mut view = View {
            camera: &camera,
            transport: Transport::Tcp,
            history: VecDeque::new(),
            began: Instant::now(),
            frames: 0,
            lost: 0,
        };
        for fps in [0.0, 12.5, 25.0] {
            view.take(&glance(fps));
        }
        assert_eq!(
            view.line(&glance(25.0)),
            "   0 s   25.0 fps   2.5 Mbit/s  latency 30 ms  jitter 2.0 ms  lost 2  key frame every 50 frames (2.0 s)"
        );
        let page = view.page(&glance(25.0));
        for part in [
            "rtsp://***@cam/x  over TCP  00:00",
            "25.0 fps  ▁▅█",
            "2.5 Mbit/s  ▁▅█",
            "30 ms  ███",
            "6 in all",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for _ in 0..200 {
            view.take(&glance(1.0));
        }
        assert_eq!(view.spark(0).chars().count(), HISTORY);
    }
}
