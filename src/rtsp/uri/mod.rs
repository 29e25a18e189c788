//! Request URIs (RFC 2326 section 3.2), and the track control players append to them.

use std::fmt::{self, Write};

use crate::vocabulary::TrackId;

/// A request's URI, taken apart.
///
/// The track control is found wherever players put it (all seen on the wire):
///
/// | URI | who |
/// |---|---|
/// | `rtsp://h/p/trackID=0` | everybody, given a `Content-Base` with a trailing slash and no query |
/// | `rtsp://h/p?q/trackID=0` | ffmpeg and live555, given a base with a query |
/// | `rtsp://h/p/trackID=0?q` | GStreamer |
/// | `rtsp://h/p/`, `rtsp://h/p?q/`, `rtsp://h/p/?q` | PLAY and the like, on the aggregate |
///
/// ```
/// use fanlight::rtsp::{TrackControl, Uri};
/// use fanlight::vocabulary::TrackId;
/// let uri = Uri::parse("rtsp://ann:secret@10.0.0.1:8554/yard?ch=1/trackID=2")?.expect("not the asterisk");
/// assert_eq!(uri.path, "yard");
/// assert_eq!(uri.query.as_deref(), Some("ch=1"));
/// assert_eq!(uri.track, Some(TrackControl::Track(TrackId(2))));
/// assert_eq!(uri.content_base("unused"), "rtsp://10.0.0.1:8554/yard/");
/// # Ok::<(), fanlight::rtsp::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// The scheme; `None` if the URI is only a path.
    pub scheme: Option<Scheme>,
    /// The authority as written, port included, credentials left out; `None` if the URI is only a path.
    pub host: Option<String>,
    /// The stream's path: percent-decoded once, without slash at either end, without the track control,
    /// possibly empty. It holds no control characters, but may hold `..`: it is a name to look up, not a file
    /// to open.
    pub path: String,
    /// What follows the `?`, as written, without the track control and without slash at its end.
    pub query: Option<String>,
    /// The track control, if there is one.
    pub track: Option<TrackControl>,
}

/// The schemes of RTSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `rtsp`.
    Rtsp,
    /// `rtsps`, over TLS.
    Rtsps,
    /// `rtspu`, over UDP.
    Rtspu,
}

/// What follows `trackID=` at the end of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackControl {
    /// A number a track can have; whether the stream has that track is for the server to say.
    Track(TrackId),
    /// Something no track is called, to be answered with 404: GStreamer then retries with another form of the
    /// URI.
    Unknown,
}

/// Why a URI is refused; all are answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// There is nothing.
    #[error("the uri is empty")]
    Empty,
    /// `http://` and whatever else RTSP is not spoken over.
    #[error("the uri's scheme is not rtsp, rtsps or rtspu")]
    Scheme,
    /// `rtsp:name`, without the slashes.
    #[error("the uri has a scheme but no authority")]
    Opaque,
    /// There is a `#`.
    #[error("the uri has a fragment")]
    Fragment,
    /// The host or port cannot be one.
    #[error("the uri's host or port is malformed")]
    Authority,
    /// The decoded path is not UTF-8, or holds control characters.
    #[error("the uri's path is not text")]
    Path,
}

impl Scheme {
    /// The name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtsp => "rtsp",
            Self::Rtsps => "rtsps",
            Self::Rtspu => "rtspu",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Uri {
    /// Reads a request's URI; `None` for `*`, which stands for the server itself.
    ///
    /// Besides absolute URIs this takes a path (`/yard`) and a bare name (`yard`, `movie.Mjpeg`). Credentials
    /// are dropped.
    pub fn parse(text: &str) -> Result<Option<Self>, UriError> {
        let text = text.trim();
        if text == "*" {
            return Ok(None);
        }
        if text.is_empty() {
            return Err(UriError::Empty);
        }
        if text.contains('#') {
            return Err(UriError::Fragment);
        }
        let (scheme, host, rest) = match split_scheme(text) {
            None => (None, None, text),
            Some((name, after)) => {
                let scheme = [Scheme::Rtsp, Scheme::Rtsps, Scheme::Rtspu]
                    .into_iter()
                    .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
                    .ok_or(UriError::Scheme)?;
                let after = after.strip_prefix("//").ok_or(UriError::Opaque)?;
                let (authority, rest) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
                (Some(scheme), host(authority)?, rest)
            }
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let (path, path_track) = split_track(path, false);
        let (query, query_track) = match query.map(|query| split_track(query, true)) {
            Some((query, track)) => (Some(query.to_owned()), track),
            None => (None, None),
        };
        let path = decode(path).ok_or(UriError::Path)?;
        if path.chars().any(char::is_control) {
            return Err(UriError::Path);
        }
        let path = path.trim_matches('/').to_owned();
        Ok(Some(Self { scheme, host, path, query, track: path_track.or(query_track) }))
    }

    /// The URI as `Content-Base` has to give it: without query and with a slash at its end, the only relative
    /// form from which ffmpeg, GStreamer and live555 all build the right SETUP URIs. `host` (with port)
    /// stands in if the URI names none.
    pub fn content_base(&self, host: &str) -> String {
        let scheme = self.scheme.unwrap_or(Scheme::Rtsp);
        let mut base = format!("{scheme}://{}/", self.host.as_deref().unwrap_or(host));
        if !self.path.is_empty() {
            encode(&self.path, &mut base);
            base.push('/');
        }
        base
    }

    /// The URI of a track, for `RTP-Info` and absolute controls; `host` as in [`Uri::content_base`].
    pub fn track_url(&self, host: &str, track: TrackId) -> String {
        format!("{}trackID={track}", self.content_base(host))
    }
}

/// A URI with everything between `://` and `@` left out, for logs.
///
/// It works on text that [`Uri::parse`] refuses, too. What looks like a password in the query stays.
pub fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A password may hold a raw `/` or `?`: leave out too much rather than too little.
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}://{rest}"),
        None => text.to_owned(),
    }
}

/// Splits `scheme:rest`, if the text begins with a scheme (RFC 2396 section 3.1) and not with a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(valid))
        .then_some((scheme, rest))
}

/// The host and port of an authority, without credentials; `None` if it is empty.
fn host(authority: &str) -> Result<Option<String>, UriError> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() {
        return Ok(None);
    }
    // An IPv6 address stands in brackets, its zone written `%25eth0` or, against RFC 6874, `%eth0`.
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(UriError::Authority)?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let valid = |c: char| !c.is_control() && !c.is_whitespace() && !"[]\"<>\\^`{|}@".contains(c);
    let port_valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.is_empty() || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok())
        });
    if name.is_empty() || !name.chars().all(valid) || !port_valid {
        return Err(UriError::Authority);
    }
    Ok(Some(host.to_owned()))
}

/// Splits `/trackID=N` off the end of a path or query, and slashes with it. A path may be nothing but the
/// control; in a query a control has its slash, since `?trackID=0` is a parameter somebody chose.
fn split_track(text: &str, slash_due: bool) -> (&str, Option<TrackControl>) {
    let text = text.trim_end_matches('/');
    let (base, last) = match text.rsplit_once('/') {
        Some(split) => split,
        None if slash_due => return (text, None),
        None => ("", text),
    };
    let decoded = decode(last);
    let control = decoded.as_deref().and_then(|last| {
        let (key, id) = last.split_at_checked(TRACK_ID.len())?;
        key.eq_ignore_ascii_case(TRACK_ID).then_some(id)
    });
    match control {
        Some(id) => (base.trim_end_matches('/'), Some(track(id))),
        None => (text, None),
    }
}

fn track(id: &str) -> TrackControl {
    let number = if id.bytes().all(|byte| byte.is_ascii_digit()) { id.parse().ok() } else { None };
    number.map_or(TrackControl::Unknown, |number| TrackControl::Track(TrackId(number)))
}

/// Percent-decodes once. A `%` that two hexadecimal digits do not follow stands for itself. `None` if it is
/// not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, after @ ..] if *first == b'%' => {
                hex(*high).zip(hex(*low)).map(|digits| (digits, after))
            }
            _ => None,
        };
        if let Some(((high, low), after)) = escaped {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes a path: what RFC 2396 allows in one stays, everything else becomes `%XX`.
fn encode(path: &str, out: &mut String) {
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

const TRACK_ID: &str = "trackID=";

#[cfg(test)]
mod tests;
