//! One browser's connection, from the handshake to the closing frame.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::Deserialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::farewell::Farewell;
use super::frame::{self, Frame, FrameError, MAX_MESSAGE, Opcode};
use super::hello::hello;
use crate::access::Handover;
use crate::config::SlowViewer;
use crate::hub::{self, Stream};
use crate::sdp;
use crate::server::Shared;
use crate::server::admission::{Full, Place};
use crate::server::connection::{MAX_UNREAD, READ, reached};
use crate::server::fanout::{Line, Subscriber};
use crate::server::farewell::TICK;
use crate::server::mount::Mount;
use crate::server::outbox::{MAX_UNSENT, Outbox};
use crate::server::player::Carrier;
use crate::server::refusals::why_unavailable;
use crate::server::secure::Secure;
use crate::server::session::{Session, Viewer};
use crate::server::talk::Part;
use crate::spans;
use crate::vocabulary::{Disconnect, Transport};

/// Serves a browser to its end.
pub(super) async fn serve(
    socket: TcpStream,
    browser: Handover,
    place: Result<Place, Full>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let Handover { keys, read, peer, stream, query, user_agent, warrant } = browser;
    let mut span = spans::Viewer::new(peer);
    // As for a viewer over RTSP.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(MAX_UNSENT);
    let keep_alive = TcpKeepalive::new().with_time(shared.settings.session_timeout);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&keep_alive);
    let outbox = Rc::new(Outbox::of_messages(socket, keys.map(|keys| Secure::new(*keys))));
    let mut input = BytesMut::from(&read[..]);
    let opened = async {
        let place = place.map_err(|full| Farewell::again(format!("too many viewers: {full}")))?;
        place.keep();
        // What came with the handshake.
        outbox.receive(&[], &mut input).map_err(|_| Farewell::of(Disconnect::Closed))?;
        let mount = shared.mounts.find(&stream).ok_or_else(|| Farewell::gone(&stream))?;
        let viewer = Viewer {
            place: shared
                .admission
                .session(peer.ip())
                .map_err(|full| Farewell::again(format!("too many viewers: {full}")))?,
            peer: peer.ip(),
            transport: Transport::WebSocket,
            hears: None,
            user_agent,
            warranted: warrant.map(|warrant| shared.warrants.warranted(&warrant)),
        };
        let opened = open(&shared, mount, query.as_deref(), viewer, &outbox).await?;
        Ok((place, opened))
    };
    let opened = tokio::select! {
        opened = opened => opened,
        () = stop.cancelled() => Err(Farewell::of(Disconnect::Shutdown)),
    };
    let (subscriber, farewell) = match opened {
        Ok((place, Opened { subscriber, viewer, hello })) => {
            span.begins(
                subscriber.session().id(),
                &stream,
                Transport::WebSocket,
                viewer.user_agent.as_deref(),
            );
            let mut browser = Browser {
                shared: &shared,
                outbox: Rc::clone(&outbox),
                subscriber,
                viewer,
                input,
                message: None,
                place,
                paced: None,
                heard: Instant::now(),
                pinged: Instant::now(),
                finished: false,
            };
            let farewell = browser.run(&hello, &stop).await.unwrap_or_else(|error| {
                // Browsers reset the connection when they leave: nothing to report.
                tracing::trace!(parent: span.id(), %error, "a browser's connection broke");
                browser.finished = true;
                Farewell::of(Disconnect::Closed)
            });
            let finished = browser.finished;
            (Some((browser.subscriber, finished)), farewell)
        }
        Err(farewell) => (None, farewell),
    };
    let asked = subscriber.is_none().then_some(&stream); // else the span has it
    tracing::debug!(parent: span.id(), stream = asked, reason = farewell.words, "a browser's connection ended");
    span.ended(farewell.reason);
    let finished = subscriber.is_some_and(|(subscriber, finished)| {
        subscriber.end(farewell.reason);
        finished
    });
    farewell.say(&outbox, finished).await;
}

/// A session that plays.
struct Opened {
    subscriber: Subscriber,
    /// As the API lists it.
    viewer: Arc<hub::Viewer>,
    /// The first message.
    hello: String,
}

/// A session of all the tracks asked for, and the first message.
async fn open(
    shared: &Shared,
    mount: Mount,
    query: Option<&str>,
    viewer: Viewer,
    outbox: &Rc<Outbox>,
) -> Result<Opened, Farewell> {
    let stream = Arc::clone(mount.stream());
    let Some(described) = mount.describe(shared.settings.describe_timeout).await else {
        let why = why_unavailable(&stream);
        return Err(Farewell::again(format!("the source is not available: {why}")));
    };
    let asked = query.and_then(|query| sdp::asked_for(query, &described.description));
    let description = asked.as_ref().unwrap_or(&described.description);
    let tracks: Vec<_> = description.tracks.iter().filter(|track| track.id.0 < MAX_TRACKS).collect();
    if tracks.is_empty() {
        return Err(Farewell {
            code: 1008,
            words: "it has no such track".into(),
            reason: Disconnect::Closed,
        });
    }
    let advertised = shared.settings.advertised_timeout;
    let mut session = Session::new(mount, &described, String::new(), viewer, advertised);
    for track in &tracks {
        let carrier = Carrier::Channels { rtp: 2 * track.id.0, rtcp: 2 * track.id.0 + 1 };
        let part = Part::Track(Box::new((*track).clone()));
        session.set_up(part, carrier).map_err(|_| Farewell::gone(stream.name()))?;
    }
    let hello = hello(stream.name(), tracks.into_iter(), clock(&stream, Instant::now()));
    let mut subscriber = Subscriber::new(session, Line::Connection(Rc::clone(outbox)));
    subscriber.play(&shared.workers).map_err(|_| Farewell::gone(stream.name()))?;
    let viewer = subscriber.session_mut().playing().map(|playing| Arc::clone(playing.seat.viewer()));
    let viewer = viewer.ok_or_else(|| Farewell::gone(stream.name()))?;
    Ok(Opened { subscriber, viewer, hello })
}

/// The time on the clock of the stream's sender reports, in milliseconds since 1970.
fn clock(stream: &Stream, now: Instant) -> f64 {
    let status = stream.status();
    let status = status.borrow();
    let tracks = status.described.iter().flat_map(|described| &described.description.tracks);
    let mut tracks: Vec<_> = tracks.map(|track| (!track.is_video(), track.id)).collect();
    tracks.sort_unstable();
    let reported = tracks.into_iter().find_map(|(_, id)| stream.report(id, now));
    let wall = reported.map_or_else(|| stream.wall(stream.elapsed(now)), |(_, wall)| wall);
    wall.as_secs_f64() * 1e3
}

/// A browser that watches.
struct Browser<'s> {
    shared: &'s Shared,
    outbox: Rc<Outbox>,
    subscriber: Subscriber,
    viewer: Arc<hub::Viewer>,
    input: BytesMut,
    /// The pieces of a text that has more to come.
    message: Option<Vec<u8>>,
    place: Place,
    /// It says too much: what it says waits until then.
    paced: Option<Instant>,
    /// When it last said something.
    heard: Instant,
    /// When it was last asked whether it is there.
    pinged: Instant,
    /// It has sent FIN, or what there is to say has been said.
    finished: bool,
}

/// What a browser asks for.
#[derive(Deserialize)]
struct Wish {
    #[serde(rename = "do")]
    action: Option<String>,
    ping: Option<f64>,
}

impl Browser<'_> {
    async fn run(&mut self, hello: &str, stop: &CancellationToken) -> io::Result<Farewell> {
        let outbox = Rc::clone(&self.outbox);
        let socket = outbox.socket();
        outbox.answer(&frame::frame(Opcode::Text, hello.as_bytes()))?;
        let mut timer = pin!(time::sleep(TICK));
        let viewer = Arc::clone(&self.viewer);
        // Also while it pauses.
        let mut kicked = pin!(viewer.kicked());
        loop {
            if let Some(farewell) = self.listen()? {
                return Ok(farewell);
            }
            if self.finished {
                return Ok(Farewell::of(Disconnect::Closed));
            }
            let clear = outbox.is_empty();
            let reading = self.paced.is_none() && outbox.len() < MAX_UNREAD;
            tokio::select! {
                biased;
                next = self.subscriber.next(), if clear => {
                    if let Some(reason) = self.subscriber.deliver(next)? {
                        return Ok(Farewell::of(reason));
                    }
                }
                readable = socket.readable(), if reading => {
                    readable?;
                    self.read()?;
                }
                writable = socket.writable(), if !clear => {
                    writable?;
                    outbox.flush()?;
                }
                reason = &mut kicked => return Ok(Farewell::of(reason)),
                () = stop.cancelled() => return Ok(Farewell::of(Disconnect::Shutdown)),
                () = reached(self.paced) => {}
                () = &mut timer => {
                    if let Some(reason) = self.overdue()? {
                        return Ok(Farewell::of(reason));
                    }
                    timer.as_mut().reset(time::Instant::now() + TICK);
                }
            }
        }
    }

    /// Takes what the socket has.
    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; READ];
        match self.outbox.socket().try_read(&mut chunk) {
            Ok(0) => self.finished = true,
            Ok(length) => self.finished = self.outbox.receive(&chunk[..length], &mut self.input)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Answers all that has come, as long as the answers find room; `Some` when that was the end.
    fn listen(&mut self) -> io::Result<Option<Farewell>> {
        let now = Instant::now();
        self.paced = self.paced.filter(|until| now < *until);
        while self.paced.is_none() && self.outbox.len() < MAX_UNREAD {
            let frame = match frame::take(&mut self.input) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Ok(Some(error.into())),
            };
            self.heard = now;
            let wait = self.place.pace(now);
            self.paced = (wait > Duration::ZERO).then(|| now + wait);
            if let Some(farewell) = self.obey(frame)? {
                return Ok(Some(farewell));
            }
        }
        Ok(None)
    }

    fn obey(&mut self, Frame { opcode, last, payload }: Frame) -> io::Result<Option<Farewell>> {
        let text = match (opcode, self.message.take()) {
            (Opcode::Ping, message) => {
                self.message = message;
                self.outbox.answer(&frame::frame(Opcode::Pong, &payload))?;
                return Ok(None);
            }
            (Opcode::Pong, message) => {
                self.message = message;
                return Ok(None);
            }
            (Opcode::Close, _) => {
                return Ok(Some(Farewell {
                    code: 1000,
                    words: "goodbye".into(),
                    reason: Disconnect::Teardown,
                }));
            }
            (Opcode::Binary, _) => return Ok(Some(Farewell::refused(1003, "only text is understood"))),
            (Opcode::Text, None) => payload,
            (Opcode::Continuation, Some(mut message)) => {
                message.extend(payload);
                message
            }
            (Opcode::Text, Some(_)) | (Opcode::Continuation, None) => {
                return Ok(Some(Farewell::refused(1002, "the pieces of a message are not in order")));
            }
        };
        if text.len() > MAX_MESSAGE {
            return Ok(Some(FrameError::TooLong.into()));
        }
        if !last {
            self.message = Some(text);
            return Ok(None);
        }
        // What it says beyond what is known here is another version's.
        let Ok(wish) = serde_json::from_slice::<Wish>(&text) else {
            return Ok(Some(Farewell::refused(1007, "a message is not JSON, or not as documented")));
        };
        match wish.action.as_deref() {
            Some("pause") => self.subscriber.pause(&self.shared.workers),
            Some("play") if self.subscriber.play(&self.shared.workers).is_err() => {
                return Ok(Some(Farewell::of(Disconnect::StreamChanged)));
            }
            _ => {}
        }
        if let Some(ping) = wish.ping {
            let clock = clock(self.subscriber.session().mount().stream(), Instant::now());
            let pong = serde_json::json!({ "pong": ping, "clock": clock }).to_string();
            self.outbox.answer(&frame::frame(Opcode::Text, pong.as_bytes()))?;
        }
        Ok(None)
    }

    /// What took too long, if anything did. A browser that says nothing is asked whether it is there, which also keeps the
    /// connection open through proxies.
    fn overdue(&mut self) -> io::Result<Option<Disconnect>> {
        let (settings, now) = (&self.shared.settings, Instant::now());
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        if let Some(since) = self.outbox.blocked_since() {
            let session = self.subscriber.session();
            let viewing = session.mount().stream().viewing();
            if viewing.slow_viewer == SlowViewer::Disconnect && over(since, viewing.max_lag) {
                return Ok(Some(Disconnect::TooSlow));
            }
            if over(since, settings.write_timeout) {
                return Ok(Some(Disconnect::WriteTimeout));
            }
        }
        // Who takes what is sent lives, though it may not answer.
        if !self.subscriber.session().is_playing() && over(self.heard, settings.session_timeout) {
            return Ok(Some(Disconnect::Timeout));
        }
        if over(self.heard.max(self.pinged), settings.session_timeout / 3) {
            self.pinged = now;
            self.outbox.answer(&frame::frame(Opcode::Ping, b""))?;
        }
        Ok(None)
    }
}

/// Tracks that have a channel of their own.
const MAX_TRACKS: u8 = 128;
