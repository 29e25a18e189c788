//! Fanlight, an RTSP relay: **one** connection to an IP camera, the feed shared with many viewers.
//!
//! The modules stand on floors, and imports only go down:
//!
//! | floor | modules | may | may not |
//! |---|---|---|---|
//! | 5 | [`app`], the `fanlight` binary | wire everything | be imported |
//! | 4 | [`source`] (cameras, files), [`server`] (RTSP to viewers), [`web`] (HTTP sidecar) | sockets, files, spawn | import each other |
//! | 3 | [`hub`] (streams, ring, subscriptions), [`access`] (log-ins, rules), [`workers`] (threads) | share | sockets |
//! | 2 | [`config`], [`journal`] (log lines), [`metrics`], [`spans`] (of streams and viewers), [`tls`] (certificates) | read a file, count | sockets |
//! | 1 | [`rtp`], [`rtsp`], [`sdp`], [`codec`], [`jpeg`] | compute; `now` is an argument | tokio, sockets, clocks, locks |
//! | 0 | [`vocabulary`] | | |
//!
//! A test (`tests/it/floors.rs`) holds the table.

pub mod access;
pub mod app;
pub mod codec;
pub mod config;
pub mod hub;
pub mod journal;
pub mod jpeg;
pub mod metrics;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
pub mod server;
pub mod source;
pub mod spans;
pub mod tls;
pub mod vocabulary;
pub mod web;
pub mod workers;
