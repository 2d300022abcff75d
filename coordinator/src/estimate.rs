//! From a sample of a node's keys to what a run would delete there. Pure.

use serde::Serialize;
use shared::messages::Action;

/// What a sample of a node's keys showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Keys looked at, of whatever pattern.
    pub listed: u64,
    /// Those that match.
    pub matching: u64,
    /// Matching keys without TTL.
    pub stale: u64,
    /// Stale keys that a protected pattern keeps.
    pub protected: u64,
    /// Keys of inactive users that would be deleted: neither protected nor about to expire.
    pub inactive: u64,
    /// Whether these are all keys of the node.
    pub all: bool,
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
    /// Stale keys that a protected pattern keeps.
    pub protected_keys: u64,
    /// Keys of inactive users that would be deleted: neither protected nor about to expire.
    pub inactive_keys: u64,
    /// Whether every key was looked at.
    pub exact: bool,
}

impl Estimate {
    /// What `sample` says about a node of `keys` keys.
    #[must_use]
    pub fn of(sample: &Sample, keys: u64) -> Self {
        let scale = |part: u64| {
            if sample.all || sample.listed == 0 {
                return part;
            }
            let scaled = u128::from(part) * u128::from(keys) / u128::from(sample.listed);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Self {
            matching_keys: scale(sample.matching),
            stale_ttl_keys: scale(sample.stale),
            protected_keys: scale(sample.protected),
            inactive_keys: scale(sample.inactive),
            exact: sample.all,
        }
    }

    /// The sum over nodes.
    #[must_use]
    pub fn sum(estimates: impl IntoIterator<Item = Self>) -> Self {
        let none = Self { exact: true, ..Self::default() };
        estimates.into_iter().fold(none, |sum, node| Self {
            matching_keys: sum.matching_keys + node.matching_keys,
            stale_ttl_keys: sum.stale_ttl_keys + node.stale_ttl_keys,
            protected_keys: sum.protected_keys + node.protected_keys,
            inactive_keys: sum.inactive_keys + node.inactive_keys,
            exact: sum.exact && node.exact,
        })
    }

    /// Keys that would be acted upon.
    #[must_use]
    pub fn candidates(&self) -> u64 {
        self.stale_candidates() + self.inactive_keys
    }

    /// Those that have no TTL.
    #[must_use]
    pub fn stale_candidates(&self) -> u64 {
        self.stale_ttl_keys.saturating_sub(self.protected_keys)
    }

    /// Keys that would be deleted by a run that does `action` with stale ones.
    #[must_use]
    pub fn deletions(&self, action: Action) -> u64 {
        match action {
            Action::Delete => self.candidates(),
            Action::Expire { .. } => self.inactive_keys,
            Action::Report => 0,
        }
    }

    /// So many keys in percent of the matching ones.
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

    /// The number of keys at which a run that may delete `percent` of them is stopped; `None` at 100 %.
    #[must_use]
    pub fn cap(&self, percent: u8) -> Option<u64> {
        let cap = u128::from(self.matching_keys) * u128::from(percent) / 100;
        (percent < 100).then(|| u64::try_from(cap).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_scaled_and_complete_ones_are_exact() {
        let sample =
            Sample { listed: 1_000, matching: 500, stale: 50, protected: 10, inactive: 20, all: false };
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
}
