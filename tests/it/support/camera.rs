//! A simulated RTSP camera, in process, on a port of its own: one encoder, any number of sessions over TCP or UDP, and
//! whatever goes wrong with cameras on demand.
//!
//! Every packet is stamped ([`super::stamp`]), and [`Camera::payloads_of`] gives the bytes of any frame again, so a
//! viewer behind a relay can be held to "the same bytes, once, in order". By default frames come in real time; with
//! [`Builder::manual`] the test pushes them one by one, each on the wire when [`Camera::frame`] returns.

mod builder;
mod changes;
mod connection;
mod fault;
mod host;
mod media;
mod methods;
mod network;
mod register;
mod session;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use super::audio::Audio;
use super::rtp::Rtp;
use super::{PATIENCE, within};
pub use builder::Builder;
use connection::{Ending, Event, Wire};
pub use fault::{Close, Fault, Host, Numbering, Stall};
pub use media::{Extra, Video};
use media::{Media, Moment};
pub use methods::Request;
use network::Network;
use register::Register;

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
    /// Sessions that the client knew, and closed the connection of without TEARDOWN.
    pub abandoned: usize,
    /// Sessions that got no request for a [`Fault::SessionTimeout`].
    pub timed_out: usize,
    pub requests: usize,
    /// RTCP packets received from clients, over TCP or UDP.
    pub reports: usize,
    /// RTP packets that the network lost ([`Fault::Loss`]).
    pub lost: usize,
    /// RTP packets heard on the back channel.
    pub heard: usize,
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

    /// Waits until so many packets came on the back channel, and gives them all.
    pub async fn heard(&self, packets: usize) -> Vec<Rtp> {
        self.until(&format!("hears {packets} packets"), |counts| counts.heard >= packets).await;
        self.shared.heard.lock().unwrap().clone()
    }

    /// From the next session on it listens to this format, or not at all.
    pub fn listen(&self, format: Option<&str>) {
        self.shared.settings.lock().unwrap().listens = format.map(str::to_owned);
    }

    /// The requests so far are of no more interest.
    pub fn forget_requests(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// Waits until the counts are so.
    pub async fn until(&self, what: &str, condition: impl Fn(&Counts) -> bool) -> Counts {
        self.until_within(PATIENCE, what, condition).await
    }

    /// As [`Camera::until`], with another limit.
    pub async fn until_within(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&Counts) -> bool,
    ) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        let counts = within(&format!("camera: {what}"), limit, counts.wait_for(|c| condition(c))).await;
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
    manual: bool,
    key_frame_on_play: bool,
    settings: Mutex<Settings>,
    encoder: Mutex<Encoder>,
    log: Mutex<Vec<Request>>,
    heard: Mutex<Vec<Rtp>>,
    counts: watch::Sender<Counts>,
    network: Mutex<Network<Wire>>,
    register: Mutex<Register>,
    /// Each value ends the connections open at that time.
    close: watch::Sender<Ending>,
    /// Each change leaves the connections open at that time hanging.
    hang: watch::Sender<()>,
    wanted: watch::Sender<Host>,
    /// What the address does now; `None` before it does anything.
    host: watch::Sender<Option<Host>>,
}

#[derive(Debug, Default)]
struct Settings {
    faults: Vec<Fault>,
    auth: Option<(String, String)>,
    /// Counts up with every nonce.
    nonce: u32,
    sdp: Option<String>,
    /// The format of the back channel, if it has one: of the `m=` line, and what follows that.
    listens: Option<String>,
    numbering: Numbering,
    /// Seconds by which the wall clock is wrong.
    clock_ahead: f64,
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

    /// A packet came on the back channel.
    fn hear(&self, packet: &[u8]) {
        self.heard.lock().unwrap().push(Rtp::parse(packet));
        self.count(|counts| counts.heard += 1);
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
