//! RTSP over HTTP for viewers: two connections that are one.
//!
//! A player behind a proxy sends a GET, whose endless answer carries what we say, and a POST, whose endless body carries in
//! base64 what it says; `x-sessioncookie` tells which two belong together. They come in either order, and a player may go
//! on with another POST when one has ended. The connection of the GET is the viewer's: it differs from any other in where its
//! requests come from, and media leaves it the same way. The connection of a POST only hands over what it reads.
//!
//! | who | what is peculiar |
//! |---|---|
//! | ffmpeg `-rtsp_transport http` | HTTP/1.1; goes on past its `Content-Length` of 32767 |
//! | GStreamer `rtsph://` | opens the POST when the GET is answered |
//! | live555 `-T` | puts `CSeq` into the HTTP headers |
//!
//! Neither half costs more than any connection: both count against the limits of connections, a half that stays alone is
//! ended after `request_timeout` and makes room before that, and a cookie belongs to the address that first used it. Log-in
//! and rules are RTSP's: the GET and the POST open nothing by themselves.

mod http;
mod opening;
mod post;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// The tunnels of a server, and the halves that wait for their other half.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// Locked when a half comes or goes.
    open: Mutex<HashMap<Key, Open>>,
}

/// What two halves have in common: their address and their cookie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    peer: IpAddr,
    cookie: String,
}

/// A tunnel, or one half of it.
#[derive(Debug)]
struct Open {
    /// What POSTs carried, on its way to the GET.
    requests: mpsc::Sender<Bytes>,
    /// Until the GET has come.
    inbox: Option<mpsc::Receiver<Bytes>>,
    /// The GET has come.
    joined: CancellationToken,
    /// One POST at a time.
    turn: Arc<Semaphore>,
    /// POSTs that are there.
    posts: usize,
}

/// The GET's side of a tunnel, which ends with it.
#[derive(Debug)]
pub(super) struct GetHalf {
    tunnels: Arc<Tunnels>,
    key: Key,
    inbox: mpsc::Receiver<Bytes>,
}

/// A POST's side of a tunnel.
#[derive(Debug)]
struct PostHalf {
    tunnels: Arc<Tunnels>,
    key: Key,
    requests: mpsc::Sender<Bytes>,
    joined: CancellationToken,
    turn: Arc<Semaphore>,
}

impl Tunnels {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A GET has come; `None` when the cookie has one already.
    fn get(self: &Arc<Self>, key: Key) -> Option<GetHalf> {
        let mut open = self.lock();
        let tunnel = open.entry(key.clone()).or_insert_with(Open::new);
        let inbox = tunnel.inbox.take()?;
        tunnel.joined.cancel();
        Some(GetHalf { tunnels: Arc::clone(self), key, inbox })
    }

    /// A POST has come.
    fn post(self: &Arc<Self>, key: Key) -> PostHalf {
        let mut open = self.lock();
        let tunnel = open.entry(key.clone()).or_insert_with(Open::new);
        tunnel.posts += 1;
        PostHalf {
            tunnels: Arc::clone(self),
            key,
            requests: tunnel.requests.clone(),
            joined: tunnel.joined.clone(),
            turn: Arc::clone(&tunnel.turn),
        }
    }
}

impl Open {
    fn new() -> Self {
        let (requests, inbox) = mpsc::channel(PIECES);
        Self {
            requests,
            inbox: Some(inbox),
            joined: CancellationToken::new(),
            turn: Arc::new(Semaphore::new(1)),
            posts: 0,
        }
    }
}

impl GetHalf {
    /// The next piece of what the viewer says. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.inbox.recv().await
    }
}

impl Drop for GetHalf {
    fn drop(&mut self) {
        self.tunnels.lock().remove(&self.key);
    }
}

impl Drop for PostHalf {
    fn drop(&mut self) {
        let mut open = self.tunnels.lock();
        // Another tunnel may have begun under the same cookie since this one's GET has ended.
        let Some(tunnel) = open.get_mut(&self.key).filter(|open| open.requests.same_channel(&self.requests))
        else {
            return;
        };
        tunnel.posts -= 1;
        if tunnel.posts == 0 && tunnel.inbox.is_some() {
            open.remove(&self.key);
        }
    }
}

/// Pieces of at most 3 KiB that wait for the GET's task; then the POST is not read on.
const PIECES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> Key {
        Key { peer: [10, 0, 0, last].into(), cookie: "c".to_owned() }
    }

    #[test]
    fn the_halves_meet_in_either_order_and_leave_nothing_behind() {
        let tunnels = Arc::new(Tunnels::default());
        let get = tunnels.get(key(1)).unwrap();
        let post = tunnels.post(key(1));
        assert!(post.joined.is_cancelled());
        let early = tunnels.post(key(2));
        assert!(!early.joined.is_cancelled(), "another address is another tunnel");
        let late = tunnels.get(key(2)).unwrap();
        assert!(early.joined.is_cancelled());
        drop((get, post, early, late));
        assert!(tunnels.lock().is_empty());
    }

    #[test]
    fn a_cookie_has_one_get_at_a_time_and_a_post_outlives_none_of_them() {
        let tunnels = Arc::new(Tunnels::default());
        let first = tunnels.get(key(1)).unwrap();
        let post = tunnels.post(key(1));
        assert!(tunnels.get(key(1)).is_none());
        drop(first);
        assert!(post.requests.is_closed());
        let second = tunnels.get(key(1)).unwrap();
        drop(post);
        assert!(tunnels.get(key(1)).is_none(), "the new one is not harmed by the old one's end");
        drop(second);
        drop(tunnels.post(key(1)));
        assert!(tunnels.lock().is_empty(), "a POST that stayed alone");
    }
}
