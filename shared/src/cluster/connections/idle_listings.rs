//! Connections for listings that wait for their next use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::ConnIdentity;
use crate::cluster::listing::ListingSocket;

/// See the module.
#[derive(Default)]
pub(in crate::cluster) struct IdleListings(Mutex<Vec<(ConnIdentity, ListingSocket)>>);

impl IdleListings {
    /// One as `identity`, if there is one. Otherwise one is to be made, for which room is made: `turns_left` is how many
    /// may go on waiting.
    pub(in crate::cluster) fn take(
        &self,
        identity: &ConnIdentity,
        turns_left: usize,
    ) -> Option<ListingSocket> {
        let mut waiting = self.waiting();
        let place = waiting.iter().position(|(whose, _)| whose == identity);
        let line = place.map(|place| waiting.swap_remove(place).1);
        waiting.truncate(turns_left);
        line
    }

    /// Lets `line` wait. It must be one over which nothing is expected any more.
    pub(in crate::cluster) fn put(&self, identity: ConnIdentity, line: ListingSocket) {
        self.waiting().push((identity, line));
    }

    /// Closes those beyond the first `count`.
    pub(super) fn keep(&self, count: usize) {
        self.waiting().truncate(count);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(ConnIdentity, ListingSocket)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
