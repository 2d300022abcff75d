//! Percentiles.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;
use sketches_ddsketch::{Config, DDSketch};

use super::validate;

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
    /// Takes a value in that comes so many times.
    pub fn add(&mut self, value: f64, times: u64) {
        self.0.add_with_count(value, times);
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
        validate::check(&bytes).map_err(|validate::InvalidSketch| {
            de::Error::custom("a sketch of percentiles that is none of ours")
        })?;
        let read = DDSketch::from_java_bytes(&bytes).map_err(de::Error::custom)?;
        // One that was made in another way cannot be merged, now or later.
        let mut sketch = Self::default();
        sketch.0.merge(&read).map_err(de::Error::custom)?;
        Ok(sketch)
    }
}
