//! How many fills an experiment needs, and how long that takes.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use thiserror::Error;

use crate::assignment::Assignment;
use crate::limits::{
    BUCKET_FILLS_MIN, BUCKETS_MAX, BUCKETS_MIN, LOOK_BACK_TTLS, LOOK_EVERY_TTLS, PERIOD_TTLS, PERIODS_MAX,
    TTL_MIN_MS, TTL_RATIO_MAX,
};
use crate::sequence::ConfidenceSequence;

const DAY_MS: u64 = 86_400_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The TTL of today in ms.
    pub control_ttl_ms: u64,
    /// The other TTL in ms.
    pub treated_ttl_ms: u64,
    /// The number of buckets.
    pub buckets: u32,
    /// The length of a period in ms; unless it is given, whole days.
    pub period_ms: Option<u64>,
    /// The relative change of misses that should be found, such as 0.05.
    pub effect: f64,
    /// Smaller changes do not matter: less than `effect`.
    pub margin: f64,
    /// The probability of a wrong verdict.
    pub alpha: f64,
    /// The probability of finding an effect of that size.
    pub power: f64,
    /// How many times as many fills are needed as if they were independent and all buckets alike.
    pub overdispersion: f64,
    /// Entries that are written per second, of all users.
    pub fills_per_s: f64,
}

/// What it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The length of a period in ms.
    pub period_ms: u64,
    /// The part of it that is measured, in ms.
    pub measured_ms: u64,
    /// The number of periods: even.
    pub periods: u64,
    /// All periods in ms.
    pub duration_ms: u64,
    /// Fills of each arm that are needed.
    pub fills_per_arm: f64,
    /// Fills that an analysis would need which is made only once, at the end.
    pub fills_per_arm_once: f64,
    /// Fills of a bucket in both arms over all periods.
    pub fills_per_bucket: f64,
    /// Periods after which it is known with the same probability that there is no difference beyond the margin, if there is
    /// none; none if there is no margin.
    pub equivalence_periods: Option<u64>,
    /// The variance of the estimate at the planned end: where its intervals are narrowest.
    pub planned_variance: f64,
    /// The interval of looks in ms.
    pub look_every_ms: u64,
    /// Looks further apart than this miss fills, in ms.
    pub look_back_ms: u64,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PlanError {
    /// A number is not usable.
    #[error("{0}")]
    Invalid(&'static str),
    /// A period is too short for its TTLs.
    #[error(
        "a period of {period_ms} ms is too short: the longest TTL at its beginning is left out, and at least 4 more are \
         measured; at least {needed_ms} ms are needed"
    )]
    ShortPeriod {
        /// The period,
        period_ms: u64,
        /// and the shortest possible.
        needed_ms: u64,
    },
    /// It would take too long.
    #[error(
        "it would take {pairs:.0} pairs of periods, and at most {} are possible: look for a larger effect, allow a smaller \
         margin, or choose longer periods",
        PERIODS_MAX / 2
    )]
    TooLong {
        /// Pairs of periods.
        pairs: f64,
    },
    /// There would be too few fills in each bucket.
    #[error(
        "a bucket would have {per_bucket:.1} fills, and {} are needed: use fewer buckets, at most {fitting}",
        2.0 * BUCKET_FILLS_MIN
    )]
    FewFills {
        /// Fills of a bucket,
        per_bucket: f64,
        /// and the number of buckets that would fit.
        fitting: u32,
    },
}

/// The plan for a question.
///
/// # Errors
/// If its numbers are not usable, or the experiment would take too long.
pub fn plan(asked: &Question) -> Result<Plan, PlanError> {
    check(asked)?;
    let longest = asked.control_ttl_ms.max(asked.treated_ttl_ms);
    let shortest = asked.control_ttl_ms.min(asked.treated_ttl_ms);
    let period_ms = asked.period_ms.unwrap_or_else(|| (PERIOD_TTLS * longest).div_ceil(DAY_MS) * DAY_MS);
    let measured_ms = measured_ms(asked, period_ms);
    if measured_ms == 0 {
        let needed_ms = (longest..).step_by((longest / 100).max(1) as usize);
        let needed_ms = needed_ms.take(1_000).find(|period| measured_ms_of(asked, *period));
        return Err(PlanError::ShortPeriod { period_ms, needed_ms: needed_ms.unwrap_or(6 * longest) });
    }
    let distance = asked.effect.ln_1p() - asked.margin.ln_1p();
    let once = (quantile(1.0 - asked.alpha / 2.0) + quantile(asked.power)) / distance;
    let always =
        (ConfidenceSequence::new(asked.alpha, 1.0).deviations(1.0) + quantile(asked.power)) / distance;
    let planned_variance = 1.0 / (always * always);
    let fills = |variance: f64| 2.0 * asked.overdispersion / variance;
    // In a pair of periods, half of the fills are of each arm.
    // The slopes at both ends count half.
    let per_pair = asked.fills_per_s * (measured_ms - longest) as f64 / 1_000.0;
    let pairs = |variance: f64| (fills(variance) / per_pair).ceil().max(1.0);
    let needed = pairs(planned_variance);
    if needed > (PERIODS_MAX / 2) as f64 {
        return Err(PlanError::TooLong { pairs: needed });
    }
    let periods = 2 * needed as u64;
    let per_bucket = 2.0 * per_pair * needed / f64::from(asked.buckets);
    if per_bucket < 2.0 * BUCKET_FILLS_MIN {
        let fitting = per_pair * needed / BUCKET_FILLS_MIN;
        return Err(PlanError::FewFills { per_bucket, fitting: fitting as u32 / 2 * 2 });
    }
    let share = |ttls: f64| ((shortest as f64 * ttls) as u64).max(1);
    Ok(Plan {
        period_ms,
        measured_ms,
        periods,
        duration_ms: periods * period_ms,
        fills_per_arm: fills(planned_variance),
        fills_per_arm_once: fills(1.0 / (once * once)),
        fills_per_bucket: per_bucket,
        equivalence_periods: equivalence(asked, planned_variance).map(|variance| 2 * pairs(variance) as u64),
        planned_variance,
        look_every_ms: share(LOOK_EVERY_TTLS),
        look_back_ms: share(LOOK_BACK_TTLS),
    })
}

fn check(asked: &Question) -> Result<(), PlanError> {
    let (shortest, longest) =
        (asked.control_ttl_ms.min(asked.treated_ttl_ms), asked.control_ttl_ms.max(asked.treated_ttl_ms));
    let wrong = [
        (shortest < TTL_MIN_MS, "TTLs below a second cannot be compared"),
        (longest > 1_000 * DAY_MS, "TTLs above 1,000 days cannot be compared"),
        (shortest == longest, "both arms have the same TTL"),
        (longest > TTL_RATIO_MAX * shortest, "one TTL is more than 16 times the other"),
        (
            !(BUCKETS_MIN..=BUCKETS_MAX).contains(&asked.buckets) || !asked.buckets.is_multiple_of(2),
            "the number of buckets is even, and from 20 to 4000",
        ),
        (!(asked.effect > 0.0 && asked.effect <= 1.0), "the effect is above 0 and at most 100 %"),
        (!(asked.margin >= 0.0 && asked.margin < asked.effect), "the margin is less than the effect"),
        (!(asked.alpha > 0.0 && asked.alpha <= 0.2), "the level is above 0 and at most 20 %"),
        (!(asked.power >= 0.5 && asked.power < 1.0), "the power is from 50 % to below 100 %"),
        (
            !(asked.overdispersion >= 1.0 && asked.overdispersion <= 1e4),
            "the overdispersion is from 1 to 10000",
        ),
        (!(asked.fills_per_s > 0.0 && asked.fills_per_s < 1e9), "nothing is written"),
        (asked.period_ms.is_some_and(|period| period > 100 * DAY_MS), "a period has at most 100 days"),
    ];
    wrong.iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, why)| Err(PlanError::Invalid(why)))
}

fn measured_ms(asked: &Question, period_ms: u64) -> u64 {
    let assignment = Assignment {
        salt: String::new(),
        buckets: asked.buckets,
        control_ttl_ms: asked.control_ttl_ms,
        treated_ttl_ms: asked.treated_ttl_ms,
        start_ms: 0,
        period_ms,
        until_ms: 2 * period_ms,
    };
    assignment.measured_ms()
}

fn measured_ms_of(asked: &Question, period_ms: u64) -> bool {
    measured_ms(asked, period_ms) > 0
}

/// The variance at which, without a difference, the interval lies within the margin with the probability `power`.
fn equivalence(asked: &Question, planned_variance: f64) -> Option<f64> {
    let margin = asked.margin.ln_1p();
    if margin <= 0.0 {
        return None;
    }
    let sequence = ConfidenceSequence::new(asked.alpha, planned_variance);
    let both = quantile(f64::midpoint(1.0, asked.power));
    // The half-width depends on the variance itself: a few rounds settle it.
    let next = |variance: f64| (margin / (sequence.deviations(planned_variance / variance) + both)).powi(2);
    Some((0..20).fold(planned_variance, |variance, _| next(variance)))
}

/// The quantile of the normal distribution.
fn quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Question = Question {
        control_ttl_ms: 3_600_000,
        treated_ttl_ms: 7_200_000,
        buckets: 400,
        period_ms: None,
        effect: 0.05,
        margin: 0.0,
        alpha: 0.05,
        power: 0.8,
        overdispersion: 3.0,
        fills_per_s: 1.0,
    };

    #[test]
    fn sizes_are_those_of_the_formula() {
        let plan = plan(&ASKED).unwrap();
        let expected = 15.7 * 3.0 / 1.05_f64.ln().powi(2);
        assert!((plan.fills_per_arm_once / expected - 1.0).abs() < 0.002, "{plan:?}");
        assert!((plan.fills_per_arm / plan.fills_per_arm_once - 1.92).abs() < 0.02, "{plan:?}");
        assert_eq!((plan.period_ms, plan.measured_ms), (DAY_MS, 10 * 7_200_000));
        assert_eq!((plan.periods, plan.equivalence_periods), (2, None));
        assert_eq!(plan.look_every_ms, 900_000);
    }

    #[test]
    fn a_margin_costs_time_and_equivalence_more() {
        let plain = plan(&Question { fills_per_s: 0.1, ..ASKED }).unwrap();
        let margin = plan(&Question { margin: 0.02, fills_per_s: 0.1, ..ASKED }).unwrap();
        assert!(margin.periods > 2 * plain.periods, "{margin:?} {plain:?}");
        assert!(margin.equivalence_periods.unwrap() > margin.periods, "{margin:?}");
    }

    #[test]
    fn what_cannot_be_planned_is_refused() {
        let check = |asked: Question, expected: &str| {
            let error = plan(&asked).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(Question { treated_ttl_ms: 3_600_000, ..ASKED }, "the same TTL");
        check(Question { treated_ttl_ms: 360_000_000, ..ASKED }, "16 times");
        check(Question { buckets: 401, ..ASKED }, "even");
        check(Question { margin: 0.05, ..ASKED }, "less than the effect");
        check(Question { alpha: f64::NAN, ..ASKED }, "level");
        check(Question { fills_per_s: 0.0, ..ASKED }, "nothing is written");
        check(Question { fills_per_s: 0.000_1, ..ASKED }, "pairs of periods");
        check(Question { period_ms: Some(7_200_000), ..ASKED }, "too short");
        let few = Question { buckets: 4_000, fills_per_s: 0.1, effect: 0.5, overdispersion: 1.0, ..ASKED };
        check(few, "fewer buckets");
    }
}
