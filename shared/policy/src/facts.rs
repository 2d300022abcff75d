//! What is known about a key when a predicate is evaluated.

/// The facts of one key. All but its name may be unknown, because they were not read yet, or because the server did not
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its TTL.
    pub ttl: Option<KeyTtl>,
    /// Whether the user whose key it is is active. Unknown if its name has no user, or if it is not known who is active.
    pub user_active: Option<bool>,
    /// Its type, as `TYPE` names it.
    pub type_name: Option<&'a str>,
    /// How long it was not accessed, in milliseconds. Servers say it in whole seconds, rounded down.
    pub idle_ms: Option<u64>,
    /// The server's counter of accesses.
    pub freq: Option<u64>,
    /// Its memory in bytes.
    pub bytes: Option<u64>,
    /// The number of its elements: of a list, set, sorted set, hash or stream. A string has none, so that it stays
    /// unknown there.
    pub length: Option<u64>,
}

/// The TTL of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTtl {
    /// It has none.
    None,
    /// So many milliseconds are left.
    Ms(u64),
}

impl<'a> Facts<'a> {
    /// Only the name is known.
    #[must_use]
    pub const fn of_name(name: &'a [u8]) -> Self {
        Self {
            name,
            ttl: None,
            user_active: None,
            type_name: None,
            idle_ms: None,
            freq: None,
            bytes: None,
            length: None,
        }
    }
}
