//! What a viewer costs: a synthetic camera, the relay as a process of its own, and many viewers, against the *floor
//! program*: the same bytes with one write per burst and viewer, and no relay logic.
//!
//!     cargo bench --bench fanout -- --viewers 100,500 --transport tcp,udp --seconds 5 --rounds 5
//!     cargo bench --bench fanout -- --viewers 100 --paced 0.8
//!     cargo bench --bench fanout -- --viewers 100 --gop 10 --late 20
//!     cargo bench --bench fanout -- --streams 200 --viewers 1000 --floor-program off
//!
//! Prints, for each round, the CPU time of the sending process per Gbit that arrived at viewers; the latency from the
//! camera's write to a viewer's read, of the last and of the first packet of each frame (of sampled viewers, by a stamp in
//! each packet); the time from PLAY to the first packet of a key frame; and what a viewer adds to the memory of the process.
//! Then the medians and the ratio to the floor. Relay and floor take turns, because these figures drift with what else the
//! machine does. `--gst` adds gst-rtsp-server's relay as a third where it is installed; it packs the pictures anew, so its
//! packets carry no stamps.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints, and stops where it cannot go on"
)]

mod floor;
#[path = "../load/mod.rs"]
mod load;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use clap::Parser;

use load::camera::{Camera, Habit};
use load::process::Process;
use load::viewers::{self, Figures, Load, Way};

/// What a viewer of the relay costs, against the floor.
#[derive(Debug, Parser)]
struct Args {
    /// Numbers of viewers
    #[arg(long, value_delimiter = ',', default_value = "100")]
    viewers: Vec<usize>,
    /// Streams that the viewers are spread over, each from the same camera; more than one without the floor program
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// tcp, udp, http (through a tunnel)
    #[arg(long, value_delimiter = ',', default_value = "tcp")]
    transport: Vec<String>,
    /// How long each round measures
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds of each
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The camera spreads each frame over this part of its interval (0 = at once)
    #[arg(long, default_value_t = 0.0)]
    paced: f64,
    /// Seconds from key frame to key frame
    #[arg(long, default_value_t = 1.0)]
    gop: f64,
    /// Viewers that come at the end of each round, for the time to the first key frame
    #[arg(long, default_value_t = 10)]
    late: usize,
    /// Worker threads of the relay (as many as there are cores unless given)
    #[arg(long)]
    workers: Option<usize>,
    /// Compare with the floor program: on, off
    #[arg(long, default_value = "on")]
    floor_program: String,
    /// Compare with gst-rtsp-server's relay as well, where it is installed
    #[arg(long)]
    gst: bool,
    /// The relay's binary
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/release/fanlight"))]
    binary: String,
    /// Serve as the floor program on this address, from the camera at the other (used by the benchmark itself)
    #[arg(long, num_args = 2, value_names = ["LISTEN", "CAMERA"])]
    floor: Option<Vec<SocketAddr>>,
    /// `cargo bench` passes it
    #[arg(long)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if let Some(floor) = &args.floor {
        floor::serve(floor[0], floor[1]);
        return;
    }
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        println!("the limit of descriptors cannot be raised: {error}");
    }
    let mut kinds = vec![Kind::Relay];
    if args.floor_program == "on" && args.streams == 1 {
        kinds.push(Kind::Floor);
    }
    if args.gst && gst_is_installed() {
        kinds.push(Kind::Gst);
    }
    println!(
        "{:9} {:>7} {:6} {:>11} {:>8} {:>15} {:>15} {:>15} {:>10}",
        "transport",
        "viewers",
        "what",
        "ms CPU/Gbit",
        "Mbit/s",
        "last p50/p99 ms",
        "first p50/p99",
        "start p50/p99",
        "KiB/viewer"
    );
    for transport in &args.transport {
        for &viewers in &args.viewers {
            compare(&args, &kinds, transport, viewers);
        }
    }
}

/// Rounds of each kind in turn, and their medians.
fn compare(args: &Args, kinds: &[Kind], transport: &str, viewers: usize) {
    let mut rounds = vec![Vec::new(); kinds.len()];
    for _ in 0..args.rounds {
        for (kind, rounds) in kinds.iter().zip(&mut rounds) {
            let round = round(args, *kind, transport, viewers);
            println!("{transport:9} {viewers:7} {:6} {round}", kind.name());
            if round.lost > 0 {
                println!("          {} viewers were disconnected", round.lost);
            }
            rounds.push(round);
        }
    }
    let medians: Vec<Round> = rounds.iter().map(|rounds| Round::median(rounds)).collect();
    for (kind, median) in kinds.iter().zip(&medians) {
        println!("{transport:9} {viewers:7} {:6} {median}  (medians)", kind.name());
    }
    if let [relay, floor, ..] = medians.as_slice()
        && kinds[1] == Kind::Floor
    {
        println!(
            "{transport:9} {viewers:7} ratio: CPU {:.2}, last packet p50 {:.2}, p99 {:.2}",
            relay.cpu_per_gbit / floor.cpu_per_gbit,
            relay.last.0 / floor.last.0,
            relay.last.1 / floor.last.1,
        );
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Relay,
    Floor,
    Gst,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Floor => "floor",
            Self::Gst => "gst",
        }
    }
}

/// What one round measured. Pairs are p50 and p99 in milliseconds.
#[derive(Clone, Copy)]
struct Round {
    cpu_per_gbit: f64,
    mbit_per_second: f64,
    last: (f64, f64),
    first: (f64, f64),
    start: (f64, f64),
    kib_per_viewer: f64,
    lost: usize,
}

impl Round {
    fn of(figures: &Figures) -> Self {
        let gbit = figures.bytes as f64 * 8.0 / 1e9;
        Self {
            cpu_per_gbit: figures.cpu.as_secs_f64() * 1000.0 / gbit,
            mbit_per_second: figures.mbit_per_second,
            last: (figures.last.p50, figures.last.p99),
            first: (figures.first.p50, figures.first.p99),
            start: (figures.start.p50, figures.start.p99),
            kib_per_viewer: figures.kib_per_viewer,
            lost: figures.lost,
        }
    }

    /// Of each figure by itself.
    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            cpu_per_gbit: of(|r| r.cpu_per_gbit),
            mbit_per_second: of(|r| r.mbit_per_second),
            last: (of(|r| r.last.0), of(|r| r.last.1)),
            first: (of(|r| r.first.0), of(|r| r.first.1)),
            start: (of(|r| r.start.0), of(|r| r.start.1)),
            kib_per_viewer: of(|r| r.kib_per_viewer),
            lost: rounds.iter().map(|r| r.lost).sum(),
        }
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pair = |(p50, p99): (f64, f64)| format!("{p50:.2} / {p99:.2}");
        write!(
            f,
            "{:11.1} {:8.1} {:>15} {:>15} {:>15} {:10.1}",
            self.cpu_per_gbit,
            self.mbit_per_second,
            pair(self.last),
            pair(self.first),
            pair(self.start),
            self.kib_per_viewer
        )
    }
}

fn round(args: &Args, kind: Kind, transport: &str, viewers: usize) -> Round {
    let gop = Duration::from_secs_f64(args.gop);
    let camera = Camera::start(Habit { paced: args.paced, gop });
    let address = free_address();
    let streams: Vec<String> = match args.streams {
        0 | 1 => vec!["cam".to_owned()],
        many => (0..many).map(|index| format!("cam{index}")).collect(),
    };
    let process = match kind {
        Kind::Relay => relay(args, address, &camera, &streams),
        Kind::Floor => {
            let this = std::env::current_exe().unwrap();
            let camera = camera.address().to_string();
            Process::start(this.to_str().unwrap(), &["--floor", &address.to_string(), &camera])
        }
        Kind::Gst => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fanout/gst_relay.py");
            Process::start(PYTHON, &[script, &address.port().to_string(), &camera.url()])
        }
    };
    let load = Load {
        address,
        streams: &streams,
        way: match transport {
            "udp" => Way::Udp,
            // The floor speaks no HTTP.
            "http" if kind != Kind::Floor => Way::Http,
            _ => Way::Tcp,
        },
        viewers,
        time: Duration::from_secs(args.seconds),
        // The floor knows no key frames.
        late: if kind == Kind::Floor { 0 } else { args.late },
        patience: gop + Duration::from_secs(1),
    };
    Round::of(&viewers::run(load, &process))
}

/// The relay with these streams, all from one camera.
fn relay(args: &Args, address: SocketAddr, camera: &Camera, streams: &[String]) -> Process {
    let (rtsp, url) = (address.to_string(), camera.url());
    let workers = args.workers.map(|count| count.to_string());
    let mut arguments = vec!["--rtsp-listen", &rtsp, "--http-listen", "127.0.0.1:0", "--log-level", "error"];
    if let Some(workers) = &workers {
        arguments.extend(["--workers", workers]);
    }
    if streams.len() == 1 {
        arguments.push(&url);
        return Process::start(&args.binary, &arguments);
    }
    let listed: String = streams.iter().map(|stream| format!("  {stream}: {url}\n")).collect();
    let config = std::env::temp_dir().join(format!("fanout-{}.yml", std::process::id()));
    std::fs::write(&config, format!("rtsp:\n  udp_ports: [0, 0]\nstreams:\n{listed}")).unwrap();
    arguments.extend(["--config", config.to_str().unwrap()]);
    Process::start(&args.binary, &arguments)
}

fn gst_is_installed() -> bool {
    let check = "import gi; gi.require_version('GstRtspServer', '1.0')";
    let installed =
        Command::new(PYTHON).args(["-c", check]).output().is_ok_and(|output| output.status.success());
    if !installed {
        println!("gst-rtsp-server is not installed (python3-gi, gir1.2-gst-rtsp-server-1.0)");
    }
    installed
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Debian's own, which has the bindings.
const PYTHON: &str = "/usr/bin/python3";
