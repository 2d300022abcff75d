//! Whether the groups have as many users as they should: if not, users of one group were lost, and no result is right.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::{USERS_MAX, USERS_PRIOR};

/// Another hash than that of buckets, which is without a seed.
const SEED: u64 = 0x5eed;

/// A sample of the distinct users that were seen: those with the smallest hashes, so that how often a user is seen does not
/// matter. Mergeable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeenUsers {
    /// Whether the user is in the first group, by hash.
    kept: BTreeMap<u64, bool>,
}

impl SeenUsers {
    /// Adds a user of the first group or the second.
    pub fn add(&mut self, user: &[u8], first_group: bool) {
        self.insert(xxh3_64_with_seed(user, SEED), first_group);
    }

    /// Adds the users of another sample.
    pub fn merge(&mut self, other: &Self) {
        for (hash, first_group) in &other.kept {
            self.insert(*hash, *first_group);
        }
    }

    fn insert(&mut self, hash: u64, first_group: bool) {
        if self.kept.len() >= USERS_MAX && self.kept.last_key_value().is_some_and(|(last, _)| hash > *last) {
            return;
        }
        self.kept.insert(hash, first_group);
        if self.kept.len() > USERS_MAX {
            self.kept.pop_last();
        }
    }

    /// Users of the first group and the second.
    #[must_use]
    pub fn counts(&self) -> [u64; 2] {
        let first = self.kept.values().filter(|first_group| **first_group).count() as u64;
        [first, self.kept.len() as u64 - first]
    }
}

/// The logarithm of the Bayes factor against the planned `shares` of users, which add up to 1: how much better the counts are
/// explained by other shares. Under the planned shares it reaches ln(1/α) at any time with a probability of at most α, while
/// users are added one by one (Lindon and Malek, *Anytime-Valid Inference for Multinomial Count Data*, 2022).
#[must_use]
pub fn ln_bayes_factor<const N: usize>(counts: [u64; N], shares: [f64; N]) -> f64 {
    let total: u64 = counts.iter().sum();
    let other = counts.iter().zip(shares).map(|(&count, share)| {
        let prior = USERS_PRIOR * share;
        ln_gamma(prior + count as f64) - ln_gamma(prior)
    });
    let planned = counts.iter().zip(shares).map(|(&count, share)| count as f64 * share.ln());
    ln_gamma(USERS_PRIOR) - ln_gamma(USERS_PRIOR + total as f64) + other.sum::<f64>() - planned.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_count_once_and_the_sample_is_bounded() {
        let mut seen = SeenUsers::default();
        for user in (0..30_000_u32).chain(0..30_000) {
            seen.add(&user.to_le_bytes(), user.is_multiple_of(2));
        }
        let [first, second] = seen.counts();
        assert_eq!(first + second, USERS_MAX as u64);
        assert!(first.abs_diff(second) < 600, "{first} {second}");
        let mut merged = SeenUsers::default();
        merged.merge(&seen);
        merged.merge(&seen);
        assert_eq!(merged, seen);
    }

    #[test]
    fn factors_are_those_of_the_beta_binomial() {
        // With a uniform prior (two users of weight, half each): 1 / ((n + 1) C(n, k) / 2^n).
        let factor = ln_bayes_factor([7, 3], [0.5, 0.5]).exp();
        assert!((factor - 1024.0 / (11.0 * 120.0)).abs() < 1e-9, "{factor}");
        assert!(ln_bayes_factor([0, 0], [0.5, 0.5]).abs() < 1e-12);
        assert!(ln_bayes_factor([5_000, 5_000], [0.5, 0.5]) < 0.0);
        assert!(ln_bayes_factor([5_400, 4_600], [0.5, 0.5]) > 1_000_f64.ln());
        assert!(ln_bayes_factor([3_333, 6_667], [1.0 / 3.0, 2.0 / 3.0]) < 0.0);
    }
}
