//! RTSP over HTTP, as QuickTime began it and cameras still offer it: what the camera says comes as the endless answer to
//! a GET, what we say goes, in base64, as the endless body of a POST, and a cookie tells it which two belong together.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::link::{Duplex, io_error};
use super::login::Login;
use super::target::Target;
use crate::rtsp::{Limits, parse_http_head};
use crate::source::error::{Error, Step};
use crate::vocabulary::FailureClass;

/// The two connections as one.
pub(super) struct Tunnel {
    get: Box<dyn Duplex>,
    /// What came with the head of the answer.
    early: Bytes,
    post: Box<dyn Duplex>,
    /// Encoded and not yet written; at most one request, or what reports add up to.
    pending: BytesMut,
}

impl Tunnel {
    /// Opens both halves, each on a connection that `dial` makes.
    pub(super) async fn open<F>(target: &Target, dial: impl Fn() -> F) -> Result<Self, Error>
    where
        F: Future<Output = Result<Box<dyn Duplex>, Error>>,
    {
        let cookie = format!("{:022x}", rand::random::<u64>());
        let mut login = Login::new(target.credentials.clone(), rand::random());
        for rejected in 0.. {
            let mut get = dial().await?;
            let signed = ask(&mut get, "GET", target, &cookie, &mut login).await?;
            let mut head = BytesMut::new();
            let answer = loop {
                match parse_http_head(&head, &Limits::default()) {
                    Ok(Some((answer, len))) => {
                        head.advance(len);
                        break answer;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let words = format!("HTTP tunnel: what answers is not HTTP: {error}");
                        return Err(Error::new(FailureClass::Protocol, words));
                    }
                }
                if get.read_buf(&mut head).await.map_err(|error| failed(&error))? == 0 {
                    return Err(failed(&io::ErrorKind::UnexpectedEof.into()));
                }
            };
            match answer.status.0 {
                200..300 => {
                    let mut post = dial().await?;
                    ask(&mut post, "POST", target, &cookie, &mut login).await?;
                    return Ok(Self { get, early: head.freeze(), post, pending: BytesMut::new() });
                }
                // The next one goes on a new connection: this one may have a body to come.
                401 => {
                    let fields = answer.headers.get_all("WWW-Authenticate");
                    login.challenged(fields, signed.as_ref(), rejected).map_err(|refusal| {
                        Error::new(
                            FailureClass::Unauthorized,
                            format!("HTTP tunnel: 401 Unauthorized: {refusal}"),
                        )
                    })?;
                }
                status => {
                    let class = if status == 404 { FailureClass::NotFound } else { FailureClass::Status };
                    return Err(Error::new(class, format!("HTTP tunnel: GET: {status}")));
                }
            }
        }
        Err(Error::new(FailureClass::Unauthorized, "HTTP tunnel: 401 Unauthorized"))
    }

    /// Writes what is encoded, as far as it goes.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            match ready!(Pin::new(&mut self.post).poll_write(cx, &self.pending))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.pending.advance(len),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes the head of one half; how it was signed.
async fn ask(
    stream: &mut Box<dyn Duplex>,
    method: &str,
    target: &Target,
    cookie: &str,
    login: &mut Login,
) -> Result<Option<super::login::Signature>, Error> {
    let path = target.path();
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let mut head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}:{}\r\nUser-Agent: fanlight\r\nx-sessioncookie: {cookie}\r\n\
         Pragma: no-cache\r\nCache-Control: no-cache\r\n",
        target.port
    );
    head += if method == "GET" {
        "Accept: application/x-rtsp-tunnelled\r\n"
    } else {
        // A length is due, and this one is never reached; the date says that nothing is to be kept.
        "Content-Type: application/x-rtsp-tunnelled\r\nContent-Length: 32767\r\n\
         Expires: Sun, 9 Jan 1972 00:00:00 GMT\r\n"
    };
    let mut signature = None;
    if let Some((authorization, signed)) = login.sign(method, path) {
        head += &format!("Authorization: {authorization}\r\n");
        signature = Some(signed);
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await.map_err(|error| failed(&error))?;
    stream.flush().await.map_err(|error| failed(&error))?;
    Ok(signature)
}

fn failed(error: &io::Error) -> Error {
    io_error(error, Step::Connect, "HTTP tunnel")
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let len = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(len));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.get).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        // Each write is a whole of its own, padding included, as other clients do it.
        self.pending.extend_from_slice(BASE64.encode(buf).as_bytes());
        let _ = self.poll_pending(cx)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.post).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.post).poll_shutdown(cx)
    }
}
