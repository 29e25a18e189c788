//! What the benchmarks put around a relay: a synthetic camera before it, many viewers behind it, and its process.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod camera;
pub(crate) mod connect;
pub(crate) mod process;
pub(crate) mod strip;
pub(crate) mod viewers;
pub(crate) mod watch;
