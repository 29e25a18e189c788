//! What a test does to a camera that runs: faults, outages, other settings.

use std::time::Duration;

use super::super::h264::ParameterSets;
use super::super::h265::H265;
use super::super::{PATIENCE, within};
use super::connection::{Ending, Event};
use super::{Audio, Camera, Close, Extra, Fault, Host, Numbering, Stall, Video};

/// Faults.
impl Camera {
    /// Lasts until [`Camera::heal`]; faults of the same kind (and method) replace each other.
    pub fn fault(&self, fault: Fault) {
        let mut settings = self.shared.settings.lock().unwrap();
        settings.faults.retain(|other| !fault.replaces(other));
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

    /// The nonce that clients know is no longer good: their next request is answered with 401, `stale=true` and a new
    /// nonce (RFC 7616 section 3.3).
    pub fn rotate_nonce(&self) {
        self.shared.settings.lock().unwrap().nonce += 1;
    }
}

/// Connections and the host.
impl Camera {
    /// Ends every connection and waits until they are closed. New ones are accepted meanwhile.
    pub async fn drop_connections(&self, how: Close) {
        let total = self.counts().connections_total;
        self.shared.close.send_replace(Ending { how, spared: 0 });
        self.until("all connections are closed", |c| c.connections_total - c.connections >= total).await;
    }

    /// Every connection is half-open from now on: nothing is sent or answered on it, and nothing closes it. New ones are
    /// served well.
    pub fn hang_connections(&self) {
        self.shared.hang.send_replace(());
    }

    /// The sessions that play now deliver this no more; later ones are well.
    pub fn stall_sessions(&self, stall: Stall) {
        self.shared.tell(|| Event::Stall(stall));
    }

    /// Connections are refused from now on (the port stays ours); open ones stay open.
    pub async fn refuse(&self) {
        self.host(Host::Refusing).await;
    }

    /// Takes back [`Camera::refuse`].
    pub async fn accept(&self) {
        self.host(Host::Up).await;
    }

    /// What the address does with new connections from now on; open ones stay as they are.
    pub async fn host(&self, wanted: Host) {
        self.shared.wanted.send_replace(wanted);
        let mut host = self.shared.host.subscribe();
        let there = host.wait_for(|host| *host == Some(wanted));
        within("the listener opens or closes", PATIENCE, there).await.unwrap();
    }

    /// The camera goes away, and takes its connections with it: with a reset, or without a word.
    pub async fn switch_off(&self, how: Host) {
        self.host(how).await;
        match how {
            Host::Silent => self.hang_connections(),
            Host::Up | Host::Refusing => self.drop_connections(Close::Rst).await,
        }
    }

    /// It is back, and answers what still comes on connections of before with a reset.
    pub async fn switch_on(&self) {
        self.drop_connections(Close::Rst).await;
        self.host(Host::Up).await;
    }

    /// The camera is away for this long.
    pub async fn outage(&self, how: Host, length: Duration) {
        self.switch_off(how).await;
        tokio::time::sleep(length).await;
        self.switch_on().await;
    }
}

/// Numbers and clocks.
impl Camera {
    /// Sessions set up from now on are numbered like this.
    pub fn number_sessions_from(&self, numbering: Numbering) {
        self.shared.settings.lock().unwrap().numbering = numbering;
    }

    /// Playing sessions go on with other numbers, without a word, as after a restart of the encoder.
    pub fn renumber(&self, numbering: Numbering) {
        self.shared.tell(|| Event::Renumber(numbering));
    }

    /// Sequence numbers of playing sessions go back by so many.
    pub fn rewind(&self, packets: u16) {
        self.shared.tell(|| Event::Rewind(packets));
    }

    /// The clocks jump by so many seconds: the RTP timestamps of playing sessions, and the wall clock of the reports.
    pub fn jump(&self, rtp: f64, wall: f64) {
        self.shared.settings.lock().unwrap().clock_ahead += wall;
        self.shared.tell(|| Event::Jump(rtp));
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
}

/// The media, as later descriptions tell it. Sessions that play get the new packets under their old payload type.
impl Camera {
    /// The encoder changes at once.
    pub fn change_codec(&self, video: Video) {
        self.shared.encoder.lock().unwrap().media.video = video;
    }

    /// The codec another camera setting gives: H.264 with [`ParameterSets::CHANGED`], another resolution.
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

    /// The sound has another codec or clock rate, comes, or goes.
    pub fn change_audio(&self, audio: Option<Audio>) {
        self.shared.encoder.lock().unwrap().media.audio = audio;
    }

    /// Other tracks in place of the last ones.
    pub fn change_extras(&self, extras: &[Extra]) {
        self.shared.encoder.lock().unwrap().media.extras = extras.to_vec();
    }

    /// DESCRIBE answers with exactly this text; `None` = again what the encoder makes.
    pub fn set_sdp(&self, sdp: Option<&str>) {
        self.shared.settings.lock().unwrap().sdp = sdp.map(str::to_owned);
    }
}
