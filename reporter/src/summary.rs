//! A summary of a period, such as the last week, from runs and samples. Pure.

use jiff::Timestamp;
use keysweep_model::result::Status;
use keysweep_model::selection::Selection;
use keysweep_model::time::rfc3339;
use keysweep_storage::counter_snapshot::CounterSnapshot;
use keysweep_storage::history::RunLine;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::findings::LOOKUPS_MIN;
use crate::hit_rate::{CounterSnapshots, DAY_MS, TrafficInterval, total_traffic};
use crate::key_statistics::{About, change};

/// Milliseconds of a week.
pub const WEEK_MS: u64 = 7 * DAY_MS;

/// The summary of a period. Rates and shares are percentages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// The start of the period.
    pub from: String,
    /// The end of the period.
    pub to: String,
    /// Runs that ended in the period.
    pub runs: u64,
    /// Runs that completed.
    pub completed: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Deleted keys.
    pub cleaned_keys: u64,
    /// The largest number of keys without TTL in one run of the same selection; null if no run read anything.
    #[serde(rename = "staleTTLKeysMax")]
    pub stale_ttl_keys_max: Option<u64>,
    /// Hits in percent of the application's lookups; null without lookups, and if the rate is not known within two
    /// points.
    pub hit_rate: Option<f64>,
    /// The application's lookups; null if unknown.
    pub lookups: Option<u64>,
    /// Why the hit rate is unknown although there are samples; null if it is known, and without lookups.
    pub unknown_reason: Option<String>,
    /// The lowest hit rate between two samples with at least 1,000 lookups.
    pub hit_rate_min: Option<f64>,
    /// The hit rate of the preceding period of the same length.
    pub hit_rate_before: Option<f64>,
    /// Matching keys at the end, according to the last run that knows the number.
    pub total_keys: Option<u64>,
    /// Change of that number since the first such run of the same selection, in percent; null if the error of the
    /// numbers is unknown.
    pub growth_percent: Option<f64>,
    /// The lower bound of the change, if a number is approximate.
    pub growth_percent_min: Option<f64>,
    /// The upper bound.
    pub growth_percent_max: Option<f64>,
    /// The highest memory usage of a server, in percent of its limit.
    pub memory_usage_percent_max: Option<f64>,
    /// The number of samples in the period.
    pub samples: u64,
}

/// The summary of the `length_ms` before `now_ms`, from the runs and samples of one job. Figures of keys are those of
/// `selection`, or of the selection of the last run that knows the number of keys.
#[must_use]
pub fn summary(
    runs: &[RunLine],
    selection: Option<&Selection>,
    all: &[CounterSnapshot],
    samples: &CounterSnapshots<'_>,
    length_ms: u64,
    now_ms: u64,
) -> Summary {
    let since_ms = now_ms.saturating_sub(length_ms);
    let ended: Vec<&RunLine> =
        runs.iter().filter(|line| ended_at(line).is_some_and(|ms| ms > since_ms)).collect();
    let with = |status| ended.iter().filter(|line| line.status == Some(status)).count() as u64;
    let intervals: Vec<TrafficInterval> = samples.intervals(2 * length_ms).collect();
    let (before, now): (Vec<&TrafficInterval>, Vec<&TrafficInterval>) =
        intervals.iter().partition(|interval| interval.to_ms <= since_ms);
    let traffic = total_traffic(now.iter().copied());
    let significant = now.iter().filter(|interval| interval.traffic.lookups >= LOOKUPS_MIN);
    let rates = significant.filter_map(|interval| interval.traffic.rate());
    let of_same_keys = same_keys(&ended, selection);
    let known: Vec<&RunLine> =
        of_same_keys.iter().copied().filter(|line| line.total_keys.is_some()).collect();
    let left = |line: Option<&&RunLine>| About::left(line?);
    let grown = left(known.first()).zip(left(known.last())).map(|(first, last)| change(first, last));
    let recent: Vec<&CounterSnapshot> = all.iter().filter(|sample| sample.at_ms > since_ms).collect();
    Summary {
        from: rfc3339(since_ms),
        to: rfc3339(now_ms),
        runs: ended.len() as u64,
        completed: with(Status::Completed),
        failed: with(Status::Failed),
        cleaned_keys: ended.iter().map(|line| line.cleaned_keys).fold(0, u64::saturating_add),
        stale_ttl_keys_max: of_same_keys.iter().map(|line| line.stale_ttl_keys).max(),
        hit_rate: traffic.rate(),
        lookups: traffic.number().filter(|_| !now.is_empty()),
        unknown_reason: traffic.unknown_reason(),
        hit_rate_min: rates.reduce(f64::min),
        hit_rate_before: total_traffic(before).rate(),
        total_keys: known.last().and_then(|line| line.total_keys),
        growth_percent: grown.and_then(|grown| grown.percent),
        growth_percent_min: grown.and_then(|grown| grown.min),
        growth_percent_max: grown.and_then(|grown| grown.max),
        memory_usage_percent_max: recent.iter().filter_map(|s| s.memory_usage_percent).reduce(f64::max),
        samples: recent.len() as u64,
    }
}

/// Those of `ended` that read keys and have the `selection`.
fn same_keys<'a>(ended: &[&'a RunLine], selection: Option<&Selection>) -> Vec<&'a RunLine> {
    let last = ended.iter().rev().find(|line| line.total_keys.is_some());
    let Some(selection) = selection.or_else(|| last?.selection.as_ref()) else { return Vec::new() };
    let read = |line: &&&RunLine| line.total_keys.is_some() || line.scanned_keys > 0;
    let of_same = |line: &&&RunLine| line.selection.as_ref() == Some(selection);
    ended.iter().filter(read).filter(of_same).copied().collect()
}

fn ended_at(line: &RunLine) -> Option<u64> {
    let ended: Timestamp = line.finished_at.as_ref()?.parse().ok()?;
    u64::try_from(ended.as_millisecond()).ok()
}
