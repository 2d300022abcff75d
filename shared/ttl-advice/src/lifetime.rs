//! How long entries live: whether all live until their expiry, and otherwise the rate at which they are deleted before.
//! Times are in units of the TTL.
//!
//! If nothing but the expiry ends an entry and traffic is steady, the ages of live keys are uniform. Entries that are
//! deleted at a constant rate leave fewer old ones. So does traffic that grows, which is why the ages alone do not tell
//! the rate: that takes keys that were looked at again.

use crate::curve::Estimate;
use crate::limits::{DEVIATIONS_95, KS_CRITICAL, KS_TOLERATED, TOGETHER_MIN, TOGETHER_WINDOWS};
use crate::sample::{FollowUp, SampledKey};

/// The rate at which entries are deleted before their expiry, per TTL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EarlyRate {
    pub(crate) rate: f64,
    /// Its standard error.
    pub(crate) error: f64,
}

/// Entries that are deleted before they expire, and what that means for longer TTLs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyEnds {
    /// The share of entries that end before they expire.
    pub share: Estimate,
    /// The share of today's misses that the longest TTL could save, as such entries are missed whatever their TTL.
    pub saved_at_most: f64,
}

/// The distance of the ages from the expected distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Distance {
    pub(crate) found: f64,
    pub(crate) allowed: f64,
}

/// The integral, from 0 to `time`, of the probability to survive at the rate `rate`.
pub(crate) fn integral_of_survival(rate: f64, time: f64) -> f64 {
    let exponent = rate * time;
    if exponent.abs() < 1e-9 { time * (1.0 - exponent / 2.0) } else { -(-exponent).exp_m1() / rate }
}

/// The Kolmogorov–Smirnov distance of `ages`, which are sorted, from those of entries that are deleted at the rate
/// `early`.
///
/// `together` keys count as one.
pub(crate) fn distance(ages: &[f64], early: f64, together: f64) -> Distance {
    let count = ages.len() as f64;
    let whole = integral_of_survival(early, 1.0);
    let distances = ages.iter().enumerate().map(|(rank, age)| {
        let expected = integral_of_survival(early, age.clamp(0.0, 1.0)) / whole;
        let below = rank as f64 / count;
        (expected - below).max(below + 1.0 / count - expected)
    });
    let allowed = (KS_CRITICAL * (together / count).sqrt()).max(KS_TOLERATED);
    Distance { found: distances.fold(0.0, f64::max), allowed }
}

impl Distance {
    pub(crate) fn is_too_large(self) -> bool {
        self.found > self.allowed
    }
}

/// How many keys are written together, so that they count as one: the variance of the numbers of keys in short windows,
/// relative to that of independent keys, or 1.
///
/// It is taken from the differences of neighbours, of which the largest tenth is left out: neither slow changes nor a few
/// moments at which many keys were written count.
pub(crate) fn written_together(ages: &[f64]) -> f64 {
    let mut counts = [0_i32; TOGETHER_WINDOWS];
    for age in ages {
        counts[((age * TOGETHER_WINDOWS as f64) as usize).min(TOGETHER_WINDOWS - 1)] += 1;
    }
    let mut squares: Vec<f64> = counts.windows(2).map(|pair| f64::from(pair[0] - pair[1]).powi(2)).collect();
    squares.sort_unstable_by(f64::total_cmp);
    squares.truncate(squares.len() * 9 / 10);
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    let expected = 2.0 * MEAN_OF_NINE_TENTHS * ages.len() as f64 / TOGETHER_WINDOWS as f64;
    let found = mean / expected;
    if found > TOGETHER_MIN { found } else { 1.0 }
}

/// The mean of the square of a standard normal number, if the largest tenth is left out.
const MEAN_OF_NINE_TENTHS: f64 = 0.623;

/// The busiest third of the last TTL, in writes, relative to the quietest one. Only live keys are known.
pub(crate) fn busiest_to_quietest(ages: &[f64]) -> f64 {
    let mut thirds = [0_u32; 3];
    for age in ages {
        thirds[((age * 3.0) as usize).min(2)] += 1;
    }
    let [least, most] = [thirds.iter().min(), thirds.iter().max()].map(|count| count.copied().unwrap_or(0));
    f64::from(most) / f64::from(least.max(1))
}

/// The upper end of a 95 % interval of a number of events of which none was seen (one-sided).
const RULE_OF_THREE: f64 = 3.0;

/// The rates above which bisection does not look.
const RATE_MAX: f64 = 50.0;

impl EarlyRate {
    /// From keys that were followed: the maximum of the likelihood of what survived until its expiry and what did not.
    pub(crate) fn of_followed(keys: &[SampledKey], ttl_ms: u64) -> Self {
        let mut survived = 0.0;
        let mut ended = Vec::new();
        for key in keys {
            let remaining = key.remaining_ms as f64 / ttl_ms as f64;
            match key.follow_up {
                Some(FollowUp::EndedEarly) => ended.push(remaining.max(1e-6)),
                Some(FollowUp::CameBack { .. } | FollowUp::NotBack { .. }) => survived += remaining,
                None => {}
            }
        }
        if ended.is_empty() {
            // Nothing seen in so long a time is known up to the rule of three.
            let error = if survived > 0.0 { RULE_OF_THREE / DEVIATIONS_95 / survived } else { 0.0 };
            return Self { rate: 0.0, error };
        }
        // The derivative of the logarithm of the likelihood falls with the rate.
        let slope =
            |rate: f64| ended.iter().map(|time| time / (rate * time).exp_m1()).sum::<f64>() - survived;
        let (mut low, mut high) = (1e-9, RATE_MAX);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if slope(middle) > 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let information: f64 =
            ended.iter().map(|time| time * time * (low * time).exp() / (low * time).exp_m1().powi(2)).sum();
        Self { rate: low, error: information.sqrt().recip() }
    }

    /// The share of entries that end before their expiry.
    pub(crate) fn ends(self) -> EarlyEnds {
        let share = |rate: f64| -(-rate.max(0.0)).exp_m1();
        let margin = DEVIATIONS_95 * self.error;
        EarlyEnds {
            share: Estimate {
                estimate: share(self.rate),
                low: share(self.rate - margin),
                high: share(self.rate + margin),
            },
            // An endless TTL: an entry lives for 1 / rate on average, and that ratio of lifetimes bounds the misses.
            saved_at_most: (-self.rate).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integral_of_survival_has_no_gap_at_zero() {
        let check = |rate: f64, time: f64, expected: f64| {
            let found = integral_of_survival(rate, time);
            assert!((found - expected).abs() < 1e-9, "{rate} {time}: {found}");
        };
        check(0.0, 2.0, 2.0);
        check(1e-12, 2.0, 2.0);
        check(1e-8, 2.0, 2.0 - 2e-8);
        check(1.0, 1.0, 1.0 - (-1.0_f64).exp());
    }

    #[test]
    fn even_ages_are_uniform_and_young_ones_are_not() {
        let even: Vec<f64> = (0..1_000).map(|i| (f64::from(i) + 0.5) / 1_000.0).collect();
        assert!(!distance(&even, 0.0, 1.0).is_too_large());
        assert!(distance(&even, 0.8, 1.0).is_too_large());
        assert!(!distance(&even, 0.8, 10.0).is_too_large());
        assert!((busiest_to_quietest(&even) - 1.0).abs() < 0.01);
        let young: Vec<f64> = even.iter().map(|age| age * age).collect();
        assert!(distance(&young, 0.0, 1.0).is_too_large());
        assert!(busiest_to_quietest(&young) > 2.0);
    }

    #[test]
    fn keys_that_are_written_together_are_noticed() {
        let mut rng = fastrand::Rng::with_seed(9);
        let mut check = |groups: usize, size: usize, together: std::ops::Range<f64>| {
            for _ in 0..20 {
                let mut ages: Vec<f64> = (0..groups).flat_map(|_| vec![rng.f64(); size]).collect();
                let found = written_together(&ages);
                assert!(together.contains(&found), "{groups} times {size}: {found}");
                // A step of the number of keys, and a moment at which many were written, do not count.
                ages.iter_mut().for_each(|age| *age = if *age < 0.3 { *age * 0.5 } else { *age });
                ages.extend(vec![0.7; groups * size / 5]);
                let other = written_together(&ages);
                assert!(other < 1.5 * together.end, "{groups} times {size}: {other}");
            }
        };
        check(2_000, 1, 1.0..1.01);
        check(500, 1, 1.0..1.01);
        check(400, 5, 3.0..8.0);
        check(400, 20, 12.0..32.0);
        assert_eq!(written_together(&[]), 1.0);
    }

    #[test]
    fn the_early_rate_is_found_from_followed_keys() {
        let mut rng = fastrand::Rng::with_seed(4);
        let keys: Vec<SampledKey> = (0..4_000)
            .map(|_| {
                let remaining_ms = rng.u64(0..1_000);
                let lives = -(1.0 - rng.f64()).ln() / 0.7 * 1_000.0;
                let follow_up = if lives < remaining_ms as f64 {
                    FollowUp::EndedEarly
                } else {
                    FollowUp::NotBack { within_ms: 10 }
                };
                SampledKey { remaining_ms, idle: None, follow_up: Some(follow_up) }
            })
            .collect();
        let found = EarlyRate::of_followed(&keys, 1_000);
        assert!((found.rate - 0.7).abs() < 3.0 * found.error, "{found:?}");
        assert!(found.error < 0.03, "{found:?}");
        assert_eq!(EarlyRate::of_followed(&keys[..0], 1_000).rate, 0.0);
    }
}
