//! The effect of the other TTL on misses: the logarithm of their ratio, treated to control, estimated from buckets of
//! users.
//!
//! The unit is the bucket, and not the request: a user makes many requests that are alike, and users differ by orders of
//! magnitude.

use crate::limits::{BUCKET_FILLS_MIN, GROUP_BUCKETS_MIN};

/// The fills of a bucket: of the periods in which it was the control, and of those in which it was treated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BucketFills {
    /// As the control.
    pub control: f64,
    /// As treated.
    pub treated: f64,
}

/// Which arm a bucket was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The control in even periods.
    First,
    /// The control in odd periods.
    Second,
}

/// An estimate of the logarithm of relative misses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// ln(misses of the treated arm / misses of the control).
    pub estimate: f64,
    /// The variance of the estimate.
    pub variance: f64,
    /// Degrees of freedom of the variance.
    pub freedom: f64,
    /// Buckets that were used.
    pub buckets: usize,
}

/// Mean, variance of the mean, and number.
#[derive(Clone, Copy, Debug)]
struct Mean {
    mean: f64,
    variance: f64,
    count: f64,
}

impl Mean {
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() < GROUP_BUCKETS_MIN {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, variance: squares / (count - 1.0) / count, count })
    }

    /// Degrees of freedom of the sum of two variances (Welch, Satterthwaite).
    fn freedom(self, other: Self) -> f64 {
        let part = |mean: Self| mean.variance.powi(2) / (mean.count - 1.0);
        let sum = (self.variance + other.variance).powi(2) / (part(self) + part(other));
        if sum.is_finite() { sum } else { self.count + other.count - 2.0 }
    }
}

/// The logarithm of a count, nearly without bias from 5 on.
fn ln_fills(fills: f64) -> f64 {
    (fills + 0.5).ln()
}

/// The effect from the differences within buckets, over pairs of periods in which each bucket was in both arms.
///
/// What differs between periods moves the differences of the two groups in opposite directions, and so cancels in the mean of
/// the groups. Buckets with few fills are left out; which these are does not depend on the arms.
#[must_use]
pub fn crossover(buckets: impl Iterator<Item = (Group, BucketFills)>) -> Option<Effect> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (group, fills) in buckets {
        if fills.control + fills.treated < BUCKET_FILLS_MIN {
            continue;
        }
        let difference = ln_fills(fills.treated) - ln_fills(fills.control);
        match group {
            Group::First => first.push(difference),
            Group::Second => second.push(difference),
        }
    }
    let (first, second) = (Mean::of(&first)?, Mean::of(&second)?);
    Some(Effect {
        estimate: f64::midpoint(first.mean, second.mean),
        variance: (first.variance + second.variance) / 4.0,
        freedom: first.freedom(second),
        buckets: (first.count + second.count) as usize,
    })
}

/// The effect from the difference between two groups of buckets in one period: for the first one, in which no bucket was
/// in both arms. Far wider than [`crossover`], since users differ. Each item is the fills of a bucket.
#[must_use]
pub fn parallel(control: impl Iterator<Item = f64>, treated: impl Iterator<Item = f64>) -> Option<Effect> {
    let [control, treated]: [Vec<f64>; 2] =
        [control.map(ln_fills).collect(), treated.map(ln_fills).collect()];
    let (control, treated) = (Mean::of(&control)?, Mean::of(&treated)?);
    Some(Effect {
        estimate: treated.mean - control.mean,
        variance: control.variance + treated.variance,
        freedom: control.freedom(treated),
        buckets: (control.count + treated.count) as usize,
    })
}

/// How many times as many fills are needed as if they were independent and all buckets alike, from the fills of the same
/// buckets in two times of equal length under the same TTL. Of the scale of these times: users who come on some days and
/// not on others are not seen within an hour.
#[must_use]
pub fn overdispersion(buckets: &[(f64, f64)]) -> Option<f64> {
    let used: Vec<_> = buckets.iter().filter(|(first, second)| first + second >= BUCKET_FILLS_MIN).collect();
    let differences: Vec<f64> =
        used.iter().map(|(first, second)| ln_fills(*second) - ln_fills(*first)).collect();
    let fills: f64 = used.iter().map(|(first, second)| first + second).sum();
    // Independent fills of buckets that are alike: the variance of a difference is 1/n + 1/n.
    let of_mean = Mean::of(&differences)?;
    Some(of_mean.variance * fills / 4.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(fills: &[(f64, f64)]) -> Vec<(Group, BucketFills)> {
        let row = |(n, &(control, treated)): (usize, &(f64, f64))| {
            (if n.is_multiple_of(2) { Group::First } else { Group::Second }, BucketFills { control, treated })
        };
        fills.iter().enumerate().map(row).collect()
    }

    #[test]
    fn what_differs_between_periods_cancels() {
        // The second period has three times the traffic; the treated arm has half the misses.
        let row = |n: u32| {
            let base = f64::from(1_000 + 37 * (n % 5));
            if n.is_multiple_of(2) { (base, 1.5 * base) } else { (3.0 * base, base / 2.0) }
        };
        let rows: Vec<(f64, f64)> = (0..40).map(row).collect();
        let effect = crossover(buckets(&rows).into_iter()).unwrap();
        assert!((effect.estimate - 0.5_f64.ln()).abs() < 0.001, "{effect:?}");
        assert_eq!(effect.buckets, 40);
    }

    #[test]
    fn too_few_buckets_say_nothing() {
        assert_eq!(crossover(buckets(&[(100.0, 100.0); 15]).into_iter()), None);
        assert!(crossover(buckets(&[(100.0, 100.0); 16]).into_iter()).is_some());
        assert_eq!(crossover(buckets(&[(2.0, 2.0); 100]).into_iter()), None);
        assert_eq!(parallel([5.0; 7].into_iter(), [5.0; 100].into_iter()), None);
        assert_eq!(overdispersion(&[(50.0, 50.0); 7]), None);
    }

    proptest! {
        #[test]
        fn swapped_arms_have_the_opposite_effect(fills in prop::collection::vec((0.0..10_000.0, 0.0..10_000.0), 16..80)) {
            let swapped: Vec<(f64, f64)> = fills.iter().map(|&(control, treated)| (treated, control)).collect();
            let (one, other) = (crossover(buckets(&fills).into_iter()), crossover(buckets(&swapped).into_iter()));
            match (one, other) {
                (Some(one), Some(other)) => {
                    prop_assert!((one.estimate + other.estimate).abs() < 1e-9);
                    prop_assert!((one.variance - other.variance).abs() < 1e-9);
                    prop_assert!(one.variance >= 0.0 && one.freedom >= 7.0 - 1e-9);
                }
                (None, None) => {}
                _ => prop_assert!(false, "one has an effect and the other has none"),
            }
        }
    }
}
