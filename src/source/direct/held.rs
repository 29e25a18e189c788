//! What hostile cameras make the client hold: allocations counted on its thread, over real sockets, against the bound of
//! the module's documentation.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use tokio::time::timeout;

use super::notes::Notes;
use super::session::Described;
use super::target::Reach;
use super::teardowns::Teardowns;
use crate::sdp::Selection;
use crate::vocabulary::Transport;

/// Bytes that one camera may make the client hold.
const BOUND: u64 = 1 << 20;

/// Bytes that it sends, several times the bound.
const FLOOD: usize = 4 << 20;

const SDP: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n";

/// What a camera does wrong.
#[derive(Clone, Debug, Default)]
struct Hostile {
    /// The answer to DESCRIBE, if not the usual.
    describe: Option<Vec<u8>>,
    /// In place of the answer to DESCRIBE, over and over.
    floods_describe: Option<Vec<u8>>,
    /// In place of the answer to PLAY, over and over.
    floods_play: Option<Vec<u8>>,
    /// After the answer to PLAY, over and over, and nothing more is read.
    floods: Option<Vec<u8>>,
    /// After the answer to PLAY: datagrams of this length, every second one left out.
    datagrams: Option<usize>,
}

fn described(sdp: &str) -> Vec<u8> {
    format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()).into_bytes()
}

impl Hostile {
    fn serve(self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (mut text, mut chunk, mut client_port) = (String::new(), [0; 4096], 0);
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            text += &String::from_utf8_lossy(&chunk[..length]);
            while let Some(end) = text.find("\r\n\r\n") {
                let request: String = text.drain(..end + 4).collect();
                let line = |name: &str| request.lines().find_map(|line| line.strip_prefix(name));
                let head =
                    format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\nSession: 7\r\n", line("CSeq: ").unwrap_or("1"));
                let answer = match request.split(' ').next() {
                    Some("DESCRIBE") => match (&self.floods_describe, &self.describe) {
                        (Some(junk), _) => return flood(&mut stream, junk),
                        (None, Some(answer)) => answer.clone(),
                        (None, None) => described(SDP),
                    },
                    Some("SETUP") => {
                        let transport = line("Transport: ").unwrap_or_default();
                        let port =
                            transport.split_once("client_port=").and_then(|(_, port)| port.split('-').next());
                        client_port = port.and_then(|port| port.parse().ok()).unwrap_or(client_port);
                        format!("{head}Transport: {transport};server_port=9-10\r\n\r\n").into_bytes()
                    }
                    Some("PLAY") if self.floods_play.is_some() => Vec::new(),
                    _ => format!("{head}\r\n").into_bytes(),
                };
                if stream.write_all(&answer).is_err() {
                    return;
                }
                if request.starts_with("PLAY") {
                    for junk in [&self.floods_play, &self.floods].into_iter().flatten() {
                        flood(&mut stream, junk);
                    }
                    if let Some(length) = self.datagrams {
                        return leave_gaps(client_port, length);
                    }
                }
            }
        }
    }
}

/// Sends the same until it is enough, or the client has gone.
fn flood(stream: &mut TcpStream, junk: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    for _ in 0..FLOOD.div_ceil(junk.len()) {
        if stream.write_all(junk).is_err() {
            return;
        }
    }
}

fn leave_gaps(port: u16, length: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..(FLOOD / length) as u16 {
        let mut packet = vec![0x80, 96];
        packet.extend(number.wrapping_mul(2).to_be_bytes());
        packet.resize(length, 7);
        let _ = socket.send_to(&packet, ("127.0.0.1", port));
        if number.is_multiple_of(16) {
            thread::sleep(Duration::from_millis(1)); // the client is to get them
        }
    }
}

/// The most bytes that a client of this camera holds at a time.
fn held(camera: Hostile, transport: Transport) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtsp://{}/x", listener.local_addr().unwrap());
    let serving = thread::spawn(move || camera.serve(listener.accept().unwrap().0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counted = measure(|| {
        runtime.block_on(async {
            let watched = timeout(Duration::from_secs(3), watch(&url, transport)).await;
            drop(watched); // an error, the end of the flood, or still waiting: it is the memory that counts
        });
    });
    drop(runtime);
    serving.join().unwrap();
    counted.bytes_max
}

/// Takes what comes until it ends.
async fn watch(url: &str, transport: Transport) -> Result<(), crate::source::error::Error> {
    let reach = Reach {
        limit: Duration::from_secs(2),
        multicast: false,
        tracks: Selection::default(),
        back_channel: true,
        way: crate::config::Reach::default(),
        quirks: crate::config::Quirks::built_in(),
        ask_options: false,
        notes: Notes::default(),
        capture: None,
    };
    let camera = url.parse().unwrap();
    let mut playing = Described::open(&camera, &reach, Teardowns::default()).await?.play(transport).await?;
    while let Some(event) = poll_fn(|cx| playing.poll_next(cx)).await {
        event?;
        playing.say(&[0x80; 200]);
    }
    Ok(())
}

#[track_caller]
fn assert_bounded(what: &str, camera: Hostile, transport: Transport) {
    let held = held(camera, transport);
    assert!((10 << 10..=BOUND).contains(&held), "{what}: {held} bytes are held");
}

#[test]
fn answers_without_an_end_fill_nothing() {
    let head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nX: ".to_vec();
    for (what, junk) in [
        ("a long head", [head, vec![b'x'; 4000]].concat()),
        ("many headers", b"RTSP/1.0 200 OK\r\n".repeat(300)),
        ("bytes of nothing", vec![b'x'; 5000]),
        ("zeroes", vec![0; 5000]),
        ("frames before there are tracks", [&b"$\0\xff\xff"[..], &[0x80; 65_535]].concat()),
        ("answers to nobody", b"RTSP/1.0 200 OK\r\nCSeq: 999\r\n\r\n".repeat(100)),
        ("a body that is longer than it may be", described(&"a=x\r\n".repeat(60_000))),
    ] {
        let camera = Hostile { floods_describe: Some(junk), ..Hostile::default() };
        assert_bounded(what, camera, Transport::Tcp);
    }
}

#[test]
fn descriptions_of_the_greatest_length_fill_nothing() {
    let of_attributes = format!("{SDP}{}", "a=x\r\n".repeat(13_000));
    let of_media =
        format!("{SDP}{}", ("m=video 0 RTP/AVP 96\r\n".to_owned() + &"a=y:z\r\n".repeat(200)).repeat(31));
    for (what, sdp) in [("attributes", of_attributes), ("media", of_media)] {
        let sdp = sdp.chars().take(65_000).collect::<String>();
        let camera = Hostile { describe: Some(described(&sdp)), ..Hostile::default() };
        assert_bounded(what, camera, Transport::Tcp);
    }
}

#[test]
fn floods_of_media_fill_nothing() {
    let frame = |channel: u8, length: u16| {
        let mut frame = vec![b'$', channel];
        frame.extend(length.to_be_bytes());
        frame.extend([0x80, 96, 0, 1]);
        frame.resize(4 + usize::from(length), 7);
        frame
    };
    for (what, junk) in [
        ("the longest frames", frame(0, 65_535)),
        ("the shortest frames", frame(0, 13).repeat(1000)),
        ("frames of other channels", (2..200).flat_map(|channel| frame(channel, 100)).collect()),
        ("bytes of nothing", vec![b'x'; 5000]),
        ("questions, and no answer is read", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(100)),
    ] {
        let late = Hostile { floods_play: Some(junk.clone()), ..Hostile::default() };
        assert_bounded(&format!("{what}, before the answer to PLAY"), late, Transport::Tcp);
        assert_bounded(what, Hostile { floods: Some(junk), ..Hostile::default() }, Transport::Tcp);
    }
}

#[test]
fn datagrams_that_wait_for_others_fill_nothing() {
    for length in [13, 1400, 60_000] {
        let camera = Hostile { datagrams: Some(length), ..Hostile::default() };
        assert_bounded(&format!("datagrams of {length} bytes"), camera, Transport::Udp);
    }
}
