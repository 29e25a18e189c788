//! `WWW-Authenticate` and `Authorization`, as a client reads and writes them: Digest (RFC 2069, RFC 2617, RFC 7616)
//! and Basic (RFC 7617).
//!
//! Cameras send one header for each scheme, or all of them in one (TP-Link, Hikvision), quote what needs no quotes and
//! the other way round. A challenge that cannot be answered is left out, so that the others count.

mod digest;
mod read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use digest::{Algorithm, DigestChallenge, Qop};
pub use read::challenges;

/// One way the camera offers to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The password as it is, encoded.
    Basic,
    /// A proof that the password is known.
    Digest(DigestChallenge),
}

impl Challenge {
    /// How much it is to be preferred: a higher rank is safer.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Basic => 0,
            Self::Digest(challenge) => match challenge.algorithm {
                Algorithm::Md5 | Algorithm::Md5Session => 1,
                Algorithm::Sha256 | Algorithm::Sha256Session => 2,
                Algorithm::Sha512To256 => 3,
            },
        }
    }
}

/// The `Authorization` value of Basic.
pub fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{username}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_the_pair_in_base64() {
        // RFC 7617 section 2.
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn the_safest_challenge_has_the_highest_rank() {
        let text = "Basic realm=\"x\", Digest realm=\"x\", nonce=\"1\", Digest realm=\"x\", nonce=\"1\", algorithm=SHA-256";
        let ranks: Vec<u8> = challenges([text]).iter().map(Challenge::rank).collect();
        assert_eq!(ranks, [0, 1, 2]);
    }
}
