//! The application's hit rate over windows of time, out of samples. What servers count of others, and that counters start
//! anew now and then, is taken into account in `traffic.rs`. Pure.

mod traffic;

use std::collections::BTreeMap;

use shared::counter_snapshot::{CounterSnapshot, RunReads, SnapshotPhase};
use shared::messages::HitRateSource;
use shared::metrics::{HitPoint, HitRateWindow, HitRates};
use shared::time::rfc3339;

pub use traffic::Traffic;
use traffic::{NOT_AT_BEGIN, NOT_AT_END, of_application, of_servers};

/// How far back the last day reaches, in milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// How far back the history reaches.
const HISTORY_MS: u64 = 7 * DAY_MS;

/// Points of a history: enough for a picture.
const POINTS_MAX: usize = 84;

/// What a rate that Redis counts still holds beside the application's reads.
pub const INCLUDES: &str = "EXISTS, TOUCH and SCAN with TYPE, values that other tools read, and reads by runs of keysweep \
                            whose history is kept elsewhere";

/// The samples of one deployment as one job sees them.
pub struct CounterSnapshots<'a> {
    /// The oldest first.
    all: Vec<&'a CounterSnapshot>,
    /// Those at which a window may begin or end: none without counters, and none in the middle of a run, whose look-ups
    /// are known as a whole.
    marks: Vec<usize>,
    runs: Vec<Course>,
    job: &'a str,
    source: &'a HitRateSource,
}

/// A run among samples, by their numbers.
struct Course {
    begin: usize,
    end: Option<usize>,
    /// Where another run of its job begins: it is over by then.
    next: Option<usize>,
    reads: RunReads,
}

/// What the application looked up between two samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficInterval {
    /// When the first was taken, in milliseconds since the epoch.
    pub from_ms: u64,
    /// And the second.
    pub to_ms: u64,
    /// The look-ups.
    pub traffic: Traffic,
}

impl TrafficInterval {
    /// The same as results tell it.
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
            why_unknown: traffic.why_not(),
            errors: traffic.errors,
            resets: traffic.resets,
        }
    }
}

impl<'a> CounterSnapshots<'a> {
    /// `samples` of one deployment, of whatever jobs and in whatever order, for `job`, whose hits are counted by
    /// `source`.
    #[must_use]
    pub fn new(samples: &'a [CounterSnapshot], job: &'a str, source: &'a HitRateSource) -> Self {
        let mut all: Vec<&CounterSnapshot> =
            samples.iter().filter(|sample| *source == HitRateSource::Redis || sample.job == job).collect();
        all.sort_by_key(|sample| sample.at_ms);
        // Samples of versions that did not ask for command statistics are as good as none, once there are others.
        let tells = |sample: &&CounterSnapshot| sample.nodes.iter().all(|reading| reading.commands.is_some());
        if *source == HitRateSource::Redis && all.last().is_some_and(tells) {
            all.retain(tells);
        }
        let is_mark = |at: &usize| has_counters(all[*at], source) && !is_inside_a_run(&all, *at);
        let marks = (0..all.len()).filter(is_mark).collect();
        Self { runs: runs(&all), all, marks, job, source }
    }

    /// What was looked up between two samples by their numbers.
    fn stretch(&self, from: usize, to: usize) -> TrafficInterval {
        let at = |number: usize| self.all[number].at_ms;
        TrafficInterval { from_ms: at(from), to_ms: at(to), traffic: self.traffic(from, to) }
    }

    fn window(&self, from: usize, to: usize) -> HitRateWindow {
        self.stretch(from, to).window()
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

    /// Which values were read between two samples by runs that had begun before the second, and of whose end no sample up
    /// to it tells: they were cut off, or still go on.
    fn unended(&self, from: usize, to: usize) -> RunReads {
        let after = |at: Option<usize>, other| at.is_none_or(|at| at > other);
        let is_open = |run: &&Course| run.begin < to && after(run.end, to) && after(run.next, from);
        self.runs.iter().filter(is_open).map(|run| run.reads).max().unwrap_or(RunReads::Nothing)
    }

    /// The number of the sample with which the job's latest run ended, and that with which it began.
    fn latest_run(&self) -> Option<(usize, usize)> {
        let mine = |at: &usize, moment| self.all[*at].job == self.job && self.all[*at].moment == moment;
        let end = (0..self.all.len()).rev().find(|at| mine(at, SnapshotPhase::End))?;
        let run = self.all[end].run_id;
        let begin =
            (0..end).rev().find(|at| mine(at, SnapshotPhase::Begin) && self.all[*at].run_id == run)?;
        Some((begin, end))
    }

    /// Where the job's run ended that came before the sample `begin`, if there are counters of that moment.
    fn run_before(&self, begin: usize) -> Option<usize> {
        let is_end = |at: &usize| self.all[*at].job == self.job && self.all[*at].moment == SnapshotPhase::End;
        (0..begin).rev().find(is_end).filter(|at| has_counters(self.all[*at], self.source))
    }

    /// The window of the last 24 hours before the last sample, as far as there are samples.
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

    /// What was looked up from each sample to the next in the last `reach_ms`, the oldest first.
    pub fn stretches(&self, reach_ms: u64) -> impl Iterator<Item = TrafficInterval> {
        let since = self.marks.last().map_or(0, |at| self.all[*at].at_ms.saturating_sub(reach_ms));
        let pairs = self.marks.windows(2).filter(move |pair| self.all[pair[1]].at_ms > since);
        pairs.map(|pair| self.stretch(pair[0], pair[1]))
    }

    /// The history as a picture shows it: at most [`POINTS_MAX`] points.
    fn history(&self) -> Vec<HitPoint> {
        let stretches: Vec<TrafficInterval> = self.stretches(HISTORY_MS).collect();
        let per_point = stretches.len().div_ceil(POINTS_MAX).max(1);
        stretches
            .chunks(per_point)
            .map(|stretches| {
                let traffic = together(stretches);
                let at = stretches.last().map(|stretch| rfc3339(stretch.to_ms)).unwrap_or_default();
                HitPoint { at, hit_rate: traffic.rate(), lookups: traffic.number() }
            })
            .collect()
    }

    /// All that a result says of the hit rate after the job's latest run.
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

/// What was looked up in all of `stretches`.
pub fn together<'a>(stretches: impl IntoIterator<Item = &'a TrafficInterval>) -> Traffic {
    stretches.into_iter().fold(Traffic::default(), |mut sum, stretch| {
        sum += &stretch.traffic;
        sum
    })
}

/// `part` in percent of `whole`; `None` of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// The runs that begin in `all`.
fn runs(all: &[&CounterSnapshot]) -> Vec<Course> {
    let (mut ends, mut begins, mut runs) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (at, sample) in all.iter().enumerate().rev() {
        match sample.moment {
            SnapshotPhase::Begin => {
                let end = sample.run_id.and_then(|run| ends.get(&run).copied());
                let next = begins.insert(&sample.job, at);
                runs.push(Course { begin: at, end, next, reads: sample.reads });
            }
            SnapshotPhase::End => {
                ends.extend(sample.run_id.map(|run| (run, at)));
            }
            SnapshotPhase::Between => {}
        }
    }
    runs
}

/// Whether `sample` holds what `source` had counted.
fn has_counters(sample: &CounterSnapshot, source: &HitRateSource) -> bool {
    match source {
        HitRateSource::Redis => !sample.nodes.is_empty(),
        HitRateSource::Hash(_) | HitRateSource::Prometheus => sample.application.is_some(),
    }
}

/// Whether a sample was taken while a run, of whichever job, went on.
fn is_inside_a_run(all: &[&CounterSnapshot], at: usize) -> bool {
    let open = all[..at].iter().filter(|sample| sample.moment == SnapshotPhase::Begin);
    let closed_later = |run| all[at + 1..].iter().any(|s| s.moment == SnapshotPhase::End && s.run_id == run);
    open.map(|begin| begin.run_id).filter(|run| *run != all[at].run_id).any(closed_later)
}
