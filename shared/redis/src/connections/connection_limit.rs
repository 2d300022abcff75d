//! Limits how many sockets to a server are open at a time. Every socket has its own [`ConnectionPermit`], which lives
//! as long as the socket; so a process cannot open more, no matter what its parts do.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::CONNECTIONS_MAX;

/// The limit of one server. Clones share it.
#[derive(Clone)]
pub(crate) struct ConnectionLimit(Arc<Semaphore>);

/// The right to open one socket. Dropping it, after the socket was closed, releases it for the next one.
pub(crate) struct ConnectionPermit(#[expect(dead_code, reason = "it is dropped")] OwnedSemaphorePermit);

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS_MAX)))
    }
}

impl ConnectionLimit {
    /// Waits for a permit. The semaphore is never closed, so this returns one eventually.
    pub(crate) async fn take(&self) -> Option<ConnectionPermit> {
        Arc::clone(&self.0).acquire_owned().await.ok().map(ConnectionPermit)
    }

    /// A permit, if one is free.
    pub(crate) fn try_take(&self) -> Option<ConnectionPermit> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(ConnectionPermit)
    }

    /// Permits in use.
    pub(super) fn in_use(&self) -> usize {
        CONNECTIONS_MAX.saturating_sub(self.0.available_permits())
    }
}
