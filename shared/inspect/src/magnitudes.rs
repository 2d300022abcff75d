//! Counts times by magnitude, for their median, in at most [`MAGNITUDES_MAX`] counters: there may be thousands of
//! namespaces, so the sketches of whole runs are too large.

use serde::{Deserialize, Serialize};

use crate::limits::MAGNITUDES_MAX;

/// Leading bits that are distinguished behind the first one: a value is off by at most 1 / 32.
const BITS: u8 = 4;

/// Counts of values by their leading bits. The result does not depend on the order of additions and merges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u8, Vec<(u16, u32)>)", into = "(u8, Vec<(u16, u32)>)")]
pub(crate) struct MagnitudeCounts {
    /// As [`BITS`], but fewer once there were too many buckets.
    bits: u8,
    /// Bucket and count, by bucket. A count does not exceed that of all keys that a server can have.
    buckets: Vec<(u16, u32)>,
}

impl Default for MagnitudeCounts {
    fn default() -> Self {
        Self { bits: BITS, buckets: Vec::new() }
    }
}

/// The bucket of `value`: the number of bits that are dropped, and then the others.
fn bucket(value: u64, bits: u8) -> u16 {
    let dropped = (u64::BITS - value.leading_zeros()).saturating_sub(u32::from(bits) + 1);
    // At most 60 bits are dropped, and at most five remain.
    ((dropped as u16) << (bits + 1)) | (value >> dropped) as u16
}

/// The middle of a bucket.
fn middle(bucket: u16, bits: u8) -> u64 {
    let dropped = bucket >> (bits + 1);
    let least = u64::from(bucket & ((1 << (bits + 1)) - 1)) << dropped;
    least + ((1_u64 << dropped) - 1) / 2
}

impl MagnitudeCounts {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.add_to(bucket(value, self.bits), 1);
    }

    fn add_to(&mut self, bucket: u16, times: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(times),
            Err(place) => {
                self.buckets.insert(place, (bucket, times));
                if self.buckets.len() > MAGNITUDES_MAX && self.bits > 0 {
                    self.coarsen(self.bits - 1);
                }
            }
        }
    }

    fn coarsen(&mut self, bits: u8) {
        let all = std::mem::take(&mut self.buckets);
        let from = std::mem::replace(&mut self.bits, bits);
        for (at, times) in all {
            self.add_to(bucket(middle(at, from), self.bits), times);
        }
    }

    /// Merges other counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.bits < self.bits {
            self.coarsen(other.bits);
        }
        for (at, times) in &other.buckets {
            self.add_to(bucket(middle(*at, other.bits), self.bits), *times);
        }
    }

    /// The values that were counted.
    pub(crate) fn total(&self) -> u64 {
        self.buckets.iter().map(|(_, times)| u64::from(*times)).sum()
    }

    /// The median, within 1 / 32 as a rule; `None` without values.
    pub(crate) fn median(&self) -> Option<u64> {
        let mut left = self.total().div_ceil(2);
        let at = self.buckets.iter().find(|(_, times)| {
            let here = left <= u64::from(*times);
            left = left.saturating_sub(u64::from(*times));
            here
        });
        at.map(|(at, _)| middle(*at, self.bits))
    }
}

impl From<MagnitudeCounts> for (u8, Vec<(u16, u32)>) {
    fn from(counts: MagnitudeCounts) -> Self {
        (counts.bits, counts.buckets)
    }
}

impl TryFrom<(u8, Vec<(u16, u32)>)> for MagnitudeCounts {
    type Error = &'static str;

    fn try_from((bits, buckets): (u8, Vec<(u16, u32)>)) -> Result<Self, Self::Error> {
        let in_order = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let exist = buckets.iter().all(|(at, _)| at >> (bits.min(BITS) + 1) < 64);
        if bits > BITS || buckets.len() > MAGNITUDES_MAX || !in_order || !exist {
            return Err("counts of TTLs that cannot exist");
        }
        Ok(Self { bits, buckets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> MagnitudeCounts {
        let mut counts = MagnitudeCounts::default();
        values.iter().for_each(|value| counts.add(*value));
        counts
    }

    #[test]
    fn each_value_is_in_the_bucket_of_its_middle() {
        for bits in 0..=BITS {
            for value in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3, (1 << bit) - 1]) {
                let at = bucket(value, bits);
                assert_eq!(bucket(middle(at, bits), bits), at, "{value} {bits}");
                let off = middle(at, bits).abs_diff(value) as f64 / value.max(1) as f64;
                assert!(off <= 1.0 / f64::from(2_u32 << bits), "{value} {bits}: {off}");
            }
        }
        assert_eq!(bucket(u64::MAX, BITS) >> (BITS + 1), 59);
    }

    #[test]
    fn the_median_is_close() {
        assert_eq!(of(&[]).median(), None);
        assert_eq!(of(&[7]).median(), Some(7));
        let values: Vec<u64> = (0..10_000).map(|n| 120_000 + n * 86_280).collect();
        let median = of(&values).median().unwrap() as f64;
        assert!((median / 431_520_000.0 - 1.0).abs() < 0.04, "{median}");
    }

    proptest! {
        #[test]
        fn order_and_merges_change_nothing(values: Vec<u64>, cut: prop::sample::Index) {
            let whole = of(&values);
            let (a, b) = values.split_at(cut.index(values.len() + 1));
            let mut merged = of(b);
            merged.merge(&of(a));
            prop_assert_eq!(&merged, &whole);
            prop_assert!(whole.buckets.len() <= MAGNITUDES_MAX);
            prop_assert_eq!(whole.total(), values.len() as u64);
        }

        #[test]
        fn many_magnitudes_make_the_counts_coarser(seed: u64, cut in prop::sample::select(vec![10, 2_000, 3_990])) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let values: Vec<u64> = (0..4_000).map(|_| rng.u64(..) >> rng.u32(..64)).collect();
            let whole = of(&values);
            prop_assert!(whole.bits < BITS && whole.buckets.len() <= MAGNITUDES_MAX);
            let mut merged = of(&values[cut..]);
            merged.merge(&of(&values[..cut]));
            prop_assert_eq!(merged, whole);
        }
    }
}
