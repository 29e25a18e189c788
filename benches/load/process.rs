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

    /// CPU time of its threads so far, user and system, to the nanosecond: the ticks of `/proc/PID/stat` are a tenth of what
    /// a short round takes.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let nanos = tasks.filter_map(|task| {
            let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.0.id())).map_or(0, Iterator::count)
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    pub(crate) fn rss_kib(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.0.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
