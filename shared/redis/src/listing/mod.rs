//! Listing keys and reading their TTLs: one write per window, one reply per command.

mod limit;
mod listing_socket;
mod parts;
mod replies;
mod request;
mod resp;
mod scan_connection;
#[cfg(test)]
mod tests;
mod window_reply;

pub(crate) use listing_socket::ListingSocket;
pub use scan_connection::ScanConnection;
pub use window_reply::{KeySpan, Page, PageState, WindowReply};

use keysweep_model::messages::Lookups;

/// One listing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `SCAN cursor COUNT count`.
    Scan {
        /// The cursor to continue from.
        cursor: u64,
        /// The approximate number of buckets to visit.
        count: u32,
    },
    /// `CLUSTER GETKEYSINSLOT slot count`.
    KeysInSlot {
        /// The slot.
        slot: u16,
        /// The maximum number of keys to return.
        count: u64,
    },
}

/// The TTL of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// This many milliseconds are left.
    Remaining(u64),
    /// The key has none.
    Persistent,
    /// The key has none, but it is a hash whose fields all expire, as far as [`crate::fields`] checks.
    FieldTtls,
    /// There is no such key.
    Gone,
    /// Another node serves the slot of the key now.
    Moved,
}

impl Ttl {
    /// The remaining milliseconds; 0 without a TTL.
    #[inline]
    #[must_use]
    pub fn remaining_ms(self) -> u64 {
        if let Self::Remaining(ms) = self { ms } else { 0 }
    }

    /// The lookup for this reply, as the server counts it. A redirected one is not counted.
    #[inline]
    #[must_use]
    fn lookup(self) -> Lookups {
        match self {
            Self::Remaining(_) | Self::Persistent => Lookups::of(1, 0),
            Self::Gone => Lookups::of(0, 1),
            Self::FieldTtls | Self::Moved => Lookups::default(),
        }
    }
}

/// What is queried about each key that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupKind {
    /// Its TTL.
    Ttl,
    /// Its expiry time by the server's clock.
    Expiry,
    /// Its expiry time and its idle time.
    ExpiryAndIdle,
}

impl LookupKind {
    /// Whether absolute expiry times are reported, which are compared with the server's clock.
    fn needs_clock(self) -> bool {
        self != Self::Ttl
    }

    /// The approximate size of one lookup reply in bytes.
    fn answer_bytes(self) -> u64 {
        match self {
            Self::Ttl => 12,
            Self::Expiry => 16,
            Self::ExpiryAndIdle => 28,
        }
    }
}

/// The state of a key from one lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Its TTL.
    pub ttl: Ttl,
    /// When it expires, in milliseconds of the server's clock; only if queried, and if it has a TTL.
    pub expires_at_ms: Option<u64>,
    /// Its idle time; only if queried, and if the server keeps idle times.
    pub idle_ms: Option<u64>,
}

impl KeyState {
    /// The state from a lookup of the TTL alone.
    #[inline]
    #[must_use]
    pub fn only(ttl: Ttl) -> Self {
        Self { ttl, expires_at_ms: None, idle_ms: None }
    }
}
