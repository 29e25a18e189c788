//! The hub as its two sides see it: a source that publishes, viewers that follow.

mod coalescing;
mod epochs;
mod packets;
mod state;
mod viewers;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::{
    Burst, Care, Delivery, Described, Hub, Packet, Publisher, Record, Seat, Stream, Subscription, Tally,
};
use crate::metrics::Metrics;
use crate::rtp::{Header, WallTime};
use crate::sdp::{self, Description};
use crate::vocabulary::{Disconnect, FailureClass, Phase, Skip, TrackId, Transport};

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

/// The payloads of small NAL units: parameter sets of a real camera, a key picture, another one.
const SPS: &[u8] = &[0x67, 0x4d, 0x00, 0x2a, 0x9d, 0xa8, 0x1e, 0x00, 0x89, 0xf9, 0x66, 0xe0];
const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0x80];
const KEY: &[u8] = &[0x65, 0x88, 0x80];
const INTER: &[u8] = &[0x41, 0x9a, 0x80];

const H264_AND_SOUND: &str = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=audio 0 RTP/AVP 0";
/// `sprop-parameter-sets` of one camera at two resolutions.
const MAIN_SETS: &str = "Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=,aO48gA==";
const OTHER_SETS: &str = "Z01AMpWgCoAwfiZuAgICgAAB9AAAdTBC,aO48gA==";

fn with_sets(sets: &str) -> String {
    format!(
        "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}"
    )
}

const H265: &str = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000";

fn description(media: &str) -> Description {
    let text = format!("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=x\nt=0 0\n{media}\n");
    Description::from_sdp(&sdp::parse(text.as_bytes()).unwrap())
}

/// A camera that numbers its packets, and the stream that it publishes to.
struct Source {
    hub: Hub,
    publisher: Publisher,
    started: Instant,
    ssrc: u32,
    sequence: u16,
    /// Of the video.
    payload_type: u8,
}

impl Source {
    /// Live, with H.264 and sound.
    fn live() -> Self {
        Self::live_with(H264_AND_SOUND)
    }

    fn live_with(media: &str) -> Self {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        publisher.connecting();
        publisher.begin(description(media));
        publisher.live(Some(Transport::Tcp));
        Self { hub, publisher, started: Instant::now(), ssrc: 7, sequence: 65_530, payload_type: 96 }
    }

    fn described(&self) -> Described {
        self.stream().status().borrow().described.clone().unwrap()
    }

    fn stream(&self) -> Arc<Stream> {
        Arc::clone(self.publisher.stream())
    }

    /// Publishes a packet of a frame that is due at `millis`, and arrives then, as a burst of its own.
    fn send(&mut self, track: TrackId, payload: &[u8], millis: u32) {
        self.gather(track, payload, millis);
        self.publisher.flush();
    }

    fn gather(&mut self, track: TrackId, payload: &[u8], millis: u32) {
        self.part(track, payload, millis, millis, true);
    }

    /// A packet of the frame that is due at `millis`, which arrives at `arrives`.
    fn part(&mut self, track: TrackId, payload: &[u8], millis: u32, arrives: u32, marker: bool) {
        let header = Header {
            marker,
            payload_type: if track == VIDEO { self.payload_type } else { 0 },
            sequence: self.sequence,
            timestamp: millis * if track == VIDEO { 90 } else { 8 },
            ssrc: self.ssrc + u32::from(track.0),
            payload: 12..12 + payload.len(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let packet = [&header.write()[..], payload].concat();
        let arrival = self.started + Duration::from_millis(arrives.into());
        self.publisher.packet(track, &packet, arrival).unwrap();
    }

    /// The session ends, and another one of these tracks begins.
    fn reconnect(&mut self, media: &str) {
        self.publisher.failed(FailureClass::Reset, "reset".into(), Duration::from_secs(1), String::new());
        self.publisher.connecting();
        self.publisher.begin(description(media));
        self.publisher.live(Some(Transport::Tcp));
        (self.ssrc, self.sequence) = (99, 1000);
    }

    fn metric(&self, series: &str) -> f64 {
        let page = self.hub.metrics().render().unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
    }
}

fn join(stream: &Stream) -> Seat {
    stream.join(IpAddr::V4(Ipv4Addr::LOCALHOST), Transport::Udp, Some("player".into()))
}

#[track_caller]
fn burst(subscription: &mut Subscription) -> Arc<Burst> {
    match subscription.try_next() {
        Some(Delivery::Burst(burst)) => burst,
        other => panic!("{other:?} in place of a burst"),
    }
}

#[track_caller]
fn packet(subscription: &mut Subscription) -> Packet {
    let burst = burst(subscription);
    assert_eq!(burst.packets().len(), 1);
    burst.packets()[0]
}
