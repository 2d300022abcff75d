//! Whether memory is about to run short: the usage of the fullest server, and the slope of Theil (1950) and Sen (1968) over the
//! last day. That is the median of the slopes of all pairs of points, so that single peaks, such as those of a fork, hardly
//! move it, and neither does the fall after a run. The level is the lower one of the last two points, for the same reason; a
//! level by all points would be too high for hours after a run. Points of other server processes are left out by who collects
//! them. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{Lesson, Situation, after, unsigned};

/// The usage that a run shall come before, in percent of the limit.
pub const USAGE_MAX: f64 = 80.0;

/// Fewer points, or points of a shorter time, tell nothing of a growth.
const POINTS_MIN: usize = 5;
const SPAN_MIN: Duration = Duration::from_secs(2 * 3_600);

/// The memory usage of the fullest server at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The time.
    pub at: Timestamp,
    /// In percent of its limit.
    pub percent: f64,
}

/// How the memory usage grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The time of the last point.
    pub at: Timestamp,
    /// The usage then, without a single peak, in percent.
    pub percent: f64,
    /// By how many points it grows in a second; negative if it falls.
    pub per_second: f64,
}

/// The trend of `points`, the oldest first; `None` if they are too few, or of too short a time.
#[must_use]
pub fn trend(points: &[Usage]) -> Option<Trend> {
    let (first, last) = (points.first()?, points.last()?);
    if points.len() < POINTS_MIN || unsigned(first.at, last.at) < SPAN_MIN {
        return None;
    }
    let before = |point: &Usage| unsigned(point.at, last.at).as_secs_f64();
    let pairs =
        points.iter().enumerate().flat_map(|(n, one)| points[..n].iter().map(move |other| (other, one)));
    let slope = |(one, other): (&Usage, &Usage)| {
        let seconds = before(one) - before(other);
        (seconds > 0.0).then(|| (other.percent - one.percent) / seconds)
    };
    let per_second = median(pairs.filter_map(slope))?;
    let latest = points[points.len() - 2..].iter().map(|point| point.percent + per_second * before(point));
    let percent = latest.filter(|percent| percent.is_finite()).reduce(f64::min)?;
    Some(Trend { at: last.at, percent, per_second })
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

impl Trend {
    /// The usage at `time`, if it goes on like this.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> f64 {
        self.percent + self.per_second * unsigned(self.at, time).as_secs_f64()
    }
}

/// Whether a run should start because the usage passes [`USAGE_MAX`] before the next look at it and a run would have ended:
/// only if stale keys are expected, and not again before a run has brought it below.
pub(super) fn passes(of: &Situation<'_>, stale: Option<u64>) -> bool {
    let Some(trend) = of.memory else { return false };
    let Some(last) = of.runs.last() else { return false };
    let took = unsigned(last.started, last.ended).saturating_mul(2);
    let until = after(of.now, of.next_look.saturating_add(took));
    let was_below = last.usage_after.is_some_and(|usage| usage < USAGE_MAX);
    let is_in_progress = last.lesson == Lesson::InProgress;
    !is_in_progress
        && was_below
        && trend.per_second > 0.0
        && trend.at(until) >= USAGE_MAX
        && stale.is_some_and(|stale| stale > 0)
}
