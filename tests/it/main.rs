//! The integration tests, one binary: `cargo test --test it`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "`pub` in the support code says what tests may use")]

mod conformance;
mod continuity;
mod file_server;
mod floors;
mod on_demand;
mod reconnect;
mod rehearsal;
mod relaying;
mod shutdown;
mod slow_viewer;
mod sources;
mod support;
