//! How servers are reached: over TCP, or by what a simulation puts in its place.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Socket;

/// Opens connections in place of TCP.
pub trait Connector: Send + Sync {
    /// A connection to the server at this address.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Socket>>>;
}

/// How servers are reached; over TCP by default.
#[derive(Clone, Default)]
pub struct Network(Option<Arc<dyn Connector>>);

impl Network {
    /// By `connector`, without TLS.
    #[must_use]
    pub fn simulated(connector: Arc<dyn Connector>) -> Self {
        Self(Some(connector))
    }

    /// What opens connections in place of TCP.
    pub(super) fn connector(&self) -> Option<&dyn Connector> {
        self.0.as_deref()
    }

    /// An identity; 0 for TCP. Parts of a process with different networks share no connection.
    pub(super) fn identity(&self) -> usize {
        self.0.as_ref().map_or(0, |connector| Arc::as_ptr(connector).addr())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "simulated" } else { "TCP" })
    }
}
