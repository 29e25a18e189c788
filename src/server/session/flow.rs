//! Sessions and the flows of multicast: a flow is what the session of nobody sends, and others hear it.

use std::time::{Duration, Instant};

use super::{Ready, Session, State, new_player};
use crate::hub::{Described, Seat};
use crate::rtp::Rewriter;
use crate::sdp::Track;
use crate::server::mount::Mount;
use crate::server::player::Carrier;
use crate::vocabulary::TrackId;

impl Session {
    /// What several sessions hear: a session of nobody, that no request reaches. It stands in READY without a track.
    pub(in crate::server) fn shared(mount: Mount, described: &Described, seat: Seat) -> Self {
        let player = new_player(&mount, described);
        Self {
            id: String::new(),
            mount,
            base: String::new(),
            peer: seat.viewer().peer,
            transport: seat.viewer().transport,
            user_agent: None,
            advertised: Duration::MAX,
            last_seen: Instant::now(),
            _place: None,
            hears: None,
            warranted: None,
            state: State::Ready(Ready { player, paused: None, seat: Some(seat) }),
            talking: None,
        }
    }

    /// The numbers that a track's packets get.
    pub(in crate::server) fn numbers(&self, track: TrackId) -> Option<Rewriter> {
        self.player().numbers(track)
    }

    /// A track's packets are those of a flow, which has these numbers.
    pub(in crate::server) fn hear(&mut self, track: TrackId, numbers: Rewriter) {
        self.player_mut().hear(track, numbers);
    }

    /// Sets a track up in whatever state, unless it is. Returns its SSRC.
    pub(in crate::server) fn add(&mut self, track: &Track, carrier: Carrier) -> u32 {
        match self.numbers(track.id) {
            Some(numbers) => numbers.ssrc(),
            None => self.player_mut().set_up(track, carrier),
        }
    }

    /// Goes over to another description of the stream. `false` when a track is not what it was any more.
    pub(in crate::server) fn follow(&mut self, described: &Described) -> bool {
        self.player_mut().follow(described)
    }
}
