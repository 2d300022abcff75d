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

pub(in crate::cluster) use listing_socket::ListingSocket;
pub use scan_connection::ScanConnection;
pub use window_reply::{KeySpan, Page, PageState, WindowReply};

use crate::messages::Lookups;

/// One listing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `SCAN cursor COUNT count`.
    Scan {
        /// Where to go on.
        cursor: u64,
        /// How many buckets to visit, about.
        count: u32,
    },
    /// `CLUSTER GETKEYSINSLOT slot count`.
    KeysInSlot {
        /// The slot.
        slot: u16,
        /// Keys to return at most.
        count: u64,
    },
}

/// The TTL of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So many milliseconds are left.
    Remaining(u64),
    /// The key has none.
    Persistent,
    /// The key has none, but it is a hash whose fields expire: see [`crate::cluster::fields`], which says so.
    FieldTtls,
    /// There is no such key.
    Gone,
    /// The slot of the key is served elsewhere now.
    Moved,
}

impl Ttl {
    /// What is left, in milliseconds; 0 without one.
    #[inline]
    #[must_use]
    pub fn remaining_ms(self) -> u64 {
        if let Self::Remaining(ms) = self { ms } else { 0 }
    }

    /// The look-up that it took, as the server counts it. A redirected one counts nowhere.
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

/// What is asked about each key that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupKind {
    /// Its TTL.
    Ttl,
    /// The moment at which it expires, by the server's clock.
    Expiry,
    /// That, and how long nobody has used it.
    ExpiryAndIdle,
}

impl LookupKind {
    /// Whether moments are told, which are compared with the server's clock.
    fn needs_clock(self) -> bool {
        self != Self::Ttl
    }

    /// Bytes that one look-up is answered by, about.
    fn answer_bytes(self) -> u64 {
        match self {
            Self::Ttl => 12,
            Self::Expiry => 16,
            Self::ExpiryAndIdle => 28,
        }
    }
}

/// What a look at a key showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Its TTL.
    pub ttl: Ttl,
    /// When it expires, in milliseconds of the server's clock; only if asked for, and if it has a TTL.
    pub expires_at_ms: Option<u64>,
    /// For how long nobody has used it; only if asked for, and where the server keeps such times.
    pub idle_ms: Option<u64>,
}

impl KeyState {
    /// A look that asked for the TTL alone.
    #[inline]
    #[must_use]
    pub fn only(ttl: Ttl) -> Self {
        Self { ttl, expires_at_ms: None, idle_ms: None }
    }
}
