//! Which of a camera's tracks are set up.

use super::error::Error;
use crate::sdp::{Description, Sdp, Selection};
use crate::vocabulary::FailureClass;

/// The tracks of a camera's SDP that can be relayed and are to be. Their numbers are those of its `m=` lines.
///
/// # Errors
/// None is left; the text says why.
pub(super) fn wanted_tracks(sdp: &Sdp, selection: &Selection) -> Result<Description, Error> {
    let mut description = Description::from_sdp(sdp);
    if description.tracks.is_empty() {
        return Err(no_tracks());
    }
    let there: Vec<String> =
        description.tracks.iter().map(|track| format!("{} ({})", track.id, track.kind)).collect();
    selection.apply(&mut description);
    if description.tracks.is_empty() {
        let words =
            format!("`tracks: [{selection}]` leaves nothing of what the camera has: {}", there.join(", "));
        return Err(Error::new(FailureClass::Protocol, words));
    }
    Ok(description)
}

/// There is nothing that can be relayed.
pub(super) fn no_tracks() -> Error {
    Error::new(FailureClass::Protocol, "the camera's SDP has no track that can be relayed")
}
