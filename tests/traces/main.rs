//! What the program tells of its streams and viewers, as a process of its own: the spans in its log, and with the feature
//! `otel` those that a collector gets (`cargo test --features otel --test traces`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "`pub` in the support code says what tests may use")]

#[cfg(feature = "otel")]
mod collected;
// The crates of the feature are linked in as well.
#[cfg(feature = "otel")]
#[path = "../it/dependencies.rs"]
mod dependencies;
mod logged;
mod process;
