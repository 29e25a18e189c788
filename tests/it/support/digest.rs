//! Digest access authentication: MD5 without `qop` (RFC 2069), which cameras ask for and most RTSP clients answer, and
//! the newer form with a count.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

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

/// As [`authorization`], with the count of `qop=auth` and in the algorithm of the challenge (RFC 7616).
pub fn counted(user: &str, password: &str, challenge: &str, method: &str, uri: &str, count: u32) -> String {
    let realm = parameter(challenge, "realm").unwrap_or_default();
    let nonce = parameter(challenge, "nonce").unwrap_or_default();
    let algorithm = parameter(challenge, "algorithm").unwrap_or("MD5");
    let hash = if algorithm == "SHA-256" { sha256 } else { md5 };
    let (ha1, ha2) = (hash(&format!("{user}:{realm}:{password}")), hash(&format!("{method}:{uri}")));
    let response = hash(&format!("{ha1}:{nonce}:{count:08x}:cn:auth:{ha2}"));
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={algorithm}, \
         qop=auth, nc={count:08x}, cnonce=\"cn\", response=\"{response}\""
    )
}

fn md5(text: &str) -> String {
    hex(&Md5::digest(text))
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
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
