//! An RTSP session: INIT, READY, PLAYING ([RFC 2326 appendix A](https://datatracker.ietf.org/doc/html/rfc2326#appendix-A)).
//!
//! The viewer drives, so the state is an enum, and what exists only in a state lives in that state's type. A request
//! that does not fit is answered, not failed: refusals are values.

use std::net::{IpAddr, SocketAddr};
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
use crate::metrics::Metrics;
use crate::rtp::{Rewriter, rtcp};
use crate::rtsp::range::{NptTime, Range};
use crate::rtsp::rtp_info::{self, RtpInfo};
use crate::rtsp::transport::Grant;
use crate::rtsp::{Method, Request, Response, Status, TrackControl, Uri, session_id};
use crate::sdp::{Description, Track};
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

    /// What several sessions hear: a session of nobody, that no request reaches. It stands in READY without a track.
    pub(super) fn shared(mount: Mount, described: &Described, seat: Seat) -> Self {
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

    /// The numbers that a track's packets get.
    pub(super) fn numbers(&self, track: TrackId) -> Option<Rewriter> {
        self.player().numbers(track)
    }

    /// A track's packets are those of a flow, which has these numbers.
    pub(super) fn hear(&mut self, track: TrackId, numbers: Rewriter) {
        self.player_mut().hear(track, numbers);
    }

    /// Sets a track up in whatever state, unless it is. Returns its SSRC.
    pub(super) fn add(&mut self, track: &Track, carrier: Carrier) -> u32 {
        match self.numbers(track.id) {
            Some(numbers) => numbers.ssrc(),
            None => self.player_mut().set_up(track, carrier),
        }
    }

    /// Goes over to another description of the stream. `false` when a track is not what it was any more.
    pub(super) fn follow(&mut self, described: &Described) -> bool {
        self.player_mut().follow(described)
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

    /// The `Session` header of answers.
    pub(super) fn header(&self) -> String {
        session_id::format(&self.id, self.advertised)
    }

    /// The track that a SETUP means: the one in its URI, or the only one that was shown, or there is.
    ///
    /// # Errors
    /// 404 for a track that the stream does not have, 459 where the URI leaves it open (RFC 2326 section 11.3.10).
    pub(super) fn find_track<'d>(
        description: &'d Description,
        uri: &Uri,
        only: Option<TrackId>,
    ) -> Result<&'d Track, Status> {
        match uri.track.or(only.map(TrackControl::Track)) {
            Some(TrackControl::Track(id)) => description.track(id).ok_or(Status::NOT_FOUND),
            Some(TrackControl::Unknown) => Err(Status::NOT_FOUND),
            None => match description.tracks.as_slice() {
                [only] => Ok(only),
                _ => Err(Status::AGGREGATE_NOT_ALLOWED),
            },
        }
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

    /// Answers a request of this session other than SETUP. The second value says that the session has ended.
    pub(super) fn answer(&mut self, request: &Request, uri: Option<&Uri>) -> (Response, bool) {
        self.touch();
        let mut ended = false;
        let answered = match request.method {
            Method::Play => self.scope(uri).and_then(|scope| self.play(range_of(request)?, scope)),
            Method::Pause => self.scope(uri).and_then(|scope| self.pause(scope)),
            Method::Teardown => self.scope(uri).map(|scope| {
                ended = self.tear_down(scope);
                Response::new(Status::OK)
            }),
            // Keep-alives, and parameters: there are none to get or set. An empty answer keeps strict clients content
            // (mediamtx#842); naming a parameter is answered with 451 where there is a body.
            Method::GetParameter | Method::SetParameter if !request.body.is_empty() => {
                Err(Status::PARAMETER_NOT_UNDERSTOOD)
            }
            _ => Ok(Response::new(Status::OK)),
        };
        let response = match answered {
            Ok(response) => response.header("Session", self.header()),
            Err(status) => self.refuse(status),
        };
        (response, ended)
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

    /// A packet of the viewer's came on a channel of its connection.
    pub(super) fn interleaved(&mut self, channel: u8, packet: &[u8], metrics: &Metrics) {
        match &self.talking {
            Some(talking) if talking.comes_on(channel) => self.says(packet),
            _ => self.received(packet, metrics),
        }
    }

    /// A datagram of the viewer's came from a port of its.
    pub(super) fn datagram(&mut self, from: SocketAddr, packet: &[u8], metrics: &Metrics) {
        match &self.talking {
            Some(talking) if talking.comes_from(from) => self.says(packet),
            _ => self.received(packet, metrics),
        }
    }

    /// The viewer talks; while it does not play, to nobody.
    fn says(&mut self, packet: &[u8]) {
        self.touch();
        if let (Some(talking), true) = (&self.talking, self.is_playing()) {
            talking.floor.say(packet);
        }
    }

    /// Reads a receiver's compound packet: round trips and loss go to the metrics.
    pub(super) fn received(&mut self, compound: &[u8], metrics: &Metrics) {
        self.touch();
        let now = Instant::now();
        rtcp::read(compound, |item| {
            // In a group others may speak of what others send.
            if let rtcp::Item::Reception(report) = item
                && self.player().sends(report.ssrc)
            {
                metrics.rtcp_fraction_lost.observe(f64::from(report.fraction_lost) / 256.0);
                if let Some(round_trip) = self.player().round_trip(&report, now) {
                    metrics.rtcp_round_trip_seconds.observe(round_trip.as_secs_f64());
                }
            }
        });
    }

    /// The track a request means; `None` for all. VLC asks track by track.
    fn scope(&self, uri: Option<&Uri>) -> Result<Option<TrackId>, Status> {
        match uri.and_then(|uri| uri.track) {
            None => Ok(None),
            Some(TrackControl::Track(id)) if self.carrier(id).is_some() => Ok(Some(id)),
            Some(TrackControl::Track(_) | TrackControl::Unknown) => Err(Status::NOT_FOUND),
        }
    }

    /// Plays the tracks of `scope` (all when `None`), as PLAY with this `Range` does.
    ///
    /// # Errors
    /// 454 when the stream is gone, 455 when no track is set up, 457 for a range that is not to be had.
    pub(super) fn play(&mut self, range: Option<Range>, scope: Option<TrackId>) -> Result<Response, Status> {
        if self.mount.is_gone() {
            return Err(Status::SESSION_NOT_FOUND);
        }
        let position = match (&range, self.mount.duration()) {
            (Some(Range::Npt { start: Some(NptTime::At(at)), .. }), Some(_)) => Some(*at),
            _ => None,
        };
        let now = Instant::now();
        self.begin(scope, position, now)?;
        let range = match (&self.state, self.mount.duration()) {
            (State::Playing(Playing { feed: Feed::Clip(playback), .. }), Some(duration)) => {
                Range::Npt { start: Some(NptTime::At(playback.position())), end: Some(duration) }
            }
            _ => Range::NOW,
        };
        let response = Response::new(Status::OK).header("Range", range);
        // By multicast the flow is asked first.
        Ok(if self.hears.is_some() { response } else { response.header("RTP-Info", self.rtp_info(now)) })
    }

    /// The numbers with which the tracks that play go on at `now`.
    pub(super) fn rtp_info(&self, now: Instant) -> String {
        let State::Playing(Playing { player, feed, .. }) = &self.state else { return String::new() };
        let infos: Vec<RtpInfo> = player
            .tracks()
            .filter(|(_, track)| track.is_playing())
            .filter_map(|(id, _)| {
                let moment = feed.report(self.mount.stream(), id, now).map(|(moment, _)| moment);
                let start = player.announced(id, moment)?;
                Some(RtpInfo {
                    url: Some(format!("{}trackID={id}", self.base)),
                    seq: Some(start.sequence),
                    rtptime: Some(start.timestamp),
                })
            })
            .collect();
        rtp_info::format(&infos)
    }

    /// Plays the tracks of `scope`, a file from `position`.
    ///
    /// # Errors
    /// 455 where no track is set up, 457 where the file has no such position.
    pub(super) fn begin(
        &mut self,
        scope: Option<TrackId>,
        position: Option<Duration>,
        now: Instant,
    ) -> Result<(), Status> {
        let mut playing = match self.take_state() {
            State::Init(init) => {
                self.state = State::Init(init);
                return Err(Status::METHOD_NOT_VALID);
            }
            State::Ready(ready) => {
                let stream = self.mount.stream();
                let feed = match (&self.mount, ready.paused) {
                    (Mount::Live(stream), _) => Feed::Live { _wanted: stream.want() },
                    (Mount::Clip(_), Some(paused)) => Feed::Clip(paused),
                    (Mount::Clip(clip), None) => Feed::Clip(Playback::new(Arc::clone(clip))),
                };
                let seat = ready.seat.unwrap_or_else(|| match &self.hears {
                    Some(flow) => stream.join_hearing(flow, self.peer, self.user_agent.clone()),
                    None => stream.join(self.peer, self.transport, self.user_agent.clone()),
                });
                if let Some(warranted) = self.warranted.take() {
                    warranted.watches(seat.viewer(), stream);
                }
                seat.plays();
                if let Some(talking) = &self.talking {
                    talking.floor.plays(seat.viewer());
                }
                Playing {
                    player: ready.player,
                    feed,
                    ahead: Ahead::new(self.transport),
                    seat,
                    asked: Some(now),
                }
            }
            State::Playing(playing) => playing,
        };
        let was_playing = playing.player.is_playing();
        let sought = match &mut playing.feed {
            Feed::Clip(playback) if !was_playing || position.is_some() => playback.resume(position),
            Feed::Live { .. } | Feed::Clip(_) => true,
        };
        if !sought {
            self.state = if was_playing { State::Playing(playing) } else { State::Ready(playing.pause()) };
            return Err(Status::INVALID_RANGE);
        }
        let Playing { player, feed, ahead, .. } = &mut playing;
        let stream = self.mount.stream();
        player.play(scope, now, |track| feed.report(stream, track, now).map(|(moment, _)| moment));
        // What one who comes to a flow gets ahead all others would get again.
        if matches!(feed, Feed::Live { .. }) && self.transport != Transport::Multicast {
            ahead.want();
        }
        self.state = State::Playing(playing);
        Ok(())
    }

    /// Pauses the tracks of `scope` (all when `None`), as PAUSE does.
    ///
    /// # Errors
    /// 455 when no track is set up.
    pub(super) fn pause(&mut self, scope: Option<TrackId>) -> Result<Response, Status> {
        let (state, answer) = match self.take_state() {
            State::Init(init) => (State::Init(init), Err(Status::METHOD_NOT_VALID)),
            State::Ready(ready) => (State::Ready(ready), Ok(Response::new(Status::OK))),
            State::Playing(mut playing) => {
                playing.player.pause(scope);
                let state = if playing.player.is_playing() {
                    State::Playing(playing)
                } else {
                    State::Ready(playing.pause())
                };
                (state, Ok(Response::new(Status::OK)))
            }
        };
        self.state = state;
        answer
    }

    /// Gives up one track, or all. Returns whether that was the end of the session.
    fn tear_down(&mut self, scope: Option<TrackId>) -> bool {
        let Some(track) = scope else { return true };
        if self.talks_on() == Some(track) {
            self.talking = None;
        } else {
            self.player_mut().remove(track);
        }
        self.tracks().next().is_none()
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

    /// The answer to SETUP.
    pub(super) fn granted(&self, grant: Grant) -> Response {
        Response::new(Status::OK).header("Transport", grant).header("Session", self.header())
    }

    /// An error answer; 455 says what would be valid (RFC 2326 section 11.3.6).
    pub(super) fn refuse(&self, status: Status) -> Response {
        let response = Response::new(status).header("Session", self.header());
        if status != Status::METHOD_NOT_VALID {
            return response;
        }
        response.header(
            "Allow",
            match self.state {
                State::Init(_) => "OPTIONS, DESCRIBE, SETUP, TEARDOWN",
                State::Ready(_) | State::Playing(_) => {
                    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
                }
            },
        )
    }
}

/// The `Range` that PLAY asks for, if any.
fn range_of(request: &Request) -> Result<Option<Range>, Status> {
    let parse = |range| Range::parse(range).map_err(|_| Status::INVALID_RANGE);
    request.headers.get("Range").map(parse).transpose()
}

fn new_player(mount: &Mount, described: &Described) -> Player {
    // The same name for all tracks of a session, different for each session, and no address in it (RFC 7022).
    let cname = format!("fanlight-{:016x}", rand::random::<u64>());
    Player::new(described, cname, mount.stream().viewing())
}
