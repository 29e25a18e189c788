//! The connection to a camera: TCP, and whatever stands between it and RTSP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::notes::{Note, Notes};
use super::proxy;
use super::target::{Reach, Target};
use super::tls::{self, Trust};
use super::tunnel::Tunnel;
use crate::config::CameraUrl;
use crate::source::error::{Error, Step};
use crate::vocabulary::FailureClass;

/// A stream of bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection over which RTSP is spoken.
pub(super) struct Link {
    pub(super) stream: Box<dyn Duplex>,
    /// The camera's address, to know its datagrams by.
    pub(super) peer: IpAddr,
    /// Our own on the way there.
    pub(super) local: IpAddr,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).field("local", &self.local).finish_non_exhaustive()
    }
}

/// Connects to a camera.
pub(super) async fn connect(target: &Target, reach: &Reach) -> Result<Link, Error> {
    let work = async {
        if !target.tunnel {
            return dial(target, reach).await;
        }
        let ends = Mutex::new(None);
        let tunnel = Tunnel::open(target, || async {
            let link = dial(target, reach).await?;
            *ends.lock().unwrap_or_else(PoisonError::into_inner) = Some((link.peer, link.local));
            Ok(link.stream)
        });
        let stream: Box<dyn Duplex> = Box::new(tunnel.await?);
        let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (peer, local) = ends.expect("a tunnel has connections");
        Ok(Link { stream, peer, local })
    };
    timeout(reach.limit, work).await.unwrap_or_else(|_| {
        let words = format!("no connection within {} s (connect_timeout)", reach.limit.as_secs_f64());
        Err(Error::new(FailureClass::ConnectTimeout, words))
    })
}

/// Connects and shakes hands with whoever answers, without a word of RTSP: to see a certificate that is not taken.
pub(in crate::source) async fn shake_hands(camera: &CameraUrl, reach: &Reach) -> Result<(), Error> {
    let mut reach = reach.clone();
    reach.way.tls_fingerprint = None;
    let target = Target { unverified: true, ..Target::of(camera)? };
    match timeout(reach.limit, dial(&target, &reach)).await {
        Ok(dialled) => dialled.map(drop),
        Err(_) => Err(Error::new(FailureClass::ConnectTimeout, "no certificate")),
    }
}

/// One connection, through a proxy and with TLS where they are wanted.
async fn dial(target: &Target, reach: &Reach) -> Result<Link, Error> {
    let way = &reach.way;
    let (host, port) = match &way.proxy {
        Some(proxy) => (&proxy.host, proxy.port),
        None => (&target.host, target.port),
    };
    let mut tcp = tcp(host, port, way.source_address, &reach.notes).await?;
    let (peer, local) = ends(&tcp)?;
    if let Some(proxy) = &way.proxy {
        proxy::through(proxy, &mut tcp, &target.host, target.port).await?;
    }
    let stream: Box<dyn Duplex> = if target.tls {
        let trust = match way.tls_fingerprint {
            Some(fingerprint) => Trust::Pinned(fingerprint),
            None if target.unverified => Trust::Anybody,
            None => Trust::System,
        };
        let began = Instant::now();
        let tls = tls::over(tcp, &target.host, trust).await?;
        reach.notes.say(|| tls::note(&tls, began.elapsed()));
        Box::new(tls)
    } else {
        Box::new(tcp)
    };
    Ok(Link { stream, peer, local })
}

/// A TCP connection to the first address of the host that takes one.
async fn tcp(host: &str, port: u16, from: Option<IpAddr>, notes: &Notes) -> Result<TcpStream, Error> {
    let began = Instant::now();
    let addresses = lookup_host((host, port)).await.map_err(|error| {
        Error::new(FailureClass::NameLookup, format!("connecting: the host's name: {error}"))
    })?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    notes.say(|| Note::Resolved { addresses: addresses.clone(), took: began.elapsed() });
    let mut last = None;
    for address in addresses
        .into_iter()
        .filter(|address| from.is_none_or(|from| from.is_ipv4() == address.is_ipv4()))
        .take(ADDRESSES_MAX)
    {
        let began = Instant::now();
        match tcp_to(address, from).await {
            Ok(stream) => {
                notes.say(|| Note::Connected { address, took: began.elapsed() });
                return Ok(stream);
            }
            Err(error) => {
                notes.say(|| Note::NoConnection { address, why: error.to_string() });
                last = Some(error);
            }
        }
    }
    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
    Err(match last {
        Some(error) => io_error(&error, Step::Connect, &format!("connecting{from}")),
        None => Error::new(FailureClass::NameLookup, "connecting: the host's name has no usable address"),
    })
}

async fn tcp_to(address: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn ends(stream: &TcpStream) -> Result<(IpAddr, IpAddr), Error> {
    let ends = stream.peer_addr().and_then(|peer| Ok((peer.ip(), stream.local_addr()?.ip())));
    ends.map_err(|error| io_error(&error, Step::Connect, "connecting"))
}

/// What went wrong with a socket, in words that begin with `doing`.
pub(super) fn io_error(error: &io::Error, step: Step, doing: &str) -> Error {
    use io::ErrorKind;
    let class = match error.kind() {
        ErrorKind::ConnectionRefused => FailureClass::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            FailureClass::Unreachable
        }
        ErrorKind::TimedOut if step == Step::Playing => FailureClass::Stall,
        ErrorKind::TimedOut => FailureClass::ConnectTimeout,
        ErrorKind::UnexpectedEof => FailureClass::EndOfStream,
        ErrorKind::InvalidData | ErrorKind::InvalidInput => FailureClass::Protocol,
        _ => FailureClass::Reset,
    };
    Error { step: Some(step), ..Error::new(class, format!("{doing}: {error}")) }
}

/// Of one host; each takes its time when nobody answers.
const ADDRESSES_MAX: usize = 8;
