//! The way back to a camera, as its SDP offers it and ours passes it on
//! ([ONVIF streaming specification](https://www.onvif.org/specs/stream/ONVIF-Streaming-Spec.pdf), section 5.3).

use super::{Description, Range, Sdp, Track};
use crate::vocabulary::TrackId;

impl Sdp {
    /// Where the camera listens: its first back channel of plain RTP, under the number of its `m=` line.
    pub fn back_channel(&self) -> Option<Track> {
        let numbered = self.media.iter().zip((0u8..).map(TrackId));
        let mut back = numbered.filter(|(media, _)| self.is_back_channel(media));
        back.find_map(|(media, id)| Track::from_media(id, media))
    }
}

impl Description {
    /// The number that a back channel has for viewers: the one behind all other tracks.
    pub fn back_channel_id(&self) -> TrackId {
        let last = self.tracks.iter().map(|track| track.id.0).max();
        TrackId(last.map_or(0, |last| last.saturating_add(1)))
    }

    /// As [`Description::write`], with a back channel behind the other tracks. All of them say in which direction their
    /// packets go, as the specification asks, seen from the client.
    pub fn write_with(&self, back: &Track, stream_name: &str, session_version: u64, range: Range) -> String {
        let mut sdp = self.head(stream_name, session_version, range);
        for track in &self.tracks {
            track.write(&mut sdp, Some("recvonly"));
        }
        back.write(&mut sdp, Some("sendonly"));
        sdp
    }
}

/// Whether the query of a viewer's URL asks for the back channel, in go2rtc's spelling: `backchannel=1`.
pub fn asks_to_talk(query: &str) -> bool {
    query.split('&').any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.eq_ignore_ascii_case("backchannel")
            && matches!(value.to_ascii_lowercase().as_str(), "" | "1" | "on" | "true")
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// The example of the specification.
    const ONVIF: &str = "v=0\no= 2890842807 IN IP4 192.168.0.1\ns=RTSP Session with audiobackchannel\n\
        m=video 0 RTP/AVP 26\na=control:rtsp://192.168.0.1/video\na=recvonly\n\
        m=audio 0 RTP/AVP 0\na=control:rtsp://192.168.0.1/audio\na=recvonly\n\
        m=audio 0 RTP/AVP 0\na=control:rtsp://192.168.0.1/audioback\na=rtpmap:0 PCMU/8000\na=sendonly\n";

    #[test]
    fn the_way_back_is_found_and_passed_on() {
        let camera = parse(ONVIF.as_bytes()).unwrap();
        let back = camera.back_channel().unwrap();
        assert_eq!((back.id, back.payload_type, back.clock_rate), (TrackId(2), 0, 8000));
        let description = Description::from_sdp(&camera);
        assert_eq!(description.back_channel_id(), TrackId(2));
        let written = description.write_with(&back, "door", 1, Range::Live);
        let again = parse(written.as_bytes()).unwrap();
        assert_eq!(again.back_channel(), Some(back));
        assert_eq!(written.matches("a=recvonly\r\n").count(), 2);
        assert!(written.ends_with("a=sendonly\r\na=control:trackID=2\r\n"), "{written}");
        assert!(!description.write("door", 1, Range::Live).contains("only"));
    }

    #[test]
    fn a_camera_that_only_sends_has_none() {
        for sdp in ["m=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0", "m=audio 0 RTP/SAVP 0\na=sendonly"] {
            assert_eq!(parse(sdp.as_bytes()).unwrap().back_channel(), None, "{sdp}");
        }
    }

    #[test]
    fn a_query_asks_to_talk() {
        for query in ["backchannel=1", "video&BackChannel=true", "token=1-x&backchannel"] {
            assert!(asks_to_talk(query), "{query}");
        }
        for query in ["", "backchannel=0", "backchannel=none", "backchannels=1"] {
            assert!(!asks_to_talk(query), "{query}");
        }
    }
}
