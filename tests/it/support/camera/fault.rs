//! What can go wrong with a camera, as values that add up.

use std::time::Duration;

/// What can be wrong with a camera. Faults add up until `Camera::heal`; `&'static str` is an RTSP method.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    // Media
    /// Frames are made but not sent, the connection stays open: the half-dead camera.
    Silent,
    /// Nothing of this track is sent but its sender reports; other tracks and answers go on: the encoder that hangs.
    SilentTrack(usize),
    /// Every n-th RTP packet is lost on the way, its sequence number with it.
    LoseEvery(u32),
    /// So many of a hundred RTP packets over UDP are lost, at random.
    Loss(u32),
    /// So many of a hundred RTP packets over UDP arrive after up to three later ones.
    Reorder(u32),
    /// Nothing is sent to UDP ports, as behind a firewall; over TCP all is well.
    SilentUdp,
    /// What goes over TCP comes in pieces of so many bytes, with this pause after each.
    Drip(usize, Duration),

    // Answers
    /// Requests are read and logged, never answered; media goes on.
    Mute,
    /// Requests of the method are never answered; media goes on.
    Ignore(&'static str),
    /// Every request of the method is answered with this status.
    Status(&'static str, u16),
    /// The answer to the method comes this much later.
    Delay(&'static str, Duration),
    /// The connection is closed in place of an answer to the method.
    CloseOn(&'static str),
    /// SETUP over UDP is answered with 461.
    RefuseUdp,
    /// SETUP of this track is answered with this status.
    RefuseTrack(usize, u16),
    /// SETUP of the back channel is answered with this status.
    RefuseBack(u16),
    /// `Session: id ; timeout=60`.
    SpacedSession,

    // Sessions
    /// More sessions than that are answered with 453. The session of a connection that was lost counts for `kept`,
    /// unless a TEARDOWN names it.
    SessionLimit { sessions: usize, kept: Duration },
    /// A new session ends the connections of all others.
    NewSessionEndsOld,
    /// The timeout of sessions in whole seconds; without a request for that long, the connection is closed.
    SessionTimeout(Duration),
}

impl Fault {
    /// Whether the one takes the place of the other.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::RefuseTrack(a, _), Self::RefuseTrack(b, _))
            | (Self::SilentTrack(a), Self::SilentTrack(b)) => a == b,
            (Self::Status(a, _), Self::Status(b, _))
            | (Self::Ignore(a), Self::Ignore(b))
            | (Self::Delay(a, _), Self::Delay(b, _))
            | (Self::CloseOn(a), Self::CloseOn(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// How connections end in `Camera::drop_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    Fin,
    Rst,
}

/// What a session does not send any more, while its connection stays and requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Nothing comes: the half-dead camera.
    Everything,
    /// No RTP of this track; its sender reports and the other tracks go on: the encoder that hangs.
    Track(usize),
}

/// What the camera's address does with who wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// An RTSP server listens.
    Up,
    /// The host answers with a reset: nobody listens.
    Refusing,
    /// Nobody answers at all: switched off, or behind a cable that was pulled.
    Silent,
}

/// What the numbering of later sessions starts with; `None` = at random, as cameras do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbering {
    /// Of track 0; the following tracks count up from it.
    pub ssrc: Option<u32>,
    pub sequence: Option<u16>,
    /// RTP timestamp of the encoder's frame 0.
    pub timestamp: Option<u32>,
}
