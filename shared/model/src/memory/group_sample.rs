//! Samples the keys of one group whose number is counted anyway, such as those of a namespace. Samples of other parts of the
//! group, and of other groups that become one with it, can be added. Pure.

use serde::{Deserialize, Serialize};

use super::estimate::MemoryEstimate;
use super::sampler::{SampleKind, SampleRate, is_drawn};
use super::strata::{MEAN_OF_MIN, MeasuredKeys};
use crate::limits::COUNT_MAX;

/// Which keys of a group are measured, and what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupSample {
    /// Keys that are measured outright.
    outright: u64,
    /// All other keys.
    others: u64,
    measured: MeasuredKeys,
}

impl GroupSample {
    /// Counts a key, and says whether to measure it: the first `per_group` keys, and one in so many of the others, by the
    /// hash of their names. `left` is the number of keys that may be measured outright over all groups.
    #[inline]
    pub fn take(&mut self, key: &[u8], rate: SampleRate, left: &mut u64) -> Option<SampleKind> {
        if self.others == 0 && self.outright < rate.per_group && *left > 0 {
            self.outright += 1;
            *left -= 1;
            return Some(SampleKind::Outright);
        }
        self.others += 1;
        is_drawn(key, rate.one_in).then_some(SampleKind::Drawn)
    }

    /// Adds what a key takes that was selected as `kind`. A key that is gone by then is not added.
    pub fn measured(&mut self, kind: SampleKind, bytes: u64) {
        self.measured.add(kind, bytes);
    }

    /// Adds the sample of other keys.
    pub fn merge(&mut self, other: &Self) {
        self.outright = self.outright.saturating_add(other.outright);
        self.others = self.others.saturating_add(other.others);
        self.measured.merge(&other.measured);
    }

    /// Keys that were measured.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.measured.outright.keys.saturating_add(self.measured.drawn.keys)
    }

    /// The memory of all keys, of which those that were not measured outright were drawn at the rate of one in `one_in`;
    /// `None` if none was measured. If few keys were drawn, those that were measured outright represent the others, too:
    /// servers list keys in the order of a hash of their names, so that the first ones are like the others.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    pub fn estimate(&self, one_in: u64) -> Option<MemoryEstimate> {
        let MeasuredKeys { outright, mut drawn } = self.measured;
        let left = self.others.saturating_sub(drawn.keys);
        let measured = if left > 0 && drawn.keys < MEAN_OF_MIN {
            drawn.merge(&outright);
            MeasuredKeys { drawn, ..MeasuredKeys::default() }
        } else {
            self.measured
        };
        let all = left.saturating_add(measured.drawn.keys);
        (self.samples() > 0).then(|| measured.estimate(Some(all), one_in as f64))
    }

    /// Whether it can be the sample of keys that a server has.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let MeasuredKeys { outright, drawn } = &self.measured;
        [outright, drawn].into_iter().all(super::strata::Sum::is_possible)
            && self.outright <= COUNT_MAX
            && self.others <= COUNT_MAX
            && outright.keys <= self.outright
            && drawn.keys <= self.others
    }
}
