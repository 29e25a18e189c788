//! Requests with their answers: the steps of a usual session, each usable on its own.

use super::super::sdp;
use super::udp::UdpTrack;
use super::{Answer, Viewer};

impl Viewer {
    /// Sends a request and reads its answer; the CSeq must be the same.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> impl Future<Output = Answer> {
        let caller = std::panic::Location::caller();
        async move {
            self.send(method, uri, headers).await;
            let answer = self.answer_for(&format!("{caller}: the answer to {method} {uri}")).await;
            let cseq = self.cseq.to_string();
            assert_eq!(answer.header("CSeq"), Some(cseq.as_str()), "{caller}: CSeq of {answer:?}");
            answer
        }
    }

    pub async fn options(&mut self) -> Answer {
        let url = self.url.clone();
        self.request("OPTIONS", &url, &[]).await
    }

    /// Remembers the SDP and the base URL of a 200.
    pub async fn describe(&mut self) -> Answer {
        let url = self.url.clone();
        let answer = self.request("DESCRIBE", &url, &[("Accept", "application/sdp")]).await;
        if answer.status == 200 {
            self.sdp = answer.text();
            self.base = answer.header("Content-Base").unwrap_or(&url).to_owned();
        }
        answer
    }

    /// The control URL of a track, resolved as ffmpeg does.
    pub fn control(&self, track: usize) -> String {
        let control = sdp::attribute(&self.sdp, track, "control")
            .unwrap_or_else(|| panic!("track {track}: {}", self.sdp));
        match control.starts_with("rtsp://") {
            true => control.to_owned(),
            false => format!("{}/{control}", self.base.trim_end_matches('/')),
        }
    }

    /// SETUP of a track of the description on channels `2 * track` and one more.
    pub async fn setup_tcp(&mut self, track: usize) -> Answer {
        let channel = 2 * track;
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
        self.setup(track, &transport).await
    }

    /// SETUP of a track on a pair of UDP ports of its own.
    pub async fn setup_udp(&mut self, track: usize) -> Answer {
        let mut udp = UdpTrack::bind(track, self.stream.local_addr().unwrap().ip()).await;
        let (a, b) = udp.ports();
        let answer = self.setup(track, &format!("RTP/AVP;unicast;client_port={a}-{b}")).await;
        if let Some((rtp, rtcp)) = answer.server_ports() {
            let server = self.stream.peer_addr().unwrap().ip();
            udp.server_rtcp = Some((server, rtcp).into());
            udp.server_rtp = Some((server, rtp).into());
            self.udp.push(udp);
        }
        answer
    }

    /// SETUP of a track by multicast; joins the group of a 200.
    pub async fn setup_multicast(&mut self, track: usize) -> Answer {
        let answer = self.setup(track, "RTP/AVP;multicast").await;
        if answer.status == 200 {
            let group = answer.transport("destination").unwrap().parse().unwrap();
            let (rtp, rtcp) = answer.transport("port").unwrap().split_once('-').unwrap();
            self.udp.push(UdpTrack::join(track, group, (rtp.parse().unwrap(), rtcp.parse().unwrap())));
        }
        answer
    }

    /// The ports of a track that was set up over UDP.
    pub fn client_ports(&self, track: usize) -> (u16, u16) {
        self.udp.iter().find(|udp| udp.track == track).expect("set up over udp").ports()
    }

    /// SETUP with this Transport; remembers the session of a 200.
    pub async fn setup(&mut self, track: usize, transport: &str) -> Answer {
        let url = self.control(track);
        let answer = self.request("SETUP", &url, &[("Transport", transport)]).await;
        if answer.status == 200 {
            let session = answer.header("Session").expect("a session in the answer to SETUP");
            self.session = Some(session.split(';').next().unwrap_or_default().trim().to_owned());
        }
        answer
    }

    pub async fn play(&mut self) -> Answer {
        self.aggregate("PLAY", &[("Range", "npt=0.000-")]).await
    }

    pub async fn pause(&mut self) -> Answer {
        self.aggregate("PAUSE", &[]).await
    }

    pub async fn teardown(&mut self) -> Answer {
        self.aggregate("TEARDOWN", &[]).await
    }

    pub async fn get_parameter(&mut self) -> Answer {
        self.aggregate("GET_PARAMETER", &[]).await
    }

    /// DESCRIBE, SETUP of every track over TCP, PLAY, all answered with 200; gives the answer to PLAY.
    pub async fn play_tcp(url: &str) -> (Self, Answer) {
        let mut viewer = Self::open(url).await;
        viewer.describe().await.ok();
        for track in 0..sdp::tracks(&viewer.sdp) {
            viewer.setup_tcp(track).await.ok();
        }
        let answer = viewer.play().await.ok();
        (viewer, answer)
    }

    /// As [`Viewer::play_tcp`], over UDP.
    pub async fn play_udp(url: &str) -> (Self, Answer) {
        let mut viewer = Self::open(url).await;
        viewer.describe().await.ok();
        for track in 0..sdp::tracks(&viewer.sdp) {
            viewer.setup_udp(track).await.ok();
        }
        let answer = viewer.play().await.ok();
        (viewer, answer)
    }

    /// As [`Viewer::play_tcp`], by multicast.
    pub async fn play_multicast(url: &str) -> (Self, Answer) {
        let mut viewer = Self::open(url).await;
        viewer.describe().await.ok();
        for track in 0..sdp::tracks(&viewer.sdp) {
            viewer.setup_multicast(track).await.ok();
        }
        let answer = viewer.play().await.ok();
        (viewer, answer)
    }

    async fn aggregate(&mut self, method: &str, headers: &[(&str, &str)]) -> Answer {
        let base = self.base.clone();
        self.request(method, &base, headers).await
    }
}
