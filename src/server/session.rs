//! An RTSP session: INIT, READY, PLAYING ([RFC 2326 appendix A](https://datatracker.ietf.org/doc/html/rfc2326#appendix-A)).
//!
//! The viewer drives, so the state is an enum, and what exists only in a state lives in that state's type. A request
//! that does not fit is answered, not failed: refusals are values.

mod answers;
mod flow;
mod heard;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::SessionPlace;
use super::ahead::Ahead;
use super::mount::{Feed, Mount};
use super::playback::Playback;
use super::player::{Carrier, Player};
use super::talk::{Part, Talking};
use super::warrants::Warranted;
use crate::hub::{self, Delivery, Described, Seat};
use crate::rtsp::Status;
use crate::vocabulary::{Disconnect, TrackId, Transport};

/// One viewer's session.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    mount: Mount,
    /// The base of the tracks' URLs, as the viewer knows them.
    base: String,
    peer: IpAddr,
    transport: Transport,
    user_agent: Option<String>,
    /// The `timeout` told to the viewer.
    advertised: Duration,
    last_seen: Instant,
    /// Given up with the session. A flow that several sessions hear has none.
    _place: Option<SessionPlace>,
    /// What it hears together with others.
    hears: Option<Arc<hub::Viewer>>,
    /// Until it watches.
    warranted: Option<Warranted>,
    state: State,
    /// It may talk to the camera.
    talking: Option<Talking>,
}

/// Where a session stands.
#[derive(Debug)]
enum State {
    Init(Init),
    Ready(Ready),
    Playing(Playing),
}

/// No track is set up.
#[derive(Debug)]
struct Init {
    player: Player,
}

/// Tracks are set up, none plays.
#[derive(Debug)]
struct Ready {
    player: Player,
    /// After a pause: the viewer's place in a file.
    paused: Option<Playback>,
    /// After the first PLAY.
    seat: Option<Seat>,
}

/// Packets flow.
#[derive(Debug)]
pub(super) struct Playing {
    pub(super) player: Player,
    pub(super) feed: Feed,
    pub(super) ahead: Ahead,
    pub(super) seat: Seat,
    /// When PLAY came, until the first key-frame packet is sent.
    pub(super) asked: Option<Instant>,
}

/// What a session's own task has to do.
#[derive(Debug)]
pub(super) enum Next {
    /// Something to send.
    Delivery(Delivery),
    /// Somebody wants this viewer out.
    Kicked(Disconnect),
}

impl Playing {
    fn pause(self) -> Ready {
        self.seat.pauses();
        let paused = match self.feed {
            Feed::Live { .. } => None,
            Feed::Clip(playback) => Some(playback),
        };
        Ready { player: self.player, paused, seat: Some(self.seat) }
    }
}

/// What distinguishes a session from others when it is made.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) place: SessionPlace,
    pub(super) peer: IpAddr,
    pub(super) transport: Transport,
    pub(super) user_agent: Option<String>,
    /// What it was let in by; `None` = that cannot end before the session does.
    pub(super) warranted: Option<Warranted>,
    /// The flow that it shares with others, by multicast.
    pub(super) hears: Option<Arc<hub::Viewer>>,
}

impl Session {
    /// A session in INIT. `base` is the `Content-Base` of the stream in the viewer's words.
    pub(super) fn new(
        mount: Mount,
        described: &Described,
        base: String,
        viewer: Viewer,
        advertised: Duration,
    ) -> Self {
        let id = format!("{:032x}", rand::random::<u128>());
        let player = new_player(&mount, described);
        let Viewer { place, peer, transport, user_agent, hears, warranted } = viewer;
        Self {
            id,
            mount,
            base,
            peer,
            transport,
            user_agent,
            advertised,
            last_seen: Instant::now(),
            _place: Some(place),
            hears,
            warranted,
            state: State::Init(Init { player }),
            talking: None,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    pub(super) fn mount(&self) -> &Mount {
        &self.mount
    }

    /// Something came from the viewer.
    pub(super) fn touch(&mut self) {
        self.last_seen = Instant::now();
    }

    pub(super) fn last_seen(&self) -> Instant {
        self.last_seen
    }

    /// The playing state, if it is the present one.
    pub(super) fn playing(&mut self) -> Option<&mut Playing> {
        match &mut self.state {
            State::Playing(playing) => Some(playing),
            State::Init(_) | State::Ready(_) => None,
        }
    }

    /// Whether packets flow.
    pub(super) fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// Whether a track of this generation of `mount` may be set up here.
    ///
    /// # Errors
    /// 459 where `mount` is another stream than the session's. 454 where the tracks have changed since the session was
    /// made: its player has to describe them again.
    pub(super) fn admits(&self, mount: &Mount, generation: u32) -> Result<(), Status> {
        if !Arc::ptr_eq(self.mount.stream(), mount.stream()) {
            return Err(Status::AGGREGATE_NOT_ALLOWED);
        }
        if self.player().generation() != generation {
            return Err(Status::SESSION_NOT_FOUND);
        }
        Ok(())
    }

    /// Whether one of its tracks uses this channel of the connection.
    pub(super) fn has_channel(&self, channel: u8) -> bool {
        self.carriers().any(|carrier| match carrier {
            Carrier::Channels { rtp, rtcp } => rtp == channel || rtcp == channel,
            Carrier::Ports { .. } => false,
        })
    }

    /// The carrier of a track that is set up.
    pub(super) fn carrier(&self, track: TrackId) -> Option<Carrier> {
        let talks = self.talking.as_ref().filter(|talking| talking.id == track);
        talks.map(|talking| talking.carrier).or(self.player().track(track).map(|track| track.carrier))
    }

    /// The tracks that are set up, the back channel last.
    pub(super) fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.player().tracks().map(|(id, _)| id).chain(self.talks_on())
    }

    /// Sends a track's packets there from now on, or takes those of the back channel from there.
    pub(super) fn set_carrier(&mut self, track: TrackId, carrier: Carrier) {
        match &mut self.talking {
            Some(talking) if talking.id == track => talking.carrier = carrier,
            _ => self.player_mut().set_carrier(track, carrier),
        }
    }

    /// The generation of the description it plays by.
    pub(super) fn generation(&self) -> u32 {
        self.player().generation()
    }

    /// The tracks that play.
    pub(super) fn playing_tracks(&self) -> Vec<TrackId> {
        if !self.is_playing() {
            return Vec::new();
        }
        self.player().tracks().filter(|(_, track)| track.is_playing()).map(|(id, _)| id).collect()
    }

    /// The carriers of the tracks that are set up.
    pub(super) fn carriers(&self) -> impl Iterator<Item = Carrier> {
        let back = self.talking.as_ref().map(|talking| talking.carrier);
        self.player().tracks().map(|(_, track)| track.carrier).chain(back)
    }

    /// The number of the back channel, if it is set up.
    pub(super) fn talks_on(&self) -> Option<TrackId> {
        self.talking.as_ref().map(|talking| talking.id)
    }

    /// Sets a track up, or again, or the back channel. Returns its SSRC.
    ///
    /// # Errors
    /// 455 while playing.
    pub(super) fn set_up(&mut self, part: Part, carrier: Carrier) -> Result<u32, Status> {
        let mut ready = match self.take_state() {
            State::Init(Init { player }) => Ready { player, paused: None, seat: None },
            State::Ready(ready) => ready,
            State::Playing(playing) => {
                self.state = State::Playing(playing);
                return Err(Status::METHOD_NOT_VALID);
            }
        };
        let ssrc = match part {
            Part::Track(track) => ready.player.set_up(&track, carrier),
            Part::Talk(id, floor) => {
                let ssrc = rand::random();
                self.talking = Some(Talking { id, carrier, floor });
                ssrc
            }
        };
        self.state = State::Ready(ready);
        Ok(ssrc)
    }

    /// Hands the goodbye of each track to `each`.
    pub(super) fn goodbyes(&self, each: impl FnMut(Carrier, &[u8])) {
        self.player().goodbyes(each);
    }

    /// Ends the session: its seat is given up for this reason.
    pub(super) fn end(&mut self, reason: Disconnect) {
        self.talking = None;
        let seat = match self.take_state() {
            State::Init(_) => None,
            State::Ready(ready) => ready.seat,
            State::Playing(playing) => Some(playing.seat),
        };
        if let Some(seat) = seat {
            seat.leave(reason);
        }
    }

    /// Takes the state to turn it into another; the caller puts one back before it returns.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Init(Init { player: Player::default() }))
    }

    fn player(&self) -> &Player {
        match &self.state {
            State::Init(Init { player })
            | State::Ready(Ready { player, .. })
            | State::Playing(Playing { player, .. }) => player,
        }
    }

    fn player_mut(&mut self) -> &mut Player {
        match &mut self.state {
            State::Init(Init { player })
            | State::Ready(Ready { player, .. })
            | State::Playing(Playing { player, .. }) => player,
        }
    }
}

fn new_player(mount: &Mount, described: &Described) -> Player {
    // The same name for all tracks of a session, different for each session, and no address in it (RFC 7022).
    let cname = format!("fanlight-{:016x}", rand::random::<u64>());
    Player::new(described, cname, mount.stream().viewing())
}
