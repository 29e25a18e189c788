//! A relay in process: hub, sources, RTSP server and sidecar on ports of the system's choice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fanlight::config::{CameraUrl, Source, Stream as StreamSettings};
use fanlight::hub::{Hub, Stream};
use fanlight::metrics::Metrics;
use fanlight::rtsp::Limits;
use fanlight::server::{Mounts, Server, Settings, UdpPorts};
use fanlight::source;
use fanlight::workers::Workers;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How a relay is to be.
#[derive(Debug)]
pub struct Builder {
    streams: Vec<(String, StreamSettings)>,
    settings: Settings,
    udp: bool,
}

/// A relay that runs.
#[derive(Debug)]
pub struct Relay {
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub workers: Workers,
    address: SocketAddr,
    stop: CancellationToken,
    stop_sources: CancellationToken,
    _tasks: JoinSet<()>,
}

/// A relay with one stream, `cam`, from the camera at `url`.
pub async fn relay(url: &str) -> Relay {
    Relay::builder().camera("cam", url).start().await
}

/// The settings of a stream from one camera; its retries are quick.
pub fn camera_settings(url: &str) -> StreamSettings {
    let url: CameraUrl = url.parse().expect("the test's camera has a URL");
    let mut settings = StreamSettings::new(Source::Cameras(vec![url]));
    settings.retry_min = Duration::from_millis(10);
    settings.retry_max = Duration::from_millis(200);
    settings
}

impl Relay {
    pub fn builder() -> Builder {
        Builder {
            streams: Vec::new(),
            settings: Settings {
                session_timeout: Duration::from_secs(60),
                advertised_timeout: Duration::from_secs(55),
                write_timeout: Duration::from_secs(10),
                describe_timeout: Duration::from_secs(5),
                request_timeout: Duration::from_secs(10),
                max_connections: 4096,
                limits: Limits::default(),
            },
            udp: true,
        }
    }

    /// Where it serves RTSP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a stream.
    pub fn url(&self, stream: &str) -> String {
        format!("rtsp://{}/{stream}", self.address)
    }

    /// A stream of the hub.
    pub fn stream(&self, name: &str) -> Arc<Stream> {
        self.hub.find(name).expect("the stream is there")
    }

    /// Adds a stream at run time.
    pub fn add(&self, name: &str, settings: StreamSettings) {
        start_source(&self.hub, &self.workers, &self.stop_sources, name, settings);
    }

    /// Stops as SIGTERM does, and returns the number of tasks left after `grace`.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.stop.cancel();
        self.stop_sources.cancel();
        self.workers.drained(grace).await
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_sources.cancel();
    }
}

impl Builder {
    /// A stream from one camera.
    pub fn camera(self, name: &str, url: &str) -> Self {
        self.stream(name, camera_settings(url))
    }

    /// A stream with given settings.
    pub fn stream(mut self, name: &str, settings: StreamSettings) -> Self {
        self.streams.push((name.to_owned(), settings));
        self
    }

    /// Changes the server's settings.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// TCP only.
    pub fn without_udp(mut self) -> Self {
        self.udp = false;
        self
    }

    pub async fn start(self) -> Relay {
        let metrics = Arc::new(Metrics::new());
        let hub = Arc::new(Hub::new(Arc::clone(&metrics)));
        let workers = Workers::start(2, &metrics).expect("threads");
        let (stop, stop_sources) = (CancellationToken::new(), CancellationToken::new());
        for (name, settings) in self.streams {
            start_source(&hub, &workers, &stop_sources, &name, settings);
        }
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((loopback, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let udp = self.udp.then(|| UdpPorts::bind(loopback, (0, 0)).expect("a pair of UDP ports"));
        let mounts = Mounts::live(Arc::clone(&hub));
        let server = Server::new(mounts, udp, self.settings, workers.clone(), stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.run(listener).await.expect("the server serves") });
        Relay { hub, metrics, workers, address, stop, stop_sources, _tasks: tasks }
    }
}

fn start_source(
    hub: &Arc<Hub>,
    workers: &Workers,
    stop: &CancellationToken,
    name: &str,
    settings: StreamSettings,
) {
    let publisher = hub.add(name);
    let (stop, metrics) = (stop.child_token(), Arc::clone(hub.metrics()));
    workers.spawn("source", move || source::run(publisher, settings, metrics, stop));
}
