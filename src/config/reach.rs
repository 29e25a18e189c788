//! How a camera is reached, apart from its URL: by which client, over TLS with whom, through which proxy, from where.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::camera_url::Credentials;
use super::redact::percent_decode;
use crate::vocabulary::Secret;

/// Which client speaks with the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientChoice {
    /// `retina`, and the direct one for cameras that it does not get on with, or that it cannot reach.
    Auto,
    /// `retina`.
    Retina,
    /// The relay's own.
    Direct,
}

impl ClientChoice {
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("auto", Self::Auto), ("retina", Self::Retina), ("direct", Self::Direct)];
}

/// The way to a camera. Only the direct client goes other ways than the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How long a packet that overtook others on the network waits for them, over UDP.
    pub reorder_window: Duration,
    /// The one certificate that is taken over TLS; without it, what the system's authorities vouch for.
    pub tls_fingerprint: Option<Fingerprint>,
    /// Who connects for us.
    pub proxy: Option<Proxy>,
    /// The address to connect from.
    pub source_address: Option<IpAddr>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            reorder_window: Duration::from_millis(50),
            tls_fingerprint: None,
            proxy: None,
            source_address: None,
        }
    }
}

/// The SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl FromStr for Fingerprint {
    type Err = &'static str;

    /// 64 hexadecimal digits, with or without colons between the bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected the SHA-256 of a certificate: 64 hexadecimal digits";
        let digits = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).ok_or(wrong));
        let digits = digits.collect::<Result<Vec<_>, _>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
        if digits.len() == 64 { bytes.try_into().map(Self).map_err(|_| wrong) } else { Err(wrong) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A proxy on the way to a camera. Prints without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Its host, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who to log in as, if anybody.
    pub credentials: Option<Credentials>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS5 (RFC 1928).
    Socks5,
    /// HTTP CONNECT.
    Http,
}

impl FromStr for Proxy {
    type Err = &'static str;

    /// `socks5://user:password@host:1080` or `http://host:3128`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a proxy such as socks5://10.0.0.1:1080 or http://10.0.0.1:3128";
        let url = Url::parse(text).map_err(|_| wrong)?;
        let (kind, port) = match url.scheme() {
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            "http" => (ProxyKind::Http, 80),
            _ => return Err(wrong),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(wrong)?;
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (username, password) => Some(Credentials {
                username: percent_decode(username),
                password: Secret::new(percent_decode(password.unwrap_or_default())),
            }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { kind, host, port: url.port().unwrap_or(port), credentials })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.kind == ProxyKind::Socks5 { "socks5" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_prints_without_its_password() {
        let proxy: Proxy = "socks5://ann:p%40ss@[fe80::1]".parse().unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(socks5://fe80::1:1080)");
        let credentials = proxy.credentials.unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.reveal()), ("ann", "p@ss"));
        assert_eq!("http://p".parse::<Proxy>().unwrap().port, 80);
        for wrong in ["", "p:1080", "ftp://p", "socks5://", "https://p"] {
            assert!(wrong.parse::<Proxy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = "0123456789abcdef".repeat(4);
        let colons = plain.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase());
        let colons = colons.collect::<Vec<_>>().join(":");
        assert_eq!(plain.parse::<Fingerprint>().unwrap().to_string(), plain);
        assert_eq!(colons.parse::<Fingerprint>().unwrap().to_string(), plain);
        for wrong in ["", "ab", &plain[1..], &format!("{plain}0"), &plain.replace('a', "g")] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
