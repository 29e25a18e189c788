//! Who sends: the relay, the floor program, or gst-rtsp-server's relay, each as a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use super::Args;
use super::load::camera::Camera;
use super::load::process::Process;

/// Who sends, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Relay,
    /// The relay, with bad viewers beside the good ones.
    Beside,
    Floor,
    /// The floor program, holding packets back as long as the relay may.
    Gathering,
    Gst,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Beside => "beside",
            Self::Floor => "floor",
            Self::Gathering => "gather",
            Self::Gst => "gst",
        }
    }

    /// A bare copy: no key frames, no streams, no transports but TCP and UDP.
    pub(super) fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::Gathering)
    }

    /// Starts it on these addresses.
    pub(super) fn start(self, args: &Args, on: Addresses, camera: &Camera, streams: &[String]) -> Process {
        let address = on.rtsp;
        match self {
            Self::Relay | Self::Beside => relay(args, on, camera, streams, ""),
            Self::Floor | Self::Gathering => {
                let this = std::env::current_exe().unwrap();
                let (address, camera) = (address.to_string(), camera.address().to_string());
                let half = if self == Self::Gathering { HALF_A_FRAME } else { "0" };
                Process::start(this.to_str().unwrap(), &["--floor", &address, &camera, "--hold", half])
            }
            Self::Gst => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fanout/gst_relay.py");
                Process::start(PYTHON, &[script, &address.port().to_string(), &camera.url()])
            }
        }
    }
}

/// Milliseconds: half of the camera's frame interval.
const HALF_A_FRAME: &str = "17";

/// Where a sender is reached.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) rtsp: SocketAddr,
    /// The relay over TLS, if that is wanted.
    pub(super) tls: Option<SocketAddr>,
    /// The relay's sidecar.
    pub(super) http: SocketAddr,
}

impl Addresses {
    /// Such as were free a moment ago, without TLS.
    pub(super) fn free() -> Self {
        Self { rtsp: free_address(), tls: None, http: free_address() }
    }
}

/// The relay with these streams, all from one camera. `defaults` are keys of all streams, as YAML in braces.
pub(super) fn relay(
    args: &Args,
    on: Addresses,
    camera: &Camera,
    streams: &[String],
    defaults: &str,
) -> Process {
    let (rtsp, http, url) = (on.rtsp.to_string(), on.http.to_string(), camera.url());
    let workers = args.workers.map(|count| count.to_string());
    let mut arguments = vec!["--rtsp-listen", &rtsp, "--http-listen", &http, "--log-level", "error"];
    if let Some(workers) = &workers {
        arguments.extend(["--workers", workers]);
    }
    let listed: String = streams.iter().map(|stream| format!("  {stream}: {url}\n")).collect();
    let defaults = if defaults.is_empty() { "{}" } else { defaults };
    // In a directory of its own, because the relay watches the directory of its configuration.
    let directory = std::env::temp_dir().join(format!("fanout-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let config = directory.join("fanlight.yml");
    let udp = free_udp_pair();
    let tls = on.tls.map(|address| certificate(&args.binary, address)).unwrap_or_default();
    let text =
        format!("rtsp:\n  udp_ports: [{udp}, {}]\n{tls}defaults: {defaults}\nstreams:\n{listed}", udp + 1);
    std::fs::write(&config, text).unwrap();
    arguments.extend(["--config", config.to_str().unwrap()]);
    Process::start(&args.binary, &arguments)
}

/// A certificate that the relay makes for itself; the part of the configuration that names it, behind `rtsp:`.
fn certificate(binary: &str, address: SocketAddr) -> String {
    let folder = std::env::temp_dir().join(format!("fanout-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [certificate, key] = ["relay.crt", "relay.key"].map(|name| folder.join(name).display().to_string());
    let _ = std::fs::remove_file(&certificate);
    let _ = std::fs::remove_file(&key);
    let made = Command::new(binary)
        .args(["self-signed", "127.0.0.1", "--certificate", &certificate, "--key", &key])
        .output();
    assert!(made.is_ok_and(|made| made.status.success()), "no certificate");
    format!("  tls_listen: {address}\ntls: {{certificate: {certificate}, key: {key}}}\n")
}

/// Names for this many streams.
pub(super) fn streams(count: usize) -> Vec<String> {
    match count {
        0 | 1 => vec!["cam".to_owned()],
        many => (0..many).map(|index| format!("cam{index}")).collect(),
    }
}

/// Whether gst-rtsp-server can be compared with; says so where not.
pub(super) fn gst_is_installed() -> bool {
    let check = "import gi; gi.require_version('GstRtspServer', '1.0')";
    let installed =
        Command::new(PYTHON).args(["-c", check]).output().is_ok_and(|output| output.status.success());
    if !installed {
        println!("gst-rtsp-server is not installed (python3-gi, gir1.2-gst-rtsp-server-1.0)");
    }
    installed
}

/// An address that was free a moment ago.
pub(super) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// An even UDP port that was free a moment ago, with its successor.
fn free_udp_pair() -> u16 {
    let bind = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
    std::iter::repeat_with(|| bind(0).unwrap())
        .filter_map(|socket| {
            let port = socket.local_addr().unwrap().port();
            (port.is_multiple_of(2) && bind(port + 1).is_ok()).then_some(port)
        })
        .next()
        .unwrap()
}

/// Debian's own, which has the bindings.
const PYTHON: &str = "/usr/bin/python3";
