//! Random faults in a row. What is counted belongs to the whole process, so the storm has one of its own.
#![allow(clippy::print_stdout, reason = "the seed and the faults, for whoever looks for what went wrong")]

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::proof::storm::{Plan, blow};
use crate::support::within;

#[tokio::test]
async fn a_storm_of_random_faults_costs_no_viewer_and_leaves_nothing_behind() {
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "faults::storm::the_storm_itself", "--ignored", "--nocapture"]);
    alone.stdin(Stdio::null());
    let done = tokio::task::spawn_blocking(move || alone.output()).await.unwrap().unwrap();
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process of its own, started by the test above"]
async fn the_storm_itself() {
    let seed = std::env::var("FANLIGHT_STORM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("FANLIGHT_STORM_SEED={seed}");
    let plan = Plan { faults: 40, viewers: 20, seed };
    let storm = blow(plan, |n, what| println!("{n} {what}"));
    let outcome = within("the storm passes", Duration::from_secs(240), storm).await;
    println!("{outcome:?}");
    assert!(outcome.complaints().is_empty(), "{:#?}", outcome.complaints());
}
