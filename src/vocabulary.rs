//! The words every floor uses: tracks, transports, secrets.

use std::fmt;

/// A track of a stream: the index of its `m=` line in the SDP, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The index as a `usize`, for tables by track.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An enum whose values are metric labels: a fixed list of names.
macro_rules! labels {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident => $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, for metrics that start all their series at zero.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name used in metrics, the API and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// The place of the value in [`Self::ALL`], for tables by value.
            pub fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

labels! {
    /// How RTP travels between a server and a client.
    pub enum Transport {
        /// Interleaved in the RTSP connection (RFC 2326 section 10.12).
        Tcp => "tcp",
        /// The same, in a connection over TLS.
        Tls => "tls",
        /// UDP unicast on a pair of ports.
        Udp => "udp",
        /// Interleaved in the messages of a WebSocket, to a browser.
        WebSocket => "websocket",
        /// Put together to whole pictures in an answer of HTTP, to a browser.
        Http => "http",
    }
}

labels! {
    /// What a stream's source is doing.
    pub enum Phase {
        /// An on-demand source that nobody watches.
        Idle => "idle",
        /// Between the first SYN and the first packet.
        Connecting => "connecting",
        /// Packets arrive.
        Live => "live",
        /// It failed; the next try has a time.
        Retrying => "retrying",
        /// Switched off: the stream was removed or the relay is stopping.
        Stopped => "stopped",
    }
}

labels! {
    /// Why an upstream session could not start or came to its end.
    pub enum FailureClass {
        /// The host answered the SYN with a reset.
        Refused => "refused",
        /// No route, network or host unreachable.
        Unreachable => "unreachable",
        /// The name did not resolve.
        NameLookup => "name_lookup",
        /// A step of the handshake took longer than `connect_timeout`.
        ConnectTimeout => "connect_timeout",
        /// 401 or 403.
        Unauthorized => "unauthorized",
        /// The camera's certificate is not one that is taken: not vouched for, or not the pinned one.
        Certificate => "certificate",
        /// 404.
        NotFound => "not_found",
        /// 453 or 503: the camera has no session left.
        SessionLimit => "session_limit",
        /// Any other status that is not a success.
        Status => "status",
        /// What came is not RTSP, SDP or RTP as the client library understands it.
        Protocol => "protocol",
        /// The client library panicked on what the camera sent.
        Panic => "panic",
        /// The camera closed the connection.
        EndOfStream => "end_of_stream",
        /// The connection was reset while playing.
        Reset => "reset",
        /// Connected, but no packet within `read_timeout`.
        Stall => "stall",
        /// The client library gave a session up for a keep-alive that was not answered, or not as it should be.
        KeepAlive => "keep_alive",
        /// No packet came over UDP, or too many were lost: the next attempt uses TCP.
        NoUdp => "no_udp",
        /// The file cannot be played.
        File => "file",
        /// Somebody asked for a new session.
        Requested => "requested",
    }
}

labels! {
    /// Why a viewer's session ended.
    pub enum Disconnect {
        /// TEARDOWN.
        Teardown => "teardown",
        /// The viewer closed or reset its connection.
        Closed => "closed",
        /// No sign of life within `session_timeout`.
        Timeout => "timeout",
        /// Its socket took nothing for `write_timeout`.
        WriteTimeout => "write_timeout",
        /// It was further behind than `max_lag`, and `slow_viewer` is `disconnect`.
        TooSlow => "too_slow",
        /// Disconnected through the API.
        Kicked => "kicked",
        /// The stream was removed, or its tracks changed and have to be described again.
        StreamChanged => "stream_changed",
        /// The source stayed away for longer than `outage_grace`.
        Outage => "outage",
        /// The end of a file.
        EndOfStream => "end_of_stream",
        /// What it sent is not RTSP.
        Protocol => "protocol",
        /// The relay is stopping.
        Shutdown => "shutdown",
    }
}

labels! {
    /// Why a viewer did not get frames that the stream had.
    pub enum Skip {
        /// It read so slowly that they were older than `max_lag`, or that the ring went past it.
        Lagged => "lagged",
        /// It was behind, and no other frame needs them.
        NonReference => "non_reference",
        /// A packet of theirs is too long for a datagram, and its codec knows no fragments.
        Oversized => "oversized",
        /// Frames that need the frames it missed: it waits for a key frame.
        KeyFrame => "key_frame",
        /// The kernel took no more datagrams for it.
        Blocked => "blocked",
    }
}

/// Text that must never be printed: a password, a token.
///
/// `Debug` and `Display` write `***`; only [`Secret::reveal`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes custody of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that has to send or compare it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
