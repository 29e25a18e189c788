//! What a packet of NAL units carries, and what others lose without it.

use super::Worth;
use super::gate::Contents;

/// What is known of a packet after its NAL units were looked at: H.264's and H.265's are of the same kinds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) contents: Contents,
    /// Some NAL unit is referred to by others.
    pub(super) referenced: bool,
    /// Some NAL unit is a delimiter, a message or filler.
    pub(super) supplement: bool,
    /// Some NAL unit is neither that nor a part of a picture.
    pub(super) other: bool,
}

impl Seen {
    /// What others lose without the packet.
    pub(super) fn worth(&self) -> Worth {
        match self.contents.picture {
            _ if self.referenced || self.other => Worth::Needed,
            Some(_) => Worth::Droppable,
            None if self.supplement => Worth::Supplement,
            None => Worth::Needed,
        }
    }
}
