//! Estimates the memory of groups from measured keys. Pure.

use hashbrown::{HashMap, HashSet, HashTable};
use serde::{Deserialize, Serialize};

use super::estimate::{DEVIATIONS, MemoryEstimate, whole};
use super::prefix_memory::PrefixMemory;
use super::sampler::SampleKind;
use crate::limits::COUNT_MAX;

/// The maximum number of groups whose keys are counted. For other groups, each drawn key represents the sampling rate.
const GROUPS_MAX: usize = 1_024;

/// The number of drawn keys of a group from which on their mean is used for all its keys. With fewer, groups without a
/// drawn key would be missing from the sum, so each drawn key represents the sampling rate.
pub(super) const MEAN_OF_MIN: u64 = 10;

/// The number of keys of each group that are not measured outright.
#[derive(Default)]
pub struct GroupCounts {
    /// The hash of each group, and its index in `groups`.
    places: HashTable<(u64, usize)>,
    groups: Vec<GroupCount>,
    all: u64,
    /// Whether keys are not counted.
    uncounted: bool,
}

#[derive(Clone, Copy, Default)]
struct GroupCount {
    outright: u64,
    others: u64,
}

impl GroupCounts {
    /// Counts for keys that are not counted: each drawn key represents the sampling rate.
    #[must_use]
    pub fn none() -> Self {
        Self { uncounted: true, ..Self::default() }
    }

    /// The index of the group with this hash; `None` if there are too many groups.
    pub(super) fn place(&mut self, hash: u64) -> Option<usize> {
        let known = self.known(hash);
        if known.is_some() || self.groups.len() == GROUPS_MAX {
            return known;
        }
        let place = self.groups.len();
        self.groups.push(GroupCount::default());
        self.places.insert_unique(hash, (hash, place), |(hash, _)| *hash);
        Some(place)
    }

    fn known(&self, hash: u64) -> Option<usize> {
        self.places.find(hash, |(other, _)| *other == hash).map(|(_, place)| *place)
    }

    /// Whether another key of a group is among its first `most`.
    #[inline]
    pub(super) fn is_outright(&self, place: Option<usize>, most: u64) -> bool {
        let group = place.and_then(|place| self.groups.get(place));
        group.is_some_and(|group| group.others == 0 && group.outright < most)
    }

    /// Counts a key that is measured outright.
    pub(super) fn add_outright(&mut self, place: Option<usize>) {
        if let Some(group) = place.and_then(|place| self.groups.get_mut(place)) {
            group.outright += 1;
        }
    }

    /// Counts `keys` keys that are not measured outright.
    #[inline]
    pub(super) fn add(&mut self, place: Option<usize>, keys: u64) {
        self.all += keys;
        if let Some(group) = place.and_then(|place| self.groups.get_mut(place)) {
            group.others += keys;
        }
    }

    /// Counts a key of the group with this hash.
    pub fn count(&mut self, hash: u64) {
        let place = self.place(hash);
        self.add(place, 1);
    }

    fn others(&self, hash: u64) -> Option<u64> {
        self.known(hash).map(|place| self.groups[place].others)
    }
}

/// Measured keys, by the names under which they are reported.
#[derive(Default)]
pub struct StratifiedSample {
    all: MeasuredKeys,
    rows: HashMap<String, Row>,
    /// The hashes of groups of which a key was measured.
    groups: HashSet<u64>,
}

/// The measurements of a name.
#[derive(Default)]
struct Row {
    /// The group, if the name is a whole group.
    group: Option<u64>,
    measured: MeasuredKeys,
}

/// The measurements of some keys, by how they were selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MeasuredKeys {
    pub(super) outright: Sum,
    pub(super) drawn: Sum,
}

/// Keys, their bytes, and the sum of the squared bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) keys: u64,
    bytes: u64,
    squares: f64,
}

impl StratifiedSample {
    /// Adds a key of `bytes` bytes that was selected as `take`. It is reported under the name of its group, whose hash
    /// is `group`, and under `other` names within that.
    pub fn add<'n>(
        &mut self,
        (name, group): (Option<&str>, u64),
        other: impl Iterator<Item = &'n str>,
        take: SampleKind,
        bytes: u64,
    ) {
        self.all.add(take, bytes);
        self.groups.insert(group);
        if let Some(name) = name {
            let row = self.row(name);
            row.group = Some(group);
            row.measured.add(take, bytes);
        }
        other.for_each(|name| self.row(name).measured.add(take, bytes));
    }

    /// Adds a key under `names`: the first is the group's, the others are those of its parts.
    pub fn add_named(&mut self, names: &[String], group: u64, take: SampleKind, bytes: u64) {
        let (name, parts) = match names.split_first() {
            Some((name, parts)) => (Some(name.as_str()), parts),
            None => (None, &[][..]),
        };
        // A name that was shortened is the same for both.
        let parts = parts.iter().map(String::as_str).filter(|part| Some(*part) != name);
        self.add((name, group), parts, take, bytes);
    }

    fn row(&mut self, name: &str) -> &mut Row {
        self.rows.entry_ref(name).or_default()
    }

    /// The estimates of all groups. `counts` are the keys that were not measured outright; one in `one_in` of them was
    /// drawn. Reports at most `rows_max` names.
    #[must_use]
    pub fn finish(self, counts: &GroupCounts, one_in: f64, rows_max: usize) -> PrefixMemory {
        let all = self.all.estimate((!counts.uncounted).then_some(counts.all), one_in);
        // Groups that were not counted, or of which no key was measured, are unknown.
        let counted: u64 = counts.groups.iter().map(|group| group.others).sum();
        let unseen =
            |(hash, place): &(u64, usize)| counts.groups[*place].others > 0 && !self.groups.contains(hash);
        let blind = counts.uncounted || counted < counts.all || counts.places.iter().any(unseen);
        let rows = self.rows.into_iter().map(|(name, row)| {
            let others = row.group.and_then(|group| counts.others(group));
            (name, row.measured.estimate(others, one_in))
        });
        PrefixMemory::of(all, rows, blind, rows_max)
    }
}

impl MeasuredKeys {
    pub(super) fn add(&mut self, take: SampleKind, bytes: u64) {
        let sum = match take {
            SampleKind::Outright => &mut self.outright,
            SampleKind::Drawn => &mut self.drawn,
        };
        sum.keys += 1;
        sum.bytes = sum.bytes.saturating_add(bytes);
        sum.squares += square(bytes);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.outright.merge(&other.outright);
        self.drawn.merge(&other.drawn);
    }

    /// The estimate of all keys, of which `others` were not measured outright; `None` if they were not counted.
    pub(super) fn estimate(&self, others: Option<u64>, one_in: f64) -> MemoryEstimate {
        let Self { outright, drawn } = self;
        let bytes = outright.bytes.saturating_add(drawn.bytes);
        let mut weighed =
            MemoryEstimate { samples: outright.keys + drawn.keys, bytes, ..MemoryEstimate::default() };
        let (rest, variance, open) = drawn.stands_for(others, one_in);
        (weighed.rest, weighed.variance, weighed.unmeasured) = (whole(rest), variance, open);
        weighed
    }
}

impl Sum {
    pub(super) fn merge(&mut self, other: &Self) {
        self.keys = self.keys.saturating_add(other.keys);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.squares += other.squares;
    }

    /// Whether it can be the sum of some keys.
    pub(super) fn is_possible(&self) -> bool {
        self.keys <= COUNT_MAX && self.squares.is_finite() && self.squares >= 0.0
    }

    /// The bytes of keys that were not drawn, the variance of that, and whether there may be any.
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
    fn stands_for(&self, all: Option<u64>, one_in: f64) -> (f64, f64, bool) {
        let (drawn, bytes) = (self.keys as f64, self.bytes as f64);
        match all {
            Some(all) if all <= self.keys => (0.0, 0.0, false),
            Some(all) if self.keys >= MEAN_OF_MIN => {
                let all = all as f64;
                let spread = ((self.squares - bytes * bytes / drawn) / (drawn - 1.0)).max(0.0);
                let rest = (all - drawn) * bytes / drawn;
                // Keys of a kind without a drawn key, which may be tiny, are no more than three in as many as were
                // drawn, with a probability of 95 %.
                let unseen = unseen_deviation(rest, drawn);
                (rest, all * (all - drawn) * spread / drawn + unseen * unseen, true)
            }
            _ => {
                let open = all.is_some() || self.keys > 0;
                ((one_in - 1.0) * bytes, self.squares * one_in * (one_in - 1.0), open)
            }
        }
    }
}

/// The standard deviation of `rest` bytes estimated from `drawn` keys that accounts for kinds of keys without a drawn
/// key.
#[must_use]
pub fn unseen_deviation(rest: f64, drawn: f64) -> f64 {
    3.0 * rest / drawn / DEVIATIONS
}

#[expect(clippy::cast_precision_loss, reason = "a variance needs no more than 52 bits")]
fn square(bytes: u64) -> f64 {
    bytes as f64 * bytes as f64
}
