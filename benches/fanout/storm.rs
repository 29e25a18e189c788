//! Many viewers within a second.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use super::Args;
use super::load::camera::{Camera, Habit};
use super::load::connect::{Viewer, ready, try_connect};
use super::load::process::Process;
use super::load::viewers::Spread;
use super::load::watch::{Look, key_frame, watch};
use super::sender::{Addresses, relay, streams};

/// Lets `count` viewers come within one second, for each round: how many were served, from a viewer's SYN to the first packet
/// of its first picture, and from the beginning of the storm to that of the last viewer.
pub(super) fn run(args: &Args, count: usize) {
    let gop = Duration::from_secs_f64(args.gop);
    let camera = Camera::start(Habit { paced: args.paced, gop });
    let streams = streams(args.streams);
    for transport in &args.transport {
        for _ in 0..args.rounds {
            let on = Addresses::free();
            let process = relay(args, on, &camera, &streams, "");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let storm = storm(on.rtsp, &streams, transport == "udp", count, &process);
            let storm = LocalSet::new().block_on(&runtime, storm);
            println!("{transport:9} {count} viewers within a second: {storm}");
        }
    }
}

/// What became of them.
struct Storm {
    served: usize,
    /// What went wrong, of the first one that was not served.
    refused: Option<String>,
    wait: Spread,
    /// From the first SYN to the last viewer's picture.
    all: Duration,
    cpu: Duration,
}

impl std::fmt::Display for Storm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { served, wait, all, cpu, .. } = self;
        write!(
            f,
            "{served} served; picture after p50/p99 {:.1} / {:.1} ms; the last one's {:.0} ms after the first SYN; {:.0} ms CPU",
            wait.p50,
            wait.p99,
            all.as_secs_f64() * 1e3,
            cpu.as_secs_f64() * 1e3
        )?;
        self.refused.as_ref().map_or(Ok(()), |why| write!(f, "; not served: {why}"))
    }
}

async fn storm(address: SocketAddr, streams: &[String], udp: bool, count: usize, process: &Process) -> Storm {
    ready(address, streams).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (began, cpu) = (Instant::now(), process.cpu());
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for index in 0..count {
        let (stream, told) = (streams[index % streams.len()].clone(), told.clone());
        tasks.spawn_local(async move {
            let due = began + Duration::from_secs(1).mul_f64(index as f64 / count as f64);
            tokio::time::sleep_until(due.into()).await;
            let came = Instant::now();
            let viewer = first_picture(address, &stream, udp).await;
            let outcome = viewer.as_ref().map(|_| (came.elapsed(), began.elapsed())).map_err(Clone::clone);
            told.send(outcome).unwrap();
            // They stay, so that the relay serves all of them.
            if let Ok(viewer) = viewer {
                watch(viewer, &Rc::default(), Look::Not).await;
            }
        });
    }
    let (mut waits, mut all, mut refused) = (Vec::new(), Duration::ZERO, None);
    for _ in 0..count {
        match outcomes.recv().await.unwrap() {
            Ok((wait, at)) => {
                waits.push(wait.as_nanos() as u64);
                all = all.max(at);
            }
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    let cpu = process.cpu() - cpu;
    Storm { served: waits.len(), refused, wait: Spread::of(waits), all, cpu }
}

/// A viewer that has seen the first packet of a key frame.
async fn first_picture(address: SocketAddr, stream: &str, udp: bool) -> Result<Viewer, String> {
    let mut viewer = try_connect(address, stream, udp, None).await?;
    let seen = tokio::time::timeout(PATIENCE, key_frame(&mut viewer)).await;
    seen.map_err(|_| "no picture".to_owned())?.map_err(|error| error.to_string())?;
    Ok(viewer)
}

/// For a picture.
const PATIENCE: Duration = Duration::from_secs(20);
