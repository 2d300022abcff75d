//! Types of keys, as `TYPE` names them.

use std::fmt;

use crate::error::Problem;
use crate::limits::TYPE_NAME_BYTES_MAX;

/// A type of keys: one that every server knows, or one of a module. `Display` puts the name of a module's type in
/// quotes, as predicates have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyType(String);

impl KeyType {
    /// The types that need no quotes.
    pub const KNOWN: [&str; 7] = ["string", "list", "set", "zset", "hash", "stream", "vectorset"];

    /// The type that a word without quotes names.
    pub(super) fn known(word: &str) -> Option<Self> {
        Self::KNOWN.contains(&word).then(|| Self(word.to_owned()))
    }

    /// The type with this name.
    ///
    /// # Errors
    /// [`Problem::BadTypeName`]: no type can be called so.
    pub fn named(name: &str) -> Result<Self, Problem> {
        let fits = (1..=TYPE_NAME_BYTES_MAX).contains(&name.len());
        if fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Problem::BadTypeName)
        }
    }

    /// Its name, as `TYPE` answers it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::KNOWN.contains(&self.name()) {
            true => f.write_str(&self.0),
            false => write!(f, "\"{}\"", self.0),
        }
    }
}
