//! Counts the heaviest of very many names, per key: by hashes, without creating a string for a name that is seen once.
//! Only names that may be heavy are stored; the others are within the error bound.

use std::collections::HashMap;

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use xxhash_rust::xxh3::xxh3_64;

use super::heavy_hitters::HeavyHitters;

/// Counters, a power of two.
const COUNTERS: usize = 1_024;

/// The maximum number of stored names.
const NAMES_MAX: usize = 2 * COUNTERS;

/// Once names were dropped, one in so many keys is checked whether its name should be stored.
const NAMED_ONE_IN: u32 = 8;

/// The maximum number of names in the result.
const REPORTED_MAX: usize = 128;

/// Bits of the filter for names seen once, a power of two.
const ONCE_BITS: usize = 1 << 17;

/// Counts the heaviest names.
pub struct HeavyHittersCounter {
    /// The counter receives a random sample of one in so many keys.
    one_in: u64,
    sketch: FrequentItemsSketch<u64>,
    names: HashMap<u64, String>,
    /// The sum of all weights.
    total: u64,
    /// Once names were dropped, a new name only sets its bit here: nearly all of them never occur again. (If two share
    /// a bit, the second one counts as known.)
    once: Vec<u64>,
    /// The most weight that a name lost to the filter.
    lost: u64,
    turn: u32,
    /// The last name, how often it repeated, and its weight since: many consecutive keys have the same prefix.
    last: Vec<u8>,
    last_times: u64,
    last_weight: u64,
}

impl Default for HeavyHittersCounter {
    #[expect(clippy::expect_used, reason = "the number of counters is a constant that the library takes")]
    fn default() -> Self {
        let sketch = FrequentItemsSketch::new(COUNTERS).expect("a power of two");
        Self {
            one_in: 1,
            sketch,
            names: HashMap::new(),
            total: 0,
            once: Vec::new(),
            lost: 0,
            turn: 0,
            last: Vec::new(),
            last_times: 0,
            last_weight: 0,
        }
    }
}

impl HeavyHittersCounter {
    /// A counter for a sample of one in `one_in` keys, each with the weight of all of them.
    #[must_use]
    pub fn one_in(one_in: u64) -> Self {
        Self { one_in, ..Self::default() }
    }

    /// Adds `weight` to the name with these `bytes`; `name` makes a string of them.
    pub fn add(&mut self, bytes: &[u8], weight: u64, name: impl Fn(&[u8]) -> String) {
        if self.last != bytes {
            self.flush(&name);
            self.last.clear();
            self.last.extend_from_slice(bytes);
        }
        self.add_again(1, weight);
    }

    /// Adds `weight` to the last name, for `keys` further keys together.
    #[inline]
    pub fn add_again(&mut self, keys: u64, weight: u64) {
        self.last_times += keys;
        self.last_weight += weight;
    }

    fn flush(&mut self, name: impl Fn(&[u8]) -> String) {
        let (times, weight) = (std::mem::take(&mut self.last_times), std::mem::take(&mut self.last_weight));
        if weight == 0 {
            return;
        }
        let hash = xxh3_64(&self.last);
        let exact = self.sketch.maximum_error() == 0;
        self.total = self.total.saturating_add(weight);
        if !exact && times == 1 && self.comes_first(hash) {
            self.lost = self.lost.max(weight);
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        if exact || self.turn.is_multiple_of(NAMED_ONE_IN) {
            // While everything is stored, a new name is stored; later, a name that is seen again.
            let new = self.sketch.lower_bound(&hash) == 0;
            if new == exact {
                self.names.entry(hash).or_insert_with(|| name(&self.last));
            }
            if self.names.len() > NAMES_MAX {
                self.names.retain(|hash, _| self.sketch.lower_bound(hash) > 0);
            }
        }
        self.sketch.update_with_count(hash, weight);
    }

    fn comes_first(&mut self, hash: u64) -> bool {
        if self.once.is_empty() {
            self.once = vec![0; ONCE_BITS / 64];
        }
        let (word, bit) = ((hash >> 6) as usize % (ONCE_BITS / 64), 1 << (hash % 64));
        let first = self.once[word] & bit == 0;
        self.once[word] |= bit;
        first
    }

    /// The result.
    #[must_use]
    pub fn finish(mut self, name: impl Fn(&[u8]) -> String) -> HeavyHitters {
        self.flush(name);
        let exact = self.sketch.maximum_error() == 0;
        let (mut reported, mut error) = (Vec::new(), self.sketch.maximum_error());
        // The heaviest come first.
        for row in self.sketch.frequent_items(ErrorType::NoFalseNegatives) {
            match self.names.remove(row.item()) {
                Some(name) if exact || reported.len() < REPORTED_MAX => {
                    reported.push((name, row.lower_bound()));
                }
                _ => error = error.max(row.upper_bound()),
            }
        }
        // A weight w comes from w / n keys, each of which is sampled with the probability 1 / n.
        let heaviest = reported.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let variance = heaviest.saturating_mul(self.one_in - 1);
        HeavyHitters::of(reported.into_iter(), self.total, (error.saturating_add(self.lost), variance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn few_names_are_exact() {
        let mut gather = HeavyHittersCounter::default();
        for n in 0..9_000 {
            gather.add(format!("p{}:", n % 300).as_bytes(), 2, text);
        }
        let heavy = gather.finish(text);
        assert_eq!((heavy.total(), heavy.error_max()), (18_000, 0));
        assert_eq!(heavy.heaviest(1_000).len(), 300);
        assert!(heavy.heaviest(1_000).iter().all(|(_, weight)| *weight == 60));
    }

    #[test]
    fn heavy_names_among_very_many_are_within_the_bound() {
        let mut gather = HeavyHittersCounter::default();
        let mut exact: HashMap<String, u64> = HashMap::new();
        for n in 0..200_000_u64 {
            // A half is unique, and the others follow a steep law.
            let name = if n % 2 == 0 {
                format!("once{n}:")
            } else {
                format!("often{}:", (fastrand::f64().powi(6) * 5_000.0) as u64)
            };
            gather.add(name.as_bytes(), 1, text);
            *exact.entry(name).or_default() += 1;
        }
        let heavy = gather.finish(text);
        assert_eq!(heavy.total(), 200_000);
        assert!(heavy.error_max() <= 200_000 * 4 / COUNTERS as u64, "{}", heavy.error_max());
        let reported: HashMap<String, u64> = heavy.heaviest(usize::MAX).into_iter().collect();
        for (name, weight) in exact {
            let least = reported.get(&name).copied().unwrap_or(0);
            assert!(least <= weight && weight <= least + heavy.error_max(), "{name}: {least} for {weight}");
        }
    }

    #[test]
    fn merged_counters_stay_within_the_bound() {
        let mut merged = HeavyHitters::default();
        for part in 0..10 {
            let mut gather = HeavyHittersCounter::default();
            for n in 0..20_000 {
                let name = if n % 10 < 3 { "a:".to_owned() } else { format!("{part}-{n}:") };
                gather.add(name.as_bytes(), 1, text);
            }
            merged.merge(&gather.finish(text));
        }
        let (name, weight) = merged.heaviest(1).remove(0);
        assert_eq!((name.as_str(), merged.total()), ("a:", 200_000));
        assert!(weight <= 60_000 && 60_000 <= weight + merged.error_max(), "{weight}");
    }
}
