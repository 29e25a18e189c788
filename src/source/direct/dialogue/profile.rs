//! Which family of cameras this one is of, and what follows from it.

use super::Dialogue;
use crate::rtsp::Headers;
use crate::sdp::Sdp;

impl Dialogue {
    /// The profile that applies, in words.
    pub(in crate::source::direct) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// What is known of the camera by now, a sentence each: the profile that applies, and whether it listens.
    pub(in crate::source::direct) fn learned(&self) -> Vec<String> {
        self.profile.clone().into_iter().chain(self.back_channel_news()).collect()
    }

    /// An answer came: some say who they are.
    pub(super) fn saw_answer(&mut self, headers: &Headers) {
        if self.profile.is_none()
            && self.seen.server.is_empty()
            && let Some(server) = headers.get("Server").filter(|server| !server.is_empty())
        {
            self.seen.server = server.to_owned();
            self.recognise();
        }
    }

    /// The description came.
    pub(super) fn saw_description(&mut self, sdp: &Sdp) {
        if self.profile.is_none() {
            self.seen.tool = sdp.tool.clone().unwrap_or_default();
            self.seen.session = sdp.name.clone().unwrap_or_default();
            self.recognise();
        }
    }

    /// Takes the first profile that matches what is known.
    pub(super) fn recognise(&mut self) {
        if let Some(profile) = self.options.quirks.find(&self.seen) {
            self.flags = profile.flags;
            self.keep_alive.obey(&profile.flags);
            self.profile = Some(format!("The profile {} applies to it ({}).", profile.name, profile.source));
        }
    }
}
