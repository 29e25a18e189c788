//! What a viewer costs: a synthetic camera, the relay as a process of its own, and many viewers, against the *floor
//! program*: the same bytes with one write per burst and viewer, and no relay logic.
//!
//!     cargo bench --bench fanout -- --viewers 100,500 --transport tcp,udp --seconds 5 --rounds 5
//!     cargo bench --bench fanout -- --viewers 100 --transport tcp,websocket
//!     cargo bench --bench fanout -- --viewers 100 --paced 0.8
//!     cargo bench --bench fanout -- --viewers 100 --gop 10 --late 20
//!     cargo bench --bench fanout -- --streams 200 --viewers 1000
//!     cargo bench --bench fanout -- --viewers 100 --never-reading 10 --half-rate 10
//!     cargo bench --bench fanout -- --viewers 100 --transport tcp,tls --floor-program off
//!     cargo bench --bench fanout -- --storm 1000 --transport tcp,udp
//!     cargo bench --bench fanout -- --idle --streams 200 --seconds 30
//!
//! Prints, for each round, the CPU time of the sending process per Gbit that arrived at viewers; the latency from the
//! camera's write to a viewer's read, of the last and of the first packet of each frame (of sampled viewers, by a stamp in
//! each packet); the time from PLAY to the first packet of a key frame; and what a viewer adds to the memory of the process.
//! Then the medians and the ratio to the floor. Relay and floor take turns, because these figures drift with what else the
//! machine does. `--gst` adds gst-rtsp-server's relay as a third where it is installed; it packs the pictures anew, so its
//! packets carry no stamps.
//!
//! With bad viewers the relay takes turns with itself: without them and with them. All good viewers look at all their packets
//! then: a frame is missed where the timestamps step over it or the sequence numbers have a gap. `--storm` and `--idle` measure
//! something else instead: a crowd that comes within a second, and a relay that nobody watches.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints, and stops where it cannot go on"
)]

mod floor;
mod idle;
#[path = "../load/mod.rs"]
mod load;
mod round;
mod sender;
mod storm;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;

use load::camera::{Camera, Habit};
use load::connect::Way;
use load::strip;
use load::viewers::{self, Load};
use round::Round;
use sender::{Addresses, Kind, free_address, gst_is_installed, streams};

/// What a viewer of the relay costs, against the floor.
#[derive(Debug, Parser)]
struct Args {
    /// Numbers of viewers
    #[arg(long, value_delimiter = ',', default_value = "100")]
    viewers: Vec<usize>,
    /// Streams that the viewers are spread over, each from the same camera; more than one without the floor program
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// tcp, udp, http (through a tunnel), tls, websocket (browsers)
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
    /// Beside the viewers: as many that never read, over TCP. Without the floor program
    #[arg(long, default_value_t = 0)]
    never_reading: usize,
    /// Beside the viewers: as many that read half of what the camera sends, over TCP
    #[arg(long, default_value_t = 0)]
    half_rate: usize,
    /// In place of all that: this many viewers come within a second
    #[arg(long)]
    storm: Option<usize>,
    /// In place of all that: nobody watches
    #[arg(long)]
    idle: bool,
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
    /// Milliseconds that the floor program gathers the packets of a frame (used by the benchmark itself)
    #[arg(long, default_value_t = 0)]
    hold: u64,
    /// `cargo bench` passes it
    #[arg(long)]
    bench: bool,
}

impl Args {
    fn has_bad_ones(&self) -> bool {
        self.never_reading + self.half_rate > 0
    }
}

fn main() {
    let args = Args::parse();
    if let Some(floor) = &args.floor {
        floor::serve(floor[0], floor[1], Duration::from_millis(args.hold));
        return;
    }
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        println!("the limit of descriptors cannot be raised: {error}");
    }
    if let Some(count) = args.storm {
        return storm::run(&args, count);
    }
    if args.idle {
        return idle::run(&args);
    }
    let mut kinds = vec![Kind::Relay];
    if args.has_bad_ones() {
        kinds.push(Kind::Beside);
    } else if args.floor_program == "on" && args.streams == 1 {
        kinds.push(Kind::Floor);
        if args.paced > 0.0 {
            kinds.push(Kind::Gathering);
        }
    }
    if args.gst && gst_is_installed() {
        kinds.push(Kind::Gst);
    }
    println!("{:9} {:>7} {:6} {}", "transport", "viewers", "what", Round::heads());
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
            rounds.push(round);
        }
    }
    let medians: Vec<Round> = rounds.iter().map(|rounds| Round::median(rounds)).collect();
    for (kind, median) in kinds.iter().zip(&medians) {
        println!("{transport:9} {viewers:7} {:6} {median}  (medians)", kind.name());
    }
    let [relay, others @ ..] = medians.as_slice() else { return };
    for (kind, other) in kinds[1..].iter().zip(others) {
        against(args, *kind, transport, viewers, relay, other);
    }
}

/// What the relay takes of what the other one takes.
fn against(args: &Args, kind: Kind, transport: &str, viewers: usize, relay: &Round, other: &Round) {
    let (p50, p99) = (relay.last.0 / other.last.0, relay.last.1 / other.last.1);
    match kind {
        Kind::Floor | Kind::Gathering => {
            let (cpu, name) = (relay.cpu_per_gbit / other.cpu_per_gbit, kind.name());
            println!(
                "{transport:9} {viewers:7} ratio to the {name}: CPU {cpu:.2}, last packet p50 {p50:.2}, p99 {p99:.2}"
            );
        }
        Kind::Beside => println!(
            "{transport:9} {viewers:7} beside {} that never read and {} at half rate: last packet p50 {:.2}, p99 {:.2} of what \
             it is without; {} good ones were disconnected, {} frames were missed",
            args.never_reading,
            args.half_rate,
            1.0 / p50,
            1.0 / p99,
            other.lost,
            other.missed
        ),
        Kind::Relay | Kind::Gst => {}
    }
}

fn round(args: &Args, kind: Kind, transport: &str, viewers: usize) -> Round {
    let gop = Duration::from_secs_f64(args.gop);
    let camera = Camera::start(Habit { paced: args.paced, gop });
    let streams = streams(args.streams);
    let mut on = Addresses::free();
    // Nobody else speaks TLS.
    on.tls = (transport == "tls" && kind == Kind::Relay).then(free_address);
    let process = kind.start(args, on, &camera, &streams);
    let address = on.tls.map_or(on.rtsp, strip::start);
    let bad = kind == Kind::Beside;
    let load = Load {
        address,
        streams: &streams,
        way: match transport {
            "udp" => Way::Udp,
            // Nobody else speaks HTTP.
            "http" if kind == Kind::Relay => Way::Http,
            "websocket" if kind == Kind::Relay => Way::WebSocket(on.http),
            _ => Way::Tcp,
        },
        viewers,
        time: Duration::from_secs(args.seconds),
        // The floor knows no key frames.
        late: if kind.is_floor() { 0 } else { args.late },
        patience: gop + Duration::from_secs(1),
        look_at_all: args.has_bad_ones(),
        never_reading: if bad { args.never_reading } else { 0 },
        half_rate: if bad { args.half_rate } else { 0 },
    };
    let mut round = Round::of(&viewers::run(load, &process));
    if kind == Kind::Gst {
        round.missed = 0; // its packets are others: what looks like ours is chance
    }
    round
}
