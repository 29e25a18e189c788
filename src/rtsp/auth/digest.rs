//! Digest: the response to a challenge.

use std::fmt::Write as _;

use crate::rtsp::digest::{Counted, Hash};

/// A Digest challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    /// Whose password is asked for; possibly empty.
    pub realm: String,
    /// The server's number, used until it says otherwise.
    pub nonce: String,
    /// To be sent back as it is, empty or not.
    pub opaque: Option<String>,
    /// How to hash.
    pub algorithm: Algorithm,
    /// The algorithm as the server spelt it; sent back only then.
    pub algorithm_named: Option<String>,
    /// What else is protected; `None` for the form of RFC 2069.
    pub qop: Option<Qop>,
    /// The answer was right, the nonce too old: try again with this one.
    pub stale: bool,
}

/// The hash functions of RFC 7616.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`, also if none is named.
    Md5,
    /// `MD5-sess`.
    Md5Session,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Session,
    /// `SHA-512-256`.
    Sha512To256,
}

/// The quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// Method and URI.
    Auth,
    /// The body as well; ours are empty.
    AuthInt,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        Some(match name.as_str() {
            "md5" => Self::Md5,
            "md5-sess" => Self::Md5Session,
            "sha-256" | "sha256" => Self::Sha256,
            "sha-256-sess" => Self::Sha256Session,
            "sha-512-256" => Self::Sha512To256,
            _ => return None,
        })
    }

    fn hash(self) -> Hash {
        match self {
            Self::Md5 | Self::Md5Session => Hash::Md5,
            Self::Sha256 | Self::Sha256Session => Hash::Sha256,
            Self::Sha512To256 => Hash::Sha512To256,
        }
    }

    fn is_session(self) -> bool {
        matches!(self, Self::Md5Session | Self::Sha256Session)
    }
}

impl Qop {
    /// The one to use of a list; `None` if there is none we know.
    pub(super) fn of(list: &str) -> Option<Self> {
        let has = |name: &str| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(name));
        if has("auth") { Some(Self::Auth) } else { has("auth-int").then_some(Self::AuthInt) }
    }
}

impl DigestChallenge {
    /// The `Authorization` value for a request without a body. `cnonce` is the client's own random number, `count` the
    /// number of requests signed with this nonce, this one included; both only matter with a [`Qop`] or a session
    /// algorithm.
    pub fn authorization(
        &self,
        username: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
        count: u32,
    ) -> String {
        let Self { realm, nonce, algorithm, .. } = self;
        let (hash, nc) = (algorithm.hash(), format!("{count:08x}"));
        let mut secret = hash.secret(username, realm, password);
        if algorithm.is_session() {
            secret = hash.of(&format!("{secret}:{nonce}:{cnonce}"));
        }
        let request = match self.qop {
            Some(Qop::AuthInt) => hash.of(&format!("{method}:{uri}:{}", hash.of(""))),
            Some(Qop::Auth) | None => hash.of(&format!("{method}:{uri}")),
        };
        let qop = self.qop.map(|qop| if qop == Qop::Auth { "auth" } else { "auth-int" });
        let response =
            hash.proof(&secret, nonce, qop.map(|qop| (Counted { nc: &nc, cnonce }, qop)), &request);
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\"",
            escaped(username),
            escaped(realm),
        );
        let mut add = |text: std::fmt::Arguments<'_>| {
            // Writing to a `String` cannot fail.
            let _ = value.write_fmt(text);
        };
        if let Some(name) = &self.algorithm_named {
            add(format_args!(", algorithm={name}"));
        }
        if let Some(opaque) = &self.opaque {
            add(format_args!(", opaque=\"{}\"", escaped(opaque)));
        }
        match qop {
            Some(qop) => add(format_args!(", qop={qop}, nc={nc}, cnonce=\"{cnonce}\"")),
            None if algorithm.is_session() => add(format_args!(", cnonce=\"{cnonce}\"")),
            None => {}
        }
        value
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::super::{Challenge, challenges};
    use super::*;

    fn digest(field: &str) -> DigestChallenge {
        match challenges([field]).remove(0) {
            Challenge::Digest(digest) => digest,
            Challenge::Basic => panic!("{field}"),
        }
    }

    fn response(value: &str) -> &str {
        value.split("response=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
    }

    #[test]
    fn the_answers_of_the_rfcs_come_out() {
        // RFC 2617 section 3.5, RFC 7616 section 3.9.1 (both algorithms).
        let rfc2617 = digest(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let value =
            rfc2617.authorization("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b", 1);
        assert_eq!(response(&value), "6629fae49393a05397450978507c4ef1");
        assert!(value.ends_with(
            ", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", qop=auth, nc=00000001, cnonce=\"0a4f113b\""
        ));
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let rfc7616 = digest(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ));
            let value = rfc7616.authorization(
                "Mufasa",
                "Circle of Life",
                "GET",
                "/dir/index.html",
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                1,
            );
            assert_eq!(response(&value), expected);
            assert!(value.contains(&format!(", algorithm={algorithm}, ")));
        }
    }

    #[test]
    fn without_qop_the_old_form_is_used() {
        // The example of RFC 2069 section 2.4, with the response its errata gives.
        let value =
            digest("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"")
                .authorization("Mufasa", "CircleOfLife", "GET", "/dir/index.html", "unused", 1);
        assert_eq!(response(&value), "1949323746fe6a43ef61f9606e7febea");
        assert!(!value.contains("cnonce") && !value.contains("algorithm") && !value.contains("opaque"));
    }

    #[test]
    fn a_quote_in_a_name_cannot_end_it() {
        let value = digest("Digest realm=\"a\\\"b\", nonce=\"1\"").authorization(
            "x\"y",
            "p",
            "PLAY",
            "rtsp://h/",
            "c",
            1,
        );
        assert!(value.starts_with("Digest username=\"x\\\"y\", realm=\"a\\\"b\", nonce=\"1\""), "{value}");
    }
}
