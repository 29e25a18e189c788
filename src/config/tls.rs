//! The certificate of the relay itself.

use std::path::PathBuf;

use super::Config;
use super::reader::{Key, Value};
use super::rtsps_listen;
use crate::tls::{Identity, IdentityError};

/// The certificate that `rtsp.tls_listen` and `http.tls_listen` show.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The file of the certificate and those that vouch for it, in PEM.
    pub certificate: PathBuf,
    /// The file of its key, in PEM.
    pub key: PathBuf,
    /// What the files held when they were read.
    pub identity: Identity,
}

/// The two files on their way, each as a problem may show it beside.
#[derive(Default)]
pub(super) struct Draft {
    certificate: Option<(PathBuf, String)>,
    key: Option<(PathBuf, String)>,
}

/// Keys of `tls`.
pub(super) const TLS_KEYS: &[Key<Draft>] = &[
    Key { name: "certificate", read: |draft, value| value.read(&mut draft.certificate, file) },
    Key { name: "key", read: |draft, value| value.read(&mut draft.key, file) },
];

/// Reads the files, so that a certificate that cannot be used is a mistake like any other. With one there is RTSPS.
pub(super) fn read_tls(config: &mut Config, value: &Value<'_>) {
    let mut draft = Draft::default();
    value.read_section(&[TLS_KEYS], &mut draft);
    for key in TLS_KEYS.iter().filter(|key| !value.has(key.name)) {
        value.problem_at(
            key.name,
            "is needed: the path of a file in PEM (`fanlight self-signed` makes one for tests)",
        );
    }
    let (Some(certificate), Some(key)) = (draft.certificate, draft.key) else { return };
    match Identity::load(&certificate.0, &key.0) {
        Ok(identity) => {
            config.rtsp.tls_listen = Some(rtsps_listen());
            config.tls = Some(Tls { certificate: certificate.0, key: key.0, identity });
        }
        Err(error) => {
            let (name, file) = match error {
                IdentityError::CertificateFile(_) | IdentityError::NoCertificate(_) => {
                    ("certificate", certificate.1)
                }
                IdentityError::KeyFile(_) | IdentityError::NoKey(_) | IdentityError::Mismatch(_) => {
                    ("key", key.1)
                }
            };
            value.problem_at(name, format!("{file} {error}"));
        }
    }
}

fn file(value: &Value<'_>) -> Option<Option<(PathBuf, String)>> {
    value.text("the path of a file").map(|path| Some((path.into(), value.found())))
}
