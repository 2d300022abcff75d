//! The memory of many groups: of a task, and merged over a run. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::estimate::{ByteEstimate, MemoryEstimate};
use crate::limits::{MEMORY_ROWS_MAX, MEMORY_ROWS_SENT_MAX, MEMORY_SAMPLES_MIN, PREFIX_BYTES_MAX};
use crate::prefix::group;

/// Memory by name. Names end with a colon. A name with another colon is a part of the group up to its first colon.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "PrefixMemoryRecord")]
pub struct PrefixMemory {
    all: MemoryEstimate,
    rows: BTreeMap<String, PrefixMemoryRow>,
    /// The maximum memory of a name that is not among the rows.
    omitted: u64,
    /// The number of merged parts in which names that are not among the rows are unknown.
    blind: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct PrefixMemoryRow {
    weighed: MemoryEstimate,
    /// The sums of `omitted` and `blind` over the parts that reported this name.
    omitted: u64,
    blind: u64,
}

impl PrefixMemory {
    /// One part: the estimate of all keys and those of names. `blind`: other names are unknown. Keeps at most
    /// `rows_max` names.
    pub(super) fn of(
        all: MemoryEstimate,
        rows: impl Iterator<Item = (String, MemoryEstimate)>,
        blind: bool,
        rows_max: usize,
    ) -> Self {
        let blind = u64::from(blind);
        let row = |(name, weighed)| (name, PrefixMemoryRow { weighed, omitted: 0, blind });
        let mut weights = Self { all, rows: rows.map(row).collect(), omitted: 0, blind };
        weights.keep_heaviest(rows_max);
        weights
    }

    /// A part that does not report memory.
    #[must_use]
    pub fn unknown() -> Self {
        let all = MemoryEstimate { unmeasured: true, ..MemoryEstimate::default() };
        Self { all, blind: 1, ..Self::default() }
    }

    /// Merges another part.
    pub fn merge(&mut self, other: &Self) {
        self.all.add(&other.all);
        for (name, row) in &other.rows {
            let ours = self.rows.entry(name.clone()).or_default();
            ours.weighed.add(&row.weighed);
            ours.omitted = ours.omitted.saturating_add(row.omitted);
            ours.blind = ours.blind.saturating_add(row.blind);
        }
        self.omitted = self.omitted.saturating_add(other.omitted);
        self.blind = self.blind.saturating_add(other.blind);
        if self.rows.len() > 2 * MEMORY_ROWS_MAX {
            self.keep_heaviest(MEMORY_ROWS_MAX);
        }
    }

    /// Keeps the `most` heaviest names.
    fn keep_heaviest(&mut self, most: usize) {
        if self.rows.len() <= most {
            return;
        }
        let mut weights: Vec<u64> = self.rows.values().map(|row| row.weighed.estimate()).collect();
        weights.sort_unstable_by_key(|weight| Reverse(*weight));
        let (limit, mut room) = (weights[most], most);
        let (mut omitted, mut blind) = (0, 0);
        let (all_omitted, all_blind) = (self.omitted, self.blind);
        self.rows.retain(|_, row| {
            let kept = row.weighed.estimate() > limit && room > 0;
            if kept {
                room -= 1;
            } else {
                let more = all_omitted.saturating_sub(row.omitted);
                omitted = omitted.max(row.weighed.estimate().saturating_add(more));
                blind |= u64::from(row.weighed.unmeasured || row.blind != all_blind);
            }
            kept
        });
        for row in self.rows.values_mut() {
            row.omitted = row.omitted.saturating_add(omitted);
            row.blind = row.blind.saturating_add(blind);
        }
        self.omitted = self.omitted.saturating_add(omitted);
        self.blind = self.blind.saturating_add(blind);
    }

    /// Keys that were measured.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.all.samples
    }

    /// Whether any key was or should have been measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The estimate of all keys, which take no more than `ceiling` bytes, if known.
    #[must_use]
    pub fn all(&self, ceiling: Option<u64>) -> ByteEstimate {
        self.all.bounds().at_most(ceiling)
    }

    /// Every name with enough samples, heaviest first. All keys together take no more than `ceiling` bytes, if known.
    /// No part exceeds its group.
    #[must_use]
    pub fn rows(&self, ceiling: Option<u64>) -> Vec<(String, ByteEstimate)> {
        let mut reported: BTreeMap<&str, ByteEstimate> = BTreeMap::new();
        let lows = self.lows();
        // A group sorts before its parts, because its name is their prefix.
        for (name, row) in &self.rows {
            let within = group(name);
            // The lower bound of the other memory.
            let others = |within: Option<&str>| {
                let all: u64 = lows.get(&within).copied().unwrap_or_default();
                all.saturating_sub(row.weighed.low())
            };
            let complete = !row.weighed.unmeasured && row.blind == self.blind;
            let mut one = row.weighed.bounds();
            let more = self.omitted.saturating_sub(row.omitted);
            one.high = complete.then(|| one.estimate.saturating_add(more));
            match within {
                None => one = one.at_most(ceiling.map(|all| all.saturating_sub(others(None)))),
                Some(group) => {
                    let whole = reported.get(group).copied().unwrap_or_default();
                    let is_known = self.rows.get(group).is_some_and(|row| !row.weighed.unmeasured);
                    one.high =
                        one.high.filter(|_| is_known).zip(whole.high).map(|(one, whole)| one.min(whole));
                    let within = whole.high.map(|high| high.saturating_sub(others(Some(group))));
                    one = one.at_most(within);
                    one.estimate = one.estimate.min(whole.estimate);
                    one.low = one.low.min(whole.low).min(one.estimate);
                }
            }
            reported.insert(name, one);
        }
        let reported = reported.into_iter().filter(|(_, row)| row.samples >= MEMORY_SAMPLES_MIN);
        let mut reported: Vec<_> = reported.map(|(name, row)| (name.to_owned(), row)).collect();
        reported.sort_by_key(|(name, row)| (Reverse(row.estimate), name.clone()));
        reported
    }

    /// The lower bound of each group's names together, and of all groups under `None`.
    fn lows(&self) -> BTreeMap<Option<&str>, u64> {
        let mut lows = BTreeMap::new();
        for (name, row) in &self.rows {
            let low: &mut u64 = lows.entry(group(name)).or_default();
            *low = low.saturating_add(row.weighed.low());
        }
        lows
    }
}

/// An estimate on the wire: a tuple without field names, because there are many.
type Cells = (u64, u64, u64, f64, bool);

/// The wire format.
#[derive(Serialize, Deserialize)]
struct PrefixMemoryRecord {
    all: Cells,
    rows: Vec<(String, Cells, u64, u64)>,
    omitted: u64,
    blind: u64,
}

impl Serialize for PrefixMemory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = |of: &MemoryEstimate| (of.samples, of.bytes, of.rest, of.variance, of.unmeasured);
        let rows = self.rows.iter();
        let rows =
            rows.map(|(name, row)| (name.clone(), cells(&row.weighed), row.omitted, row.blind)).collect();
        let (omitted, blind) = (self.omitted, self.blind);
        PrefixMemoryRecord { all: cells(&self.all), rows, omitted, blind }.serialize(serializer)
    }
}

impl TryFrom<PrefixMemoryRecord> for PrefixMemory {
    type Error = String;

    fn try_from(sent: PrefixMemoryRecord) -> Result<Self, String> {
        let weighed = |(samples, bytes, rest, variance, open): Cells| {
            let good = variance.is_finite() && variance >= 0.0;
            let weighed = MemoryEstimate { samples, bytes, rest, variance, unmeasured: open };
            if good { Ok(weighed) } else { Err("a variance that is not a number from 0 on".to_owned()) }
        };
        if sent.rows.len() > MEMORY_ROWS_SENT_MAX {
            return Err(format!(
                "memory of {} names, more than the limit of {MEMORY_ROWS_SENT_MAX}",
                sent.rows.len()
            ));
        }
        let mut rows = BTreeMap::new();
        for (name, cells, omitted, blind) in sent.rows {
            // Each byte may be escaped as four characters.
            if name.len() > 4 * PREFIX_BYTES_MAX + '…'.len_utf8() {
                return Err(format!("memory of a name of {} bytes", name.len()));
            }
            rows.insert(name, PrefixMemoryRow { weighed: weighed(cells)?, omitted, blind });
        }
        Ok(Self { all: weighed(sent.all)?, rows, omitted: sent.omitted, blind: sent.blind })
    }
}
