//! Estimates from a sample of a node's keys what a run would delete there. Pure.

use keysweep_model::limits::{FREED_ONE_IN, MEASURED_WHOLE_KEYS};
use keysweep_model::memory::{ByteEstimate, DEVIATIONS, unseen_deviation};
use keysweep_model::messages::{Action, Measure};
use serde::Serialize;

use crate::limits::FREED_EXACT_CANDIDATES;

/// Counts of a sample of a node's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Sampled keys of any pattern.
    pub listed: u64,
    /// Those that match.
    pub matching: u64,
    /// Matching keys without TTL.
    pub stale: u64,
    /// Stale keys that a protected pattern matches.
    pub protected: u64,
    /// Keys of inactive users that would be deleted: neither protected nor about to expire.
    pub inactive: u64,
    /// What rules act upon, if the job has rules.
    pub by_rules: Option<ByRules>,
    /// Whether the sample is all keys of the node.
    pub all: bool,
}

/// Keys that the rules of a job act upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByRules {
    /// Keys that would be changed or reported.
    pub candidates: u64,
    /// Keys that would be deleted.
    pub deletions: u64,
}

impl Sample {
    /// What `part` of the sample is on a node of `keys` keys.
    #[must_use]
    pub fn scaled(&self, part: u64, keys: u64) -> u64 {
        if self.all || self.listed == 0 {
            return part;
        }
        let scaled = u128::from(part) * u128::from(keys) / u128::from(self.listed);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// Numbers of keys, estimated unless `exact`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Matching keys.
    pub matching_keys: u64,
    /// Matching keys without TTL.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Stale keys that a protected pattern matches.
    pub protected_keys: u64,
    /// Keys of inactive users that would be deleted: neither protected nor about to expire. `None` if they are not looked
    /// for.
    pub inactive_keys: Option<u64>,
    /// What rules act upon, if the job has rules; shown rule by rule.
    #[serde(skip)]
    pub by_rules: Option<ByRules>,
    /// Whether every key was read.
    pub exact: bool,
}

impl Estimate {
    /// Scales `sample` to a node of `keys` keys.
    #[must_use]
    pub fn of(sample: &Sample, keys: u64) -> Self {
        let scale = |part: u64| sample.scaled(part, keys);
        Self {
            matching_keys: scale(sample.matching),
            stale_ttl_keys: scale(sample.stale),
            protected_keys: scale(sample.protected),
            inactive_keys: Some(scale(sample.inactive)),
            by_rules: sample.by_rules.map(|acted| ByRules {
                candidates: scale(acted.candidates),
                deletions: scale(acted.deletions),
            }),
            exact: sample.all,
        }
    }

    /// The sum over nodes.
    #[must_use]
    pub fn sum(estimates: impl IntoIterator<Item = Self>) -> Self {
        let none = Self { exact: true, inactive_keys: Some(0), ..Self::default() };
        estimates.into_iter().fold(none, |sum, node| Self {
            matching_keys: sum.matching_keys + node.matching_keys,
            stale_ttl_keys: sum.stale_ttl_keys + node.stale_ttl_keys,
            protected_keys: sum.protected_keys + node.protected_keys,
            by_rules: sum.by_rules.into_iter().chain(node.by_rules).reduce(|one, other| ByRules {
                candidates: one.candidates + other.candidates,
                deletions: one.deletions + other.deletions,
            }),
            inactive_keys: sum.inactive_keys.zip(node.inactive_keys).map(|(sum, node)| sum + node),
            exact: sum.exact && node.exact,
        })
    }

    /// Keys of inactive users to delete: none if they are not looked for.
    #[must_use]
    pub fn inactive_candidates(&self) -> u64 {
        self.inactive_keys.unwrap_or(0)
    }

    /// Keys to act upon.
    #[must_use]
    pub fn candidates(&self) -> u64 {
        match self.by_rules {
            Some(acted) => acted.candidates,
            None => self.stale_candidates() + self.inactive_candidates(),
        }
    }

    /// Those without TTL.
    #[must_use]
    pub fn stale_candidates(&self) -> u64 {
        self.stale_ttl_keys.saturating_sub(self.protected_keys)
    }

    /// Keys to delete by a run that does `action` with stale ones, unless it has rules.
    #[must_use]
    pub fn deletions(&self, action: Action) -> u64 {
        if let Some(acted) = self.by_rules {
            return acted.deletions;
        }
        if !action.writes() {
            return 0;
        }
        if action.deletes() { self.candidates() } else { self.inactive_candidates() }
    }

    /// The action whose keys the memory is estimated for.
    #[must_use]
    pub fn measure(&self, action: Action) -> Measure {
        let few = self.deletions(action) <= FREED_EXACT_CANDIDATES;
        Measure {
            whole: self.matching_keys <= MEASURED_WHOLE_KEYS,
            freed_one_in: if few { 1 } else { FREED_ONE_IN },
            used_memory: None,
        }
    }

    /// `keys` in percent of the matching ones.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one decimal, and compared with whole percents"
    )]
    pub fn percent_of(&self, keys: u64) -> f64 {
        if self.matching_keys == 0 { 0.0 } else { keys as f64 * 100.0 / self.matching_keys as f64 }
    }

    /// The candidates in percent of the matching keys.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.percent_of(self.candidates())
    }

    /// The number of keys at which a run that may delete `percent` of them is cancelled; `None` at 100 %.
    #[must_use]
    pub fn cap(&self, percent: u8) -> Option<u64> {
        let cap = u128::from(self.matching_keys) * u128::from(percent) / 100;
        (percent < 100).then(|| u64::try_from(cap).unwrap_or(u64::MAX))
    }
}

/// The memory that deleting keys like the `found` ones of `sample` would free on a node of `keys` keys. `sizes` are
/// the bytes of some of the found keys, or of all. `None` if nothing is known.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate needs no more than 52 bits"
)]
pub fn freed(sample: &Sample, keys: u64, found: u64, sizes: &[u64]) -> Option<ByteEstimate> {
    let measured = sizes.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    let samples = sizes.len() as u64;
    if sample.all && samples == found {
        return Some(ByteEstimate { estimate: measured, low: measured, high: Some(measured), samples });
    }
    if found == 0 {
        return Some(ByteEstimate::default());
    }
    if sizes.is_empty() {
        return None;
    }
    let count = samples as f64;
    let mean = measured as f64 / count;
    let spread =
        sizes.iter().map(|bytes| (*bytes as f64 - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let scale = if sample.all { 1.0 } else { (keys as f64 / sample.listed.max(1) as f64).max(1.0) };
    // The number of keys has the error of a sampled share, and their size that of a sampled mean.
    let number = if sample.all { 0.0 } else { (1.0 - 1.0 / scale) / found as f64 };
    let size = if mean > 0.0 { spread / (count * mean * mean) } else { 0.0 };
    let estimate = found as f64 * scale * mean;
    let unseen = unseen_deviation(1.0, count).powi(2);
    let low = estimate * (1.0 - DEVIATIONS * (number + size + unseen).sqrt());
    let estimate = (estimate as u64).max(measured);
    Some(ByteEstimate { estimate, low: (low as u64).clamp(measured, estimate), high: None, samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_scaled_and_complete_ones_are_exact() {
        let sample = Sample {
            listed: 1_000,
            matching: 500,
            stale: 50,
            protected: 10,
            inactive: 20,
            by_rules: None,
            all: false,
        };
        let estimate = Estimate::of(&sample, 10_000);
        assert_eq!((estimate.matching_keys, estimate.candidates(), estimate.exact), (5_000, 600, false));
        assert!((estimate.percent() - 12.0).abs() < 1e-9);
        let expire = Action::Expire { ttl_ms: 1, jitter_ms: 0 };
        assert_eq!(
            [Action::Delete, expire, Action::Report].map(|action| estimate.deletions(action)),
            [600, 200, 0]
        );
        assert_eq!((estimate.cap(10), estimate.cap(100)), (Some(500), None));
        let all = Estimate::of(&Sample { all: true, ..sample }, 10_000);
        assert_eq!((all.matching_keys, all.candidates(), all.exact), (500, 60, true));
        let none = Estimate::of(&Sample { all: true, ..Sample::default() }, 0);
        assert!(none.percent() < f64::EPSILON);
        assert!(!Estimate::sum([estimate, all]).exact);
    }

    #[test]
    fn freed_memory_is_exact_for_complete_samples_and_bounded_for_others() {
        let seen = Sample { listed: 1_000, matching: 500, all: true, ..Sample::default() };
        let exact = |bytes, samples| ByteEstimate { estimate: bytes, low: bytes, high: Some(bytes), samples };
        assert_eq!(freed(&seen, 1_000, 3, &[10, 20, 30]), Some(exact(60, 3)));
        assert_eq!(freed(&seen, 1_000, 0, &[]), Some(exact(0, 0)));
        assert_eq!(freed(&seen, 1_000, 3, &[]), None, "the server reports no sizes");
        let some = Sample { all: false, ..seen };
        assert_eq!(freed(&some, 100_000, 0, &[]), Some(ByteEstimate::default()), "there may be some");
        let freed_bytes = freed(&some, 100_000, 100, &[50; 40]).unwrap();
        // A hundred times as many as were sampled, plus or minus a fifth.
        assert_eq!((freed_bytes.estimate, freed_bytes.high, freed_bytes.samples), (500_000, None, 40));
        assert!((390_000..400_000).contains(&freed_bytes.low), "{freed_bytes:?}");
    }

    /// For populations with and without long tails, the bound holds for at least 93 of a hundred samples.
    #[test]
    fn the_lower_bound_of_freed_memory_holds() {
        type Size = fn(&mut fastrand::Rng) -> f64;
        let sizes: [(&str, Size); 3] = [
            ("constant", |_| 100.0),
            ("uniform", |rng| 5_000.0 * rng.f64()),
            ("pareto 1.1", |rng| 80.0 / (1.0 - rng.f64()).powf(1.0 / 1.1)),
        ];
        for (name, size) in sizes {
            let mut held = 0;
            for seed in 0..200 {
                let mut rng = fastrand::Rng::with_seed(seed);
                // One key in ten would be deleted.
                let all: Vec<Option<u64>> =
                    (0..20_000).map(|_| (rng.u8(..10) == 0).then(|| size(&mut rng) as u64)).collect();
                let seen: Vec<u64> = (0..4_000).filter_map(|_| all[rng.usize(..all.len())]).collect();
                let sample = Sample { listed: 4_000, ..Sample::default() };
                let freed_bytes =
                    freed(&sample, 20_000, seen.len() as u64, &seen[..seen.len().min(300)]).unwrap();
                held += u32::from(freed_bytes.low <= all.iter().flatten().sum());
            }
            println!("{name}: {} %", held / 2);
            assert!(held >= 186, "{name}: {held} of 200");
        }
    }
}
