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
    Gst,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Beside => "beside",
            Self::Floor => "floor",
            Self::Gst => "gst",
        }
    }

    /// Starts it on `address`, and the relay's sidecar on `sidecar`.
    pub(super) fn start(
        self,
        args: &Args,
        address: SocketAddr,
        sidecar: SocketAddr,
        camera: &Camera,
        streams: &[String],
    ) -> Process {
        match self {
            Self::Relay | Self::Beside => relay_with(args, address, sidecar, camera, streams, ""),
            Self::Floor => {
                let this = std::env::current_exe().unwrap();
                let camera = camera.address().to_string();
                Process::start(this.to_str().unwrap(), &["--floor", &address.to_string(), &camera])
            }
            Self::Gst => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fanout/gst_relay.py");
                Process::start(PYTHON, &[script, &address.port().to_string(), &camera.url()])
            }
        }
    }
}

/// The relay with these streams, all from one camera. `defaults` are keys of all streams, as YAML in braces.
pub(super) fn relay(
    args: &Args,
    address: SocketAddr,
    camera: &Camera,
    streams: &[String],
    defaults: &str,
) -> Process {
    relay_with(args, address, free_address(), camera, streams, defaults)
}

/// The same with its sidecar at this address.
fn relay_with(
    args: &Args,
    address: SocketAddr,
    sidecar: SocketAddr,
    camera: &Camera,
    streams: &[String],
    defaults: &str,
) -> Process {
    let (rtsp, http, url) = (address.to_string(), sidecar.to_string(), camera.url());
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
    let text = format!("rtsp:\n  udp_ports: [{udp}, {}]\ndefaults: {defaults}\nstreams:\n{listed}", udp + 1);
    std::fs::write(&config, text).unwrap();
    arguments.extend(["--config", config.to_str().unwrap()]);
    Process::start(&args.binary, &arguments)
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
