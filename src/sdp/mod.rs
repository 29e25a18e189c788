//! Session descriptions: the camera's, read leniently, and the one we give to viewers.
//!
//! [`parse`] takes what cameras send, line by line, and never loses a medium because of another line; [`Sdp`] and
//! [`Media`] are what it found. [`Description`] is what is left of that for a viewer: the [`Track`]s it can play, written
//! canonically and without anything that tells where the camera is.

mod back_channel;
mod change;
mod description;
mod encoding;
#[cfg(test)]
mod field;
mod media;
mod parse;
mod selection;
mod track;

pub use back_channel::asks_to_talk;
pub use description::{Description, Range};
pub use encoding::Encoding;
pub use media::{Attribute, Direction, Media};
pub use parse::{Error, Sdp, parse};
pub use selection::{NoKind, Pick, Selection, asked_for};
pub use track::Track;
