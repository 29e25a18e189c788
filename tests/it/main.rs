//! The integration tests, one binary: `cargo test --test it`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "`pub` in the support code says what tests may use")]

mod access;
mod classic;
mod conformance;
mod continuity;
mod deviations;
mod direct;
mod faults;
mod file_server;
mod floors;
mod fuzzing;
mod instant_start;
mod live;
mod machine;
mod nat;
mod on_demand;
mod reconnect;
mod rehearsal;
mod relaying;
mod reuse;
mod rtsps;
mod sessions;
mod shutdown;
mod slow_viewer;
mod sources;
mod support;
mod tracks;
