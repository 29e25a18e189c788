//! Is the picture ever lost? A scripted camera, the relay, many viewers, and everything that can happen to cameras.
//!
//!     cargo bench --bench continuity                                  the longest gap at each of 50 viewers, by fault
//!     cargo bench --bench continuity -- storm --faults 1000           random faults in a row, and what is left behind
//!     cargo bench --bench continuity -- keep --seconds 600            a camera that forgets sessions after 5 s
//!     cargo bench --bench continuity -- password                      tries of a wrong password within three minutes
//!     cargo bench --bench continuity -- dead --cameras 200            what dead cameras cost the release binary
//!
//! Exit code 1 when something does not hold. The tests run the same in a short form.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a program that prints, and stops where it cannot go on; the support code belongs to the tests"
)]

#[path = "../load/process.rs"]
mod process;
#[allow(unused_imports, reason = "what the tests use of it")]
#[path = "../../tests/it/support/mod.rs"]
mod support;

mod dead;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use support::proof::gaps::{Trouble, measure};
use support::proof::storm::{Plan, blow};
use support::proof::{keeping, password};

/// Is the picture ever lost?
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// `cargo bench` passes it
    #[arg(long, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The longest gap of frames at each viewer (the default)
    Gaps {
        #[arg(long, default_value_t = 50)]
        viewers: usize,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Random faults in a row
    Storm {
        #[arg(long, default_value_t = 1000)]
        faults: u32,
        #[arg(long, default_value_t = 20)]
        viewers: usize,
        /// As another run printed it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// A camera that ends sessions without a request for 5 s
    Keep {
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// A wrong password
    Password {
        #[arg(long, default_value_t = 190)]
        seconds: u64,
    },
    /// Cameras that are not there, half of them refusing and half of them silent
    Dead {
        #[arg(long, default_value_t = 200)]
        cameras: usize,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The relay's binary
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/release/fanlight"))]
        binary: String,
    },
}

fn main() -> ExitCode {
    let what = Args::parse().what.unwrap_or(What::Gaps { viewers: 50, rounds: 3 });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let holds = runtime.block_on(async {
        match what {
            What::Gaps { viewers, rounds } => gaps(viewers, rounds).await,
            What::Storm { faults, viewers, seed } => {
                storm(Plan { faults, viewers, seed: seed.unwrap_or_else(rand::random) }).await
            }
            What::Keep { seconds } => keep(Duration::from_secs(seconds)).await,
            What::Password { seconds } => guess(Duration::from_secs(seconds)).await,
            What::Dead { cameras, seconds, binary } => {
                dead::measure(&binary, cameras, Duration::from_secs(seconds)).await
            }
        }
    });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn gaps(viewers: usize, rounds: usize) -> bool {
    println!(
        "{:28} {:>7} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}",
        "what happens", "viewers", "limit s", "least s", "median", "longest", "lost", "wrong"
    );
    let mut holds = true;
    for trouble in Trouble::ALL {
        for _ in 0..rounds {
            let outcome = measure(trouble, viewers).await;
            let gap = |at: usize| outcome.gaps[at].as_secs_f64();
            let (limit, longest) = (trouble.limit(), outcome.gaps[viewers - 1]);
            println!(
                "{:28} {viewers:7} {:8.3} {:8.3} {:8.3} {:8.3} {:6} {:6}",
                trouble.as_str(),
                limit.as_secs_f64(),
                gap(0),
                gap(viewers / 2),
                longest.as_secs_f64(),
                outcome.lost,
                outcome.wrong.len()
            );
            for wrong in outcome.wrong.iter().take(3) {
                println!("    {wrong}");
            }
            holds &= longest < limit && outcome.lost == 0 && outcome.wrong.is_empty();
        }
    }
    holds
}

async fn storm(plan: Plan) -> bool {
    println!("{} faults, {} viewers, --seed {}", plan.faults, plan.viewers, plan.seed);
    let outcome = blow(plan, |n, what| {
        if n.is_multiple_of(50) {
            println!("{n:6} {what}");
        }
    })
    .await;
    for (what, times) in &outcome.faults {
        println!("{times:6} {what}");
    }
    println!(
        "sessions {}, open at rest {}, without TEARDOWN {}; viewers lost {}; longest gap {:.2} s",
        outcome.sessions,
        outcome.open,
        outcome.abandoned,
        outcome.lost,
        outcome.longest_gap.as_secs_f64()
    );
    for (when, footprint) in [("before", outcome.before), ("after", outcome.after)] {
        println!(
            "{when}: {} descriptors, {:?} tasks, {} KiB resident",
            footprint.descriptors, footprint.tasks, footprint.resident_kib
        );
    }
    let complaints = outcome.complaints();
    for complaint in &complaints {
        println!("does not hold: {complaint}");
    }
    complaints.is_empty()
}

async fn keep(time: Duration) -> bool {
    let outcome = keeping::keep(time).await;
    println!("{outcome:?}");
    outcome.holds()
}

async fn guess(time: Duration) -> bool {
    let outcome = password::try_for(time).await;
    for tried in &outcome.tries {
        println!("{:8.2} s", tried.as_secs_f64());
    }
    println!("{}", outcome.decision);
    let complaints = outcome.complaints();
    for complaint in &complaints {
        println!("does not hold: {complaint}");
    }
    complaints.is_empty()
}
