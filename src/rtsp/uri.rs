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
    /// The stream's path: percent-decoded once, without slash at either end, without the track control, possibly empty.
    /// It holds no control characters, but may hold `..`: it is a name to look up, not a file to open.
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
    /// Something no track is called, to be answered with 404: GStreamer then retries with another form of the URI.
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
    /// Besides absolute URIs this takes a path (`/yard`) and a bare name (`yard`, `movie.Mjpeg`). Credentials are dropped.
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

    /// The URI as `Content-Base` has to give it: without query and with a slash at its end, the only relative form from which
    /// ffmpeg, GStreamer and live555 all build the right SETUP URIs. `host` (with port) stands in if the URI names none.
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

/// Splits `/trackID=N` off the end of a path or query, and slashes with it. A path may be nothing but the control; in a
/// query a control has its slash, since `?trackID=0` is a parameter somebody chose.
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

/// Percent-decodes once. A `%` that two hexadecimal digits do not follow stands for itself. `None` if it is not UTF-8.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).unwrap()
    }

    fn parts(text: &str) -> (String, Option<String>, Option<TrackControl>) {
        let uri = uri(text);
        (uri.path, uri.query, uri.track)
    }

    #[test]
    fn the_track_is_found_wherever_players_put_it() {
        let track = Some(TrackControl::Track(TrackId(3)));
        for (text, path, query, track) in [
            ("rtsp://h:8554/p/trackID=3", "p", None, track),
            ("rtsp://h:8554/p?a=1/trackID=3", "p", Some("a=1"), track),
            ("rtsp://h:8554/p/trackID=3?a=1", "p", Some("a=1"), track),
            ("rtsp://h:8554/p/", "p", None, None),
            ("rtsp://h:8554/p?a=1/", "p", Some("a=1"), None),
            ("rtsp://h:8554/p/?a=1", "p", Some("a=1"), None),
            ("rtsp://h:8554/a/b/c/trackID=3", "a/b/c", None, track),
            ("rtsp://h:8554/a/b/c/", "a/b/c", None, None),
            ("rtsp://h:8554/a/b/c?q=1/trackID=3", "a/b/c", Some("q=1"), track),
            ("rtsp://h:8554/a/b/c", "a/b/c", None, None),
            ("rtsp://h:8554/trackID=3", "", None, track),
            ("rtsp://h:8554//trackID=3", "", None, track),
            ("rtsp://h:8554/", "", None, None),
            ("rtsp://h:8554//", "", None, None),
            ("rtsp://h:8554", "", None, None),
            ("rtsp://h:8554/p/trackID=3/", "p", None, track),
            ("rtsp://h:8554/p//trackID=3", "p", None, track),
            ("rtsp://h:8554/p/?a=1/trackID=3/", "p", Some("a=1"), track),
            ("rtsp://h:8554/p?/trackID=3", "p", Some(""), track),
            ("rtsp://h:8554?a=1/trackID=3", "", Some("a=1"), track),
            ("rtsp://h:8554/p/trackid%3D3", "p", None, track),
            ("/p/trackID=3", "p", None, track),
            ("p/trackID=3", "p", None, track),
            ("trackID=3", "", None, track),
        ] {
            assert_eq!(parts(text), (path.to_owned(), query.map(str::to_owned), track), "{text}");
        }
    }

    #[test]
    fn an_unparsable_track_is_not_the_aggregate() {
        for id in ["x", "", "-1", "+1", "256", "99999999999999999999", "1x", "1%20"] {
            assert_eq!(uri(&format!("rtsp://h/p/trackID={id}")).track, Some(TrackControl::Unknown), "{id}");
        }
        assert_eq!(uri("rtsp://h/p/trackID=255").track, Some(TrackControl::Track(TrackId(255))));
    }

    #[test]
    fn a_query_parameter_is_not_a_control() {
        assert_eq!(parts("rtsp://h/p?trackID=3"), ("p".into(), Some("trackID=3".into()), None));
        assert_eq!(parts("rtsp://h/trackID=3/p"), ("trackID=3/p".into(), None, None));
    }

    #[test]
    fn a_path_or_a_bare_name_is_a_uri() {
        for (text, path) in [("/yard", "yard"), ("movie.Mjpeg", "movie.Mjpeg"), ("a/b:c", "a/b:c"), ("/", "")]
        {
            let uri = uri(text);
            assert_eq!((uri.scheme, uri.host, uri.path.as_str()), (None, None, path), "{text}");
        }
    }

    #[test]
    fn the_asterisk_is_no_uri() {
        assert_eq!(Uri::parse("*"), Ok(None));
    }

    #[test]
    fn the_schemes_of_rtsp_are_known_in_any_case() {
        assert_eq!(uri("rtsp://h/p").scheme, Some(Scheme::Rtsp));
        assert_eq!(uri("RTSPS://h/p").scheme, Some(Scheme::Rtsps));
        assert_eq!(uri("rtspu://h/p").scheme, Some(Scheme::Rtspu));
    }

    #[test]
    fn what_rtsp_is_not_spoken_over_is_refused() {
        for (text, error) in [
            ("", UriError::Empty),
            (" ", UriError::Empty),
            ("http://h/p", UriError::Scheme),
            ("foopy://padoop/", UriError::Scheme),
            ("mailto:a@b", UriError::Scheme),
            ("rtsp:opaque", UriError::Opaque),
            ("rtsp:/h/p", UriError::Opaque),
            ("rtsp:#", UriError::Fragment),
            ("rtsp://h/p#t=1", UriError::Fragment),
            ("rtsp://[fe80::1/p", UriError::Authority),
            ("rtsp://[]/p", UriError::Authority),
            ("rtsp://h:port/p", UriError::Authority),
            ("rtsp://h:65536/p", UriError::Authority),
            ("rtsp://h:+1/p", UriError::Authority),
            ("rtsp://h h/p", UriError::Authority),
            ("rtsp://[::1]x/p", UriError::Authority),
            ("rtsp://h/%00", UriError::Path),
            ("rtsp://h/a%0d%0aSession: x", UriError::Path),
            ("rtsp://h/%ff", UriError::Path),
        ] {
            assert_eq!(Uri::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn credentials_are_dropped() {
        for text in ["rtsp://ann:secret@h:554/p", "rtsp://ann@h:554/p", "rtsp://ann:se@cret@h:554/p"] {
            let uri = uri(text);
            assert_eq!(uri.host.as_deref(), Some("h:554"), "{text}");
            assert_eq!(uri.content_base("x"), "rtsp://h:554/p/");
            assert!(!format!("{uri:?}").contains("ann"));
        }
        assert_eq!(without_userinfo("rtsp://ann:s/e@cret@h/p"), "rtsp://h/p");
        assert_eq!(without_userinfo("rtsp://h/p"), "rtsp://h/p");
        assert_eq!(without_userinfo("*"), "*");
    }

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(uri("rtsp://h/a%20b").path, "a b");
        assert_eq!(uri("rtsp://h/a%2Fb%23c").path, "a/b#c");
        assert_eq!(uri("rtsp://h/%2541").path, "%41");
        assert_eq!(uri("rtsp://h/100%/%zz%4").path, "100%/%zz%4");
        assert_eq!(uri("rtsp://h/caf%C3%A9").path, uri("rtsp://h/café").path);
    }

    #[test]
    fn an_ipv6_host_may_have_a_zone() {
        for host in ["[::1]", "[fe80::1%25eth0]:8554", "[fe80::1%eth0]"] {
            assert_eq!(uri(&format!("rtsp://{host}/p")).host.as_deref(), Some(host));
        }
    }

    #[test]
    fn the_content_base_has_a_slash_and_no_query() {
        for (text, base) in [
            ("rtsp://h:8554/p?q/trackID=0", "rtsp://h:8554/p/"),
            ("rtsps://h/a%20b/%2541", "rtsps://h/a%20b/%2541/"),
            ("rtsp://h/caf\u{e9}\"", "rtsp://h/caf%C3%A9%22/"),
            ("rtsp://h", "rtsp://h/"),
            ("rtsp:///p", "rtsp://relay:8554/p/"),
            ("/p", "rtsp://relay:8554/p/"),
        ] {
            assert_eq!(uri(text).content_base("relay:8554"), base, "{text}");
        }
        assert_eq!(uri("/p?q").track_url("relay", TrackId(1)), "rtsp://relay/p/trackID=1");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(rtsp://)?[\\PC%/?@:\\[\\]#]{0,40}(/trackID=[0-9a-z]{0,4})?") {
            let _ = Uri::parse(&text);
            let _ = without_userinfo(&text);
        }

        #[test]
        fn a_track_url_leads_back_to_its_track(path in "[a-zA-Z0-9 %é/#?\"=_.-]{0,20}", track in any::<u8>()) {
            let path = path.trim_matches('/').to_owned();
            // A path that itself ends like a control is read as one.
            prop_assume!(!path.to_ascii_lowercase().contains("trackid="));
            let uri = Uri { scheme: None, host: None, path: path.clone(), query: None, track: None };
            let back = Uri::parse(&uri.track_url("h:1", TrackId(track))).unwrap().unwrap();
            prop_assert_eq!(back.path, path);
            prop_assert_eq!(back.track, Some(TrackControl::Track(TrackId(track))));
            prop_assert_eq!(back.query, None);
        }
    }
}
