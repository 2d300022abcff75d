//! Statistics of the keys that a scan task read, in addition to its counts: mergeable, and of bounded size. Keys of
//! slots that are planned again are included; `dropped` is an upper bound for their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::PREFIX_SAMPLES_MAX;
use crate::memory::PrefixMemory;
use crate::sketch::{HeavyHitters, Quantiles};

/// The upper bounds of the buckets of the TTL histogram, in milliseconds; a last bucket has none.
pub const TTL_BARS_MS: [u64; 11] = [
    1_000,
    10_000,
    60_000,
    300_000,
    900_000,
    1_800_000,
    3_600_000,
    6 * 3_600_000,
    86_400_000,
    7 * 86_400_000,
    30 * 86_400_000,
];

/// Statistics of the keys of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanStatistics {
    /// TTLs in milliseconds, of keys that have one.
    pub ttls: Quantiles,
    /// The same keys by the buckets of [`TTL_BARS_MS`].
    pub ttl_bars: [u64; TTL_BARS_MS.len() + 1],
    /// Keys by prefix.
    pub keys: HeavyHitters,
    /// Keys without TTL by prefix.
    pub stale: HeavyHitters,
    /// Memory by prefix. Earlier versions report it in another form, as `memory`.
    #[serde(default = "PrefixMemory::unknown")]
    pub memory_by_prefix: PrefixMemory,
    /// The same for keys that would be deleted and are only reported.
    #[serde(default = "PrefixMemory::unknown")]
    pub reported: PrefixMemory,
    /// An example key for some of the prefixes, the heaviest ones among them.
    pub examples: BTreeMap<String, String>,
    /// Why memory could not be measured, if so.
    pub refused: Option<String>,
    /// Sampled keys in the last fifth of the configured TTL.
    pub late: u64,
    /// Those of them that were accessed in that time.
    pub late_used: u64,
    /// Keys that are included here and do not count, because their slots are planned again.
    pub dropped: u64,
}

impl ScanStatistics {
    /// Counts the TTL of `keys` keys in its bucket.
    #[inline]
    pub fn add_to_bars(&mut self, ms: u64, keys: u64) {
        self.ttl_bars[TTL_BARS_MS.partition_point(|end| *end < ms)] += keys;
    }

    /// Merges the statistics of another task.
    pub fn merge(&mut self, other: &Self) {
        self.ttls.merge(&other.ttls);
        for (bar, more) in self.ttl_bars.iter_mut().zip(other.ttl_bars) {
            *bar = bar.saturating_add(more);
        }
        self.keys.merge(&other.keys);
        self.stale.merge(&other.stale);
        self.memory_by_prefix.merge(&other.memory_by_prefix);
        self.reported.merge(&other.reported);
        for (prefix, key) in &other.examples {
            if self.examples.len() < PREFIX_SAMPLES_MAX {
                self.examples.entry(prefix.clone()).or_insert_with(|| key.clone());
            }
        }
        if self.refused.is_none() {
            self.refused.clone_from(&other.refused);
        }
        self.late = self.late.saturating_add(other.late);
        self.late_used = self.late_used.saturating_add(other.late_used);
        self.dropped = self.dropped.saturating_add(other.dropped);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_report_without_memory_leaves_it_unknown() {
        let now = serde_json::to_value(ScanStatistics::default()).unwrap();
        let mut before: BTreeMap<String, serde_json::Value> = serde_json::from_value(now).unwrap();
        before.retain(|field, _| !["memory_by_prefix", "reported"].contains(&field.as_str()));
        // Earlier versions report it in another form.
        before.insert("memory".to_owned(), serde_json::json!([[1, 2], 3, 4, 5]));
        let before: ScanStatistics = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        let mut run = ScanStatistics::default();
        assert_eq!(run.memory_by_prefix.all(None).high, Some(0));
        run.merge(&before);
        assert_eq!((run.memory_by_prefix.all(None).high, run.reported.all(None).high), (None, None));
    }
}
