//! The application's hit rate over time windows, computed from samples. `traffic.rs` subtracts other lookups and
//! handles counter resets. Pure.

mod traffic;

use std::collections::BTreeMap;

use keysweep_model::messages::HitRateSource;
use keysweep_model::metrics::{HitPoint, HitRateWindow, HitRates};
use keysweep_model::time::rfc3339;
use keysweep_storage::counter_snapshot::{CounterSnapshot, RunReads, SnapshotPhase};

pub use traffic::Traffic;
use traffic::{NOT_AT_BEGIN, NOT_AT_END, of_application, of_servers};

/// The length of the last day, in milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// The length of the history.
const HISTORY_MS: u64 = 7 * DAY_MS;

/// The largest number of points of a history: enough for a chart.
const POINTS_MAX: usize = 84;

/// What a rate counted by Redis may include besides the application's reads.
pub const INCLUDES: &str = "EXISTS, TOUCH and SCAN with TYPE, values that other tools read, and reads by runs of \
                            keysweep whose history is stored elsewhere";

/// The samples of one Redis deployment from the perspective of one job.
pub struct CounterSnapshots<'a> {
    /// All samples, the oldest first.
    all: Vec<&'a CounterSnapshot>,
    /// Samples that may start or end a window: they have counters, and were not taken during a run, whose lookups are
    /// only known as a whole.
    marks: Vec<usize>,
    runs: Vec<RunSpan>,
    job: &'a str,
    source: &'a HitRateSource,
}

/// A run and the indexes of its samples.
struct RunSpan {
    begin: usize,
    end: Option<usize>,
    /// Where the next run of the job starts: this run is over by then.
    next: Option<usize>,
    reads: RunReads,
}

/// The application's lookups between two samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficInterval {
    /// The time of the first sample, in milliseconds since the epoch.
    pub from_ms: u64,
    /// The time of the second sample.
    pub to_ms: u64,
    /// The lookups.
    pub traffic: Traffic,
}

impl TrafficInterval {
    /// The interval in the format of results.
    #[must_use]
    pub fn window(&self) -> HitRateWindow {
        let traffic = &self.traffic;
        let (bounds, hits) = (traffic.bounds(), traffic.hits());
        HitRateWindow {
            from: rfc3339(self.from_ms),
            to: rfc3339(self.to_ms),
            hit_rate: traffic.rate(),
            hit_rate_min: bounds.map(|(min, _)| min),
            hit_rate_max: bounds.map(|(_, max)| max),
            lookups: traffic.number(),
            hits,
            misses: hits.map(|hits| traffic.lookups.saturating_sub(hits)),
            unknown_reason: traffic.unknown_reason(),
            errors: traffic.errors,
            resets: traffic.resets,
        }
    }
}

impl<'a> CounterSnapshots<'a> {
    /// The view of `samples` for `job`. They are those of one Redis deployment, of any job and in any order; `source`
    /// counts the job's hits.
    #[must_use]
    pub fn new(samples: &'a [CounterSnapshot], job: &'a str, source: &'a HitRateSource) -> Self {
        let mut all: Vec<&CounterSnapshot> =
            samples.iter().filter(|sample| *source == HitRateSource::Redis || sample.job == job).collect();
        all.sort_by_key(|sample| sample.at_ms);
        // Samples of versions that did not query command statistics are dropped once newer ones exist.
        let has_commands =
            |sample: &&CounterSnapshot| sample.nodes.iter().all(|reading| reading.commands.is_some());
        if *source == HitRateSource::Redis && all.last().is_some_and(has_commands) {
            all.retain(has_commands);
        }
        let is_mark = |at: &usize| has_counters(all[*at], source) && !is_inside_run(&all, *at);
        let marks = (0..all.len()).filter(is_mark).collect();
        Self { runs: runs(&all), all, marks, job, source }
    }

    /// The interval between two samples, by index.
    fn interval(&self, from: usize, to: usize) -> TrafficInterval {
        let at = |number: usize| self.all[number].at_ms;
        TrafficInterval { from_ms: at(from), to_ms: at(to), traffic: self.traffic(from, to) }
    }

    /// The interval between two samples that were taken at these times; `None` if there are none, or they were taken during
    /// a run.
    #[must_use]
    pub fn between(&self, from_ms: u64, to_ms: u64) -> Option<TrafficInterval> {
        let at = |time| self.marks.iter().copied().find(|mark| self.all[*mark].at_ms == time);
        at(from_ms).zip(at(to_ms)).map(|(from, to)| self.interval(from, to))
    }

    fn window(&self, from: usize, to: usize) -> HitRateWindow {
        self.interval(from, to).window()
    }

    fn traffic(&self, from: usize, to: usize) -> Traffic {
        for (end, why) in [(from, NOT_AT_BEGIN), (to, NOT_AT_END)] {
            if !has_counters(self.all[end], self.source) {
                return Traffic::unknown(why);
            }
        }
        if *self.source == HitRateSource::Redis {
            return of_servers(&self.all[from..=to], self.unended(from, to));
        }
        let counters = self.all[from..=to].iter().filter_map(|sample| sample.application);
        of_application(&counters.collect::<Vec<_>>())
    }

    /// Which values were read between two samples by runs that started before the second and have no end sample up to
    /// it: they were interrupted or are still running.
    fn unended(&self, from: usize, to: usize) -> RunReads {
        let after = |at: Option<usize>, other| at.is_none_or(|at| at > other);
        let is_open = |run: &&RunSpan| run.begin < to && after(run.end, to) && after(run.next, from);
        self.runs.iter().filter(is_open).map(|run| run.reads).max().unwrap_or(RunReads::Nothing)
    }

    /// The indexes of the start and end samples of the job's latest run.
    fn latest_run(&self) -> Option<(usize, usize)> {
        let mine = |at: &usize, phase| self.all[*at].job == self.job && self.all[*at].phase == phase;
        let end = (0..self.all.len()).rev().find(|at| mine(at, SnapshotPhase::End))?;
        let run = self.all[end].run_id;
        let begin =
            (0..end).rev().find(|at| mine(at, SnapshotPhase::Begin) && self.all[*at].run_id == run)?;
        Some((begin, end))
    }

    /// The end sample of the job's run before sample `begin`, if it has counters.
    fn run_before(&self, begin: usize) -> Option<usize> {
        let is_end = |at: &usize| self.all[*at].job == self.job && self.all[*at].phase == SnapshotPhase::End;
        (0..begin).rev().find(is_end).filter(|at| has_counters(self.all[*at], self.source))
    }

    /// The window of the 24 hours before the last sample, as far as samples exist.
    #[must_use]
    pub fn last_day(&self) -> Option<HitRateWindow> {
        let to = *self.marks.last()?;
        let since = self.all[to].at_ms.saturating_sub(DAY_MS);
        let from = *self.marks.iter().find(|at| self.all[**at].at_ms >= since)?;
        (from < to).then(|| self.window(from, to))
    }

    /// The window between the last two samples.
    #[must_use]
    pub fn latest(&self) -> Option<HitRateWindow> {
        let [.., from, to] = self.marks[..] else { return None };
        Some(self.window(from, to))
    }

    /// The intervals between samples of the last `reach_ms`, the oldest first.
    pub fn intervals(&self, reach_ms: u64) -> impl Iterator<Item = TrafficInterval> {
        let since = self.marks.last().map_or(0, |at| self.all[*at].at_ms.saturating_sub(reach_ms));
        let pairs = self.marks.windows(2).filter(move |pair| self.all[pair[1]].at_ms > since);
        pairs.map(|pair| self.interval(pair[0], pair[1]))
    }

    /// The history for a chart: at most [`POINTS_MAX`] points.
    fn history(&self) -> Vec<HitPoint> {
        let intervals: Vec<TrafficInterval> = self.intervals(HISTORY_MS).collect();
        let per_point = intervals.len().div_ceil(POINTS_MAX).max(1);
        intervals
            .chunks(per_point)
            .map(|intervals| {
                let traffic = total_traffic(intervals);
                let at = intervals.last().map(|interval| rfc3339(interval.to_ms)).unwrap_or_default();
                HitPoint { at, hit_rate: traffic.rate(), lookups: traffic.number() }
            })
            .collect()
    }

    /// All hit rate figures of a result after the job's latest run.
    #[must_use]
    pub fn hit_rates(&self) -> HitRates {
        let mut rates =
            HitRates { last_day: self.last_day(), history: self.history(), ..HitRates::default() };
        if let Some((begin, end)) = self.latest_run() {
            rates.during_run = self.window(begin, end);
            rates.since_last_run = self.run_before(begin).map(|before| self.window(before, end));
        }
        rates.source = match self.source {
            HitRateSource::Redis => "redis",
            HitRateSource::Hash(_) => "hash",
            HitRateSource::Prometheus => "prometheus",
        }
        .to_owned();
        rates.includes = (*self.source == HitRateSource::Redis).then(|| INCLUDES.to_owned());
        rates
    }
}

/// The total traffic of `intervals`.
pub fn total_traffic<'a>(intervals: impl IntoIterator<Item = &'a TrafficInterval>) -> Traffic {
    intervals.into_iter().fold(Traffic::default(), |mut sum, interval| {
        sum += &interval.traffic;
        sum
    })
}

/// `part` in percent of `whole`; `None` if `whole` is 0.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// The runs that start in `all`.
fn runs(all: &[&CounterSnapshot]) -> Vec<RunSpan> {
    let (mut ends, mut begins, mut runs) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (at, sample) in all.iter().enumerate().rev() {
        match sample.phase {
            SnapshotPhase::Begin => {
                let end = sample.run_id.and_then(|run| ends.get(&run).copied());
                let next = begins.insert(&sample.job, at);
                runs.push(RunSpan { begin: at, end, next, reads: sample.reads });
            }
            SnapshotPhase::End => {
                ends.extend(sample.run_id.map(|run| (run, at)));
            }
            SnapshotPhase::Between => {}
        }
    }
    runs
}

/// Whether `sample` has counters of `source`.
fn has_counters(sample: &CounterSnapshot, source: &HitRateSource) -> bool {
    match source {
        HitRateSource::Redis => !sample.nodes.is_empty(),
        HitRateSource::Hash(_) | HitRateSource::Prometheus => sample.application.is_some(),
    }
}

/// Whether a sample was taken during a run of any job.
fn is_inside_run(all: &[&CounterSnapshot], at: usize) -> bool {
    let open = all[..at].iter().filter(|sample| sample.phase == SnapshotPhase::Begin);
    let closed_later = |run| all[at + 1..].iter().any(|s| s.phase == SnapshotPhase::End && s.run_id == run);
    open.map(|begin| begin.run_id).filter(|run| *run != all[at].run_id).any(closed_later)
}
