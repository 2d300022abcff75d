//! The TLS settings: trusted authorities, our own certificate, and the name that the server's certificate must have.
//! The files are read once, with the configuration; only their content is kept. `Debug` shows none of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keysweep_tls::{FileError, Unverified, certificates, client, with_identity};
use rustls::client::WantsClientCert;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use thiserror::Error;

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
    #[error(transparent)]
    File(#[from] FileError),
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
        let builder = client();
        let builder = match &files.insecure {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified::default())),
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

/// A client that trusts no authority and has no certificate.
pub(super) fn unverified() -> ClientConfig {
    client().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// The authorities in the file, or those of the system.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| FileError {
                    path: path.to_owned(),
                    problem: format!("it contains an invalid certificate: {e}"),
                })?;
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
    Ok(with_identity(cert, key, |chain, secret| builder.with_client_auth_cert(chain, secret))?)
}
