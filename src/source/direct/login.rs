//! Logging in: which challenge to answer, and when a second 401 is worth another try.

use std::fmt;

use crate::config::Credentials;
use crate::rtsp::auth::{self, Challenge};

/// Who logs in, and the challenge being answered.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Option<Credentials>,
    challenge: Option<Challenge>,
    /// Requests signed with the nonce of `challenge`.
    count: u32,
    /// The client's own random number.
    cnonce: String,
}

/// How a request was signed, to judge a 401 that comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signature {
    /// The nonce; empty for Basic.
    nonce: String,
    rank: u8,
}

/// Why a 401 is the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody gave a user name or a password.
    NoCredentials,
    /// They are wrong.
    Wrong,
    /// No challenge we know the answer to.
    Unsupported,
    /// 401 again and again, each with a reason to go on.
    TooOften,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str("the camera asks for a user name and a password"),
            Self::Wrong => f.write_str("the camera refuses the user name or the password"),
            Self::Unsupported => {
                f.write_str("the camera asks for a login that is neither Basic nor Digest with MD5 or SHA-2")
            }
            Self::TooOften => {
                write!(f, "the camera answered 401 to {ATTEMPTS_MAX} attempts to log in (the most allowed)")
            }
        }
    }
}

impl Login {
    pub(super) fn new(credentials: Option<Credentials>, cnonce: u64) -> Self {
        Self { credentials, challenge: None, count: 0, cnonce: format!("{cnonce:016x}") }
    }

    /// The `Authorization` of a request, once the camera has said how.
    pub(super) fn sign(&mut self, method: &str, uri: &str) -> Option<(String, Signature)> {
        let Credentials { username, password } = self.credentials.as_ref()?;
        let challenge = self.challenge.as_ref()?;
        let rank = challenge.rank();
        Some(match challenge {
            Challenge::Basic => {
                (auth::basic(username, password.reveal()), Signature { nonce: String::new(), rank })
            }
            Challenge::Digest(digest) => {
                self.count += 1;
                let value =
                    digest.authorization(username, password.reveal(), method, uri, &self.cnonce, self.count);
                (value, Signature { nonce: digest.nonce.clone(), rank })
            }
        })
    }

    /// A request came back with 401: takes one of the challenges, or says why there is no point. `signed` is how the
    /// request was signed, `rejected` how many of its forms have come back before.
    ///
    /// A nonce that was good for earlier requests may have expired, with or without `stale=true` (C13, C14); one that
    /// this very request was given has not. A camera that refuses SHA-256 may do with the MD5 it offers as well (C18).
    pub(super) fn challenged<'h>(
        &mut self,
        fields: impl IntoIterator<Item = &'h str>,
        signed: Option<&Signature>,
        rejected: u8,
    ) -> Result<(), Refusal> {
        if self.credentials.is_none() {
            return Err(Refusal::NoCredentials);
        }
        if rejected + 1 >= ATTEMPTS_MAX {
            return Err(Refusal::TooOften);
        }
        let mut offered = auth::challenges(fields);
        // Of equals, the first.
        offered.sort_by_key(|challenge| std::cmp::Reverse(challenge.rank()));
        let best = offered.first().cloned().ok_or(Refusal::Unsupported)?;
        let chosen = match signed {
            None => Some(best),
            Some(signed) => {
                let renewed = |challenge: &&Challenge| match challenge {
                    Challenge::Digest(digest) => {
                        digest.nonce != signed.nonce && (digest.stale || rejected == 0)
                    }
                    Challenge::Basic => false,
                };
                let weaker = |challenge: &&Challenge| (1..signed.rank).contains(&challenge.rank());
                offered.iter().find(renewed).or_else(|| offered.iter().find(weaker)).cloned()
            }
        };
        self.challenge = Some(chosen.ok_or(Refusal::Wrong)?);
        self.count = 0;
        Ok(())
    }
}

/// A request is sent this often at most because of 401.
const ATTEMPTS_MAX: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Secret;

    fn login() -> Login {
        let credentials = Credentials { username: "ann".into(), password: Secret::new("hunter2") };
        Login::new(Some(credentials), 7)
    }

    const MD5: &str = "Digest realm=\"x\", nonce=\"1\"";

    #[test]
    fn nothing_is_said_before_the_camera_asks() {
        assert_eq!(login().sign("DESCRIBE", "rtsp://h/"), None);
    }

    #[test]
    fn digest_wins_over_basic_and_sha_256_over_md5() {
        for (fields, begin) in [
            (vec!["Basic realm=\"x\"", MD5], "Digest"),
            (vec![MD5, "Basic realm=\"x\""], "Digest"),
            (vec!["Basic realm=\"x\""], "Basic"),
        ] {
            let mut login = login();
            login.challenged(fields, None, 0).unwrap();
            assert!(login.sign("DESCRIBE", "rtsp://h/").unwrap().0.starts_with(begin));
        }
        let mut login = login();
        let both = [MD5, "Digest realm=\"x\", nonce=\"2\", algorithm=SHA-256"];
        login.challenged(both, None, 0).unwrap();
        let (value, signed) = login.sign("DESCRIBE", "rtsp://h/").unwrap();
        assert!(value.contains("SHA-256"));
        // The camera does not take it (C18): the other algorithm it offers is tried, once.
        login.challenged(both, Some(&signed), 1).unwrap();
        let (value, signed) = login.sign("DESCRIBE", "rtsp://h/").unwrap();
        assert!(!value.contains("SHA-256"));
        assert_eq!(login.challenged(both, Some(&signed), 2), Err(Refusal::Wrong));
    }

    #[test]
    fn an_expired_nonce_is_renewed_and_a_wrong_password_is_not_tried_twice() {
        let mut login = login();
        login.challenged([MD5], None, 0).unwrap();
        let (_, signed) = login.sign("DESCRIBE", "rtsp://h/").unwrap();
        let next = "Digest realm=\"x\", nonce=\"2\"";
        let stale = "Digest realm=\"x\", nonce=\"3\", stale=true";
        // This very request was given the nonce: the password is wrong, whatever new nonce comes with it.
        assert_eq!(login.challenged([next], Some(&signed), 1), Err(Refusal::Wrong));
        assert_eq!(login.challenged([MD5], Some(&signed), 0), Err(Refusal::Wrong));
        assert_eq!(login.challenged([stale], Some(&signed), 1), Ok(()));
        // A request signed with a nonce from earlier: it may have expired without a word.
        let (_, signed) = login.sign("OPTIONS", "rtsp://h/").unwrap();
        assert_eq!(login.challenged([next], Some(&signed), 0), Ok(()));
        // Stale without end.
        let (_, signed) = login.sign("OPTIONS", "rtsp://h/").unwrap();
        assert_eq!(login.challenged([stale], Some(&signed), 3), Err(Refusal::TooOften));
    }

    #[test]
    fn without_a_password_or_a_known_scheme_there_is_nothing_to_try() {
        assert_eq!(Login::new(None, 0).challenged([MD5], None, 0), Err(Refusal::NoCredentials));
        assert_eq!(login().challenged(["Negotiate"], None, 0), Err(Refusal::Unsupported));
    }

    #[test]
    fn signed_requests_are_counted_per_nonce() {
        let mut login = login();
        login.challenged(["Digest realm=\"x\", nonce=\"1\", qop=\"auth\""], None, 0).unwrap();
        for count in 1..4 {
            let (value, _) = login.sign("OPTIONS", "*").unwrap();
            assert!(value.contains(&format!("nc={count:08x}, cnonce=\"0000000000000007\"")), "{value}");
        }
    }
}
