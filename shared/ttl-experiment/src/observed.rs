//! What looks at the live keys found so far.
//!
//! A look counts the entries that were written since the look before, by their expiry: each entry counts once, at the time
//! at which it was written. With a look every half of the shortest TTL none is missed, unless it was deleted before.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::assignment::{Arm, Assignment};
use crate::effect::{BucketFills, Group};
use crate::limits::{COVERED_MIN, LOOK_BACK_TTLS, LOOK_FILLS_MAX};
use crate::users::SeenUsers;

/// The fills of a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeriodFills {
    /// By bucket, weighted: those near the ends of the measured part count less.
    pub fills: Vec<f64>,
    /// The time of its measured part that looks covered, in ms.
    pub covered_ms: u64,
}

/// What looks found so far; kept between them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Fills by period.
    pub periods: BTreeMap<u64, PeriodFills>,
    /// Looks.
    pub looks: u64,
    /// Until when entries were counted, in ms since the epoch.
    pub seen_until_ms: u64,
    /// Keys whose TTL their arm cannot have.
    pub impossible: u64,
    /// Keys of which that can be known.
    pub checked: u64,
    /// Users of complete pairs of periods. Within a period, the arm with the longer TTL shows fewer of its users.
    users: SeenUsers,
    /// Users of the pair in progress.
    pending: SeenUsers,
    /// The number of that pair.
    pair: u64,
}

/// Why a look must not be added: what it counted is not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookFault {
    /// Entries that it should have counted may have expired before they were read.
    TooSlow {
        /// The time since the begin of what it counts, in ms.
        took_ms: u64,
    },
    /// There were more than [`LOOK_FILLS_MAX`] entries.
    TooMany,
}

/// A look in progress.
#[derive(Debug)]
pub struct Look<'a> {
    assignment: &'a Assignment,
    from_ms: u64,
    until_ms: u64,
    periods: BTreeMap<u64, PeriodFills>,
    users: BTreeMap<u64, SeenUsers>,
    /// Hashes of keys that were counted: servers may list a key twice.
    counted: HashSet<u64>,
    is_full: bool,
    impossible: u64,
    checked: u64,
}

impl<'a> Look<'a> {
    /// Begins a look at `now_ms`, which counts what was written since the last one, as far back as that is known.
    #[must_use]
    pub fn begin(assignment: &'a Assignment, observed: &Observed, now_ms: u64) -> Self {
        let back = (assignment.shortest_ms() as f64 * LOOK_BACK_TTLS) as u64;
        let from_ms = now_ms.saturating_sub(back).max(observed.seen_until_ms).min(now_ms);
        Self {
            assignment,
            from_ms,
            until_ms: now_ms,
            periods: BTreeMap::new(),
            users: BTreeMap::new(),
            counted: HashSet::new(),
            is_full: false,
            impossible: 0,
            checked: 0,
        }
    }

    /// Adds a live key of a user, read at `now_ms`; `key` is the hash of its name.
    pub fn add(&mut self, user: &[u8], key: u64, expires_ms: u64, now_ms: u64) {
        let bucket = self.assignment.bucket(user);
        if let Some(is_impossible) = self.assignment.is_impossible(bucket, expires_ms, now_ms) {
            self.checked += 1;
            self.impossible += u64::from(is_impossible);
        }
        let Some((period, filled_ms)) = self.assignment.filled_at(bucket, expires_ms) else { return };
        if !(self.from_ms..self.until_ms).contains(&filled_ms) || self.counted.contains(&key) {
            return;
        }
        if self.counted.len() >= LOOK_FILLS_MAX {
            self.is_full = true;
            return;
        }
        self.counted.insert(key);
        let buckets = self.assignment.buckets as usize;
        let seen = self.periods.entry(period).or_default();
        seen.fills.resize(buckets, 0.0);
        if let Some(fills) = seen.fills.get_mut(bucket as usize) {
            *fills += self.assignment.weight(period, filled_ms);
        }
        self.users.entry(period).or_default().add(user, bucket < self.assignment.middle());
    }

    /// The number of entries that were counted.
    #[must_use]
    pub fn fills(&self) -> usize {
        self.counted.len()
    }

    /// Why the look, which ended at `ended_ms`, must not be added, if so.
    #[must_use]
    pub fn fault(&self, ended_ms: u64) -> Option<LookFault> {
        let took_ms = ended_ms.saturating_sub(self.from_ms);
        if took_ms >= self.assignment.shortest_ms() {
            return Some(LookFault::TooSlow { took_ms });
        }
        self.is_full.then_some(LookFault::TooMany)
    }
}

impl Observed {
    /// Adds a look without a [`LookFault`].
    pub fn add(&mut self, look: Look<'_>) {
        self.looks += 1;
        self.impossible += look.impossible;
        self.checked += look.checked;
        self.seen_until_ms = self.seen_until_ms.max(look.until_ms);
        for (period, found) in look.periods {
            let seen = self.periods.entry(period).or_default();
            seen.fills.resize(found.fills.len(), 0.0);
            for (sum, fills) in seen.fills.iter_mut().zip(found.fills) {
                *sum += fills;
            }
        }
        let last = look.assignment.periods();
        for period in (0..last).filter(|period| look.assignment.measured(*period).end > look.from_ms) {
            let measured = look.assignment.measured(period);
            let (from, until) = (measured.start.max(look.from_ms), measured.end.min(look.until_ms));
            if from >= until {
                break;
            }
            let seen = self.periods.entry(period).or_default();
            seen.fills.resize(look.assignment.buckets as usize, 0.0);
            seen.covered_ms += until - from;
        }
        for (period, users) in look.users {
            self.turn_to_pair(look.assignment, period / 2);
            self.pending.merge(&users);
        }
    }

    fn turn_to_pair(&mut self, assignment: &Assignment, pair: u64) {
        if pair != self.pair {
            if self.is_used(assignment, self.pair) {
                self.users.merge(&self.pending);
            }
            (self.pending, self.pair) = (SeenUsers::default(), pair);
        }
    }

    /// The share of a period's measured part that looks covered.
    #[must_use]
    pub fn covered(&self, assignment: &Assignment, period: u64) -> f64 {
        let covered = self.periods.get(&period).map_or(0, |seen| seen.covered_ms);
        covered as f64 / (assignment.measured_ms().max(1)) as f64
    }

    /// Whether both periods of a pair were covered well enough to be used. Its last look may still be missing: use it only
    /// when [`Observed::is_over`].
    fn is_used(&self, assignment: &Assignment, pair: u64) -> bool {
        (2 * pair..2 * pair + 2).all(|period| self.covered(assignment, period) >= COVERED_MIN)
    }

    /// Whether the measured part of the second period of a pair was looked at to its end, or is past.
    #[must_use]
    pub fn is_over(&self, assignment: &Assignment, pair: u64, now_ms: u64) -> bool {
        let end = assignment.measured(2 * pair + 1).end;
        self.seen_until_ms >= end || now_ms >= end + assignment.longest_ms()
    }

    /// Pairs that are over: those that are used, and how many are not, because of missing looks.
    #[must_use]
    pub fn pairs(&self, assignment: &Assignment, now_ms: u64) -> (Vec<u64>, u64) {
        let over = (0..assignment.periods() / 2).filter(|pair| self.is_over(assignment, *pair, now_ms));
        let (used, missing): (Vec<u64>, Vec<u64>) = over.partition(|pair| self.is_used(assignment, *pair));
        (used, missing.len() as u64)
    }

    /// The fills of each bucket in these periods, by arm.
    #[must_use]
    pub fn buckets(&self, assignment: &Assignment, periods: &[u64]) -> Vec<(Group, BucketFills)> {
        let row = |bucket: u32| {
            let mut sum = BucketFills::default();
            for period in periods {
                let fills = self.periods.get(period).and_then(|seen| seen.fills.get(bucket as usize));
                match assignment.arm(bucket, *period) {
                    Arm::Control => sum.control += fills.copied().unwrap_or_default(),
                    Arm::Treated => sum.treated += fills.copied().unwrap_or_default(),
                }
            }
            (if bucket < assignment.middle() { Group::First } else { Group::Second }, sum)
        };
        (0..assignment.buckets).map(row).collect()
    }

    /// Users of the two groups in complete pairs of periods, in which both were in both arms.
    #[must_use]
    pub fn users(&self, assignment: &Assignment, now_ms: u64) -> [u64; 2] {
        let is_complete = self.is_over(assignment, self.pair, now_ms) && self.is_used(assignment, self.pair);
        if !is_complete {
            return self.users.counts();
        }
        let mut all = self.users.clone();
        all.merge(&self.pending);
        all.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_missed_entries_has_a_fault() {
        let assignment = Assignment {
            salt: "s".to_owned(),
            buckets: 20,
            control_ttl_ms: 10_000,
            treated_ttl_ms: 20_000,
            start_ms: 0,
            period_ms: 160_000,
            until_ms: 320_000,
        };
        let filled_ms = assignment.measured(0).start + 10;
        let arm = assignment.arm(assignment.bucket(b"alice"), 0);
        let (expires_ms, now_ms) = (filled_ms + assignment.ttl_ms(arm), filled_ms + 10);
        let mut look = Look::begin(&assignment, &Observed::default(), now_ms);
        let most = LOOK_FILLS_MAX as u64;
        // Listed twice, and once more when it is full.
        for key in (0..most).chain([0, most - 1]) {
            look.add(b"alice", key, expires_ms, now_ms);
        }
        assert_eq!((look.fills(), look.fault(now_ms + 10)), (LOOK_FILLS_MAX, None));
        let slow = look.fault(now_ms + 5_000);
        assert_eq!(slow, Some(LookFault::TooSlow { took_ms: 10_000 }));
        look.add(b"alice", most, expires_ms, now_ms);
        assert_eq!(look.fault(now_ms + 10), Some(LookFault::TooMany));
    }
}
