//! MJPEG clips and JPEG over RTP (RFC 2435).
//!
//! - [`Clip`] reads a file of JPEG images and refuses, in words, what RTP could not carry;
//! - [`Frame`] is one such image and cuts itself into RTP payloads;
//! - `cut` makes shorter payloads of one that is too long for a datagram;
//! - [`Assembler`] puts the payloads of a camera together again.
//!
//! RFC 2435 sends a JPEG without its headers: the receiver rebuilds them from eight bytes. That leaves room for
//! baseline pictures of three components, 4:2:2 or 4:2:0, up to 2040x2040, with the Huffman tables of T.81
//! Annex K. Everything else would arrive as a broken picture, so it is an error when the clip is loaded and not a
//! surprise at the viewer.
//!
//! Sizes travel in units of 8 pixels. A picture of 1366x768 is announced as 1368x768, as ffmpeg and GStreamer do:
//! rounding up never changes the number of coded blocks, so the picture decodes exactly, with up to 7 columns or
//! rows more of what the encoder padded it with.

mod assembler;
mod card;
mod clip;
mod cut;
mod error;
mod frame;
mod headers;
mod image;
mod packets;
mod payload;
mod rebuild;
#[cfg(test)]
mod sample;
mod tables;

pub use assembler::{Assembler, FragmentError};
pub use clip::{Clip, ClipError};
pub(crate) use cut::cut;
pub use error::JpegError;
pub use frame::Frame;
pub use packets::ClipPackets;

/// The static RTP payload type of JPEG (RFC 3551 section 6).
pub const PAYLOAD_TYPE: u8 = 26;

/// The RTP clock of JPEG, in ticks per second (RFC 2435 section 3).
pub const CLOCK_RATE: u32 = 90_000;

/// The largest width and height that fit the RTP header: 255 units of 8 pixels.
pub const MAX_DIMENSION: u16 = 2040;
