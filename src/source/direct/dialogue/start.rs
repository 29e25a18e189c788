//! From the description to the first packet: DESCRIBE, SETUP, PLAY, each tried in every form cameras may want it in.

use std::time::Instant;

use super::{Dialogue, Stage, Stop};
use crate::rtsp::transport::{self, Channels, TransportSpec};
use crate::rtsp::{Response, Status};
use crate::sdp;
use crate::source::direct::control::Uris;
use crate::source::direct::exchange::Ask;
use crate::source::direct::lane::{Lane, Offer, Path, Remote};
use crate::source::error::Error;
use crate::source::tracks::wanted_tracks;
use crate::vocabulary::{FailureClass, TrackId};

impl Dialogue {
    pub(super) fn described(&mut self, response: &Response, accept: bool, now: Instant) -> Result<(), Stop> {
        if !response.status.is_success() {
            if self.does_without(response.status) {
                self.send(Ask::Describe { accept }, 0, now);
                return Ok(());
            }
            // An Amcrest answers 551 to what others understand (C22): once more, after OPTIONS and without `Accept`.
            if accept && !matches!(response.status.0, 403 | 404 | 453 | 503) {
                self.flags.options_first = false; // that was not it
                self.send(Ask::Options, 0, now);
                return Ok(());
            }
            return Err(self.refused(response.status).into());
        }
        let sdp = sdp::parse(&response.body)
            .map_err(|error| Error::new(FailureClass::Protocol, format!("the camera's SDP: {error}")))?;
        self.saw_description(&sdp);
        self.uris = Uris::new(&self.uri, &response.headers, sdp.control.as_deref());
        let mut description = wanted_tracks(&sdp, &self.options.tracks)?;
        let control = |id: TrackId| sdp.media.get(id.index()).and_then(|media| media.control());
        self.controls = description.tracks.iter().map(|track| control(track.id).map(str::to_owned)).collect();
        self.saw_back_channel(&sdp);
        for (track, id) in description.tracks.iter_mut().zip(0..) {
            track.id = TrackId(id);
        }
        self.description = description;
        self.framing.expect_description(false);
        self.stage = Stage::Described;
        Ok(())
    }

    /// Sets up the track with this number and those after it, or starts them all.
    pub(super) fn set_up(&mut self, track: usize, now: Instant) -> Result<(), Stop> {
        if track < self.set_ups().count() {
            let spelt_out = self.flags.rtp_avp_udp;
            self.send(Ask::Setup { lane: track, uri: 0, spelt_out }, 0, now);
            return Ok(());
        }
        if let (true, Some(error)) = (self.lanes.is_empty(), self.refused.take()) {
            return Err(error.into());
        }
        self.framing.expect_channels(self.routes.iter().map(|(channel, _)| *channel));
        self.stage = Stage::Starting;
        // GStreamer's ONVIF server takes a range for a seek, which a pipeline that also listens cannot do (503).
        let range = !self.flags.no_range && self.listens().is_none();
        self.send(Ask::Play { uri: 0, range }, 0, now);
        // The way for the packets is open before they come.
        self.punch();
        Ok(())
    }

    pub(super) fn was_set_up(
        &mut self,
        track: usize,
        uri: usize,
        spelt_out: bool,
        response: &Response,
        now: Instant,
    ) -> Result<(), Stop> {
        let status = response.status;
        if !status.is_success() {
            let spellings = self.track_uris(track).len();
            let other_uri = matches!(status.0, 400 | 404 | 405 | 451 | 454 | 455 | 459 | 460 | 500);
            if other_uri && uri + 1 < spellings {
                self.send(Ask::Setup { lane: track, uri: uri + 1, spelt_out }, 0, now);
                return Ok(());
            }
            // Some want `RTP/AVP`, some `RTP/AVP/UDP` (C44).
            if status == Status::UNSUPPORTED_TRANSPORT
                && spelt_out == self.flags.rtp_avp_udp
                && matches!(self.offers[track], Offer::Udp(_))
            {
                self.send(Ask::Setup { lane: track, uri, spelt_out: !spelt_out }, 0, now);
                return Ok(());
            }
            if self.is_back(track) {
                self.is_closed(status);
                return self.set_up(track + 1, now);
            }
            let error = self.refused(status);
            if !matches!(error.class, FailureClass::Status | FailureClass::NotFound) {
                return Err(error.into());
            }
            let described = &self.description.tracks[track];
            tracing::warn!(track = %described.id, kind = described.kind, %error, "the camera refuses a track");
            self.refused = Some(error);
            return self.set_up(track + 1, now);
        }
        self.adopt_session(&response.headers);
        let spec =
            response.headers.get("Transport").and_then(|value| transport::parse(value).into_iter().next());
        let Some(peer) = self.peer else { return Ok(()) };
        let path = match self.offers[track] {
            Offer::Tcp(asked) => Path::Tcp(self.channels(asked, spec.as_ref())),
            Offer::Udp(_) => {
                if spec.as_ref().is_some_and(|spec| spec.interleaved.is_some() && spec.client_port.is_none())
                {
                    if self.is_back(track) {
                        self.is_closed(Status::UNSUPPORTED_TRANSPORT);
                        return self.set_up(track + 1, now);
                    }
                    let words = "SETUP: UDP was asked for, and the camera grants TCP only";
                    return Err(Error::new(FailureClass::Status, words).into());
                }
                Path::Udp(Remote::new(peer, spec.as_ref()))
            }
            Offer::Multicast => Path::Udp(Remote::multicast(peer, spec.as_ref()).ok_or_else(|| {
                Error::new(FailureClass::Status, "SETUP: the camera grants no multicast group")
            })?),
        };
        if self.is_back(track) {
            self.opened(path);
            return self.set_up(track + 1, now);
        }
        let ssrc = (self.options.seed >> 16) as u32 ^ track as u32;
        if let Path::Tcp(channels) = path {
            for channel in [channels.rtp, channels.rtcp] {
                self.routes.push((channel, self.lanes.len()));
            }
        }
        let lane = Lane::new(&self.description.tracks[track], path, self.bounds(), ssrc);
        self.lanes.push(lane);
        self.set_up(track + 1, now)
    }

    pub(super) fn plays(
        &mut self,
        uri: usize,
        range: bool,
        response: &Response,
        now: Instant,
    ) -> Result<(), Stop> {
        let status = response.status;
        if !status.is_success() {
            if status == Status::OPTION_NOT_SUPPORTED && self.does_without(status) {
                self.send(Ask::Play { uri, range }, 0, now);
                return Ok(());
            }
            if range && matches!(status.0, 400 | 451 | 456 | 457 | 501) {
                self.send(Ask::Play { uri, range: false }, 0, now);
                return Ok(());
            }
            if status == Status::SESSION_NOT_FOUND
                && let Some(last) = self.last_session.take()
            {
                self.session = Some(last);
                self.send(Ask::Play { uri, range }, 0, now);
                return Ok(());
            }
            let other_uri = matches!(status.0, 400 | 404 | 405 | 454 | 455 | 459 | 460);
            if other_uri && uri + 1 < self.play_uris().len() {
                self.send(Ask::Play { uri: uri + 1, range }, 0, now);
                return Ok(());
            }
            return Err(self.refused(status).into());
        }
        self.adopt_session(&response.headers);
        // Signs of life and TEARDOWN go where the camera took PLAY.
        self.played += uri;
        self.begin(now);
        Ok(())
    }

    /// Media plays.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.stage == Stage::Starting {
            self.stage = Stage::Playing;
            self.keep_alive.start(now);
            self.reports_due = Some(now + super::media::REPORT_FIRST);
        }
    }

    /// The channels a track's packets will come on: those of the answer, where it names any that are free (C34 to C36).
    fn channels(&self, asked: Channels, spec: Option<&TransportSpec>) -> Channels {
        let back = self.back_channels();
        let taken = |channels: &Channels| {
            back.is_some_and(|back| channels.overlaps(back))
                || self.lanes.iter().any(|lane| match &lane.path {
                    Path::Tcp(other) => channels.overlaps(*other),
                    Path::Udp(_) => false,
                })
        };
        spec.and_then(|spec| spec.interleaved).filter(|channels| !taken(channels)).unwrap_or(asked)
    }

    pub(super) fn transport(&self, track: usize, spelt_out: bool) -> String {
        match self.offers.get(track) {
            Some(Offer::Udp(ports)) => {
                let profile = if spelt_out { "RTP/AVP/UDP" } else { "RTP/AVP" };
                format!("{profile};unicast;client_port={ports}")
            }
            Some(Offer::Tcp(channels)) => transport::Offer::Tcp(Some(*channels)).to_string(),
            Some(Offer::Multicast) => "RTP/AVP;multicast".to_owned(),
            None => String::new(),
        }
    }

    fn track_uris(&self, track: usize) -> Vec<String> {
        self.uris.track(self.controls.get(track).and_then(|control| control.as_deref()))
    }

    pub(super) fn track_uri(&self, track: usize, spelling: usize) -> String {
        self.track_uris(track).into_iter().nth(spelling).unwrap_or_else(|| self.uri.clone())
    }

    /// Where to PLAY: the whole, however it is spelt; with a single track, also that.
    fn play_uris(&self) -> Vec<String> {
        let mut uris = self.uris.aggregate();
        if let ([_], Some(uri)) = (&self.lanes[..], self.track_uris(0).into_iter().next())
            && !uris.contains(&uri)
        {
            uris.push(uri);
        }
        uris
    }

    pub(super) fn play_uri(&self, spelling: usize) -> String {
        let spelling = spelling + self.played;
        self.play_uris().into_iter().nth(spelling).unwrap_or_else(|| self.uri.clone())
    }
}
