//! Summaries of very many values in bounded memory, which workers make for themselves and which are merged.
//! They travel in the forms of the libraries that make them, which check what they read.

use std::cmp::Reverse;

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;
use sketches_ddsketch::{Config, DDSketch};

/// Counters of a sketch of heavy prefixes; a power of two. A weight is off by at most 3.5 parts of it in the sum.
const HEAVY_COUNTERS: usize = 512;

/// Percentiles of positive numbers, off by at most 1 %: that is how the library makes sketches by default, and the
/// only way in which it reads them.
#[derive(Clone)]
pub struct Quantiles(DDSketch);

impl Default for Quantiles {
    fn default() -> Self {
        Self(DDSketch::new(Config::defaults()))
    }
}

impl Quantiles {
    /// Takes a value in.
    pub fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    /// Takes another sketch in.
    pub fn merge(&mut self, other: &Self) {
        // All are made alike, so it cannot fail.
        let _ = self.0.merge(&other.0);
    }

    /// Values taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count() as u64
    }

    /// The value that a share of `q` (0 to 1) of all values do not exceed, within 1 %; `None` without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.0.quantile(q).ok().flatten()
    }
}

impl PartialEq for Quantiles {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_java_bytes() == other.0.to_java_bytes()
    }
}

impl std::fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quantiles").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ByteBuf::from(self.0.to_java_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let read = DDSketch::from_java_bytes(&bytes).map_err(de::Error::custom)?;
        // One that was made in another way cannot be merged, now or later.
        let mut sketch = Self::default();
        sketch.0.merge(&read).map_err(de::Error::custom)?;
        Ok(sketch)
    }
}

/// The heaviest of very many names.
#[derive(Clone)]
pub struct Heavy(FrequentItemsSketch<String>);

impl Default for Heavy {
    #[expect(clippy::expect_used, reason = "the number of counters is a constant that the library takes")]
    fn default() -> Self {
        Self(FrequentItemsSketch::new(HEAVY_COUNTERS).expect("a power of two"))
    }
}

impl Heavy {
    /// Adds to the weight of a name.
    pub fn add(&mut self, name: &str, weight: u64) {
        // The library takes no sum beyond what it can hold.
        if self.0.total_weight().checked_add(weight).is_some() {
            self.0.update_with_count_ref(name, weight);
        }
    }

    /// Takes another sketch in.
    pub fn merge(&mut self, other: &Self) {
        if self.0.total_weight().checked_add(other.0.total_weight()).is_some() {
            self.0.merge(&other.0);
        }
    }

    /// The sum of all weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total_weight()
    }

    /// By how much a weight may be too low; a name that is missing weighs no more.
    #[must_use]
    pub fn error_max(&self) -> u64 {
        self.0.maximum_error()
    }

    /// The heaviest names, at most `count`, with the least that they weigh.
    #[must_use]
    pub fn heaviest(&self, count: usize) -> Vec<(String, u64)> {
        let rows = self.0.frequent_items(ErrorType::NoFalseNegatives);
        let mut rows: Vec<_> = rows.iter().map(|row| (row.item().clone(), row.lower_bound())).collect();
        rows.sort_by_key(|(name, weight)| (Reverse(*weight), name.clone()));
        rows.truncate(count);
        rows
    }
}

impl PartialEq for Heavy {
    fn eq(&self, other: &Self) -> bool {
        let all = |heavy: &Self| (heavy.total(), heavy.error_max(), heavy.heaviest(usize::MAX));
        all(self) == all(other)
    }
}

impl std::fmt::Debug for Heavy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heavy").field("heaviest", &self.heaviest(3)).finish_non_exhaustive()
    }
}

impl Serialize for Heavy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ByteBuf::from(self.0.serialize()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Heavy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let read = FrequentItemsSketch::deserialize(&bytes).map_err(de::Error::custom)?;
        // A sketch of another size would make ours grow.
        if read.max_map_size() > HEAVY_COUNTERS {
            return Err(de::Error::custom("a sketch of prefixes with too many counters"));
        }
        Ok(Self(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn percentiles_are_within_one_percent_after_merging_and_travel() {
        let mut values: Vec<f64> = (0..50_000).map(|_| 1.0 + fastrand::f64().powi(8) * 3e9).collect();
        let mut merged = Quantiles::default();
        for part in values.chunks(7_777) {
            let mut sketch = Quantiles::default();
            part.iter().for_each(|value| sketch.add(*value));
            let travelled: Quantiles = wire::decode(&wire::encode(&sketch).unwrap()).unwrap();
            assert_eq!(travelled, sketch);
            merged.merge(&travelled);
        }
        values.sort_by(f64::total_cmp);
        assert_eq!(merged.count(), 50_000);
        for q in [0.5, 0.9, 0.99] {
            let exact = values[(q * 49_999.0) as usize];
            let told = merged.quantile(q).unwrap();
            assert!((told / exact - 1.0).abs() <= 0.0101, "{q}: {told} for {exact}");
        }
        assert_eq!(Quantiles::default().quantile(0.5), None);
        let none: Quantiles = wire::decode(&wire::encode(&Quantiles::default()).unwrap()).unwrap();
        assert_eq!(none.count(), 0);
    }

    #[test]
    fn weights_are_within_their_bound_after_merging_and_travel() {
        let mut merged = Heavy::default();
        let truth = |n: u64| 200_000 / (n + 1);
        for part in 0..10 {
            let mut heavy = Heavy::default();
            for n in 0..20_000 {
                heavy.add(&format!("p{n}:"), truth(n) / 10 + u64::from(part < truth(n) % 10));
            }
            let travelled: Heavy = wire::decode(&wire::encode(&heavy).unwrap()).unwrap();
            assert_eq!(travelled, heavy);
            merged.merge(&travelled);
        }
        let sum: u64 = (0..20_000).map(truth).sum();
        assert_eq!(merged.total(), sum);
        assert!(merged.error_max() <= sum * 4 / HEAVY_COUNTERS as u64, "{} of {sum}", merged.error_max());
        for (n, (name, weight)) in merged.heaviest(10).into_iter().enumerate() {
            assert_eq!(name, format!("p{n}:"));
            let exact = truth(n as u64);
            assert!(weight <= exact && exact <= weight + merged.error_max(), "{name}: {weight} for {exact}");
        }
        let garbage: Result<Heavy, _> = wire::decode(&wire::encode(&ByteBuf::from(vec![9; 40])).unwrap());
        assert!(garbage.is_err());
        let garbage: Result<Quantiles, _> = wire::decode(&wire::encode(&ByteBuf::from(vec![9; 40])).unwrap());
        assert!(garbage.is_err());
    }
}
