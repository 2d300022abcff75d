//! Accounts the bytes of replies that this process holds, over all servers, for listings and for commands.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of listing replies: see [`REPLIES_BYTES_MAX`](crate::limits::REPLIES_BYTES_MAX).
pub(super) static LISTINGS: AtomicUsize = AtomicUsize::new(0);

/// Bytes of command replies: see [`ANSWERS_BYTES_MAX`](crate::limits::ANSWERS_BYTES_MAX).
pub(super) static COMMANDS: AtomicUsize = AtomicUsize::new(0);

/// The share of one reader. Dropping it releases the bytes.
pub(super) struct ReplyBudget {
    all: &'static AtomicUsize,
    bytes: usize,
}

impl ReplyBudget {
    /// An empty share of the total `all`.
    pub(super) fn of(all: &'static AtomicUsize) -> Self {
        Self { all, bytes: 0 }
    }

    /// Sets the bytes that the reader holds, and returns the total of all readers.
    pub(super) fn reserve(&mut self, bytes: usize) -> usize {
        self.all.fetch_add(bytes, Ordering::Relaxed);
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.all.fetch_sub(before, Ordering::Relaxed) - before
    }
}

impl Drop for ReplyBudget {
    fn drop(&mut self) {
        self.reserve(0);
    }
}
