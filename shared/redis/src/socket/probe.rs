//! Detects whether a port speaks TLS after a failed connection, so that the error can name the cause. It sends at most
//! a PING, and no credentials. If no permit is free, it does not probe.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::Error;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tcp;
use super::tls::unverified;
use crate::connections::ConnectionLimit;
use crate::limits::TLS_CHECK_AFTER;

/// The maximum length of a connection refusal.
const REFUSAL_BYTES_MAX: u64 = 256;

/// Whether a Redis server answers there without TLS.
pub(super) async fn speaks_plainly(at: SocketAddr, limit: &ConnectionLimit) -> bool {
    let probe = async {
        let mut socket = tcp(at, limit.try_take()?).await.ok()?;
        socket.write_all(b"PING\r\n").await.ok()?;
        socket.read_u8().await.ok()
    };
    // Errors begin with a dash: a server that demands a password returns one.
    matches!(timeout(TLS_CHECK_AFTER, probe).await, Ok(Some(b'+' | b'-')))
}

/// What a server without TLS sends unasked: it does so only to a connection beyond its limit, before it closes it. A
/// client that sends something at once may not get to read it.
pub(super) async fn says_first(at: SocketAddr, limit: &ConnectionLimit) -> Option<Vec<u8>> {
    let (mut received, permit) = (Vec::new(), limit.try_take()?);
    let receive = async { tcp(at, permit).await?.take(REFUSAL_BYTES_MAX).read_to_end(&mut received).await };
    let _ = timeout(TLS_CHECK_AFTER, receive).await;
    (!received.is_empty()).then_some(received)
}

/// Whether the peer responds to TLS, even if with an alert.
pub(super) async fn speaks_tls(host: &str, at: SocketAddr, limit: &ConnectionLimit) -> bool {
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return false };
    let probe = async {
        let socket = tcp(at, limit.try_take()?).await.ok()?;
        // It trusts no authority: a server that presents a certificate shows that it speaks TLS.
        let config = Arc::new(unverified());
        Some(match TlsConnector::from(config).connect(name, socket).await {
            Ok(_) => true,
            Err(e) => {
                let received = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                matches!(received, Some(Error::InvalidCertificate(_) | Error::AlertReceived(_)))
            }
        })
    };
    timeout(TLS_CHECK_AFTER, probe).await.ok().flatten().unwrap_or(false)
}
