//! Where streams come from: cameras, through `retina`, and files.
//!
//! [`run`] keeps one stream's source going for as long as the stream exists. It knows sessions by what they deliver,
//! not by the library behind them. It never waits on a viewer: publishing is not `async`.

mod camera;
#[allow(dead_code, unused_imports, reason = "not yet chosen by the supervisor")]
mod direct;
mod error;
mod file;
pub mod policy;
mod supervisor;

pub use error::{Error, Step};
pub use file::load;
pub use supervisor::{Sources, run};
