//! A process that is measured, and ended with its handle.
#![allow(dead_code, reason = "each benchmark measures something else")]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        Self::run(program, args, Stdio::inherit())
    }

    /// What it says on stderr goes to `log`.
    pub(crate) fn start_logging(program: &str, args: &[&str], log: fs::File) -> Self {
        Self::run(program, args, log.into())
    }

    fn run(program: &str, args: &[&str], stderr: Stdio) -> Self {
        let child = Command::new(program).args(args).stdout(Stdio::null()).stderr(stderr).spawn();
        Self(
            child
                .unwrap_or_else(|error| panic!("{program}: {error} (cargo build --release makes the relay)")),
        )
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The name, in parentheses, may hold blanks.
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10) // USER_HZ is 100 on every Linux
    }

    pub(crate) fn rss_megabytes(&self) -> f64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.0.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0 / 1e6
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
