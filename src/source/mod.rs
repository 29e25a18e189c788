//! Where streams come from: cameras, through `retina` or the direct client, and files.
//!
//! [`run`] keeps one stream's source going for as long as the stream exists. It never waits on a viewer: publishing is
//! not `async`. From the top down:
//!
//! | file | what |
//! |---|---|
//! | `supervisor` | while the stream is wanted, until it is stopped |
//! | `driver`, `takeover`, `failures` | which sessions are open, which is published, what a failure leads to |
//! | `plan`, [`policy`] | what the user wants, what is known of each source, and all decisions, without clock and socket |
//! | `sessions`, `attempt`, `backlog`, `catch_up` | the session that is published, and those that prove themselves beside it |
//! | `session` | the seam: what a session is, whoever talks to the camera |
//! | `clients` | which client speaks with which camera |
//! | `guarded`, `meter` | what retina does not get on with, and what it may swallow |
//! | `camera`, `direct`, `file` | the clients behind it: retina, our own, files |
//! | `rest` | the connection that is kept while nobody wants an on-demand stream |
//! | [`probe`] | one source looked at closely, by the direct client |
//! | `hosts`, `budget` | whose turn it is among all streams, and how many connections a camera has to give |
//! | `news`, `error` | what is worth a line in the log, what went wrong |

mod attempt;
mod backlog;
mod budget;
mod camera;
mod catch_up;
mod clients;
mod direct;
mod driver;
mod error;
mod failures;
mod file;
mod guarded;
mod hosts;
mod meter;
mod news;
mod plan;
pub mod policy;
pub mod probe;
mod rest;
mod session;
mod sessions;
mod supervisor;
mod takeover;
#[cfg(test)]
mod tests;
mod tracks;

pub(crate) use direct::any_certificate;
#[doc(hidden)]
pub use direct::converse;
#[cfg(feature = "otel")]
pub(crate) use direct::system_authorities;
pub use error::{Error, Step};
pub use file::load;
pub use hosts::Sources;
pub use supervisor::run;
