//! How a camera is ordered: its media, its clock, its password.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::h264::{Delivery, H264, ParameterSets};
use super::super::h265::H265;
use super::super::jpeg::Jpeg;
use super::connection::Ending;
use super::media::{Media, Video};
use super::{Audio, Camera, Close, Encoder, Extra, Fault, Host, Network, Settings, Shared, encode, host};

/// Describes a camera before it starts: 25 frames a second, a key frame every 25, 6 packets a frame, no audio.
#[derive(Debug)]
pub struct Builder {
    pub(super) media: Media,
    manual: bool,
    path: String,
    sender_reports: bool,
    clock_ahead: f64,
    auth: Option<(String, String)>,
    faults: Vec<Fault>,
    seed: u64,
    key_frame_on_play: bool,
    listens: Option<String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let video = H264 {
            parameter_sets: ParameterSets::MAIN,
            delivery: Delivery::Aggregated,
            packets_per_frame: 6,
            packet_size: 1000,
        };
        Self {
            media: Media {
                video: Video::H264(video),
                audio: None,
                extras: Vec::new(),
                fps: 25,
                gop: 25,
                bare: false,
            },
            manual: false,
            path: "/stream".into(),
            sender_reports: true,
            clock_ahead: 0.0,
            auth: None,
            faults: Vec::new(),
            seed: 1,
            key_frame_on_play: false,
            listens: None,
        }
    }

    /// H.264 at this rate (the default, at 25).
    pub fn h264(mut self, fps: u32) -> Self {
        self.media.fps = fps;
        self
    }

    /// H.265 at this rate.
    pub fn h265(mut self, fps: u32) -> Self {
        self.media.video = Video::H265(H265 { packets_per_frame: 6, packet_size: 1000 });
        self.media.fps = fps;
        self
    }

    /// MJPEG at this rate: every frame is a key frame.
    pub fn jpeg(mut self, fps: u32) -> Self {
        self.media.video = Video::Jpeg(Jpeg { packets_per_frame: 6, packet_size: 1000 });
        self.media.fps = fps;
        self
    }

    /// Parameter sets are not in the SDP, only in-band.
    pub fn bare_sdp(mut self) -> Self {
        self.media.bare = true;
        self
    }

    /// Adds a track that sends one packet with each frame; such tracks come last.
    pub fn extra(mut self, extra: Extra) -> Self {
        self.media.extras.push(extra);
        self
    }

    /// Frames from one key frame to the next.
    pub fn gop(mut self, frames: u32) -> Self {
        self.media.gop = frames;
        self
    }

    /// RTP packets of the slice of each frame; parameter sets come on top.
    pub fn packets_per_frame(mut self, packets: u16) -> Self {
        match &mut self.media.video {
            Video::H264(video) => video.packets_per_frame = packets,
            Video::H265(video) => video.packets_per_frame = packets,
            Video::Jpeg(video) => video.packets_per_frame = packets,
        }
        self
    }

    /// Payload bytes of those packets (1000).
    pub fn packet_size(mut self, bytes: usize) -> Self {
        match &mut self.media.video {
            Video::H264(video) => video.packet_size = bytes,
            Video::H265(video) => video.packet_size = bytes,
            Video::Jpeg(video) => video.packet_size = bytes,
        }
        self
    }

    /// How SPS and PPS travel (in a STAP-A).
    pub fn parameter_sets(mut self, how: Delivery) -> Self {
        if let Video::H264(video) = &mut self.media.video {
            video.delivery = how;
        }
        self
    }

    /// Adds a second track.
    pub fn audio(mut self, audio: Audio) -> Self {
        self.media.audio = Some(audio);
        self
    }

    /// Frames are sent when the test says so, not by the clock.
    pub fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// The path in the URL (`/stream`).
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// No RTCP sender reports at all, as cheap cameras do.
    pub fn without_sender_reports(mut self) -> Self {
        self.sender_reports = false;
        self
    }

    /// The camera's wall clock is this many seconds ahead (negative: behind).
    pub fn clock_ahead(mut self, seconds: f64) -> Self {
        self.clock_ahead = seconds;
        self
    }

    /// Nothing but OPTIONS without these, by Digest.
    pub fn require_auth(mut self, user: &str, password: &str) -> Self {
        self.auth = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// The frame after PLAY is a key frame, as with most cameras.
    pub fn key_frame_on_play(mut self) -> Self {
        self.key_frame_on_play = true;
        self
    }

    /// It listens to this format, such as `0` or `97\r\na=rtpmap:97 PCMA/16000`, to who requires that (ONVIF).
    pub fn listens(mut self, format: &str) -> Self {
        self.listens = Some(format.to_owned());
        self
    }

    /// Wrong with it from the start.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// What the network loses and reorders follows from this.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Listens on 127.0.0.1 and starts the encoder.
    pub async fn start(self) -> Camera {
        let port = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        port.set_reuse_address(true).unwrap();
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let shared = Arc::new(Shared {
            url: format!("rtsp://{address}{}", self.path),
            path: self.path,
            fps: self.media.fps,
            started: SystemTime::now(),
            sender_reports: self.sender_reports,
            settings: Mutex::new(Settings {
                auth: self.auth,
                faults: self.faults,
                listens: self.listens,
                clock_ahead: self.clock_ahead,
                ..Settings::default()
            }),
            encoder: Mutex::new(Encoder {
                media: self.media,
                next: 0,
                force_key: false,
                listeners: Vec::new(),
            }),
            manual: self.manual,
            key_frame_on_play: self.key_frame_on_play,
            log: Mutex::default(),
            heard: Mutex::default(),
            counts: watch::Sender::default(),
            network: Mutex::new(Network::new(self.seed)),
            register: Mutex::default(),
            close: watch::Sender::new(Ending { how: Close::Fin, spared: 0 }),
            hang: watch::Sender::default(),
            wanted: watch::Sender::new(Host::Up),
            host: watch::Sender::new(None),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(host::run(Arc::clone(&shared), address));
        if !shared.manual {
            tasks.spawn(encode(Arc::clone(&shared)));
        }
        let camera = Camera { address, shared, _port: port, _tasks: tasks };
        camera.host(Host::Up).await;
        camera
    }
}
