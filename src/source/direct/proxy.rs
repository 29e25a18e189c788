//! Through a proxy: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 section 9.3.6).

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::link::{Duplex, io_error};
use crate::config::{Credentials, Proxy, ProxyKind};
use crate::rtsp::auth::basic;
use crate::rtsp::{Limits, parse_http_head};
use crate::source::error::{Error, Step};
use crate::vocabulary::FailureClass;

/// Asks the proxy at the other end of `stream` to connect to the camera. The name is looked up there.
pub(super) async fn through(
    proxy: &Proxy,
    stream: &mut dyn Duplex,
    host: &str,
    port: u16,
) -> Result<(), Error> {
    match proxy.kind {
        ProxyKind::Socks5 => socks5(proxy, stream, host, port).await,
        ProxyKind::Http => http(proxy, stream, host, port).await,
    }
}

async fn socks5(proxy: &Proxy, stream: &mut dyn Duplex, host: &str, port: u16) -> Result<(), Error> {
    let methods: &[u8] = if proxy.credentials.is_some() { &[0, 2] } else { &[0] };
    let mut hello = vec![5, methods.len() as u8];
    hello.extend(methods);
    write(stream, &hello).await?;
    let [version, method] = read::<2>(stream).await?;
    if version != 5 {
        return Err(refused("what answers is no SOCKS5 proxy"));
    }
    match (method, &proxy.credentials) {
        (0, _) => {}
        (2, Some(credentials)) => {
            let mut login = vec![1];
            for text in [credentials.username.as_str(), credentials.password.reveal()] {
                let len = u8::try_from(text.len());
                login.push(len.map_err(|_| refused("a user name or password of more than 255 bytes"))?);
                login.extend(text.as_bytes());
            }
            write(stream, &login).await?;
            let [_, status] = read::<2>(stream).await?;
            if status != 0 {
                return Err(denied("the proxy refuses the user name or the password"));
            }
        }
        (2, None) => return Err(denied("the proxy asks for a user name and a password")),
        _ => return Err(denied("the proxy asks for a login other than a password")),
    }
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(std::net::IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            let len = u8::try_from(host.len()).map_err(|_| refused("a host name of more than 255 bytes"))?;
            request.extend([3, len]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    write(stream, &request).await?;
    let [_, reply, _, kind] = read::<4>(stream).await?;
    let rest = match kind {
        1 => 4,
        4 => 16,
        _ => usize::from(read::<1>(stream).await?[0]),
    };
    if reply != 0 {
        return Err(socks5_error(reply));
    }
    let mut bound = vec![0; rest + 2];
    stream.read_exact(&mut bound).await.map_err(|error| failed(&error))?;
    Ok(())
}

async fn http(proxy: &Proxy, stream: &mut dyn Duplex, host: &str, port: u16) -> Result<(), Error> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(Credentials { username, password }) = &proxy.credentials {
        request += &format!("Proxy-Authorization: {}\r\n", basic(username, password.reveal()));
    }
    request += "\r\n";
    write(stream, request.as_bytes()).await?;
    let mut buf = BytesMut::new();
    loop {
        // Byte by byte, because what follows the head is the camera's.
        let [byte] = read::<1>(stream).await?;
        buf.extend_from_slice(&[byte]);
        if byte != b'\n' {
            continue;
        }
        let head = parse_http_head(&buf, &Limits::default())
            .map_err(|error| refused(&format!("what answers is no HTTP proxy: {error}")))?;
        match head.map(|(head, _)| head.status.0) {
            None => {}
            Some(200..300) => return Ok(()),
            // tinyproxy says 401 to a wrong password, and 407 to none.
            Some(status @ (401 | 407)) => {
                let words = format!("the proxy asks for another user name or password ({status})");
                return Err(denied(&words));
            }
            Some(status) => return Err(refused(&format!("the proxy answers {status}"))),
        }
    }
}

fn socks5_error(reply: u8) -> Error {
    let (class, words) = match reply {
        2 => (FailureClass::Unauthorized, "the proxy does not allow this connection"),
        3 => (FailureClass::Unreachable, "the proxy cannot reach the camera's network"),
        4 => (FailureClass::Unreachable, "the proxy cannot reach the camera"),
        5 => (FailureClass::Refused, "the camera refuses the proxy's connection"),
        6 => (FailureClass::ConnectTimeout, "the proxy's connection to the camera timed out"),
        _ => (FailureClass::Protocol, "the proxy failed"),
    };
    Error::new(class, format!("proxy: {words} (SOCKS5 reply {reply})"))
}

async fn write(stream: &mut dyn Duplex, bytes: &[u8]) -> Result<(), Error> {
    stream.write_all(bytes).await.map_err(|error| failed(&error))?;
    stream.flush().await.map_err(|error| failed(&error))
}

async fn read<const N: usize>(stream: &mut dyn Duplex) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn failed(error: &std::io::Error) -> Error {
    io_error(error, Step::Connect, "proxy")
}

fn refused(why: &str) -> Error {
    Error::new(FailureClass::Protocol, format!("proxy: {why}"))
}

fn denied(why: &str) -> Error {
    Error::new(FailureClass::Unauthorized, format!("proxy: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Talks to a proxy that answers each of our writes in turn; gives what we wrote, and how it went.
    async fn talk(proxy: &str, host: &str, answers: &[&[u8]]) -> (Vec<u8>, Result<(), Error>) {
        let proxy: Proxy = proxy.parse().unwrap();
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let server = async {
            let mut heard = Vec::new();
            for answer in answers {
                let mut buf = [0; 1024];
                let len = theirs.read(&mut buf).await.unwrap();
                heard.extend_from_slice(&buf[..len]);
                theirs.write_all(answer).await.unwrap();
            }
            heard
        };
        let (heard, done) = tokio::join!(server, through(&proxy, &mut ours, host, 554));
        (heard, done)
    }

    const GRANTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn a_socks5_proxy_is_told_the_name_and_the_port() {
        let (heard, done) = talk("socks5://p", "cam", &[&[5, 0], GRANTED]).await;
        assert_eq!(heard, [&[5, 1, 0, 5, 1, 0, 3, 3][..], b"cam", &[2, 42]].concat());
        assert_eq!(done, Ok(()));
        let (heard, _) = talk("socks5://p", "10.0.0.7", &[&[5, 0], GRANTED]).await;
        assert_eq!(heard[3..], [5, 1, 0, 1, 10, 0, 0, 7, 2, 42]);
    }

    #[tokio::test]
    async fn a_socks5_proxy_is_told_who_we_are_if_it_asks() {
        let (heard, done) = talk("socks5://ann:p%40ss@p", "cam", &[&[5, 2], &[1, 0], GRANTED]).await;
        assert_eq!(heard[..15], [&[5, 2, 0, 2, 1, 3][..], b"ann", &[4], b"p@ss", &[5]].concat());
        assert_eq!(done, Ok(()));
        let (_, done) = talk("socks5://ann:x@p", "cam", &[&[5, 2], &[1, 1]]).await;
        assert_eq!(done.unwrap_err().class, FailureClass::Unauthorized);
    }

    #[tokio::test]
    async fn what_a_socks5_proxy_says_is_told_in_words() {
        for (reply, class) in
            [(5, FailureClass::Refused), (4, FailureClass::Unreachable), (9, FailureClass::Protocol)]
        {
            let (_, done) = talk("socks5://p", "cam", &[&[5, 0], &[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]]).await;
            assert_eq!(done.unwrap_err().class, class);
        }
        let (_, done) = talk("socks5://p", "cam", &[b"HTTP/1.1 400"]).await;
        assert!(done.unwrap_err().message.contains("no SOCKS5 proxy"));
    }

    #[tokio::test]
    async fn an_http_proxy_connects() {
        let (heard, done) =
            talk("http://ann:x@p:3128", "fe80::1", &[b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"]).await;
        let text = String::from_utf8(heard).unwrap();
        assert!(text.starts_with("CONNECT [fe80::1]:554 HTTP/1.1\r\nHost: [fe80::1]:554\r\n"), "{text}");
        assert!(text.contains("Proxy-Authorization: Basic YW5uOng=\r\n"));
        assert_eq!(done, Ok(()));
        for (answer, class) in [
            (&b"HTTP/1.1 407 No\r\n\r\n"[..], FailureClass::Unauthorized),
            (b"HTTP/1.0 401 Unauthorized\r\n\r\n", FailureClass::Unauthorized),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", FailureClass::Protocol),
            (b"SSH-2.0-x\r\n", FailureClass::Protocol),
        ] {
            let (_, done) = talk("http://p", "cam", &[answer]).await;
            assert_eq!(done.unwrap_err().class, class);
        }
    }
}
