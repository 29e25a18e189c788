//! A simulated RTSP camera, in process, on a port of its own: one encoder, any number of sessions over TCP or UDP, and
//! whatever goes wrong with cameras on demand.
//!
//! Every packet is stamped ([`super::stamp`]), and [`Camera::payloads_of`] gives the bytes of any frame again, so a
//! viewer behind a relay can be held to "the same bytes, once, in order". By default frames come in real time; with
//! [`Builder::manual`] the test pushes them one by one, each on the wire when [`Camera::frame`] returns.

mod builder;
mod connection;
mod media;
mod session;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use super::audio::Audio;
use super::h264::ParameterSets;
use super::h265::H265;
use super::{PATIENCE, within};
pub use builder::Builder;
use connection::Event;
pub use connection::Request;
pub use media::{Extra, Video};
use media::{Media, Moment};

/// What can be wrong with a camera. Faults add up until [`Camera::heal`]; `&'static str` is an RTSP method.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Frames are made but not sent, the connection stays open: the half-dead camera.
    Silent,
    /// Requests are read and logged, never answered; media goes on.
    Mute,
    /// Every request of the method is answered with this status.
    Status(&'static str, u16),
    /// The answer to the method comes this much later.
    Delay(&'static str, Duration),
    /// The connection is closed in place of an answer to the method.
    CloseOn(&'static str),
    /// Every n-th RTP packet is lost on the way, its sequence number with it.
    LoseEvery(u32),
    /// Nothing is sent to UDP ports, as behind a firewall; over TCP all is well.
    SilentUdp,
    /// SETUP over UDP is answered with 461.
    RefuseUdp,
    /// SETUP of this track is answered with this status.
    RefuseTrack(usize, u16),
    /// `Session: id ; timeout=60`.
    SpacedSession,
}

/// How connections end in [`Camera::drop_connections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    Fin,
    Rst,
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

/// What the camera has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// TCP connections open now.
    pub connections: usize,
    pub connections_total: usize,
    /// Sessions set up and not yet over.
    pub sessions_open: usize,
    pub sessions_total: usize,
    /// Sessions being sent media now.
    pub playing: usize,
    pub teardowns: usize,
    pub requests: usize,
    /// RTCP packets received from clients, over TCP or UDP.
    pub reports: usize,
}

/// The camera; dropping it switches it off.
#[derive(Debug)]
pub struct Camera {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Holds the port without listening, so that nobody takes it while the camera refuses.
    _port: socket2::Socket,
    _tasks: JoinSet<()>,
}

impl Camera {
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Without credentials, even when the camera asks for them.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    // The encoder

    /// Manual mode: sends the next frame, and the audio up to it, to every playing session. It is with the kernel
    /// when this returns. Gives the frame's number.
    pub async fn frame(&self) -> u32 {
        assert!(self.shared.manual, "the clock pushes the frames of this camera");
        let (guard, mut done) = mpsc::channel(1);
        let number = self.shared.produce(Some(guard));
        within("the sessions take a frame", PATIENCE, done.recv()).await;
        number
    }

    /// Manual mode: sends `n` frames, gives the number of the last one.
    pub async fn frames(&self, n: u32) -> u32 {
        let mut last = 0;
        for _ in 0..n {
            last = self.frame().await;
        }
        last
    }

    /// The next frame is a key frame, wherever in the GOP it falls.
    pub fn force_key_frame(&self) {
        self.shared.encoder.lock().unwrap().force_key = true;
    }

    /// The bytes of a frame's payloads, as they were or will be sent with today's codec.
    pub fn payloads_of(&self, frame: u32, key: bool) -> Vec<Vec<u8>> {
        self.shared.encoder.lock().unwrap().media.video.frame(frame, key)
    }

    /// Frames made so far.
    pub fn frames_made(&self) -> u32 {
        self.shared.encoder.lock().unwrap().next
    }

    // Changes and faults

    /// Lasts until [`Camera::heal`]; faults of the same kind (and method) replace each other.
    pub fn fault(&self, fault: Fault) {
        let same_kind = |other: &Fault| match (other, &fault) {
            (Fault::RefuseTrack(a, _), Fault::RefuseTrack(b, _)) => a == b,
            (Fault::Status(a, _), Fault::Status(b, _))
            | (Fault::Delay(a, _), Fault::Delay(b, _))
            | (Fault::CloseOn(a), Fault::CloseOn(b)) => a == b,
            _ => std::mem::discriminant(other) == std::mem::discriminant(&fault),
        };
        let mut settings = self.shared.settings.lock().unwrap();
        settings.faults.retain(|other| !same_kind(other));
        settings.faults.push(fault);
    }

    /// Takes back every fault.
    pub fn heal(&self) {
        self.shared.settings.lock().unwrap().faults.clear();
    }

    /// Media stops, connections stay: [`Fault::Silent`].
    pub fn stop_sending(&self) {
        self.fault(Fault::Silent);
    }

    /// Media goes on after [`Camera::stop_sending`]; other faults stay.
    pub fn resume(&self) {
        self.shared.settings.lock().unwrap().faults.retain(|fault| *fault != Fault::Silent);
    }

    /// DESCRIBE is answered with this status from now on.
    pub fn status_for_describe(&self, status: u16) {
        self.fault(Fault::Status("DESCRIBE", status));
    }

    /// From now on nothing but OPTIONS without these, by Digest.
    pub fn require_auth(&self, user: &str, password: &str) {
        self.shared.settings.lock().unwrap().auth = Some((user.to_owned(), password.to_owned()));
    }

    /// The encoder changes at once; sessions already playing get the new codec under their old payload type.
    pub fn change_codec(&self, video: Video) {
        self.shared.encoder.lock().unwrap().media.video = video;
    }

    /// The codec another camera setting gives: H.264 with [`ParameterSets::CHANGED`].
    pub fn change_parameter_sets(&self) {
        let mut encoder = self.shared.encoder.lock().unwrap();
        if let Video::H264(video) = &mut encoder.media.video {
            video.parameter_sets = ParameterSets::CHANGED;
        }
    }

    /// The codec becomes H.265, cut as before.
    pub fn change_to_h265(&self) {
        self.change_codec(Video::H265(H265 { packets_per_frame: 6, packet_size: 1000 }));
    }

    /// DESCRIBE answers with exactly this text; `None` = again what the encoder makes.
    pub fn set_sdp(&self, sdp: Option<&str>) {
        self.shared.settings.lock().unwrap().sdp = sdp.map(str::to_owned);
    }

    /// Sessions set up from now on are numbered like this.
    pub fn number_sessions_from(&self, numbering: Numbering) {
        self.shared.settings.lock().unwrap().numbering = numbering;
    }

    /// Playing sessions go on with other numbers, without a word, as after a restart of the encoder.
    pub fn renumber(&self, numbering: Numbering) {
        self.shared.tell(|| Event::Renumber(numbering));
    }

    /// Playing sessions end with RTCP BYE; the connection stays.
    pub fn bye(&self) {
        self.shared.tell(|| Event::Bye);
    }

    /// Asks something of every client that plays: OPTIONS, as some cameras do to see whether it lives.
    pub fn ask(&self) {
        self.shared.tell(|| Event::Answer(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec()));
    }

    /// Sends every client that plays an answer to nothing it has asked, as cameras do that mix up the CSeq of keep-alives.
    pub fn answer_unasked(&self) {
        self.shared.tell(|| Event::Answer(b"RTSP/1.0 200 OK\r\nCSeq: 4242\r\n\r\n".to_vec()));
    }

    /// Ends every connection and waits until they are closed. New ones are accepted meanwhile.
    pub async fn drop_connections(&self, how: Close) {
        let total = self.counts().connections_total;
        self.shared.close.send_replace(how);
        self.until("all connections are closed", |c| c.connections_total - c.connections >= total).await;
    }

    /// Connections are refused from now on (the port stays ours); open ones stay open.
    pub async fn refuse(&self) {
        self.listening(false).await;
    }

    /// Takes back [`Camera::refuse`].
    pub async fn accept(&self) {
        self.listening(true).await;
    }

    async fn listening(&self, wanted: bool) {
        self.shared.wanted.send_replace(wanted);
        let mut listening = self.shared.listening.subscribe();
        within("the listener opens or closes", PATIENCE, listening.wait_for(|is| *is == wanted))
            .await
            .unwrap();
    }

    // What it has seen

    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Open TCP connections.
    pub fn connections(&self) -> usize {
        self.counts().connections
    }

    pub fn sessions_open(&self) -> usize {
        self.counts().sessions_open
    }

    pub fn sessions_total(&self) -> usize {
        self.counts().sessions_total
    }

    pub fn teardowns(&self) -> usize {
        self.counts().teardowns
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.lock().unwrap().clone()
    }

    /// Waits until the counts are so.
    pub async fn until(&self, what: &str, condition: impl Fn(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        let counts = within(&format!("camera: {what}"), PATIENCE, counts.wait_for(|c| condition(c))).await;
        *counts.unwrap()
    }

    /// Waits until at least one session plays.
    pub async fn playing(&self) {
        self.until("a session plays", |c| c.playing > 0).await;
    }
}

/// What the camera's tasks share. The locks are held for a few lines, never across an await.
#[derive(Debug)]
struct Shared {
    url: String,
    path: String,
    fps: u32,
    /// Wall clock at frame 0.
    started: SystemTime,
    sender_reports: bool,
    clock_ahead: f64,
    manual: bool,
    settings: Mutex<Settings>,
    encoder: Mutex<Encoder>,
    log: Mutex<Vec<Request>>,
    counts: watch::Sender<Counts>,
    /// Each value ends the connections open at that time.
    close: watch::Sender<Close>,
    wanted: watch::Sender<bool>,
    listening: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Settings {
    faults: Vec<Fault>,
    auth: Option<(String, String)>,
    sdp: Option<String>,
    numbering: Numbering,
}

#[derive(Debug)]
struct Encoder {
    media: Media,
    next: u32,
    force_key: bool,
    listeners: Vec<mpsc::UnboundedSender<Event>>,
}

impl Shared {
    /// Makes the next frame and hands it to the sessions; they drop `guard` once it is sent.
    fn produce(&self, guard: Option<mpsc::Sender<()>>) -> u32 {
        let mut encoder = self.encoder.lock().unwrap();
        let number = encoder.next;
        let key = std::mem::take(&mut encoder.force_key) || number.is_multiple_of(encoder.media.gop);
        encoder.next += 1;
        let moment: Arc<Moment> = Arc::new(encoder.media.moment(number, key));
        let listeners = &mut encoder.listeners;
        listeners.retain(|l| l.send(Event::Moment(Arc::clone(&moment), guard.clone())).is_ok());
        number
    }

    fn tell(&self, event: impl Fn() -> Event) {
        self.encoder.lock().unwrap().listeners.retain(|listener| listener.send(event()).is_ok());
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    fn faults(&self) -> Vec<Fault> {
        self.settings.lock().unwrap().faults.clone()
    }
}

/// The encoder's clock. Late ticks are made up for, so the rate holds.
async fn encode(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_secs(1) / shared.fps);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        shared.produce(None);
    }
}

/// Opens and closes the listener as wanted and serves who comes.
async fn accept(shared: Arc<Shared>, address: SocketAddr) {
    let mut wanted = shared.wanted.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let listener = TcpListener::bind(address).await.unwrap(); // sets SO_REUSEADDR, as the port's holder does
        shared.listening.send_replace(true);
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    while connections.try_join_next().is_some() {}
                    connections.spawn(connection::serve(Arc::clone(&shared), stream));
                }
                changed = wanted.wait_for(|wanted| !wanted) => break drop(changed),
            }
        }
        drop(listener);
        shared.listening.send_replace(false);
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
    }
}
