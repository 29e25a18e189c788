//! What a path below `/api/v1/streams/` names: a stream, or a part of one.

use axum::extract::{FromRequestParts, Path};
use axum::http::Uri;
use axum::http::request::Parts;

use super::answer::Refusal;
use super::events;

/// What `/api/v1/streams/…` names: names of streams may have slashes in them.
///
/// A last segment `viewers`, `reconnect`, `live` and so on ([`PARTS`]) is always that part of the stream before it. A stream
/// that is itself called `a/viewers` is reached with its slash escaped: `/api/v1/streams/a%2Fviewers`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Stream,
    Config,
    Viewers,
    Reconnect,
    History,
    Log,
    Qr,
    Capture,
    Live,
    Moving,
    Still,
}

/// Parts of a stream, by the end of the path.
pub(super) const PARTS: [(&str, Part); 10] = [
    ("/config", Part::Config),
    ("/viewers", Part::Viewers),
    ("/reconnect", Part::Reconnect),
    ("/history", Part::History),
    ("/log", Part::Log),
    ("/qr.svg", Part::Qr),
    ("/capture", Part::Capture),
    ("/live", Part::Live),
    ("/mjpeg", Part::Moving),
    ("/snapshot.jpg", Part::Still),
];

impl Target {
    /// The stream.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the picture that is asked for.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self.part, Part::Live | Part::Moving | Part::Still)
    }

    /// Whether it is what only those need to see who change it.
    pub(super) fn is_settings(&self) -> bool {
        self.part == Part::Config
    }

    /// `raw` is the path as sent, `path` the part after `streams/` with its escapes undone.
    fn new(raw: &str, path: String) -> Self {
        for (suffix, part) in PARTS {
            // In the path as sent, because an escaped slash belongs to the name.
            if raw.ends_with(suffix)
                && let Some(name) = path.strip_suffix(suffix)
            {
                return Self { name: name.to_owned(), part };
            }
        }
        Self { name: path, part: Part::Stream }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let raw = parts.uri.path().to_owned();
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(path)) => Ok(Self::new(&raw, path)),
            // Escapes that are not UTF-8.
            Err(_) => Err(Refusal::not_found("there is no such stream")),
        }
    }
}

/// What a request's path is about, for the rules; `None` where that is no single stream. It is read as the extractor
/// does, so that no spelling leads around a rule.
pub(super) fn target_of(uri: &Uri) -> Option<Target> {
    let path = uri.path();
    if path == events::PATH {
        return events::narrowed(uri).map(|name| Target { name, part: Part::Stream });
    }
    let encoded = path.strip_prefix("/api/v1/streams/")?;
    let decoded = crate::config::percent_decode(encoded);
    Some(Target::new(path, decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_may_name_a_part_of_the_stream_before_it() {
        let target = |raw: &str, path: &str| {
            let Target { name, part } = Target::new(&format!("/api/v1/streams/{raw}"), path.to_owned());
            (name, part)
        };
        let plain = |path: &str| target(path, path);
        assert_eq!(plain("door"), ("door".to_owned(), Part::Stream));
        assert_eq!(plain("site/door"), ("site/door".to_owned(), Part::Stream));
        assert_eq!(plain("site/door/viewers"), ("site/door".to_owned(), Part::Viewers));
        assert_eq!(plain("door/reconnect"), ("door".to_owned(), Part::Reconnect));
        assert_eq!(plain("viewers"), ("viewers".to_owned(), Part::Stream), "a stream of that name");
        assert_eq!(target("a%2Fviewers", "a/viewers"), ("a/viewers".to_owned(), Part::Stream));
        assert_eq!(
            target("a%2Fviewers/viewers", "a/viewers/viewers"),
            ("a/viewers".to_owned(), Part::Viewers)
        );
    }
}
