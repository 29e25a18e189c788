//! The name of a stream, which is its path in `rtsp://relay:8554/NAME`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// A stream's name: path segments of `[A-Za-z0-9._~-]`, joined by `/`, at most [`StreamName::MAX`] characters.
///
/// Those are the characters a URL carries unescaped (RFC 3986 section 2.3), so that the name in the configuration, in
/// a player's address bar and in a metric is the same text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

/// Why a text is no stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// Nothing at all.
    #[error("a stream's name cannot be empty")]
    Empty,
    /// Above [`StreamName::MAX`] characters.
    #[error("a stream's name has at most {} characters", StreamName::MAX)]
    TooLong,
    /// A leading, trailing or doubled slash.
    #[error("a stream's name neither begins nor ends with a slash, nor has two in a row")]
    EmptySegment,
    /// `.` or `..`, which URL libraries resolve away.
    #[error("`.` and `..` mean something else in a URL and cannot be part of a stream's name")]
    DotSegment,
    /// A segment in the form of a track's control URL (RFC 2326 appendix C.1.1).
    #[error("`trackID=` names a track of a stream and cannot be part of a stream's name")]
    TrackControl,
    /// A character that a URL would have to escape.
    #[error(
        "{0:?} cannot be part of a stream's name: use letters, digits and `. _ ~ -`, with `/` between parts"
    )]
    Character(char),
}

impl StreamName {
    /// Most characters of a name.
    pub const MAX: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        if text.is_empty() {
            return Err(StreamNameError::Empty);
        }
        if text.chars().count() > Self::MAX {
            return Err(StreamNameError::TooLong);
        }
        for segment in text.split('/') {
            match segment {
                "" => return Err(StreamNameError::EmptySegment),
                "." | ".." => return Err(StreamNameError::DotSegment),
                _ if is_track_control(segment) => return Err(StreamNameError::TrackControl),
                _ => {}
            }
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || "/._~-".contains(*c);
        match text.chars().find(|c| !allowed(c)) {
            Some(other) => Err(StreamNameError::Character(other)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

fn is_track_control(segment: &str) -> bool {
    segment.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("trackid="))
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for StreamName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// So that a map by name answers to the text of a request.
impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_path_segments() {
        for name in ["door", "101", "site-1/yard_2/main.sub~x", "a.b", "..."] {
            assert_eq!(name.parse::<StreamName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_the_reason() {
        let refused = |name: &str| name.parse::<StreamName>().unwrap_err();
        assert_eq!(refused(""), StreamNameError::Empty);
        assert_eq!(refused(&"x".repeat(129)), StreamNameError::TooLong);
        for name in ["/door", "door/", "a//b", "/"] {
            assert_eq!(refused(name), StreamNameError::EmptySegment, "{name}");
        }
        for name in [".", "a/..", "./a"] {
            assert_eq!(refused(name), StreamNameError::DotSegment, "{name}");
        }
        for name in ["trackID=0", "door/trackid=1"] {
            assert_eq!(refused(name), StreamNameError::TrackControl, "{name}");
        }
        for (name, bad) in [("front door", ' '), ("tür", 'ü'), ("a?b", '?'), ("a\nb", '\n'), ("a=b", '=')] {
            assert_eq!(refused(name), StreamNameError::Character(bad), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_in_a_url_unchanged(name in "[A-Za-z0-9._~-]{1,20}(/[A-Za-z0-9._~-]{1,20}){0,3}") {
            if let Ok(name) = name.parse::<StreamName>() {
                let url = url::Url::parse(&format!("rtsp://relay:8554/{name}")).unwrap();
                prop_assert_eq!(&url.path()[1..], name.as_str());
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,16}") {
            let _ = text.parse::<StreamName>();
        }
    }
}
