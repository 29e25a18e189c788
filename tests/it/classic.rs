//! The classic exercise's client: what its Java and Python versions send and how they read, line by line.

use std::time::Duration;

use bytes::Bytes;
use fanlight::jpeg::Clip;
use fanlight::server::ClipSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::support::relay::Relay;
use crate::support::rtp::Rtp;
use crate::support::viewer::Viewer;
use crate::support::{PATIENCE, within};

const FRAMES: usize = 12;

/// `movie.Mjpeg`: five digits before each picture.
fn movie() -> Clip {
    let mut data = Vec::new();
    for frame in &Clip::demo().frames()[..FRAMES] {
        data.extend(format!("{:05}", frame.data().len()).into_bytes());
        data.extend_from_slice(frame.data());
    }
    Clip::parse(Bytes::from(data)).unwrap()
}

async fn server() -> Relay {
    let settings = ClipSettings { fps: 20.0, packet_size: 1400, repeat: false };
    Relay::builder().clip("movie.Mjpeg", movie(), settings).classic().start().await
}

/// The client, which keeps what the exercise's keeps.
struct Client {
    rtsp: TcpStream,
    rtp: UdpSocket,
    sequence: u32,
    session: u32,
    end: &'static str,
}

impl Client {
    /// `end` is what stands behind the last line of its requests: the Python version writes nothing.
    async fn new(relay: &Relay, end: &'static str) -> Self {
        let rtsp = TcpStream::connect(relay.address()).await.unwrap();
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket2::SockRef::from(&rtp).set_recv_buffer_size(4 << 20).unwrap();
        Self { rtsp, rtp, sequence: 0, session: 0, end }
    }

    /// Sends a request and reads exactly three lines, as the Java version does: status and session.
    async fn request(&mut self, method: &str) -> u16 {
        self.sequence += 1;
        let port = self.rtp.local_addr().unwrap().port();
        let last = match method {
            "SETUP" => format!("Transport: RTP/UDP; client_port= {port}"),
            _ => format!("Session: {}", self.session),
        };
        let text = format!("{method} movie.Mjpeg RTSP/1.0\nCSeq: {}\n{last}{}", self.sequence, self.end);
        self.rtsp.write_all(text.as_bytes()).await.unwrap();
        let mut lines = Vec::new();
        while lines.len() < 3 {
            lines.push(within("a line of the answer", PATIENCE, self.line()).await);
        }
        let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
        assert_eq!((words[0][0], words[1][0], words[2][0]), ("RTSP/1.0", "CSeq:", "Session:"), "{lines:?}");
        assert_eq!(words[1][1].parse(), Ok(self.sequence), "{lines:?}");
        let session: i32 = words[2][1].parse().expect("a number, as `Integer.parseInt` takes it");
        self.session = session as u32;
        words[0][1].parse().unwrap()
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(self.rtsp.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// The next picture, in the buffer of the exercise.
    async fn picture(&self) -> Rtp {
        let mut buffer = vec![0; 65_536];
        let length = within("a picture", PATIENCE, self.rtp.recv(&mut buffer)).await.unwrap();
        let packet = Rtp::parse(&buffer[..length]);
        assert_eq!(packet.payload_type, 26);
        packet
    }

    /// Whether anything comes within two pictures' time, what is under way left out.
    async fn hears_nothing(&self) -> bool {
        let mut buffer = vec![0; 65_536];
        while self.rtp.try_recv(&mut buffer).is_ok() {}
        timeout(Duration::from_millis(200), self.rtp.recv(&mut buffer)).await.is_err()
    }
}

#[tokio::test]
async fn the_exercises_client_plays_pauses_goes_on_and_ends() {
    for end in ["", "\n", "\r\n", "\n\n"] {
        let relay = server().await;
        let mut client = Client::new(&relay, end).await;
        assert_eq!(client.request("SETUP").await, 200, "{end:?}");
        let session = client.session;
        assert_eq!(client.request("PLAY").await, 200, "{end:?}");
        for number in 1..=4 {
            let packet = client.picture().await;
            assert_eq!(usize::from(packet.sequence), number);
            assert_eq!(packet.payload, movie().frames()[number - 1].data()[..], "the whole picture");
        }
        assert_eq!(client.request("PAUSE").await, 200);
        assert!(client.hears_nothing().await, "it pauses");
        assert_eq!(client.request("PLAY").await, 200);
        let next = client.picture().await.sequence;
        assert!((5..FRAMES as u16).contains(&next), "it goes on with {next}");
        assert_eq!(client.request("TEARDOWN").await, 200);
        assert!(client.hears_nothing().await, "it has ended");
        assert_eq!((client.session, client.request("PLAY").await), (session, 455));
    }
}

/// Twelve pictures, numbered from 1, at about 20 a second; then the session waits for its end.
#[tokio::test]
async fn the_movie_is_played_to_its_last_picture() {
    let relay = server().await;
    let mut client = Client::new(&relay, "").await;
    client.request("SETUP").await;
    let started = tokio::time::Instant::now();
    client.request("PLAY").await;
    for number in 1..=FRAMES as u16 {
        assert_eq!(client.picture().await.sequence, number);
    }
    assert!(started.elapsed() >= Duration::from_millis(50 * (FRAMES as u64 - 1)), "in no rush");
    assert!(client.hears_nothing().await);
    assert_eq!(client.request("PAUSE").await, 200);
    assert_eq!(client.request("TEARDOWN").await, 200);
}

#[tokio::test]
async fn what_does_not_fit_the_state_is_refused_in_three_lines() {
    let relay = server().await;
    let mut client = Client::new(&relay, "\n").await;
    client.request("SETUP").await;
    assert_eq!(client.request("PAUSE").await, 455);
    assert_eq!(client.request("SETUP").await, 455);
    assert_eq!(client.request("DESCRIBE").await, 501);
    client.session += 1;
    assert_eq!(client.request("PLAY").await, 454, "another's session");
    assert_eq!(client.request("PLAY").await, 200);
    let mut other = Client::new(&relay, "").await;
    let missing = "SETUP film.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n\n";
    other.rtsp.write_all(missing.as_bytes()).await.unwrap();
    assert_eq!(other.line().await, "RTSP/1.0 404 Not Found");
}

/// The same server serves everybody else as ever.
#[tokio::test]
async fn other_players_are_served_by_the_rules() {
    let relay = server().await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("movie.Mjpeg")).await;
    viewer.next_frame().await;
    let (mut viewer, _) = Viewer::play_udp(&relay.url("movie.Mjpeg")).await;
    viewer.next_frame().await;
}
