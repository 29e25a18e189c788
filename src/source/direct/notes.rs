//! What a conversation tells whoever listens, step by step: the ground of `fanlight probe`. A relay listens to nothing.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::rtsp::{Headers, Method, Status};

/// A step that was made.
#[derive(Clone, Debug)]
pub(in crate::source) enum Note {
    /// The host's name was looked up; an address given as such as well.
    Resolved { addresses: Vec<SocketAddr>, took: Duration },
    /// One of its addresses takes no connection.
    NoConnection { address: SocketAddr, why: String },
    /// One does.
    Connected { address: SocketAddr, took: Duration },
    /// TLS is spoken. `certificate` is the camera's own, in DER.
    Secured { protocol: String, suite: String, certificate: Bytes, took: Duration },
    /// A request was written.
    Asked { method: Method },
    /// It was answered; `body` is that of a description.
    Answered { method: Method, status: Status, headers: Headers, body: Bytes, took: Duration },
    /// The camera sends us elsewhere.
    Redirected,
}

/// Where notes go.
#[derive(Clone, Default)]
pub(in crate::source) struct Notes(Option<Arc<dyn Fn(Note) + Send + Sync>>);

impl Notes {
    /// Each note goes to `listener` as it is made.
    pub(in crate::source) fn to(listener: impl Fn(Note) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Makes a note, if anybody listens.
    pub(super) fn say(&self, note: impl FnOnce() -> Note) {
        if let Some(listener) = &self.0 {
            listener(note());
        }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Notes(heard)" } else { "Notes" })
    }
}
