//! One stream: where it comes from, and how it is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::camera_url::CameraUrl;
use super::node::Node;
use super::problems::Problems;
use super::reader::{Key, Reader, Value};
use super::viewing::{VIEWING_KEYS, Viewing};
use crate::vocabulary::Secret;

/// A stream as configured. Two equal values need no reconnect: that is how a reload leaves a stream alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Where the stream comes from.
    pub source: Source,
    /// Connect only while somebody watches.
    pub on_demand: bool,
    /// How long an on-demand stream stays connected after its last viewer.
    pub on_demand_close_after: Duration,
    /// How RTP comes from the camera.
    pub transport: UpstreamTransport,
    /// Time for each step towards a playing camera: TCP connect, DESCRIBE, each SETUP, PLAY.
    pub connect_timeout: Duration,
    /// How long a playing source may send no packet before it counts as failed.
    pub read_timeout: Duration,
    /// How long viewers are kept while the camera is away.
    pub outage_grace: Duration,
    /// Show viewers of a JPEG stream a picture that says so while the camera is away.
    pub no_signal: bool,
    /// Time without a frame before a track is suspect; `None`: learned from its rhythm.
    pub stall_timeout: Option<Duration>,
    /// Time without a key frame before a video track is suspect; `None`: learned from its groups of pictures.
    pub key_frame_timeout: Option<Duration>,
    /// Several attempts side by side.
    pub race: Race,
    /// How many of them, 2 to 5.
    pub race_attempts: u8,
    /// Between the start of one and the next.
    pub race_stagger: Duration,
    /// Keep a session on another source while one delivers.
    pub standby: bool,
    /// How pauses between attempts grow.
    pub retry: Retry,
    /// Shortest pause before a new attempt after a failure.
    pub retry_min: Duration,
    /// Longest pause between two attempts.
    pub retry_max: Duration,
    /// How it is given to its viewers.
    pub viewing: Viewing,
}

/// Where a stream comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Cameras in order of preference, at least one.
    Cameras(Vec<CameraUrl>),
    /// A file, played in a loop as if it were a camera.
    File {
        /// As written; relative to the working directory of the process.
        path: PathBuf,
        /// Frames a second, above 0.
        fps: f64,
        /// Largest RTP packet in bytes, headers included.
        packet_size: usize,
    },
}

/// How RTP comes from a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTransport {
    /// Whatever works: TCP or UDP, found out by trying.
    Auto,
    /// Interleaved in the RTSP connection.
    Tcp,
    /// UDP unicast.
    Udp,
}

impl UpstreamTransport {
    const WORDS: [(&str, Self); 3] = [("auto", Self::Auto), ("tcp", Self::Tcp), ("udp", Self::Udp)];

    /// The name used in the configuration, the API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// How pauses between attempts at a camera grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By what failed and what the camera did before.
    Auto,
    /// No pause.
    Immediate,
    /// Always `retry_min`.
    Fixed,
    /// `retry_min` longer with every failure, up to `retry_max`.
    Linear,
    /// Doubling from `retry_min` to `retry_max`.
    Exponential,
}

impl Retry {
    const WORDS: [(&str, Self); 5] = [
        ("auto", Self::Auto),
        ("immediate", Self::Immediate),
        ("fixed", Self::Fixed),
        ("linear", Self::Linear),
        ("exponential", Self::Exponential),
    ];
}

/// Whether several attempts at a camera go side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// Where the camera's history says that it helps.
    Auto,
    /// One at a time.
    Off,
    /// The first to deliver a key frame stays.
    FirstWins,
    /// The newest to deliver replaces the older ones.
    LastWins,
}

impl Race {
    const WORDS: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("off", Self::Off),
        ("first_wins", Self::FirstWins),
        ("last_wins", Self::LastWins),
    ];
}

/// Most attempts of a race: more would be what a camera takes for an attack.
const RACE_ATTEMPTS: u8 = 5;

/// A shorter wait for a frame than this takes a network's hiccup for a stall.
const STALL: Duration = Duration::from_millis(200);

/// Frame rate of a file that has none of its own.
const FPS: f64 = 24.0;

/// Fits an Ethernet frame with room for IPv6, UDP and a tunnel's headers.
const PACKET_SIZE: usize = 1400;

impl Stream {
    /// A stream with every setting at its default.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            on_demand: false,
            on_demand_close_after: Duration::from_secs(10),
            // Most cameras and nearly all networks do better over TCP: loss becomes delay instead of broken pictures.
            transport: UpstreamTransport::Tcp,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            outage_grace: Duration::from_secs(60),
            no_signal: false,
            stall_timeout: None,
            key_frame_timeout: None,
            race: Race::Auto,
            race_attempts: 2,
            race_stagger: Duration::from_millis(150),
            standby: false,
            retry: Retry::Auto,
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            viewing: Viewing::default(),
        }
    }

    /// Reads a stream as the body of an API request gives it: the same keys and the same short form as in the file.
    /// `${…}` is plain text here, since the sender must not see the environment of the process. Key paths are relative
    /// to the body.
    pub fn from_json(body: &serde_json::Value, defaults: &Defaults) -> Result<Self, Problems> {
        let node = Node::from_json(body)?;
        let reader = Reader::new(None);
        let stream = Self::read(&reader.root(&node), defaults);
        reader.finish(stream)
    }

    /// Reads a stream: its keys, or just a URL, or just a list of URLs.
    pub(super) fn read(value: &Value<'_>, defaults: &Defaults) -> Self {
        let mut draft = defaults.0.clone();
        if value.is_section() {
            draft.read(value);
            draft.check_source(value);
        } else {
            value.read(&mut draft.cameras, cameras);
        }
        draft.finish(value)
    }
}

/// The `defaults:` section: what streams have that do not say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults(Draft);

impl Default for Defaults {
    fn default() -> Self {
        Self(Draft {
            settings: Stream::new(Source::Cameras(Vec::new())),
            cameras: Vec::new(),
            file: PathBuf::new(),
            fps: FPS,
            packet_size: PACKET_SIZE,
            username: None,
            password: None,
        })
    }
}

impl Defaults {
    pub(super) fn read(value: &Value<'_>) -> Self {
        let mut defaults = Self::default();
        defaults.0.read(value);
        for key in [SOURCE, FILE] {
            if value.has(key) {
                value.problem_at(
                    key,
                    "belongs to a stream: a second stream of one camera would open it twice",
                );
            }
        }
        defaults
    }
}

/// A stream on its way: all keys, whatever the source turns out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    /// Everything but the source, which is put in last.
    settings: Stream,
    cameras: Vec<CameraUrl>,
    file: PathBuf,
    fps: f64,
    packet_size: usize,
    username: Option<String>,
    password: Option<Secret>,
}

const SOURCE: &str = "source";
const FILE: &str = "file";

/// A timeout below this fails on a busy network with nothing wrong.
const TIMEOUT: Duration = Duration::from_millis(100);

/// A retry below this is a busy loop.
const RETRY: Duration = Duration::from_millis(10);

/// Keys of every stream.
pub(super) const STREAM_KEYS: &[Key<Draft>] = &[
    Key { name: "on_demand", read: |d, v| v.read(&mut d.settings.on_demand, Value::flag) },
    Key {
        name: "on_demand_close_after",
        read: |d, v| v.read(&mut d.settings.on_demand_close_after, |v| v.duration(Duration::ZERO)),
    },
];

/// Keys of streams that come from a camera.
pub(super) const CAMERA_KEYS: &[Key<Draft>] = &[
    Key { name: SOURCE, read: |d, v| v.read(&mut d.cameras, cameras) },
    Key { name: "username", read: |d, v| v.read(&mut d.username, |v| v.text("a user name").map(Some)) },
    Key {
        name: "password",
        read: |d, v| v.read(&mut d.password, |v| v.text("a password").map(|text| Some(Secret::new(text)))),
    },
    Key {
        name: "transport",
        read: |d, v| v.read(&mut d.settings.transport, |v| v.word(&UpstreamTransport::WORDS)),
    },
    Key {
        name: "connect_timeout",
        read: |d, v| v.read(&mut d.settings.connect_timeout, |v| v.duration(TIMEOUT)),
    },
    Key { name: "read_timeout", read: |d, v| v.read(&mut d.settings.read_timeout, |v| v.duration(TIMEOUT)) },
    Key {
        name: "outage_grace",
        read: |d, v| v.read(&mut d.settings.outage_grace, |v| v.duration(Duration::ZERO)),
    },
    Key { name: "no_signal", read: |d, v| v.read(&mut d.settings.no_signal, Value::flag) },
    Key {
        name: "stall_timeout",
        read: |d, v| v.read(&mut d.settings.stall_timeout, |v| learned_or(v, STALL)),
    },
    Key {
        name: "key_frame_timeout",
        read: |d, v| v.read(&mut d.settings.key_frame_timeout, |v| learned_or(v, STALL)),
    },
    Key { name: "race", read: |d, v| v.read(&mut d.settings.race, |v| v.word(&Race::WORDS)) },
    Key {
        name: "race_attempts",
        read: |d, v| v.read(&mut d.settings.race_attempts, |v| v.number("a whole number", 2..=RACE_ATTEMPTS)),
    },
    Key {
        name: "race_stagger",
        read: |d, v| v.read(&mut d.settings.race_stagger, |v| v.duration(Duration::ZERO)),
    },
    Key { name: "standby", read: |d, v| v.read(&mut d.settings.standby, Value::flag) },
    Key { name: "retry", read: |d, v| v.read(&mut d.settings.retry, |v| v.word(&Retry::WORDS)) },
    Key { name: "retry_min", read: |d, v| v.read(&mut d.settings.retry_min, |v| v.duration(RETRY)) },
    Key { name: "retry_max", read: |d, v| v.read(&mut d.settings.retry_max, |v| v.duration(RETRY)) },
];

/// Keys of streams that come from a file.
pub(super) const FILE_KEYS: &[Key<Draft>] = &[
    Key { name: FILE, read: |d, v| v.read(&mut d.file, file) },
    Key { name: "fps", read: |d, v| v.read(&mut d.fps, |v| v.number("a number", 0.1..=240.0)) },
    Key {
        name: "packet_size",
        // Below 500 the headers of RFC 2435 outgrow the picture; above 65000 a packet fits no datagram.
        read: |d, v| v.read(&mut d.packet_size, |v| v.size(500..=65_000).and_then(|n| n.try_into().ok())),
    },
];

impl Draft {
    /// For the keys about viewers.
    pub(super) fn viewing(&mut self) -> &mut Viewing {
        &mut self.settings.viewing
    }

    fn read(&mut self, value: &Value<'_>) {
        value.read_section(&[CAMERA_KEYS, FILE_KEYS, STREAM_KEYS, VIEWING_KEYS], self);
        let (min, max) = (self.settings.retry_min, self.settings.retry_max);
        // Only where one of the two stands: a stream does not repeat the mistake of the defaults.
        if let Some(key) = ["retry_min", "retry_max"].into_iter().find(|key| value.has(key))
            && min > max
        {
            value.problem_at(key, format!("retry_min ({min:?}) is longer than retry_max ({max:?})"));
        }
    }

    /// One source, and no key that only the other kind of source understands.
    fn check_source(&self, value: &Value<'_>) {
        let misplaced = match (value.has(SOURCE), value.has(FILE)) {
            (true, true) => {
                return value.problem_at(FILE, "a stream has either `source` or `file`, not both");
            }
            (false, false) => return value.problem("needs a `source` (the URL of a camera) or a `file`"),
            (true, false) => FILE_KEYS,
            (false, true) => CAMERA_KEYS,
        };
        for key in misplaced.iter().filter(|key| value.has(key.name)) {
            let only = if value.has(FILE) { "a camera, and this stream plays a file" } else { "a file" };
            value.problem_at(key.name, format!("is only for streams that come from {only}"));
        }
    }

    fn finish(mut self, value: &Value<'_>) -> Stream {
        let source = if value.has(FILE) {
            Source::File { path: self.file, fps: self.fps, packet_size: self.packet_size }
        } else {
            for camera in &mut self.cameras {
                camera.override_credentials(self.username.as_ref(), self.password.as_ref());
            }
            Source::Cameras(self.cameras)
        };
        Stream { source, ..self.settings }
    }
}

/// `auto`, or a duration.
fn learned_or(value: &Value<'_>, least: Duration) -> Option<Option<Duration>> {
    match value.text("auto or a duration such as 2s")?.as_str() {
        "auto" => Some(None),
        _ => value.duration(least).map(Some),
    }
}

/// One URL or a list of them.
fn cameras(value: &Value<'_>) -> Option<Vec<CameraUrl>> {
    let items = value.items();
    if items.is_empty() {
        value.problem("expected at least one camera URL, found an empty list");
    }
    items.iter().map(camera).collect::<Vec<_>>().into_iter().collect()
}

fn camera(value: &Value<'_>) -> Option<CameraUrl> {
    let text = value.text_fitted("a camera's URL such as rtsp://10.0.0.7/main", fit_password)?;
    match text.parse() {
        Ok(url) => Some(url),
        Err(error) => {
            value.problem(format!("{error}, found {}", value.found()));
            None
        }
    }
}

/// `rtsp://user:${PASSWORD}@host`: what could end the password early (see [`CameraUrl`]) is escaped, so that any
/// password works. A `%` is left alone, since many people keep the password escaped already.
fn fit_password(before: &str, value: String, after: &str) -> String {
    if before.ends_with(':') && after.starts_with('@') {
        value.replace('/', "%2F").replace('?', "%3F")
    } else {
        value
    }
}

fn file(value: &Value<'_>) -> Option<PathBuf> {
    let text = value.text("the path of a file")?;
    if text.is_empty() {
        value.expected("the path of a file");
        return None;
    }
    Some(text.into())
}
