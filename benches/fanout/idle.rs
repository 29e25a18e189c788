//! What a relay takes that nobody watches.

use std::thread;
use std::time::Duration;

use super::Args;
use super::load::camera::{Camera, Habit};
use super::load::connect::ready;
use super::sender::{Addresses, relay, streams};

/// Prints the CPU time of the relay in percent of a core, without viewers: with `args.streams` streams that connect on
/// demand only, and then with as many that are live.
pub(super) fn run(args: &Args) {
    let camera = Camera::start(Habit { paced: args.paced, gop: Duration::from_secs_f64(args.gop) });
    let streams = streams(args.streams);
    println!("{:40} {:>13} {:>8}", "nobody watches", "% of a core", "RSS MiB");
    let kinds =
        [("nor is any camera connected", "{on_demand: true}"), ("every camera is live, 4 Mbit/s each", "")];
    for (what, defaults) in kinds {
        let on = Addresses::free();
        let process = relay(args, on, &camera, &streams, defaults);
        if defaults.is_empty() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ready(on.rtsp, &streams));
        }
        thread::sleep(SETTLING);
        let before = process.cpu();
        thread::sleep(Duration::from_secs(args.seconds));
        assert!(process.rss_kib() > 0, "the relay has ended");
        let share = (process.cpu() - before).as_secs_f64() / args.seconds as f64 * 100.0;
        let what = format!("{} streams, {what}", streams.len());
        println!("{what:40} {share:13.3} {:8.1}", process.rss_kib() as f64 / 1024.0);
    }
}

/// Starting is over then, and so is what the last viewer left.
const SETTLING: Duration = Duration::from_secs(5);
