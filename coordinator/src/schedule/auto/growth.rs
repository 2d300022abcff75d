//! How fast stale keys arrive: a rate with an interval, from what complete runs found.

use super::{Lesson, PastRun, lossy, unsigned};

/// After this many further runs, a run counts half.
const HALF_LIFE_RUNS: f64 = 7.0;

/// Older runs would count less than a thousandth.
const RUNS: usize = 70;

/// Jeffreys' prior of a rate: half a key in no time.
const PRIOR_KEYS: f64 = 0.5;

/// How much counts of runs vary before enough runs are known to see it: their standard deviation is about a third of
/// their mean. It counts as much as one run.
const PRIOR_VARIATION: f64 = 0.1;

/// The standard normal distribution's 90 % quantile.
const NORMAL_90: f64 = 1.281_551_6;

/// Stale keys that arrive per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// The estimate: the weighted mean.
    pub estimate: f64,
    /// Above this with a probability of 90 %.
    pub low: f64,
    /// Below this with a probability of 90 %.
    pub high: f64,
}

/// What one run found, and since when.
struct RunArrivals {
    keys: f64,
    seconds: f64,
    weight: f64,
}

/// The rate by the complete runs of `runs`, the oldest first; `None` unless there are two: what the first one found has
/// arrived in an unknown time.
///
/// The posterior is that of a Poisson process, a gamma distribution of shape `1/2 + Σ wᵢnᵢ/φ` and rate `Σ wᵢΔᵢ/φ`,
/// where a run that was followed by `a` others has the weight `wᵢ = 2^(-a/7)`. Stale keys arrive in bursts, and thousands
/// of them would make a Poisson interval far too narrow: `φ` is how much more the counts vary than those of a Poisson
/// process (quasi-likelihood; McCullagh and Nelder, 1989). The interval is one of the mean rate: a burst of tomorrow is
/// not in it.
#[must_use]
pub fn growth(runs: &[PastRun]) -> Option<Growth> {
    let arrivals = arrivals(runs);
    let sum = |part: fn(&RunArrivals) -> f64| arrivals.iter().map(part).sum::<f64>();
    let (keys, seconds) = (sum(|a| a.weight * a.keys), sum(|a| a.weight * a.seconds));
    if seconds <= 0.0 {
        return None;
    }
    let mean = keys / seconds;
    let spread = dispersion(&arrivals, mean);
    let (shape, rate) = (PRIOR_KEYS + keys / spread, seconds / spread);
    Some(Growth {
        estimate: mean,
        low: (quantile(shape, -NORMAL_90) / rate).min(mean),
        high: quantile(shape, NORMAL_90) / rate,
    })
}

fn arrivals(runs: &[PastRun]) -> Vec<RunArrivals> {
    let complete = |run: &&PastRun| matches!(run.lesson, Lesson::Found(_));
    let newest: Vec<&PastRun> = runs.iter().rev().filter(complete).take(RUNS + 1).collect();
    let pairs = newest.windows(2).zip(0_u32..);
    let pair = |(pair, age): (&[&PastRun], u32)| {
        let Lesson::Found(found) = pair[0].lesson else { return None };
        let seconds = unsigned(pair[1].started, pair[0].started).as_secs_f64();
        let weight = (-f64::from(age) / HALF_LIFE_RUNS).exp2();
        (seconds > 0.0).then(|| RunArrivals { keys: lossy(found), seconds, weight })
    };
    pairs.filter_map(pair).collect()
}

/// How many times more the counts vary than those of a Poisson process with the rate `mean`, at least once: Pearson's
/// statistic by its degrees of freedom, with the prior as one run.
fn dispersion(arrivals: &[RunArrivals], mean: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    let (mut pearson, mut weights, mut squares, mut keys) = (0.0, 0.0, 0.0, 0.0);
    for RunArrivals { keys: found, seconds, weight } in arrivals {
        let expected = mean * seconds;
        pearson += weight * (found - expected).powi(2) / expected;
        keys += weight * expected;
        weights += weight;
        squares += weight * weight;
    }
    let freedom = weights - squares / weights;
    let prior = 1.0 + PRIOR_VARIATION * keys / weights;
    ((prior + pearson) / (1.0 + freedom)).max(1.0)
}

/// A quantile of a gamma distribution of rate 1, by the standard normal's (Wilson and Hilferty, 1931): within 3 % for the
/// upper ones of any shape from 1/2 on.
fn quantile(shape: f64, normal: f64) -> f64 {
    let ninth = 1.0 / (9.0 * shape);
    shape * (1.0 - ninth + normal * ninth.sqrt()).max(0.0).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half the quantiles of the chi-square distribution with 1, 2, 10 and 200 degrees of freedom.
    #[test]
    fn quantiles_are_those_of_tables() {
        let check = |shape: f64, low: f64, high: f64| {
            let is = (quantile(shape, -NORMAL_90), quantile(shape, NORMAL_90));
            assert!((is.1 / high - 1.0).abs() < 0.03, "{shape}: {is:?}, not {high}");
            assert!(shape < 1.0 || (is.0 / low - 1.0).abs() < 0.07, "{shape}: {is:?}, not {low}");
        };
        check(0.5, 0.015_8 / 2.0, 2.705_5 / 2.0);
        check(1.0, 0.210_7 / 2.0, 4.605_2 / 2.0);
        check(5.0, 4.865_2 / 2.0, 15.987_2 / 2.0);
        check(100.0, 174.835 / 2.0, 226.021 / 2.0);
    }
}
