//! What a SETUP comes to: the track that it means, the transport among those that it offers, and the channels that the
//! track gets.

use super::connection::Connection;
use super::mount::Mount;
use super::player::Carrier;
use super::refusals::TEXT;
use super::requests::Found;
use super::talk::Wanted;
use crate::config::Group;
use crate::rtsp::transport::{self, Channels, Offer};
use crate::rtsp::{Request, Response, Status, TrackControl, Uri};
use crate::sdp::{Description, Track};
use crate::vocabulary::{TrackId, Transport};

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

impl Connection {
    /// The first alternative of the `Transport` header that can be served here.
    ///
    /// # Errors
    /// 461: there is none; with words that say why, as far as that is not plain.
    pub(super) fn choose(
        &self,
        request: &Request,
        found: Option<&Found>,
        mount: &Mount,
        part: &Wanted,
    ) -> Result<Offer, Response> {
        let talks = matches!(part, Wanted::Talk(_));
        let specs = request.headers.get_all("Transport").flat_map(transport::parse).map(|spec| {
            // Who talks may say that it records.
            let mode = if talks { transport::Mode::Play } else { spec.mode };
            transport::TransportSpec { mode, ..spec }
        });
        let offers: Vec<Offer> = specs.filter_map(|spec| spec.offer()).collect();
        // Who asks over TLS does not want its media in the clear, and who comes through a tunnel cannot be reached otherwise.
        let in_clear = self.outbox.transport() == Transport::Tcp && self.tunnel.is_none();
        let is_sent = matches!(mount, Mount::Live(stream) if stream.viewing().multicast != Group::None);
        let chosen = offers.iter().copied().find(|offer| match (offer, found) {
            // What one says is for one.
            (Offer::Multicast, _) if talks => false,
            (Offer::Tcp(_), None | Some(Found::Here(_))) => true,
            (Offer::Udp(_) | Offer::Multicast, Some(Found::Udp(handle))) => {
                in_clear && handle.transport() == offer.transport()
            }
            (Offer::Udp(_), None) => in_clear && self.shared.udp.is_some(),
            (Offer::Multicast, None) => in_clear && is_sent,
            (Offer::Tcp(_), Some(Found::Udp(_)))
            | (Offer::Udp(_) | Offer::Multicast, Some(Found::Here(_))) => false,
        });
        let multicast = offers.contains(&Offer::Multicast);
        let name = mount.stream().name();
        chosen.ok_or_else(|| {
            let refused = Response::new(Status::UNSUPPORTED_TRANSPORT);
            let words = match (multicast, in_clear, is_sent, found) {
                _ if talks => {
                    format!("what is said to {name} goes over UDP or TCP, by the one that its session has\n")
                }
                (true, false, ..) => format!(
                    "{name} is not sent by multicast to who came over TLS or through a tunnel: anybody could hear it\n"
                ),
                (true, true, false, _) => format!(
                    "{name} is not sent by multicast (its key `multicast` is not set): ask for UDP or TCP\n"
                ),
                (true, true, true, Some(_)) => "a session has one transport for all its tracks\n".to_owned(),
                _ => return refused,
            };
            refused.body(TEXT, words)
        })
    }

    /// The channels that a track gets, `again` being those it has.
    ///
    /// # Errors
    /// 461 when all are taken.
    pub(super) fn free_channels(
        &self,
        wanted: Option<Channels>,
        again: Option<Carrier>,
    ) -> Result<Channels, Status> {
        let taken: Vec<Channels> = self
            .sessions
            .iter()
            .flat_map(|here| here.session().carriers().collect::<Vec<_>>())
            .filter(|carrier| Some(*carrier) != again)
            .filter_map(|carrier| match carrier {
                Carrier::Channels { rtp, rtcp } => Some(Channels { rtp, rtcp }),
                Carrier::Ports { .. } => None,
            })
            .collect();
        let free = |channels: &Channels| !taken.iter().any(|taken| taken.overlaps(*channels));
        // Channels that another track has are given up for free ones; all players use what the answer says.
        wanted
            .filter(free)
            .or_else(|| (0..128).filter_map(Channels::nth).find(free))
            .ok_or(Status::UNSUPPORTED_TRANSPORT)
    }
}
