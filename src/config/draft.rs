//! How a stream is read: its keys, what fits together, and the defaults.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::camera_url::CameraUrl;
use super::choices::{Race, Retry, UpstreamTransport};
use super::reach::{ClientChoice, Reach};
use super::reader::{Key, Value};
use super::stream::{MAX_COALESCE, Source, Stream};
use super::viewing::{VIEWING_KEYS, Viewing};
use super::written::Written;
use crate::sdp::{Pick, Selection};
use crate::vocabulary::{Secret, TrackId};

impl Stream {
    /// Reads a stream: its keys, or just a URL, or just a list of URLs.
    pub(super) fn read(value: &Value<'_>, defaults: &Defaults) -> Self {
        let mut draft = defaults.0.clone();
        if value.is_section() {
            draft.read(value);
            draft.check_source(value);
        } else {
            value.read(&mut draft.cameras, cameras);
        }
        let (written, from_environment) = value.written(fit_password);
        Self { written: Written::new(written, from_environment), ..draft.finish(value) }
    }

    /// The keys of a stream that comes from a camera, as [`Stream::from_json`] takes them.
    #[cfg(test)]
    pub(crate) fn camera_keys() -> impl Iterator<Item = &'static str> {
        [CAMERA_KEYS, STREAM_KEYS, VIEWING_KEYS].into_iter().flatten().map(|key| key.name)
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

/// Most attempts of a race: more would be what a camera takes for an attack.
const RACE_ATTEMPTS: u8 = 5;

/// More than any recorder has channels.
const CONNECTIONS: usize = 1024;

/// A shorter wait for a frame than this takes a network's hiccup for a stall.
const STALL: Duration = Duration::from_millis(200);

/// Frame rate of a file that has none of its own.
const FPS: f64 = 24.0;

/// Fits an Ethernet frame with room for IPv6, UDP and a tunnel's headers.
const PACKET_SIZE: usize = 1400;

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
    Key { name: "coalesce", read: |d, v| v.read(&mut d.settings.coalesce, coalesce) },
];

/// Keys of streams that come from a camera.
pub(super) const CAMERA_KEYS: &[Key<Draft>] = &[
    Key { name: SOURCE, read: |d, v| v.read(&mut d.cameras, cameras) },
    Key { name: "username", read: |d, v| v.read(&mut d.username, |v| v.text("a user name").map(Some)) },
    Key {
        name: "password",
        read: |d, v| v.read(&mut d.password, |v| v.text("a password").map(|text| Some(Secret::new(text)))),
    },
    Key { name: "on_demand_warm", read: |d, v| v.read(&mut d.settings.on_demand_warm, Value::flag) },
    Key {
        name: "max_connections_per_camera",
        read: |d, v| {
            v.read(&mut d.settings.max_connections_per_camera, |v| {
                let most: usize = v.number("a whole number", 0..=CONNECTIONS)?;
                Some((most > 0).then_some(most))
            });
        },
    },
    Key { name: "client", read: |d, v| v.read(&mut d.settings.client, |v| v.word(&ClientChoice::WORDS)) },
    Key {
        name: "tls_fingerprint",
        read: |d, v| v.read(&mut d.settings.reach.tls_fingerprint, |v| parsed(v, "a fingerprint")),
    },
    Key { name: "proxy", read: |d, v| v.read(&mut d.settings.reach.proxy, |v| parsed(v, "a proxy's URL")) },
    Key {
        name: "source_address",
        read: |d, v| {
            v.read(&mut d.settings.reach.source_address, |v| {
                let text = v.text("an IP address of this host")?;
                let address = text.parse();
                address.map_err(|_| v.expected("an IP address of this host")).ok().map(Some)
            });
        },
    },
    Key {
        name: "reorder_window",
        read: |d, v| v.read(&mut d.settings.reach.reorder_window, |v| v.duration(Duration::ZERO)),
    },
    Key {
        name: "transport",
        read: |d, v| v.read(&mut d.settings.transport, |v| v.word(&UpstreamTransport::WORDS)),
    },
    Key { name: "tracks", read: |d, v| v.read(&mut d.settings.tracks, tracks) },
    Key { name: "backchannel", read: |d, v| v.read(&mut d.viewing().back_channel, Value::flag) },
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

    /// `client: retina` and a way that it does not go.
    fn check_client(&self, value: &Value<'_>) {
        let Stream { client, reach, transport, on_demand, on_demand_warm, viewing, .. } = &self.settings;
        let plain = Reach { reorder_window: reach.reorder_window, ..Reach::default() };
        let beyond = *reach != plain
            || *transport == UpstreamTransport::Multicast
            || (*on_demand && *on_demand_warm)
            || viewing.back_channel
            || !self.cameras.iter().all(CameraUrl::is_plain);
        if *client == ClientChoice::Retina && beyond {
            let message = "retina speaks plain rtsp:// over tcp and udp only, without TLS, tunnel, proxy, multicast, \
                           source_address, on_demand_warm or backchannel: use `auto` or `direct`";
            if value.has("client") {
                value.problem_at("client", message);
            } else {
                value.problem(message);
            }
        }
    }

    /// A way that does not go where it is to lead.
    fn check_proxy(&self, value: &Value<'_>) {
        let tcp = matches!(self.settings.transport, UpstreamTransport::Tcp | UpstreamTransport::Auto);
        if self.settings.reach.proxy.is_some() && !tcp {
            value.problem("a proxy carries no UDP: use `transport: tcp`");
        }
    }

    fn finish(mut self, value: &Value<'_>) -> Stream {
        let source = if value.has(FILE) {
            Source::File { path: self.file, fps: self.fps, packet_size: self.packet_size }
        } else {
            self.check_client(value);
            self.check_proxy(value);
            for camera in &mut self.cameras {
                camera.override_credentials(self.username.as_ref(), self.password.as_ref());
            }
            Source::Cameras(self.cameras)
        };
        Stream { source, ..self.settings }
    }
}

fn coalesce(value: &Value<'_>) -> Option<Duration> {
    let duration = value.duration(Duration::ZERO)?;
    if duration > MAX_COALESCE {
        value.problem(format!("expected at most {MAX_COALESCE:?}, found {}", value.found()));
        return None;
    }
    Some(duration)
}

/// `auto`, or a duration.
fn learned_or(value: &Value<'_>, least: Duration) -> Option<Option<Duration>> {
    match value.text("auto or a duration such as 2s")?.as_str() {
        "auto" => Some(None),
        _ => value.duration(least).map(Some),
    }
}

/// Text that may hold a password, and is not shown where it is wrong.
fn parsed<T: FromStr<Err = &'static str>>(value: &Value<'_>, what: &str) -> Option<Option<T>> {
    match value.text_fitted(what, fit_password)?.parse() {
        Ok(parsed) => Some(Some(parsed)),
        Err(wrong) => {
            value.problem(wrong);
            None
        }
    }
}

/// Kinds and numbers of tracks.
fn tracks(value: &Value<'_>) -> Option<Selection> {
    let items = value.items();
    if items.is_empty() {
        value.problem("expected at least one track: without any there is nothing to relay");
    }
    let pick = |item: &Value<'_>| {
        let what = "video, audio, application or the number of a track from 0 to 63";
        let word = item.scalar(what)?;
        let number =
            word.parse().ok().filter(|number| *number < 64).map(|number| Pick::Track(TrackId(number)));
        let pick = number.or_else(|| word.parse().ok());
        if pick.is_none() {
            item.expected(what);
        }
        pick
    };
    items.iter().map(pick).collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(Selection::new)
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
