//! The sockets of all connections to Redis: TCP, TLS and Unix. This is the only place that opens any, so that
//! commands and listings reach a server in the same way and fail with the same words; and each takes a [`ConnectionPermit`], so that
//! there are never more than a server is to bear. What is said over them, the login included, is absent.
//!
//! [`ConnectionPermit`]: super::connections::ConnectionPermit

mod bounded;
mod permit_socket;
mod probe;
mod tls;
mod tls_diagnostics;
mod unverified;

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
pub(super) use self::bounded::{BoundedSocket, CloseReason, Expected, Expecting, OnItsWay, TOO_MUCH};
use self::permit_socket::PermitSocket;
pub use self::tls::{Tls, TlsError, TlsFiles};
use super::connections::{ConnectionLimit, ConnectionPermit, Endpoint};
use super::error::{FULL, RedisError, RedisErrorKind};
use crate::limits::{CONNECT_TIMEOUT, TLS_PATIENCE};

/// An open connection, whatever it runs over. What is written may be kept until it is flushed.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// No line that a server answers to PING is longer.
const LINE_BYTES_MAX: usize = 1024;

/// Where a server is, how to get there, and as whom.
#[derive(Clone)]
pub(super) struct Dial {
    /// Address, user, password and database.
    pub(super) info: ConnectionInfo,
    /// How to speak TLS; `None` without.
    pub(super) tls: Option<Tls>,
    /// `host:port`, for people: as the server announces itself.
    pub(super) address: String,
    /// Where it is reached, if that is another address.
    via: Option<String>,
}

impl Dial {
    /// The way to the server at `info`, which is called as its address is.
    pub(super) fn new(info: ConnectionInfo, tls: Option<Tls>) -> Self {
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
            other => other.to_string(),
        };
        Self { info, tls, address, via: None }
    }

    /// The same way to a server that announces itself as `address`.
    pub(super) fn announced_as(self, address: String) -> Self {
        Self { via: Some(self.address), address, ..self }
    }

    fn fault(&self, kind: RedisErrorKind, said: impl fmt::Display) -> RedisError {
        let via = self.via.as_ref().map(|via| format!(" (reached at `{via}`)"));
        RedisError::new(kind, self.address.as_str(), format!("{said}{}", via.unwrap_or_default()))
    }

    /// `fault`, with whom the server refused: passwords change, also while a run goes on.
    pub(super) fn blame(&self, fault: RedisError) -> RedisError {
        if fault.kind != RedisErrorKind::Authentication {
            return fault;
        }
        let user = self.info.redis_settings().username().unwrap_or("default");
        RedisError { detail: format!("{} (user `{user}`)", fault.detail), ..fault }
    }

    pub(super) fn unreachable(&self, said: impl fmt::Display) -> RedisError {
        self.fault(RedisErrorKind::Unreachable, said)
    }

    /// Who is trusted, and who we are, over TLS; 0 without TLS. Each reading of certificates is another one.
    pub(super) fn tls_identity(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| Arc::as_ptr(&tls.config).addr())
    }

    /// The host that the settings or the server name, for TLS.
    fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) => host,
            _ => "",
        }
    }
}

/// Opens a socket within [`CONNECT_TIMEOUT`], once there is a seat. Over TLS the two ends know each other when this
/// returns.
///
/// # Errors
/// [`RedisErrorKind::Unreachable`], and [`RedisErrorKind::Tls`] where the two ends do not agree on TLS.
pub(super) async fn open(
    dial: &Dial,
    to: &Endpoint,
    seats: &ConnectionLimit,
) -> Result<Box<dyn Socket>, RedisError> {
    // Boxed, because a handshake is a large state that everybody who connects would carry along.
    let opened = timeout(CONNECT_TIMEOUT, Box::pin(open_at_leisure(dial, to, seats))).await;
    opened.unwrap_or_else(|_| Err(dial.unreachable("the connection was not made in time")))
}

async fn open_at_leisure(
    dial: &Dial,
    to: &Endpoint,
    seats: &ConnectionLimit,
) -> Result<Box<dyn Socket>, RedisError> {
    let seat =
        seats.take().await.ok_or_else(|| dial.unreachable("this process opens no more connections"))?;
    match (to, &dial.tls) {
        (Endpoint::Tcp(at), None) => Ok(Box::new(tcp(*at, seat).await.map_err(|e| dial.unreachable(e))?)),
        (Endpoint::Tcp(at), Some(tls)) => Ok(Box::new(encrypted(dial, (*at, seat, seats), tls).await?)),
        (Endpoint::Unix(path), _) => {
            let socket = UnixStream::connect(path).await.map_err(|e| dial.unreachable(e))?;
            Ok(Box::new(PermitSocket::new(socket, seat)))
        }
    }
}

async fn tcp(at: SocketAddr, seat: ConnectionPermit) -> io::Result<PermitSocket<TcpStream>> {
    let socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    Ok(PermitSocket::new(socket, seat))
}

/// A TLS connection over which the server has answered once: with TLS 1.3, whether it takes our certificate shows
/// only with its first answer.
async fn encrypted(
    dial: &Dial,
    (at, seat, seats): (SocketAddr, ConnectionPermit, &ConnectionLimit),
    tls: &Tls,
) -> Result<TlsStream<PermitSocket<TcpStream>>, RedisError> {
    let host = dial.host();
    let failed = |e: io::Error| match tls_diagnostics::of(&e, host) {
        Some(said) => dial.fault(RedisErrorKind::Tls, said),
        None => dial.unreachable(e),
    };
    let name = match &tls.name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned())
            .map_err(|_| dial.fault(RedisErrorKind::Tls, tls_diagnostics::no_name(host)))?,
    };
    let socket = tcp(at, seat).await.map_err(|e| dial.unreachable(e))?;
    let mut meeting = Box::pin(async {
        let mut stream = TlsConnector::from(tls.config.clone()).connect(name, socket).await?;
        greet(&mut stream).await?;
        Ok(stream)
    });
    let met = tokio::select! {
        met = &mut meeting => met,
        () = sleep(TLS_PATIENCE) => {
            // A server without TLS waits for the end of a line that never comes.
            if probe::speaks_plainly(at, seats).await {
                return Err(dial.fault(RedisErrorKind::Tls, tls_diagnostics::PLAIN));
            }
            meeting.await
        }
    };
    match met {
        Ok(stream) => Ok(stream),
        Err(e) if tls_diagnostics::may_be_plain(&e) && probe::speaks_plainly(at, seats).await => {
            Err(dial.fault(RedisErrorKind::Tls, tls_diagnostics::PLAIN))
        }
        Err(e) => Err(failed(e)),
    }
}

/// Asks for one answer, whatever it is: PING may be asked for a password, or be forbidden.
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

/// Why a connection without TLS failed at its first words: the server wants TLS, or takes no more connections.
pub(super) async fn explain(
    dial: &Dial,
    to: &Endpoint,
    seats: &ConnectionLimit,
    fault: RedisError,
) -> RedisError {
    let about_words = matches!(fault.kind, RedisErrorKind::ConnectionLost | RedisErrorKind::Protocol);
    let (Endpoint::Tcp(at), None, true) = (to, &dial.tls, about_words) else { return fault };
    if probe::speaks_tls(dial.host(), *at, seats).await {
        return dial.fault(RedisErrorKind::Tls, tls_diagnostics::ENCRYPTED);
    }
    let said = probe::says_first(*at, seats).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    match said.strip_prefix('-') {
        Some(said) if said.contains(FULL) => dial.fault(RedisErrorKind::TooManyClients, said.trim_end()),
        _ => fault,
    }
}
