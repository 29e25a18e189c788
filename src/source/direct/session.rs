//! One session with a camera: the conversation, its connection and its ports.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite as _, AsyncWriteExt};
use tokio::time::{Sleep, sleep_until};

use super::Event;
use super::dialogue::{Dialogue, Options, Stage, Stop};
use super::lane::Offer;
use super::link::{self, Link, io_error};
use super::target::{Reach, Target};
use super::teardowns::Teardowns;
use super::udp::Ports;
use crate::config::CameraUrl;
use crate::rtsp::transport::Channels;
use crate::sdp::Description;
use crate::source::error::{Error, Step};
use crate::vocabulary::{FailureClass, TrackId, Transport};

/// A session whose tracks are known and not yet set up.
#[derive(Debug)]
pub(in crate::source) struct Described {
    wire: Wire,
    teardowns: Teardowns,
    multicast: bool,
}

/// A session that delivers packets. Dropped, it is torn down in the background ([`Teardowns`]).
#[derive(Debug)]
pub(in crate::source) struct Playing {
    /// `None` once it is being torn down.
    wire: Option<Wire>,
    teardowns: Teardowns,
}

impl Described {
    /// Connects and asks for the description, following redirects.
    pub(in crate::source) async fn open(
        camera: &CameraUrl,
        reach: &Reach,
        teardowns: Teardowns,
    ) -> Result<Self, Error> {
        let mut target = Target::of(camera)?;
        for _ in 0..=REDIRECTS_MAX {
            match describe(&target, reach).await {
                Ok(wire) => return Ok(Self { wire, teardowns, multicast: reach.multicast }),
                Err(Stop::Redirect(to)) => {
                    tracing::debug!("the camera redirects");
                    target = target.redirected(&to)?;
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Err(Error::new(FailureClass::Status, format!("DESCRIBE: more than {REDIRECTS_MAX} redirects")))
    }

    /// The tracks.
    pub(in crate::source) fn description(&self) -> &Description {
        self.wire.dialogue.description()
    }

    /// Nothing is wanted of it for now. Later, no step may take longer than `step`.
    pub(in crate::source) fn rest(&mut self, step: Duration) {
        self.wire.dialogue.rest(step, Instant::now());
    }

    /// Keeps the connection while it rests; ready when it is lost.
    pub(in crate::source) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            let words = match ready!(self.wire.poll_once(cx)) {
                Ok(Went::On) => continue,
                Ok(Went::Closed) => "the camera closed the connection",
                Err(Stop::Failed(error)) => return Poll::Ready(error),
                Err(Stop::Redirect(_)) => "the camera sends us elsewhere",
            };
            return Poll::Ready(Error::new(FailureClass::EndOfStream, words));
        }
    }

    /// The profile that applies to the camera, in words.
    pub(in crate::source) fn profile(&self) -> Option<&str> {
        self.wire.dialogue.profile()
    }

    /// Sets every track up and starts them. A track that the camera refuses to set up is left out, unless all are.
    pub(in crate::source) async fn play(self, transport: Transport) -> Result<Playing, Error> {
        let mut playing = Playing { wire: Some(self.wire), teardowns: self.teardowns };
        let wire = playing.wire.as_mut().expect("just put there");
        wire.play(transport, self.multicast).await.map_err(|stop| match stop {
            Stop::Failed(error) => error,
            Stop::Redirect(_) => {
                Error::new(FailureClass::Status, "the camera redirects a session that is being set up")
            }
        })?;
        Ok(playing)
    }
}

impl Playing {
    /// The next thing the camera sent. `Ready(None)` when it closed the connection.
    pub(in crate::source) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, Error>>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(None) };
        loop {
            if let Some(event) = wire.dialogue.next_event() {
                return Poll::Ready(Some(Ok(event)));
            }
            match wire.poll_once(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Went::On)) => {}
                Poll::Ready(Ok(Went::Closed)) => return Poll::Ready(None),
                Poll::Ready(Err(Stop::Failed(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Err(Stop::Redirect(_))) => {
                    let error = Error::new(FailureClass::EndOfStream, "the camera sends us elsewhere");
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            let (packets, bytes) = wire.dialogue.left_out();
            if packets + bytes > 0 {
                tracing::debug!(packets, bytes, "left out of what the camera sent");
            }
            wire.dialogue.tear_down(Instant::now());
            if wire.dialogue.stage() == Stage::Ending {
                self.teardowns.spawn(async move {
                    let ended = |dialogue: &Dialogue| dialogue.stage() == Stage::Ended;
                    // What happened to the connection need not have ended the session, and many cameras have few.
                    if wire.until(ended).await.is_err()
                        && let Ok(()) = wire.connect_again().await
                    {
                        wire.dialogue.tear_down_again(Instant::now());
                        // Whether it is answered or not: there is nothing more to do about that session.
                        let _ = wire.until(ended).await;
                    }
                });
            }
        }
    }
}

/// Connects and asks for the description; once more where the camera closes the connection to be asked with a password.
async fn describe(target: &Target, reach: &Reach) -> Result<Wire, Stop> {
    let options = Options {
        step: reach.limit,
        reorder: reach.way.reorder_window,
        tracks: reach.tracks.clone(),
        quirks: Arc::clone(&reach.quirks),
        seed: rand::random(),
    };
    let mut dialogue = Dialogue::new(&target.uri, target.credentials.clone(), options);
    for attempt in 0.. {
        let link = link::connect(target, reach).await?;
        let mut wire = Wire::new(link, dialogue, target.clone(), reach.clone());
        wire.dialogue.describe(Instant::now());
        match wire.until(|dialogue| dialogue.stage() == Stage::Described).await {
            Err(Stop::Failed(error))
                if attempt < RECONNECTS_MAX
                    && matches!(error.class, FailureClass::EndOfStream | FailureClass::Reset)
                    && wire.dialogue.wants_another_connection() =>
            {
                dialogue = wire.dialogue;
            }
            described => return described.map(|()| wire),
        }
    }
    Err(Error::new(FailureClass::EndOfStream, "DESCRIBE: the camera closes every connection").into())
}

/// A conversation on its connection.
#[derive(Debug)]
struct Wire {
    dialogue: Dialogue,
    link: Link,
    /// What the camera sent and nobody took yet.
    buf: BytesMut,
    /// When that was read.
    read_at: Instant,
    /// Over UDP.
    ports: Vec<(TrackId, Ports)>,
    /// Room for datagrams.
    datagrams: BytesMut,
    /// Where the camera is, for another connection.
    target: Target,
    reach: Reach,
    /// Over UDP, the connection may be closed while media flows.
    closed: bool,
    /// Something was written and may still be on its way out (TLS, tunnels).
    unflushed: bool,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    armed: Option<Instant>,
}

/// What one turn brought.
#[derive(Debug, PartialEq, Eq)]
enum Went {
    On,
    Closed,
}

impl Wire {
    fn new(link: Link, dialogue: Dialogue, target: Target, reach: Reach) -> Self {
        let now = Instant::now();
        Self {
            dialogue,
            link,
            buf: BytesMut::with_capacity(READ),
            read_at: now,
            ports: Vec::new(),
            datagrams: BytesMut::new(),
            target,
            reach,
            closed: false,
            unflushed: false,
            timer: Box::pin(sleep_until(now.into())),
            armed: None,
        }
    }

    async fn play(&mut self, transport: Transport, multicast: bool) -> Result<(), Stop> {
        let local = self.link.local;
        let no_ports = |error: &io::Error| Stop::from(io_error(error, Step::Setup, "a pair of UDP ports"));
        let mut offers = Vec::new();
        for (index, track) in self.dialogue.description().tracks.iter().enumerate() {
            offers.push(match transport {
                Transport::Tcp | Transport::Tls | Transport::WebSocket | Transport::Http => {
                    Offer::Tcp(Channels::nth(index).ok_or_else(|| {
                        let words = "the camera's SDP has more tracks than there are channels";
                        Error::new(FailureClass::Protocol, words)
                    })?)
                }
                Transport::Udp if multicast => Offer::Multicast,
                Transport::Udp => {
                    let ports = Ports::bind(local).map_err(|error| no_ports(&error))?;
                    let pair = ports.pair();
                    self.ports.push((track.id, ports));
                    Offer::Udp(pair)
                }
            });
        }
        self.dialogue.play(offers, self.link.peer, Instant::now())?;
        let set_up = |dialogue: &Dialogue| dialogue.stage() != Stage::SettingUp;
        match self.until(set_up).await {
            Err(Stop::Failed(error))
                if matches!(error.class, FailureClass::EndOfStream | FailureClass::Reset)
                    && self.dialogue.may_go_on_elsewhere() =>
            {
                self.connect_again().await?;
                self.dialogue.go_on(Instant::now())?;
                self.until(set_up).await?;
            }
            set_up => set_up?,
        }
        for (track, group) in self.dialogue.groups() {
            let ports = Ports::join(group, local).map_err(|error| no_ports(&error))?;
            self.ports.push((track, ports));
        }
        self.until(|dialogue| dialogue.stage() == Stage::Playing).await
    }

    /// Another connection, in place of one that is gone.
    async fn connect_again(&mut self) -> Result<(), Stop> {
        self.link = link::connect(&self.target, &self.reach).await?;
        self.buf.clear();
        (self.closed, self.unflushed) = (false, false);
        Ok(())
    }

    /// Goes on until the conversation is there.
    async fn until(&mut self, there: impl Fn(&Dialogue) -> bool) -> Result<(), Stop> {
        poll_fn(|cx| {
            loop {
                if there(&self.dialogue) {
                    return Poll::Ready(Ok(()));
                }
                match self.poll_once(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Went::On)) => {}
                    Poll::Ready(Ok(Went::Closed)) => {
                        // It may have closed the connection to say that the description is whole.
                        self.dialogue.nothing_more_comes(self.read_at)?;
                        if self.dialogue.receive(&mut self.buf, self.read_at)? || there(&self.dialogue) {
                            continue;
                        }
                        let step = self.dialogue.step();
                        let words = format!("{step}: the camera closed the connection");
                        let error = Error::new(FailureClass::EndOfStream, words);
                        return Poll::Ready(Err(Error { step: Some(step), ..error }.into()));
                    }
                    Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                }
            }
        })
        .await
    }

    /// One turn: an item out of what was read, or the next read.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<Result<Went, Stop>> {
        if !self.buf.is_empty() && self.dialogue.receive(&mut self.buf, self.read_at)? {
            return Poll::Ready(Ok(Went::On));
        }
        self.poll_write(cx)?;
        for (track, ports) in &self.ports {
            if let Poll::Ready((port, from, packet)) = ports.poll_recv(cx, &mut self.datagrams) {
                let now = Instant::now();
                self.dialogue.datagram(*track, port, from, packet, now);
                return Poll::Ready(self.tick(now).map(|_| Went::On));
            }
        }
        if !self.closed {
            if self.buf.capacity() - self.buf.len() < READ_AT_LEAST {
                self.buf.reserve(READ);
            }
            let read = pin!(self.link.stream.read_buf(&mut self.buf)).poll(cx);
            match read {
                Poll::Ready(Ok(0)) => {
                    if self.ports.is_empty() || self.dialogue.stage() != Stage::Playing {
                        return Poll::Ready(Ok(Went::Closed));
                    }
                    tracing::debug!("the camera closed the connection; its datagrams go on");
                    self.closed = true;
                }
                Poll::Ready(Ok(_)) => {
                    self.read_at = Instant::now();
                    return Poll::Ready(self.tick(self.read_at).map(|_| Went::On));
                }
                Poll::Ready(Err(error)) => {
                    let step = self.dialogue.step();
                    return Poll::Ready(Err(io_error(&error, step, &step.to_string()).into()));
                }
                Poll::Pending => {}
            }
        }
        self.poll_timer(cx)
    }

    /// Waits for the time the conversation has something to do of itself.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Went, Stop>> {
        let Some(due) = self.dialogue.due() else { return Poll::Pending };
        if self.armed != Some(due) {
            self.timer.as_mut().reset(due.into());
            self.armed = Some(due);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.armed = None;
                // The timer counts milliseconds, and may be a little early.
                self.dialogue.tick(Instant::now().max(due))?;
                Poll::Ready(Ok(Went::On))
            }
        }
    }

    /// Does what is due; `true` if anything was.
    fn tick(&mut self, now: Instant) -> Result<bool, Stop> {
        let due = self.dialogue.due().is_some_and(|due| due <= now);
        if due {
            self.dialogue.tick(now)?;
        }
        Ok(due)
    }

    /// Writes what there is to write, as far as the sockets take it.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        for (track, port, to, packet) in self.dialogue.datagrams().drain(..) {
            if let Some((_, ports)) = self.ports.iter().find(|(of, _)| *of == track) {
                ports.send(port, to, &packet);
            }
        }
        let step = self.dialogue.step();
        let out = self.dialogue.out();
        if self.closed {
            out.clear();
        }
        let failed = |error: &io::Error| Stop::from(io_error(error, step, &step.to_string()));
        while !out.is_empty() {
            match pin!(self.link.stream.write(out)).poll(cx) {
                Poll::Ready(Ok(0)) | Poll::Pending => break,
                Poll::Ready(Ok(len)) => {
                    out.drain(..len);
                    self.unflushed = true;
                }
                // What the camera said before it closed is worth more than that we cannot answer.
                Poll::Ready(Err(_)) if step == Step::Playing => {
                    out.clear();
                    break;
                }
                Poll::Ready(Err(error)) => return Err(failed(&error)),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.link.stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) if step != Step::Playing => return Err(failed(&error)),
                Poll::Ready(_) => self.unflushed = false,
            }
        }
        Ok(())
    }
}

const REDIRECTS_MAX: usize = 3;

/// A camera that closes the connection with its 401 is asked again on another, so often.
const RECONNECTS_MAX: usize = 2;

/// One read.
const READ: usize = 64 << 10;

/// With less room than this left, more is made.
const READ_AT_LEAST: usize = 16 << 10;
