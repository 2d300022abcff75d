//! Certificates and private keys in PEM files. Messages say what is wrong with which file; they show no line of it, which
//! may be one of a private key.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, Error};
use thiserror::Error as ThisError;

/// A file that cannot be read, or has unexpected content.
#[derive(Debug, ThisError)]
#[error("cannot use `{}`: {problem}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// A certificate that `openssl x509 -req` makes without extensions.
pub const OF_VERSION_1: &str = "is of version 1 of X.509, which has no place for host names and is not read; issue it \
                                with `subjectAltName`";

/// Whether a certificate is refused because it is [`OF_VERSION_1`].
#[must_use]
pub fn is_of_version_1(problem: &CertificateError) -> bool {
    // The library has no variant for it.
    matches!(problem, CertificateError::Other(inner) if format!("{inner:?}").contains("UnsupportedCertVersion"))
}

/// The certificates in a file, at least one.
///
/// # Errors
/// When the file cannot be read, is not valid PEM, or contains none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|e| broken(path, &e))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|e| broken(path, &e))?;
    if found.is_empty() { Err(unusable(path, "it contains no certificate in PEM")) } else { Ok(found) }
}

/// What `build` makes of our certificate with its chain, in the file `cert`, and its private key, in the file `key`.
///
/// # Errors
/// When a file cannot be used, or the key is not that of the certificate.
pub fn with_identity<T>(
    cert: &Path,
    key: &Path,
    build: impl FnOnce(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<T, Error>,
) -> Result<T, FileError> {
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| match e {
        pem::Error::NoItemsFound => unusable(key, "it contains no private key in PEM, or an encrypted one"),
        other => broken(key, &other),
    })?;
    build(chain, secret).map_err(|e| match e {
        Error::InconsistentKeys(_) => {
            unusable(key, format!("it is not the key of the certificate in `{}`", cert.display()))
        }
        // The library has no variant for it.
        Error::General(what) if what.contains("private key") => {
            unusable(key, "it contains no private key of RSA, ECDSA or EdDSA")
        }
        Error::InvalidCertificate(what) if is_of_version_1(&what) => {
            unusable(cert, format!("it {OF_VERSION_1}"))
        }
        other => unusable(cert, other),
    })
}

/// The error of the PEM reader.
fn broken(path: &Path, error: &pem::Error) -> FileError {
    match error {
        pem::Error::Io(e) => unusable(path, e),
        _ => unusable(path, "it is not valid PEM"),
    }
}

fn unusable(path: &Path, problem: impl fmt::Display) -> FileError {
    FileError { path: path.to_owned(), problem: problem.to_string() }
}
