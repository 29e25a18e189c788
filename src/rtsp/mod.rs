//! RTSP/1.0 (RFC 2326) without sockets: lenient in, canonical out.
//!
//! The server, the bundled file server, a client and the tests all speak through this module. Bytes become an
//! [`Item`] with [`parse`]; a [`Request`] or [`Response`] becomes bytes with its `write`. What players and
//! cameras send off the specification is taken where its meaning is clear; what is written keeps to the one
//! form that every known peer reads.
//!
//! | submodule | header or part |
//! |---|---|
//! | [`auth`] | `WWW-Authenticate`, `Authorization` |
//! | [`transport`] | `Transport`: what a client offers, what a server grants |
//! | [`session_id`] | `Session` |
//! | [`range`] | `Range` |
//! | [`rtp_info`] | `RTP-Info` |
//! | [`authorization`], [`digest`] | `Authorization` |
//!
//! Nothing here keeps state between calls, and nothing here can be made to panic or to hold more than
//! [`Limits`] by what a peer sends.

pub mod auth;
pub mod authorization;
pub mod digest;
mod headers;
mod message;
mod method;
mod parse;
pub mod range;
pub mod rtp_info;
pub mod session_id;
mod status;
pub mod transport;
mod uri;

#[cfg(test)]
mod devices;
#[cfg(test)]
mod oracle;

pub use headers::Headers;
pub use message::{CseqError, Request, Response};
pub use method::Method;
pub use parse::{Item, Limits, Reason, Rejection, leading_blanks, missing_body, parse, parse_http_head};
pub use status::Status;
pub use uri::{Scheme, TrackControl, Uri, UriError, without_userinfo};
