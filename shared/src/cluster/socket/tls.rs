//! How to speak TLS: whom to trust, who we are, and which name the server's certificate has to hold. Its files are
//! read once, when the settings are; only what is in them is kept. `Debug` shows none of it.

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

/// What the settings say about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the authorities to trust, in PEM; the system's own if absent.
    pub ca: Option<PathBuf>,
    /// Our certificate, with those that vouch for it, and its private key, both in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that servers' certificates have to hold, instead of the host that we connect to.
    pub sni: Option<String>,
    /// Take any certificate.
    pub insecure: bool,
}

/// Why TLS cannot be set up. A path, and what is wrong with the file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("cannot use `{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no certificates.
    #[error("this system has no certificates of authorities ({0}); name a file with some with `--cacert`")]
    NoAuthorities(String),
    /// A name that no certificate can hold.
    #[error("`--sni` is `{0}`; it takes a host name or an address")]
    Name(String),
}

/// See the module. Clones share it.
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
    /// A file that is of no use, or a name that is none.
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

    /// Whether the server has to prove who it is.
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

/// A client that trusts nobody and is nobody.
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
                    |e: rustls::Error| unusable(path, format!("it holds a broken certificate: {e}"));
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

/// With our certificate, if we have one.
fn identified(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, TlsError> {
    let Some((cert, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| match e {
        pem::Error::NoItemsFound => {
            unusable(key, "it holds no private key in PEM, or one that a password locks")
        }
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
    if found.is_empty() { Err(unusable(path, "it holds no certificate in PEM")) } else { Ok(found) }
}

/// What the reader of PEM says. It repeats no line of the file, which may be one of a key.
fn broken(path: &Path, error: &pem::Error) -> TlsError {
    match error {
        pem::Error::Io(e) => unusable(path, e),
        _ => unusable(path, "it is no sound PEM"),
    }
}

fn unusable(path: &Path, problem: impl fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), problem: problem.to_string() }
}
