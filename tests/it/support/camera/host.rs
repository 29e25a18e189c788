//! The camera's address: listens, refuses, or is silent.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Host, Shared, connection};

/// Does with the address what is wanted, and serves who comes.
pub(super) async fn run(shared: Arc<Shared>, address: SocketAddr) {
    let mut wanted = shared.wanted.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let now = *wanted.borrow_and_update();
        let changed = wanted.wait_for(|wanted| *wanted != now);
        let changed = match now {
            Host::Up => {
                let listener = TcpListener::bind(address).await.unwrap(); // sets SO_REUSEADDR, as the port's holder does
                shared.host.send_replace(Some(now));
                tokio::pin!(changed);
                loop {
                    tokio::select! {
                        Ok((stream, _)) = listener.accept() => {
                            while connections.try_join_next().is_some() {}
                            connections.spawn(connection::serve(Arc::clone(&shared), stream));
                        }
                        changed = &mut changed => break changed.map(drop),
                    }
                }
            }
            Host::Refusing => {
                shared.host.send_replace(Some(now));
                changed.await.map(drop)
            }
            Host::Silent => {
                let _full = full_listener(address);
                shared.host.send_replace(Some(now));
                changed.await.map(drop)
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

/// A listener whose queue is full: Linux drops every further SYN, as if no host were there. Who is in the queue is
/// released with it.
fn full_listener(address: SocketAddr) -> (socket2::Socket, Vec<socket2::Socket>) {
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = socket();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let fillers = (0..2).map(|_| {
        let filler = socket();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address.into()); // in progress
        filler
    });
    let fillers = fillers.collect();
    (listener, fillers)
}
