//! The application's hit rate over windows of time, out of samples. Counters of servers hold our own look-ups, too,
//! and start anew now and then; both are taken into account here. Pure.

use shared::messages::{HitRateSource, Lookups};
use shared::metrics::{HitPoint, HitRates, Window};
use shared::samples::{Counters, Moment, Reading, Sample};
use shared::time::rfc3339;

/// How far back the last day reaches, in milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// How far back the history reaches.
const HISTORY_MS: u64 = 7 * DAY_MS;

/// Points of a history: enough for a picture.
const POINTS_MAX: usize = 84;

/// How much longer than the time between two samples a process that was restarted in between may say that it has
/// run, in seconds: uptimes and clocks are rounded.
const UPTIME_SLACK_S: u64 = 5;

/// The samples of one deployment as one job sees them.
pub struct Samples<'a> {
    /// The oldest first.
    all: Vec<&'a Sample>,
    /// Those at which a window may begin or end: none in the middle of a run, whose look-ups are known as a whole.
    marks: Vec<usize>,
    job: &'a str,
    source: &'a HitRateSource,
}

/// What the application looked up between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traffic {
    hits: u64,
    misses: u64,
    errors: Option<u64>,
    resets: u32,
}

impl<'a> Samples<'a> {
    /// `samples` of one deployment, of whatever jobs and in whatever order, for `job`, whose hits are counted by
    /// `source`.
    #[must_use]
    pub fn new(samples: &'a [Sample], job: &'a str, source: &'a HitRateSource) -> Self {
        let mut all: Vec<&Sample> = samples
            .iter()
            .filter(|sample| {
                *source == HitRateSource::Redis || sample.job == job && sample.application.is_some()
            })
            .collect();
        all.sort_by_key(|sample| sample.at_ms);
        let marks = (0..all.len()).filter(|at| !is_inside_a_run(&all, *at)).collect();
        Self { all, marks, job, source }
    }

    /// The window between two samples by their numbers.
    fn window(&self, from: usize, to: usize) -> Window {
        let traffic = self.traffic(from, to);
        let lookups = traffic.hits + traffic.misses;
        Window {
            from: rfc3339(self.all[from].at_ms),
            to: rfc3339(self.all[to].at_ms),
            hit_rate: percent(traffic.hits, lookups),
            hits: traffic.hits,
            misses: traffic.misses,
            errors: traffic.errors,
            resets: traffic.resets,
        }
    }

    fn traffic(&self, from: usize, to: usize) -> Traffic {
        if *self.source == HitRateSource::Redis {
            return of_servers(&self.all[from..=to]);
        }
        let counters = self.all[from..=to].iter().filter_map(|sample| sample.application);
        of_application(&counters.collect::<Vec<_>>())
    }

    /// The number of the sample with which the job's latest run ended, and that with which it began.
    fn latest_run(&self) -> Option<(usize, usize)> {
        let mine = |at: &usize, moment| self.all[*at].job == self.job && self.all[*at].moment == moment;
        let end = (0..self.all.len()).rev().find(|at| mine(at, Moment::End))?;
        let run = self.all[end].run_id;
        let begin = (0..end).rev().find(|at| mine(at, Moment::Begin) && self.all[*at].run_id == run)?;
        Some((begin, end))
    }

    /// Where the job's run ended that came before the sample `begin`.
    fn run_before(&self, begin: usize) -> Option<usize> {
        let is_end = |at: &usize| self.all[*at].job == self.job && self.all[*at].moment == Moment::End;
        (0..begin).rev().find(is_end)
    }

    /// The window of the last 24 hours before the last sample, as far as there are samples.
    #[must_use]
    pub fn last_day(&self) -> Option<Window> {
        let to = *self.marks.last()?;
        let since = self.all[to].at_ms.saturating_sub(DAY_MS);
        let from = *self.marks.iter().find(|at| self.all[**at].at_ms >= since)?;
        (from < to).then(|| self.window(from, to))
    }

    /// The window between the last two samples.
    #[must_use]
    pub fn latest(&self) -> Option<Window> {
        let [.., from, to] = self.marks[..] else { return None };
        Some(self.window(from, to))
    }

    /// The windows between samples of the last `reach_ms`, the oldest first.
    pub fn windows(&self, reach_ms: u64) -> impl Iterator<Item = Window> {
        let since = self.marks.last().map_or(0, |at| self.all[*at].at_ms.saturating_sub(reach_ms));
        let pairs = self.marks.windows(2).filter(move |pair| self.all[pair[1]].at_ms > since);
        pairs.map(|pair| self.window(pair[0], pair[1]))
    }

    /// The history as a picture shows it: at most [`POINTS_MAX`] points.
    fn history(&self) -> Vec<HitPoint> {
        let windows: Vec<Window> = self.windows(HISTORY_MS).collect();
        let per_point = windows.len().div_ceil(POINTS_MAX).max(1);
        windows
            .chunks(per_point)
            .map(|windows| {
                let sum = |part: fn(&Window) -> u64| windows.iter().map(part).sum::<u64>();
                let (hits, lookups) = (sum(|w| w.hits), sum(|w| w.hits + w.misses));
                let at = windows.last().map(|window| window.to.clone()).unwrap_or_default();
                HitPoint { at, hit_rate: percent(hits, lookups), lookups }
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
        rates
    }
}

/// `part` in percent of `whole`; `None` of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// Whether a sample was taken while a run, of whichever job, went on.
fn is_inside_a_run(all: &[&Sample], at: usize) -> bool {
    let open = all[..at].iter().filter(|sample| sample.moment == Moment::Begin);
    let closed_later = |run| all[at + 1..].iter().any(|s| s.moment == Moment::End && s.run_id == run);
    open.map(|begin| begin.run_id).filter(|run| *run != all[at].run_id).any(closed_later)
}

/// What others looked up on servers between the first and the last of `samples`.
fn of_servers(samples: &[&Sample]) -> Traffic {
    let mut total = Traffic::default();
    let mut nodes: Vec<&shared::ids::NodeId> =
        samples.iter().flat_map(|s| s.nodes.iter().map(|r| &r.node)).collect();
    nodes.sort();
    nodes.dedup();
    for node in nodes {
        let readings: Vec<(u64, Option<&Reading>)> = samples
            .iter()
            .map(|sample| (sample.at_ms, sample.nodes.iter().find(|reading| reading.node == *node)))
            .collect();
        let (gained, resets) = gained(&readings);
        let own = own_between(&readings);
        total.hits += gained.hits.saturating_sub(own.hits);
        total.misses += gained.misses.saturating_sub(own.misses);
        total.resets += resets;
    }
    total
}

/// Our own look-ups that are in the last reading and not in the first.
fn own_between(readings: &[(u64, Option<&Reading>)]) -> Lookups {
    let mut own = Lookups::default();
    let last = readings.len().saturating_sub(1);
    for (at, (_, reading)) in readings.iter().enumerate() {
        let Some(reading) = reading else { continue };
        if at > 0 {
            own += reading.own_before;
        }
        if at < last {
            own += reading.own_after;
        }
    }
    own
}

/// What a node's counters gained, and how often they began anew.
fn gained(readings: &[(u64, Option<&Reading>)]) -> (Lookups, u32) {
    let (mut sum, mut resets) = (Lookups::default(), 0);
    let mut before: Option<(u64, &Reading)> = None;
    let missed_first = readings.first().is_some_and(|(_, reading)| reading.is_none());
    for (at_ms, reading) in readings {
        let Some(reading) = reading else { continue };
        match before {
            Some((_, before)) if goes_on(before, reading) => {
                sum += Lookups {
                    hits: reading.lookups.hits - before.lookups.hits,
                    misses: reading.lookups.misses - before.lookups.misses,
                };
            }
            Some((before_ms, before)) => {
                resets += 1;
                let since_s = at_ms.saturating_sub(before_ms) / 1_000;
                let same = before.process == reading.process;
                // Another server that has run for longer has counted what we know nothing of.
                if same || reading.uptime_s <= since_s + UPTIME_SLACK_S {
                    sum += reading.lookups;
                }
            }
            // A node that came later: what it counted before is not known.
            None => resets += u32::from(missed_first),
        }
        before = Some((*at_ms, reading));
    }
    (sum, resets)
}

fn goes_on(before: &Reading, now: &Reading) -> bool {
    before.process == now.process
        && before.lookups.hits <= now.lookups.hits
        && before.lookups.misses <= now.lookups.misses
}

/// What an application's own counters gained.
fn of_application(counters: &[Counters]) -> Traffic {
    let mut total = Traffic::default();
    for pair in counters.windows(2) {
        let [before, now] = pair else { continue };
        let fell = now.hits < before.hits || now.misses < before.misses || now.errors < before.errors;
        let before = if fell { Counters::default() } else { *before };
        total.resets += u32::from(fell);
        total.hits += now.hits - before.hits;
        total.misses += now.misses - before.misses;
        if let Some(errors) = now.errors {
            *total.errors.get_or_insert(0) += errors - before.errors.unwrap_or_default();
        }
    }
    total
}
