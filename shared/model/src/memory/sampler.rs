//! Stratified sampling of keys to measure: the first keys of each group, and of the others one in so many at random.
//! Pure.

use xxhash_rust::xxh3::xxh3_64;

use super::prefix_memory::PrefixMemory;
use super::strata::{GroupCounts, StratifiedSample};

/// How many keys are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRate {
    /// The number of keys that are measured outright, over all groups.
    pub outright: u64,
    /// The same per group: smaller groups are measured completely.
    pub per_group: u64,
    /// Of all other keys, one in so many is measured.
    pub one_in: u64,
}

/// Why a key is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// It is one of the first of its group, all of which are measured.
    Outright,
    /// It was drawn at random and represents others.
    Drawn,
}

/// Selects keys, one after the other.
pub struct Sampler {
    rate: SampleRate,
    /// Keys that may still be measured outright.
    left: u64,
    /// Keys to skip before the next one is drawn.
    gap: u64,
    counts: GroupCounts,
    /// The hash of the last key's group.
    last: u64,
    /// The index of that group's count; `None` if there are too many groups.
    last_place: Option<usize>,
}

impl Sampler {
    /// A sampler without keys.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let (last, mut counts) = (group_hash(&[]), GroupCounts::default());
        let last_place = counts.place(last);
        Self { rate, left: rate.outright, gap: gap(rate.one_in), counts, last, last_place }
    }

    /// The estimates of the measured keys; see [`StratifiedSample::finish`].
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    pub fn finish(&self, strata: StratifiedSample, rows_max: usize) -> PrefixMemory {
        strata.finish(&self.counts, self.rate.one_in as f64, rows_max)
    }

    /// An empty sampler with the same rates.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.rate)
    }

    /// The sampling rate of keys that are not measured outright: one in so many.
    #[must_use]
    pub fn one_in(&self) -> u64 {
        self.rate.one_in
    }

    /// The hash of the last key's group: see [`group_hash`].
    #[must_use]
    pub fn last_hash(&self) -> u64 {
        self.last
    }

    /// Whether to measure a key of `group`.
    pub fn take(&mut self, group: &[u8]) -> Option<SampleKind> {
        let group = group_hash(group);
        if self.last != group {
            (self.last, self.last_place) = (group, self.counts.place(group));
        }
        self.take_again()
    }

    /// Whether to measure another key of the last group.
    pub fn take_again(&mut self) -> Option<SampleKind> {
        if self.is_outright() {
            self.left -= 1;
            self.counts.add_outright(self.last_place);
            return Some(SampleKind::Outright);
        }
        if self.gap > 0 {
            self.pass(1);
            return None;
        }
        self.counts.add(self.last_place, 1);
        self.gap = gap(self.rate.one_in);
        Some(SampleKind::Drawn)
    }

    /// How many further keys of the last group are not measured.
    #[must_use]
    pub fn passes(&self) -> u64 {
        if self.is_outright() { 0 } else { self.gap }
    }

    /// Passes over `keys` keys of the last group, no more than [`Sampler::passes`].
    pub fn pass(&mut self, keys: u64) {
        self.gap -= keys;
        self.counts.add(self.last_place, keys);
    }

    fn is_outright(&self) -> bool {
        self.left > 0 && self.counts.is_outright(self.last_place, self.rate.per_group)
    }
}

/// The hash of `group`.
#[must_use]
pub fn group_hash(group: &[u8]) -> u64 {
    xxh3_64(group)
}

/// Whether `key` is in the sample of one in `one_in`. The answer is the same for all processes and at all times.
#[must_use]
pub fn is_drawn(key: &[u8], one_in: u64) -> bool {
    xxh3_64(key).is_multiple_of(one_in.max(1))
}

/// The number of keys to skip: random, because the application's keys may be periodic.
fn gap(one_in: u64) -> u64 {
    fastrand::u64(..(2 * one_in).saturating_sub(1).max(1))
}
