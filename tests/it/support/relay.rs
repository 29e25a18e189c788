//! A relay in process: hub, sources, RTSP server and sidecar on ports of the system's choice.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanlight::access::{Access, Policy};
use fanlight::config::{CameraUrl, Capacity, Config, FastStart, Groups, Source, Stream as StreamSettings};
use fanlight::hub::{Hub, Status, Stream};
use fanlight::jpeg::Clip;
use fanlight::metrics::Metrics;
use fanlight::rtsp::Limits;
use fanlight::server::{ClipMount, ClipSettings, Door, Mounts, Server, Settings, UdpPorts};
use fanlight::source::{self, Sources};
use fanlight::tls::{Certificates, Identity};
use fanlight::vocabulary::{FailureClass, Phase};
use fanlight::web::{Control, Links, LiveDoor, Web};
use fanlight::workers::Workers;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::tls::identity;
use super::{PATIENCE, eventually, within};

/// How a relay is to be.
#[derive(Debug)]
pub struct Builder {
    streams: Vec<(String, StreamSettings)>,
    clips: Vec<(String, Arc<Clip>, ClipSettings)>,
    settings: Settings,
    udp: bool,
    classic: bool,
    policy: Policy,
    tls: Option<Identity>,
}

/// A relay that runs.
#[derive(Debug)]
pub struct Relay {
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub workers: Workers,
    pub access: Arc<Access>,
    address: SocketAddr,
    web: SocketAddr,
    tls: Option<(SocketAddr, Arc<Certificates>)>,
    web_tls: Option<SocketAddr>,
    stop: CancellationToken,
    stop_sources: CancellationToken,
    shared: Sources,
    /// By stream; the last one started under each name.
    sources: Mutex<BTreeMap<String, CancellationToken>>,
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
    // Most tests say exactly which frames a viewer gets; those about the beginning set it.
    settings.viewing.fast_start = FastStart::Off;
    // Nor does what they get depend on how busy the machine is.
    settings.viewing.max_lag = Duration::from_secs(60);
    settings
}

impl Relay {
    pub fn builder() -> Builder {
        Builder {
            streams: Vec::new(),
            clips: Vec::new(),
            settings: Settings {
                session_timeout: Duration::from_secs(60),
                advertised_timeout: Duration::from_secs(55),
                write_timeout: Duration::from_secs(10),
                describe_timeout: Duration::from_secs(5),
                request_timeout: Duration::from_secs(10),
                capacity: Capacity { connections_per_address: 4096, ..Capacity::default() },
                limits: Limits::default(),
                groups: groups(),
            },
            udp: true,
            classic: false,
            policy: Policy::default(),
            tls: None,
        }
    }

    /// Where it serves RTSP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its sidecar is.
    pub fn web_address(&self) -> SocketAddr {
        self.web
    }

    /// Where it serves RTSP over TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls.as_ref().expect("a relay with a certificate").0
    }

    /// Where its sidecar is over TLS.
    pub fn web_tls_address(&self) -> SocketAddr {
        self.web_tls.expect("a relay with a certificate")
    }

    /// What it shows there.
    pub fn certificates(&self) -> &Certificates {
        &self.tls.as_ref().expect("a relay with a certificate").1
    }

    /// The URL of a stream.
    pub fn url(&self, stream: &str) -> String {
        format!("rtsp://{}/{stream}", self.address)
    }

    /// A stream of the hub.
    pub fn stream(&self, name: &str) -> Arc<Stream> {
        self.hub.find(name).expect("the stream is there")
    }

    /// Waits until the source of a stream is so.
    #[track_caller]
    pub fn until(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&Status) -> bool,
    ) -> impl Future<Output = Status> {
        let mut status = self.stream(name).status();
        let (what, caller) = (format!("{name}: {what}"), std::panic::Location::caller());
        async move {
            let what = format!("{caller}: {what}");
            let status = within(&what, PATIENCE, status.wait_for(|status| condition(status))).await;
            status.expect("the stream is there").clone()
        }
    }

    /// Waits until packets come.
    #[track_caller]
    pub fn live(&self, name: &str) -> impl Future<Output = Status> {
        self.until(name, "it is live", |status| status.phase == Phase::Live)
    }

    /// Waits until the source has failed in this way; gives the message.
    pub async fn failed(&self, name: &str, class: FailureClass) -> String {
        let failure = |status: &Status| status.last_failure.clone().filter(|f| f.class == class);
        let status = self.until(name, &format!("it fails with {class}"), |s| failure(s).is_some()).await;
        failure(&status).map(|failure| failure.message).unwrap_or_default()
    }

    /// Waits until so many frames of track 0 have been handed to the viewers, so that a later viewer misses them.
    pub async fn published(&self, name: &str, frames: u32) {
        let frames = f64::from(frames);
        self.live(name).await;
        let series = format!("fanlight_source_frames_total{{stream=\"{name}\",track=\"0\"}}");
        let what = format!("{name}: {frames} frames are published");
        eventually(&what, PATIENCE, || self.metric(&series) >= frames).await;
    }

    /// The value of a series of `/metrics`, such as `fanlight_viewers{stream="cam",transport="tcp"}`: labels in
    /// alphabetical order, as they are written there.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.metrics.render().expect("the metrics are rendered");
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().expect("a number")
    }

    /// Adds a stream at run time.
    pub fn add(&self, name: &str, settings: StreamSettings) {
        let stop = start_source(&self.hub, &self.workers, &self.shared, &self.stop_sources, name, settings);
        self.sources.lock().expect("no test panics here").insert(name.to_owned(), stop);
    }

    /// Stops the source of a stream; the stream stays.
    pub fn stop_source(&self, name: &str) {
        let stop = self.sources.lock().expect("no test panics here").remove(name);
        stop.expect("the stream has a source").cancel();
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

    /// A file that each viewer plays on its own.
    pub fn clip(mut self, name: &str, clip: Clip, settings: ClipSettings) -> Self {
        self.clips.push((name.to_owned(), Arc::new(clip), settings));
        self
    }

    /// Changes the server's settings.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Users and access rules, as in a configuration file.
    pub fn access(mut self, yaml: &str) -> Self {
        self.policy = policy(yaml);
        self
    }

    /// With a door for TLS, and a certificate for this name.
    pub fn tls(mut self, name: &str) -> Self {
        self.tls = Some(identity(name));
        self
    }

    /// TCP only.
    pub fn without_udp(mut self) -> Self {
        self.udp = false;
        self
    }

    /// As `serve-file --classic`.
    pub fn classic(mut self) -> Self {
        self.classic = true;
        self
    }

    pub async fn start(self) -> Relay {
        let metrics = Arc::new(Metrics::new());
        let hub = Arc::new(Hub::new(Arc::clone(&metrics)));
        let workers = Workers::start(2, &metrics).expect("threads");
        let (stop, stop_sources) = (CancellationToken::new(), CancellationToken::new());
        let (shared, mut sources) = (Sources::new(Arc::clone(&metrics)), BTreeMap::new());
        for (name, settings) in self.streams {
            let stop = start_source(&hub, &workers, &shared, &stop_sources, &name, settings);
            sources.insert(name, stop);
        }
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((loopback, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let udp = self.udp.then(|| UdpPorts::bind(loopback, (0, 0)).expect("a pair of UDP ports"));
        let mut mounts = Mounts::live(Arc::clone(&hub));
        for (name, clip, settings) in self.clips {
            let mount = ClipMount::new(&name, clip, settings, &metrics);
            mounts.clips.insert(name, Arc::new(mount));
        }
        let access = Arc::new(Access::new(self.policy, Arc::clone(&metrics)));
        let server = Server::new(mounts, udp, self.settings, workers.clone(), stop.clone())
            .with_access(Arc::clone(&access));
        let server = if self.classic { server.with_classic() } else { server };
        let websockets = server.websockets();
        let (control, _) = Control::channel();
        let web = Web::new(Arc::clone(&hub), control, Links::default(), stop.clone())
            .with_access(Arc::clone(&access))
            .with_live(LiveDoor::new(move |socket, browser| websockets.take(socket, browser)));
        let sidecar = TcpListener::bind((loopback, 0)).await.expect("a port");
        let web_address = sidecar.local_addr().expect("an address");
        let mut doors = vec![Door { listener, certificates: None }];
        let mut tasks = JoinSet::new();
        let (mut tls, mut web_tls) = (None, None);
        if let Some(identity) = self.tls {
            let certificates = Arc::new(Certificates::new(&identity).expect("suites"));
            let listener = TcpListener::bind((loopback, 0)).await.expect("a port");
            tls = Some((listener.local_addr().expect("an address"), Arc::clone(&certificates)));
            doors.push(Door { listener, certificates: Some(Arc::clone(&certificates)) });
            let (web, web_stop) = (web.clone(), stop.clone());
            let listener = TcpListener::bind((loopback, 0)).await.expect("a port");
            web_tls = Some(listener.local_addr().expect("an address"));
            tasks.spawn(async move {
                web.run_tls(listener, certificates, web_stop).await.expect("the sidecar serves over TLS");
            });
        }
        tasks.spawn(async move { server.run_at(doors).await.expect("the server serves") });
        let web_stop = stop.clone();
        tasks.spawn(async move { web.run(sidecar, web_stop).await.expect("the sidecar serves") });
        Relay {
            hub,
            metrics,
            workers,
            access,
            address,
            web: web_address,
            tls,
            web_tls,
            stop,
            stop_sources,
            shared,
            sources: Mutex::new(sources),
            _tasks: tasks,
        }
    }
}

/// Sixteen groups on loopback that no other test has, of this run or one beside it.
fn groups() -> Groups {
    let network = Ipv4Addr::from(0xEFC0_0000 | rand::random_range(0..1 << 14) << 4);
    Groups {
        addresses: format!("{network}/28").parse().expect("a network"),
        port: 2 * rand::random_range(10_000..16_000),
        ttl: 1,
        interface: Some(Ipv4Addr::LOCALHOST),
    }
}

/// The policy of a configuration file.
pub fn policy(yaml: &str) -> Policy {
    Policy::of(&Config::parse(yaml, &|_| None).unwrap_or_else(|problems| panic!("{problems}")))
}

fn start_source(
    hub: &Arc<Hub>,
    workers: &Workers,
    sources: &Sources,
    stop: &CancellationToken,
    name: &str,
    settings: StreamSettings,
) -> CancellationToken {
    let publisher = hub.add_with(name, settings.viewing.clone());
    let (stop, sources) = (stop.child_token(), sources.clone());
    let told = stop.clone();
    workers.spawn("source", move || source::run(publisher, settings, sources, told));
    stop
}
