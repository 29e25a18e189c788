//! The one viewer that talks to the camera (ONVIF streaming specification, section 5.3).
//!
//! A viewer asks for the back channel with `?backchannel=1` in its URL, as go2rtc's do, or with the feature tag in
//! `Require`, as ONVIF's do. It then finds one more track in its description, which it sets up like the others and sends
//! to. Nobody else sees that track.

use std::net::{IpAddr, SocketAddr};

use super::connection::{Connection, Shown};
use super::mount::Mount;
use super::player::Carrier;
use super::refusals::TEXT;
use crate::hub::{Described, Floor};
use crate::rtsp::{BACK_CHANNEL, Method, Request, Response, Status, TrackControl, Uri};
use crate::sdp::{self, Track};
use crate::vocabulary::TrackId;

/// What a SETUP asks for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// To receive a track.
    Track(Box<Track>),
    /// To talk; the number is that of the back channel.
    Talk(TrackId),
}

/// What a SETUP is granted.
#[derive(Debug)]
pub(super) enum Part {
    /// A track to receive.
    Track(Box<Track>),
    /// The floor; the number is that of the back channel.
    Talk(TrackId, Floor),
}

/// A session's back channel.
#[derive(Debug)]
pub(super) struct Talking {
    pub(super) id: TrackId,
    pub(super) carrier: Carrier,
    pub(super) floor: Floor,
}

impl Wanted {
    /// The number of the track.
    pub(super) fn id(&self) -> TrackId {
        match self {
            Self::Track(track) => track.id,
            Self::Talk(id) => *id,
        }
    }

    /// Grants it to the session of this id.
    ///
    /// # Errors
    /// 453 with the reason while another viewer talks: nothing is wrong with the request, and what is short will be free
    /// again, as where a camera has no session left. (461 would have the client try other transports, 454 describe again,
    /// 403 log in.)
    pub(super) fn granted(self, mount: &Mount, session: &str, peer: IpAddr) -> Result<Part, Response> {
        let id = match self {
            Self::Track(track) => return Ok(Part::Track(track)),
            Self::Talk(id) => id,
        };
        let stream = mount.stream();
        let floor = stream.back_channel().and_then(|channel| channel.take(session, peer));
        floor.map(|floor| Part::Talk(id, floor)).ok_or_else(|| {
            let name = stream.name();
            let body = format!("somebody else talks to {name}, one viewer at a time may: try again later\n");
            Response::new(Status::NOT_ENOUGH_BANDWIDTH).body(TEXT, body)
        })
    }
}

impl Part {
    /// The number of the track.
    pub(super) fn id(&self) -> TrackId {
        match self {
            Self::Track(track) => track.id,
            Self::Talk(id, _) => *id,
        }
    }
}

impl Talking {
    /// Whether this is a packet of the talker's own, by the channel it came on.
    pub(super) fn comes_on(&self, channel: u8) -> bool {
        matches!(self.carrier, Carrier::Channels { rtp, .. } if rtp == channel)
    }

    /// The same by the port it came from.
    pub(super) fn comes_from(&self, from: SocketAddr) -> bool {
        matches!(self.carrier, Carrier::Ports { rtp, .. } if rtp == from)
    }
}

impl Connection {
    /// Whether a request is about talking: it says so itself, or it follows a description that did.
    pub(super) fn is_to_talk(&self, request: &Request, uri: Option<&Uri>) -> bool {
        let follows = || {
            let mount = uri.and_then(|uri| self.shared.mounts.find(&uri.path));
            matches!(request.method, Method::Setup | Method::Play)
                && mount.is_some_and(|mount| self.shown(&mount).is_some_and(|shown: &Shown| shown.talks))
        };
        asks(request, uri) || follows()
    }

    /// 551 for a request that names the feature tag where there is no back channel (RFC 2326 section 12.32).
    pub(super) fn lacks_back_channel(&self, request: &Request, uri: Option<&Uri>) -> Option<Response> {
        let mount = uri.and_then(|uri| self.shared.mounts.find(&uri.path));
        let has = mount.is_some_and(|mount| mount.stream().back_channel().is_some());
        (!has && requires(request)).then(unsupported)
    }

    /// The back channel to describe to who asks for it; nothing to others, and nothing where the camera has none.
    ///
    /// # Errors
    /// 551 where it has none and the client requires it.
    pub(super) fn described_back(
        &self,
        request: &Request,
        uri: &Uri,
        mount: &Mount,
        described: &Described,
    ) -> Result<Option<Track>, Response> {
        if !asks(request, Some(uri)) {
            return Ok(None);
        }
        let offered = mount.stream().back_channel().and_then(|channel| channel.offered());
        match offered {
            Some(track) => Ok(Some(Track { id: described.description.back_channel_id(), ..track })),
            None if requires(request) => Err(unsupported()),
            None => Ok(None),
        }
    }

    /// Whether a SETUP is that of the back channel.
    pub(super) fn means_back_channel(
        &self,
        request: &Request,
        uri: &Uri,
        mount: &Mount,
        described: &Described,
    ) -> bool {
        uri.track == Some(TrackControl::Track(described.description.back_channel_id()))
            && mount.stream().back_channel().is_some_and(|channel| channel.offered().is_some())
            && self.is_to_talk(request, Some(uri))
    }
}

/// Whether a request itself asks to talk.
fn asks(request: &Request, uri: Option<&Uri>) -> bool {
    let query = uri.and_then(|uri| uri.query.as_deref());
    requires(request) || query.is_some_and(sdp::asks_to_talk)
}

/// Whether the client requires a back channel.
fn requires(request: &Request) -> bool {
    request.headers.list("Require").any(is_tag)
}

/// Whether an option of `Require` is ours.
pub(super) fn is_tag(option: &str) -> bool {
    option.eq_ignore_ascii_case(BACK_CHANNEL)
}

fn unsupported() -> Response {
    Response::new(Status::OPTION_NOT_SUPPORTED).header("Unsupported", BACK_CHANNEL).body(
        TEXT,
        "no back channel here: it has to be configured (backchannel: true), and the camera has to have one\n",
    )
}
