//! RTP and RTCP (RFC 3550): reading headers, one timeline for a stream through all its upstream sessions, and
//! continuous numbers for each viewer.
//!
//! The stream *normalises*: [`Timeline`] turns the camera's 16-bit sequence numbers and 32-bit timestamps into 64-bit
//! ones that never go back when the camera starts anew. The viewer only *adds*: [`Rewriter`] puts its own random
//! offsets on top. Loss on the way from the camera stays a visible gap, so that a player can conceal it; what the
//! relay itself leaves out (an outage, a slow viewer) leaves none.

mod clock;
mod compression;
mod header;
mod ntp;
mod reception;
mod rewrite;
pub mod rtcp;
mod timeline;

pub use clock::StreamClock;
pub use compression::Compression;
pub use header::{Header, HeaderError};
pub use ntp::{NtpTime, WallTime};
pub use reception::{FrameRate, Jitter, Reception};
pub use rewrite::{Rewriter, Start};
pub use timeline::{Place, Timeline};
