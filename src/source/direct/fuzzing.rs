//! A conversation with a camera that sends anything at all, for fuzzing: the core of the client has no other way in.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::dialogue::{Dialogue, Options, Stage};
use super::lane::Offer;
use super::notes::Notes;
use crate::config::{Credentials, Quirks};
use crate::rtsp::transport::{Channels, PortPair};
use crate::sdp::Selection;
use crate::vocabulary::Secret;

/// Speaks with a camera that sends these bytes, in pieces, from DESCRIBE to TEARDOWN. Panics when it holds more of them
/// than it may.
pub fn converse(bytes: &[u8]) {
    let credentials = Credentials { username: "ann".into(), password: Secret::new("hunter2") };
    let quirks = Quirks::built_in();
    let options = Options {
        step: Duration::from_secs(10),
        reorder: Duration::from_millis(50),
        tracks: Selection::default(),
        quirks,
        ask_options: false,
        notes: Notes::default(),
        seed: 7,
    };
    let mut now = Instant::now();
    let mut dialogue = Dialogue::new("rtsp://10.0.0.7/live", Some(credentials), options);
    dialogue.describe(now);
    let mut buf = BytesMut::new();
    let udp = bytes.len() % 2 == 1;
    for piece in bytes.chunks(1 + bytes.len() % 977) {
        buf.extend_from_slice(piece);
        now += Duration::from_millis(40);
        while let Ok(more) = dialogue.receive(&mut buf, now) {
            assert!(buf.len() <= ITEM_MAX, "{} bytes wait", buf.len());
            assert!(dialogue.out().len() <= OUT_MAX, "{} bytes to write", dialogue.out().len());
            dialogue.out().clear();
            while dialogue.next_event().is_some() {}
            if dialogue.stage() == Stage::Described {
                let offer = |track| match udp {
                    true => Offer::Udp(PortPair { rtp: 5000, rtcp: 5001 }),
                    false => Offer::Tcp(Channels::nth(track).expect("at most 32 tracks are described")),
                };
                let offers = (0..dialogue.description().tracks.len()).map(offer).collect();
                if dialogue.play(offers, Ipv4Addr::LOCALHOST.into(), now).is_err() {
                    return;
                }
            }
            if !more {
                break;
            }
        }
        if dialogue.due().is_some_and(|due| due <= now) && dialogue.tick(now).is_err() {
            return;
        }
    }
    for _ in 0..8 {
        let Some(due) = dialogue.due() else { break };
        if dialogue.tick(due).is_err() || dialogue.receive(&mut buf, due).is_err() {
            return;
        }
    }
    dialogue.tear_down(now);
}

/// A frame, or a message of 16 KiB and 64 KiB, and what one piece brings behind it.
const ITEM_MAX: usize = (80 << 10) + 1024;

/// What answers and reports may add up to, and one request.
const OUT_MAX: usize = 64 << 10;
