//! Watch links: `rtsp://relay:8554/door?token=…` lets anybody who has it watch that stream until it expires, without a
//! user and without asking anyone.
//!
//! A token is the time it expires (seconds of Unix time) and, over that and the stream's name, an HMAC-SHA256 with the
//! secret of `login.link_secret`. Another secret ends all links at once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::vocabulary::Secret;

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not a token, or of another stream, another secret, another time.
    #[error("the link is not one of ours")]
    Forged,
    /// It was one.
    #[error("the link has expired")]
    Expired,
}

/// The token for a stream, valid up to `until`.
pub fn sign(secret: &Secret, stream: &str, until: u64) -> String {
    let signature = mac(secret, stream, until).finalize().into_bytes();
    format!("{until}-{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Checks a token for a stream at the time `now`.
pub fn verify(secret: &Secret, stream: &str, token: &str, now: u64) -> Result<(), LinkError> {
    let (until, signature) = token.split_once('-').ok_or(LinkError::Forged)?;
    let until: u64 = until.parse().map_err(|_| LinkError::Forged)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkError::Forged)?;
    // In constant time. The signature first: who cannot sign learns nothing about times.
    mac(secret, stream, until).verify_slice(&signature).map_err(|_| LinkError::Forged)?;
    if now < until { Ok(()) } else { Err(LinkError::Expired) }
}

/// The token in the query of a URI.
pub fn token(query: &str) -> Option<&str> {
    query.split('&').find_map(|parameter| parameter.strip_prefix("token="))
}

fn mac(secret: &Secret, stream: &str, until: u64) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(format!("fanlight watch {until} {stream}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_its_stream_until_it_expires() {
        let secret = Secret::new("sixteen bytes ok");
        let token = sign(&secret, "door", 1000);
        assert_eq!(verify(&secret, "door", &token, 999), Ok(()));
        assert_eq!(verify(&secret, "door", &token, 1000), Err(LinkError::Expired));
        assert_eq!(verify(&secret, "yard", &token, 999), Err(LinkError::Forged));
        assert_eq!(verify(&Secret::new("another secret!!"), "door", &token, 999), Err(LinkError::Forged));
        assert!(
            token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
            "fits a URL: {token}"
        );
    }

    #[test]
    fn a_link_that_was_tampered_with_opens_nothing() {
        let secret = Secret::new("sixteen bytes ok");
        let token = sign(&secret, "door", 1000);
        let later = token.replace("1000-", "2000-");
        for forged in [later.as_str(), "", "-", "1000", "1000-", "x-y", &token[..token.len() - 1], "+1000-"] {
            assert_eq!(verify(&secret, "door", forged, 999), Err(LinkError::Forged), "{forged}");
        }
        for at in 5..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert!(verify(&secret, "door", &forged, 999).is_err(), "{forged}");
        }
    }

    #[test]
    fn a_token_is_found_among_other_parameters() {
        assert_eq!(token("token=1-a"), Some("1-a"));
        assert_eq!(token("ch=1&token=1-a&x"), Some("1-a"));
        assert_eq!(token("mytoken=1-a"), None);
    }
}
