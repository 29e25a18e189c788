//! Digest access authentication, MD5 without `qop` (RFC 2069): what cameras ask for and RTSP clients answer.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

/// The `response` parameter.
pub fn response(user: &str, realm: &str, password: &str, nonce: &str, method: &str, uri: &str) -> String {
    let ha1 = md5(&format!("{user}:{realm}:{password}"));
    let ha2 = md5(&format!("{method}:{uri}"));
    md5(&format!("{ha1}:{nonce}:{ha2}"))
}

/// A whole `Authorization` value that answers the `challenge` of a `WWW-Authenticate` header.
pub fn authorization(user: &str, password: &str, challenge: &str, method: &str, uri: &str) -> String {
    let realm = parameter(challenge, "realm").unwrap_or_default();
    let nonce = parameter(challenge, "nonce").unwrap_or_default();
    let response = response(user, realm, password, nonce, method, uri);
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
    )
}

/// A parameter of a challenge or of credentials, quotes taken off.
pub fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, parameters) = header.split_once(' ')?;
    parameters
        .split(',')
        .find_map(|p| Some(p.trim().strip_prefix(name)?.strip_prefix('=')?.trim_matches('"')))
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The example of RFC 2069 section 2.4, with the response its errata gives.
#[test]
fn the_rfcs_example_comes_out() {
    let challenge = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
    let header = authorization("Mufasa", "CircleOfLife", challenge, "GET", "/dir/index.html");
    assert_eq!(parameter(&header, "response"), Some("1949323746fe6a43ef61f9606e7febea"));
}
