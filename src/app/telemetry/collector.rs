//! The HTTP that goes to a collector: one POST to a connection, as seldom as every few seconds.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::source;

/// The client of the exporter, on whose thread it blocks.
#[derive(Debug)]
pub(super) struct Collector {
    /// For each step of a request.
    limit: Duration,
    /// The last request failed, and that was said.
    failing: AtomicBool,
}

impl Collector {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, failing: AtomicBool::new(false) }
    }

    fn send(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let host = request.uri().host().unwrap_or_default();
        let posted = post(request, self.limit);
        let problem = match &posted {
            Ok(200..300) => None,
            Ok(status) => Some(format!("it answers {status}")),
            Err(error) => Some(format!("{error:#}")),
        };
        // Once, and not at every batch.
        match problem {
            Some(problem) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    host,
                    "traces do not reach the collector and are lost, as long as this lasts: {problem}"
                );
            }
            None if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!(host, "traces reach the collector again");
            }
            Some(_) | None => {}
        }
        Ok(Response::builder().status(posted?).body(Bytes::new())?)
    }
}

impl HttpClient for Collector {
    fn send_bytes<'c, 'f>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'c: 'f,
        Self: 'f,
    {
        Box::pin(async move { self.send(&request) })
    }
}

/// Sends a request, and reads the status of its answer. Errors name no header and no more of the URL than the host.
fn post(request: &Request<Bytes>, limit: Duration) -> anyhow::Result<u16> {
    let until = Instant::now() + limit;
    let uri = request.uri();
    let (Some(host), Some(scheme @ ("http" | "https"))) = (uri.host(), uri.scheme_str()) else {
        bail!("its endpoint is not an http:// or https:// URL")
    };
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let bare = host.trim_matches(['[', ']']);
    let mut refused = None;
    let addresses = (bare, port).to_socket_addrs().with_context(|| format!("cannot look up {host}"))?;
    let connected = addresses.into_iter().find_map(|address| {
        TcpStream::connect_timeout(&address, left(until)).map_err(|error| refused = Some(error)).ok()
    });
    let Some(mut socket) = connected else {
        let error = refused.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        return Err(error).with_context(|| format!("cannot connect to {host}:{port}"));
    };
    socket.set_read_timeout(Some(left(until)))?;
    socket.set_write_timeout(Some(left(until)))?;
    let status = if scheme == "https" {
        let name = ServerName::try_from(bare.to_owned()).context("its name is none that TLS knows")?;
        let keys = ClientConnection::new(source::system_authorities()?, name)?;
        exchange(&mut StreamOwned::new(keys, socket), request, host, port)
    } else {
        exchange(&mut socket, request, host, port)
    };
    status.with_context(|| format!("no answer from {host}:{port}"))
}

fn exchange(
    socket: &mut (impl Read + Write),
    request: &Request<Bytes>,
    host: &str,
    port: u16,
) -> io::Result<u16> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n").into_bytes();
    for (name, value) in request.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", request.body().len()).as_bytes());
    bytes.extend_from_slice(request.body());
    socket.write_all(&bytes)?;
    socket.flush()?;
    let mut head = [0; "HTTP/1.1 200".len()];
    socket.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|status| status.parse().ok());
    status.filter(|_| head.starts_with(b"HTTP/1.")).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// At least a moment: no time at all would mean no limit.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
