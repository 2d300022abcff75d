//! What a file says of a key, and of itself at its end.

use crate::counts::Difference;
use crate::kind::Kind;

/// A key of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its database.
    pub database: u32,
    /// Its name.
    pub key: &'a [u8],
    /// When it expires, in milliseconds since 1970; `None` if it has no TTL.
    pub expires_ms: Option<u64>,
    /// Seconds since its last use when the file was written; only servers with an LRU policy write it.
    pub idle_s: Option<u64>,
    /// The counter of accesses; only servers with an LFU policy write it.
    pub freq: Option<u8>,
    /// Its type.
    pub kind: Kind,
    /// The number of its elements, as `LLEN`, `HLEN` and the like would say it; `None` of strings and modules, and if the
    /// file does not say it.
    pub elements: Option<u64>,
    /// Whether it is a hash all of whose fields expire.
    pub fields_expire: bool,
    /// When the file was written, in seconds since 1970, if it says so.
    pub saved_s: Option<u64>,
}

/// What is known of a file when its end was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The keys that were found.
    pub entries: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Whether its checksum is that of its contents; `false` if it has none, because the server was set up so, or because
    /// it is older than Redis 2.6.
    pub checked: bool,
    /// The first databases and slots with another number of keys than the file states.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub further_differences: u64,
}
