//! `fanlight healthcheck`: asks a running relay whether it is well. Images have no curl.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use url::Url;

/// Succeeds when a GET of `url` is answered with 200.
pub(super) fn run(url: &str) -> anyhow::Result<()> {
    let parsed = Url::parse(url).with_context(|| format!("`{url}` is not a URL"))?;
    let (Some(host), "http") = (parsed.host_str(), parsed.scheme()) else {
        bail!("`{url}` is not an http:// URL")
    };
    let port = parsed.port_or_known_default().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .with_context(|| format!("cannot look up {host}"))?
        .next()
        .with_context(|| format!("{host} has no address"))?;
    let mut socket = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("cannot connect to {address}"))?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.set_write_timeout(Some(LIMIT))?;
    write!(socket, "GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", parsed.path())?;
    let mut head = [0; 12]; // `HTTP/1.1 200`
    socket.read_exact(&mut head).with_context(|| format!("no answer from {address}"))?;
    match &head {
        [.., b'2', b'0', b'0'] => Ok(()),
        other => bail!("{url} answers {}", String::from_utf8_lossy(other)),
    }
}

const LIMIT: Duration = Duration::from_secs(3);
