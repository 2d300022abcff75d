//! A Redis key: bytes, never text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::printable::{Printable, beginning};

/// The prefix of all keys that keysweep itself stores in Redis; such keys are never scanned, counted or deleted.
pub const OWN_PREFIX: &[u8] = b"keysweep:";

/// A key as stored by the server. Encoded as bytes; `Display` escapes unprintable ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(#[serde(with = "serde_bytes")] Vec<u8>);

impl Key {
    /// Wraps the bytes of a key.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the empty key (Redis allows it).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The beginning of the key for display: at most `limit` bytes, then its length.
    #[must_use]
    pub fn shortened(&self, limit: usize) -> String {
        if self.len() <= limit {
            return self.to_string();
        }
        format!("{}… ({} bytes)", Printable(beginning(&self.0, limit)), self.len())
    }
}

/// Whether a key is one of keysweep's own.
#[inline]
#[must_use]
pub fn is_own(key: &[u8]) -> bool {
    // Nearly all keys differ in the first byte already.
    key.first() == OWN_PREFIX.first() && key.starts_with(OWN_PREFIX)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0).fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_escaped_and_shortened() {
        assert_eq!(Key::new(*b"a\xff\n").to_string(), r"a\xff\n");
        assert_eq!(Key::new(vec![b'k'; 40]).shortened(4), "kkkk… (40 bytes)");
        assert_eq!(Key::new("сессия").to_string(), "сессия");
        assert_eq!(Key::new("сессия").shortened(3), "с… (12 bytes)");
        assert!(is_own(b"keysweep:lock:x"));
        assert!(!is_own(b"keysweeper"));
    }
}
