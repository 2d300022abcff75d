//! Idle listing connections, kept for their next use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::ConnIdentity;
use crate::listing::ListingSocket;

/// Idle listing connections of one server.
#[derive(Default)]
pub(crate) struct IdleListings(Mutex<Vec<(ConnIdentity, ListingSocket)>>);

impl IdleListings {
    /// An idle connection of `identity`, if there is one. Otherwise the caller must make one, and room is made for it:
    /// `turns_left` is how many may stay idle.
    pub(crate) fn take(&self, identity: &ConnIdentity, turns_left: usize) -> Option<ListingSocket> {
        let mut idle = self.idle();
        let place = idle.iter().position(|(whose, _)| whose == identity);
        let line = place.map(|place| idle.swap_remove(place).1);
        idle.truncate(turns_left);
        line
    }

    /// Keeps `line` idle. All its replies must have been read.
    pub(crate) fn put(&self, identity: ConnIdentity, line: ListingSocket) {
        self.idle().push((identity, line));
    }

    /// Closes all but the first `count`.
    pub(super) fn keep(&self, count: usize) {
        self.idle().truncate(count);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(ConnIdentity, ListingSocket)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
