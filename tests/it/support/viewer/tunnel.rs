//! RTSP over HTTP: the viewer reads from a GET and writes to a POST.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::PATIENCE;
use super::Viewer;

/// Requests as ffmpeg writes them.
pub fn half(method: &str, cookie: &str) -> String {
    let length = if method == "POST" { "Content-Length: 32767\r\n" } else { "" };
    format!(
        "{method} /cam HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nx-sessioncookie: {cookie}\r\n\
         Accept: application/x-rtsp-tunnelled\r\nContent-Type: application/x-rtsp-tunnelled\r\n{length}\r\n"
    )
}

/// A connection on which this has been written.
pub async fn say(address: SocketAddr, text: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(text.as_ref()).await.unwrap();
    stream
}

/// The next HTTP head, its first line apart.
#[track_caller]
pub fn head(stream: &mut TcpStream) -> impl Future<Output = (String, String)> {
    let caller = std::panic::Location::caller();
    async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match timeout(PATIENCE, stream.read_u8()).await {
                Ok(Ok(byte)) => head.push(byte),
                other => panic!("{caller}: {other:?} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let (first, rest) = head.split_once("\r\n").unwrap();
        (first.to_owned(), rest.to_owned())
    }
}

impl Viewer {
    /// As [`Viewer::open`], through a tunnel with this cookie, the GET first.
    pub async fn open_tunnelled(url: &str, cookie: &str) -> Self {
        let mut viewer = Self::open(url).await;
        viewer.send_raw(half("GET", cookie)).await;
        viewer.tunnel_opened().await;
        let address = viewer.stream.peer_addr().unwrap();
        viewer.post = Some(say(address, half("POST", cookie)).await);
        viewer
    }

    /// The answer to the GET has come.
    #[track_caller]
    pub fn tunnel_opened(&mut self) -> impl Future<Output = ()> {
        let head = head(&mut self.stream);
        async move {
            let (status, head) = head.await;
            assert_eq!(status, "HTTP/1.0 200 OK");
            assert!(head.contains("Content-Type: application/x-rtsp-tunnelled\r\n"), "{head}");
        }
    }

    /// From now on it speaks through this POST.
    pub fn speak_through(&mut self, post: TcpStream) -> Option<TcpStream> {
        self.post.replace(post)
    }

    /// What a write is on the wire of a POST.
    pub fn encoded(bytes: &[u8]) -> String {
        BASE64.encode(bytes)
    }
}
