//! One fault after the other, at random, and what is left behind.
//!
//! It measures the whole process, so nothing else may run in it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use fanlight::config::{CameraUrl, Source, Stream as Settings};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::camera::{Audio, Camera, Close, Fault, Host, Numbering, Stall};
use super::super::dice::Dice;
use super::super::relay::Relay;
use super::super::viewer::watch::Crowd;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub faults: u32,
    pub viewers: usize,
    /// The same seed gives the same faults in the same order.
    pub seed: u64,
}

/// What was left.
#[derive(Debug)]
pub struct Outcome {
    pub lost: usize,
    pub wrong: Vec<String>,
    /// The longest that a viewer saw no frame.
    pub longest_gap: Duration,
    /// At rest: sessions that the camera has open, sessions in all, and those that were left without TEARDOWN.
    pub open: usize,
    pub sessions: usize,
    pub abandoned: usize,
    pub before: Footprint,
    pub after: Footprint,
    /// How often each fault came.
    pub faults: BTreeMap<&'static str, u32>,
}

/// What the process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    pub descriptors: usize,
    /// Of the test's own runtime, the relay's, and what the RTSP library runs beside them.
    pub tasks: [usize; 3],
    pub resident_kib: u64,
}

impl Footprint {
    /// Memory left out, which grows and shrinks as it likes.
    fn has_no_more_than(self, before: Self) -> bool {
        self.descriptors <= before.descriptors
            && self.tasks[0] <= before.tasks[0]
            && self.tasks[1] <= before.tasks[1]
            && self.tasks[2] <= before.tasks[2] + GOODBYES
    }
}

/// Lets the storm blow; `progress` hears of every fault.
pub async fn blow(plan: Plan, mut progress: impl FnMut(u32, &'static str)) -> Outcome {
    let builder = Camera::builder().h264(25).gop(10).packets_per_frame(2).packet_size(300);
    let builder = builder.audio(Audio::Pcmu).key_frame_on_play().require_auth("relay", "secret");
    let camera = builder.fault(KEEP_ALIVES).start().await;
    let url: CameraUrl = camera.url().replace("//", "//relay:secret@").parse().expect("the camera has a URL");
    let mut settings = Settings::new(Source::Cameras(vec![url]));
    // The storm is to pass in minutes: what takes ten seconds by default takes one.
    settings.connect_timeout = Duration::from_secs(1);
    settings.retry_min = Duration::from_millis(50);
    settings.retry_max = Duration::from_millis(500);
    let relay = Relay::builder().stream("cam", settings).start().await;
    let crowd = Crowd::gather(&relay.url("cam"), plan.viewers.div_ceil(2), plan.viewers / 2).await;
    crowd.go_on(25, PATIENCE).await;

    let (mut dice, mut faults) = (Dice::new(plan.seed), BTreeMap::new());
    // What is made once, by the first fault of a kind, is no leak.
    for kind in KINDS {
        kind.1(&camera, &mut dice).await;
        heal(&camera);
        sleep(Duration::from_millis(100)).await;
    }
    at_rest(&camera, &crowd).await;
    let before = footprint(&relay).await;
    crowd.start_over();
    for n in 1..=plan.faults {
        let (name, strike) = KINDS[dice.below(KINDS.len() as u64) as usize];
        progress(n, name);
        *faults.entry(name).or_default() += 1;
        strike(&camera, &mut dice).await;
        // Most strike while the one before is still felt.
        if dice.percent(25) {
            heal(&camera);
            crowd.go_on(5, PATIENCE).await;
        } else {
            sleep(Duration::from_millis(dice.below(300))).await;
            heal(&camera);
        }
        camera.forget_requests();
    }
    let counts = at_rest(&camera, &crowd).await;
    let mut after = footprint(&relay).await;
    // Goodbyes that a camera did not answer take their time.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !after.has_no_more_than(before) && Instant::now() < deadline {
        sleep(Duration::from_millis(500)).await;
        after = footprint(&relay).await;
    }
    Outcome {
        lost: crowd.lost(),
        wrong: crowd.seen().into_iter().flat_map(|seen| seen.wrong).collect(),
        longest_gap: crowd.gaps().pop().unwrap_or_default(),
        open: counts.sessions_open,
        sessions: counts.sessions_total,
        abandoned: counts.abandoned,
        before,
        after,
        faults,
    }
}

impl Outcome {
    /// What does not hold; empty when all is well.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.wrong.clone();
        let mut hold = |holds: bool, what: String| {
            if !holds {
                complaints.push(what);
            }
        };
        let (before, after) = (self.before, self.after);
        hold(self.lost == 0, format!("{} viewers lost", self.lost));
        hold(self.open == 1, format!("{} sessions open at rest", self.open));
        hold(self.abandoned == 0, format!("{} sessions without TEARDOWN", self.abandoned));
        hold(
            after.has_no_more_than(before),
            format!("tasks, descriptors: {before:?} before, {after:?} after"),
        );
        let grown = after.resident_kib.saturating_sub(before.resident_kib);
        hold(grown < MEMORY_KIB, format!("{grown} KiB of memory more than before"));
        complaints
    }
}

fn heal(camera: &Camera) {
    camera.heal();
    camera.fault(KEEP_ALIVES);
}

/// Waits until every viewer is served, and nothing is left of earlier sessions.
async fn at_rest(camera: &Camera, crowd: &Crowd) -> super::super::camera::Counts {
    heal(camera);
    crowd.go_on(25, PATIENCE).await;
    let rest = |c: &super::super::camera::Counts| (c.sessions_open, c.playing, c.connections) == (1, 1, 1);
    camera.until_within(PATIENCE, "at rest: one session, one connection", rest).await;
    crowd.go_on(50, PATIENCE).await;
    camera.until_within(PATIENCE, "it stays so", rest).await
}

async fn footprint(relay: &Relay) -> Footprint {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("resident pages");
    let own = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    Footprint {
        descriptors: fs::read_dir("/proc/self/fd").expect("Linux").count(),
        tasks: [own, relay.workers.drained(Duration::ZERO).await, worker_tasks(relay).await],
        resident_kib: pages * 4,
    }
}

/// Tasks that the worker threads run beside their own, such as those that the RTSP library spawns.
async fn worker_tasks(relay: &Relay) -> usize {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut by_thread = BTreeMap::new();
    let started = Instant::now();
    // A task goes to the worker with the fewest; those that wait make the others come to their turn.
    let done = tokio_util::sync::CancellationToken::new();
    while by_thread.len() < 2 && started.elapsed() < Duration::from_secs(5) {
        let (tell, done) = (tell.clone(), done.clone());
        relay.workers.spawn("probe", move || async move {
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            let _ = tell.send((std::thread::current().name().map(str::to_owned), tasks));
            done.cancelled().await;
        });
        if let Some((thread, tasks)) = told.recv().await {
            by_thread.insert(thread, tasks);
        }
    }
    done.cancel();
    // The probes have to be gone before the relay's tasks are counted.
    sleep(Duration::from_millis(200)).await;
    by_thread.into_values().sum()
}

/// A fault and what it does; [`heal`] takes back what lasts.
type Kind = (&'static str, for<'a> fn(&'a Camera, &'a mut Dice) -> Strike<'a>);
type Strike<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

macro_rules! kinds {
    ($($name:literal: |$camera:ident, $dice:ident| $what:expr,)+) => {
        &[$(($name, |$camera, $dice| Box::pin(async move { let _ = &$dice; $what; })),)+]
    };
}

const KINDS: &[Kind] = kinds! {
    "reset": |camera, dice| camera.drop_connections(Close::Rst).await,
    "close": |camera, dice| camera.drop_connections(Close::Fin).await,
    "refused outage": |camera, dice| camera.outage(Host::Refusing, millis(dice, 900)).await,
    "silent outage": |camera, dice| camera.outage(Host::Silent, millis(dice, 900)).await,
    "half-open": |camera, dice| camera.hang_connections(),
    "stall": |camera, dice| camera.stall_sessions(Stall::Everything),
    "hung encoder": |camera, dice| camera.stall_sessions(Stall::Track(0)),
    "short silence": |camera, dice| { camera.fault(Fault::Silent); sleep(millis(dice, 1500)).await; },
    "new numbers": |camera, dice| camera.renumber(Numbering {
        ssrc: Some(dice.below(1 << 32) as u32),
        sequence: Some(dice.below(1 << 16) as u16),
        timestamp: Some(dice.below(1 << 32) as u32),
    }),
    "sequence goes back": |camera, dice| camera.rewind(1 + dice.below(300) as u16),
    "clock jump": |camera, dice| {
        let seconds = dice.below(20_000) as f64 - 10_000.0;
        camera.jump(seconds, seconds);
    },
    "another resolution": |camera, dice| {
        camera.change_parameter_sets();
        camera.drop_connections(Close::Fin).await;
    },
    "goodbye": |camera, dice| { camera.bye(); camera.stall_sessions(Stall::Everything); },
    "closes on a request": |camera, dice| {
        camera.fault(Fault::CloseOn(dice.pick(&STEPS)));
        camera.drop_connections(Close::Rst).await;
        sleep(millis(dice, 500)).await;
    },
    "error status": |camera, dice| {
        camera.fault(Fault::Status(dice.pick(&STEPS), dice.pick(&[404, 453, 500, 503])));
        camera.drop_connections(Close::Rst).await;
        sleep(millis(dice, 500)).await;
    },
    "slow answers": |camera, dice| {
        camera.fault(Fault::Delay(dice.pick(&STEPS), millis(dice, 1500)));
        camera.drop_connections(Close::Rst).await;
        sleep(millis(dice, 500)).await;
    },
    "no answers": |camera, dice| {
        camera.fault(Fault::Mute);
        camera.drop_connections(Close::Rst).await;
        sleep(millis(dice, 500)).await;
    },
    "keep-alive not answered": |camera, dice| {
        for method in ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER"] {
            camera.fault(Fault::Ignore(method));
        }
        sleep(millis(dice, 2500)).await;
    },
    "session limit": |camera, dice| {
        camera.fault(Fault::SessionLimit { sessions: 1, kept: millis(dice, 600) });
        camera.drop_connections(Close::Rst).await;
        sleep(millis(dice, 1000)).await;
    },
    "new session ends old": |camera, dice| {
        camera.fault(Fault::NewSessionEndsOld);
        camera.stall_sessions(Stall::Everything);
        sleep(millis(dice, 2000)).await;
    },
    "new nonce": |camera, dice| camera.rotate_nonce(),
    "asks us": |camera, dice| camera.ask(),
    "slow drip": |camera, dice| {
        camera.fault(Fault::Drip(50 + dice.below(500) as usize, Duration::from_micros(100)));
        sleep(millis(dice, 1000)).await;
    },
};

fn millis(dice: &mut Dice, below: u64) -> Duration {
    Duration::from_millis(dice.below(below))
}

/// Of the handshake.
const STEPS: [&str; 3] = ["DESCRIBE", "SETUP", "PLAY"];

/// The client has to ask every two seconds, so that keep-alives play their part.
const KEEP_ALIVES: Fault = Fault::SessionTimeout(Duration::from_secs(4));

/// For the pictures to come back after whatever it was.
const PATIENCE: Duration = Duration::from_secs(60);

/// TEARDOWNs that the RTSP library may still be trying, each for a session's timeout; a leak has one for each session.
const GOODBYES: usize = 4;

/// What allocators and caches may take over the course of a storm.
const MEMORY_KIB: u64 = 16 << 10;
