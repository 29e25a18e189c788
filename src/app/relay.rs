//! The relay: everything started, in order, and stopped in the other order.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cli::RelayArgs;
use super::config_file::ConfigFile;
use super::reload::Reload;
use super::stop::StopSignals;
use super::streams::{Put, Streams};
use super::{Mode, Plan, Stopped, demo, incidents, listen, reachable, say, serve_file};
use crate::access::{Access, Policy};
use crate::config::{Config, StreamName, Tls};
use crate::hub::Hub;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::server::{Door, Mounts, Server, UdpPorts, WebSockets};
use crate::tls::Certificates;
use crate::web::{Change, Command, Control, Kept, Links, LiveDoor, Web};
use crate::workers::Workers;

pub(super) async fn run(plan: Plan, args: &RelayArgs, journal: Arc<Journal>) -> anyhow::Result<Stopped> {
    let Plan { mut config, mode } = plan;
    let metrics = Arc::new(Metrics::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers =
        Workers::start(args.workers.map_or(cores, usize::from), &metrics).context("cannot start a thread")?;
    let hub = Arc::new(Hub::new(Arc::clone(&metrics)));
    let (stop, draining, web_stop) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());

    let mut signals = StopSignals::listen().context("cannot watch for SIGTERM")?;
    write_no_core_dump();
    raise_descriptor_limit(config.rtsp.capacity.connections);
    let rtsp = match config.rtsp.listen {
        Some(address) => Some(listen(address, "rtsp.listen")?),
        None => None,
    };
    let http = match config.http.listen {
        Some(address) => Some(listen(address, "http.listen")?),
        None => None,
    };
    let certificates = match &config.tls {
        Some(tls) => Some(Arc::new(certify(tls, &metrics)?)),
        None => None,
    };
    let rtsps = match config.rtsp.tls_listen {
        Some(address) => Some(listen(address, "rtsp.tls_listen")?),
        None => None,
    };
    let https = match config.http.tls_listen {
        Some(address) => Some(listen(address, "http.tls_listen")?),
        None => None,
    };
    let reload = match &mode {
        Mode::File(file) => Some(Reload::watch(file, &config).context("cannot watch for SIGHUP")?),
        Mode::Demo | Mode::Camera => None,
    };
    let camera_stop = CancellationToken::new();
    let camera = match &mode {
        Mode::Demo => Some(demo::Camera::new(&workers, camera_stop.clone()).await?),
        Mode::Camera | Mode::File(_) => None,
    };
    if let Some(camera) = &camera {
        config.streams = Config::for_camera(demo::NAME, &camera.url)?.streams;
    }

    let addresses = Addresses::of([&rtsp, &http, &rtsps, &https].map(Option::as_ref))?;
    let udp = udp_ports(&config, addresses.rtsp.map(|address| address.ip()), &mode)?;
    let mut streams =
        Streams::new(Arc::clone(&hub), workers.clone(), Arc::clone(&config.profiles), Arc::clone(&journal));
    streams.apply(&BTreeMap::new(), &config.streams);
    let access = Arc::new(Access::new(Policy::of(&config), Arc::clone(&metrics)));
    let server = Server::new(
        Mounts::live(Arc::clone(&hub)),
        udp,
        serve_file::settings_of(&config),
        workers.clone(),
        stop.clone(),
    )
    .with_access(Arc::clone(&access));
    let websockets = server.websockets();
    let file = match &mode {
        Mode::File(file) if config.http.write_config => ConfigFile::Written(file.clone()),
        Mode::File(_) => ConfigFile::Untouched,
        Mode::Demo | Mode::Camera => ConfigFile::None,
    };
    let (control, mut commands) = Control::channel();
    let links = Links {
        rtsp_port: addresses.rtsp.map(|address| address.port()),
        rtsps_port: addresses.rtsps.map(|address| address.port()),
    };
    let web = Web::new(Arc::clone(&hub), control, links, draining.clone())
        .with_access(Arc::clone(&access))
        .with_journal(journal)
        .with_listeners(config.http.max_listeners)
        .with_live(live_door(websockets));

    addresses.announce(&config, &mode);
    let (grace, written) = (config.shutdown_grace, config.incidents.clone());
    let mut doors: Vec<Door> =
        rtsp.into_iter().map(|listener| Door { listener, certificates: None }).collect();
    doors.extend(rtsps.map(|listener| Door { listener, certificates: certificates.clone() }));
    let rtsp_ends = async {
        if doors.is_empty() {
            return std::future::pending().await;
        }
        server.run_at(doors).await.context("the RTSP server ended")
    };
    let camera_ends = async {
        match camera {
            Some(camera) => camera.server.run(camera.listener).await.context("the demo's camera ended"),
            None => std::future::pending().await,
        }
    };
    let web_ends = async {
        let plain = async {
            match http {
                Some(listener) => web.clone().run(listener, web_stop.clone()).await,
                None => {
                    web_stop.cancelled().await;
                    Ok(())
                }
            }
        };
        let secure = async {
            match https.zip(certificates.clone()) {
                Some((listener, certificates)) => {
                    web.clone().run_tls(listener, certificates, web_stop.clone()).await
                }
                None => {
                    web_stop.cancelled().await;
                    Ok(())
                }
            }
        };
        tokio::try_join!(plain, secure).map(drop).context("the HTTP server ended")
    };
    tokio::pin!(web_ends);
    tokio::select! {
        ended = rtsp_ends => ended?,
        ended = camera_ends => ended?,
        ended = &mut web_ends => ended?,
        () = signals.told() => {}
        never = hub.keep_history() => match never {},
        never = incidents::write(&hub, &written) => match never {},
        never = change(&mut config, &mut streams, &access, certificates.as_deref(), reload, &mut commands, &file) => match never {},
    }

    tracing::info!("stopping");
    draining.cancel();
    stop.cancel();
    streams.stop();
    let drained = async {
        // The demo's camera hears TEARDOWN before it goes; the web server is last, so that the end can be watched.
        camera_stop.cancel();
        let left = workers.drained(grace).await;
        web_stop.cancel();
        left
    };
    tokio::select! {
        (left, web) = async { tokio::join!(drained, web_ends) } => {
            web?;
            Ok(if left == 0 { Stopped::Cleanly } else { Stopped::Hastily })
        }
        () = signals.told() => Ok(Stopped::Hastily),
    }
}

/// Where browsers go from the sidecar to the RTSP server.
fn live_door(websockets: WebSockets) -> LiveDoor {
    LiveDoor::new(move |socket, browser| websockets.take(socket, browser))
}

/// The certificate for the TLS ports to begin with.
fn certify(tls: &Tls, metrics: &Metrics) -> anyhow::Result<Certificates> {
    let certificates = Certificates::new(&tls.identity).context("tls")?;
    note_expiry(tls, metrics);
    Ok(certificates)
}

/// Shows another certificate to new connections.
fn show(certificates: &Certificates, tls: &Tls, metrics: &Metrics) {
    match certificates.replace(&tls.identity) {
        Ok(()) => {
            tracing::info!(certificate = %tls.certificate.display(), "new connections get the new certificate");
            note_expiry(tls, metrics);
        }
        Err(error) => tracing::error!(%error, "the new certificate cannot be used: the old one stays"),
    }
}

/// Puts into the metrics when the certificate expires, and says so when that is soon.
fn note_expiry(tls: &Tls, metrics: &Metrics) {
    let Some(expires) = tls.identity.expires() else { return };
    let since_1970 = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics.certificate_expiry.set(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX));
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    if left <= EXPIRES_SOON {
        let days = left.as_secs() / 86_400;
        tracing::warn!(certificate = %tls.certificate.display(), days, "the certificate expires soon, or has expired");
    }
}

/// Passwords of cameras are in memory, and would be in a dump of it. Whoever needs one sets the limit again
/// (`prlimit --core=unlimited --pid PID`), for it is the soft one, and what the dump holds (`echo 0x33 >
/// /proc/PID/coredump_filter`, core(5)): a handler that the kernel pipes dumps to asks for no limit.
fn write_no_core_dump() {
    let lowered = rlimit::getrlimit(rlimit::Resource::CORE)
        .and_then(|(_, hard)| rlimit::setrlimit(rlimit::Resource::CORE, 0, hard));
    if let Err(error) = lowered {
        tracing::debug!(%error, "core dumps cannot be turned off");
    }
    if let Err(error) = std::fs::write("/proc/self/coredump_filter", HEADERS_ONLY) {
        tracing::debug!(%error, "memory cannot be left out of core dumps");
    }
}

/// Of all that is mapped a dump holds the headers of files: which build it was, and nothing that it knew (core(5)).
const HEADERS_ONLY: &str = "0x10";

/// Lets the process have as many descriptors as the system allows, and says when that may be too few.
fn raise_descriptor_limit(connections: u32) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < u64::from(connections) + OTHER_DESCRIPTORS => {
            tracing::warn!(
                limit,
                connections,
                "fewer descriptors than rtsp.max_connections may need: raise the hard limit (ulimit -n, LimitNOFILE)"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of descriptors cannot be raised"),
    }
}

/// Applies what the configuration file and the API ask for, for ever.
async fn change(
    config: &mut Config,
    streams: &mut Streams,
    access: &Access,
    certificates: Option<&Certificates>,
    mut reload: Option<Reload>,
    commands: &mut mpsc::Receiver<Command>,
    file: &ConfigFile,
) -> std::convert::Infallible {
    loop {
        let reloaded = async {
            match &mut reload {
                Some(reload) => reload.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            new = reloaded => {
                if new.rtsp != config.rtsp || new.http != config.http {
                    tracing::warn!("changes of `rtsp` and `http` need a restart; the streams are reloaded");
                }
                if let (Some(certificates), Some(tls)) = (certificates, &new.tls)
                    && new.tls != config.tls
                {
                    show(certificates, tls, streams.metrics());
                }
                streams.apply(&config.streams, &new.streams);
                // Also when the file is the same: passwords may stand in files of their own.
                access.replace(Policy::of(&new));
                config.tls = new.tls;
                config.streams = new.streams;
                config.defaults = new.defaults;
                tracing::info!(streams = config.streams.len(), "configuration reloaded");
            }
            Some(command) = commands.recv() => obey(command, config, streams, file).await,
        }
    }
}

async fn obey(command: Command, config: &mut Config, streams: &mut Streams, file: &ConfigFile) {
    // Whoever asked may have gone.
    match command {
        Command::Put { name, mut stream, reply } => {
            // As the file has it where that is what runs: it may be written otherwise since the stream began.
            let running = streams.settings(&name);
            let before = config.streams.get(&name).filter(|settings| running == Some(settings)).or(running);
            let before = before.map(|settings| settings.written.clone()).unwrap_or_default();
            if let Err(problems) = before.restore(&mut stream) {
                return drop(reply.send(Err(problems)));
            }
            let mut settings = match crate::config::Stream::from_json(&stream, &config.defaults) {
                Ok(settings) => settings,
                Err(problems) => return drop(reply.send(Err(problems))),
            };
            settings.written.comes_after(&before);
            let put = streams.put(&name, &settings);
            let kept = if before.is_from_environment() && config.streams.get(&name) != Some(&settings) {
                // Written out, a secret would be in a file that was to be free of it.
                let why =
                    "some of it comes from the environment, and would be written out: change it by hand";
                Kept::UntilRestart(why.to_owned())
            } else {
                file.keep(name.clone(), Some(stream)).await
            };
            tracing::info!(stream = %name, ?put, ?kept, "changed through the API");
            if kept == Kept::InFile {
                config.streams.insert(name, settings); // the file is read again, and finds nothing new
            }
            let change = match put {
                Put::Created => Change::Created,
                Put::Replaced => Change::Replaced,
                Put::Unchanged => Change::Unchanged,
            };
            let _ = reply.send(Ok((change, kept)));
        }
        Command::Delete { name, reply } => {
            let kept = match streams.remove(&name) {
                true => Some(file.keep(name.clone(), None).await),
                false => None,
            };
            tracing::info!(stream = %name, ?kept, "deleted through the API");
            if kept == Some(Kept::InFile) {
                config.streams.remove(&name);
            }
            let _ = reply.send(kept);
        }
    }
}

/// The pair of ports for UDP viewers. Without a configuration file the usual pair may be taken (by another relay, say):
/// any other does as well.
fn udp_ports(config: &Config, ip: Option<IpAddr>, mode: &Mode) -> anyhow::Result<Option<UdpPorts>> {
    let (Some(ip), Some(ports)) = (ip, config.rtsp.udp_ports) else { return Ok(None) };
    match (UdpPorts::bind(ip, ports), mode) {
        (Err(error), Mode::Demo | Mode::Camera) => {
            let found = UdpPorts::bind(ip, (0, 0)).context("no UDP ports")?;
            let ports = found.ports();
            tracing::info!(%error, rtp = ports.rtp, rtcp = ports.rtcp, "other UDP ports are used");
            Ok(Some(found))
        }
        (bound, _) => bound.map(Some).context("rtsp.udp_ports"),
    }
}

/// Where the relay is to be reached.
struct Addresses {
    rtsp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    rtsps: Option<SocketAddr>,
    https: Option<SocketAddr>,
}

impl Addresses {
    /// Of the listeners, in the order of the fields.
    fn of(listeners: [Option<&TcpListener>; 4]) -> std::io::Result<Self> {
        let [rtsp, http, rtsps, https] =
            listeners.map(|listener| listener.map(TcpListener::local_addr).transpose());
        Ok(Self { rtsp: rtsp?, http: http?, rtsps: rtsps?, https: https? })
    }

    /// Says what to open: on stdout where the user asked to share something right now, else in the log.
    fn announce(&self, config: &Config, mode: &Mode) {
        let rtsp = self.rtsp.into_iter().flat_map(|address| {
            config
                .streams
                .keys()
                .map(move |name: &StreamName| format!("rtsp://{}/{name}", reachable(address)))
        });
        match mode {
            Mode::Demo | Mode::Camera => {
                for url in rtsp {
                    say(format_args!("watch    {url}"));
                }
                if let Some(address) = self.http {
                    say(format_args!("status   http://{}/", reachable(address)));
                    say(format_args!("metrics  http://{}/metrics", reachable(address)));
                }
            }
            Mode::File(file) => {
                let Self { rtsp, http, rtsps, https } = self;
                let streams = config.streams.len();
                tracing::info!(config = %file.display(), streams, ?rtsp, ?http, ?rtsps, ?https, "serving");
            }
        }
    }
}

/// Descriptors for everything but viewers' connections: cameras, listeners, event loops, files.
const OTHER_DESCRIPTORS: u64 = 512;

/// A certificate that expires within this time is warned of whenever it is read: those that renew themselves have a new one
/// a month before.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);
