//! The way back of a stream: from the one viewer that talks to the camera.
//!
//! What the camera offers comes from its source ([`BackChannel::offer`]); a viewer takes the [`Floor`], and gives it back
//! by dropping it. Its packets wait in a short lane for the session that is published: whatever session that is, so that
//! a viewer goes on talking when the camera reconnects.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::viewer::Viewer;
use crate::metrics::StreamMetrics;
use crate::sdp::Track;
use crate::vocabulary::{Disconnect, TrackId};

/// The back channel of a stream that has one configured.
#[derive(Debug)]
pub struct BackChannel {
    /// Locked when somebody begins or ends, when a session begins, and by whoever looks; never for a packet.
    state: Mutex<State>,
    lane: mpsc::Sender<Bytes>,
    metrics: Arc<StreamMetrics>,
}

#[derive(Debug, Default)]
struct State {
    offered: Option<Track>,
    holder: Option<Talker>,
    turns: u64,
}

/// Who talks.
#[derive(Clone, Debug)]
pub struct Talker {
    /// Its RTSP session, which may take the floor again. Not for others to see.
    session: String,
    turn: u64,
    /// How often that session holds the floor: twice while it sets its track up again.
    floors: u32,
    /// Where it talks from.
    pub peer: IpAddr,
    /// Since when it has the floor.
    pub since: Instant,
    /// The viewer it is, once it plays.
    pub viewer: Option<Arc<Viewer>>,
    track: Track,
    packets: Arc<AtomicU64>,
}

impl Talker {
    /// RTP packets of it that were passed on.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }
}

impl BackChannel {
    /// A back channel that no camera offers yet, and the end at which its source listens.
    pub(super) fn new(metrics: Arc<StreamMetrics>) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (lane, packets) = mpsc::channel(LANE);
        (Arc::new(Self { state: Mutex::default(), lane, metrics }), packets)
    }

    /// The camera's track, if its last session had one.
    pub fn offered(&self) -> Option<Track> {
        self.lock().offered.clone()
    }

    /// Who talks, if anybody does.
    pub fn talker(&self) -> Option<Talker> {
        self.lock().holder.clone()
    }

    /// A session of the camera begins, which listens to this track or to nothing. Who talks goes on, unless that is said
    /// in another encoding from now on: it has to ask again.
    pub(super) fn offer(&self, track: Option<Track>) {
        let mut state = self.lock();
        // Under one number, whatever it is called at the camera; and one channel is what is meant where none is named.
        let plain = |track: Track| Track {
            id: TrackId(0),
            channels: track.channels.filter(|channels| *channels != 1),
            ..track
        };
        let Some(track) = track.map(plain) else {
            state.offered = None;
            return;
        };
        if let Some(viewer) = state
            .holder
            .as_ref()
            .filter(|talker| !talker.track.is_same(&track))
            .and_then(|talker| talker.viewer.as_ref())
        {
            viewer.kick(Disconnect::StreamChanged);
        }
        state.offered = Some(track);
    }

    /// Takes the floor for an RTSP session; `None` while another one has it, or the camera does not listen.
    pub fn take(self: &Arc<Self>, session: &str, peer: IpAddr) -> Option<Floor> {
        let mut state = self.lock();
        let track = state.offered.clone()?;
        let payload_type = track.payload_type;
        if let Some(holder) = &mut state.holder {
            if holder.session != session {
                return None;
            }
            holder.floors += 1;
            holder.track = track;
            let (turn, packets) = (holder.turn, Arc::clone(&holder.packets));
            return Some(Floor { channel: Arc::clone(self), turn, payload_type, packets });
        }
        state.turns += 1;
        let (turn, packets) = (state.turns, Arc::<AtomicU64>::default());
        state.holder = Some(Talker {
            session: session.to_owned(),
            turn,
            floors: 1,
            peer,
            since: Instant::now(),
            viewer: None,
            track,
            packets: Arc::clone(&packets),
        });
        self.metrics.backchannel_talkers.set(1);
        Some(Floor { channel: Arc::clone(self), turn, payload_type, packets })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to talk, by being held.
#[derive(Debug)]
pub struct Floor {
    channel: Arc<BackChannel>,
    turn: u64,
    /// The one that the viewer was told.
    payload_type: u8,
    packets: Arc<AtomicU64>,
}

impl Floor {
    /// The one who talks is this viewer.
    pub fn plays(&self, viewer: &Arc<Viewer>) {
        let mut state = self.channel.lock();
        if let Some(holder) = state.holder.as_mut().filter(|holder| holder.turn == self.turn) {
            holder.viewer = Some(Arc::clone(viewer));
        }
    }

    /// Passes an RTP packet on to the camera. It is left out when the camera does not take them as fast as they come,
    /// and when its payload type says that it is something else than what the camera understands: one of the static ones
    /// ([RFC 3551 section 6](https://datatracker.ietf.org/doc/html/rfc3551#section-6)) that is not the track's.
    pub fn say(&self, packet: &[u8]) {
        let Some(payload_type) = packet.get(1).map(|byte| byte & 0x7F) else { return };
        let known = payload_type == self.payload_type || payload_type >= DYNAMIC;
        if known
            && packet.len() <= PACKET_MAX
            && let Ok(place) = self.channel.lane.try_reserve()
        {
            place.send(Bytes::copy_from_slice(packet));
            self.packets.fetch_add(1, Ordering::Relaxed);
        } else {
            self.channel.metrics.backchannel_dropped.inc();
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let mut state = self.channel.lock();
        let Some(holder) = state.holder.as_mut().filter(|holder| holder.turn == self.turn) else { return };
        holder.floors -= 1;
        if holder.floors == 0 {
            state.holder = None;
            self.channel.metrics.backchannel_talkers.set(0);
        }
    }
}

/// Packets that wait for the camera's session: over a second of the usual 20 ms. More is older than anybody wants to hear.
const LANE: usize = 64;

/// The longest packet: 20 ms of 16 bits, 48 kHz and two channels are 3840 bytes. A full lane has 256 KiB.
const PACKET_MAX: usize = 4096;

/// The first dynamic payload type.
const DYNAMIC: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Viewing;
    use crate::hub::{Hub, Publisher};
    use crate::metrics::Metrics;
    use crate::sdp::parse;
    use crate::vocabulary::Transport;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn track(format: &str) -> Option<Track> {
        parse(format!("m=audio 0 RTP/AVP {format}\na=sendonly").as_bytes()).unwrap().back_channel()
    }

    fn stream() -> (Publisher, Arc<BackChannel>) {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let publisher = hub.add_with("door", Viewing { back_channel: true, ..Viewing::default() });
        let channel = Arc::clone(publisher.stream().back_channel().unwrap());
        channel.offer(track("0"));
        (publisher, channel)
    }

    #[test]
    fn one_talks_at_a_time_and_the_next_one_after_it() {
        let (_publisher, channel) = stream();
        let floor = channel.take("one", HERE).unwrap();
        assert!(channel.take("two", HERE).is_none());
        let again = channel.take("one", HERE).expect("a session may set its track up again");
        drop(again);
        assert!(channel.take("two", HERE).is_none(), "that was refused: it goes on with what it has");
        let again = channel.take("one", HERE).unwrap();
        drop(floor);
        assert!(channel.take("two", HERE).is_none(), "what was replaced gives nothing back");
        drop(again);
        assert!(channel.talker().is_none());
        assert!(channel.take("two", HERE).is_some());
    }

    #[test]
    fn nobody_talks_to_a_camera_that_does_not_listen() {
        let (_publisher, channel) = stream();
        channel.offer(None);
        assert!(channel.offered().is_none() && channel.take("one", HERE).is_none());
        let hub = Hub::new(Arc::new(Metrics::new()));
        assert!(hub.add("door").stream().back_channel().is_none(), "not configured");
    }

    #[test]
    fn the_lane_is_bounded_and_takes_no_other_codec() {
        let (publisher, channel) = stream();
        let floor = channel.take("one", HERE).unwrap();
        let metrics = Arc::clone(publisher.stream().metrics());
        floor.say(&[0x80, 8, 0, 0]); // PCMA
        floor.say(&[0x80]);
        floor.say(&[0; PACKET_MAX + 1]);
        assert_eq!(metrics.backchannel_dropped.get(), 2);
        for _ in 0..LANE + 5 {
            floor.say(&[0x80, 0x80 | 97, 0, 0]);
        }
        assert_eq!(metrics.backchannel_dropped.get(), 7);
        assert_eq!(channel.talker().unwrap().packets(), LANE as u64);
    }

    #[test]
    fn who_talks_goes_on_through_a_reconnect_and_asks_again_when_the_encoding_changes() {
        let (publisher, channel) = stream();
        let seat = publisher.stream().join(HERE, Transport::Tcp, None);
        let floor = channel.take("one", HERE).unwrap();
        floor.plays(seat.viewer());
        channel.offer(None);
        channel.offer(track("97\na=rtpmap:97 PCMU/8000"));
        assert!(futures_util::FutureExt::now_or_never(seat.viewer().kicked()).is_none());
        channel.offer(track("8"));
        let why = futures_util::FutureExt::now_or_never(seat.viewer().kicked());
        assert_eq!(why, Some(Disconnect::StreamChanged));
    }
}
