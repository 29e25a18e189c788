//! Some of a stream's tracks: by the stream's configuration for everybody, by a viewer's URL for itself.

use std::fmt;
use std::str::FromStr;

use super::{Description, Track};
use crate::vocabulary::TrackId;

/// The tracks of a camera that are relayed at all: the others are not set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(Vec<Pick>);

/// One entry of a [`Selection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Every track of a kind: `video`, `audio` or `application`.
    Kind(&'static str),
    /// The one described by this `m=` line of the camera, from 0.
    Track(TrackId),
}

/// A word that is no kind of track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not video, audio or application")]
pub struct NoKind;

impl FromStr for Pick {
    type Err = NoKind;

    fn from_str(word: &str) -> Result<Self, NoKind> {
        KINDS.into_iter().find(|kind| *kind == word).map(Self::Kind).ok_or(NoKind)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pick) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            match pick {
                Pick::Kind(kind) => f.write_str(kind)?,
                Pick::Track(track) => write!(f, "{track}")?,
            }
        }
        Ok(())
    }
}

impl Selection {
    /// These tracks; all of them where there is no entry.
    pub fn new(picks: Vec<Pick>) -> Self {
        Self(picks)
    }

    /// Leaves the other tracks out. The numbers of `description` are still those of the camera's `m=` lines.
    pub fn apply(&self, description: &mut Description) {
        if self.0.is_empty() {
            return;
        }
        description.tracks.retain(|track| {
            self.0.iter().any(|pick| match pick {
                Pick::Kind(kind) => track.kind.eq_ignore_ascii_case(kind),
                Pick::Track(id) => track.id == *id,
            })
        });
    }
}

/// What the query of a viewer's URL asks for, in go2rtc's spelling; `None` where it says nothing of tracks.
///
/// | query | tracks |
/// |---|---|
/// | `video&audio` | the first of each, nothing else |
/// | `video=all` | every track with pictures, nothing else |
/// | `video&audio=aac,opus` | the first with pictures, and the first that is AAC, or else Opus |
/// | `audio=none` | all but sound |
pub fn asked_for(query: &str, description: &Description) -> Option<Description> {
    let wishes: Vec<(&str, Wish<'_>)> = query.split('&').filter_map(wish).collect();
    if wishes.is_empty() {
        return None;
    }
    let only_named = wishes.iter().any(|(_, wish)| *wish != Wish::None);
    let wanted = |track: &&Track| {
        let mut of_kind = wishes.iter().filter(|(kind, _)| track.kind.eq_ignore_ascii_case(kind)).peekable();
        if of_kind.peek().is_none() {
            return !only_named;
        }
        of_kind.any(|(kind, wish)| match wish {
            Wish::None => false,
            Wish::All => true,
            Wish::First => first(description, kind, |_| true) == Some(track.id),
            Wish::Codecs(names) => {
                let best = |name: &str| first(description, kind, |track| is_called(track, name));
                names.split(',').find_map(best) == Some(track.id)
            }
        })
    };
    Some(Description { tracks: description.tracks.iter().filter(wanted).cloned().collect() })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<'q> {
    None,
    First,
    All,
    Codecs(&'q str),
}

fn wish(parameter: &str) -> Option<(&'static str, Wish<'_>)> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let kind = KINDS.into_iter().find(|kind| kind.eq_ignore_ascii_case(name))?;
    let wish = match value.to_ascii_lowercase().as_str() {
        "none" | "off" | "false" | "0" => Wish::None,
        "" | "on" | "true" | "1" => Wish::First,
        "all" => Wish::All,
        _ => Wish::Codecs(value),
    };
    Some((kind, wish))
}

fn first(description: &Description, kind: &str, fits: impl Fn(&Track) -> bool) -> Option<TrackId> {
    let found = description.tracks.iter().find(|track| track.kind.eq_ignore_ascii_case(kind) && fits(track));
    found.map(|track| track.id)
}

/// Whether people call a track's codec so.
fn is_called(track: &Track, name: &str) -> bool {
    let name = name.trim().to_ascii_uppercase();
    let encoding = track.encoding.as_deref().unwrap_or_default();
    let spellings: &[&str] = match name.as_str() {
        "AAC" => &["MPEG4-GENERIC", "MP4A-LATM"],
        "MJPEG" => &["JPEG"],
        "HEVC" => &["H265"],
        "AVC" => &["H264"],
        _ => &[],
    };
    encoding == name || spellings.contains(&encoding)
}

const KINDS: [&str; 3] = ["video", "audio", "application"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::parse;

    fn camera() -> Description {
        let sdp = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=video 0 RTP/AVP 26\n\
            m=audio 0 RTP/AVP 0\nm=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/16000/1\n\
            m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000";
        Description::from_sdp(&parse(sdp.as_bytes()).unwrap())
    }

    fn ids(description: &Description) -> Vec<u8> {
        description.tracks.iter().map(|track| track.id.0).collect()
    }

    #[test]
    fn a_query_asks_for_tracks_as_in_go2rtc() {
        for (query, tracks) in [
            ("video&audio", &[0, 2][..]),
            ("video", &[0]),
            ("audio", &[2]),
            ("video=all&audio=all", &[0, 1, 2, 3]),
            ("audio=none", &[0, 1, 4]),
            ("video&audio=none", &[0]),
            ("Video=mjpeg&audio=AAC", &[1, 3]),
            ("video=h265,h264", &[0]),
            ("video=h265", &[]),
            ("audio=pcmu&audio=aac", &[2, 3]),
            ("application", &[4]),
            ("token=1-x&audio=opus,pcmu&backchannel=1", &[2]),
        ] {
            assert_eq!(ids(&asked_for(query, &camera()).unwrap()), tracks, "{query}");
        }
        for query in ["", "token=1-x", "videos", "video2=all", "ch=1&audio_codec=2"] {
            assert_eq!(asked_for(query, &camera()), None, "{query}");
        }
    }

    #[test]
    fn a_configuration_picks_kinds_and_lines() {
        for (picks, tracks) in [
            (vec![], &[0, 1, 2, 3, 4][..]),
            (vec![Pick::Kind("audio")], &[2, 3]),
            (vec![Pick::Track(TrackId(1)), Pick::Kind("application")], &[1, 4]),
            (vec![Pick::Track(TrackId(9))], &[]),
        ] {
            let (selection, mut description) = (Selection::new(picks), camera());
            selection.apply(&mut description);
            assert_eq!(ids(&description), tracks, "{selection}");
        }
        assert_eq!("video".parse(), Ok(Pick::Kind("video")));
        assert!("Video".parse::<Pick>().is_err());
    }
}
