//! The arithmetic of Digest access authentication (RFC 7616, for RTSP by RFC 2326 section 14), for either side.
//!
//! A client proves that it knows the password by a hash over it, the server's nonce, the method and the URI. With `qop`
//! the hash also covers a count of the client's requests; without (RFC 2069), which is all that GStreamer and live555
//! speak, it does not.

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

/// The hash of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RFC 7616.
    Sha256,
    /// RFC 2617; what is meant where nothing is said, and all that ffmpeg, GStreamer and live555 can do.
    Md5,
}

/// What a client counts with: the `nc` and `cnonce` parameters of `qop=auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// The count of requests with this nonce, as sent: eight hexadecimal digits.
    pub nc: &'a str,
    /// The client's own nonce.
    pub cnonce: &'a str,
}

impl Algorithm {
    /// The name as in the `algorithm` parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// The algorithm of this name, in any case. The `-sess` variants are none of ours.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Md5].into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Hexadecimal digits of a hash.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Md5 => 32,
        }
    }

    fn hash(self) -> Hash {
        match self {
            Self::Sha256 => Hash::Sha256,
            Self::Md5 => Hash::Md5,
        }
    }
}

/// A hash function: those we offer, and those that cameras ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Md5,
    Sha256,
    Sha512To256,
}

impl Hash {
    /// The hash of a text, in lower-case hexadecimal digits.
    pub(super) fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512To256 => hex(&Sha512_256::digest(text)),
        }
    }

    /// `HA1` ([`ha1`]).
    pub(super) fn secret(self, user: &str, realm: &str, password: &str) -> String {
        self.of(&format!("{user}:{realm}:{password}"))
    }

    /// The response: `counted` with the `qop` it is for, and `ha2`, the hash of what is asked for.
    pub(super) fn proof(
        self,
        ha1: &str,
        nonce: &str,
        counted: Option<(Counted<'_>, &str)>,
        ha2: &str,
    ) -> String {
        self.of(&match counted {
            Some((Counted { nc, cnonce }, qop)) => format!("{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"),
            None => format!("{ha1}:{nonce}:{ha2}"),
        })
    }
}

/// The part of a response that depends on the password (`HA1`): as good as the password itself for this realm, so it is
/// kept as secret as that.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash().secret(user, realm, password)
}

/// The `response` parameter. `uri` is the one of the `uri` parameter, whatever the request line says: live555 signs the
/// aggregate's URI when it sets up a track.
///
/// ```
/// use fanlight::rtsp::digest::{Algorithm, ha1, response};
/// let ha1 = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", "CircleOfLife");
/// // RFC 2069 section 2.4 with its errata.
/// let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
/// assert_eq!(response(Algorithm::Md5, &ha1, nonce, None, "GET", "/dir/index.html"), "1949323746fe6a43ef61f9606e7febea");
/// ```
pub fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    counted: Option<Counted<'_>>,
    method: &str,
    uri: &str,
) -> String {
    let hash = algorithm.hash();
    let ha2 = hash.of(&format!("{method}:{uri}"));
    hash.proof(ha1, nonce, counted.map(|counted| (counted, "auth")), &ha2)
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1.
    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let counted = Counted { nc: "00000001", cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ" };
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let ha1 = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
            assert_eq!(ha1.len(), algorithm.digits());
            assert_eq!(response(algorithm, &ha1, nonce, Some(counted), "GET", "/dir/index.html"), expected);
        }
    }

    #[test]
    fn an_algorithm_is_found_by_its_name_in_any_case() {
        assert_eq!(Algorithm::of("md5"), Some(Algorithm::Md5));
        assert_eq!(Algorithm::of("sha-256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::of("MD5-sess"), None);
        assert_eq!(Algorithm::of(""), None);
    }
}
