//! The configuration: YAML (`config/fanlight.yml` documents every key), read in two stages.
//!
//! Text becomes an untyped tree (`node`, the only place that knows the YAML library), the tree becomes a validated
//! [`Config`] (`reader`). The second stage never stops at a mistake: [`Problems`] lists all of them, each with its key
//! path. `${NAME}` and `${NAME:default}` are filled in between, value by value.
//!
//! Keys are accepted only when they work: ignoring one could leave a stream open that somebody meant to protect.

mod access;
mod camera_url;
mod capacity;
mod choices;
mod draft;
mod edit;
mod incidents;
mod multicast;
mod name;
mod node;
mod problems;
mod quirks;
mod reach;
mod reader;
mod redact;
mod stream;
mod substitute;
mod suggest;
#[cfg(test)]
mod tests;
mod tls;
mod units;
mod users;
mod viewing;
mod written;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use access::{Action, Login, Pattern, Rule, Who};
pub use camera_url::{CameraUrl, CameraUrlError, Credentials};
pub use capacity::Capacity;
pub use choices::{Race, Retry, UpstreamTransport};
pub use draft::Defaults;
pub use edit::{EditError, edit};
pub use incidents::Incidents;
pub use multicast::{Group, Groups};
pub use name::{StreamName, StreamNameError};
pub use problems::{LoadError, Problem, Problems};
pub use quirks::{Flags, Profile, Quirks, Seen, SignOfLife};
pub use reach::{ClientChoice, Fingerprint, Proxy, ProxyKind, Reach};
pub(crate) use redact::{percent_decode, redact_path, redact_words};
pub use stream::{MAX_COALESCE, Source, Stream};
pub use tls::Tls;
pub use users::{HA1_MD5, HA1_SHA256, Password, REALM, Users};
pub use viewing::{FastStart, SlowViewer, Viewing};
pub use written::Written;

use node::Node;
use reader::{Key, Reader, Value};

/// Name of the stream made of a camera that is given on the command line without a name.
pub const DEFAULT_CAMERA_NAME: &str = "cam";

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The RTSP server.
    pub rtsp: Rtsp,
    /// The HTTP sidecar.
    pub http: Http,
    /// The certificate for both over TLS; `None` = no TLS.
    pub tls: Option<Tls>,
    /// How long a stop waits for viewers and cameras to be told before it cuts them off.
    pub shutdown_grace: Duration,
    /// Where captures of failures are written; `None` = nowhere.
    pub incidents: Incidents,
    /// What streams that are added at run time have unless they say otherwise; already part of `streams`.
    pub defaults: Defaults,
    /// The streams. There may be none: they can be added at run time.
    pub streams: BTreeMap<StreamName, Stream>,
    /// Who may log in.
    pub users: Users,
    /// Who may do what; the first rule that applies decides.
    pub access: Vec<Rule>,
    /// How log-ins are treated.
    pub login: Login,
    /// A file of profiles of cameras, beside those that are compiled in.
    pub quirks: Option<PathBuf>,
    /// Both together. [`Config::load`] reads the file.
    pub profiles: Arc<Quirks>,
}

/// The RTSP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtsp {
    /// Where to listen; `None` = off.
    pub listen: Option<SocketAddr>,
    /// Where to listen for RTSP over TLS; `None` = off, as it is without a certificate.
    pub tls_listen: Option<SocketAddr>,
    /// The even port for RTP and the next one for RTCP; `None` = viewers over TCP only.
    pub udp_ports: Option<(u16, u16)>,
    /// Where streams go that are sent by multicast.
    pub groups: Groups,
    /// How long a session without a sign of life is kept. See [`Rtsp::advertised_session_timeout`].
    pub session_timeout: Duration,
    /// How long a viewer's socket may make no progress before the viewer is disconnected.
    pub write_timeout: Duration,
    /// How long DESCRIBE waits for a camera that is not up.
    pub describe_timeout: Duration,
    /// The keys `max_…`.
    pub capacity: Capacity,
}

impl Rtsp {
    /// What `Session: …;timeout=` tells viewers: 5 s less than is enforced, because Windows Media Foundation sends its
    /// keep-alive exactly at the advertised time (field knowledge of gortsplib).
    pub fn advertised_session_timeout(&self) -> Duration {
        self.session_timeout.saturating_sub(Duration::from_secs(5))
    }
}

/// The HTTP sidecar: page, API, metrics, health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; `None` = off.
    pub listen: Option<SocketAddr>,
    /// Where to listen for HTTPS; `None` = off.
    pub tls_listen: Option<SocketAddr>,
    /// Most pages and programs that have events told (`/api/v1/events`).
    pub max_listeners: u32,
    /// Write streams that are changed through the API into the configuration file.
    pub write_config: bool,
}

impl Default for Rtsp {
    /// With UDP, for the runs that need no file.
    fn default() -> Self {
        Self {
            listen: Some((Ipv4Addr::UNSPECIFIED, 8554).into()),
            tls_listen: None,
            udp_ports: Some((8000, 8001)),
            groups: Groups::default(),
            session_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            // VLC gives up after exactly five seconds: the answer has to be there before.
            describe_timeout: Duration::from_millis(4500),
            capacity: Capacity::default(),
        }
    }
}

impl Default for Http {
    /// On loopback: the API changes things, and without `users` nobody has to log in.
    fn default() -> Self {
        Self {
            listen: Some((Ipv4Addr::LOCALHOST, 8580).into()),
            tls_listen: None,
            max_listeners: 64,
            write_config: false,
        }
    }
}

impl Default for Config {
    /// What a run without a file has: no streams, both servers, viewers over TCP and UDP.
    fn default() -> Self {
        Self {
            rtsp: Rtsp::default(),
            http: Http::default(),
            tls: None,
            // Container runtimes kill after 10 s.
            shutdown_grace: Duration::from_secs(5),
            incidents: Incidents::default(),
            defaults: Defaults::default(),
            streams: BTreeMap::new(),
            users: Users::new(),
            access: Vec::new(),
            login: Login::default(),
            quirks: None,
            profiles: Quirks::built_in(),
        }
    }
}

impl Config {
    /// Reads YAML. `environment` looks up the variables of `${NAME}`.
    ///
    /// Differs from [`Config::default`] where the text says nothing in one point: UDP is off unless `udp_ports` is
    /// there, since in a container its ports have to be opened as well.
    pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let node = Node::from_yaml(text)?;
        let reader = Reader::new(Some(environment));
        let root = reader.root(&node);
        let mut config = Self::default();
        config.rtsp.udp_ports = None;
        root.read_section(&[TOP_KEYS], &mut config);
        config.check_listeners(&root);
        multicast::check(&config.streams, &root);
        config.check_users(&root);
        reader.finish(config)
    }

    /// Reads a file, with `${NAME}` from the environment of the process.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let mut text = String::new();
        // One byte more than is accepted: enough to be refused, and `/dev/zero` does not fill the memory.
        File::open(path)
            .and_then(|file| file.take(node::MAX_TEXT as u64 + 1).read_to_string(&mut text))
            .map_err(|cause| LoadError::Read { path: path.to_owned(), cause })?;
        let read = Self::parse(&text, &|name| std::env::var(name).ok()).and_then(|mut config| {
            if let Some(file) = &config.quirks {
                config.profiles = Arc::new(quirks::load(file)?.before(&config.profiles));
            }
            Ok(config)
        });
        read.map_err(|problems| LoadError::Invalid { path: path.to_owned(), problems })
    }

    /// The configuration of `fanlight URL --name NAME`: the defaults and this one stream. Problems carry the key `url`
    /// or `name`.
    pub fn for_camera(name: &str, url: &str) -> Result<Self, Problems> {
        let mut wrong = Vec::new();
        let mut note = |key: &str, message: String| wrong.push(Problem { key: key.to_owned(), message });
        let name: Result<StreamName, _> = name.parse();
        let camera: Result<CameraUrl, _> = url.parse();
        if let Err(error) = &name {
            note("name", error.to_string());
        }
        if let Err(error) = &camera {
            note("url", format!("{error}, found {}", redact::quote(url)));
        }
        let (Ok(name), Ok(camera)) = (name, camera) else {
            return Err(Problems(wrong));
        };
        let mut config = Self::default();
        let written = Written::new(url.into(), false);
        config.streams.insert(name, Stream { written, ..Stream::new(Source::Cameras(vec![camera])) });
        Ok(config)
    }

    /// A user who can never log in is a mistake.
    fn check_users(&self, root: &Value<'_>) {
        for (name, password) in &self.users {
            if password.argon2id.is_some() && !password.knows_digest() && !self.login.basic {
                root.problem_at("users", format!(
                    "`{name}` has an argon2id hash only, which Digest cannot use: add the `ha1-` hashes, or set `login.basic`"
                ));
            }
        }
    }

    fn check_listeners(&self, root: &Value<'_>) {
        let listeners = [
            ("rtsp", "rtsp", self.rtsp.listen),
            ("http", "http", self.http.listen),
            ("rtsp", "rtsp.tls_listen", self.rtsp.tls_listen),
            ("http", "http.tls_listen", self.http.tls_listen),
        ];
        let listeners = listeners.map(|(section, name, address)| address.map(|at| (section, name, at)));
        let listeners: Vec<_> = listeners.into_iter().flatten().collect();
        for (index, (section, _, later)) in listeners.iter().enumerate() {
            let clash = listeners[..index].iter().find(|(_, _, earlier)| {
                let overlap = earlier.ip() == later.ip()
                    || earlier.ip().is_unspecified()
                    || later.ip().is_unspecified();
                earlier.port() == later.port() && later.port() != 0 && overlap
            });
            if let Some((_, name, _)) = clash {
                root.problem_at(
                    section,
                    format!("listens on port {}, which {name} has taken already", later.port()),
                );
            }
        }
        let over_tls = [("rtsp", self.rtsp.tls_listen), ("http", self.http.tls_listen)];
        for (section, _) in over_tls.iter().filter(|(_, address)| address.is_some() && !root.has("tls")) {
            root.problem_at(section, "`tls_listen` needs a certificate: the section `tls`");
        }
    }
}

/// Reads a duration as the configuration has it: `500ms`, `10s`, `1m30s`, at most 168h.
///
/// # Errors
/// It is none; the text says why.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|why| format!("expected a duration such as 30m or 12h: {why}"))
}

/// A timeout below this cuts off healthy viewers.
const TIMEOUT: Duration = Duration::from_millis(100);

/// RTSPS on its usual port of cameras and servers beside 8554.
fn rtsps_listen() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, 8322).into()
}

/// Keys of the document. `tls` stands before `rtsp`, which it gives a listener, `defaults` before `streams`, which needs it,
/// and `users` before `access`.
const TOP_KEYS: &[Key<Config>] = &[
    Key { name: "tls", read: tls::read_tls },
    Key { name: "rtsp", read: |config, value| value.read_section(&[RTSP_KEYS], &mut config.rtsp) },
    Key { name: "http", read: |config, value| value.read_section(&[HTTP_KEYS], &mut config.http) },
    Key {
        name: "shutdown_grace",
        read: |config, value| value.read(&mut config.shutdown_grace, |v| v.duration(Duration::ZERO)),
    },
    Key {
        name: "incidents",
        read: |config, value| value.read_section(&[incidents::INCIDENT_KEYS], &mut config.incidents),
    },
    Key { name: "defaults", read: |config, value| config.defaults = Defaults::read(value) },
    Key { name: "streams", read: read_streams },
    Key { name: "users", read: |config, value| users::read_users(&mut config.users, value) },
    Key { name: "access", read: access::read_access },
    Key {
        name: "quirks",
        read: |config, value| {
            value.read(&mut config.quirks, |v| v.text("the path of a file").map(|path| Some(path.into())));
        },
    },
    Key { name: "login", read: |config, value| value.read_section(&[access::LOGIN_KEYS], &mut config.login) },
];

/// Keys of `rtsp`.
const RTSP_KEYS: &[Key<Rtsp>] = &[
    Key { name: "listen", read: |rtsp, value| value.read(&mut rtsp.listen, Value::listen) },
    Key { name: "tls_listen", read: |rtsp, value| value.read(&mut rtsp.tls_listen, Value::listen) },
    Key {
        name: "udp_ports",
        read: |rtsp, value| value.read(&mut rtsp.udp_ports, |v| udp_ports(v).map(Some)),
    },
    Key {
        name: "multicast",
        read: |rtsp, value| value.read_section(&[multicast::GROUPS_KEYS], &mut rtsp.groups),
    },
    Key {
        name: "session_timeout",
        // Players send their keep-alive some seconds before the advertised time, which is 5 s less than this.
        read: |rtsp, value| value.read(&mut rtsp.session_timeout, |v| v.duration(Duration::from_secs(10))),
    },
    Key {
        name: "write_timeout",
        read: |rtsp, value| value.read(&mut rtsp.write_timeout, |v| v.duration(TIMEOUT)),
    },
    Key {
        name: "describe_timeout",
        read: |rtsp, value| value.read(&mut rtsp.describe_timeout, |v| v.duration(TIMEOUT)),
    },
    Key { name: "max_connections", read: |rtsp, value| most(&mut rtsp.capacity.connections, value) },
    Key {
        name: "max_connections_per_address",
        read: |rtsp, value| most(&mut rtsp.capacity.connections_per_address, value),
    },
    Key { name: "max_sessions", read: |rtsp, value| most(&mut rtsp.capacity.sessions, value) },
    Key {
        name: "max_sessions_per_address",
        read: |rtsp, value| most(&mut rtsp.capacity.sessions_per_address, value),
    },
    Key { name: "max_requests", read: |rtsp, value| most(&mut rtsp.capacity.requests, value) },
    Key {
        name: "max_requests_per_address",
        read: |rtsp, value| most(&mut rtsp.capacity.requests_per_address, value),
    },
];

/// Keys of `http`.
const HTTP_KEYS: &[Key<Http>] = &[
    Key { name: "listen", read: |http, value| value.read(&mut http.listen, Value::listen) },
    Key { name: "tls_listen", read: |http, value| value.read(&mut http.tls_listen, Value::listen) },
    Key {
        name: "max_listeners",
        // The sidecar has 256 connections, of which some have to be left for everything else.
        read: |http, value| value.read(&mut http.max_listeners, |v| v.number("a whole number", 1..=200)),
    },
    Key { name: "write_config", read: |http, value| value.read(&mut http.write_config, Value::flag) },
];

/// A limit: at least one must get in.
fn most(target: &mut u32, value: &Value<'_>) {
    value.read(target, |v| v.number("a whole number", 1..=1_000_000));
}

fn read_streams(config: &mut Config, value: &Value<'_>) {
    for (name, value) in value.entries() {
        let stream = Stream::read(&value, &config.defaults);
        match name.parse::<StreamName>() {
            Ok(name) => drop(config.streams.insert(name, stream)),
            Err(error) => value.problem(error.to_string()),
        }
    }
}

/// An even port and the next one (RFC 3550 section 11), which is also what clients assume.
fn udp_ports(value: &Value<'_>) -> Option<(u16, u16)> {
    let what = "two ports, an even one for RTP and the next for RTCP, such as [8000, 8001]";
    let items = value.items();
    let [rtp, rtcp] = items.as_slice() else {
        value.expected(what);
        return None;
    };
    let (rtp, rtcp) = (rtp.number("a port", 1..=u16::MAX), rtcp.number("a port", 1..=u16::MAX));
    let (rtp, rtcp) = (rtp?, rtcp?);
    if rtp % 2 != 0 || rtp.checked_add(1) != Some(rtcp) {
        value.problem(format!("expected {what}, found [{rtp}, {rtcp}]"));
        return None;
    }
    Some((rtp, rtcp))
}
