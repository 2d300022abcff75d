//! The interval to the next run by the growth: what is wanted, and what limits it.

use std::time::Duration;

use super::growth::Growth;
use super::{Bounds, Lesson, PastRun, Situation, lossy};

/// The interval before anything is known.
const FIRST: Duration = Duration::from_secs(3_600);

/// After this many runs without a stale key, the interval doubles.
const USELESS_RUNS: usize = 2;

/// A wanted change below this part of the interval is none.
const DEAD_BAND: f64 = 0.2;

/// The largest change from one run to the next, and its inverse the other way.
const STEP: f64 = 2.0;

/// The time from the start of a run to the start of the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// How long it is.
    pub time: Duration,
    /// What limits it; `None` if it is what the growth requires.
    pub limit: Option<Limit>,
}

/// What limits an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The shortest one.
    Min,
    /// The longest one.
    Max,
    /// The growth requires less than half or more than twice the last one.
    Step,
    /// The growth requires almost the last one.
    DeadBand,
    /// The last runs found nothing.
    Useless,
    /// No growth is known.
    Unknown,
}

/// The interval after the last run.
#[must_use]
pub(super) fn interval(
    of: &Situation<'_>,
    bounds: &Bounds,
    threshold: u64,
    growth: Option<Growth>,
) -> Interval {
    let previous = of.previous.unwrap_or(FIRST).as_secs_f64();
    let (seconds, limit) = match growth {
        // Runs that change nothing, such as those of a job that only reports, never teach.
        None if of.runs.last().is_some_and(|last| last.lesson == Lesson::Nothing) => {
            (previous * STEP, Some(Limit::Unknown))
        }
        None => (previous, Some(Limit::Unknown)),
        Some(growth) => {
            let wanted = wanted(bounds, threshold, growth);
            if useless(of.runs) && wanted < previous * STEP {
                (previous * STEP, Some(Limit::Useless))
            } else {
                stepped(wanted, previous)
            }
        }
    };
    clamped(seconds, limit, bounds)
}

/// The interval that the growth requires, in seconds; infinite without growth.
///
/// Stale keys that arrive at the rate `r` reach the threshold `s` after `s/r`. With a run that costs as much as `c` stale
/// keys in an hour, an interval `t` costs `c/t + r·t/2` per hour, least at `t = √(2c/r)`: the square root of economic
/// order quantities (Harris, 1913), so that four times the growth halves the interval. The threshold holds nevertheless.
fn wanted(bounds: &Bounds, threshold: u64, growth: Growth) -> f64 {
    let reached = lossy(threshold) / growth.high;
    let balanced = |cost: u64| (2.0 * lossy(cost) * 3_600.0 / growth.high).sqrt();
    bounds.run_cost.map_or(reached, |cost| balanced(cost).min(reached))
}

fn stepped(wanted: f64, previous: f64) -> (f64, Option<Limit>) {
    if (wanted - previous).abs() <= DEAD_BAND * previous {
        return (previous, Some(Limit::DeadBand));
    }
    let stepped = wanted.clamp(previous / STEP, previous * STEP);
    (stepped, (stepped != wanted).then_some(Limit::Step))
}

fn clamped(seconds: f64, limit: Option<Limit>, bounds: &Bounds) -> Interval {
    let (min, max) = (bounds.min_interval, bounds.max_interval.max(bounds.min_interval));
    // Only a number that is far too large is no duration.
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    match time {
        time if time < min => Interval { time: min, limit: Some(Limit::Min) },
        time if time > max => Interval { time: max, limit: Some(Limit::Max) },
        time => Interval { time, limit },
    }
}

/// Whether the last complete runs found nothing.
fn useless(runs: &[PastRun]) -> bool {
    let complete = runs.iter().rev().filter(|run| matches!(run.lesson, Lesson::Found(_)));
    complete.take(USELESS_RUNS).filter(|run| run.lesson == Lesson::Found(0)).count() == USELESS_RUNS
}
