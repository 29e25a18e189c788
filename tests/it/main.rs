//! The integration tests, one binary: `cargo test --test it`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "`pub` in the support code says what tests may use")]

mod floors;
mod rehearsal;
mod relaying;
mod support;
