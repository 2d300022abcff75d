//! Which keys are measured: so many of each group outright, and of the others one in so many at random. Pure.

use xxhash_rust::xxh3::xxh3_64;

use super::prefix_memory::PrefixMemory;
use super::strata::{GroupCounts, StratifiedSample};

/// How many keys are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRate {
    /// Keys that are measured outright, over all groups.
    pub outright: u64,
    /// The same in each group: groups of no more keys are measured whole.
    pub per_group: u64,
    /// Of all other keys, one in so many is measured.
    pub one_in: u64,
}

/// As what a key is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// As one of the first of its group, of which all are.
    Outright,
    /// As one that stands for others.
    Drawn,
}

/// Chooses keys, one after the other.
pub struct Sampler {
    rate: SampleRate,
    /// Keys that may still be taken outright.
    left: u64,
    /// Keys that are passed over before the next one is drawn.
    gap: u64,
    counts: GroupCounts,
    /// Stands for the group of the last key.
    last: u64,
    /// Where that group is counted; not known if there are too many groups.
    last_place: Option<usize>,
}

impl Sampler {
    /// A sampler that has seen no key yet.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let (last, mut counts) = (group_hash(&[]), GroupCounts::default());
        let last_place = counts.place(last);
        Self { rate, left: rate.outright, gap: gap(rate.one_in), counts, last, last_place }
    }

    /// What is known of the keys that were measured; see [`StratifiedSample::finish`].
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    pub fn finish(&self, strata: StratifiedSample, rows_max: usize) -> PrefixMemory {
        strata.finish(&self.counts, self.rate.one_in as f64, rows_max)
    }

    /// One that chooses in the same way, and has seen no key yet.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.rate)
    }

    /// One in so many of the keys that are not taken outright is drawn.
    #[must_use]
    pub fn one_in(&self) -> u64 {
        self.rate.one_in
    }

    /// A number that stands for the group of the last key: see [`group_hash`].
    #[must_use]
    pub fn last_hash(&self) -> u64 {
        self.last
    }

    /// Whether a key of `group` is to be measured.
    pub fn take(&mut self, group: &[u8]) -> Option<SampleKind> {
        let group = group_hash(group);
        if self.last != group {
            (self.last, self.last_place) = (group, self.counts.place(group));
        }
        self.take_again()
    }

    /// Whether another key of the last group is.
    #[inline]
    pub fn take_again(&mut self) -> Option<SampleKind> {
        if self.left > 0 && self.counts.outright(self.last_place, self.rate.per_group) {
            self.left -= 1;
            return Some(SampleKind::Outright);
        }
        self.counts.add(self.last_place);
        if self.gap > 0 {
            self.gap -= 1;
            return None;
        }
        self.gap = gap(self.rate.one_in);
        Some(SampleKind::Drawn)
    }
}

/// A number that stands for `group`.
#[must_use]
pub fn group_hash(group: &[u8]) -> u64 {
    xxh3_64(group)
}

/// Whether `key` is one of those of which one in `one_in` is drawn: whoever asks, and whenever.
#[must_use]
pub fn is_drawn(key: &[u8], one_in: u64) -> bool {
    xxh3_64(key).is_multiple_of(one_in.max(1))
}

/// How many keys are passed over: at random, because what an application writes may have a rhythm.
fn gap(one_in: u64) -> u64 {
    fastrand::u64(..(2 * one_in).saturating_sub(1).max(1))
}
