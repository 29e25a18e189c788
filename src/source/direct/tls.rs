//! TLS under RTSP: verified against the system's authorities, pinned to one certificate, or taken as it is by explicit
//! choice.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::link::Duplex;
use super::notes::Note;
use crate::config::Fingerprint;
use crate::source::error::Error;
use crate::vocabulary::FailureClass;

/// Which certificates of a camera are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Those the system's authorities vouch for, by the name in the URL.
    System,
    /// This one and no other, whatever stands in it.
    Pinned(Fingerprint),
    /// Any: the connection is encrypted, and nobody knows with whom.
    Anybody,
}

fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint(Sha256::digest(certificate).into())
}

/// Speaks TLS on a connection.
pub(super) async fn over<S: Duplex>(stream: S, host: &str, trust: Trust) -> Result<TlsStream<S>, Error> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Error::new(FailureClass::Protocol, "TLS: the URL's host is no name TLS knows"))?;
    let config = config(trust).map_err(|error| words(&error))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))
}

/// What is known of the other end.
pub(super) fn note<S>(stream: &TlsStream<S>, took: Duration) -> Note {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    Note::Secured {
        protocol: session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
        suite: session
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()))
            .unwrap_or_default(),
        certificate: certificate.map(|der| Bytes::copy_from_slice(der)).unwrap_or_default(),
        took,
    }
}

fn failed(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(error) => words(error),
        None => super::link::io_error(error, crate::source::error::Step::Connect, "TLS"),
    }
}

/// What is wrong, with what to do about it where a certificate is.
fn words(error: &TlsError) -> Error {
    let advice = match error {
        TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            let words = "TLS: the camera's certificate is not the pinned one (tls_fingerprint)";
            return Error::new(FailureClass::Certificate, words);
        }
        TlsError::InvalidCertificate(_) => " (pin its fingerprint, or use rtspx:// to take any certificate)",
        _ => return Error::new(FailureClass::Protocol, format!("TLS: {error}")),
    };
    Error::new(FailureClass::Certificate, format!("TLS: {error}{advice}"))
}

/// For who only asks whether somebody is there: any certificate will do.
///
/// # Errors
/// This build has no suites for TLS.
pub(crate) fn any_certificate() -> Result<Arc<ClientConfig>, TlsError> {
    config(Trust::Anybody)
}

/// For who must know that it speaks with whom it means: the certificate is checked by the system's trust store.
///
/// # Errors
/// The system has no authorities, or this build no suites for TLS.
#[cfg(feature = "otel")]
pub(crate) fn system_authorities() -> Result<Arc<ClientConfig>, TlsError> {
    config(Trust::System)
}

fn config(trust: Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::System => {
            let roots = system_roots();
            if roots.is_empty() {
                return Err(TlsError::General("this system has no certificates of authorities".into()));
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            verifier.map_err(|error| TlsError::General(error.to_string()))?
        }
        Trust::Pinned(fingerprint) => Arc::new(Chosen { only: Some(fingerprint), provider }),
        Trust::Anybody => Arc::new(Chosen { only: None, provider }),
    };
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(Arc::new(config))
}

/// Read once: the files do not change while a relay runs, or a restart reads them.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(read))
}

/// Takes one certificate, or any; that the camera has its key is checked all the same.
#[derive(Debug)]
struct Chosen {
    only: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Chosen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.only {
            Some(only) if only != fingerprint(certificate) => {
                Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// Shakes hands with a camera that signed its own certificate; `None` if all is well.
    async fn shake(trust: impl FnOnce(Fingerprint) -> Trust) -> Option<Error> {
        let own = rcgen::generate_simple_self_signed(["camera.local".to_owned()]).unwrap();
        let der = own.cert.der().clone();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let trust = trust(fingerprint(&der));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .unwrap();
        let (ours, theirs) = tokio::io::duplex(16 << 10);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (client, _server) = tokio::join!(over(ours, "10.0.0.7", trust), acceptor.accept(theirs));
        client.err()
    }

    #[tokio::test]
    async fn a_pinned_certificate_is_taken_whatever_its_name_and_no_other() {
        assert_eq!(shake(Trust::Pinned).await, None);
        let other = shake(|_| Trust::Pinned(Fingerprint([7; 32]))).await.unwrap();
        assert_eq!(other.class, FailureClass::Certificate);
        assert_eq!(other.message, "TLS: the camera's certificate is not the pinned one (tls_fingerprint)");
    }

    #[tokio::test]
    async fn any_certificate_is_taken_only_by_choice() {
        assert_eq!(shake(|_| Trust::Anybody).await, None);
        let error = shake(|_| Trust::System).await.unwrap();
        assert!(error.message.starts_with("TLS: "), "{error}");
    }
}
