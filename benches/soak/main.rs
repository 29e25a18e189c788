//! Does anything grow? A relay under viewers that come and go, for minutes or hours:
//!
//!     cargo bench --bench soak -- --minutes 10 --viewers 50
//!
//! Every interval it prints the memory, the descriptors, the tasks and the CPU of the relay, and what they have grown by since
//! the first interval, which is for warming up. Half of the viewers stay; the others leave without a word, by TEARDOWN, or
//! at once after PLAY, and new ones come in their place, over TCP and UDP. At the end all leave, and after a while the relay
//! should be where it was.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints, and stops where it cannot go on"
)]

#[path = "../load/mod.rs"]
mod load;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinSet, LocalSet};

use load::camera::{Camera, Habit};
use load::connect::{Viewer, connect, ready};
use load::process::Process;

/// What a relay grows by under viewers that come and go.
#[derive(Debug, Parser)]
struct Args {
    /// How long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Viewers at a time
    #[arg(long, default_value_t = 50)]
    viewers: usize,
    /// Between two lines
    #[arg(long, default_value_t = 30.0)]
    every: f64,
    /// The relay's binary
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/release/fanlight"))]
    binary: String,
    /// `cargo bench` passes it
    #[arg(long)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let camera = Camera::start(Habit { paced: 0.0, gop: Duration::from_secs(1) });
    let [rtsp, http] = [free_address(), free_address()];
    let (url, rtsp_text, http_text) = (camera.url(), rtsp.to_string(), http.to_string());
    let process = Process::start(
        &args.binary,
        &[&url, "--rtsp-listen", &rtsp_text, "--http-listen", &http_text, "--log-level", "error"],
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, soak(&args, &process, rtsp, http));
}

async fn soak(args: &Args, process: &Process, rtsp: SocketAddr, http: SocketAddr) {
    ready(rtsp, &["cam".to_owned()]).await;
    let mut viewers = JoinSet::new();
    let (started, every) = (Instant::now(), Duration::from_secs_f64(args.every));
    for index in 0..args.viewers {
        viewers.spawn_local(keep_watching(rtsp, index));
    }
    println!(
        "{:>8} {:>9} {:>12} {:>8} {:>9} {:>8} {:>7}",
        "seconds", "RSS KiB", "grown by KiB", "threads", "open fds", "viewers", "CPU %"
    );
    let mut first = None;
    let mut cpu = process.cpu();
    let mut line = |what: &str, viewers: u64| {
        let rss = process.rss_kib();
        let base = *first.get_or_insert(rss);
        let used = process.cpu();
        let share = (used - cpu).as_secs_f64() / args.every * 100.0;
        cpu = used;
        println!(
            "{:8.0} {rss:9} {:12} {:8} {:9} {viewers:8} {share:7.1} {what}",
            started.elapsed().as_secs_f64(),
            rss as i64 - base as i64,
            process.threads(),
            process.descriptors(),
        );
    };
    while started.elapsed().as_secs_f64() < args.minutes * 60.0 {
        tokio::time::sleep(every).await;
        line("", playing(http).await);
    }
    viewers.shutdown().await;
    tokio::time::sleep(every).await;
    line("all have left", playing(http).await);
}

/// Watches for a while and leaves in one way or another, for ever. Every other viewer stays.
async fn keep_watching(rtsp: SocketAddr, index: usize) {
    for round in 0u64.. {
        let udp = (index / 2 + round as usize).is_multiple_of(2);
        let mut viewer = connect(rtsp, "cam", udp).await;
        if index.is_multiple_of(2) {
            watch(&mut viewer, Duration::MAX).await;
        }
        let time = Duration::from_millis(rand::random_range(0..4000));
        match round % 3 {
            0 => watch(&mut viewer, time).await,
            1 => {
                watch(&mut viewer, time).await;
                let goodbye = format!(
                    "TEARDOWN rtsp://{rtsp}/cam/ RTSP/1.0\r\nCSeq: 9\r\nSession: {}\r\n\r\n",
                    viewer.session
                );
                // It may have been disconnected.
                let _ = viewer.control.write_all(goodbye.as_bytes()).await;
            }
            _ => {}
        }
    }
}

/// Reads whatever comes, for this long.
async fn watch(viewer: &mut Viewer, time: Duration) {
    let mut chunk = vec![0; 64 << 10];
    let read = async {
        loop {
            let length = match &viewer.media {
                Some(media) => media.recv(&mut chunk).await,
                None => viewer.control.read(&mut chunk).await,
            };
            if !matches!(length, Ok(1..)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(time, read).await;
}

/// How many watch, by the relay's own metrics.
async fn playing(http: SocketAddr) -> u64 {
    let mut socket = tokio::net::TcpStream::connect(http).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).await.unwrap();
    let counts = page.lines().filter(|line| line.starts_with("fanlight_viewers{"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
