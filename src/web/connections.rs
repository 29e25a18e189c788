//! Connections of the sidecar: a bounded number, none of which can hold its place without making progress.
//!
//! `axum::serve` sets no timeouts, and whoever held all connections open would also keep a container's health check
//! from being answered, after which the relay is restarted and every viewer loses its picture.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::access::Peer;
use crate::metrics::Metrics;
use crate::tls::Certificates;
use crate::workers::panic_message;

/// Serves until `stop`; requests under way then have [`STOP_GRACE`] to finish. A panic ends its connection only.
/// With certificates, it speaks HTTPS.
pub(super) async fn serve(
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
    router: Router,
    metrics: &Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        // At the limit new connections wait in the listener's backlog until one of ours ends.
        let room = connections.len() < MAX_CONNECTIONS;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => note_panic(ended, metrics),
            accepted = accept(&listener), if room => {
                let (socket, peer) = accepted;
                let (router, stop) = (router.clone(), stop.clone());
                match &certificates {
                    None => drop(connections.spawn(connection(Progress::new(socket), peer, false, router, stop))),
                    Some(certificates) => {
                        let (acceptor, metrics) = (certificates.acceptor(), Arc::clone(metrics));
                        connections.spawn(secured(acceptor, socket, peer, router, metrics, stop));
                    }
                }
            }
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended, metrics);
        }
    };
    let _ = time::timeout(STOP_GRACE, finish).await; // what is left is cut off
    connections.shutdown().await;
}

/// The next connection. Out of descriptors, mostly, there is none: some will be closed.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection over TLS. Its handshake has the time of a request's head.
async fn secured(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    peer: SocketAddr,
    router: Router,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let shaken = tokio::select! {
        shaken = time::timeout(HEADER_PATIENCE, acceptor.accept(Progress::new(socket))) => shaken,
        () = stop.cancelled() => return,
    };
    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => connection(stream, peer, true, router, stop).await,
        Err(error) => {
            metrics.tls_handshake_failures.inc();
            tracing::debug!(%peer, %error, "an HTTP connection did not become one over TLS");
        }
    }
}

async fn connection<S>(socket: S, peer: SocketAddr, secure: bool, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer { address: peer, secure });
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

/// The socket under a connection that goes on as something else, its keys, and what was read of it already.
pub(super) fn taken_apart(upgraded: Upgraded) -> Option<(TcpStream, Option<Box<ServerConnection>>, Bytes)> {
    match upgraded.downcast::<TokioIo<Progress<TcpStream>>>() {
        Ok(Parts { io, read_buf, .. }) => Some((io.into_inner().socket, None, read_buf)),
        Err(upgraded) => {
            let secure = upgraded.downcast::<TokioIo<TlsStream<Progress<TcpStream>>>>();
            let Parts { io, read_buf, .. } = secure.ok()?;
            let (socket, keys) = io.into_inner().into_inner();
            Some((socket.socket, Some(Box::new(keys)), read_buf))
        }
    }
}

fn note_panic(ended: Result<(), JoinError>, metrics: &Metrics) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        metrics.task_panics.inc();
        tracing::error!(task = "http", panic = panic_message(&*panic), "a task panicked: this is a bug");
    }
}

/// A socket that fails once its peer has taken nothing for [`WRITE_PATIENCE`].
struct Progress<S> {
    socket: S,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Progress<S> {
    fn new(socket: S) -> Self {
        Self { socket, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = Instant::now() + WRITE_PATIENCE;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, data);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, data);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx) // nothing to a socket, so no sign of progress
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Far more than browsers, scrapers and health checks of one relay need.
const MAX_CONNECTIONS: usize = 256;

/// Bytes of a request's head, and of a buffer of a connection.
const MAX_HEAD: usize = 16 * 1024;

/// Time for the head of a request; also how long a connection may be idle. Prometheus scrapes every 15 s by its own
/// documentation's example, and need not connect anew each time.
const HEADER_PATIENCE: Duration = Duration::from_secs(20);

/// How long a client may take nothing of its answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// Time for answers under way when the relay stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Without a pause the loop would spin for as long as there is no descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(running: &mut JoinSet<()>) -> (SocketAddr, Arc<Metrics>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new());
        let router = Router::new()
            .route("/", get(async || "fine"))
            .route("/panic", get(async || -> &'static str { panic!("for the test") }));
        let counting = Arc::clone(&metrics);
        running
            .spawn(async move { serve(listener, None, router, &counting, CancellationToken::new()).await });
        (address, metrics)
    }

    /// What comes back until the connection is closed.
    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer);
        let _ = time::timeout(Duration::from_secs(600), read).await.expect("the connection is closed");
        answer
    }

    const LAST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_panic_costs_one_connection_and_is_counted() {
        let mut running = JoinSet::new();
        let (address, metrics) = start(&mut running).await;
        assert_eq!(exchange(address, "GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await, "");
        assert!(exchange(address, LAST).await.ends_with("fine"));
        assert_eq!(metrics.task_panics.get(), 1);
    }

    // The clock is stopped and jumps whenever everybody waits.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_becomes_complete_ends_its_connection() {
        let mut running = JoinSet::new();
        let (address, _) = start(&mut running).await;
        let before = Instant::now();
        exchange(address, "GET / HTTP/1.1\r\nHost").await;
        assert!(before.elapsed() >= HEADER_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_make_others_wait_but_not_for_ever() {
        let mut running = JoinSet::new();
        let (address, _) = start(&mut running).await;
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let before = Instant::now();
        assert!(exchange(address, LAST).await.ends_with("fine"));
        assert!(before.elapsed() >= HEADER_PATIENCE, "it was served beside all the others");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut socket = Progress::new(near);
        let before = Instant::now();
        let error = socket.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() >= WRITE_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_served_as_long_as_it_takes_something() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut socket = Progress::new(near);
        let read = async {
            let mut taken = 0;
            while taken < 160 {
                time::sleep(WRITE_PATIENCE / 2).await;
                taken += far.read(&mut [0; 16]).await.unwrap();
            }
        };
        let write = async { socket.write_all(&[0; 160]).await.unwrap() };
        tokio::join!(write, read);
    }
}
