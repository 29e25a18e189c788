//! The seam between the driver of a stream and whatever talks to a camera: the driver knows sessions by what they
//! deliver, and a [`Client`] knows how to open one.
//!
//! All of it stays on one thread. A client may panic in any of these calls; the driver catches that.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::Error;
use crate::rtp::WallTime;
use crate::sdp::{Description, Selection, Track};
use crate::vocabulary::{TrackId, Transport};

/// A future that stays on its thread.
pub(super) type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// Opens sessions.
pub(super) trait Client {
    /// Connects, describes, sets up and plays. Dropping the future gives the attempt up; like a session that is dropped
    /// it says goodbye (TEARDOWN) in the background, so that there is no way out without it.
    fn open(&self, request: Request) -> Local<Result<Box<dyn Session>, Error>>;

    /// Ready when everything dropped so far has said goodbye or given that up. The caller bounds the wait; giving up the
    /// wait does not take the goodbye back.
    fn goodbye(&self) -> Local<()>;

    /// Connects to a source without opening a session, and keeps the connection for the next one. A client that cannot
    /// has done so.
    fn keep(&self, source: usize, tracks: Selection, step_limit: Duration) -> Local<Result<(), Error>> {
        let _ = (source, tracks, step_limit);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Looks after the connection that is kept, and is ready when it is lost.
    fn lost(&self) -> Local<Error> {
        Box::pin(std::future::pending())
    }

    /// Closes the connection that is kept.
    fn give_up(&self) {}

    /// What was learned about a source by speaking with it, in whole sentences.
    fn learned(&self, source: usize) -> Vec<String> {
        let _ = source;
        Vec::new()
    }

    /// Two sessions of a source in a row ended by themselves, each after about this time; returns whether another client speaks
    /// with it from now on.
    fn end_alike(&self, source: usize, transport: Option<Transport>, span: Duration) -> bool {
        let _ = (source, transport, span);
        false
    }

    /// Ready when cameras have forgotten what did not hear its goodbye; `None` when there is nothing like that.
    fn forgotten(&self) -> Option<Local<()>>;
}

/// What to open.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Which of the stream's sources.
    pub(super) source: usize,
    /// How its packets are to come.
    pub(super) transport: Transport,
    /// Time for each step of the handshake.
    pub(super) step_limit: Duration,
    /// The camera has few sessions: TEARDOWN is tried again over new connections until it is taken or the session has
    /// expired.
    pub(super) insist_on_teardown: bool,
    /// Which tracks to set up.
    pub(super) tracks: Selection,
    /// Where the attempt tells how far it is.
    pub(super) progress: Progress,
}

/// How far an attempt is, shared with whoever watches it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    answered: Cell<bool>,
    waits: RefCell<Option<String>>,
}

impl Progress {
    /// The camera has answered: somebody is there.
    pub(super) fn answer(&self) {
        self.0.answered.set(true);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.0.answered.get()
    }

    /// It has not begun, and waits; `why` says what for.
    pub(super) fn wait(&self, why: String) {
        *self.0.waits.borrow_mut() = Some(why);
    }

    /// What it waits for, if nobody was told yet.
    pub(super) fn take_wait(&self) -> Option<String> {
        self.0.waits.borrow_mut().take()
    }
}

/// A session that plays. Dropping it says goodbye: see [`Client::open`].
pub(super) trait Session {
    /// Its tracks.
    fn description(&self) -> &Description;

    /// How its packets come; `None` for a file.
    fn transport(&self) -> Option<Transport>;

    /// Where the camera listens, if it has a back channel and that is set up.
    fn back_channel(&self) -> Option<&Track> {
        None
    }

    /// Sends an RTP packet of a viewer's to the camera, if it listens; `false` where it does not get it. What is under way
    /// is written when the session is polled next.
    fn say(&mut self, packet: &[u8]) -> bool {
        let _ = packet;
        false
    }

    /// What comes next. An error is the end: it is not polled again. A ready session may be polled in a loop; one that
    /// is not is polled at least twice a second, whoever wakes it or not.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>>;
}

/// What a session delivers.
#[derive(Debug)]
pub(super) enum Event {
    /// An RTP packet.
    Packet(Packet),
    /// The packets of the track that follow have nothing to do with those before, as after a reconnect.
    Epoch { track: TrackId },
    /// What a sender report says: the camera's wall clock, and the RTP timestamp of the same moment.
    Report { track: TrackId, ntp: WallTime, timestamp: u32 },
}

/// An RTP packet as it came.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) track: TrackId,
    /// When it was read from the socket.
    pub(super) received: Instant,
    pub(super) data: Data,
}

/// The bytes of a packet, in whatever holds them: nothing is copied on the way to the publisher.
#[derive(Debug)]
pub(super) enum Data {
    /// As the library gives them.
    Retina(retina::rtp::ReceivedPacket),
    /// In a buffer of their own.
    Bytes(Bytes),
}

impl Packet {
    /// The packet, header included.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Retina(packet) => packet.raw(),
            Data::Bytes(bytes) => bytes,
        }
    }
}
