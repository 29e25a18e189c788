//! What a viewer costs: a synthetic camera, the relay as a process of its own, and many viewers, against the *floor
//! program*: the same bytes with one write per burst and viewer, and no relay logic.
//!
//!     cargo bench --bench fanout -- --viewers 100,500 --transport tcp,udp --seconds 5 --rounds 3
//!     cargo bench --bench fanout -- --viewers 100 --paced 0.8
//!
//! Prints, for each round, the CPU time of the sending process per Gbit that arrived at viewers, the latency from the
//! camera's write to a viewer's read (of sampled viewers, by a stamp in each packet), and the memory of the process;
//! then the medians and the ratio to the floor. The rounds of relay and floor take turns, because these figures drift
//! with what else the machine does.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints, and stops where it cannot go on"
)]

mod camera;
mod floor;
mod process;
mod viewers;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use clap::Parser;

use camera::Camera;
use process::Process;
use viewers::Figures;

/// What a viewer of the relay costs, against the floor.
#[derive(Debug, Parser)]
struct Args {
    /// Numbers of viewers
    #[arg(long, value_delimiter = ',', default_value = "100")]
    viewers: Vec<usize>,
    /// tcp, udp
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
    println!(
        "{:9} {:>7} {:6} {:>12} {:>10} {:>10} {:>10} {:>9}",
        "transport", "viewers", "what", "ms CPU/Gbit", "Mbit/s", "p50 ms", "p99 ms", "RSS MB"
    );
    for transport in &args.transport {
        for &viewers in &args.viewers {
            let mut rounds = [Vec::new(), Vec::new()];
            for _ in 0..args.rounds {
                for (kind, rounds) in ["relay", "floor"].into_iter().zip(&mut rounds) {
                    let round = round(&args, kind, transport, viewers);
                    println!(
                        "{transport:9} {viewers:7} {kind:6} {:12.1} {:10.1} {:10.2} {:10.2} {:9.1}",
                        round.cpu_per_gbit,
                        round.figures.mbit_per_second,
                        round.figures.p50,
                        round.figures.p99,
                        round.rss
                    );
                    rounds.push(round);
                }
            }
            let [relay, floor] = &rounds;
            let of =
                |rounds: &[Round], figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
            println!(
                "{transport:9} {viewers:7} median {:12.1} against {:.1}: ratio {:.2}; p50 {:.2} against {:.2}, p99 {:.2} against {:.2}",
                of(relay, |r| r.cpu_per_gbit),
                of(floor, |r| r.cpu_per_gbit),
                of(relay, |r| r.cpu_per_gbit) / of(floor, |r| r.cpu_per_gbit),
                of(relay, |r| r.figures.p50),
                of(floor, |r| r.figures.p50),
                of(relay, |r| r.figures.p99),
                of(floor, |r| r.figures.p99),
            );
        }
    }
}

/// What one round measured.
struct Round {
    cpu_per_gbit: f64,
    rss: f64,
    figures: Figures,
}

fn round(args: &Args, kind: &str, transport: &str, viewers: usize) -> Round {
    let camera = Camera::start(args.paced);
    let address = free_address();
    let process = match kind {
        "relay" => {
            let rtsp = address.to_string();
            let url = camera.url();
            Process::start(
                &args.binary,
                &[&url, "--rtsp-listen", &rtsp, "--http-listen", "127.0.0.1:0", "--log-level", "error"],
            )
        }
        _ => {
            let this = std::env::current_exe().unwrap();
            let camera = camera.address().to_string();
            Process::start(this.to_str().unwrap(), &["--floor", &address.to_string(), &camera])
        }
    };
    let figures =
        viewers::run(address, transport == "udp", viewers, Duration::from_secs(args.seconds), &process);
    let gbit = figures.bytes as f64 * 8.0 / 1e9;
    Round { cpu_per_gbit: figures.cpu.as_secs_f64() * 1000.0 / gbit, rss: process.rss_megabytes(), figures }
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
