//! HTTP on the RTSP port: tunnels, and what is said to whoever wants something else.

use std::sync::Arc;

use super::{GetHalf, Key, PostHalf, Tunnels};
use crate::rtsp::{Headers, HttpRequest};

/// What an HTTP request on the RTSP port is.
#[derive(Debug)]
pub(super) enum Half {
    /// The answer to it goes on for ever.
    Get(GetHalf),
    /// Its body goes on for ever.
    Post(Post),
}

/// A POST of a tunnel.
#[derive(Debug)]
pub(super) struct Post(pub(super) PostHalf);

/// An answer that ends the connection: its status line without the version, and what it says in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    status: &'static str,
    words: &'static str,
}

impl Half {
    /// What `request` of `peer` is a half of.
    pub(super) fn of(
        request: &HttpRequest,
        peer: std::net::IpAddr,
        tunnels: &Arc<Tunnels>,
    ) -> Result<Self, Refused> {
        if !matches!(request.method.as_str(), "GET" | "POST") {
            return Err(Refused::METHOD);
        }
        let key = Key { peer: peer.to_canonical(), cookie: cookie(&request.headers)? };
        if request.method == "POST" {
            return Ok(Self::Post(Post(tunnels.post(key))));
        }
        tunnels.get(key).map(Self::Get).ok_or(Refused::COOKIE_IN_USE)
    }
}

/// The cookie that makes a request half of a tunnel.
fn cookie(headers: &Headers) -> Result<String, Refused> {
    let mut cookies = headers.get_all(COOKIE);
    match (cookies.next().map(str::trim), cookies.next()) {
        (None | Some(""), _) => Err(Refused::NO_TUNNEL),
        (Some(cookie), None) if cookie.len() <= MAX_COOKIE => Ok(cookie.to_owned()),
        // One that is repeated or endless broke servers before (CVE-2018-4013).
        (Some(_), _) => Err(Refused::COOKIE),
    }
}

impl Refused {
    const NO_TUNNEL: Self = Self {
        status: "400 Bad Request",
        words: "this port speaks RTSP: open it with a player. HTTP is for tunnels here, which have an x-sessioncookie.",
    };
    const COOKIE: Self =
        Self { status: "400 Bad Request", words: "a tunnel has one x-sessioncookie of at most 128 bytes." };
    const COOKIE_IN_USE: Self =
        Self { status: "409 Conflict", words: "another GET has this x-sessioncookie already." };
    pub(super) const POST_IN_USE: Self =
        Self { status: "409 Conflict", words: "another POST of this x-sessioncookie has not ended yet." };
    pub(super) const NO_GET: Self =
        Self { status: "408 Request Timeout", words: "no GET came with this x-sessioncookie." };
    pub(super) const NOT_BASE64: Self =
        Self { status: "400 Bad Request", words: "the body of a tunnel's POST is base64." };
    pub(super) const MALFORMED: Self =
        Self { status: "400 Bad Request", words: "the request cannot be read." };
    const METHOD: Self = Self {
        status: "405 Method Not Allowed",
        words: "this port speaks RTSP, and of HTTP only the GET and POST of a tunnel.",
    };

    /// The answer.
    pub(super) fn answer(self) -> Vec<u8> {
        let Self { status, words } = self;
        let allow = if self == Self::METHOD { "Allow: GET, POST\r\n" } else { "" };
        let length = words.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nServer: {SERVER}\r\n{allow}Connection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{words}\n"
        )
        .into_bytes()
    }
}

/// What a tunnel's GET is answered with. Nothing says how long it is: it lasts until the connection ends. HTTP/1.0, so that
/// no client waits for chunks.
pub(super) const OPENED: &str = concat!(
    "HTTP/1.0 200 OK\r\nServer: fanlight/",
    env!("CARGO_PKG_VERSION"),
    "\r\nConnection: close\r\nCache-Control: no-store\r\nPragma: no-cache\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n"
);

const SERVER: &str = concat!("fanlight/", env!("CARGO_PKG_VERSION"));

const COOKIE: &str = "x-sessioncookie";

/// Players' cookies have 16 to 23 letters.
const MAX_COOKIE: usize = 128;
