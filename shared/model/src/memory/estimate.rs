//! Estimates of the memory of a group of keys from its measured keys. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Standard deviations between an estimate and its lower bound: 97.5 % of a normal distribution lie above it. Sizes
/// have a long upper tail, so the bound holds more often.
pub const DEVIATIONS: f64 = 1.96;

/// An upper bound that is derived from the memory in use is reported if it is at most so many times the lower bound. A
/// higher one is not informative.
const CEILING_TIMES: u64 = 2;

/// Bytes of memory, with bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ByteEstimate {
    /// The estimate: measured bytes, and their mean for each key that was not measured.
    pub estimate: u64,
    /// The lower bound.
    pub low: u64,
    /// The upper bound; null if unknown.
    pub high: Option<u64>,
    /// Keys that were measured.
    pub samples: u64,
}

impl ByteEstimate {
    /// Exactly no bytes.
    pub const NOTHING: Self = Self { estimate: 0, low: 0, high: Some(0), samples: 0 };

    /// Whether every key was measured.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.high == Some(self.low)
    }

    /// The same with the upper bound `most`, if it has none and `most` is informative.
    #[must_use]
    pub fn at_most(self, most: Option<u64>) -> Self {
        let most = most.filter(|most| *most <= self.low.saturating_mul(CEILING_TIMES));
        match (self.high, most.map(|most| most.max(self.low))) {
            (None, Some(most)) => Self { high: Some(most), estimate: self.estimate.min(most), ..self },
            _ => self,
        }
    }

    /// The sum with the estimate of other keys.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = u64::saturating_add;
        Self {
            estimate: sum(self.estimate, other.estimate),
            low: sum(self.low, other.low),
            high: self.high.zip(other.high).map(|(one, two)| sum(one, two)),
            samples: sum(self.samples, other.samples),
        }
    }
}

/// The measurements of some keys. Measurements of other keys can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryEstimate {
    /// Keys that were measured.
    pub samples: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes of all others, estimated.
    pub rest: u64,
    /// The variance of that, in square bytes.
    pub variance: f64,
    /// Whether there are keys that were not measured.
    pub unmeasured: bool,
}

impl MemoryEstimate {
    /// Adds the measurements of other keys.
    pub fn add(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.rest = self.rest.saturating_add(other.rest);
        self.variance += other.variance;
        self.unmeasured |= other.unmeasured;
    }

    /// Bytes of all keys, estimated.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.bytes.saturating_add(self.rest)
    }

    /// The lower bound of the bytes of all keys.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no more than 52 bits")]
    pub fn low(&self) -> u64 {
        whole(self.estimate() as f64 - DEVIATIONS * self.variance.sqrt()).clamp(self.bytes, self.estimate())
    }

    /// The estimate with its bounds. The upper bound is known if every key was measured.
    #[must_use]
    pub fn bounds(&self) -> ByteEstimate {
        let (estimate, low) = (self.estimate(), self.low());
        ByteEstimate { estimate, low, high: (!self.unmeasured).then_some(estimate), samples: self.samples }
    }
}

/// Rounds down, to 0 at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what does not fit becomes the largest or the smallest number"
)]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}
