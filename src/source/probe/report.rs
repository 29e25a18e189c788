//! What `fanlight probe` found, in the shape that `--json` prints.
//!
//! Numbers are seconds, bits and counts; what is not known is `null`. Everything a camera wrote has been through
//! [`super::clean`].

use serde::{Deserialize, Serialize};

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The camera, without its password.
    pub url: String,
    /// Whether it can be relayed.
    pub verdict: Verdict,
    /// The verdict in one sentence.
    pub summary: String,
    /// What to do about it, the most useful first.
    pub advice: Vec<String>,
    /// What ended the probe, if it could not go to its end.
    pub failure: Option<Failure>,
    /// What was tried, in order.
    pub steps: Vec<Step>,
    /// What the camera says of itself.
    pub camera: Camera,
    /// What it shows over TLS.
    pub certificate: Option<Certificate>,
    /// What is wrong with its session description, in words; the relay puts up with all of it.
    pub sdp_faults: Vec<String>,
    /// Its tracks.
    pub tracks: Vec<Track>,
    /// A session over TCP and one over UDP.
    pub sessions: Vec<Session>,
    /// How its sessions are kept alive.
    pub keep_alive: Option<KeepAlive>,
    /// How far the camera's clock is ahead of this machine's, from its sender reports; negative: behind.
    pub clock_offset_seconds: Option<f64>,
    /// A configuration for the relay.
    pub config: Option<String>,
    /// How long all of it took.
    pub seconds: f64,
}

/// Whether a camera can be relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Pictures come, and nothing is to be said against it.
    Good,
    /// Pictures come, and the advice is worth reading.
    Remarks,
    /// No pictures.
    #[default]
    NotWatchable,
}

/// What ended a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// As in the metric `fanlight_source_failures_total`, or `no_media` and `out_of_time`.
    pub class: String,
    /// The step it happened at, by its name in `steps`.
    pub step: String,
    /// What happened.
    pub words: String,
}

/// One thing that was tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `name`, `TCP`, `TLS`, `OPTIONS`, `login`, `DESCRIBE`, `track 0`, `SETUP`, `PLAY`, `media`, `keep-alive`, `clock`,
    /// `profile`.
    pub name: String,
    /// How it went.
    pub state: State,
    /// What came of it.
    pub words: String,
    /// How long it took, where that says something.
    pub seconds: Option<f64>,
}

/// How a step went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Well.
    #[default]
    Ok,
    /// Something is to be said.
    Remark,
    /// Not at all.
    Failed,
    /// There was nothing to try.
    Skipped,
}

/// What a camera says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// The header `Server`.
    pub server: Option<String>,
    /// The header `Public`.
    pub methods: Vec<String>,
    /// How it wants to be logged in to: `Digest (MD5)`, `Basic`; `null`: it asks for nothing.
    pub login: Option<String>,
    /// The timeout of its sessions.
    pub session_timeout_seconds: Option<f64>,
    /// Redirects that were followed.
    pub redirects: u32,
    /// The profile of `config/quirks.yml` that applies, in words.
    pub profile: Option<String>,
}

/// What a camera shows over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of the certificate, for `tls_fingerprint`.
    pub fingerprint: String,
    /// When it expires, RFC 3339.
    pub expires: Option<String>,
    /// Whether it has.
    pub expired: bool,
    /// Whether this system's authorities vouch for it, by the name in the URL.
    pub verified: bool,
    /// `TLSv1_3` and the like.
    pub protocol: String,
    /// The cipher suite.
    pub suite: String,
}

/// A track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Its number, from 0, among those that can be relayed.
    pub track: u8,
    /// `video`, `audio`, `application`.
    pub kind: String,
    /// `H264`, `PCMU`; `null` where the camera does not say.
    pub encoding: Option<String>,
    /// Ticks a second of its timestamps.
    pub clock_rate: u32,
    /// Of audio.
    pub channels: Option<u16>,
    /// Of pictures, in pixels.
    pub width: Option<u32>,
    /// Of pictures, in pixels.
    pub height: Option<u32>,
    /// `High`, `Main 10`.
    pub profile: Option<String>,
    /// `4.1`.
    pub level: Option<String>,
}

/// A session over one transport.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// `tcp` or `udp`.
    pub transport: String,
    /// How it went.
    pub state: State,
    /// In words.
    pub words: String,
    /// From PLAY to the first packet.
    pub first_packet_seconds: Option<f64>,
    /// From PLAY to the first packet of a key frame of video; of audio alone, of any packet.
    pub first_key_frame_seconds: Option<f64>,
    /// How long it was watched after the first packet.
    pub measured_seconds: f64,
    /// What came, by track.
    pub tracks: Vec<Reading>,
}

/// What came on a track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its number.
    pub track: u8,
    /// RTP packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames, by timestamp.
    pub frames: u64,
    /// Frames a second, once the burst at the start is over.
    pub fps: Option<f64>,
    /// Bits a second, likewise.
    pub bit_rate: Option<f64>,
    /// Key frames.
    pub key_frames: u64,
    /// Frames from one key frame to the next, the usual number.
    pub gop_frames: Option<u64>,
    /// Seconds from one key frame to the next, the longest.
    pub key_frame_interval_seconds: Option<f64>,
    /// Interarrival jitter of frames (RFC 3550 section 6.4.1).
    pub jitter_seconds: f64,
    /// Packets that never came.
    pub lost: u64,
    /// Their share of all, 0 to 1.
    pub loss: f64,
}

/// How a camera's sessions are kept alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// Each request that was tried, and its answer: `200 OK`, `no answer`, `the camera closed the connection`.
    pub tried: Vec<(String, String)>,
    /// The one the relay should use; `null`: none is answered well.
    pub method: Option<String>,
    /// In a sentence.
    pub words: String,
}

impl Report {
    /// Adds a step.
    pub(super) fn step(&mut self, name: &str, state: State, words: impl Into<String>, seconds: Option<f64>) {
        self.steps.push(Step { name: name.to_owned(), state, words: words.into(), seconds });
    }

    /// The session by which a relay should take the stream: TCP where it does.
    pub(super) fn best(&self) -> Option<&Session> {
        self.sessions.iter().find(|session| session.state != State::Failed && session.state != State::Skipped)
    }
}
