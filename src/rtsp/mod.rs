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
//! | [`tunnel`] | what the POST of an HTTP tunnel carries |
//!
//! **RTSP 2.0** ([RFC 7826](https://datatracker.ietf.org/doc/html/rfc7826)) is not spoken. It is another protocol rather than
//! a later version: other grammar for `Transport`, `Range` and `RTP-Info`, pipelined set-up, PLAY_NOTIFY, its own rules for
//! sessions and their connections. Of the peers that were read (MediaMTX, go2rtc, live555, ZLMediaKit, GStreamer, retina) only
//! GStreamer has it, and uses it only when told to (`default-rtsp-version=2-0`); no camera and no other player was found that
//! does. A 2.0 request is answered as section 17.5.6 asks, with 505 and what is spoken instead, and the connection goes on:
//! GStreamer then begins again with 1.0, which `tests/players` holds.
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
pub mod tunnel;
mod uri;

#[cfg(test)]
mod devices;
#[cfg(test)]
mod oracle;

/// The feature tag of a client that wants to talk to a camera (ONVIF streaming specification, section 5.3.1).
pub const BACK_CHANNEL: &str = "www.onvif.org/ver20/backchannel";

pub use headers::Headers;
pub use message::{CseqError, Request, Response};
pub use method::Method;
pub use parse::{
    HttpRequest, Item, Limits, Reason, Rejection, leading_blanks, missing_body, parse, parse_http_head,
    parse_http_request,
};
pub use status::Status;
pub use uri::{Scheme, TrackControl, Uri, UriError, without_userinfo};
