//! The `Authorization` header: Basic and Digest (RFC 7616, RFC 7617, RFC 2326 section 14).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::digest::{Algorithm, Counted, response};
use crate::vocabulary::Secret;

/// What a client says to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The password itself.
    Basic {
        /// Possibly empty: a Java client sends `:` (mediamtx#1761).
        user: String,
        /// The password.
        password: Secret,
    },
    /// The proof of one.
    Digest(Proof),
}

/// The parameters of a Digest answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Who it claims to be.
    pub user: String,
    /// The realm, as the client understood it.
    pub realm: String,
    /// The nonce it was given.
    pub nonce: String,
    /// The URI that the hash covers.
    pub uri: String,
    /// MD5 where the client does not say: live555 and go2rtc never do.
    pub algorithm: Algorithm,
    /// The count of the client, `None` without `qop`.
    pub count: Option<Count>,
    response: String,
}

/// The count of `qop=auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many requests the client has sent with this nonce.
    pub number: u32,
    nc: String,
    cnonce: String,
}

/// Why an `Authorization` header is of no use. Never contains the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// Neither Basic nor Digest.
    #[error("the scheme of the credentials is neither basic nor digest")]
    Scheme,
    /// Basic without base64, UTF-8 or a colon in it.
    #[error("the basic credentials are malformed")]
    Basic,
    /// A Digest parameter that is no `name=value`, or one that is too many.
    #[error("the digest credentials are malformed")]
    Digest,
    /// This Digest parameter is not there.
    #[error("the digest credentials lack `{0}`")]
    Missing(&'static str),
    /// Neither MD5 nor SHA-256.
    #[error("the algorithm of the digest credentials is not offered")]
    Algorithm,
    /// Not `auth`.
    #[error("the quality of protection of the digest credentials is not offered")]
    Qop,
}

impl Authorization {
    /// Reads the value of an `Authorization` header.
    pub fn parse(header: &str) -> Result<Self, AuthorizationError> {
        let header = header.trim();
        let (scheme, rest) = header.split_once([' ', '\t']).ok_or(AuthorizationError::Scheme)?;
        if scheme.eq_ignore_ascii_case("Basic") {
            basic(rest.trim()).ok_or(AuthorizationError::Basic)
        } else if scheme.eq_ignore_ascii_case("Digest") {
            digest(rest).map(Self::Digest)
        } else {
            Err(AuthorizationError::Scheme)
        }
    }

    /// Who it claims to be.
    pub fn user(&self) -> &str {
        match self {
            Self::Basic { user, .. } | Self::Digest(Proof { user, .. }) => user,
        }
    }
}

impl Proof {
    /// The response that the holder of the password behind `ha1` would have given to this; to be compared with
    /// [`Proof::response`] in constant time.
    pub fn expected(&self, ha1: &str, method: &str) -> String {
        let counted = self.count.as_ref().map(|count| Counted { nc: &count.nc, cnonce: &count.cnonce });
        response(self.algorithm, ha1, &self.nonce, counted, method, &self.uri)
    }

    /// The response that was given, in lower case.
    pub fn response(&self) -> &str {
        &self.response
    }
}

fn basic(encoded: &str) -> Option<Authorization> {
    let bytes = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Authorization::Basic { user: user.to_owned(), password: Secret::new(password) })
}

fn digest(text: &str) -> Result<Proof, AuthorizationError> {
    let parameters = parameters(text).ok_or(AuthorizationError::Digest)?;
    let find = |name: &str| {
        parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let need = |name| find(name).ok_or(AuthorizationError::Missing(name));
    let algorithm = match find("algorithm") {
        None | Some("") => Algorithm::Md5,
        Some(name) => Algorithm::of(name).ok_or(AuthorizationError::Algorithm)?,
    };
    let count = match find("qop") {
        None | Some("") => None,
        Some(qop) if qop.eq_ignore_ascii_case("auth") => {
            let nc = need("nc")?;
            let is_count = nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u32::from_str_radix(nc, 16).ok().filter(|_| is_count);
            Some(Count {
                number: number.ok_or(AuthorizationError::Digest)?,
                nc: nc.to_owned(),
                cnonce: need("cnonce")?.to_owned(),
            })
        }
        Some(_) => return Err(AuthorizationError::Qop),
    };
    Ok(Proof {
        user: need("username")?.to_owned(),
        realm: need("realm")?.to_owned(),
        nonce: need("nonce")?.to_owned(),
        uri: need("uri")?.to_owned(),
        response: need("response")?.to_ascii_lowercase(),
        algorithm,
        count,
    })
}

/// `name=value, name="value"` as pairs, in order. `None` for anything else, and for more than [`MAX_PARAMETERS`].
fn parameters(text: &str) -> Option<Vec<(&str, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(SEPARATORS);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = after.split_at(after.find(',').unwrap_or(after.len()));
                (value.trim_end().to_owned(), after)
            }
        };
        // Between two parameters stands a comma; some leave it out after a quote.
        found.push((name.trim_end(), value));
        if found.len() > MAX_PARAMETERS {
            return None;
        }
        rest = after.trim_start_matches(SEPARATORS);
    }
    Some(found)
}

/// The text up to the closing quote, with `\"` and `\\` undone, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

const SEPARATORS: [char; 3] = [' ', '\t', ','];

/// RFC 7616 knows twelve.
const MAX_PARAMETERS: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::digest::ha1;
    use super::*;

    fn proof(header: &str) -> Result<Proof, AuthorizationError> {
        match Authorization::parse(header)? {
            Authorization::Digest(proof) => Ok(proof),
            Authorization::Basic { .. } => panic!("{header} is read as basic"),
        }
    }

    /// From `client-traces`: ffmpeg 5.1 and openRTSP logging in as `u` with password `p`.
    #[test]
    fn what_players_send_is_proven_right() {
        let ha1 = ha1(Algorithm::Md5, "u", "cam", "p");
        for (method, header) in [
            (
                "DESCRIBE",
                r#"Digest username="u", realm="cam", nonce="abcdef0123456789", uri="rtsp://127.0.0.1:38997/cam", response="77274b80f835ef3b2ebd7fd011a22703""#,
            ),
            // live555 signs the aggregate's URI when it sets up a track.
            (
                "SETUP",
                r#"Digest username="u", realm="cam", nonce="abcdef0123456789", uri="rtsp://127.0.0.1:34144/cam/", response="db81ae5ac414f0ce76b8e9fd95fcc9fa""#,
            ),
        ] {
            let proof = proof(header).unwrap();
            assert_eq!(proof.expected(&ha1, method), proof.response(), "{header}");
            assert_ne!(proof.expected(&ha1, "PLAY"), proof.response(), "another method");
        }
    }

    #[test]
    fn every_spelling_of_a_proof_is_read() {
        let header = "DIGEST Username=\"a\\\"\\\\b, c\",realm=r ,nonce = \"n\" uri=\"/x\", RESPONSE=\"ABCD\", \
                      algorithm=sha-256, qop=auth, nc=0000000A, cnonce=\"\", opaque=\"\",";
        let proof = proof(header).unwrap();
        assert_eq!((proof.user.as_str(), proof.realm.as_str()), ("a\"\\b, c", "r"));
        assert_eq!((proof.nonce.as_str(), proof.uri.as_str(), proof.response()), ("n", "/x", "abcd"));
        assert_eq!((proof.algorithm, proof.count.unwrap().number), (Algorithm::Sha256, 10));
    }

    #[test]
    fn a_proof_that_is_not_whole_is_refused_by_name() {
        let whole = "username=\"a\", realm=\"r\", nonce=\"n\", uri=\"/x\", response=\"0\"";
        assert!(proof(&format!("Digest {whole}")).is_ok());
        for name in ["username", "realm", "nonce", "uri", "response"] {
            let header = format!("Digest {}", whole.replace(name, "other"));
            assert_eq!(proof(&header), Err(AuthorizationError::Missing(name)));
        }
        for (more, error) in [
            ("algorithm=MD5-sess", AuthorizationError::Algorithm),
            ("qop=auth-int", AuthorizationError::Qop),
            ("qop=auth", AuthorizationError::Missing("nc")),
            ("qop=auth, nc=1, cnonce=x", AuthorizationError::Digest),
            ("qop=auth, nc=+0000001, cnonce=x", AuthorizationError::Digest),
            ("qop=auth, nc=00000001", AuthorizationError::Missing("cnonce")),
            ("opaque=\"never closed", AuthorizationError::Digest),
            ("nothing", AuthorizationError::Digest),
        ] {
            assert_eq!(proof(&format!("Digest {whole}, {more}")), Err(error), "{more}");
        }
        assert_eq!(proof(&format!("Digest {}", "a=b,".repeat(21))), Err(AuthorizationError::Digest));
    }

    #[test]
    fn basic_credentials_may_hold_any_text_and_do_not_print() {
        // Frank:a:b€ and a Java client's `:`.
        let basic = Authorization::parse("basic RnJhbms6YTpi4oKs").unwrap();
        assert_eq!(basic, Authorization::Basic { user: "Frank".into(), password: Secret::new("a:b€") });
        assert_eq!(format!("{basic:?}"), "Basic { user: \"Frank\", password: *** }");
        assert_eq!(Authorization::parse("Basic Og==").unwrap().user(), "");
        assert_eq!(Authorization::parse("Basic Og").unwrap().user(), "", "without padding");
        for header in ["Basic", "Basic ", "Basic !", "Basic YQ==", "Basic /w==", "Bearer x", "", "Basic\0"] {
            assert!(Authorization::parse(header).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(Digest|Basic) ([a-z]{1,3}[ ,=\"\\\\]|\\PC){0,24}") {
            let _ = Authorization::parse(&text);
        }

        #[test]
        fn a_quoted_value_is_read_back(value in "\\PC{0,16}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("a=\"{quoted}\", b=c");
            prop_assert_eq!(parameters(&text).unwrap(), vec![("a", value), ("b", "c".to_owned())]);
        }
    }
}
