//! TLS towards viewers and browsers: the certificate, and what new connections are answered with.
//!
//! [`Identity`] is a certificate with its key, read from files; [`Certificates`] is the one in force. Putting another one in
//! force touches no connection that is open. TLS 1.2 and 1.3 only, with the suites that rustls has: all of them have forward
//! secrecy and authenticate what they encrypt.

mod identity;
mod validity;

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, Error, ServerConfig};

pub use identity::{Identity, IdentityError};
pub(crate) use validity::end;

/// The certificate that new connections are shown, and how they are encrypted.
#[derive(Debug)]
pub struct Certificates {
    /// Locked for a moment for each new connection.
    current: RwLock<Arc<ServerConfig>>,
}

impl Certificates {
    /// Begins with `identity`.
    ///
    /// # Errors
    /// The crypto provider has no suites for TLS 1.2 and 1.3: a fault of this build.
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        Ok(Self { current: RwLock::new(config(identity)?) })
    }

    /// Shows `identity` to every connection from now on. Sessions of the certificate before are not resumed.
    ///
    /// # Errors
    /// As for [`Certificates::new`]; the one in force stays.
    pub fn replace(&self, identity: &Identity) -> Result<(), Error> {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config(identity)?;
        Ok(())
    }

    /// Shakes hands with one new connection. It has no time limit of its own.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let mut provider = provider();
    // The clients' order would give TLS 1.2 AES-GCM, whose keys are good for 2^23 records, about a day of a camera, and are not
    // changed without an end; those of TLS 1.3 are (RFC 8446 section 5.5). ChaCha20 has no such limit.
    Arc::make_mut(&mut provider).cipher_suites.sort_by_key(|suite| !FIRST.contains(&suite.suite()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity.certified()))));
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// The suites that are taken where a client has them: the quickest of TLS 1.3, and those of TLS 1.2 that last.
const FIRST: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// DER as PEM (RFC 7468): what files of certificates and keys hold.
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let digits = STANDARD.encode(der);
    for line in digits.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
