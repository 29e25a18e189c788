//! What to open, and how to get there.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::control;
use super::notes::Notes;
use crate::config::{CameraUrl, Credentials, Quirks};
use crate::source::error::Error;
use crate::vocabulary::FailureClass;

/// A stream's place: the URI to ask for, and the host to ask.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// As requests name it, without credentials.
    pub(super) uri: String,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// TLS under RTSP, or under HTTP.
    pub(super) tls: bool,
    /// Whoever answers over TLS is taken for the camera (`rtspx`).
    pub(super) unverified: bool,
    /// RTSP over HTTP.
    pub(super) tunnel: bool,
    pub(super) credentials: Option<Credentials>,
}

/// How a camera is reached, apart from its URL.
#[derive(Clone, Debug)]
pub(in crate::source) struct Reach {
    /// Time for connecting, and for the answer to each request of the handshake.
    pub(in crate::source) limit: Duration,
    /// UDP to a group the camera names, instead of to us.
    pub(in crate::source) multicast: bool,
    /// The tracks that are set up.
    pub(in crate::source) tracks: crate::sdp::Selection,
    /// What is configured.
    pub(in crate::source) way: crate::config::Reach,
    /// What families of cameras want otherwise.
    pub(in crate::source) quirks: Arc<Quirks>,
    /// OPTIONS first, whatever the camera is: to see what it says of itself.
    pub(in crate::source) ask_options: bool,
    /// Who hears of each step.
    pub(in crate::source) notes: Notes,
}

impl Target {
    pub(super) fn of(camera: &CameraUrl) -> Result<Self, Error> {
        Self::at(camera.url(), camera.credentials().cloned())
    }

    /// Where a redirect leads. Credentials go to the same host only (C12), and nobody leads us from TLS to plain text.
    pub(super) fn redirected(&self, to: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::new(FailureClass::Status, format!("a redirect {why}"));
        let url = Url::parse(to).map_err(|_| refused("to what is no URL"))?;
        let mut next = Self::at(&url, None)?;
        if self.tls && !next.tls {
            return Err(refused("from TLS to plain text, which is not followed"));
        }
        if next.host.eq_ignore_ascii_case(&self.host) {
            next.credentials = self.credentials.clone();
        }
        Ok(next)
    }

    fn at(url: &Url, credentials: Option<Credentials>) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(FailureClass::Protocol, format!("the URL has {what}"));
        let (tls, tunnel) = match url.scheme() {
            "rtsp" => (false, false),
            "rtsps" | "rtspx" => (true, false),
            "rtsp+http" => (false, true),
            "rtsps+http" | "rtsp+https" => (true, true),
            _ => return Err(wrong("a scheme that is not RTSP's")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port().unwrap_or(match (tunnel, tls) {
            (false, false) => 554,
            (false, true) => 322,
            (true, false) => 80,
            (true, true) => 443,
        });
        let mut url = url.clone();
        // Neither fails for a URL with a host.
        let _ = (url.set_username(""), url.set_password(None));
        let unverified = url.scheme() == "rtspx";
        // In a tunnel the scheme is the one of what it carries.
        let scheme = if tls && !tunnel { "rtsps" } else { "rtsp" };
        let rest = url.as_str().split_once(':').map_or("", |(_, rest)| rest);
        let uri = control::without_srtp(&format!("{scheme}:{rest}"));
        Ok(Self { uri, host, port, tls, unverified, tunnel, credentials })
    }

    /// The URI without scheme and authority, never empty.
    pub(super) fn path(&self) -> &str {
        let authority = self.uri.find("://").map_or(0, |at| at + 3);
        self.uri[authority..].find('/').map_or("/", |at| &self.uri[authority + at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_url_says_what_to_ask_whom() {
        let plain = target("rtsp://ann:hunter2@10.0.0.7/main?x=1");
        assert_eq!(
            (plain.uri.as_str(), plain.host.as_str(), plain.port),
            ("rtsp://10.0.0.7/main?x=1", "10.0.0.7", 554)
        );
        assert!(plain.credentials.is_some());
        let v6 = target("rtsp://[fe80::1]:8554/");
        assert_eq!((v6.host.as_str(), v6.port), ("fe80::1", 8554));
    }

    #[test]
    fn a_scheme_says_the_way() {
        for (text, uri, port, tls, tunnel) in [
            ("rtsps://h/x", "rtsps://h/x", 322, true, false),
            ("rtspx://h:9/x", "rtsps://h:9/x", 9, true, false),
            ("rtsp+http://h/x?y", "rtsp://h/x?y", 80, false, true),
            ("rtsps+http://h/x", "rtsp://h/x", 443, true, true),
            ("rtsp+https://h", "rtsp://h", 443, true, true),
        ] {
            let target = Target::at(&Url::parse(text).unwrap(), None).unwrap();
            assert_eq!((target.uri.as_str(), target.port), (uri, port), "{text}");
            assert_eq!((target.tls, target.tunnel), (tls, tunnel), "{text}");
        }
        assert_eq!(target("rtsp://h:1/x/y?z").path(), "/x/y?z");
        assert_eq!(Target::at(&Url::parse("rtsp://h").unwrap(), None).unwrap().path(), "/");
    }

    #[test]
    fn c53_a_camera_is_not_asked_for_srtp() {
        assert_eq!(target("rtsp://h/x?enableSrtp").uri, "rtsp://h/x");
        assert_eq!(target("rtsp://h/x?a=b&enableSrtp").uri, "rtsp://h/x?a=b");
    }

    #[test]
    fn c12_only_the_same_host_is_told_who_we_are() {
        let from = target("rtsp://ann:hunter2@10.0.0.7/main");
        let same = from.redirected("rtsp://10.0.0.7:8554/other").unwrap();
        assert_eq!((same.port, same.credentials.is_some()), (8554, true));
        assert!(from.redirected("rtsp://10.0.0.8/main").unwrap().credentials.is_none());
        assert!(from.redirected("http://10.0.0.7/main").is_err());
        assert!(from.redirected("nonsense").is_err());
        let tls = from.redirected("rtsps://10.0.0.7/main").unwrap();
        assert_eq!((tls.tls, tls.port), (true, 322));
        assert!(tls.redirected("rtsp://10.0.0.7/main").is_err());
    }
}
