//! Keeps one stream's source running: while it is wanted, until it is stopped.

use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::clients::Clients;
use super::driver::Driver;
use super::file::File;
use super::hosts::Sources;
use super::plan::{Known, Plan};
use super::session::Client;
use crate::config::{Source, Stream as Settings};
use crate::hub::{Care, Publisher, Stream};
use crate::spans;

/// Runs the source of one stream until `stop`: connects (for an on-demand stream when somebody wants it), publishes,
/// and tries again after every failure.
pub async fn run(publisher: Publisher, settings: Settings, sources: Sources, stop: CancellationToken) {
    let span = spans::stream(publisher.stream().name());
    let client: Box<dyn Client> = match &settings.source {
        Source::Cameras(cameras) => {
            let (memory, metrics) = (sources.clients().clone(), sources.metrics().clone());
            let capture = publisher.stream().capture().clone();
            Box::new(Clients::new(cameras, &settings, memory, sources.quirks().clone(), metrics, capture))
        }
        Source::File { path, fps, packet_size } => {
            Box::new(File { path: path.clone(), fps: *fps, packet_size: *packet_size })
        }
    };
    let care = Care { grace: settings.outage_grace, no_signal: settings.no_signal };
    // A task of its own, so that packets do not wake it; it ends with the set.
    let mut beside = JoinSet::new();
    beside.spawn_local(care.run(publisher.stream().clone()));
    supervise(publisher, &settings, client, sources, stop).instrument(span).await;
}

/// The same with sessions of any kind.
pub(super) async fn supervise(
    mut publisher: Publisher,
    settings: &Settings,
    client: Box<dyn Client>,
    sources: Sources,
    stop: CancellationToken,
) {
    let stream = publisher.stream().clone();
    let warm = settings.on_demand_warm && matches!(settings.source, Source::Cameras(_));
    let close_after = settings.on_demand.then_some(settings.on_demand_close_after);
    let mut driver = Driver::new(Plan::new(settings), Known::all(settings), client, sources);
    loop {
        if settings.on_demand && *stream.demand().borrow() == 0 {
            publisher.idle();
            let mut demand = stream.demand();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = demand.wait_for(|count| *count > 0) => driver.start(),
                never = driver.rest(&mut publisher), if warm => match never {},
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = stream.reconnect_requested() => driver.reconnect(&mut publisher),
            () = unwatched(&stream, close_after) => {
                tracing::info!("nobody watches: the session is closed");
                publisher.flush();
                driver.close().await;
            }
            never = driver.drive(&mut publisher) => match never {},
        }
    }
    publisher.flush();
    driver.close().await;
}

/// Waits until nobody has wanted an on-demand stream for this long; forever for other streams.
async fn unwatched(stream: &Stream, close_after: Option<Duration>) {
    let Some(close_after) = close_after else { return std::future::pending().await };
    let mut demand = stream.demand();
    loop {
        // Closed only when the stream is gone, and then somebody stops us.
        if demand.wait_for(|count| *count == 0).await.is_err() {
            return std::future::pending().await;
        }
        let mut wanted = pin!(demand.wait_for(|count| *count > 0));
        if time::timeout(close_after, &mut wanted).await.is_err() {
            return;
        }
    }
}
