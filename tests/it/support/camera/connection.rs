//! One client connection: reading, writing, and all the ways in which it ends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::media::Moment;
use super::methods::{Client, Request};
use super::session::Session;
use super::{Close, Fault, Numbering, Shared, Stall};

/// What the writer of a connection is told to do.
#[derive(Debug)]
pub(super) enum Event {
    Answer(Vec<u8>),
    /// Send it and drop the guard.
    Moment(Arc<Moment>, Option<mpsc::Sender<()>>),
    Renumber(Numbering),
    /// Sequence numbers go back by so many.
    Rewind(u16),
    /// RTP timestamps go on by so many seconds.
    Jump(f64),
    Stall(Stall),
    Bye,
}

/// One packet, ready to go.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(Vec<u8>),
    Udp(Arc<UdpSocket>, SocketAddr, Vec<u8>),
}

/// The end of all connections but one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) how: Close,
    /// The number of the connection that goes on; 0 = none.
    pub(super) spared: usize,
}

/// Why a connection ends.
enum End {
    /// The client closed it.
    Client,
    /// It was told to.
    Told(Close),
    /// A fault of the camera, or no sign of life from the client.
    Camera,
}

pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let (mut close, mut hang) = (shared.close.subscribe(), shared.hang.subscribe());
    stream.set_nodelay(true).unwrap();
    shared.count(|c| {
        c.connections += 1;
        c.connections_total += 1;
    });
    let (events, inbox) = mpsc::unbounded_channel();
    let number = shared.counts.borrow().connections_total;
    let peer = stream.peer_addr().unwrap();
    let mut client = Client {
        number,
        peer,
        shared: Arc::clone(&shared),
        session: Arc::default(),
        events,
        udp: JoinSet::new(),
        said_goodbye: false,
        knows_session: false,
        listens_on: None,
    };
    let session = Arc::clone(&client.session);
    let end = {
        let (mut read, write) = stream.split();
        let told = async {
            loop {
                if close.changed().await.is_err() {
                    return std::future::pending().await;
                }
                let ending = *close.borrow_and_update();
                if ending.spared != number {
                    return End::Told(ending.how);
                }
            }
        };
        tokio::pin!(told);
        let end = tokio::select! {
            end = read_requests(&mut client, &mut read) => Some(end),
            () = write_events(&shared, &session, inbox, write) => Some(End::Client),
            end = &mut told => Some(end),
            Ok(()) = hang.changed() => None,
        };
        match end {
            Some(end) => end,
            // Half-open. What the client does with it is not the camera's to see, but the counts have to be right.
            None => {
                client.pause();
                tokio::select! {
                    () = discard(read) => End::Camera,
                    end = told => end,
                }
            }
        }
    };
    client.disconnected(matches!(end, End::Client));
    if matches!(end, End::Told(Close::Rst)) {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(stream);
    shared.count(|c| c.connections -= 1);
}

async fn discard(mut stream: impl AsyncRead + Unpin) {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).await.is_ok_and(|length| length > 0) {}
}

/// The writing half: answers and media in the order in which they were queued.
async fn write_events(
    shared: &Shared,
    session: &Mutex<Option<Session>>,
    mut inbox: mpsc::UnboundedReceiver<Event>,
    mut stream: impl AsyncWrite + Unpin,
) {
    while let Some(event) = inbox.recv().await {
        let (packets, _guard) = {
            let mut session = session.lock().unwrap();
            match (event, session.as_mut()) {
                (Event::Answer(answer), _) => (vec![Wire::Tcp(answer)], None),
                (Event::Moment(moment, guard), Some(session)) => (session.packets(&moment, shared), guard),
                (Event::Bye, Some(session)) => (session.byes(), None),
                (Event::Renumber(numbering), Some(session)) => {
                    session.renumber(numbering);
                    continue;
                }
                (Event::Rewind(packets), Some(session)) => {
                    session.rewind(packets);
                    continue;
                }
                (Event::Jump(seconds), Some(session)) => {
                    session.jump(seconds);
                    continue;
                }
                (Event::Stall(stall), Some(session)) => {
                    session.stall = Some(stall);
                    continue;
                }
                (_, None) => continue,
            }
        };
        let mut interleaved = Vec::new(); // one write a frame, as cameras with a big enough buffer do
        for packet in packets {
            match packet {
                Wire::Tcp(data) => interleaved.extend(data),
                Wire::Udp(socket, to, data) => {
                    let _ = socket.send_to(&data, to).await; // an unreachable port is the client's affair
                }
            }
        }
        let drip = shared.faults().into_iter().find_map(|fault| match fault {
            Fault::Drip(bytes, pause) => Some((bytes, pause)),
            _ => None,
        });
        let written = match drip {
            None => stream.write_all(&interleaved).await,
            Some((bytes, pause)) => write_in_drops(&mut stream, &interleaved, bytes, pause).await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn write_in_drops(
    stream: &mut (impl AsyncWrite + Unpin),
    data: &[u8],
    bytes: usize,
    pause: Duration,
) -> std::io::Result<()> {
    for drop in data.chunks(bytes) {
        stream.write_all(drop).await?;
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            sleep(pause).await;
        }
    }
    Ok(())
}

/// The reading half.
async fn read_requests(client: &mut Client, mut stream: impl AsyncRead + Unpin) -> End {
    let mut buffer = Vec::new();
    let mut alive = Instant::now();
    loop {
        while let Some(message) = take_message(&mut buffer) {
            match message {
                Message::Interleaved(channel, packet) if client.listens_on == Some(channel) => {
                    client.shared.hear(&packet);
                }
                Message::Interleaved(..) => client.shared.count(|c| c.reports += 1),
                // The answer to what the camera asked.
                Message::Request(text) if text.starts_with("RTSP/") => {}
                Message::Request(text) => {
                    alive = Instant::now();
                    let request = Request::parse(&text, client.number);
                    client.shared.log.lock().unwrap().push(request.clone());
                    client.shared.count(|c| c.requests += 1);
                    if client.handle(request).await.is_break() {
                        return End::Camera;
                    }
                }
            }
        }
        let limit = client.timeout().unwrap_or(Duration::from_secs(86_400));
        match timeout_at(alive + limit, stream.read_buf(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return End::Client,
            Ok(Ok(_)) => {}
            Err(_) => {
                client.shared.count(|c| c.timed_out += 1);
                return End::Camera;
            }
        }
    }
}

enum Message {
    Request(String),
    Interleaved(u8, Vec<u8>),
}

/// Cuts the first complete message off `buffer`.
fn take_message(buffer: &mut Vec<u8>) -> Option<Message> {
    if buffer.first() == Some(&b'$') {
        let len = 4 + usize::from(u16::from_be_bytes([*buffer.get(2)?, *buffer.get(3)?]));
        return (buffer.len() >= len).then(|| {
            let frame: Vec<u8> = buffer.drain(..len).collect();
            Message::Interleaved(frame[1], frame[4..].to_vec())
        });
    }
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let body = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    if buffer.len() < head + body {
        return None;
    }
    buffer.drain(..head + body);
    Some(Message::Request(text))
}
