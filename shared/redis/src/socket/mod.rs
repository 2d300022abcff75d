//! The sockets of all connections to Redis: TCP, TLS and Unix. Only this module opens sockets, so that commands and
//! listings reach a server in the same way and fail with the same messages. Each socket takes a [`ConnectionPermit`],
//! which bounds the connections per server. What is sent over them, the login included, is elsewhere.
//!
//! [`ConnectionPermit`]: super::connections::ConnectionPermit

mod bounded;
mod network;
mod permit_socket;
mod probe;
mod tls;
mod tls_diagnostics;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use redis::{ConnectionAddr, ConnectionInfo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use self::bounded::expect_values;
pub(super) use self::bounded::{BoundedSocket, CloseReason, Expected, ExpectedGuard, Expecting, TOO_MUCH};
pub use self::network::{Connector, Network};
use self::permit_socket::PermitSocket;
pub use self::tls::{Tls, TlsError, TlsFiles};
use super::connections::{ConnectionLimit, ConnectionPermit, Endpoint};
use super::error::{MAX_CLIENTS_TEXT, RedisError, RedisErrorKind};
use crate::limits::{CONNECT_TIMEOUT, TLS_CHECK_AFTER};

/// An open connection of any transport. Written data may be buffered until a flush.
pub trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// The maximum length of a reply to PING.
const LINE_BYTES_MAX: usize = 1024;

/// A server's address, how to reach it, and the login.
#[derive(Clone)]
pub(super) struct Dial {
    /// Address, user, password and database.
    pub(super) info: ConnectionInfo,
    /// The TLS settings; `None` without TLS.
    pub(super) tls: Option<Tls>,
    /// How the server is reached.
    network: Network,
    /// `host:port` for messages, as the server announces itself.
    pub(super) address: String,
    /// The address where it is reached, if another one.
    via: Option<String>,
}

impl Dial {
    /// The settings for the server at `info`, named by its address.
    pub(super) fn new(info: ConnectionInfo, tls: Option<Tls>, network: Network) -> Self {
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
            other => other.to_string(),
        };
        Self { info, tls, network, address, via: None }
    }

    /// The same for a server that announces itself as `address`.
    pub(super) fn announced_as(self, address: String) -> Self {
        Self { via: Some(self.address), address, ..self }
    }

    fn fault(&self, kind: RedisErrorKind, text: impl fmt::Display) -> RedisError {
        let via = self.via.as_ref().map(|via| format!(" (reached at `{via}`)"));
        RedisError::new(kind, self.address.as_str(), format!("{text}{}", via.unwrap_or_default()))
    }

    /// Adds the user name to a login `fault`: passwords may change while a run is in progress.
    pub(super) fn blame(&self, fault: RedisError) -> RedisError {
        if fault.kind != RedisErrorKind::Authentication {
            return fault;
        }
        let user = self.info.redis_settings().username().unwrap_or("default");
        RedisError { detail: format!("{} (user `{user}`)", fault.detail), ..fault }
    }

    pub(super) fn unreachable(&self, text: impl fmt::Display) -> RedisError {
        self.fault(RedisErrorKind::Unreachable, text)
    }

    /// An identity of the network and the TLS settings; 0 without TLS. Certificates that are read again get another one.
    pub(super) fn way(&self) -> (usize, usize) {
        (self.network.identity(), self.tls.as_ref().map_or(0, |tls| Arc::as_ptr(&tls.config).addr()))
    }

    /// The host name from the settings or the server, for TLS.
    fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) => host,
            _ => "",
        }
    }
}

/// Opens a socket within [`CONNECT_TIMEOUT`], after waiting for a permit. With TLS, the handshake is complete when this
/// returns.
///
/// # Errors
/// [`RedisErrorKind::Unreachable`], or [`RedisErrorKind::Tls`] if the TLS handshake fails.
pub(super) async fn open(
    dial: &Dial,
    to: &Endpoint,
    limit: &ConnectionLimit,
) -> Result<Box<dyn Socket>, RedisError> {
    // Boxed, because the state of a handshake is large and would enlarge the future of every caller.
    let opened = timeout(CONNECT_TIMEOUT, Box::pin(open_unbounded(dial, to, limit))).await;
    opened.unwrap_or_else(|_| Err(dial.unreachable("the connection timed out")))
}

async fn open_unbounded(
    dial: &Dial,
    to: &Endpoint,
    limit: &ConnectionLimit,
) -> Result<Box<dyn Socket>, RedisError> {
    let permit =
        limit.take().await.ok_or_else(|| dial.unreachable("this process has no connection permit left"))?;
    if let (Endpoint::Tcp(at), Some(connector)) = (to, dial.network.connector()) {
        let socket = connector.connect(*at).await.map_err(|e| dial.unreachable(e))?;
        return Ok(Box::new(PermitSocket::new(socket, permit)));
    }
    match (to, &dial.tls) {
        (Endpoint::Tcp(at), None) => Ok(Box::new(tcp(*at, permit).await.map_err(|e| dial.unreachable(e))?)),
        (Endpoint::Tcp(at), Some(tls)) => Ok(Box::new(encrypted(dial, (*at, permit, limit), tls).await?)),
        (Endpoint::Unix(path), _) => {
            let socket = UnixStream::connect(path).await.map_err(|e| dial.unreachable(e))?;
            Ok(Box::new(PermitSocket::new(socket, permit)))
        }
    }
}

async fn tcp(at: SocketAddr, permit: ConnectionPermit) -> io::Result<PermitSocket<TcpStream>> {
    let socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    Ok(PermitSocket::new(socket, permit))
}

/// A TLS connection over which the server has answered once: with TLS 1.3, only its first reply shows whether it
/// accepts our certificate.
async fn encrypted(
    dial: &Dial,
    (at, permit, limit): (SocketAddr, ConnectionPermit, &ConnectionLimit),
    tls: &Tls,
) -> Result<TlsStream<PermitSocket<TcpStream>>, RedisError> {
    let host = dial.host();
    let failed = |e: io::Error| match tls_diagnostics::of(&e, host) {
        Some(text) => dial.fault(RedisErrorKind::Tls, text),
        None => dial.unreachable(e),
    };
    let name = match &tls.name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned())
            .map_err(|_| dial.fault(RedisErrorKind::Tls, tls_diagnostics::no_name(host)))?,
    };
    let socket = tcp(at, permit).await.map_err(|e| dial.unreachable(e))?;
    let mut meeting = Box::pin(async {
        let mut stream = TlsConnector::from(tls.config.clone()).connect(name, socket).await?;
        greet(&mut stream).await?;
        Ok(stream)
    });
    let met = tokio::select! {
        met = &mut meeting => met,
        () = sleep(TLS_CHECK_AFTER) => {
            // A server without TLS waits for the end of a line that never comes.
            if probe::speaks_plainly(at, limit).await {
                return Err(dial.fault(RedisErrorKind::Tls, tls_diagnostics::PLAIN));
            }
            meeting.await
        }
    };
    match met {
        Ok(stream) => Ok(stream),
        Err(e) if tls_diagnostics::may_be_plain(&e) && probe::speaks_plainly(at, limit).await => {
            Err(dial.fault(RedisErrorKind::Tls, tls_diagnostics::PLAIN))
        }
        Err(e) => Err(failed(e)),
    }
}

/// Waits for any reply to PING: a server may demand a password, or forbid PING.
async fn greet(stream: &mut TlsStream<PermitSocket<TcpStream>>) -> io::Result<()> {
    stream.write_all(b"PING\r\n").await?;
    stream.flush().await?;
    for _ in 0..LINE_BYTES_MAX {
        if stream.read_u8().await? == b'\n' {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as a Redis server does"))
}

/// Why a connection without TLS failed at the first exchange: the server requires TLS, or accepts no more connections.
pub(super) async fn explain(
    dial: &Dial,
    to: &Endpoint,
    limit: &ConnectionLimit,
    fault: RedisError,
) -> RedisError {
    let about_words = matches!(fault.kind, RedisErrorKind::ConnectionLost | RedisErrorKind::Protocol);
    let may_ask = about_words && dial.network.connector().is_none();
    let (Endpoint::Tcp(at), None, true) = (to, &dial.tls, may_ask) else { return fault };
    if probe::speaks_tls(dial.host(), *at, limit).await {
        return dial.fault(RedisErrorKind::Tls, tls_diagnostics::ENCRYPTED);
    }
    let text = probe::says_first(*at, limit).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match text.strip_prefix('-') {
        Some(text) if text.contains(MAX_CLIENTS_TEXT) => {
            dial.fault(RedisErrorKind::TooManyClients, text.trim_end())
        }
        _ => fault,
    }
}
