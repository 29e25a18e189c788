//! `fanlight serve-file`: the bundled file server on its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::cli::ServeFileArgs;
use super::misbehave::{Act, Schedule};
use super::stop::StopSignals;
use super::{Stopped, listen, reachable, say};
use crate::config::{Config, StreamName};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::rtsp::Limits;
use crate::server::{ClipMount, ClipSettings, Mounts, Server, Settings, UdpPorts};
use crate::source;
use crate::workers::Workers;

pub(super) async fn run(args: ServeFileArgs) -> anyhow::Result<Stopped> {
    let clip = source::load(&args.file).map_err(anyhow::Error::msg)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let name: StreamName = name.parse().with_context(|| format!("`{name}` cannot be a name (--name)"))?;
    let metrics = Arc::new(Metrics::new());
    let workers = Workers::start(1, &metrics).context("cannot start a thread")?;
    let fps = args.fps.unwrap_or(if args.classic { CLASSIC_FPS } else { FPS });
    let clip_settings = ClipSettings { fps, packet_size: args.packet_size.into(), repeat: args.repeat };
    let frames = clip.frames().len();
    let mount = ClipMount::new(name.as_str(), Arc::new(clip), clip_settings, &metrics);
    let mut clips = BTreeMap::from([(name.to_string(), Arc::new(mount))]);
    if let (true, Some(file), Some(mount)) =
        (args.classic, args.file.file_name(), clips.get(name.as_str()).cloned())
    {
        // The exercise asks for the file by its whole name.
        clips.insert(file.to_string_lossy().into_owned(), mount);
    }
    let mounts = Mounts { hub: Arc::new(Hub::new(metrics)), clips };
    let mut signals = StopSignals::listen().context("cannot watch for SIGTERM")?;
    let listener = listen(args.listen, "--listen")?;
    let address = listener.local_addr()?;
    let start = |listener| -> anyhow::Result<_> {
        let ports = UdpPorts::bind(address.ip(), (0, 0)).context("no UDP ports")?;
        let stop = CancellationToken::new();
        let mut server = Server::new(mounts.clone(), Some(ports), settings(), workers.clone(), stop.clone());
        if args.classic {
            server = server.with_classic();
        }
        Ok((stop, Box::pin(server.run(listener))))
    };
    let mut up = Some(start(listener)?);
    say(format_args!("rtsp://{}/{name}", reachable(address)));
    tracing::info!(file = %args.file.display(), frames, fps, "serving");
    let mut acts = args.misbehave.iter().flat_map(Schedule::acts);
    loop {
        let act = acts.next();
        match (act, up.take()) {
            (Some((Act::Refuse, _)), Some((stop, serving))) => {
                tracing::info!("connections are ended and refused");
                stop.cancel();
                drop(serving);
                workers.drained(GOODBYE).await;
            }
            (Some((Act::Refuse, _)), None) => {}
            (_, Some(serving)) => up = Some(serving),
            (_, None) => {
                tracing::info!("connections are taken again");
                up = Some(start(listen(address, "--listen")?)?);
            }
        }
        if let Some((Act::Hang, length)) = act {
            tracing::info!(seconds = length.as_secs_f64(), "hanging");
            // All that is served is served by this one thread.
            workers.spawn("hang", move || async move { std::thread::sleep(length) });
        }
        let serving = async {
            match &mut up {
                Some((_, serving)) => serving.await,
                None => std::future::pending().await,
            }
        };
        let over = async {
            match act {
                Some((_, length)) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = serving => ended.context("the server ended")?,
            () = over => continue,
            () = signals.told() => {}
        }
        break;
    }
    if let Some((stop, _)) = &up {
        stop.cancel();
    }
    Ok(match workers.drained(GRACE).await {
        0 => Stopped::Cleanly,
        _ => Stopped::Hastily,
    })
}

/// The limits of a relay that is not configured.
pub(super) fn settings() -> Settings {
    settings_of(&Config::default())
}

/// The server's part of a configuration.
pub(super) fn settings_of(config: &Config) -> Settings {
    Settings {
        session_timeout: config.rtsp.session_timeout,
        advertised_timeout: config.rtsp.advertised_session_timeout(),
        write_timeout: config.rtsp.write_timeout,
        describe_timeout: config.rtsp.describe_timeout,
        request_timeout: REQUEST_TIMEOUT,
        capacity: config.rtsp.capacity,
        limits: Limits::default(),
        groups: config.rtsp.groups,
    }
}

/// Frames a second of a film.
const FPS: f64 = 24.0;

/// What the exercise's clients are made for.
const CLASSIC_FPS: f64 = 20.0;

/// A request that drips in is given up after this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long viewers may take to be gone when connections are ended.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long viewers may take to be gone.
const GRACE: Duration = Duration::from_secs(5);
