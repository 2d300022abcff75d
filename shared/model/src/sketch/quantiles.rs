//! Percentiles.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;
use sketches_ddsketch::{Config, DDSketch};

use super::validate;

/// A quantile sketch of positive numbers with an error of at most 1 %: the library's default, and the only error that
/// it reads.
#[derive(Clone)]
pub struct Quantiles(DDSketch);

impl Default for Quantiles {
    fn default() -> Self {
        Self(DDSketch::new(Config::defaults()))
    }
}

impl Quantiles {
    /// Adds a value `times` times.
    pub fn add(&mut self, value: f64, times: u64) {
        self.0.add_with_count(value, times);
    }

    /// Merges another sketch.
    pub fn merge(&mut self, other: &Self) {
        // It cannot fail, since all sketches have the same parameters.
        let _ = self.0.merge(&other.0);
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count() as u64
    }

    /// The `q`-quantile (0 to 1) of all values, within 1 %; `None` without values.
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
            de::Error::custom("a quantile sketch with other parameters")
        })?;
        let read = DDSketch::from_java_bytes(&bytes).map_err(de::Error::custom)?;
        // A sketch with other parameters cannot be merged, now or later.
        let mut sketch = Self::default();
        sketch.0.merge(&read).map_err(de::Error::custom)?;
        Ok(sketch)
    }
}
