//! The server's side: our certificate, and TLS 1.2 or 1.3 for clients without a certificate of their own.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::files::{FileError, with_identity};

/// What clients over HTTP/1.1 offer in ALPN.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Our certificate and its key, ready for use. Clones share them; `Debug` shows nothing of them.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads our certificate with its chain and its private key, both in PEM, for a server of HTTP/1.1.
    ///
    /// # Errors
    /// When a file cannot be used, or the key is not that of the certificate.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, FileError> {
        let mut config = with_identity(cert, key, |chain, secret| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder =
                ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
            builder.with_no_client_auth().with_single_cert(chain, secret)
        })?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Makes TLS of a connection. Takes as long as the client takes: the caller has the time limit.
    ///
    /// # Errors
    /// When the client speaks no TLS, accepts neither version, cipher nor certificate, or closes the connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.0)).accept(stream).await
    }
}
