//! The direct client: cameras that `retina` refuses, and transports it lacks, on our own RTSP floor.
//!
//! The core is a conversation without sockets and clocks ([`dialogue`]): lenient in every way cameras are known to
//! deviate, bounded in everything they could fill. The driver ([`session`]) gives it bytes and the time.
//!
//! | part | what |
//! |---|---|
//! | [`inbound`] | bytes to messages and packets, back in step after stray bytes |
//! | [`exchange`] | requests under way, matched with answers |
//! | [`login`], [`keep_alive`] | challenges, signs of life |
//! | [`control`] | the URIs of tracks |
//! | [`lane`], [`line`], [`reorder`] | a track's packets: by address and channel, in order, epochs, reports |
//! | [`target`], [`link`], [`udp`] | what to open, the connection, the ports |
//! | [`tls`], [`tunnel`], [`proxy`] | what may stand between connection and RTSP |
//! | [`warm`] | a connection kept for later |
//! | [`voice`] | what viewers say to the camera |
//! | [`teardowns`] | sessions on their way out |
//! | [`notes`] | each step, for whoever listens |
//!
//! What a camera can make it hold: a frame or message of at most 80 KiB in a buffer of at most 256 KiB, an SDP of at most
//! 64 KiB in up to 400 KiB of attributes while it is read, 384 KiB of packets that wait over UDP. Together less than 1 MiB,
//! which the tests of `held` count.

mod client;
mod control;
mod dialogue;
mod exchange;
mod fuzzing;
#[cfg(test)]
mod held;
mod inbound;
mod keep_alive;
mod lane;
mod line;
mod link;
mod login;
mod notes;
mod proxy;
mod reorder;
mod session;
mod target;
mod teardowns;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod udp;
mod voice;
mod warm;
mod wire;

use std::time::Instant;

use bytes::Bytes;

pub(super) use client::Direct;
pub use fuzzing::converse;
pub(super) use link::shake_hands;
pub(super) use notes::{Note, Notes};
pub(super) use session::{Described, Playing};
pub(super) use target::Reach;
pub(super) use teardowns::Teardowns;
pub(crate) use tls::any_certificate;
#[cfg(feature = "otel")]
pub(crate) use tls::system_authorities;

use crate::rtp::WallTime;
use crate::vocabulary::TrackId;

/// What a camera sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An RTP packet with a valid header.
    Packet {
        /// Whose it is.
        track: TrackId,
        /// The packet.
        packet: Bytes,
        /// When it was read from the socket.
        received: Instant,
    },
    /// A sender report: the camera's wall clock and the RTP timestamp of the same moment.
    Report {
        /// Whose it is.
        track: TrackId,
        /// The camera's wall clock.
        ntp: WallTime,
        /// The same moment on the track's clock.
        timestamp: u32,
    },
    /// The packets of the track that follow have nothing to do with those before, as after a reconnect.
    Epoch {
        /// Whose packets.
        track: TrackId,
    },
}
