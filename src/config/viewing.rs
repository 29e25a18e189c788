//! How a stream is given to its viewers.

use std::time::Duration;

use super::draft::Draft;
use super::multicast::{self, Group};
use super::reader::{Key, Value};

/// How a stream is given to its viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewing {
    /// What a viewer gets right after PLAY.
    pub fast_start: FastStart,
    /// What becomes of a viewer that is too slow.
    pub slow_viewer: SlowViewer,
    /// How old a packet may be when it is handed to a viewer's socket.
    pub max_lag: Duration,
    /// Most bytes that the pictures since the newest key frame may take.
    pub gop_cache_size: usize,
    /// How far back they may reach.
    pub gop_cache_age: Duration,
    /// One viewer at a time may talk to the camera (ONVIF streaming specification, section 5.3).
    pub back_channel: bool,
    /// Whether viewers may have it by multicast, and where.
    pub multicast: Group,
    /// Most bytes that the incident recorder keeps of packets; 0 = it is off.
    pub capture_size: usize,
    /// How far back it reaches.
    pub capture_age: Duration,
}

/// What a viewer gets right after PLAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastStart {
    /// The pictures since the newest key frame, to be decoded in no time: the viewer is at the live edge at once.
    LiveEdge,
    /// The same with their own timestamps, and the sound with them: the viewer stays as far behind as they reach back.
    Cached,
    /// Nothing: the viewer waits for the next key frame.
    Off,
}

impl FastStart {
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("live_edge", Self::LiveEdge), ("cached", Self::Cached), ("off", Self::Off)];
}

/// What becomes of a viewer that is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowViewer {
    /// It goes on at a newer key frame.
    Skip,
    /// It is disconnected.
    Disconnect,
}

impl SlowViewer {
    pub(crate) const WORDS: [(&str, Self); 2] = [("skip", Self::Skip), ("disconnect", Self::Disconnect)];
}

impl Default for Viewing {
    fn default() -> Self {
        Self {
            fast_start: FastStart::LiveEdge,
            slow_viewer: SlowViewer::Skip,
            max_lag: Duration::from_secs(2),
            gop_cache_size: 8 << 20,
            // Cameras with "smart" codecs go up to 12 s or so between key frames.
            gop_cache_age: Duration::from_secs(20),
            // Some doorbells stop working while their loudspeaker is in use (go2rtc#95, #830).
            back_channel: false,
            multicast: Group::None,
            // At 4 Mbit/s, half a minute.
            capture_size: 512 << 10,
            capture_age: Duration::from_secs(60),
        }
    }
}

/// A limit below this takes the jitter of a wireless viewer for slowness.
const MAX_LAG: Duration = Duration::from_millis(200);

/// Keys of every stream about its viewers.
pub(super) const VIEWING_KEYS: &[Key<Draft>] = &[
    Key {
        name: "fast_start",
        read: |d, v| v.read(&mut d.viewing().fast_start, |v| v.word(&FastStart::WORDS)),
    },
    Key {
        name: "slow_viewer",
        read: |d, v| v.read(&mut d.viewing().slow_viewer, |v| v.word(&SlowViewer::WORDS)),
    },
    Key { name: "max_lag", read: |d, v| v.read(&mut d.viewing().max_lag, |v| v.duration(MAX_LAG)) },
    Key {
        name: "gop_cache_size",
        read: |d, v| {
            v.read(&mut d.viewing().gop_cache_size, |v| v.size(0..=1 << 30).and_then(|n| n.try_into().ok()))
        },
    },
    Key {
        name: "gop_cache_age",
        read: |d, v| v.read(&mut d.viewing().gop_cache_age, |v: &Value<'_>| v.duration(Duration::ZERO)),
    },
    Key { name: "multicast", read: |d, v| v.read(&mut d.viewing().multicast, multicast::group) },
    Key {
        name: "capture_size",
        read: |d, v| {
            v.read(&mut d.viewing().capture_size, |v| v.size(0..=64 << 20).and_then(|n| n.try_into().ok()))
        },
    },
    Key {
        name: "capture_age",
        read: |d, v| v.read(&mut d.viewing().capture_age, |v: &Value<'_>| v.duration(Duration::from_secs(1))),
    },
];
