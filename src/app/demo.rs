//! The demo: the bundled clip, played by the bundled file server as if it were a camera.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve_file::settings;
use crate::hub::Hub;
use crate::jpeg::Clip;
use crate::metrics::Metrics;
use crate::server::{ClipMount, ClipSettings, Mounts, Server};
use crate::workers::Workers;

/// A camera that is none.
pub(super) struct Camera {
    /// Where it is.
    pub(super) url: String,
    pub(super) listener: TcpListener,
    pub(super) server: Server,
}

impl Camera {
    /// Opens the file server's port, or any port when that one is taken.
    pub(super) async fn new(workers: &Workers, stop: CancellationToken) -> anyhow::Result<Self> {
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let listener = match TcpListener::bind(usual).await {
            Ok(listener) => listener,
            Err(_) => {
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the demo's camera")?
            }
        };
        // Not the relay's metrics: the demo's camera is another program by rights.
        let metrics = Arc::new(Metrics::new());
        let clip = ClipSettings { fps: f64::from(Clip::DEMO_FPS), packet_size: PACKET_SIZE, repeat: true };
        let mount = ClipMount::new(NAME, Arc::new(Clip::demo()), clip, &metrics);
        let mounts = Mounts {
            hub: Arc::new(Hub::new(metrics)),
            clips: BTreeMap::from([(NAME.to_owned(), Arc::new(mount))]),
        };
        let url = format!("rtsp://{}/{NAME}", listener.local_addr()?);
        Ok(Self { url, listener, server: Server::new(mounts, None, settings(), workers.clone(), stop) })
    }
}

/// The demo's stream.
pub(super) const NAME: &str = "demo";

const PORT: u16 = 9554;

const PACKET_SIZE: usize = 1400;
