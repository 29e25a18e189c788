//! The way back to the camera: asked for where it is configured, set up behind the other tracks, and never a reason for
//! a session to fail (C54).
//!
//! ONVIF streaming specification, section 5.3: every request that is about it says `Require`; a camera that does not know
//! it answers 551, and is asked again without.

use std::time::Instant;

use super::Dialogue;
use crate::rtsp::Status;
use crate::rtsp::transport::Channels;
use crate::sdp::{Sdp, Track};
use crate::source::direct::exchange::Ask;
use crate::source::direct::lane::{Path, Port};
use crate::source::direct::voice::Voice;
use crate::vocabulary::TrackId;

/// The way back of one conversation.
#[derive(Debug, Default)]
pub(super) struct BackChannel {
    /// The camera is asked for it, and has not refused yet.
    asked: bool,
    /// What the camera described.
    track: Option<Track>,
    open: Option<Open>,
    /// Why there is none, for people.
    lacks: Option<String>,
}

/// It is set up.
#[derive(Debug)]
struct Open {
    path: Path,
    voice: Voice,
}

impl BackChannel {
    pub(super) fn new(wanted: bool) -> Self {
        Self { asked: wanted, ..Self::default() }
    }
}

impl Dialogue {
    /// The tracks to set up: those that are relayed, and behind them the way back.
    pub(in crate::source::direct) fn set_ups(&self) -> impl Iterator<Item = TrackId> {
        let back = self.back.track.as_ref().map(|_| self.back_id());
        self.description.tracks.iter().map(|track| track.id).chain(back)
    }

    /// Whether the set-up with this number is that of the way back.
    pub(super) fn is_back(&self, set_up: usize) -> bool {
        set_up == self.description.tracks.len()
    }

    /// Its ports are known by the number behind the last track's.
    fn back_id(&self) -> TrackId {
        TrackId(u8::try_from(self.description.tracks.len()).unwrap_or(u8::MAX))
    }

    /// Where the camera listens, once it is set up.
    pub(in crate::source::direct) fn listens(&self) -> Option<&Track> {
        self.back.open.as_ref().and(self.back.track.as_ref())
    }

    /// Why there is no way back although it is configured, or that there is one; nothing where it is not.
    pub(in crate::source::direct) fn back_channel_news(&self) -> Option<String> {
        if let Some(why) = &self.back.lacks {
            return Some(format!("It is relayed without a back channel: {why}."));
        }
        let track = self.listens()?;
        let name = track.encoding.as_deref().unwrap_or("sound");
        Some(format!("Viewers may talk to it, one at a time, in {name}/{}.", track.clock_rate))
    }

    /// The tag that a request has to name, if it is about the way back.
    pub(super) fn requires(&self, ask: Ask) -> bool {
        self.back.asked
            && match ask {
                Ask::Describe { .. } => true,
                Ask::Setup { lane, .. } => self.is_back(lane),
                Ask::Play { .. } => self.back.open.is_some(),
                Ask::Options | Ask::KeepAlive | Ask::Teardown => false,
            }
    }

    /// A request that named the tag was refused: whether to send it again without.
    pub(super) fn does_without(&mut self, status: Status) -> bool {
        let about_it = !matches!(status.0, 403 | 404 | 453 | 503);
        if self.back.asked && about_it {
            self.back.asked = false;
            if self.back.open.is_none() {
                self.back.lacks = Some(format!("the camera refuses to be asked for one ({status})"));
            }
            return true;
        }
        false
    }

    /// The description came: what it says of the way back. The control of it stands behind those of the tracks.
    pub(super) fn saw_back_channel(&mut self, sdp: &Sdp) {
        if !self.back.asked {
            return;
        }
        self.back.track = sdp.back_channel();
        match &self.back.track {
            Some(track) => {
                let control = sdp.media.get(track.id.index()).and_then(|media| media.control());
                self.controls.push(control.map(str::to_owned));
            }
            None => self.back.lacks = Some("the camera describes none".to_owned()),
        }
    }

    /// The way back is set up.
    pub(super) fn opened(&mut self, path: Path) {
        if let Some(track) = &self.back.track {
            let voice = Voice::new(track, self.options.seed.rotate_left(24));
            if let Path::Tcp(channels) = &path {
                self.framing.expect_channels([channels.rtp, channels.rtcp]);
            }
            self.back.open = Some(Open { path, voice });
        }
    }

    /// The camera refuses to set it up: the rest is played.
    pub(super) fn is_closed(&mut self, status: Status) {
        self.back.lacks = Some(format!("the camera refuses to set it up ({status})"));
    }

    /// The channels of the way back, if they are some.
    pub(super) fn back_channels(&self) -> Option<Channels> {
        match self.back.open.as_ref()?.path {
            Path::Tcp(channels) => Some(channels),
            Path::Udp(_) => None,
        }
    }

    /// Sends a viewer's packet to the camera; `false` where there is no way, or the camera does not read what we write.
    pub(in crate::source::direct) fn say(&mut self, packet: &[u8], now: Instant) -> bool {
        let id = self.back_id();
        let Some(open) = &mut self.back.open else { return false };
        let Some(packet) = open.voice.packet(packet, now) else { return false };
        match &open.path {
            Path::Tcp(channels) => self.exchange.packet(channels.rtp, &packet),
            Path::Udp(remote) => match remote.of(Port::Rtp) {
                Some(to) if self.datagrams.len() < super::media::DATAGRAMS_MAX => {
                    self.datagrams.push_back((id, Port::Rtp, to, packet));
                    true
                }
                _ => false,
            },
        }
    }
}
