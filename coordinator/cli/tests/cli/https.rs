//! HTTPS with a client that trusts one authority.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::api::{Answer, exchange};

/// A connection over TLS.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// The response over TLS to a request such as `GET /livez`, and the connection's own headers.
pub fn ask(address: &str, ca: &str, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    exchange(&mut connect(address, ca), request, headers, body)
}

/// Whether a client that trusts the authority of `ca` accepts the certificate at `address`.
pub fn is_trusted(address: &str, ca: &str) -> bool {
    ask(address, ca, "GET /livez", &[("Host", "k")], "").status == 200
}

fn connect(address: &str, ca: &str) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("settings");
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    StreamOwned::new(connection, stream)
}
