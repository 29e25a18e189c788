//! The client of the classic exercise ("Streaming Video with RTSP and RTP" in Kurose and Ross, *Computer Networking*), which
//! speaks something like RTSP: `fanlight serve-file --classic` is the server that it comes with.
//!
//! | | RTSP | the exercise |
//! |---|---|---|
//! | a request ends | with an empty line | after its third line, often without a line end |
//! | an answer has | a head and an empty line | exactly the lines status, `CSeq`, `Session`: the Java client reads three |
//! | `Session` | text, `;timeout=` | a number that fits 32 bits |
//! | `Transport` | `RTP/AVP;unicast;client_port=a-b` | `RTP/UDP; client_port= 25000` |
//! | JPEG over RTP | RFC 2435, cut to fit a network | the file's picture, in one datagram of up to 65,000 bytes |
//! | sequence numbers | begin anywhere | those of the pictures, from 1: what is not above the last is late |
//!
//! A connection is taken for one of these clients by its first request, a SETUP for `RTP/UDP`; all others are served as
//! ever. There is no keep-alive in the exercise, so a session lasts as long as its connection.

mod request;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::time;

use super::Shared;
use super::mount::Mount;
use super::outbox::Outbox;
use super::playback::ClipMount;
use crate::rtp::Header;
use crate::rtsp::{Method, Status, Uri};
use request::{Request, take};

pub(super) use request::is_meant;

/// One client of the exercise.
struct Client<'c> {
    shared: &'c Shared,
    peer: IpAddr,
    state: State,
    /// Of every session of the connection.
    session: u32,
}

/// INIT, READY and PLAYING, as the exercise draws them.
enum State {
    Init,
    Ready(Show),
    Playing(Show),
}

/// A clip on its way to a client.
struct Show {
    clip: Arc<ClipMount>,
    to: SocketAddr,
    /// Pictures sent or left out so far.
    sent: usize,
    due: Instant,
}

/// Serves a client of the exercise until it closes the connection. `input` is what it has said so far.
///
/// # Errors
/// The connection broke.
pub(super) async fn serve(
    shared: &Shared,
    outbox: &Outbox,
    input: &mut BytesMut,
    peer: IpAddr,
) -> io::Result<()> {
    let session = rand::random_range(100_000..1_000_000);
    let mut client = Client { shared, peer, state: State::Init, session };
    let socket = outbox.socket();
    let mut chunk = [0; LONGEST_REQUEST];
    // Pictures go out meanwhile.
    let mut heard = time::Instant::now();
    loop {
        while let Some((request, length)) = take(input, false) {
            input.advance(length);
            outbox.answer(&client.answer(&request))?;
        }
        if input.len() > LONGEST_REQUEST {
            return Ok(());
        }
        let due = match &client.state {
            State::Playing(show) => show.due(),
            State::Init | State::Ready(_) => None,
        };
        let is_due = async {
            match due {
                Some(due) => time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            readable = socket.readable() => {
                readable?;
                match socket.try_read(&mut chunk) {
                    Ok(0) => return Ok(()),
                    Ok(length) => {
                        input.extend_from_slice(&chunk[..length]);
                        heard = time::Instant::now();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            writable = socket.writable(), if !outbox.is_empty() => {
                writable?;
                outbox.flush()?;
            }
            () = is_due => client.send(),
            // Nothing more comes: what is there is a request without its end.
            () = time::sleep_until(heard + QUIET), if !input.is_empty() => {
                match take(input, true) {
                    Some((request, length)) => {
                        input.advance(length);
                        outbox.answer(&client.answer(&request))?;
                    }
                    None => input.clear(),
                }
            }
        }
    }
}

impl Client<'_> {
    /// The answer to a request, which it obeys.
    fn answer(&mut self, request: &Request) -> Vec<u8> {
        let status = self.obey(request).err().unwrap_or(Status::OK);
        let (reason, cseq) = (status.reason(), &request.cseq);
        // No empty line: the Java client would take it for the next answer.
        format!("RTSP/1.0 {} {reason}\r\nCSeq: {cseq}\r\nSession: {}\r\n", status.0, self.session)
            .into_bytes()
    }

    fn obey(&mut self, request: &Request) -> Result<(), Status> {
        if request.cseq.is_empty() {
            return Err(Status::BAD_REQUEST);
        }
        if request.method != Method::Setup && request.session != Some(self.session) {
            return Err(Status::SESSION_NOT_FOUND);
        }
        let (state, answer) = match (std::mem::replace(&mut self.state, State::Init), &request.method) {
            (State::Init, Method::Setup) => match self.set_up(request) {
                Ok(show) => (State::Ready(show), Ok(())),
                Err(status) => (State::Init, Err(status)),
            },
            (State::Ready(show), Method::Play) => {
                (State::Playing(Show { due: Instant::now(), ..show }), Ok(()))
            }
            (State::Playing(show), Method::Pause) => (State::Ready(show), Ok(())),
            (State::Ready(_) | State::Playing(_), Method::Teardown) => (State::Init, Ok(())),
            (state, Method::Setup | Method::Play | Method::Pause | Method::Teardown) => {
                (state, Err(Status::METHOD_NOT_VALID))
            }
            (state, _) => (state, Err(Status::NOT_IMPLEMENTED)),
        };
        self.state = state;
        answer
    }

    fn set_up(&self, request: &Request) -> Result<Show, Status> {
        let uri = Uri::parse(&request.file).ok().flatten().ok_or(Status::BAD_REQUEST)?;
        let Some(Mount::Clip(clip)) = self.shared.mounts.find(&uri.path) else {
            return Err(Status::NOT_FOUND);
        };
        let port = request.port.filter(|port| *port >= LOWEST_PORT).ok_or(Status::UNSUPPORTED_TRANSPORT)?;
        Ok(Show { clip, to: (self.peer, port).into(), sent: 0, due: Instant::now() })
    }

    /// Sends the picture that is due.
    fn send(&mut self) {
        let (State::Playing(show), Some(ports)) = (&mut self.state, &self.shared.udp) else { return };
        let Some(picture) = show.clip.picture(show.sent) else { return };
        let header = Header {
            marker: true,
            payload_type: crate::jpeg::PAYLOAD_TYPE,
            sequence: (show.sent + 1) as u16,
            timestamp: (show.sent as f64 * f64::from(crate::jpeg::CLOCK_RATE) / show.clip.fps()) as u32,
            ssrc: self.session,
            payload: 0..0,
        };
        if picture.len() <= LARGEST_PICTURE {
            ports.send_packet(show.to, &[&header.write()[..], picture].concat());
        } else {
            tracing::warn!(bytes = picture.len(), "a picture fits no datagram: it is left out");
        }
        show.sent += 1;
        let interval = Duration::from_secs_f64(1.0 / show.clip.fps());
        // A worker that was busy does not make up for more than one picture.
        show.due = (show.due + interval).max(Instant::now() - interval);
    }
}

impl Show {
    /// When the next picture is due; `None` after the last.
    fn due(&self) -> Option<Instant> {
        self.clip.picture(self.sent).map(|_| self.due)
    }
}

/// The exercise's server reads 256 bytes.
const LONGEST_REQUEST: usize = 4096;

/// A request without its end is complete when nothing came for this long.
const QUIET: Duration = Duration::from_millis(50);

/// Lower ports are not a player's.
const LOWEST_PORT: u16 = 1024;

/// What fits a datagram behind its header, in a round number.
const LARGEST_PICTURE: usize = 65_000;
