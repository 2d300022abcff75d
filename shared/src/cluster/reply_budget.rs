//! How many bytes of answers this process holds, over all servers: those to listings, and those to commands.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of answers to listings: see [`REPLIES_BYTES_MAX`](crate::limits::REPLIES_BYTES_MAX).
pub(super) static LISTINGS: AtomicUsize = AtomicUsize::new(0);

/// Of answers to commands: see [`ANSWERS_BYTES_MAX`](crate::limits::ANSWERS_BYTES_MAX).
pub(super) static COMMANDS: AtomicUsize = AtomicUsize::new(0);

/// The share of one reader. Dropping it gives it back.
pub(super) struct ReplyBudget {
    all: &'static AtomicUsize,
    bytes: usize,
}

impl ReplyBudget {
    /// One of those that together are `all`, which holds nothing.
    pub(super) fn of(all: &'static AtomicUsize) -> Self {
        Self { all, bytes: 0 }
    }

    /// Says that the reader holds so many bytes now. How many all of them hold.
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
