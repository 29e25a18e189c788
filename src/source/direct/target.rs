//! What to open, and how to get there.

use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use super::control;
use crate::config::{CameraUrl, Credentials};
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
    /// TLS under RTSP.
    pub(super) tls: bool,
    pub(super) credentials: Option<Credentials>,
}

/// How a camera is reached, apart from its URL.
#[derive(Clone, Debug)]
pub(in crate::source) struct Reach {
    /// Time for connecting, and for the answer to each request of the handshake.
    pub(in crate::source) limit: Duration,
    /// How long packets that overtook others wait for them, over UDP.
    pub(in crate::source) reorder: Duration,
    /// The address to connect from; the system's choice otherwise.
    pub(in crate::source) from: Option<IpAddr>,
}

impl Reach {
    /// Straight from here, with so much time for each step.
    pub(in crate::source) fn new(limit: Duration) -> Self {
        Self { limit, reorder: REORDER, from: None }
    }
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
        let tls = match url.scheme() {
            "rtsp" => false,
            "rtsps" | "rtspx" => true,
            _ => return Err(wrong("a scheme that is not RTSP's")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port().unwrap_or(if tls { TLS_PORT } else { PORT });
        let mut url = url.clone();
        // Neither fails for a URL with a host.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Self { uri: control::without_srtp(url.as_str()), host, port, tls, credentials })
    }
}

/// Long enough for what a switch or a Wi-Fi link does, short enough not to be seen.
const REORDER: Duration = Duration::from_millis(50);

const PORT: u16 = 554;
const TLS_PORT: u16 = 322;

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
