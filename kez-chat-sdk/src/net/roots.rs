//! Whom we believe that a server is the one it says it is.

use std::{
    error::Error as StdError,
    fmt, io,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use thiserror::Error;

/// Says why a certificate authority can't be trusted.
///
/// ```
/// use kez_chat_sdk::{Roots, RootsError};
///
/// let error = Roots::system().and_pem(b"no certificate").unwrap_err();
/// assert!(matches!(error, RootsError::NoCertificate));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The text is not PEM, or holds no certificate.
    #[error("this holds no certificate in PEM form: give the authority's certificate, not its key")]
    NoCertificate,
    /// A certificate in it can't be an authority's.
    #[error("a certificate in it can't be read ({0}): ask whoever gave it to you for another")]
    BadCertificate(#[from] TlsError),
}

impl RootsError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "NoCertificate",
            Self::BadCertificate(_) => "BadCertificate",
        }
    }
}

/// The authorities whose certificates a home, its sigchain server, its broker and its relays may show.
///
/// By default those that the operating system trusts. A home of a company or a club may have an authority of its own;
/// it counts in addition. On Android the system's settings alone decide.
///
/// ```
/// use kez_chat_sdk::Roots;
///
/// assert!(Roots::system().and_pem(b"no certificate").is_err());
/// ```
#[derive(Clone, Default)]
pub struct Roots {
    extra: Vec<CertificateDer<'static>>,
    /// Made once: the system's authorities are read from disk.
    config: Arc<OnceLock<ClientConfig>>,
}

impl Roots {
    /// Takes the authorities that the operating system trusts.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Adds the certificates in a PEM text.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn and_pem(mut self, pem: &[u8]) -> Result<Self, RootsError> {
        let found: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| RootsError::NoCertificate)?;
        if found.is_empty() {
            return Err(RootsError::NoCertificate);
        }
        let mut judged = RootCertStore::empty();
        for certificate in &found {
            judged.add(certificate.clone())?;
        }
        self.extra.extend(found);
        self.config = Arc::default();
        Ok(self)
    }

    /// Returns how TLS is spoken under these authorities.
    pub(crate) fn client_config(&self) -> ClientConfig {
        self.config.get_or_init(|| self.make_config()).clone()
    }

    fn make_config(&self) -> ClientConfig {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider);
        let config = ClientConfig::builder_with_provider(provider);
        match config.with_safe_default_protocol_versions() {
            Ok(config) => config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth(),
            Err(error) => unreachable!("ring has the default versions: {error}"),
        }
    }

    /// Returns what judges servers' certificates.
    pub(crate) fn verifier(&self, provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
        match self.find_authorities(provider) {
            Ok(verifier) => Arc::new(verifier),
            Err(error) => {
                tracing::warn!(%error, "no certificate authorities were found; nothing is reached over TLS");
                Arc::new(NobodyIsTrusted { error, provider: Arc::clone(provider) })
            }
        }
    }

    #[cfg(not(target_os = "android"))]
    fn find_authorities(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
        Verifier::new_with_extra_roots(self.extra.clone(), Arc::clone(provider))
    }

    #[cfg(target_os = "android")]
    fn find_authorities(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
        Verifier::new(Arc::clone(provider))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("extra", &self.extra.len()).finish_non_exhaustive()
    }
}

/// Tells whether TLS is what an error is about, at whatever depth.
pub(crate) fn is_about_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an I/O error wraps is not among its sources.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<TlsError>() || wrapped.is_some_and(|wrapped| is_about_tls(wrapped)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Stands where a system has no authorities: there a connection fails and says so, and nothing else does.
#[derive(Debug)]
struct NobodyIsTrusted {
    error: TlsError,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NobodyIsTrusted {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Err(self.error.clone())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(self.error.clone())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(self.error.clone())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_become_authorities() {
        let code = |pem: &[u8]| Roots::system().and_pem(pem).unwrap_err().code();
        assert_eq!(code(b""), "NoCertificate");
        assert_eq!(code(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "NoCertificate");
        assert_eq!(code(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "BadCertificate");
    }

    #[test]
    fn tls_is_found_at_whatever_depth() {
        let tls = TlsError::General("no".into());
        assert!(is_about_tls(&tls));
        let io = io::Error::other(io::Error::other(tls));
        assert!(is_about_tls(&io));
        assert!(!is_about_tls(&io::Error::other("no")));
    }
}
