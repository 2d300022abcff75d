//! What is known so far, and what follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::assignment::{Arm, Assignment};
use crate::effect::{BucketFills, Effect, Group, crossover, parallel};
use crate::guards::{Guard, Health, tripped};
use crate::limits::{
    BEYOND_POSSIBLE, GUARD_ALPHA, GUARD_MISSES, IMPOSSIBLE_KEYS_MIN, IMPOSSIBLE_MAX, USERS_ALPHA,
};
use crate::observed::Observed;
use crate::sequence::ConfidenceSequence;
use crate::users::ln_bayes_factor;

/// An experiment as it was planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Design {
    /// Who has which TTL.
    pub assignment: Assignment,
    /// Changes of misses up to this share do not matter.
    pub margin: f64,
    /// The probability of a wrong verdict.
    pub alpha: f64,
    /// The variance of the estimate at the planned end.
    pub planned_variance: f64,
}

/// A relative number of misses, treated to control, with an interval that holds at every look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Misses {
    /// The estimate: 0.9 are 10 % fewer misses.
    pub estimate: f64,
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
    /// Buckets of users that it rests on.
    pub buckets: usize,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Go on: nothing is known yet.
    GoOn,
    /// The other TTL has fewer misses, by more than the margin.
    Benefit,
    /// It has more, by more than the margin.
    Harm,
    /// The difference is within the margin.
    Equivalent,
    /// The experiment is over, and the difference is not known well enough.
    Undecided,
    /// The experiment cannot answer.
    Invalid(Invalid),
    /// A guard stops it.
    Stopped(Guard),
}

/// Why an experiment cannot answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Invalid {
    /// One group has more users than it should.
    Users {
        /// Users of the first group and the second.
        groups: [u64; 2],
    },
    /// Keys have TTLs that their arm cannot have.
    Ttls {
        /// Such keys,
        keys: u64,
        /// of so many.
        of: u64,
    },
    /// The difference is larger than the TTLs can cause.
    Beyond {
        /// Relative misses are at most this,
        at_most: f64,
        /// and cannot be below this.
        possible: f64,
    },
}

/// What is known so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What follows.
    pub decision: Decision,
    /// Relative misses over the complete pairs of periods; none without one.
    pub misses: Option<Misses>,
    /// The same from all fills together, without an interval: where it is far from [`Standing::misses`], users with much
    /// traffic react differently.
    pub misses_by_fills: Option<f64>,
    /// Relative misses of the period in progress, for the guard.
    pub current: Option<Misses>,
    /// Pairs of periods that are used.
    pub pairs: u64,
    /// Pairs that are not, because looks are missing.
    pub pairs_missing: u64,
    /// Distinct users of the two groups, a sample at most, in complete pairs of periods.
    pub users: [u64; 2],
    /// Keys with a TTL that their arm cannot have, and keys of which that can be known.
    pub impossible: [u64; 2],
}

/// What is known at `now_ms`.
#[must_use]
pub fn standing(design: &Design, observed: &Observed, health: &Health, now_ms: u64) -> Standing {
    let assignment = &design.assignment;
    let (used, pairs_missing) = observed.pairs(assignment, now_ms);
    let periods: Vec<u64> = used.iter().flat_map(|pair| [2 * pair, 2 * pair + 1]).collect();
    let buckets = observed.buckets(assignment, &periods);
    let sequence = ConfidenceSequence::new(design.alpha, design.planned_variance);
    let misses = crossover(buckets.iter().copied()).map(|effect| misses(&sequence, &effect));
    let current = current(design, observed);
    let mut standing = Standing {
        decision: Decision::GoOn,
        misses,
        misses_by_fills: by_fills(&buckets),
        current,
        pairs: used.len() as u64,
        pairs_missing,
        users: observed.users(assignment, now_ms),
        impossible: [observed.impossible, observed.checked],
    };
    standing.decision = decide(design, &standing, health, now_ms);
    standing
}

fn decide(design: &Design, standing: &Standing, health: &Health, now_ms: u64) -> Decision {
    if let Some(invalid) = invalid(&design.assignment, standing) {
        return Decision::Invalid(invalid);
    }
    if let Some(guard) = tripped(health, standing.current.map(|misses| misses.low)) {
        return Decision::Stopped(guard);
    }
    let (least, most) = (1.0 / (1.0 + design.margin), 1.0 + design.margin);
    match standing.misses {
        Some(misses) if misses.high < least => Decision::Benefit,
        Some(misses) if misses.low > most => Decision::Harm,
        Some(misses) if misses.low >= least && misses.high <= most && design.margin > 0.0 => {
            Decision::Equivalent
        }
        _ if now_ms >= design.assignment.until_ms => Decision::Undecided,
        _ => Decision::GoOn,
    }
}

fn invalid(assignment: &Assignment, standing: &Standing) -> Option<Invalid> {
    let first = f64::from(assignment.middle()) / f64::from(assignment.buckets);
    if ln_bayes_factor(standing.users, [first, 1.0 - first]) >= -USERS_ALPHA.ln() {
        return Some(Invalid::Users { groups: standing.users });
    }
    let [keys, of] = standing.impossible;
    if of >= IMPOSSIBLE_KEYS_MIN && keys as f64 > IMPOSSIBLE_MAX * of as f64 {
        return Some(Invalid::Ttls { keys, of });
    }
    // Misses are between those of the same TTL and the inverse ratio of the TTLs, whatever the requests are.
    let ratio = assignment.control_ttl_ms as f64 / assignment.treated_ttl_ms as f64;
    let possible = ratio.min(1.0);
    let at_most = standing.current.map(|misses| misses.high)?;
    (at_most < possible * (-BEYOND_POSSIBLE).exp()).then_some(Invalid::Beyond { at_most, possible })
}

fn misses(sequence: &ConfidenceSequence, effect: &Effect) -> Misses {
    let margin = sequence.margin(effect.variance.max(f64::MIN_POSITIVE), effect.freedom);
    Misses {
        estimate: effect.estimate.exp(),
        low: (effect.estimate - margin).exp(),
        high: (effect.estimate + margin).exp(),
        buckets: effect.buckets,
    }
}

/// Relative misses of the last period that was looked at: against the period before it, in which each bucket was in the
/// other arm, or else between buckets.
fn current(design: &Design, observed: &Observed) -> Option<Misses> {
    let assignment = &design.assignment;
    let (&last, seen) = observed.periods.last_key_value()?;
    let before = last.checked_sub(1).filter(|before| observed.covered(assignment, *before) > 0.0);
    let effect = match before {
        Some(before) => crossover(observed.buckets(assignment, &[before, last]).into_iter()),
        None => {
            let of_arm = |arm: Arm| {
                let buckets = (0..assignment.buckets).zip(&seen.fills);
                buckets
                    .filter(move |(bucket, _)| assignment.arm(*bucket, last) == arm)
                    .map(|(_, fills)| *fills)
            };
            parallel(of_arm(Arm::Control), of_arm(Arm::Treated))
        }
    };
    let alpha = GUARD_ALPHA / assignment.periods().max(1) as f64;
    let sequence = ConfidenceSequence::new(alpha, (GUARD_MISSES.ln() / 4.0).powi(2));
    effect.map(|effect| misses(&sequence, &effect))
}

fn by_fills(buckets: &[(Group, BucketFills)]) -> Option<f64> {
    let ratio = |wanted: Group| {
        let of_group = || buckets.iter().filter(|(group, _)| *group == wanted).map(|(_, fills)| fills);
        let control: f64 = of_group().map(|fills| fills.control).sum();
        let treated: f64 = of_group().map(|fills| fills.treated).sum();
        (control > 0.0 && treated > 0.0).then(|| treated / control)
    };
    Some((ratio(Group::First)? * ratio(Group::Second)?).sqrt())
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Users { groups: [first, second] } => write!(
                f,
                "the groups have {first} and {second} users, which chance does not explain: users of one group are lost"
            ),
            Self::Ttls { keys, of } => write!(
                f,
                "{keys} of {of} keys have a longer TTL than their user's arm: the application does not follow the \
                 assignment, or sets other TTLs"
            ),
            Self::Beyond { at_most, possible } => write!(
                f,
                "the users of the other TTL have at most {:.0} % of the misses, and their TTL cannot save more than down to \
                 {:.0} %: the application does not follow the assignment",
                at_most * 100.0,
                possible * 100.0
            ),
        }
    }
}
