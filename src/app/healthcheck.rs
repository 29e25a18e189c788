//! `fanlight healthcheck`: asks a running relay whether it is well. Images have no curl.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};
use url::Url;

use crate::source;

/// Succeeds when a GET of `url` is answered with 200.
pub(super) fn run(url: &str) -> anyhow::Result<()> {
    let parsed = Url::parse(url).with_context(|| format!("`{url}` is not a URL"))?;
    let (Some(host), "http" | "https") = (parsed.host_str(), parsed.scheme()) else {
        bail!("`{url}` is not an http:// or https:// URL")
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
    let head = match parsed.scheme() {
        "https" => ask(&mut encrypted(host, socket)?, host, parsed.path()),
        _ => ask(&mut socket, host, parsed.path()),
    };
    match &head.with_context(|| format!("no answer from {address}"))? {
        [.., b'2', b'0', b'0'] => Ok(()),
        other => bail!("{url} answers {}", String::from_utf8_lossy(other)),
    }
}

/// The first bytes of the answer to a GET of `path`: `HTTP/1.1 200`.
fn ask(socket: &mut (impl Read + Write), host: &str, path: &str) -> io::Result<[u8; 12]> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    // In one piece: a server that answers what it read first and closes must not make the rest fail.
    socket.write_all(request.as_bytes())?;
    let mut head = [0; 12];
    socket.read_exact(&mut head)?;
    Ok(head)
}

/// TLS with whoever answers: the question is no secret, and a relay's certificate need not be for the address that its
/// container asks.
fn encrypted(host: &str, socket: TcpStream) -> anyhow::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .with_context(|| format!("`{host}` is no name that TLS knows"))?;
    Ok(StreamOwned::new(ClientConnection::new(source::any_certificate()?, name)?, socket))
}

const LIMIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What `run` makes of a server that reads once, answers and closes.
    fn asked(status: &'static str) -> (anyhow::Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/livez", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = socket.read(&mut request).unwrap();
            // In one piece: who asks closes as soon as it has read the status, and the rest would be refused.
            socket.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let result = run(&url);
        (result, server.join().unwrap())
    }

    #[test]
    fn the_request_comes_in_one_piece_and_200_is_well() {
        let (result, request) = asked("200 OK");
        assert!(
            request.starts_with("GET /livez HTTP/1.1\r\n") && request.ends_with("\r\n\r\n"),
            "{request:?}"
        );
        result.unwrap();
    }

    #[test]
    fn any_other_status_is_named() {
        let (result, _) = asked("503 Service Unavailable");
        assert!(result.unwrap_err().to_string().ends_with("answers HTTP/1.1 503"));
    }
}
