//! What carries a conversation with a camera: its connection, its ports, its timer.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite as _, AsyncWriteExt};
use tokio::time::{Sleep, sleep_until};

use super::dialogue::{Dialogue, Stage, Stop};
use super::lane::Offer;
use super::link::{self, Link, io_error};
use super::target::{Reach, Target};
use super::udp::Ports;
use crate::rtsp::transport::Channels;
use crate::source::error::{Error, Step};
use crate::vocabulary::{FailureClass, TrackId, Transport};

/// A conversation on its connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) dialogue: Dialogue,
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
pub(super) enum Went {
    On,
    Closed,
}

impl Wire {
    pub(super) fn new(link: Link, dialogue: Dialogue, target: Target, reach: Reach) -> Self {
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

    pub(super) async fn play(&mut self, transport: Transport, multicast: bool) -> Result<(), Stop> {
        let local = self.link.local;
        let no_ports = |error: &io::Error| Stop::from(io_error(error, Step::Setup, "a pair of UDP ports"));
        let mut offers = Vec::new();
        for (index, track) in self.dialogue.set_ups().enumerate() {
            // What goes back to a camera goes to nobody else.
            let multicast = multicast && index < self.dialogue.description().tracks.len();
            offers.push(match transport {
                Transport::Tcp | Transport::Tls | Transport::WebSocket | Transport::Http => {
                    Offer::Tcp(Channels::nth(index).ok_or_else(|| {
                        let words = "the camera's SDP has more tracks than there are channels";
                        Error::new(FailureClass::Protocol, words)
                    })?)
                }
                Transport::Multicast => Offer::Multicast,
                Transport::Udp if multicast => Offer::Multicast,
                Transport::Udp => {
                    let ports = Ports::bind(local).map_err(|error| no_ports(&error))?;
                    let pair = ports.pair();
                    self.ports.push((track, ports));
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
    pub(super) async fn connect_again(&mut self) -> Result<(), Stop> {
        self.link = link::connect(&self.target, &self.reach).await?;
        self.buf.clear();
        (self.closed, self.unflushed) = (false, false);
        Ok(())
    }

    /// Goes on until the conversation is there.
    pub(super) async fn until(&mut self, there: impl Fn(&Dialogue) -> bool) -> Result<(), Stop> {
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
    pub(super) fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<Result<Went, Stop>> {
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

/// One read.
const READ: usize = 64 << 10;

/// With less room than this left, more is made.
const READ_AT_LEAST: usize = 16 << 10;
