//! Shares the few listing connections of a server: a caller takes one for one window at a time, in turn with all other
//! callers of the process.

use std::sync::Arc;

use super::listing_socket::ListingSocket;
use super::{Listing, LookupKind, WindowReply};
use crate::conn::ConnSource;
use crate::connections::IdleListings;
use crate::error::RedisError;

/// A handle to list the keys of one server. When the last handle of a server is dropped, its listing connections are
/// closed.
pub struct ScanConnection {
    origin: Arc<ConnSource>,
    lines: Arc<IdleListings>,
    readonly: bool,
    /// Whether no listing may be requested twice.
    once: bool,
}

impl ScanConnection {
    /// A handle for the server of `origin`, with the same database and user.
    pub(crate) fn new(origin: Arc<ConnSource>) -> Self {
        let lines = origin.connections.lines();
        Self { origin, lines, readonly: false, once: false }
    }

    /// Reads from a cluster replica, which would otherwise redirect to its primary.
    pub(crate) fn readonly(self) -> Self {
        Self { readonly: true, ..self }
    }

    /// `host:port`, as in error messages.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.origin.dial.address
    }

    /// Forbids requesting the same page twice, because a cursor may be valid for one use only.
    pub fn use_cursors_once(&mut self) {
        self.once = true;
    }

    /// Connects once more, which records the current status of the server.
    ///
    /// # Errors
    /// The same as for any connection.
    pub(crate) async fn connect(&self) -> Result<(), RedisError> {
        let ConnSource { dial, identity, connections } = &*self.origin;
        let _turn = connections.turn_to_list().await;
        // The new connection replaces an idle one.
        drop(self.lines.take(identity, connections.turns_left()));
        ListingSocket::connect(connections, dial).await.map(drop)
    }

    /// Sends listing commands together with lookups of keys seen before, in one write if possible, so that the server
    /// works while the client classifies the previous reply. The replies replace the content of `answers`: one page per
    /// listing. Some listings may not have been requested (at least one was), and pages of SCAN may be smaller than
    /// requested.
    ///
    /// # Errors
    /// The same as for any connection, and [`RedisErrorKind::ReplyTooLarge`]. The connection is then closed; the next
    /// window takes another one.
    ///
    /// [`RedisErrorKind::ReplyTooLarge`]: crate::RedisErrorKind::ReplyTooLarge
    pub async fn window<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]> + Clone,
        kind: LookupKind,
        answers: &mut WindowReply,
    ) -> Result<(), RedisError> {
        let ConnSource { dial, identity, connections } = &*self.origin;
        let _turn = connections.turn_to_list().await;
        let waited = self.lines.take(identity, connections.turns_left());
        let mut line = match waited.and_then(|mut line| line.is_open().then_some(line)) {
            Some(line) => line,
            None => Box::pin(ListingSocket::connect(connections, dial)).await?,
        };
        line.once = self.once;
        if self.readonly {
            line.readonly().await?;
        }
        line.window(listings, look_up, kind, answers).await?;
        self.lines.put(identity.clone(), line);
        Ok(())
    }
}
