//! The whole conversation with a camera, without sockets and clocks: bytes and `now` in, bytes and events out.
//!
//! ```text
//! describe ─► DESCRIBE ─► [described] ─ play ─► SETUP ... SETUP ─► PLAY ─► [playing] ─► packets, reports, epochs
//!                                                                            └ signs of life, receiver reports
//! ```
//!
//! The driver gives what it reads to [`Dialogue::receive`] or [`Dialogue::datagram`], calls [`Dialogue::tick`] at
//! [`Dialogue::due`], and writes what [`Dialogue::out`] and [`Dialogue::datagrams`] hold.

mod answers;
mod media;
mod profile;
mod start;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::Event;
use super::control::Uris;
use super::exchange::{Ask, Exchange};
use super::inbound::{Framing, Inbound};
use super::keep_alive::KeepAlive;
use super::lane::{Clock, Group, Lane, Offer, Path, Port};
use super::login::Login;
use super::notes::{Note, Notes};
use super::reorder::Bounds;
use crate::config::{Credentials, Flags, Quirks, Seen, SignOfLife};
use crate::rtsp::{Method, Request, Response, Status};
use crate::sdp::{Description, Selection};
use crate::source::error::{Error, Step};
use crate::vocabulary::{FailureClass, TrackId};

/// What a conversation needs to know before it begins.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Time for the answer to each request of the handshake.
    pub(super) step: Duration,
    /// How long packets that overtook others wait for them, over UDP.
    pub(super) reorder: Duration,
    /// The tracks that are set up.
    pub(super) tracks: Selection,
    /// What families of cameras want otherwise.
    pub(super) quirks: Arc<Quirks>,
    /// OPTIONS before DESCRIBE, as for cameras that want it.
    pub(super) ask_options: bool,
    /// Who hears of requests and answers.
    pub(super) notes: Notes,
    /// A random number: the client's part of Digest, our source in reports.
    pub(super) seed: u64,
}

/// Why a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It goes on at another URI, at the same or another host.
    Redirect(String),
    /// It does not go on.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Describing,
    /// Waits for [`Dialogue::play`], and may have to wait for long ([`Dialogue::rest`]).
    Described,
    SettingUp,
    /// PLAY is sent, and packets count.
    Starting,
    Playing,
    /// TEARDOWN is sent.
    Ending,
    /// TEARDOWN was answered, or there was nothing to tear down.
    Ended,
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Dialogue {
    options: Options,
    /// The URI of the stream, without credentials.
    uri: String,
    login: Login,
    stage: Stage,
    framing: Framing,
    exchange: Exchange,
    keep_alive: KeepAlive,
    /// The session's id; the first one counts where they differ (C47), or else the last.
    session: Option<String>,
    last_session: Option<String>,
    uris: Uris,
    description: Description,
    /// The control of each track.
    controls: Vec<Option<String>>,
    /// What each track asks for, and the address of the camera.
    offers: Vec<Offer>,
    peer: Option<IpAddr>,
    /// The tracks that are set up.
    lanes: Vec<Lane>,
    /// By channel, the lane its packets are for.
    routes: Vec<(u8, usize)>,
    /// Which spelling of the whole's URI the camera took.
    played: usize,
    /// Why a track could not be set up.
    refused: Option<Error>,
    events: VecDeque<Event>,
    /// By track: from which port, where to, what.
    datagrams: VecDeque<(TrackId, Port, SocketAddr, Vec<u8>)>,
    started: Option<Instant>,
    reports_due: Option<Instant>,
    reports_sent: u32,
    /// Packets that came before their time, or for nobody.
    strays: u64,
    /// The camera asked for a password on this connection.
    challenged: bool,
    /// Bytes of media that came before the answer to PLAY.
    early: usize,
    /// Bytes of an item that has not come whole.
    unread: usize,
    /// When what came of a description last counts as all of it, and when that came.
    all_of_it: Option<(Instant, Instant)>,
    /// What is known of the camera, to find its profile by; then the profile, in words, and what it says.
    seen: Seen,
    profile: Option<String>,
    flags: Flags,
}

impl Dialogue {
    /// Nothing is sent before [`Self::describe`].
    pub(super) fn new(uri: &str, credentials: Option<Credentials>, options: Options) -> Self {
        let seen = Seen { url: uri.to_owned(), ..Seen::default() };
        let mut dialogue = Self {
            login: Login::new(credentials, options.seed),
            options,
            uri: uri.to_owned(),
            stage: Stage::Describing,
            framing: Framing::new(),
            exchange: Exchange::default(),
            keep_alive: KeepAlive::new(),
            session: None,
            last_session: None,
            uris: Uris::default(),
            description: Description::default(),
            controls: Vec::new(),
            offers: Vec::new(),
            peer: None,
            lanes: Vec::new(),
            routes: Vec::new(),
            played: 0,
            refused: None,
            events: VecDeque::new(),
            datagrams: VecDeque::new(),
            started: None,
            reports_due: None,
            reports_sent: 0,
            strays: 0,
            challenged: false,
            early: 0,
            unread: 0,
            all_of_it: None,
            seen,
            profile: None,
            flags: Flags::default(),
        };
        dialogue.recognise();
        dialogue
    }

    /// Asks for the description; also on a new connection, when the camera closed the one before.
    pub(super) fn describe(&mut self, now: Instant) {
        self.stage = Stage::Describing;
        self.framing = Framing::new();
        self.exchange = Exchange::default();
        self.challenged = false;
        self.framing.expect_description(true);
        let first = if self.flags.options_first || self.options.ask_options {
            Ask::Options
        } else {
            Ask::Describe { accept: true }
        };
        self.send(first, 0, now);
    }

    /// Whether the camera may have closed the connection because it takes one for each request: no session is lost by
    /// another.
    pub(super) fn may_go_on_elsewhere(&self) -> bool {
        self.stage == Stage::SettingUp && self.lanes.is_empty() && self.session.is_none()
    }

    /// Sets up on a new connection.
    pub(super) fn go_on(&mut self, now: Instant) -> Result<(), Stop> {
        self.framing = Framing::new();
        self.exchange = Exchange::default();
        self.set_up(0, now)
    }

    /// Nothing is wanted for now: signs of life keep the connection. `step` is the limit of the steps once it goes on.
    pub(super) fn rest(&mut self, step: Duration, now: Instant) {
        self.options.step = step;
        self.keep_alive.start(now);
    }

    /// Sets every track up over what it asks for, and starts them. `peer` is the camera's address.
    pub(super) fn play(&mut self, offers: Vec<Offer>, peer: IpAddr, now: Instant) -> Result<(), Stop> {
        debug_assert_eq!(offers.len(), self.description.tracks.len());
        self.keep_alive.stop();
        self.exchange.restart(now);
        self.offers = offers;
        self.peer = Some(peer);
        self.stage = Stage::SettingUp;
        self.set_up(0, now)
    }

    /// Sends a sign of life of this kind now; those that follow are of the same.
    pub(super) fn try_sign_of_life(&mut self, kind: SignOfLife, now: Instant) {
        self.keep_alive.insist(kind);
        self.send(Ask::KeepAlive, 0, now);
    }

    /// Ends the session politely; nothing more will come.
    pub(super) fn tear_down(&mut self, now: Instant) {
        self.keep_alive = KeepAlive::new();
        self.reports_due = None;
        if self.flags.no_teardown {
            self.stage = Stage::Ended;
        } else if self.session.is_some() && !matches!(self.stage, Stage::Ending | Stage::Ended) {
            self.stage = Stage::Ending;
            self.send(Ask::Teardown, 0, now);
        } else if self.session.is_none() {
            self.stage = Stage::Ended;
        }
    }

    /// Ends the session on a new connection: the camera may keep it although the one before is gone.
    pub(super) fn tear_down_again(&mut self, now: Instant) {
        self.framing = Framing::new();
        self.exchange = Exchange::default();
        self.stage = Stage::Ending;
        self.send(Ask::Teardown, 0, now);
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// The tracks, once described.
    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Whether the camera may have closed the connection only to be asked again, with a password.
    pub(super) fn wants_another_connection(&self) -> bool {
        self.stage == Stage::Describing && self.challenged
    }

    /// Takes one item off the front of what the camera sent; `false` if there is none yet.
    pub(super) fn receive(&mut self, buf: &mut BytesMut, now: Instant) -> Result<bool, Stop> {
        let media = self.stage == Stage::Playing;
        let inbound = self
            .framing
            .next(buf, media)
            .map_err(|error| self.error(FailureClass::Protocol, &format!("the camera sent {error}")))?;
        match inbound {
            None => {
                self.unread = buf.len();
                let waits = self.stage == Stage::Describing && (self.unread > 0 || self.framing.is_open());
                if waits && self.all_of_it.is_none_or(|(_, came)| came != now) {
                    self.all_of_it = Some((now + BODY_PATIENCE, now));
                }
                return Ok(false);
            }
            Some(Inbound::Data { channel, packet }) => self.interleaved(channel, packet, now),
            Some(Inbound::Response(response)) => self.response(response, now)?,
            Some(Inbound::Request(request)) => self.request(&request),
        }
        Ok(true)
    }

    /// A datagram came for one of a track's ports.
    pub(super) fn datagram(
        &mut self,
        track: TrackId,
        port: Port,
        from: SocketAddr,
        packet: Bytes,
        now: Instant,
    ) {
        if !matches!(self.stage, Stage::Starting | Stage::Playing) {
            self.strays += 1;
            return;
        }
        let Some(lane) = self.lanes.iter().position(|lane| lane.track == track) else { return };
        self.came_early(packet.len(), now);
        let (clock, events) = (self.clock(now), &mut self.events);
        self.lanes[lane].datagram(port, from, packet, clock, |event| events.push_back(event));
    }

    /// When [`Self::tick`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let step = match self.stage {
            Stage::Playing | Stage::Ended => None,
            _ => self.exchange.waiting().map(|asked| asked.at + self.options.step),
        };
        let lanes = self.lanes.iter().filter_map(Lane::due);
        let all_of_it = self.all_of_it.filter(|(due, came)| due != came && self.stage == Stage::Describing);
        let all_of_it = all_of_it.map(|(due, _)| due);
        let others = [step, self.exchange.due(), self.keep_alive.due(), self.reports_due, all_of_it];
        others.into_iter().flatten().chain(lanes).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Stop> {
        if let Some((asked, response)) = self.exchange.overdue(now) {
            self.answered(asked, &response, now)?;
        }
        if let Some((due, came)) = self.all_of_it
            && due != came
            && due <= now
        {
            self.all_of_it = Some((came, came)); // once
            self.nothing_more_comes(now)?;
        }
        let events = &mut self.events;
        for lane in &mut self.lanes {
            lane.expire(now, |event| events.push_back(event));
        }
        if self.keep_alive.due().is_some_and(|due| due <= now) {
            self.send(Ask::KeepAlive, 0, now);
        }
        if self.reports_due.is_some_and(|due| due <= now) {
            self.report(now);
        }
        let waited = self.exchange.waiting().is_some_and(|asked| asked.at + self.options.step <= now);
        match self.stage {
            Stage::Playing | Stage::Ended => Ok(()),
            Stage::Ending if waited => {
                self.stage = Stage::Ended;
                Ok(())
            }
            _ if waited => Err(self.step_timeout().into()),
            _ => Ok(()),
        }
    }

    /// What came of a description is all that will come. What is in the driver's buffer is to be received once more.
    pub(super) fn nothing_more_comes(&mut self, now: Instant) -> Result<(), Stop> {
        self.framing.give_up_waiting();
        if self.framing.is_open() && self.unread == 0 {
            return self.receive(&mut BytesMut::new(), now).map(|_| ());
        }
        Ok(())
    }

    /// What is to be written to the connection.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.exchange.out()
    }

    /// The datagrams to send: from which track's port, and where to.
    pub(super) fn datagrams(&mut self) -> &mut VecDeque<(TrackId, Port, SocketAddr, Vec<u8>)> {
        &mut self.datagrams
    }

    /// The groups to join before packets come, by track.
    pub(super) fn groups(&self) -> impl Iterator<Item = (TrackId, Group)> {
        self.lanes.iter().filter_map(|lane| match &lane.path {
            Path::Udp(remote) => Some((lane.track, remote.group()?)),
            Path::Tcp(_) => None,
        })
    }

    /// What came of it all.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The step of the handshake, for words.
    pub(super) fn step(&self) -> Step {
        match self.stage {
            Stage::Describing | Stage::Described => Step::Describe,
            Stage::SettingUp => Step::Setup,
            Stage::Starting => Step::Play,
            Stage::Playing | Stage::Ending | Stage::Ended => Step::Playing,
        }
    }

    /// How many packets and bytes made no sense, for logs: packets, bytes.
    pub(super) fn left_out(&self) -> (u64, u64) {
        (self.strays + self.lanes.iter().map(Lane::left_out).sum::<u64>(), self.framing.skipped())
    }

    fn step_timeout(&self) -> Error {
        let mut error = Error::step_timeout(self.step(), self.options.step);
        let bytes = self.framing.skipped() + self.unread as u64;
        if bytes > 0 {
            error.message += &format!("; {bytes} bytes came that are no answer");
        }
        error
    }

    fn clock(&mut self, now: Instant) -> Clock {
        let started = *self.started.get_or_insert(now);
        Clock { now, since_start: now.saturating_duration_since(started) }
    }

    /// Bounds of what waits: together the tracks hold at most half of what a camera may cost us.
    fn bounds(&self) -> Bounds {
        Bounds {
            window: self.options.reorder,
            packets: REORDER_PACKETS,
            bytes: REORDER_BYTES / self.offers.len().max(1),
        }
    }

    /// Writes the request of a step. `rejected` counts the forms of it that came back with 401.
    fn send(&mut self, ask: Ask, rejected: u8, now: Instant) {
        let (method, uri) = match ask {
            Ask::Options => (Method::Options, self.uri.clone()),
            Ask::Describe { .. } => (Method::Describe, self.uri.clone()),
            Ask::Setup { lane, uri, .. } => (Method::Setup, self.track_uri(lane, uri)),
            Ask::Play { uri, .. } => (Method::Play, self.play_uri(uri)),
            // Without a session there is none to be refreshed, and nothing else that any camera takes.
            Ask::KeepAlive if self.stage == Stage::Described => {
                self.keep_alive.take(now);
                (Method::Options, self.uri.clone())
            }
            Ask::KeepAlive => (self.keep_alive.take(now), self.play_uri(0)),
            Ask::Teardown => (Method::Teardown, self.play_uri(0)),
        };
        let mut request = Request::new(method, uri);
        request = match ask {
            Ask::Describe { accept: true } => request.header("Accept", "application/sdp"),
            Ask::Setup { lane, spelt_out, .. } => {
                request.header("Transport", self.transport(lane, spelt_out))
            }
            Ask::Play { range: true, .. } => request.header("Range", "npt=0.000-"),
            _ => request,
        };
        if let Some(session) = &self.session {
            request = request.header("Session", session);
        }
        self.options.notes.say(|| Note::Asked { method: request.method.clone() });
        let mut signature = None;
        if let Some((authorization, signed)) = self.login.sign(request.method.as_str(), &request.uri) {
            request = request.header("Authorization", authorization);
            signature = Some(signed);
        }
        let request = request.header("User-Agent", USER_AGENT);
        self.exchange.send(ask, request, signature, rejected, now);
    }

    /// Answers what the camera asks: some look whether the client lives (C01).
    fn request(&mut self, request: &Request) {
        let status = match request.method {
            Method::Options
            | Method::GetParameter
            | Method::SetParameter
            | Method::Announce
            | Method::Redirect
            | Method::Teardown => Status::OK,
            _ => Status::NOT_IMPLEMENTED,
        };
        tracing::debug!(method = %request.method, "the camera asks something");
        let mut response = Response::new(status);
        if let Ok(cseq) = request.cseq() {
            response = response.header("CSeq", cseq);
        }
        if request.method == Method::Options {
            response = response.header("Public", "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE");
        }
        if let Some(session) = request.headers.get("Session") {
            response = response.header("Session", session);
        }
        self.exchange.answer(&response);
    }
}

/// A description whose length is missing or wrong is whole when nothing came for so long.
const BODY_PATIENCE: Duration = Duration::from_millis(1500);

/// Packets of one track that wait for the ones before them.
const REORDER_PACKETS: usize = 512;

/// Bytes of all tracks that wait.
const REORDER_BYTES: usize = 384 << 10;

/// Some cameras answer 401 to a client without a name (go2rtc issue 235).
const USER_AGENT: &str = concat!("fanlight/", env!("CARGO_PKG_VERSION"));
