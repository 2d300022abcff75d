//! Resolves an address to a server: names are resolved before connections are counted, because several names may lead
//! to one server.

use std::net::SocketAddr;
use std::path::PathBuf;

use redis::ConnectionAddr;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::error::RedisError;
use crate::limits::CONNECT_TIMEOUT;
use crate::socket::Dial;

/// Where a socket is opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

/// The addresses that `dial` may resolve to, in the order in which they are tried: first those with open connections.
///
/// # Errors
/// When the name cannot be resolved.
pub(super) async fn endpoints(
    dial: &Dial,
    open: impl Fn(&Endpoint) -> bool,
) -> Result<Vec<Endpoint>, RedisError> {
    match dial.info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let found = timeout(CONNECT_TIMEOUT, lookup_host((host.as_str(), *port))).await;
            let found = found.map_err(|_| dial.unreachable("its name was not resolved in time"))?;
            let found = found.map_err(|e| dial.unreachable(e))?;
            let mut found: Vec<Endpoint> = found.map(Endpoint::Tcp).collect();
            found.sort_by_key(|endpoint| !open(endpoint));
            Ok(found)
        }
        ConnectionAddr::Unix(path) => Ok(vec![Endpoint::Unix(path.clone())]),
        other => Err(dial.unreachable(format!("unsupported kind of connection: {other}"))),
    }
}
