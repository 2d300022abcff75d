//! Who lists next: the connections for listings are as few as a server is to bear, so whoever lists takes one for a window
//! at a time, in turn with all others of the process.

use std::sync::Arc;

use super::listing_socket::ListingSocket;
use super::{Listing, LookupKind, WindowReply};
use crate::cluster::conn::ConnSource;
use crate::cluster::connections::IdleListings;
use crate::cluster::error::RedisError;

/// The way to list the keys of one server. When the last one of a server is dropped, its connections for listings are
/// closed.
pub struct ScanConnection {
    origin: Arc<ConnSource>,
    lines: Arc<IdleListings>,
    readonly: bool,
    /// Whether no listing may be asked for twice.
    once: bool,
}

impl ScanConnection {
    /// To the server of `origin`, to the same database and as the same user.
    pub(in crate::cluster) fn new(origin: Arc<ConnSource>) -> Self {
        let lines = origin.connections.lines();
        Self { origin, lines, readonly: false, once: false }
    }

    /// The same, answered by a replica of a cluster, which otherwise would send us to its primary.
    pub(in crate::cluster) fn readonly(self) -> Self {
        Self { readonly: true, ..self }
    }

    /// `host:port`, as in its faults.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.origin.dial.address
    }

    /// Says that the server may not be asked for the same page twice, because a cursor may be good for one use.
    pub fn asks_once(&mut self) {
        self.once = true;
    }

    /// Connects once more, so that it is known what the server says of itself now.
    ///
    /// # Errors
    /// As any connection's.
    pub(in crate::cluster) async fn connect(&self) -> Result<(), RedisError> {
        let ConnSource { dial, identity, connections } = &*self.origin;
        let _turn = connections.turn_to_list().await;
        // The new one takes the place of one that waits.
        drop(self.lines.take(identity, connections.turns_left()));
        ListingSocket::connect(connections, dial).await.map(drop)
    }

    /// Sends listing commands together with look-ups of keys seen before, in one write if that can be, so that the server
    /// reads on while we sort what it has sent. What it answers takes the place of what `answers` held: one page per
    /// listing, of which some may not have been asked for (at least one was), and pages of SCAN may be smaller than
    /// asked for.
    ///
    /// # Errors
    /// As any connection's, and [`RedisErrorKind::ReplyTooLarge`]. The connection is closed then; the next window takes another
    /// one.
    ///
    /// [`RedisErrorKind::ReplyTooLarge`]: crate::cluster::RedisErrorKind::ReplyTooLarge
    pub async fn window<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]> + Clone,
        ask: LookupKind,
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
        line.window(listings, look_up, ask, answers).await?;
        self.lines.put(identity.clone(), line);
        Ok(())
    }
}
