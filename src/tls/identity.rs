//! A certificate with its key, as the files of an operator have them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{provider, validity};

/// A chain of certificates, the relay's own first, and the key that belongs to it. `Debug` shows no key; two are equal when
/// their chains are.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    expires: Option<SystemTime>,
}

/// Why two files are no certificate with its key. The text names neither file: the keys of the configuration do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate's file cannot be read.
    #[error("cannot be read: {0}")]
    CertificateFile(io::Error),
    /// The key's file cannot be read.
    #[error("cannot be read: {0}")]
    KeyFile(io::Error),
    /// There is no certificate in PEM.
    #[error("has no certificate in PEM (-----BEGIN CERTIFICATE-----): {0}")]
    NoCertificate(Box<str>),
    /// There is no key in PEM, or it is encrypted.
    #[error("has no private key in PEM that could be used (PKCS#8, PKCS#1 or SEC1, not encrypted): {0}")]
    NoKey(Box<str>),
    /// Neither RSA, ECDSA nor Ed25519, or the key of another certificate.
    #[error("does not fit the certificate: {0}")]
    Mismatch(TlsError),
}

impl Identity {
    /// Reads a chain (PEM, the relay's own certificate first) and its key (PEM: PKCS#8, PKCS#1 or SEC1). That the
    /// certificate has expired is no error: [`Identity::expires`] tells.
    ///
    /// # Errors
    /// A file cannot be read, holds something else, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = read(certificate).map_err(IdentityError::CertificateFile)?;
        let key = read(key).map_err(IdentityError::KeyFile)?;
        Self::from_pem(&chain, &key)
    }

    /// The same from text.
    ///
    /// # Errors
    /// As for [`Identity::load`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let no_certificate = |error: pem::Error| IdentityError::NoCertificate(error.to_string().into());
        let chain =
            CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(no_certificate)?;
        if chain.is_empty() {
            return Err(no_certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| IdentityError::NoKey(error.to_string().into()))?;
        let expires = validity::end(&chain[0]);
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(IdentityError::Mismatch)?;
        Ok(Self { certified: Arc::new(certified), expires })
    }

    /// The SHA-256 of the relay's own certificate in DER: what `tls_fingerprint` of another relay takes.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.certified.cert.first().map(|own| Sha256::digest(own).into()).unwrap_or_default()
    }

    /// When the relay's own certificate expires, where that can be read.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Nothing that blocks, and nothing without an end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// Bytes of a file; a chain of four RSA certificates has some 8 KiB.
const MAX_FILE: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../tests/data/config/credentials/relay.crt");
    const KEY: &str = include_str!("../../tests/data/config/credentials/relay.key");

    fn error(chain: &str, key: &str) -> String {
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_certificate_and_its_key_are_an_identity_that_shows_no_key() {
        let identity = Identity::from_pem(CERTIFICATE.as_bytes(), KEY.as_bytes()).unwrap();
        assert_eq!(identity, identity.clone());
        assert_ne!(identity.fingerprint(), [0; 32]);
        assert!(identity.expires().is_some());
        let shown = format!("{identity:?}");
        assert!(shown.starts_with("Identity { expires: Some(") && shown.len() < 120, "{shown}");
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_words() {
        assert!(error("", KEY).contains("no certificate in PEM"), "{}", error("", KEY));
        assert!(error(KEY, KEY).contains("no certificate in PEM"), "{}", error(KEY, KEY));
        assert!(error(CERTIFICATE, "").contains("no private key"), "{}", error(CERTIFICATE, ""));
        let other = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let foreign = crate::tls::pem("PRIVATE KEY", &other.signing_key.serialize_der());
        assert!(error(CERTIFICATE, &foreign).contains("does not fit"), "{}", error(CERTIFICATE, &foreign));
        let broken = CERTIFICATE.replacen("MII", "AAA", 1);
        assert!(error(&broken, KEY).contains("does not fit"), "{}", error(&broken, KEY));
    }

    #[test]
    fn what_is_no_file_or_has_no_end_is_not_read() {
        let load = |path: &str| Identity::load(Path::new(path), Path::new(path)).unwrap_err().to_string();
        assert!(load("/dev/zero").contains("not a file"));
        assert!(load("/nowhere/relay.crt").contains("cannot be read"));
        assert!(load(".").contains("not a file"));
    }
}
