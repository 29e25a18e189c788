//! Whole pictures of a JPEG stream, as somebody can take them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::codec::Codec;
use crate::hub::{Burst, Delivery, Described, Packet, Stream, Subscription};
use crate::jpeg::Assembler;
use crate::rtp::Header;
use crate::sdp::Track;
use crate::vocabulary::TrackId;

/// Follows a JPEG stream. Who takes the pictures slower than they come misses some, and gets the newest.
#[derive(Debug)]
pub(super) struct Pictures {
    stream: Arc<Stream>,
    /// Those of the cache, to begin with.
    ahead: VecDeque<Arc<Burst>>,
    bursts: Subscription,
    track: TrackId,
    generation: u32,
    assembler: Assembler,
    /// The last burst looked at.
    seen: u64,
}

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// A JPEG file.
    pub(super) jpeg: Bytes,
    /// When the burst that completes it arrived.
    pub(super) received: Instant,
    /// Pictures since the one before that were not taken.
    pub(super) missed: u64,
}

impl Pictures {
    /// Those of the first JPEG track; `None` where there is none.
    pub(super) fn follow(stream: &Arc<Stream>, described: &Described) -> Option<Self> {
        let track = jpeg_track(described)?;
        // In this order nothing is missed.
        let bursts = stream.subscribe();
        Some(Self {
            stream: Arc::clone(stream),
            ahead: stream.since_key_frame(),
            bursts,
            track: track.id,
            generation: described.generation,
            assembler: Assembler::new(track.dimensions()),
            seen: 0,
        })
    }

    /// The newest picture that has not been given before, once there is one; `None` when the stream ends, or has no pictures
    /// any more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Picture> {
        let mut newest = None;
        loop {
            let delivery = match self.ahead.pop_front() {
                Some(burst) => Delivery::Burst(burst),
                None => match self.bursts.try_next() {
                    Some(delivery) => delivery,
                    // All that is there has been looked at: only the last of it is of use.
                    None if newest.is_some() => return newest,
                    None => self.bursts.next().await,
                },
            };
            match delivery {
                Delivery::Burst(burst) => self.take(&burst, &mut newest)?,
                // The picture under way has a gap, which is seen when it goes on.
                Delivery::Lagged => {}
                Delivery::Closed => return newest,
            }
        }
    }

    /// Puts a burst's pictures in place of `newest`; `None` when it belongs to a description without any.
    fn take(&mut self, burst: &Burst, newest: &mut Option<Picture>) -> Option<()> {
        if burst.id() <= self.seen {
            return Some(());
        }
        self.seen = burst.id();
        if burst.generation() > self.generation {
            let status = self.stream.status();
            let status = status.borrow();
            let track = jpeg_track(status.described.as_ref()?)?;
            self.assembler = Assembler::new(track.dimensions());
            (self.track, self.generation) = (track.id, burst.generation());
        }
        for packet in burst.packets().iter().filter(|packet| packet.track == self.track) {
            let rtp = &burst.wire()[packet.framed()][Packet::FRAMING..];
            let Ok(header) = Header::parse(rtp) else { continue };
            // What cannot be put together is left out: the next one may be better.
            let Ok(Some(jpeg)) =
                self.assembler.push(header.timestamp, header.marker, &rtp[header.payload.clone()])
            else {
                continue;
            };
            let missed = newest.take().map_or(0, |before| before.missed + 1);
            *newest = Some(Picture { jpeg, received: burst.received(), missed });
        }
        Some(())
    }
}

fn jpeg_track(described: &Described) -> Option<&Track> {
    described.description.tracks.iter().find(|track| track.codec == Codec::Jpeg)
}
