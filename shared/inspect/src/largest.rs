//! The largest of the keys that were measured.

use std::cmp::Reverse;

use keysweep_model::excerpt::Excerpt;
use serde::{Deserialize, Serialize};

use crate::details::KeyDetails;
use crate::limits::{LARGEST_MAX, NAME_BYTES_MAX, TYPE_BYTES_MAX};

/// A key that is large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeKey {
    /// Its name, unprintable bytes escaped; one of more than [`NAME_BYTES_MAX`] bytes is cut, and ends with `…`.
    pub name: String,
    /// Bytes that it takes, with its name.
    pub bytes: u64,
    /// Its type, as the server calls it; `None` if it was not looked up.
    pub kind: Option<String>,
    /// The template of its namespace; `None` if it is in none that is listed.
    pub template: Option<String>,
}

/// The largest keys, in descending order. The result does not depend on the order of additions and merges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Largest {
    keys: Vec<Measured>,
}

/// A key that was measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The largest one is the first.
    pub(crate) bytes: Reverse<u64>,
    pub(crate) name: Excerpt,
    pub(crate) kind: Option<String>,
}

impl Largest {
    /// Adds what was found of a key.
    pub(crate) fn add(&mut self, name: &[u8], found: KeyDetails<'_>) {
        let Some(bytes) = found.bytes else { return };
        let is_full = self.keys.len() >= LARGEST_MAX;
        if is_full && self.keys.last().is_some_and(|least| bytes < least.bytes.0) {
            return;
        }
        let kind = found.kind.filter(|kind| kind.len() <= TYPE_BYTES_MAX).map(str::to_owned);
        self.keep(Measured { bytes: Reverse(bytes), name: Excerpt::of(name, NAME_BYTES_MAX), kind });
    }

    /// Adds the keys of another list.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.keys.iter().cloned().for_each(|key| self.keep(key));
    }

    fn keep(&mut self, key: Measured) {
        // A key may be listed twice, and may have grown meanwhile.
        if let Some(place) = self.keys.iter().position(|its| its.name.hash == key.name.hash) {
            if self.keys[place] <= key {
                return;
            }
            self.keys.remove(place);
        }
        let place = self.keys.partition_point(|its| *its < key);
        self.keys.insert(place, key);
        self.keys.truncate(LARGEST_MAX);
    }

    /// The keys, the largest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Measured> {
        self.keys.iter()
    }

    /// Whether it can be the list of a server with keys of at most `bytes_max` bytes.
    pub(crate) fn is_possible(&self, bytes_max: u64) -> bool {
        let fits = |key: &Measured| {
            key.bytes.0 <= bytes_max
                && key.name.is_possible(NAME_BYTES_MAX)
                && key.kind.as_ref().is_none_or(|kind| kind.len() <= TYPE_BYTES_MAX)
        };
        self.keys.len() <= LARGEST_MAX && self.keys.iter().all(fits) && self.keys.is_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[(u64, u64)]) -> Largest {
        let mut largest = Largest::default();
        for (n, bytes) in keys {
            let found = KeyDetails { bytes: Some(*bytes), kind: Some("string"), idle_s: None };
            largest.add(format!("k:{n}").as_bytes(), found);
        }
        largest
    }

    #[test]
    fn the_largest_keys_do_not_depend_on_the_order() {
        let mut rng = fastrand::Rng::with_seed(1);
        // Some are seen twice, with other sizes.
        let mut keys: Vec<(u64, u64)> = (0..200).map(|_| (rng.u64(..90), rng.u64(..60))).collect();
        let whole = of(&keys);
        let mut sizes = [0; 90];
        for (n, bytes) in &keys {
            sizes[*n as usize] = sizes[*n as usize].max(*bytes);
        }
        sizes.sort_unstable();
        let found: Vec<u64> = whole.iter().map(|key| key.bytes.0).collect();
        assert_eq!(found, sizes.into_iter().rev().take(LARGEST_MAX).collect::<Vec<_>>());
        for cut in [0, 3, 77, 200] {
            rng.shuffle(&mut keys);
            let mut merged = of(&keys[cut..]);
            merged.merge(&of(&keys[..cut]));
            assert_eq!(merged, whole);
        }
        assert!(whole.is_possible(60) && !whole.is_possible(5));
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut largest = Largest::default();
        largest.add(&[b'x'; 100_000], KeyDetails { bytes: Some(7), ..KeyDetails::default() });
        largest.add(b"gone", KeyDetails::default());
        let texts: Vec<String> = largest.iter().map(|key| key.name.text()).collect();
        assert_eq!(texts, [format!("{}…", "x".repeat(NAME_BYTES_MAX - 4))]);
        assert!(largest.iter().all(|key| key.name.whole().is_none()));
    }
}
