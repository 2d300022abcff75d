//! Whether a port speaks TLS or does not, asked after it did not understand us, so that the error can say what is
//! wrong. Nothing is told to the server but a PING, and nobody's secret. Where all seats are taken, it is not asked.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::Error;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tcp;
use super::tls::unverified;
use crate::cluster::connections::ConnectionLimit;
use crate::limits::TLS_PATIENCE;

/// No refusal of a connection is longer.
const SAID_BYTES_MAX: u64 = 256;

/// Whether a Redis server answers there without TLS.
pub(super) async fn speaks_plainly(at: SocketAddr, seats: &ConnectionLimit) -> bool {
    let ask = async {
        let mut socket = tcp(at, seats.try_take()?).await.ok()?;
        socket.write_all(b"PING\r\n").await.ok()?;
        socket.read_u8().await.ok()
    };
    // Errors begin with a dash: a server that asks for a password is one.
    matches!(timeout(TLS_PATIENCE, ask).await, Ok(Some(b'+' | b'-')))
}

/// What a server without TLS says before anything is asked: it does so only to a connection that is one too many, before
/// it closes it. Whoever sends something at once may not get to read it.
pub(super) async fn says_first(at: SocketAddr, seats: &ConnectionLimit) -> Option<Vec<u8>> {
    let (mut said, seat) = (Vec::new(), seats.try_take()?);
    let hear = async { tcp(at, seat).await?.take(SAID_BYTES_MAX).read_to_end(&mut said).await };
    let _ = timeout(TLS_PATIENCE, hear).await;
    (!said.is_empty()).then_some(said)
}

/// Whether what is there answers as a TLS server does, be it with a refusal.
pub(super) async fn speaks_tls(host: &str, at: SocketAddr, seats: &ConnectionLimit) -> bool {
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return false };
    let ask = async {
        let socket = tcp(at, seats.try_take()?).await.ok()?;
        // Trusts nobody, so that a server that shows a certificate shows that it speaks TLS.
        let config = Arc::new(unverified());
        Some(match TlsConnector::from(config).connect(name, socket).await {
            Ok(_) => true,
            Err(e) => {
                let said = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                matches!(said, Some(Error::InvalidCertificate(_) | Error::AlertReceived(_)))
            }
        })
    };
    timeout(TLS_PATIENCE, ask).await.ok().flatten().unwrap_or(false)
}
