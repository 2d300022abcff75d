//! What a scan task saw of the keys that it read, beside what it counts: mergeable, and of bounded size. Keys of
//! slots that were handed back are in it, too; `dropped` says how many they may be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::PREFIX_SAMPLES_MAX;
use crate::memory::PrefixMemory;
use crate::sketch::{HeavyHitters, Quantiles};

/// The upper ends of the bars of the histogram of TTLs, in milliseconds; a last bar has none.
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

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanStatistics {
    /// TTLs in milliseconds, of keys that have one.
    pub ttls: Quantiles,
    /// The same keys by the bars of [`TTL_BARS_MS`].
    pub ttl_bars: [u64; TTL_BARS_MS.len() + 1],
    /// Keys by prefix.
    pub keys: HeavyHitters,
    /// Keys without TTL by prefix.
    pub stale: HeavyHitters,
    /// Memory by prefix. A report of an earlier version says nothing of it in this way.
    #[serde(default = "PrefixMemory::unknown")]
    pub weights: PrefixMemory,
    /// The same of keys that would be deleted and are only reported.
    #[serde(default = "PrefixMemory::unknown")]
    pub reported: PrefixMemory,
    /// A key for some of the prefixes, the heavy ones among them.
    pub examples: BTreeMap<String, String>,
    /// Why it could not be, if it could not.
    pub refused: Option<String>,
    /// Sampled keys in the last fifth of the configured TTL.
    pub late: u64,
    /// Those of them that were used in that time.
    pub late_used: u64,
    /// Keys that are in here and do not count, because their slots are read again.
    pub dropped: u64,
}

impl ScanStatistics {
    /// Counts the TTL of `keys` keys into its bar.
    #[inline]
    pub fn add_to_bars(&mut self, ms: u64, keys: u64) {
        let bar = TTL_BARS_MS.iter().position(|end| ms <= *end).unwrap_or(TTL_BARS_MS.len());
        self.ttl_bars[bar] += keys;
    }

    /// Takes those of another task in.
    pub fn merge(&mut self, other: &Self) {
        self.ttls.merge(&other.ttls);
        for (bar, more) in self.ttl_bars.iter_mut().zip(other.ttl_bars) {
            *bar = bar.saturating_add(more);
        }
        self.keys.merge(&other.keys);
        self.stale.merge(&other.stale);
        self.weights.merge(&other.weights);
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
    fn a_report_that_says_nothing_of_memory_does_not_say_that_there_is_none() {
        let now = serde_json::to_value(ScanStatistics::default()).unwrap();
        let mut before: BTreeMap<String, serde_json::Value> = serde_json::from_value(now).unwrap();
        before.retain(|field, _| !["weights", "reported"].contains(&field.as_str()));
        // Earlier versions said it in another way.
        before.insert("memory".to_owned(), serde_json::json!([[1, 2], 3, 4, 5]));
        let before: ScanStatistics = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        let mut run = ScanStatistics::default();
        assert_eq!(run.weights.all(None).high, Some(0));
        run.merge(&before);
        assert_eq!((run.weights.all(None).high, run.reported.all(None).high), (None, None));
    }
}
