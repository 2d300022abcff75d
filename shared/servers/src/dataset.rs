//! A realistic data set: a permission cache with the bug that keysweep is made for (some writes forgot the expiry),
//! keys that must survive, and other tenants of the same cluster.

use fastrand::Rng;

/// A key to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetEntry {
    /// The key, unique within a data set.
    pub key: Vec<u8>,
    /// Its value.
    pub value: DatasetValue,
    /// Its TTL; `None` for none.
    pub ttl_ms: Option<u64>,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetValue {
    /// A string.
    Text(Vec<u8>),
    /// A hash of fields and values.
    Hash(Vec<(String, String)>),
    /// A set.
    Set(Vec<String>),
}

/// The expected counts of a data set, for the pattern `permissions:*` with `permissions:system:*` protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedCounts {
    /// Keys that match the pattern, including protected ones: all that a run must scan.
    pub matching: u64,
    /// Matching, unprotected keys without TTL: all that a run must delete.
    pub stale: u64,
    /// Protected keys; none has a TTL.
    pub protected: u64,
    /// Keys that match other patterns, with and without TTL.
    pub other: u64,
}

impl ExpectedCounts {
    /// All keys of the data set.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.matching + self.other
    }
}

/// The keys of a data set; their classes are mixed evenly.
pub struct Dataset {
    rng: Rng,
    truth: ExpectedCounts,
    /// The remaining keys of each class; see [`Class`].
    left: [u64; 4],
    /// The number of keys so far.
    made: u64,
}

#[derive(Clone, Copy)]
enum Class {
    Fresh,
    Stale,
    Protected,
    Other,
}

const CLASSES: [Class; 4] = [Class::Fresh, Class::Stale, Class::Protected, Class::Other];
const RESOURCES: [&str; 6] = ["documents", "projects", "billing", "reports", "settings", "members"];
/// The interval of large keys in the permission cache: 64 KiB of text, or a set of 10,000 members.
const LARGE_EVERY: u64 = 5000;

/// A data set of `keys` keys: a hundredth are protected, three in twenty match other patterns, the others are a
/// permission cache of which `stale_percent` (at most 100) have no TTL. TTLs are between 30 s and 15 min, so that none
/// of them expires in a run that ends within 30 s of seeding. Deterministic for the same arguments.
#[must_use]
pub fn demo_mixture(keys: u64, stale_percent: u8, seed: u64) -> Dataset {
    let (protected, other) = (keys / 100, keys * 15 / 100);
    let cache = keys - protected - other;
    let stale = cache * u64::from(stale_percent.min(100)) / 100;
    let truth = ExpectedCounts { matching: cache + protected, stale, protected, other };
    Dataset { rng: Rng::with_seed(seed), truth, left: [cache - stale, stale, protected, other], made: 0 }
}

impl Dataset {
    /// The expected counts of the whole data set, independent of the iteration.
    #[must_use]
    pub fn truth(&self) -> ExpectedCounts {
        self.truth
    }

    fn next_class(&mut self) -> Option<Class> {
        let left: u64 = self.left.iter().sum();
        if left == 0 {
            return None;
        }
        let mut ticket = self.rng.u64(..left);
        for (count, class) in self.left.iter_mut().zip(CLASSES) {
            if ticket < *count {
                *count -= 1;
                return Some(class);
            }
            ticket -= *count;
        }
        None
    }

    fn permission(&mut self, number: u64, ttl_ms: Option<u64>) -> DatasetEntry {
        let resource = RESOURCES[(number % 6) as usize];
        let key = format!("permissions:{}:{resource}", 10_000 + number / 6).into_bytes();
        let value = match (number % LARGE_EVERY, number % 20) {
            (2500, _) => DatasetValue::Text(vec![b'x'; 64 * 1024]),
            (4999, _) => DatasetValue::Set((0..10_000).map(|member| format!("document:{member}")).collect()),
            (_, 7) => {
                DatasetValue::Hash(RESOURCES.iter().map(|name| ((*name).to_owned(), self.grant())).collect())
            }
            (_, 13) => {
                DatasetValue::Set((0..self.rng.u32(2..12)).map(|role| format!("role:{role}")).collect())
            }
            _ => DatasetValue::Text(self.grant().into_bytes()),
        };
        DatasetEntry { key, value, ttl_ms }
    }

    fn grant(&mut self) -> String {
        ["read", "read,write", "read,write,share", "none"][self.rng.usize(..4)].to_owned()
    }

    fn other(&mut self, number: u64) -> DatasetEntry {
        let id = self.rng.u64(1_000_000..10_000_000);
        let text = |text: String| DatasetValue::Text(text.into_bytes());
        let (key, value, ttl_ms) = match number % 5 {
            0 => (format!("product:{number}"), text(format!(r#"{{"sku":{id},"stock":{}}}"#, id % 90)), None),
            1 => (format!("product:{number}:views"), text(id.to_string()), None),
            2 => (
                format!("feature:{number}"),
                DatasetValue::Set(vec!["beta".to_owned(), format!("team:{}", id % 50)]),
                None,
            ),
            _ => (
                format!("session:{number}"),
                text(format!("user={id}")),
                Some(self.rng.u64(1_800_000..7_200_000)),
            ),
        };
        DatasetEntry { key: key.into_bytes(), value, ttl_ms }
    }
}

impl Iterator for Dataset {
    type Item = DatasetEntry;

    fn next(&mut self) -> Option<DatasetEntry> {
        let class = self.next_class()?;
        let number = self.made;
        self.made += 1;
        Some(match class {
            Class::Fresh => {
                let ttl_ms = self.rng.u64(30_000..900_000);
                self.permission(number, Some(ttl_ms))
            }
            Class::Stale => self.permission(number, None),
            Class::Protected => {
                let key = format!("permissions:system:{number}").into_bytes();
                DatasetEntry {
                    key,
                    value: DatasetValue::Text(b"read,write,share,administer".to_vec()),
                    ttl_ms: None,
                }
            }
            Class::Other => self.other(number),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn expected_counts_match_the_entries() {
        for (keys, percent) in [(20_000, 10), (7, 50), (0, 10), (1000, 0), (1000, 100)] {
            let mixture = demo_mixture(keys, percent, 1);
            let truth = mixture.truth();
            let entries: Vec<DatasetEntry> = mixture.collect();
            let names: HashSet<&[u8]> = entries.iter().map(|entry| entry.key.as_slice()).collect();
            assert_eq!((names.len() as u64, truth.total()), (keys, keys), "every key once");
            let count = |wanted: &dyn Fn(&DatasetEntry) -> bool| {
                entries.iter().filter(|entry| wanted(entry)).count() as u64
            };
            let matches = |entry: &DatasetEntry| entry.key.starts_with(b"permissions:");
            let protected = |entry: &DatasetEntry| entry.key.starts_with(b"permissions:system:");
            assert_eq!(truth.matching, count(&matches));
            assert_eq!(truth.protected, count(&protected));
            assert_eq!(truth.stale, count(&|e| matches(e) && !protected(e) && e.ttl_ms.is_none()));
            assert_eq!(truth.other, count(&|e| !matches(e)));
            assert!(
                entries
                    .iter()
                    .all(|e| !matches(e) || e.ttl_ms.is_none_or(|ttl| (30_000..900_000).contains(&ttl)))
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let keys = |seed| demo_mixture(2000, 10, seed).collect::<Vec<_>>();
        assert_eq!(keys(5), keys(5));
        assert_ne!(keys(5), keys(6));
    }

    #[test]
    fn all_kinds_of_values_occur_among_the_stale() {
        let stale: Vec<DatasetEntry> =
            demo_mixture(20_000, 50, 3).filter(|entry| entry.ttl_ms.is_none()).collect();
        assert!(stale.iter().any(|entry| matches!(entry.value, DatasetValue::Hash(_))));
        assert!(stale.iter().any(|entry| matches!(entry.value, DatasetValue::Set(_))));
        assert!(
            stale.iter().any(|entry| matches!(&entry.value, DatasetValue::Text(text) if text.len() > 60_000))
        );
    }
}
