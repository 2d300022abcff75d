//! When a job with `schedule = "auto"` is due: by what its runs found and by how many keys are without TTL now. Pure:
//! `now` is an argument, nothing here sleeps, reads or starts anything, and equal inputs give equal decisions, so that
//! several services agree.
//!
//! Three laws. *Surplus*: a run is due when the keys without TTL exceed what the last complete run left by a threshold;
//! this needs no estimate, but counts the keys of everybody ([`surplus`]). *Growth*: a run is due before the stale keys
//! that arrive at the upper bound of their estimated rate reach the threshold, or, with the cost of a run, when runs and
//! stale keys together cost least ([`growth`], [`interval`]). *Memory*: a run is due if there are stale keys and the memory is
//! forecast to run short ([`memory`]). All stay within bounds and out of quiet windows ([`quiet`]).

pub mod compare;
pub mod explain;
pub mod growth;
pub mod interval;
pub mod memory;
pub mod past;
pub mod quiet;
pub mod simulate;
pub mod surplus;

use std::time::Duration;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use self::growth::Growth;
use self::interval::Interval;
use self::memory::Trend;
use self::quiet::QuietWindows;
use self::surplus::Hold;

/// How many stale keys there may be in any case.
const STALE_BASE: u64 = 10;

/// How many more there may be: this part of the keys of the database.
const STALE_KEYS_PART: u64 = 1_000;

/// How many there may be at most, by default: a part of a huge database alone would be reached too late.
const STALE_MAX: u64 = 1_000_000;

/// The doublings of the pause after failed runs.
const FAILURES_DOUBLING: u32 = 10;

/// What a job allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The shortest time from the start of a run to the start of the next one.
    pub min_interval: Duration,
    /// The longest one, except where quiet windows are longer.
    pub max_interval: Duration,
    /// How many stale keys there may be; `None` for a number that follows the keys of the database.
    pub max_stale: Option<u64>,
    /// What a run costs, in stale keys kept for an hour; `None` if only their number counts.
    pub run_cost: Option<u64>,
    /// When no run starts.
    pub quiet: QuietWindows,
}

/// A job, and what it allows.
#[derive(Clone, Copy, Debug)]
pub struct BoundedJob<'a> {
    /// Its name, which fixes its jitter.
    pub name: &'a str,
    /// Its bounds.
    pub bounds: &'a Bounds,
}

/// The keys of the job's database, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCount {
    /// When they were counted.
    pub at: Timestamp,
    /// All keys.
    pub keys: u64,
    /// Those without TTL.
    pub without_ttl: u64,
    /// Identifies the server processes that counted: counts of others, or of fewer, are not compared.
    pub servers: u64,
}

/// What a run says of the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// It was complete, and found this many keys to clean.
    Found(u64),
    /// It failed, was cancelled, or covered only a part.
    Failed,
    /// Nothing: it changed nothing, or looked at other keys.
    Nothing,
    /// It is in progress.
    InProgress,
}

/// A run of the past, or in progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastRun {
    /// When it started.
    pub started: Timestamp,
    /// When it ended; its start if it has not.
    pub ended: Timestamp,
    /// What it says.
    pub lesson: Lesson,
    /// The keys before its first deletion, if they were counted.
    pub before: Option<KeyCount>,
    /// The keys that it left.
    pub after: Option<KeyCount>,
    /// The memory usage of the fullest server then, in percent of its limit.
    pub usage_after: Option<f64>,
}

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The time.
    pub now: Timestamp,
    /// The job's name, which fixes its jitter.
    pub job: &'a str,
    /// The latest count of keys.
    pub latest: Option<KeyCount>,
    /// The runs, the oldest first.
    pub runs: &'a [PastRun],
    /// The interval that was decided before the last run; `None` if there was none.
    pub previous: Option<Duration>,
    /// How the memory usage grows; `None` without a limit, and if too little is known of it.
    pub memory: Option<Trend>,
    /// The time until the next decision.
    pub next_look: Duration,
}

/// Why a run is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// There is no run to learn from.
    First,
    /// Keys without TTL exceed the threshold.
    Surplus,
    /// The memory is forecast to run short.
    Memory,
    /// Stale keys may reach the threshold by then.
    Growth,
    /// Runs and stale keys cost least this way.
    Balance,
}

/// When the next run is due, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The time; in the past or now if it is due.
    pub at: Timestamp,
    /// The law that decided.
    pub law: Law,
    /// Stale keys by the surplus, or why that is not used.
    pub surplus: Result<u64, Hold>,
    /// How many there may be.
    pub threshold: u64,
    /// The rate at which they arrive; `None` until two complete runs are known.
    pub growth: Option<Growth>,
    /// How the memory usage grows, as given.
    pub memory: Option<Trend>,
    /// How many are expected at that time, by the rate's estimate; `None` if unknown.
    pub expected: Option<u64>,
    /// The interval by the growth, before jitter and quiet windows.
    pub interval: Interval,
    /// The one before, as given.
    pub previous: Option<Duration>,
    /// What moved the time at last; `None` if nothing did.
    pub moved_by: Option<Moved>,
    /// The start of the last run.
    pub last_run: Option<Timestamp>,
}

/// What moves a time, apart from the bounds of the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// To the end of a quiet window.
    AfterQuiet,
    /// To before a quiet window.
    BeforeQuiet,
    /// Away from runs that failed.
    Failures,
}

/// When the next run is due.
#[must_use]
pub fn next(of: &Situation<'_>, bounds: &Bounds) -> Decision {
    let threshold = threshold(of, bounds);
    let surplus = surplus::surplus(of, threshold);
    let growth = growth::growth(of.runs);
    let interval = interval::interval(of, bounds, threshold, growth);
    let exceeds = surplus.is_ok_and(|stale| stale >= threshold);
    let reached = of.latest.filter(|_| exceeds).map(|latest| latest.at);
    let (law, due, failures) = match of.runs.last() {
        None => (Law::First, first(of, bounds), None),
        Some(last) => {
            let planned = after(last.started, jittered(interval.time, of.job, bounds));
            let by_growth = if bounds.run_cost.is_some() { Law::Balance } else { Law::Growth };
            let short = of.memory.filter(|_| memory::passes(of, expected(of, surplus, growth, of.now)));
            let urgent = [(Law::Surplus, reached), (Law::Memory, short.map(|trend| trend.at))];
            let mut urgent =
                urgent.into_iter().filter_map(|(law, at)| Some((law, at.filter(|at| *at < planned)?)));
            let (law, wanted) = urgent.next().unwrap_or((by_growth, planned));
            let due = wanted.max(after(last.started, pause(of.runs, bounds)));
            let without_failures = wanted.max(after(last.started, bounds.min_interval));
            (law, due, (due > without_failures).then_some(Moved::Failures))
        }
    };
    let (at, quiet) = outside_quiet(of, bounds, due);
    Decision {
        at,
        law,
        surplus,
        threshold,
        growth,
        memory: of.memory,
        expected: expected(of, surplus, growth, at),
        interval,
        previous: of.previous,
        moved_by: quiet.or(failures),
        last_run: of.runs.last().map(|last| last.started),
    }
}

/// How many stale keys there may be.
fn threshold(of: &Situation<'_>, bounds: &Bounds) -> u64 {
    // Those at the last run, so that a decision does not change with each count of keys.
    let left = of.runs.iter().rev().find_map(|run| run.after);
    let keys = left.or(of.latest).map_or(0, |sample| sample.keys);
    bounds.max_stale.unwrap_or_else(|| STALE_MAX.min(STALE_BASE.saturating_add(keys / STALE_KEYS_PART)))
}

/// When a job without runs is due: at once. Services that look a little later name the same time.
fn first(of: &Situation<'_>, bounds: &Bounds) -> Timestamp {
    let step = i64::try_from(bounds.min_interval.as_secs()).unwrap_or(i64::MAX).max(1);
    let second = of.now.as_second();
    Timestamp::from_second(second - second.rem_euclid(step)).unwrap_or(of.now)
}

/// The shortest time after the last run: it doubles while runs fail, because what fails is not repeated at the pace of
/// what succeeds.
fn pause(runs: &[PastRun], bounds: &Bounds) -> Duration {
    let failures = runs.iter().rev().take_while(|run| run.lesson == Lesson::Failed).count();
    let doublings = u32::try_from(failures).unwrap_or(u32::MAX).min(FAILURES_DOUBLING);
    bounds.min_interval.saturating_mul(1 << doublings).min(bounds.max_interval).max(bounds.min_interval)
}

/// The interval less the job's jitter: up to a twentieth, always the same, so that jobs with equal bounds are not due
/// together, and a restart changes nothing. Earlier rather than later, so that it cannot break a bound on staleness.
fn jittered(interval: Duration, job: &str, bounds: &Bounds) -> Duration {
    let part = u32::try_from(xxh3_64(job.as_bytes()) % 1_000).unwrap_or_default();
    let jitter = interval / 20_000 * part;
    interval.saturating_sub(jitter).max(bounds.min_interval)
}

/// `due`, moved out of quiet windows: to before one if the bounds allow a run then, so that fewer keys wait in the
/// window, or else to its end.
fn outside_quiet(of: &Situation<'_>, bounds: &Bounds, due: Timestamp) -> (Timestamp, Option<Moved>) {
    // A time that has passed is when the run would start now.
    let starts = due.max(of.now);
    if !bounds.quiet.contains(starts) {
        return (due, None);
    }
    let last = of.runs.last();
    let earliest = last.map_or(of.now, |last| after(last.started, pause(of.runs, bounds)).max(of.now));
    // Twice what the last run took.
    let took = last.map_or(Duration::ZERO, |last| unsigned(last.started, last.ended));
    let before = bounds.quiet.start(starts).and_then(|start| start.checked_sub(took.saturating_mul(2)).ok());
    if let Some(before) = before
        && before > earliest
        && !bounds.quiet.contains(before)
    {
        return (before, Some(Moved::BeforeQuiet));
    }
    (bounds.quiet.end(starts), Some(Moved::AfterQuiet))
}

/// The stale keys at `at`: those that the surplus shows, or those since the last complete run, and those that arrive.
fn expected(
    of: &Situation<'_>,
    surplus: Result<u64, Hold>,
    growth: Option<Growth>,
    at: Timestamp,
) -> Option<u64> {
    let until = at.max(of.now);
    let complete = of.runs.iter().rev().find(|run| matches!(run.lesson, Lesson::Found(_)));
    let (now, since) = match (surplus, of.latest) {
        (Ok(stale), Some(latest)) => (stale, latest.at),
        _ => (0, complete?.started),
    };
    let arriving = growth?.estimate * unsigned(since, until).as_secs_f64();
    Some(now.saturating_add(whole(arriving)))
}

/// `time` and `more`, at most the end of the calendar.
fn after(time: Timestamp, more: Duration) -> Timestamp {
    time.saturating_add(more).unwrap_or(Timestamp::MAX)
}

/// The time from `from` until `to`, which is zero if that is earlier.
fn unsigned(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A number of keys, for estimates.
#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
fn lossy(number: u64) -> f64 {
    number as f64
}

/// The whole number next to an estimate.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating, and not negative")]
fn whole(estimate: f64) -> u64 {
    estimate.max(0.0).round() as u64
}

#[cfg(test)]
mod tests;
