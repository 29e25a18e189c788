//! Takes TLS off: what is measured is the relay that puts it on, and viewers in the clear stay what they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use anybody::{ANY, client};

#[path = "../../tests/it/support/anybody.rs"]
mod anybody;

/// Where viewers in the clear reach the TLS port at `to`, from a thread of its own for as long as the process lives.
pub(crate) fn start(to: SocketAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let connector = TlsConnector::from(Arc::new(client(ANY)));
            let mut viewers = JoinSet::new();
            while let Ok((mut plain, _)) = listener.accept().await {
                let connector = connector.clone();
                viewers.spawn(async move {
                    // The relay may still be starting: then the viewer is closed, and comes again.
                    let Ok(socket) = TcpStream::connect(to).await else { return };
                    let Ok(mut secure) = connector.connect(ServerName::from(to.ip()), socket).await else {
                        return;
                    };
                    let _ = copy_bidirectional_with_sizes(&mut plain, &mut secure, 64 << 10, 64 << 10).await;
                });
            }
        });
    });
    address
}
