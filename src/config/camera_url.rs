//! The URL of a camera, apart from its credentials.
//!
//! People paste `rtsp://admin:p@ss#word@10.0.0.7/main`. By RFC 3986 that is host `ss` behind a fragment sign; here it is
//! what they meant wherever only one reading makes sense. Where two do (`rtsp://admin:12/34@host`), the RFC decides, and
//! the `username` and `password` keys of a stream, or percent-encoding, say it exactly.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::redact::{percent_decode, redact_path};
use crate::vocabulary::Secret;

/// Who to log in as.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// May be empty: some cameras know only a password.
    pub username: String,
    /// May be empty.
    pub password: Secret,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Where a camera is and who to log in as.
///
/// `Display` and `Debug` show neither credentials nor what looks like a password in path or query.
#[derive(Clone, PartialEq, Eq)]
pub struct CameraUrl {
    /// One of [`SCHEMES`], a host, no user information, no fragment.
    url: Url,
    credentials: Option<Credentials>,
}

/// Why a text is no URL of a camera. Never contains the text: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraUrlError {
    /// Not `something://…`.
    #[error("a camera's URL begins with rtsp://")]
    NoScheme,
    /// RTSP in a form this version cannot speak: `rtspu`, `rtsp+ws`, …
    #[error(
        "of RTSP, rtsp:// and rtsps:// are supported, rtspx:// (any certificate), rtsp+http:// and rtsp+https://"
    )]
    LaterScheme,
    /// `http://` and the like.
    #[error("only rtsp:// and rtsps:// are supported")]
    OtherScheme,
    /// `rtsp:///path`.
    #[error("the URL has no host")]
    NoHost,
    /// `rtsp://host/path#something`; go2rtc keeps options there.
    #[error("`#…` is not part of a camera's URL (options are keys of the stream; in a path write %23)")]
    Fragment,
    /// The host cannot be one.
    #[error("the host of the URL is not valid")]
    Host,
    /// Neither absent nor 1 to 65535.
    #[error("the port of the URL is not valid (or an IPv6 address is not in brackets)")]
    Port,
    /// Above [`CameraUrl::MAX`] bytes.
    #[error("the URL is longer than {} bytes", CameraUrl::MAX)]
    TooLong,
}

impl CameraUrl {
    /// Longest accepted URL, in bytes.
    pub const MAX: usize = 4096;

    /// The URL to send to the camera, without credentials. Not for printing: it may hold a password as a parameter.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it is RTSP over TCP and nothing else, which every client speaks: no TLS, no tunnel.
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "rtsp"
    }

    /// Who to log in as, if anybody: from the stream's keys, else from the URL.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Puts what is given in place of the URL's own user name and password.
    pub(super) fn override_credentials(&mut self, username: Option<&String>, password: Option<&Secret>) {
        if username.is_none() && password.is_none() {
            return;
        }
        let own = self.credentials.take().unwrap_or_else(|| credentials(""));
        self.credentials = Some(Credentials {
            username: username.cloned().unwrap_or(own.username),
            password: password.cloned().unwrap_or(own.password),
        });
    }
}

/// Plain, over TLS (verified, or with any certificate), and over HTTP with and without TLS; the last in two spellings.
const SCHEMES: [&str; 6] = ["rtsp", "rtsps", "rtspx", "rtsp+http", "rtsp+https", "rtsps+http"];

impl FromStr for CameraUrl {
    type Err = CameraUrlError;

    fn from_str(text: &str) -> Result<Self, CameraUrlError> {
        let text = text.trim();
        if text.len() > Self::MAX {
            return Err(CameraUrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(CameraUrlError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            let later = scheme.starts_with("rtsp");
            return Err(if later { CameraUrlError::LaterScheme } else { CameraUrlError::OtherScheme });
        }
        let (user, address) = split_user(rest);
        let url = Url::parse(&format!("{scheme}://{address}")).map_err(|error| match error {
            url::ParseError::InvalidPort => CameraUrlError::Port,
            url::ParseError::EmptyHost => CameraUrlError::NoHost,
            _ => CameraUrlError::Host,
        })?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(CameraUrlError::NoHost);
        }
        if url.port() == Some(0) {
            return Err(CameraUrlError::Port);
        }
        if url.fragment().is_some() {
            return Err(CameraUrlError::Fragment);
        }
        Ok(Self { url, credentials: user.map(credentials) })
    }
}

fn credentials(user: &str) -> Credentials {
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    Credentials { username: percent_decode(username), password: Secret::new(percent_decode(password)) }
}

/// Splits what follows `rtsp://` into the user information, if any, and the rest.
fn split_user(rest: &str) -> (Option<&str>, &str) {
    // A `#` ends nothing here: RTSP has no fragments, so before an `@` it belongs to a password.
    let authority_end = |from: usize| rest[from..].find(['/', '?']).map_or(rest.len(), |n| from + n);
    let authority = &rest[..authority_end(0)];
    let at = authority.rfind('@').or_else(|| {
        // No user before the path. But `admin:pa/ss@host` is no host with a port either.
        let first = rest.find('@').filter(|_| !is_host_and_port(authority))?;
        rest[..authority_end(first)].rfind('@')
    });
    match at {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    }
}

fn is_host_and_port(authority: &str) -> bool {
    match authority.rsplit_once(':') {
        _ if authority.starts_with('[') => true,
        Some((_, port)) => port.parse::<u16>().is_ok(),
        None => true,
    }
}

impl fmt::Display for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.credentials.is_some() { "***@" } else { "" };
        let (scheme, address) = self.url.as_str().split_once("://").unwrap_or_default();
        write!(f, "{scheme}://{user}{}", redact_path(address))
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (String, Option<(String, String)>) {
        let url: CameraUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let user = url.credentials().map(|c| (c.username.clone(), c.password.reveal().to_owned()));
        (url.url().to_string(), user)
    }

    fn user(name: &str, password: &str) -> Option<(String, String)> {
        Some((name.into(), password.into()))
    }

    #[test]
    fn credentials_are_split_off() {
        assert_eq!(parts("rtsp://10.0.0.7/main"), ("rtsp://10.0.0.7/main".into(), None));
        assert_eq!(
            parts("RTSP://ann:pw@cam:8554/a?b=c"),
            ("rtsp://cam:8554/a?b=c".into(), user("ann", "pw"))
        );
        assert_eq!(parts("rtsp://ann@cam"), ("rtsp://cam".into(), user("ann", "")));
        assert_eq!(parts("rtsp://:pw@[fe80::1]:554/"), ("rtsp://[fe80::1]:554/".into(), user("", "pw")));
        assert_eq!(parts("rtsp://a:b:c@cam/"), ("rtsp://cam/".into(), user("a", "b:c")));
    }

    #[test]
    fn percent_encoding_is_undone_leniently() {
        assert_eq!(parts("rtsp://a%40b:p%40ss%2Fw@cam/").1, user("a@b", "p@ss/w"));
        assert_eq!(parts("rtsp://ann:100%@cam/").1, user("ann", "100%"));
        assert_eq!(parts("rtsp://ann:%zz%4@cam/").1, user("ann", "%zz%4"));
        assert_eq!(parts("rtsp://ann:a+b@cam/").1, user("ann", "a+b"), "a plus is no space");
        assert_eq!(parts("rtsp://ann:%ff@cam/").1, user("ann", "%ff"), "not UTF-8: as written");
    }

    #[test]
    fn special_characters_in_a_password_are_understood_as_meant() {
        // go2rtc#1032, #1208, frigate#1431: what people paste.
        for (password, rest) in [
            ("p@ss#word", "cam/main"),
            ("p#w", "cam/main"),
            ("#", "cam"),
            ("pa/ss", "cam/main"),
            ("pa?ss", "cam:554/main?x=1"),
            ("/@x", "cam/main"),
            ("a/b@c", "cam/main"),
            ("99999/x", "cam/"),
            ("p@ss:w@rd", "cam/user@x"),
        ] {
            let text = format!("rtsp://admin:{password}@{rest}");
            assert_eq!(parts(&text), (format!("rtsp://{rest}"), user("admin", password)), "{text}");
        }
    }

    #[test]
    fn an_at_sign_in_the_path_is_no_user() {
        for text in ["rtsp://cam/a@b", "rtsp://cam:554/a@b?c=d@e", "rtsp://[::1]:554/x@y", "rtsp://cam?x@y"] {
            assert_eq!(parts(text), (text.into(), None));
        }
    }

    #[test]
    fn what_is_no_camera_url_is_refused_with_the_reason() {
        for (text, error) in [
            ("", CameraUrlError::NoScheme),
            ("10.0.0.7/main", CameraUrlError::NoScheme),
            ("rtspu://cam/", CameraUrlError::LaterScheme),
            ("rtsp+ws://cam/", CameraUrlError::LaterScheme),
            ("rtsps:///main", CameraUrlError::NoHost),
            ("http://cam/", CameraUrlError::OtherScheme),
            ("rtsp://", CameraUrlError::NoHost),
            ("rtsp:///main", CameraUrlError::NoHost),
            ("rtsp://u:p@/main", CameraUrlError::NoHost),
            ("rtsp://cam:99999/", CameraUrlError::Port),
            ("rtsp://cam:0/", CameraUrlError::Port),
            ("rtsp://admin:pw", CameraUrlError::Port),
            ("rtsp://fe80::1/main", CameraUrlError::Port),
            ("rtsp://[::1/main", CameraUrlError::Host),
            ("rtsp://ca m/", CameraUrlError::Host),
            ("rtsp://cam/main#transport=tcp", CameraUrlError::Fragment),
        ] {
            assert_eq!(text.parse::<CameraUrl>().map(|_| ()), Err(error), "{text}");
        }
        let long = format!("rtsp://cam/{}", "x".repeat(CameraUrl::MAX));
        assert_eq!(long.parse::<CameraUrl>(), Err(CameraUrlError::TooLong));
    }

    #[test]
    fn tls_and_tunnels_have_schemes_of_their_own() {
        for scheme in SCHEMES {
            let url: CameraUrl = format!("{}://ann:p@ss@cam:8554/x", scheme.to_uppercase()).parse().unwrap();
            assert_eq!(url.url().as_str(), format!("{scheme}://cam:8554/x"));
            assert_eq!(url.to_string(), format!("{scheme}://***@cam:8554/x"));
            assert_eq!(url.credentials().unwrap().password.reveal(), "p@ss");
            assert_eq!(url.is_plain(), scheme == "rtsp");
        }
    }

    #[test]
    fn printing_shows_no_secret() {
        let text = "rtsp://admin:hunter2@cam/user=x&password=hunter2&channel=1?token=hunter2";
        let url: CameraUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), "rtsp://***@cam/user=x&password=***&channel=1?token=***");
        assert!(!format!("{url:?} {:?}", url.credentials()).contains("hunter2"));
        assert_eq!("rtsp://cam/main".parse::<CameraUrl>().unwrap().to_string(), "rtsp://cam/main");
    }

    #[test]
    fn given_credentials_win_over_those_of_the_url() {
        let mut url: CameraUrl = "rtsp://ann:old@cam/".parse().unwrap();
        url.override_credentials(None, Some(&Secret::new("new")));
        let credentials = url.credentials().unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.reveal()), ("ann", "new"));
        let mut url: CameraUrl = "rtsp://cam/".parse().unwrap();
        url.override_credentials(None, None);
        assert_eq!(url.credentials(), None);
    }

    proptest! {
        #[test]
        fn any_password_arrives_when_it_is_percent_encoded(name in "\\PC{0,8}", password in "\\PC{0,12}") {
            let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
            let text = format!("rtsp://{}:{}@cam:8554/main", encode(&name), encode(&password));
            prop_assert_eq!(parts(&text), ("rtsp://cam:8554/main".into(), user(&name, &password)));
        }

        #[test]
        fn any_password_without_slash_or_question_mark_arrives_as_typed(password in "[ -$&-.0-9:-=@-~]{0,12}") {
            let text = format!("rtsp://admin:{password}@cam/main");
            prop_assert_eq!(parts(&text), ("rtsp://cam/main".into(), user("admin", &password)));
        }

        #[test]
        fn no_text_panics_and_no_user_stays_in_the_url(text in "(rtsp://)?[a:@/?#%\\[\\]0 é]{0,16}") {
            if let Ok(url) = text.parse::<CameraUrl>() {
                prop_assert_eq!(url.url().username(), "");
                prop_assert_eq!(url.url().password(), None);
                let _ = url.to_string();
            }
        }
    }
}
