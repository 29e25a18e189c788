//! Where a viewer behind a NAT really is: its packets come from other ports than it named in SETUP.
//!
//! Players open the way through a NAT with a packet or two from each of their ports: ffmpeg sends an empty RTP packet and
//! an empty receiver report, live555 (and VLC with it) four bytes, GStreamer a few more. All viewers share the server's
//! pair of ports, so what such a packet opens has to be found out: it counts only from the session's own address, only
//! shortly after SETUP, only once for each port, and never when a packet has come from a port that SETUP named, since
//! then there is no translator. The tracks are taken in order, as players open them in order.

use std::time::{Duration, Instant};

use crate::vocabulary::TrackId;

/// Which of the server's two ports a datagram came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Port {
    Rtp,
    Rtcp,
}

/// What one session has learned of its viewer's ports.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    /// A packet came from a port that was named.
    as_named: bool,
    moved: Vec<(TrackId, Port)>,
}

impl Whereabouts {
    /// A packet came from an address that is known. `true` when that settles the matter: it is one that SETUP named.
    pub(super) fn heard(&mut self) -> bool {
        let settles = self.moved.is_empty() && !self.as_named;
        self.as_named |= settles;
        settles
    }

    /// Which of `tracks` a packet from an unknown port of the viewer's address opens, if any.
    pub(super) fn opens(&self, port: Port, mut tracks: impl Iterator<Item = TrackId>) -> Option<TrackId> {
        if self.as_named {
            return None;
        }
        tracks.find(|track| !self.moved.contains(&(*track, port)))
    }

    /// A track's port was found; it does not move again.
    pub(super) fn moved(&mut self, track: TrackId, port: Port) {
        self.moved.push((track, port));
    }

    /// The track is set up anew: what was learned of its ports is void.
    pub(super) fn set_up(&mut self, track: TrackId) {
        self.moved.retain(|(moved, _)| *moved != track);
    }
}

/// Whether a datagram may be one that a player opens a NAT with: version 2 of RTP and RTCP, or a few bytes of anything.
/// A goodbye opens nothing: it is the last word of a session that was.
pub(super) fn may_open(datagram: &[u8]) -> bool {
    match datagram {
        [_, 203, ..] => false,
        [first, ..] if first >> 6 == 2 => true,
        short => short.len() <= SHORT,
    }
}

/// The session that a packet from an unknown port belongs to, of those at its address that still learn, each with the
/// time of its last SETUP: the only one, or the only one that was set up just now. Where several may be meant, none is.
pub(super) fn meant(open: &[Instant], now: Instant) -> Option<usize> {
    let age = |at: &Instant| now.saturating_duration_since(*at);
    let only = |limit: Duration| {
        let mut fits = open.iter().enumerate().filter(|(_, at)| age(at) <= limit);
        fits.next().filter(|_| fits.next().is_none()).map(|(index, _)| index)
    };
    only(JUST_NOW).or_else(|| only(LEARNING))
}

/// For how long after a SETUP a viewer's ports may be learned.
pub(super) const LEARNING: Duration = Duration::from_secs(30);

/// Players open their ports right after SETUP or PLAY.
const JUST_NOW: Duration = Duration::from_secs(2);

/// GStreamer's opening packet is the longest of those that look like nothing.
const SHORT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACKS: [TrackId; 2] = [TrackId(0), TrackId(1)];

    #[test]
    fn ports_are_taken_in_the_order_of_the_tracks_and_each_once() {
        let mut known = Whereabouts::default();
        for (port, track) in [(Port::Rtp, 0), (Port::Rtcp, 0), (Port::Rtp, 1), (Port::Rtcp, 1)] {
            assert_eq!(known.opens(port, TRACKS.into_iter()), Some(TrackId(track)));
            known.moved(TrackId(track), port);
        }
        assert_eq!(known.opens(Port::Rtp, TRACKS.into_iter()), None);
        assert!(!known.heard(), "from a port that was learned");
        known.set_up(TrackId(1));
        assert_eq!(known.opens(Port::Rtp, TRACKS.into_iter()), Some(TrackId(1)));
    }

    #[test]
    fn a_viewer_heard_from_where_it_said_moves_nowhere() {
        let mut known = Whereabouts::default();
        assert!(known.heard() && !known.heard());
        assert_eq!(known.opens(Port::Rtp, TRACKS.into_iter()), None);
    }

    #[test]
    fn what_players_open_a_nat_with_is_recognised() {
        let ffmpeg_rtcp = [0x80, 201, 0, 1, 0, 0, 0, 0];
        for opening in [&[0x80; 12][..], &ffmpeg_rtcp, &[0xfe, 0xed, 0xfa, 0xce], &[]] {
            assert!(may_open(opening), "{opening:?}");
        }
        assert!(!may_open(&[0x16; 60]), "something else found the port");
        assert!(!may_open(&[0x81, 203, 0, 1, 0, 0, 0, 0]), "BYE");
    }

    #[test]
    fn of_several_sessions_only_one_that_was_just_set_up_can_be_meant() {
        let now = Instant::now() + Duration::from_secs(100);
        let ago = |seconds| now - Duration::from_secs(seconds);
        assert_eq!(meant(&[], now), None);
        assert_eq!(meant(&[ago(20)], now), Some(0));
        assert_eq!(meant(&[ago(31)], now), None);
        assert_eq!(meant(&[ago(20), ago(1)], now), Some(1));
        assert_eq!(meant(&[ago(20), ago(10)], now), None);
        assert_eq!(meant(&[ago(1), ago(1)], now), None);
    }
}
