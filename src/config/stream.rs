//! One stream: where it comes from, and how it is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::camera_url::CameraUrl;
use super::choices::{Race, Retry, UpstreamTransport};
use super::draft::Defaults;
use super::node::Node;
use super::problems::Problems;
use super::reach::{ClientChoice, Reach};
use super::reader::Reader;
use super::viewing::Viewing;
use super::written::Written;
use crate::sdp::Selection;

/// A stream as configured. Two equal values need no reconnect: that is how a reload leaves a stream alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Where the stream comes from.
    pub source: Source,
    /// Connect only while somebody watches.
    pub on_demand: bool,
    /// How long an on-demand stream stays connected after its last viewer.
    pub on_demand_close_after: Duration,
    /// While nobody watches an on-demand stream, keep a connection that the next session begins on.
    pub on_demand_warm: bool,
    /// Most connections with the camera's host, those of other streams included; `None`: any number.
    pub max_connections_per_camera: Option<usize>,
    /// Which client speaks with the camera.
    pub client: ClientChoice,
    /// The way to the camera.
    pub reach: Reach,
    /// Longest that the first packets of a frame wait for the last one, at most half a frame interval and 20 ms.
    pub coalesce: Duration,
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
    /// The tracks that are relayed; the others are not set up at the camera.
    pub tracks: Selection,
    /// How it is given to its viewers.
    pub viewing: Viewing,
    /// As somebody wrote it.
    pub written: Written,
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

impl Stream {
    /// A stream with every setting at its default.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            on_demand: false,
            on_demand_close_after: Duration::from_secs(10),
            on_demand_warm: false,
            max_connections_per_camera: None,
            client: ClientChoice::Auto,
            reach: Reach::default(),
            coalesce: MAX_COALESCE,
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
            tracks: Selection::default(),
            viewing: Viewing::default(),
            written: Written::default(),
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
}

/// The most that packets wait for the rest of their frame, and the default: more is seen by who speaks to a camera.
pub const MAX_COALESCE: Duration = Duration::from_millis(20);
