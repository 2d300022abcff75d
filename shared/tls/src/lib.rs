//! TLS by rustls with ring, for the connections that keysweep opens and accepts: certificates and keys from PEM files,
//! with messages for people, the server's side, and clients that verify nothing. Which authorities a client trusts is
//! decided where it connects.

mod files;
mod server;
mod unverified;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use self::files::{FileError, OF_VERSION_1, certificates, is_of_version_1, with_identity};
pub use self::server::ServerTls;
pub use self::unverified::Unverified;

/// The settings of a client, with the ciphers of ring.
#[must_use]
pub fn client() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "a property of the library that the tests try")]
    builder.expect("ring has the ciphers of TLS 1.2 and 1.3")
}

/// Speaks TLS with the server at `address` over `stream`, whatever its certificate is: only for what is no secret.
///
/// # Errors
/// When the server speaks no TLS, or breaks off.
pub async fn connect_unverified(stream: TcpStream, address: IpAddr) -> io::Result<TlsStream<TcpStream>> {
    let client = client().dangerous().with_custom_certificate_verifier(Arc::new(Unverified::default()));
    let connector = TlsConnector::from(Arc::new(client.with_no_client_auth()));
    connector.connect(address.into(), stream).await
}
