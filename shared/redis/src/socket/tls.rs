//! The TLS settings: trusted authorities, our own certificate, and the name that the server's certificate must have.
//! The files are read once, with the configuration; only their content is kept. `Debug` shows none of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use thiserror::Error;

use super::tls_diagnostics;
use super::unverified::Unverified;

/// The TLS part of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the trusted authorities, in PEM; the system's own if absent.
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, and its private key, both in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that server certificates must have, instead of the host that we connect to.
    pub sni: Option<String>,
    /// Accept any certificate.
    pub insecure: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read, or has unexpected content.
    #[error("cannot use `{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no certificates of authorities.
    #[error("this system has no certificate authorities ({0}); name a file with some with `--cacert`")]
    NoAuthorities(String),
    /// A name that no certificate can have.
    #[error("`--sni` is `{0}`; it takes a host name or an address")]
    Name(String),
}

/// TLS settings that are ready for use. Clones share them.
#[derive(Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: Option<ServerName<'static>>,
    verifies: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("verifies", &self.verifies).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be used, or the name is not valid.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let builder = builder();
        let builder = match &files.insecure {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified::new())),
            false => builder.with_root_certificates(authorities(files.ca.as_deref())?),
        };
        let name = files
            .sni
            .as_ref()
            .map(|name| ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone())));
        Ok(Self {
            config: Arc::new(identified(builder, files.identity.as_ref())?),
            name: name.transpose()?,
            verifies: !files.insecure,
        })
    }

    /// Whether server certificates are verified.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.verifies
    }
}

fn builder() -> ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "a property of the library that the tests try")]
    builder.expect("ring has the ciphers of TLS 1.2 and 1.3")
}

/// A client that trusts no authority and has no certificate.
pub(super) fn unverified() -> ClientConfig {
    builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// The authorities in the file, or those of the system.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in certificates(path)? {
                let problem =
                    |e: rustls::Error| unusable(path, format!("it contains an invalid certificate: {e}"));
                roots.add(certificate).map_err(problem)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let none = || "none was found".to_owned();
                return Err(TlsError::NoAuthorities(errors.into_iter().next().unwrap_or_else(none)));
            }
        }
    }
    Ok(roots)
}

/// Adds our certificate, if there is one.
fn identified(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, TlsError> {
    let Some((cert, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| match e {
        pem::Error::NoItemsFound => unusable(key, "it contains no private key in PEM, or an encrypted one"),
        other => broken(key, &other),
    })?;
    builder.with_client_auth_cert(chain, secret).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            unusable(key, format!("it is not the key of the certificate in `{}`", cert.display()))
        }
        other => unusable(cert, tls_diagnostics::of_ours(&other)),
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|e| broken(path, &e))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|e| broken(path, &e))?;
    if found.is_empty() { Err(unusable(path, "it contains no certificate in PEM")) } else { Ok(found) }
}

/// The error of the PEM reader. It shows no line of the file, which may be one of a private key.
fn broken(path: &Path, error: &pem::Error) -> TlsError {
    match error {
        pem::Error::Io(e) => unusable(path, e),
        _ => unusable(path, "it is not valid PEM"),
    }
}

fn unusable(path: &Path, problem: impl fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), problem: problem.to_string() }
}
