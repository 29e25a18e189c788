//! One connection: its requests, its answers, and the media of its interleaved sessions.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Shared;
use super::admission::{Open, Place};
use super::classic;
use super::fanout::Subscriber;
use super::farewell::TICK;
use super::outbox::{MAX_UNSENT, Outbox};
use super::secure;
use super::session::Next;
use super::tunnel::GetHalf;
use super::udp::UdpHandle;
use crate::access::{Digest, Schemes, Visitor};
use crate::hub::Stream;
use crate::rtsp::{self, Item, Reason, Response};
use crate::spans;
use crate::tls::Certificates;
use crate::vocabulary::{Disconnect, TrackId, Transport};

/// The task of one connection, from accept to close.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) span: spans::Viewer,
    /// The interleaved sessions. More than one is rare: ffmpeg makes a second one after its first over UDP stayed silent.
    pub(super) sessions: Vec<Subscriber>,
    /// The UDP sessions made here: any request shows that their viewer lives.
    pub(super) udp: Vec<UdpHandle>,
    /// What was described last.
    pub(super) described: Option<Shown>,
    /// Who is there.
    pub(super) visitor: Visitor,
    /// To be closed once everything is written.
    pub(super) closing: Option<Disconnect>,
    pub(super) input: BytesMut,
    /// Since when an incomplete request has been waiting for its rest.
    pub(super) incomplete: Option<Instant>,
    /// When the viewer last sent something complete.
    pub(super) last_heard: Instant,
    /// It has not sent anything complete yet.
    pub(super) silent: bool,
    pub(super) place: Place,
    /// It asks too much: its requests wait until then.
    paced: Option<Instant>,
    /// The viewer has sent FIN.
    pub(super) finished: bool,
    /// The connection is the GET of a tunnel: requests come from its POST.
    pub(super) tunnel: Option<GetHalf>,
    /// Shared with the sessions.
    pub(super) outbox: Rc<Outbox>,
}

/// What a viewer was shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) stream: Weak<Stream>,
    pub(super) generation: u32,
    /// The only track of it, which a SETUP without a track then means.
    pub(super) only: Option<TrackId>,
    /// The way back to the camera was among it.
    pub(super) talks: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    socket: TcpStream,
    certificates: Option<Arc<Certificates>>,
    peer: SocketAddr,
    place: Place,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    // Not fatal: it costs latency only.
    let _ = socket.set_nodelay(true);
    // What the viewer's network does not take waits here, where a key frame replaces it, and not in the kernel.
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(MAX_UNSENT);
    // Finds out who is gone while there is no media to write.
    let keep_alive = TcpKeepalive::new().with_time(shared.settings.session_timeout);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&keep_alive);
    let Ok(local) = socket.local_addr() else { return };
    let evicted = place.evicted.clone();
    let secured = async {
        let Some(certificates) = certificates else { return Some((socket, None)) };
        let limit = shared.settings.request_timeout;
        let shaken = secure::shake(&certificates, socket, peer, limit, &shared.metrics).await;
        shaken.map(|(socket, secure)| (socket, Some(secure)))
    };
    let secured = tokio::select! {
        biased;
        // First: without TLS there is nothing to wait for.
        secured = secured => secured,
        () = evicted.cancelled() => return tracing::trace!(%peer, "a silent connection made room"),
        () = stop.cancelled() => return,
    };
    let Some((socket, secure)) = secured else { return };
    let outbox = Outbox::new(socket, secure);
    let over_tls = outbox.transport() == Transport::Tls;
    let _open = Open::count(&shared.metrics, over_tls);
    let mut connection = Connection {
        shared,
        peer,
        local,
        span: spans::Viewer::new(peer),
        sessions: Vec::new(),
        udp: Vec::new(),
        described: None,
        visitor: Visitor::new(peer.ip(), Schemes { digest: Digest::Connection, basic: over_tls }),
        closing: None,
        input: BytesMut::new(),
        incomplete: None,
        last_heard: Instant::now(),
        silent: true,
        place,
        paced: None,
        finished: false,
        tunnel: None,
        outbox: Rc::new(outbox),
    };
    let reason = match connection.run(&stop).await {
        Ok(reason) => reason,
        Err(error) => {
            // Players reset the connection when they leave: nothing to report.
            tracing::trace!(parent: connection.span.id(), %error, "a connection broke");
            connection.finished = true;
            Disconnect::Closed
        }
    };
    let hint =
        secure::is_hello(&connection.input).then_some("TLS on the port of plain RTSP, see rtsp.tls_listen");
    tracing::debug!(parent: connection.span.id(), reason = reason.as_str(), hint, "a connection ended");
    if connection.udp.is_empty() {
        connection.span.ended(reason);
    }
    connection.farewell(reason).await;
}

/// What a connection's task was woken for.
enum Woken {
    Stop,
    Readable,
    Tunnelled(Option<Bytes>),
    Writable,
    Media(usize, Next),
    /// Another needs the place, and this one has not asked for anything.
    Evicted,
    /// The next request may be answered.
    Paced,
    Timer,
}

impl Connection {
    async fn run(&mut self, stop: &CancellationToken) -> io::Result<Disconnect> {
        let outbox = Rc::clone(&self.outbox);
        let socket = outbox.socket();
        let mut stopped = pin!(stop.cancelled());
        let evicted = self.place.evicted.clone();
        let mut evicted = pin!(evicted.cancelled());
        // What came with the end of the handshake.
        outbox.receive(&[], &mut self.input)?;
        let mut timer = pin!(time::sleep(self.shared.settings.request_timeout.min(TICK)));
        loop {
            // A request may wait for a source; the end does not wait for it.
            tokio::select! {
                biased;
                answered = self.answer_requests() => answered?,
                () = &mut stopped => return Ok(Disconnect::Shutdown),
            }
            if self.finished {
                self.closing.get_or_insert(Disconnect::Closed);
            }
            if let (Some(reason), true) = (self.closing, self.outbox.is_empty()) {
                return Ok(reason);
            }
            let reading = self.closing.is_none() && self.paced.is_none() && self.outbox.len() < MAX_UNREAD;
            let clear = self.outbox.is_empty();
            let woken = tokio::select! {
                biased;
                (index, next) = next_media(&self.sessions), if clear => Woken::Media(index, next),
                readable = socket.readable(), if reading => readable.map(|()| Woken::Readable)?,
                piece = tunnelled(&mut self.tunnel), if reading => Woken::Tunnelled(piece),
                writable = socket.writable(), if !clear => writable.map(|()| Woken::Writable)?,
                () = &mut stopped => Woken::Stop,
                () = &mut evicted, if self.silent => Woken::Evicted,
                () = reached(self.paced) => Woken::Paced,
                () = &mut timer => Woken::Timer,
            };
            match woken {
                Woken::Stop => return Ok(Disconnect::Shutdown),
                Woken::Paced => {}
                Woken::Evicted => {
                    self.read(socket)?;
                    // What it asks may have come a moment ago.
                    let asks = !matches!(rtsp::parse(&self.input, &self.shared.settings.limits), Ok(None));
                    if !asks {
                        tracing::trace!(parent: self.span.id(), "a silent connection made room");
                        // Without a farewell: it holds a place that another needs.
                        self.finished = true;
                        return Ok(Disconnect::Closed);
                    }
                }
                Woken::Readable => self.read(socket)?,
                Woken::Tunnelled(piece) => self.input.extend_from_slice(&piece.unwrap_or_default()),
                Woken::Writable => self.outbox.flush()?,
                Woken::Media(index, next) => {
                    if let Some(reason) = self.sessions[index].deliver(next)? {
                        self.dismiss(index, reason)?;
                    }
                }
                Woken::Timer => {
                    if let Some(reason) = self.overdue(timer.as_mut()) {
                        return Ok(reason);
                    }
                }
            }
        }
    }

    /// Answers every complete request that has been read, as long as the answers find room.
    async fn answer_requests(&mut self) -> io::Result<()> {
        if self.silent && secure::is_hello(&self.input) {
            self.closing = Some(Disconnect::Protocol);
            return Ok(());
        }
        self.paced = self.paced.filter(|until| Instant::now() < *until);
        while self.closing.is_none()
            && self.paced.is_none()
            && !self.input.is_empty()
            && self.outbox.len() < MAX_UNREAD
        {
            if self.shared.classic && self.silent && classic::is_meant(&self.input) {
                self.place.keep();
                let (shared, outbox) = (Arc::clone(&self.shared), Rc::clone(&self.outbox));
                classic::serve(&shared, &outbox, &mut self.input, self.peer.ip()).await?;
                self.finished = true;
                self.closing = Some(Disconnect::Closed);
                break;
            }
            let consumed = match rtsp::parse(&self.input, &self.shared.settings.limits) {
                Ok(None) => {
                    self.input.advance(rtsp::leading_blanks(&self.input));
                    break;
                }
                Ok(Some((Item::Request(request), consumed))) => {
                    self.consume(consumed);
                    let span = self.span.request(&request.method);
                    let (response, written) = self.answer(&request).instrument(span).await;
                    self.write(&response)?;
                    // Now a UDP session may send.
                    drop(written);
                    let now = Instant::now();
                    let wait = self.place.pace(now);
                    self.paced = (wait > Duration::ZERO).then(|| now + wait);
                    continue;
                }
                // Nothing was asked, so nothing is answered: GStreamer gives up when its answers are.
                Ok(Some((Item::Response(_), consumed))) => consumed,
                Ok(Some((Item::Data { channel, payload }, consumed))) => {
                    if let Some(here) = self.sessions.iter().find(|here| here.session().has_channel(channel))
                    {
                        here.session_mut().interleaved(channel, payload, &self.shared.metrics);
                    }
                    consumed
                }
                Err(rejection) if rejection.reason == Reason::Http => match self.http().await? {
                    true => continue,
                    false => break,
                },
                Err(rejection) => {
                    tracing::debug!(parent: self.span.id(), reason = %rejection.reason, "a request was refused");
                    if let Some(answer) = rejection.answer() {
                        self.write(&answer)?;
                    }
                    if rejection.consumed.is_none() {
                        self.closing = Some(Disconnect::Protocol);
                    }
                    rejection.consumed.unwrap_or(self.input.len())
                }
            };
            self.consume(consumed);
        }
        if self.input.is_empty() {
            self.incomplete = None;
            // The buffer of a long request is given back.
            if self.input.capacity() > MAX_IDLE_INPUT {
                self.input = BytesMut::new();
            }
        } else {
            self.incomplete.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Drops what was understood. What follows is another request, with its own time to become complete.
    fn consume(&mut self, length: usize) {
        self.input.advance(length);
        self.incomplete = None;
        self.last_heard = Instant::now();
        if std::mem::take(&mut self.silent) {
            self.place.keep();
        }
    }

    fn write(&mut self, response: &Response) -> io::Result<()> {
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        self.outbox.answer(&bytes)
    }

    /// Takes what the socket has.
    fn read(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut chunk = [0; READ];
        match socket.try_read(&mut chunk) {
            Ok(0) => self.finished = true,
            // Who has a tunnel speaks through its POST.
            Ok(length) if self.tunnel.is_some() => {
                if !chunk[..length].iter().all(u8::is_ascii_whitespace) {
                    self.closing = Some(Disconnect::Protocol);
                }
            }
            // What came before the end is answered yet.
            Ok(length) => self.finished = self.outbox.receive(&chunk[..length], &mut self.input)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Until then; forever where there is no such moment.
pub(super) async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// What comes next through a tunnel; forever where there is none.
async fn tunnelled(tunnel: &mut Option<GetHalf>) -> Option<Bytes> {
    match tunnel {
        Some(tunnel) => tunnel.next().await,
        None => std::future::pending().await,
    }
}

/// The next thing of any session; forever where none plays.
async fn next_media(sessions: &[Subscriber]) -> (usize, Next) {
    match sessions {
        [] => std::future::pending().await,
        [only] => (0, only.next().await),
        several => {
            let mut waits: Vec<_> = several.iter().map(|session| Box::pin(session.next())).collect();
            std::future::poll_fn(|cx| {
                for (index, wait) in waits.iter_mut().enumerate() {
                    if let std::task::Poll::Ready(next) = wait.as_mut().poll(cx) {
                        return std::task::Poll::Ready((index, next));
                    }
                }
                std::task::Poll::Pending
            })
            .await
        }
    }
}

/// Bytes read at once.
pub(super) const READ: usize = 4096;

/// A viewer that does not read its answers is not given more than this; then its requests wait as well.
pub(super) const MAX_UNREAD: usize = 64 << 10;

/// An empty input buffer larger than this is given back.
const MAX_IDLE_INPUT: usize = 4 << 10;
