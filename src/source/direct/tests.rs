//! The client over real sockets, with cameras of a few lines.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::session::Described;
use super::target::Reach;
use super::teardowns::Teardowns;
use super::*;
use crate::config::CameraUrl;
use crate::rtp::Header;
use crate::rtsp::{Item, Limits, Method, Request, parse};
use crate::sdp::Selection;
use crate::source::error::Error;
use crate::vocabulary::{FailureClass, Transport};

/// The methods a camera was asked, in order.
type Log = Arc<Mutex<Vec<String>>>;

const SDP: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n";

fn packet(sequence: u16) -> Vec<u8> {
    let header = Header { marker: false, payload_type: 96, sequence, timestamp: 0, ssrc: 5, payload: 12..12 };
    [&header.write()[..], b"media"].concat()
}

fn frame(sequence: u16) -> Vec<u8> {
    let packet = packet(sequence);
    [&[b'$', 0, 0, packet.len() as u8][..], &packet].concat()
}

/// What a camera that keeps to the book answers over TCP; three packets follow PLAY.
fn usual(request: &Request) -> Vec<u8> {
    let cseq = request.cseq().unwrap();
    let head = format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n");
    let mut answer = match request.method {
        Method::Describe => format!("{head}Content-Length: {}\r\n\r\n{SDP}", SDP.len()),
        Method::Setup => format!("{head}Transport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n"),
        _ => format!("{head}\r\n"),
    }
    .into_bytes();
    if request.method == Method::Play {
        answer.extend([frame(1), frame(2), frame(3)].concat());
    }
    answer
}

/// Answers requests on a connection until it ends; `answer` gives nothing to close it.
async fn converse(
    mut reads: impl tokio::io::AsyncRead + Unpin,
    mut writes: impl tokio::io::AsyncWrite + Unpin,
    log: Log,
    answer: impl Fn(&Request) -> Option<Vec<u8>>,
) {
    let mut buf = Vec::new();
    loop {
        while let Ok(Some((item, len))) = parse(&buf, &Limits::default()) {
            if let Item::Request(request) = item {
                log.lock().unwrap().push(request.method.to_string());
                let Some(answer) = answer(&request) else { return };
                writes.write_all(&answer).await.unwrap();
                writes.flush().await.unwrap();
            }
            buf.drain(..len);
        }
        if reads.read_buf(&mut buf).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn reach() -> Reach {
    let way = crate::config::Reach::default();
    let quirks = crate::config::Quirks::built_in();
    let limit = Duration::from_secs(10);
    let (tracks, notes) = (Selection::default(), Notes::default());
    Reach { limit, multicast: false, tracks, way, quirks, ask_options: false, notes }
}

/// Plays a camera until as many packets came; gives their sequence numbers.
async fn play(url: &str, reach: &Reach, transport: Transport, packets: usize) -> Result<Vec<u16>, Error> {
    let teardowns = Teardowns::default();
    let camera: CameraUrl = url.parse().unwrap();
    let described = Described::open(&camera, reach, teardowns.clone()).await?;
    assert_eq!(described.description().tracks.len(), 1);
    let mut playing = described.play(transport).await?;
    let mut found = Vec::new();
    while found.len() < packets {
        let next = timeout(Duration::from_secs(10), poll_fn(|cx| playing.poll_next(cx))).await;
        match next.expect("a packet in time") {
            Some(Ok(Event::Packet { packet, .. })) => found.push(Header::parse(&packet).unwrap().sequence),
            Some(Ok(Event::Report { .. } | Event::Epoch { .. })) => {}
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    drop(playing);
    teardowns.done().await;
    Ok(found)
}

#[tokio::test]
async fn packets_come_over_tcp_and_the_session_is_torn_down() {
    let (listener, address) = listen().await;
    let log = Log::default();
    let camera = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(stream);
        converse(reads, writes, Arc::clone(&log), |request| Some(usual(request))).await;
    };
    let url = format!("rtsp://{address}/x");
    let reach = reach();
    let (found, ()) = tokio::join!(play(&url, &reach, Transport::Tcp, 3), camera);
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(*log.lock().unwrap(), ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]);
}

/// C41 and C43 as well: no port is announced, and the packets come from two.
#[tokio::test]
async fn packets_over_udp_are_put_in_order_and_those_of_strangers_left_out() {
    let (listener, address) = listen().await;
    let log = Log::default();
    let port = Arc::new(Mutex::new(0u16));
    let camera = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(stream);
        let (one, other) = (udp("127.0.0.1").await, udp("127.0.0.1").await);
        let stranger = udp("127.0.0.2").await;
        let answer = |request: &Request| {
            let cseq = request.cseq().unwrap();
            if let Some(ports) =
                request.headers.get("Transport").and_then(|value| value.split("client_port=").nth(1))
            {
                *port.lock().unwrap() = ports.split('-').next().unwrap().parse().unwrap();
                let answer = format!(
                    "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\nTransport: RTP/AVP;unicast;client_port={ports}\r\n\r\n"
                );
                return Some(answer.into_bytes());
            }
            if request.method == Method::Play {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, *port.lock().unwrap()));
                stranger.try_send_to(&packet(9), to).unwrap();
                for sequence in [1, 3, 2, 5, 4] {
                    one.try_send_to(&packet(sequence), to).unwrap();
                }
                other.try_send_to(&packet(6), to).unwrap();
                return Some(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n").into_bytes());
            }
            Some(usual(request))
        };
        converse(reads, writes, Arc::clone(&log), answer).await;
    };
    let url = format!("rtsp://{address}/x");
    let reach = reach();
    let (found, ()) = tokio::join!(play(&url, &reach, Transport::Udp, 6), camera);
    assert_eq!(found.unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn packets_come_by_multicast() {
    let (listener, address) = listen().await;
    let sender = udp("127.0.0.1").await;
    socket2::SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    // A port nobody else has just now; the group is of the range for local use.
    let port = udp("127.0.0.1").await.local_addr().unwrap().port() & !1;
    let group = SocketAddr::from((Ipv4Addr::new(239, 255, 76, 1), port));
    let camera = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(stream);
        let answer = |request: &Request| {
            let cseq = request.cseq().unwrap();
            if request.method == Method::Setup {
                assert_eq!(request.headers.get("Transport"), Some("RTP/AVP;multicast"));
                let transport =
                    format!("RTP/AVP;multicast;destination={};port={port}-{};ttl=1", group.ip(), port + 1);
                let answer = format!(
                    "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\nTransport: {transport}\r\n\r\n"
                );
                return Some(answer.into_bytes());
            }
            if request.method == Method::Play {
                for sequence in [1, 2, 3] {
                    sender.try_send_to(&packet(sequence), group).unwrap();
                }
                return Some(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n").into_bytes());
            }
            Some(usual(request))
        };
        converse(reads, writes, Log::default(), answer).await;
    };
    let url = format!("rtsp://{address}/x");
    let mut reach = reach();
    reach.multicast = true;
    let (found, ()) = tokio::join!(play(&url, &reach, Transport::Udp, 3), camera);
    assert_eq!(found.unwrap(), [1, 2, 3]);
}

async fn udp(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).await.unwrap();
    socket.writable().await.unwrap();
    socket
}

#[tokio::test]
async fn c12_redirects_are_followed_and_not_without_end() {
    let (listener, address) = listen().await;
    let camera = async {
        for hop in 0..8 {
            let (stream, _) = listener.accept().await.unwrap();
            let (reads, writes) = tokio::io::split(stream);
            let answer = |request: &Request| {
                let cseq = request.cseq().unwrap();
                let moved = format!("RTSP/1.0 302 Moved\r\nCSeq: {cseq}\r\nLocation: /x{hop}\r\n\r\n");
                let more = request.uri.ends_with("/endless") || request.uri.contains("/x") && hop > 2;
                if more || request.uri.ends_with("/once") {
                    Some(moved.into_bytes())
                } else {
                    Some(usual(request))
                }
            };
            converse(reads, writes, Log::default(), answer).await;
        }
    };
    let reach = reach();
    let client = async {
        let once = play(&format!("rtsp://{address}/once"), &reach, Transport::Tcp, 3).await;
        let endless = play(&format!("rtsp://{address}/endless"), &reach, Transport::Tcp, 3).await;
        (once, endless)
    };
    let (once, endless) =
        tokio::select! { done = client => done, () = camera => panic!("the camera is done") };
    assert_eq!(once.unwrap(), [1, 2, 3]);
    assert_eq!(endless.unwrap_err().to_string(), "DESCRIBE: more than 3 redirects");
}

#[tokio::test]
async fn a_camera_that_hangs_up_with_its_401_is_asked_again() {
    let (listener, address) = listen().await;
    let camera = async {
        let (mut first, _) = listener.accept().await.unwrap();
        let _ = first.read(&mut [0; 1024]).await.unwrap();
        let refusal = b"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Basic\r\nConnection: close\r\n\r\n";
        first.write_all(refusal).await.unwrap();
        drop(first);
        let (stream, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(stream);
        let answer = |request: &Request| {
            assert_eq!(request.headers.get("Authorization"), Some("Basic YW5uOmh1bnRlcjI="));
            Some(usual(request))
        };
        converse(reads, writes, Log::default(), answer).await;
    };
    let url = format!("rtsp://ann:hunter2@{address}/x");
    let reach = reach();
    let (found, ()) = tokio::join!(play(&url, &reach, Transport::Tcp, 3), camera);
    assert_eq!(found.unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn a_connection_refused_or_closed_is_told_by_its_class() {
    let (listener, address) = listen().await;
    let url = format!("rtsp://{address}/x");
    let reach = reach();
    let closes = async { drop(listener.accept().await.unwrap()) };
    let (closed, ()) = tokio::join!(play(&url, &reach, Transport::Tcp, 3), closes);
    assert!(matches!(closed.unwrap_err().class, FailureClass::EndOfStream | FailureClass::Reset));
    drop(listener);
    let refused = play(&url, &reach, Transport::Tcp, 3).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Refused);
    assert_eq!(refused.to_string(), "connecting: Connection refused (os error 111)");
}

/// Takes the two halves of a tunnel: the POST, and the GET.
async fn tunnelled(listener: &TcpListener) -> (TcpStream, TcpStream) {
    // The GET asks for a password first, and its connection goes.
    let (mut get, _) = listener.accept().await.unwrap();
    let head = http_head(&mut get).await;
    assert!(head.starts_with("GET /x?y HTTP/1.0\r\n") && !head.contains("Authorization"), "{head}");
    get.write_all(b"HTTP/1.0 401 No\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n\r\n")
        .await
        .unwrap();
    drop(get);
    let (mut get, _) = listener.accept().await.unwrap();
    let head = http_head(&mut get).await;
    assert!(head.contains("Authorization: Digest username=\"ann\""), "{head}");
    let cookie = cookie_of(&head);
    get.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n").await.unwrap();
    let (mut post, _) = listener.accept().await.unwrap();
    let head = http_head(&mut post).await;
    assert!(head.starts_with("POST /x?y HTTP/1.0\r\n") && head.contains("Digest"), "{head}");
    assert_eq!(cookie_of(&head), cookie);
    (post, get)
}

fn cookie_of(head: &str) -> String {
    head.split("x-sessioncookie: ").nth(1).unwrap().split('\r').next().unwrap().to_owned()
}

async fn http_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn packets_come_through_an_http_tunnel() {
    let (listener, address) = listen().await;
    let log = Log::default();
    let camera = async {
        let (mut encoded, get) = tunnelled(&listener).await;
        // Whole requests in base64, each with its padding.
        let (mut plain, decoded) = tokio::io::duplex(4096);
        let decode = async move {
            let mut text = Vec::new();
            while encoded.read_buf(&mut text).await.unwrap_or(0) > 0 {
                let whole = text.len() / 4 * 4;
                let ends: Vec<u8> = text.drain(..whole).collect();
                for unit in ends.chunks(4) {
                    plain.write_all(&BASE64.decode(unit).unwrap()).await.unwrap();
                }
            }
        };
        let talk = converse(decoded, get, Arc::clone(&log), |request| Some(usual(request)));
        tokio::join!(decode, talk);
    };
    let url = format!("rtsp+http://ann:hunter2@{address}/x?y");
    let reach = reach();
    let (found, ()) = tokio::join!(play(&url, &reach, Transport::Tcp, 3), camera);
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(*log.lock().unwrap(), ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]);
}

#[tokio::test]
async fn packets_come_through_tls_and_a_socks5_proxy() {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    let own = rcgen::generate_simple_self_signed(["camera.local".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listen().await;
    let camera = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(acceptor.accept(stream).await.unwrap());
        converse(reads, writes, Log::default(), |request| Some(usual(request))).await;
    };
    let (proxy_listener, proxy_address) = listen().await;
    let proxy = async {
        let (mut client, _) = proxy_listener.accept().await.unwrap();
        let mut hello = [0; 3];
        client.read_exact(&mut hello).await.unwrap();
        client.write_all(&[5, 0]).await.unwrap();
        let mut request = [0; 10];
        client.read_exact(&mut request).await.unwrap();
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let mut camera = TcpStream::connect(address).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut camera).await;
    };
    let url = format!("rtspx://{address}/x");
    let mut reach = reach();
    reach.way.proxy = Some(format!("socks5://{proxy_address}").parse().unwrap());
    let client = play(&url, &reach, Transport::Tcp, 3);
    let (found, (), ()) = tokio::join!(client, camera, proxy);
    assert_eq!(found.unwrap(), [1, 2, 3]);
}

/// The camera closes the connection of a session and keeps the session: TEARDOWN comes over another one.
#[tokio::test]
async fn a_session_whose_connection_died_is_torn_down_over_another() {
    let (listener, address) = listen().await;
    let log = Log::default();
    let camera = async {
        let (first, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(first);
        let plays = std::cell::Cell::new(false);
        // With the answer to PLAY come three packets; then nothing is answered, and the connection ends.
        let end =
            |request: &Request| (!plays.replace(request.method == Method::Play)).then(|| usual(request));
        let talk = converse(reads, writes, Arc::clone(&log), end);
        let _ = timeout(Duration::from_millis(500), talk).await;
        let (second, _) = listener.accept().await.unwrap();
        let (reads, writes) = tokio::io::split(second);
        let taken = |request: &Request| {
            assert_eq!(request.headers.get("Session"), Some("7"));
            Some(usual(request))
        };
        converse(reads, writes, Arc::clone(&log), taken).await;
    };
    let url = format!("rtsp://{address}/x");
    let reach = reach();
    // The fourth packet never comes.
    let (found, ()) = tokio::join!(play(&url, &reach, Transport::Tcp, 4), camera);
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(*log.lock().unwrap(), ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]);
}
