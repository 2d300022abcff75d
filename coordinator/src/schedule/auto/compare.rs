//! What the history of a job says of its schedule: what the decisions would have made of the stale keys that its runs
//! found, and which fixed interval would have kept as few of them.

use jiff::Timestamp;
use keysweep_storage::counter_snapshot::CounterSnapshot;

use super::simulate::{Fixed, Simulated};
use super::{BoundedJob, KeyCount, PastRun, past, unsigned};
use crate::limits::COUNT_EVERY;

/// Counts of one simulation at most: those of two weeks. A longer history has fewer.
const SAMPLES_MAX: u32 = 20_160;

/// A schedule by decisions beside what was, and beside a fixed interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// When the first complete run started.
    pub from: Timestamp,
    /// When the last one started.
    pub to: Timestamp,
    /// The stale keys that the runs after the first one found.
    pub stale: u64,
    /// The complete runs as they were.
    pub was: Was,
    /// What the decisions would have made of these keys.
    pub auto: Simulated,
    /// Whether the surplus was what the runs found, so that it starts runs.
    pub counted: bool,
    /// The longest fixed interval with as few stale keys at a time; `None` if even one of a minute has more.
    pub fixed: Option<Fixed>,
}

/// Complete runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Was {
    /// How many there were.
    pub runs: usize,
    /// The most stale keys that one of them found, without the first one.
    pub most_stale: u64,
}

/// The comparison for `job`; `None` unless the history has two complete runs.
#[must_use]
pub fn compare(job: BoundedJob<'_>, runs: &[PastRun], snapshots: &[CounterSnapshot]) -> Option<Comparison> {
    let (arrivals, found) = (past::arrivals(runs, snapshots), past::found(runs));
    let (from, to) = arrivals.span().filter(|(from, to)| from < to)?;
    let counted = past::surplus_fits(runs);
    let keys = runs.iter().rev().find_map(|run| run.after).map_or(0, |left| left.keys);
    // Only the difference to what a run leaves counts.
    let count = |at: Timestamp, stale: u64| {
        counted.then(|| KeyCount { at, keys: keys.saturating_add(stale), without_ttl: stale, servers: 0 })
    };
    // As a service counts, unless there is too much history.
    let sample_every = COUNT_EVERY.min(job.bounds.min_interval).max(unsigned(from, to) / SAMPLES_MAX);
    let auto = arrivals.simulate(job, sample_every, count);
    Some(Comparison {
        from,
        to,
        stale: arrivals.0.last().map_or(0, |(_, total)| *total),
        was: Was { runs: found.len(), most_stale: found.iter().skip(1).copied().max().unwrap_or_default() },
        fixed: arrivals.longest_fixed(auto.most_stale),
        auto,
        counted,
    })
}
