//! The session description we give to viewers: canonical, and silent about the camera.

use std::fmt::Write as _;
use std::time::Duration;

use super::track::Track;
use super::{Attribute, Sdp};
use crate::codec::Codec;
use crate::jpeg;
use crate::vocabulary::TrackId;

/// What a stream offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The tracks, by id. Ids are those of the camera's `m=` lines, so there may be gaps.
    pub tracks: Vec<Track>,
}

/// How long the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Without an end, nothing to seek in: `npt=now-`.
    Live,
    /// A recording of this length.
    Recording(Duration),
}

impl Description {
    /// What of a camera's SDP a viewer can play: all media but back channels and those without a usable format.
    pub fn from_sdp(sdp: &Sdp) -> Self {
        let numbered = sdp.media.iter().zip((0u8..).map(TrackId));
        let forward = numbered.filter(|(media, _)| !sdp.is_back_channel(media));
        Self { tracks: forward.filter_map(|(media, id)| Track::from_media(id, media)).collect() }
    }

    /// One track of JPEG pictures, as the bundled file server plays them ([RFC 2435](https://datatracker.ietf.org/doc/html/rfc2435)).
    /// The size is told as well, for players that open a window before the first picture.
    pub fn jpeg(width: u16, height: u16, fps: f64) -> Self {
        let attribute = |name: &str, value| Attribute { name: name.to_owned(), value: Some(value) };
        Self {
            tracks: vec![Track {
                id: TrackId(0),
                kind: "video".to_owned(),
                codec: Codec::Jpeg,
                encoding: Some("JPEG".to_owned()),
                payload_type: jpeg::PAYLOAD_TYPE,
                clock_rate: jpeg::CLOCK_RATE,
                channels: None,
                fmtp: None,
                attributes: vec![
                    attribute("framerate", fps.to_string()),
                    attribute("x-dimensions", format!("{width},{height}")),
                ],
                bandwidth: None,
            }],
        }
    }

    /// The track with this number.
    pub fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Writes it (RFC 8866, RFC 2326 appendix C) in the forms that ffmpeg, GStreamer and live555 agree on: relative
    /// controls with `a=control:*` for the whole, an rtpmap for static payload types too, `0.0.0.0` for the address.
    ///
    /// `stream_name` becomes the session name; `session_version` has to grow with every change (RFC 8866 section 5.2).
    pub fn write(&self, stream_name: &str, session_version: u64, range: Range) -> String {
        let mut sdp = self.head(stream_name, session_version, range);
        for track in &self.tracks {
            track.write(&mut sdp, None);
        }
        sdp
    }

    /// What stands in front of the tracks.
    pub(super) fn head(&self, stream_name: &str, session_version: u64, range: Range) -> String {
        let mut sdp = String::with_capacity(256 + 512 * self.tracks.len());
        let name: String = stream_name.chars().filter(|c| !c.is_control()).collect();
        let name = if name.trim().is_empty() { "-" } else { name.trim() };
        let range = match range {
            Range::Live => "now-".to_owned(),
            Range::Recording(length) => format!("0-{}.{:03}", length.as_secs(), length.subsec_millis()),
        };
        write!(
            sdp,
            "v=0\r\no=- {} {session_version} IN IP4 0.0.0.0\r\ns={name}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
             a=control:*\r\na=range:npt={range}\r\n",
            session_id(name),
        )
        .expect("a String takes everything");
        sdp
    }
}

/// A session id that stays the stream's: FNV-1a of its name, in 63 bits for players that read a signed number.
fn session_id(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash >> 1
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn description(text: &str) -> Description {
        Description::from_sdp(&parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn the_written_form_is_canonical() {
        let camera = "v=0\no=- 1 1 IN IP4 10.0.0.7\ns=Cam\nc=IN IP4 10.0.0.7\na=control:rtsp://u:p@10.0.0.7/\n\
            m=video 0 RTP/AVP 26\nb=AS:500\na=framerate:15\na=control:rtsp://u:p@10.0.0.7/1\n\
            m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/16000/1\na=fmtp:97 config=1408\n";
        assert_eq!(
            description(camera).write("door", 7, Range::Live),
            "v=0\r\no=- 7938433492625434484 7 IN IP4 0.0.0.0\r\ns=door\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
             a=control:*\r\na=range:npt=now-\r\n\
             m=video 0 RTP/AVP 26\r\nb=AS:500\r\na=rtpmap:26 JPEG/90000\r\na=framerate:15\r\na=control:trackID=0\r\n\
             m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000/1\r\na=fmtp:97 config=1408\r\n\
             a=control:trackID=1\r\n"
        );
    }

    #[test]
    fn a_recording_has_its_length_and_a_name_cannot_break_a_line() {
        let length = Range::Recording(Duration::from_millis(12_045));
        let sdp = description("m=video 0 RTP/AVP 26").write("a\r\nm=audio 0 RTP/AVP 0", 1, length);
        assert!(sdp.contains("a=range:npt=0-12.045\r\n"));
        assert_eq!(sdp.matches("\r\nm=").count(), 1);
        assert!(Description::default().write("\n", 1, Range::Live).contains("\r\ns=-\r\n"));
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_tracks() {
        let camera = description(
            "m=video 0 RTP/AVP 98\na=rtpmap:98 H265/90000\nm=audio 0 RTP/AVP 9\nm=audio 0 RTP/AVP 0\na=sendonly\n\
             m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000/500",
        );
        assert_eq!(camera.tracks.iter().map(|track| track.id.0).collect::<Vec<_>>(), [0, 1, 3]);
        let again = description(&camera.write("x", 1, Range::Live));
        let without_id = |description: &Description| {
            let track = |track: &Track| Track { id: TrackId(0), ..track.clone() };
            description.tracks.iter().map(track).collect::<Vec<_>>()
        };
        assert_eq!(without_id(&again), without_id(&camera));
        assert!(camera.track(TrackId(3)).is_some());
        assert!(camera.track(TrackId(2)).is_none());
    }

    #[test]
    fn a_back_channel_is_left_out_but_not_the_audio_of_a_camera_that_means_itself() {
        let onvif = description("m=video 0 RTP/AVP 26\na=recvonly\nm=audio 0 RTP/AVP 0\na=sendonly");
        assert_eq!(onvif.tracks.len(), 1);
        let own = description("m=video 0 RTP/AVP 26\na=sendonly\nm=audio 0 RTP/AVP 0\na=sendonly");
        assert_eq!(own.tracks.len(), 2);
    }
}
