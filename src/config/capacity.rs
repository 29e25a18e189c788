//! How many viewers there may be, and how much they may ask.

/// The limits of a server, in all and for one address. Of IPv6 a subscriber's network (/64) counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// RTSP connections at a time.
    pub connections: u32,
    /// RTSP connections at a time from one address.
    pub connections_per_address: u32,
    /// Sessions at a time: those over TCP end with their connection, those over UDP may outlive it.
    pub sessions: u32,
    /// Sessions at a time of one address.
    pub sessions_per_address: u32,
    /// Requests a second of all connections that ask more than a player does.
    pub requests: u32,
    /// The same from one address.
    pub requests_per_address: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 2048,
            sessions: 4096,
            sessions_per_address: 2048,
            requests: 2000,
            requests_per_address: 1000,
        }
    }
}
