//! The heaviest of very many names.

use std::cmp::Reverse;

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;

/// Counters of the sketch; a power of two. A weight is off by at most 3.5 / 512 of the sum.
pub(super) const HEAVY_COUNTERS: usize = 512;

/// The heaviest of very many names.
#[derive(Clone)]
pub struct HeavyHitters {
    sketch: FrequentItemsSketch<String>,
    /// The sum of all weights, also of those that have no name here.
    total: u64,
    /// The error of weights before they were added here.
    error: u64,
    /// The variance of weights that were counted in samples.
    variance: u64,
}

impl Default for HeavyHitters {
    #[expect(clippy::expect_used, reason = "the number of counters is a constant that the library takes")]
    fn default() -> Self {
        let sketch = FrequentItemsSketch::new(HEAVY_COUNTERS).expect("a power of two");
        Self { sketch, total: 0, error: 0, variance: 0 }
    }
}

impl HeavyHitters {
    /// Names whose weights have an error up to `error`, and a sampling `variance`, out of a sum of `total`.
    pub(super) fn of(
        names: impl Iterator<Item = (String, u64)>,
        total: u64,
        (error, variance): (u64, u64),
    ) -> Self {
        let mut heavy = Self { total, error, variance, ..Self::default() };
        for (name, weight) in names {
            heavy.sketch.update_with_count(name, weight);
        }
        heavy
    }

    /// An empty sketch for weights of a sample, which are off by `error` in either direction with a probability of 95
    /// %.
    #[must_use]
    pub fn off_by(error: u64) -> Self {
        let deviation = error / 2;
        Self { variance: deviation.saturating_mul(deviation), ..Self::default() }
    }

    /// Adds to the weight of a name.
    pub fn add(&mut self, name: &str, weight: u64) {
        // The library rejects a sum that it cannot represent.
        if let Some(total) = self.total.checked_add(weight) {
            self.total = total;
            self.sketch.update_with_count_ref(name, weight);
        }
    }

    /// Merges another sketch.
    pub fn merge(&mut self, other: &Self) {
        if let Some(total) = self.total.checked_add(other.total) {
            self.total = total;
            self.error = self.error.saturating_add(other.error);
            self.variance = self.variance.saturating_add(other.variance);
            self.sketch.merge(&other.sketch);
        }
    }

    /// The sum of all weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The maximum by which a weight is too low, and the maximum weight of a missing name. Sampled weights exceed it
    /// in one of a million cases.
    #[must_use]
    pub fn error_max(&self) -> u64 {
        self.error.saturating_add(self.sketch.maximum_error()).saturating_add(self.spread())
    }

    /// The maximum error of a sampled weight in either direction; other weights are never too high.
    #[must_use]
    pub fn spread(&self) -> u64 {
        5 * self.variance.isqrt()
    }

    /// The heaviest names, at most `count`, with their lower bounds.
    #[must_use]
    pub fn heaviest(&self, count: usize) -> Vec<(String, u64)> {
        let rows = self.sketch.frequent_items(ErrorType::NoFalseNegatives);
        let mut rows: Vec<_> = rows.iter().map(|row| (row.item().clone(), row.lower_bound())).collect();
        rows.sort_by_key(|(name, weight)| (Reverse(*weight), name.clone()));
        rows.truncate(count);
        rows
    }
}

impl PartialEq for HeavyHitters {
    fn eq(&self, other: &Self) -> bool {
        let all = |heavy: &Self| (heavy.total(), heavy.error_max(), heavy.heaviest(usize::MAX));
        all(self) == all(other)
    }
}

impl std::fmt::Debug for HeavyHitters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heavy").field("heaviest", &self.heaviest(3)).finish_non_exhaustive()
    }
}

impl Serialize for HeavyHitters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (ByteBuf::from(self.sketch.serialize()), self.total, self.error, self.variance).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HeavyHitters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, total, error, variance) = <(ByteBuf, u64, u64, u64)>::deserialize(deserializer)?;
        let larger = || de::Error::custom("a sketch of prefixes that is larger than it may be");
        // The library allocates as many counters as the fourth byte states, before it reads them.
        if bytes
            .get(3)
            .is_none_or(|log2| 1_usize.checked_shl(u32::from(*log2)).is_none_or(|n| n > HEAVY_COUNTERS))
        {
            return Err(larger());
        }
        let sketch = FrequentItemsSketch::deserialize(&bytes).map_err(de::Error::custom)?;
        // A sketch of another size would make ours grow, and one that exceeds its stated sum would end the process.
        let beyond = [sketch.total_weight(), sketch.maximum_error()].into_iter().any(|weight| weight > total);
        if sketch.max_map_size() > HEAVY_COUNTERS || beyond {
            return Err(larger());
        }
        Ok(Self { sketch, total, error, variance })
    }
}
