//! Types and idle times of the sampled keys of one namespace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{TYPE_BYTES_MAX, TYPES_MAX};
use crate::magnitudes::MagnitudeCounts;

/// What was found of a key that was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyDetails<'a> {
    /// Bytes that it takes, with its name; `None` if it is gone, or if that is not known.
    pub bytes: Option<u64>,
    /// Its type, as the server calls it.
    pub kind: Option<&'a str>,
    /// Seconds since its last use.
    pub idle_s: Option<u64>,
}

/// What was found of some keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Keys by type.
    pub(crate) types: BTreeMap<String, u64>,
    /// Idle times in seconds.
    pub(crate) idle: MagnitudeCounts,
}

impl Details {
    pub(crate) fn add(&mut self, found: KeyDetails<'_>) {
        if let Some(kind) = found.kind {
            self.count(kind, 1);
        }
        if let Some(seconds) = found.idle_s {
            self.idle.add(seconds);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.types.iter().for_each(|(kind, keys)| self.count(kind, *keys));
        self.idle.merge(&other.idle);
    }

    fn count(&mut self, kind: &str, keys: u64) {
        let has_room = self.types.len() < TYPES_MAX && kind.len() <= TYPE_BYTES_MAX;
        if let Some(count) = self.types.get_mut(kind) {
            *count = count.saturating_add(keys);
        } else if has_room {
            self.types.insert(kind.to_owned(), keys);
        }
    }

    /// Whether they can be those of `keys` keys.
    pub(crate) fn are_possible(&self, keys: u64) -> bool {
        let fits = |(kind, count): (&String, &u64)| kind.len() <= TYPE_BYTES_MAX && *count <= keys;
        self.types.len() <= TYPES_MAX && self.types.iter().all(fits)
    }
}
