//! Whose certificates TLS accepts: those that this machine trusts, unless `SSL_CERT_FILE` and `SSL_CERT_DIR` name others or the
//! caller does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::proxies::Environment;

/// Whose certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those in these files, each left out where the environment does not name it. Without both: what this machine trusts, and where
    /// it has no certificates at all (a container with nothing but the program), Mozilla's list.
    Machine {
        /// `SSL_CERT_FILE`: certificates in PEM form.
        file: Option<PathBuf>,
        /// `SSL_CERT_DIR`: a directory of such files under the names that OpenSSL gives them.
        directory: Option<PathBuf>,
    },
    /// Those of these authorities and no others.
    Only(Vec<CertificateDer<'static>>),
    /// Everyone's, because the user asks for it. Signatures are still checked, so that the handshake itself is sound.
    Everyone,
}

/// Why a file with authorities cannot be used. Who asked for the file names it.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("failed to read it")]
    Read(#[source] io::Error),
    /// Something in it is not PEM.
    #[error("failed to read the certificates in it")]
    Pem(#[source] pem::Error),
    /// Something in it is PEM but not a certificate of an authority.
    #[error("failed to read the certificates in it")]
    Certificate(#[source] rustls::Error),
    /// It contains no certificate.
    #[error("there is no certificate in PEM form in it")]
    Empty,
}

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The files that the environment names contain no usable certificate.
    #[error("failed to load the certificates that {} names{cause}", .variables.join(" and "))]
    Variables {
        /// Those that are set.
        variables: Vec<&'static str>,
        /// What was wrong with the first of them, after a colon.
        cause: String,
    },
    /// The library refuses.
    #[error("failed to prepare TLS")]
    Tls(#[from] rustls::Error),
    /// The thread that was reading certificates is gone.
    #[error("failed to load certificates")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// The certificates in a PEM file.
pub async fn bundle(file: &Path) -> Result<Vec<CertificateDer<'static>>, BundleError> {
    let pem = tokio::fs::read(file).await.map_err(BundleError::Read)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(BundleError::Pem)?;
    if found.is_empty() {
        return Err(BundleError::Empty);
    }
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(BundleError::Certificate)?;
    }
    Ok(found)
}

impl Trust {
    /// What this machine trusts, by this environment.
    pub fn machine(environment: &Environment) -> Self {
        let path = |name: &str| {
            let value = environment.get(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        Trust::Machine {
            file: path("SSL_CERT_FILE"),
            directory: path("SSL_CERT_DIR"),
        }
    }

    /// A client's side of TLS. Reading the machine's certificates takes longer than most requests: it is done in a thread of its own,
    /// and callers keep the result.
    pub(crate) async fn connector(&self) -> Result<TlsConnector, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match self {
            Trust::Machine { file, directory } => {
                let (file, directory) = (file.clone(), directory.clone());
                let roots = tokio::task::spawn_blocking(move || machine_roots(file.as_deref(), directory.as_deref()));
                builder.with_root_certificates(roots.await??)
            }
            Trust::Only(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority.clone())?;
                }
                builder.with_root_certificates(roots)
            }
            Trust::Everyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        };
        Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
    }
}

fn machine_roots(file: Option<&Path>, directory: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    if file.is_none() && directory.is_none() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_certs_from_paths(file, directory);
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let variables = [("`SSL_CERT_FILE`", file), ("`SSL_CERT_DIR`", directory)];
        return Err(TrustError::Variables {
            variables: variables
                .iter()
                .filter_map(|(name, path)| path.map(|_| *name))
                .collect(),
            cause: found
                .errors
                .first()
                .map_or_else(String::new, |error| format!(": {error}")),
        });
    }
    Ok(roots)
}

#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
