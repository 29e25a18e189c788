//! Settings of a stream that are one of a few words.

/// How RTP comes from a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTransport {
    /// Whatever works: TCP or UDP, found out by trying.
    Auto,
    /// Interleaved in the RTSP connection.
    Tcp,
    /// UDP unicast.
    Udp,
    /// UDP to a group that the camera names.
    Multicast,
}

impl UpstreamTransport {
    pub(crate) const WORDS: [(&str, Self); 4] =
        [("auto", Self::Auto), ("tcp", Self::Tcp), ("udp", Self::Udp), ("multicast", Self::Multicast)];

    /// The name used in the configuration, the API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "multicast",
        }
    }
}

/// How pauses between attempts at a camera grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By what failed and what the camera did before.
    Auto,
    /// No pause.
    Immediate,
    /// Always `retry_min`.
    Fixed,
    /// `retry_min` longer with every failure, up to `retry_max`.
    Linear,
    /// Doubling from `retry_min` to `retry_max`.
    Exponential,
}

impl Retry {
    pub(crate) const WORDS: [(&str, Self); 5] = [
        ("auto", Self::Auto),
        ("immediate", Self::Immediate),
        ("fixed", Self::Fixed),
        ("linear", Self::Linear),
        ("exponential", Self::Exponential),
    ];
}

/// Whether several attempts at a camera go side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// Where the camera's history says that it helps.
    Auto,
    /// One at a time.
    Off,
    /// The first to deliver a key frame stays.
    FirstWins,
    /// The newest to deliver replaces the older ones.
    LastWins,
}

impl Race {
    pub(crate) const WORDS: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("off", Self::Off),
        ("first_wins", Self::FirstWins),
        ("last_wins", Self::LastWins),
    ];
}
