//! What a session does when it is asked: PLAY, PAUSE, TEARDOWN, and the words of its answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Playing, Session, State};
use crate::rtsp::range::{NptTime, Range};
use crate::rtsp::rtp_info::{self, RtpInfo};
use crate::rtsp::transport::Grant;
use crate::rtsp::{Method, Request, Response, Status, TrackControl, Uri, session_id};
use crate::server::ahead::Ahead;
use crate::server::mount::{Feed, Mount};
use crate::server::playback::Playback;
use crate::vocabulary::{TrackId, Transport};

impl Session {
    /// Answers a request of this session other than SETUP. The second value says that the session has ended.
    pub(in crate::server) fn answer(&mut self, request: &Request, uri: Option<&Uri>) -> (Response, bool) {
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
    pub(in crate::server) fn play(
        &mut self,
        range: Option<Range>,
        scope: Option<TrackId>,
    ) -> Result<Response, Status> {
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
    pub(in crate::server) fn rtp_info(&self, now: Instant) -> String {
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
    pub(in crate::server) fn begin(
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
    pub(in crate::server) fn pause(&mut self, scope: Option<TrackId>) -> Result<Response, Status> {
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

    /// The answer to SETUP.
    pub(in crate::server) fn granted(&self, grant: Grant) -> Response {
        Response::new(Status::OK).header("Transport", grant).header("Session", self.header())
    }

    /// An error answer; 455 says what would be valid (RFC 2326 section 11.3.6).
    pub(in crate::server) fn refuse(&self, status: Status) -> Response {
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

    /// The `Session` header of answers.
    pub(in crate::server) fn header(&self) -> String {
        session_id::format(&self.id, self.advertised)
    }
}

/// The `Range` that PLAY asks for, if any.
fn range_of(request: &Request) -> Result<Option<Range>, Status> {
    let parse = |range| Range::parse(range).map_err(|_| Status::INVALID_RANGE);
    request.headers.get("Range").map(parse).transpose()
}
