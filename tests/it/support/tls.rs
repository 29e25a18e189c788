//! TLS around the raw-wire viewer: certificates, a client that takes any, and a proxy that viewers in the clear go through.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fanlight::tls::{Identity, pem};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};

pub(crate) use super::anybody::ANY;
use super::anybody::client;

/// One after the other.
pub const EACH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// A new certificate for `name`, in PEM, and its key.
pub fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (pem("CERTIFICATE", made.cert.der()), pem("PRIVATE KEY", &made.signing_key.serialize_der()))
}

/// The same as a relay has it.
pub fn identity(name: &str) -> Identity {
    let (certificate, key) = certificate(name);
    Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("they belong together")
}

/// A connection over TLS in one of `versions`, whatever the certificate.
pub async fn connect(
    address: SocketAddr,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_through(TcpSocket::new_v4()?, address, versions).await
}

async fn connect_through(
    socket: TcpSocket,
    address: SocketAddr,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = socket.connect(address).await?;
    TlsConnector::from(Arc::new(client(versions))).connect(ServerName::from(address.ip()), socket).await
}

/// The certificate that the other side has shown.
pub fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].to_vec()
}

/// Carries connections in the clear on over TLS.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// To the TLS port at `to`, over one of `versions`. Its own buffers are small.
    pub async fn start(to: SocketAddr, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_send_buffer_size(4096).expect("a small buffer");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener: TcpListener = socket.listen(64).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut plain, _)) = listener.accept().await {
                connections.spawn(async move {
                    let socket = TcpSocket::new_v4().expect("a socket");
                    socket.set_recv_buffer_size(4096).expect("a small buffer");
                    let Ok(mut secure) = connect_through(socket, to, versions).await else { return };
                    let _ = copy_bidirectional_with_sizes(&mut plain, &mut secure, 4096, 4096).await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }

    /// Where it takes connections in the clear.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a stream through it.
    pub fn url(&self, stream: &str) -> String {
        format!("rtsp://{}/{stream}", self.address)
    }
}
