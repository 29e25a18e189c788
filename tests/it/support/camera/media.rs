//! What the camera encodes: which payloads each track sends at each frame's time, and the SDP that announces them.

use super::super::audio::Audio;
use super::super::h264::H264;
use super::super::h265::H265;
use super::super::jpeg::Jpeg;
use super::super::stamp::Stamp;

/// The video encoder.
#[derive(Clone, Debug)]
pub enum Video {
    H264(H264),
    H265(H265),
    Jpeg(Jpeg),
}

impl Video {
    /// The RTP payloads of a frame.
    pub fn frame(&self, number: u32, key: bool) -> Vec<Vec<u8>> {
        match self {
            Self::H264(video) => video.frame(number, key),
            Self::H265(video) => video.frame(number, key),
            Self::Jpeg(video) => video.frame(number),
        }
    }
}

/// A track of something that the relay need not understand.
#[derive(Clone, Copy, Debug)]
pub struct Extra {
    /// First word of the `m=` line.
    pub kind: &'static str,
    pub payload_type: u8,
    /// As in the rtpmap; the clock is 90 kHz.
    pub encoding: &'static str,
}

impl Extra {
    /// ONVIF metadata.
    pub const METADATA: Self =
        Self { kind: "application", payload_type: 107, encoding: "vnd.onvif.metadata" };
    /// Video that nobody has heard of.
    pub const UNKNOWN: Self = Self { kind: "video", payload_type: 108, encoding: "X-SECRET" };

    /// The payload of the packet that goes with a frame.
    pub fn payload(self, frame: u32) -> Vec<u8> {
        let stamp = Stamp { frame, packet: 0, packets: 1, key: false };
        [self.encoding.as_bytes(), stamp.text().as_bytes()].concat()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Media {
    pub(super) video: Video,
    pub(super) audio: Option<Audio>,
    pub(super) extras: Vec<Extra>,
    /// No parameter sets in the SDP.
    pub(super) bare: bool,
    pub(super) fps: u32,
    pub(super) gop: u32,
}

/// All that the camera sends at the time of one frame.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) frame: u32,
    pub(super) units: Vec<Unit>,
}

/// The packets of one track with one timestamp.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) track: usize,
    /// RTP ticks of the track's clock since frame 0.
    pub(super) ticks: u64,
    pub(super) payloads: Vec<Vec<u8>>,
    /// Set on the last packet.
    pub(super) marker: bool,
}

/// What the RTP headers of a track need to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) payload_type: u8,
    pub(super) clock: u32,
}

impl Media {
    pub(super) fn moment(&self, number: u32, key: bool) -> Moment {
        let ticks = u64::from(number) * 90_000 / u64::from(self.fps);
        let payloads = self.video.frame(number, key);
        let mut units = vec![Unit { track: 0, ticks, payloads, marker: true }];
        if let Some(audio) = self.audio {
            let samples = u64::from(audio.samples());
            // Audio packets whose start lies in this frame's time.
            let started =
                |frame: u64| (frame * u64::from(audio.clock())).div_ceil(samples * u64::from(self.fps));
            for k in started(u64::from(number))..started(u64::from(number) + 1) {
                let payloads = vec![audio.payload(k as u32)];
                units.push(Unit { track: 1, ticks: k * samples, payloads, marker: false });
            }
        }
        for (extra, track) in self.extras.iter().zip(1 + usize::from(self.audio.is_some())..) {
            units.push(Unit { track, ticks, payloads: vec![extra.payload(number)], marker: true });
        }
        Moment { frame: number, units }
    }

    /// One entry a track.
    pub(super) fn formats(&self) -> Vec<Format> {
        let video = Format { payload_type: 96, clock: 90_000 };
        let audio = self.audio.map(|a| Format { payload_type: a.payload_type(), clock: a.clock() });
        let extras = self.extras.iter().map(|e| Format { payload_type: e.payload_type, clock: 90_000 });
        std::iter::once(video).chain(audio).chain(extras).collect()
    }

    pub(super) fn sdp(&self) -> String {
        let mut sdp =
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=simulated camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                       a=control:*\r\na=range:npt=now-\r\nm=video 0 RTP/AVP 96\r\n"
                .to_owned();
        let video = match &self.video {
            Video::H264(video) => video.sdp(96),
            Video::H265(video) => video.sdp(96),
            Video::Jpeg(video) => video.sdp(96),
        };
        if self.bare {
            // They are the last parameters of the fmtp, which is the last line.
            sdp += video.split(";sprop").next().unwrap_or_default();
            sdp += "\r\n";
        } else {
            sdp += &video;
        }
        sdp += &format!("a=framerate:{}.0\r\na=control:track0\r\n", self.fps);
        if let Some(audio) = self.audio {
            let pt = audio.payload_type();
            sdp += &format!("m=audio 0 RTP/AVP {pt}\r\n{}a=control:track1\r\n", audio.sdp());
        }
        for (extra, track) in self.extras.iter().zip(1 + usize::from(self.audio.is_some())..) {
            let Extra { kind, payload_type, encoding } = extra;
            sdp += &format!(
                "m={kind} 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {encoding}/90000\r\n\
                 a=control:track{track}\r\n"
            );
        }
        sdp
    }
}

#[cfg(test)]
mod tests {
    use super::super::Camera;
    use super::*;

    #[test]
    fn a_second_of_moments_holds_a_second_of_audio_without_holes() {
        for (audio, packets) in [(Audio::Pcmu, 50), (Audio::Aac, 47)] {
            let media = Camera::builder().audio(audio).media;
            let moments: Vec<Moment> = (0..25).map(|n| media.moment(n, n == 0)).collect();
            let ticks: Vec<u64> =
                moments.iter().flat_map(|m| &m.units).filter(|u| u.track == 1).map(|u| u.ticks).collect();
            let expected: Vec<u64> = (0..packets).map(|k| k * u64::from(audio.samples())).collect();
            assert_eq!(ticks, expected);
        }
    }
}
