//! How many sockets to a server may be open at a time. Every socket has a [`ConnectionPermit`] of its own, which goes with it: this
//! is what keeps a process from opening more, whatever its parts do.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::CONNECTIONS_MAX;

/// See the module. Clones share the seats.
#[derive(Clone)]
pub(in crate::cluster) struct ConnectionLimit(Arc<Semaphore>);

/// The right to one socket. Dropping it, after the socket was closed, lets the next one be opened.
pub(in crate::cluster) struct ConnectionPermit(
    #[expect(dead_code, reason = "it is dropped")] OwnedSemaphorePermit,
);

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS_MAX)))
    }
}

impl ConnectionLimit {
    /// Waits for a seat. They are never closed, so there is one in the end.
    pub(in crate::cluster) async fn take(&self) -> Option<ConnectionPermit> {
        Arc::clone(&self.0).acquire_owned().await.ok().map(ConnectionPermit)
    }

    /// A seat, if one is free.
    pub(in crate::cluster) fn try_take(&self) -> Option<ConnectionPermit> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(ConnectionPermit)
    }

    /// Seats that are taken.
    pub(super) fn in_use(&self) -> usize {
        CONNECTIONS_MAX.saturating_sub(self.0.available_permits())
    }
}
