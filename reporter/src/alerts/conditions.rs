//! The conditions of alerts, with the document's thresholds: one function each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::history::RunLine;
use shared::metrics::{Severity, Window};
use shared::result::Status;

use crate::findings::{ERRORS_PERCENT_MAX, HIT_RATE_CRITICAL, too_many_errors};
use crate::hit_rate::{DAY_MS, Samples, percent};

/// Failed runs in a row.
const FAILED_RUNS: usize = 2;

/// More stale keys than this in one run.
const STALE_KEYS_MAX: u64 = 10;

/// A success rate below this, in percent.
const SUCCESS_PERCENT_MIN: f64 = 99.0;

/// Runs over which that is told.
const SUCCESS_RUNS: usize = 100;

/// How far back low hit rates are looked for: longer than an alert takes to be raised.
const REACH_MS: u64 = 8 * DAY_MS;

/// What conditions are judged by.
pub struct View<'a> {
    /// The job's runs, the oldest first.
    pub runs: &'a [RunLine],
    /// Samples of its deployment.
    pub samples: &'a Samples<'a>,
    /// The latest window.
    pub window: Option<&'a Window>,
}

/// A condition as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Which alert it is about.
    pub alert: &'static str,
    /// How much that matters.
    pub severity: Severity,
    /// How it stands.
    pub standing: Standing,
}

/// How a condition stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It holds.
    Holds {
        /// The sentence for people.
        sentence: String,
        /// The figures.
        evidence: BTreeMap<String, Value>,
    },
    /// It does not hold.
    Over,
    /// Nothing is known; an alert that holds goes on to hold.
    Unknown,
}

/// How a condition is judged.
type Judge = fn(&View<'_>) -> Standing;

/// All conditions as they stand.
#[must_use]
pub fn conditions(view: &View<'_>) -> Vec<Condition> {
    let rules: [(&'static str, Severity, Judge); 5] = [
        ("failed-runs", Severity::Critical, failed_runs),
        ("stale-keys", Severity::Warning, stale_keys),
        ("hit-rate-low", Severity::Critical, hit_rate_low),
        ("errors-high", Severity::Critical, errors_high),
        ("success-rate-low", Severity::Warning, success_rate_low),
    ];
    rules
        .into_iter()
        .map(|(alert, severity, judge)| Condition { alert, severity, standing: judge(view) })
        .collect()
}

fn holds<const N: usize>(sentence: String, evidence: [(&str, Value); N]) -> Standing {
    let evidence = evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Standing::Holds { sentence, evidence }
}

/// Runs that have ended by themselves, the newest first: one that somebody stopped says nothing of the job.
fn ended<'a>(view: &View<'a>) -> impl Iterator<Item = &'a RunLine> + use<'a> {
    view.runs.iter().rev().filter(|line| !matches!(line.status, None | Some(Status::Cancelled)))
}

fn failed_runs(view: &View<'_>) -> Standing {
    let failed: Vec<&RunLine> =
        ended(view).take_while(|line| line.status == Some(Status::Failed)).take(SUCCESS_RUNS).collect();
    match failed.as_slice() {
        [last, _, ..] => {
            let cause = last.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
            let runs = failed.len();
            holds(
                format!("{runs} runs in a row have failed{cause}"),
                [("failedRuns", json!(runs)), ("limit", json!(FAILED_RUNS)), ("lastRun", json!(last.run_id))],
            )
        }
        // Who failed once and has not run since is on the way to either.
        _ => Standing::Over,
    }
}

fn stale_keys(view: &View<'_>) -> Standing {
    let Some(last) = ended(view).find(|line| line.status != Some(Status::Failed)) else {
        return Standing::Unknown;
    };
    let stale = last.stale_ttl_keys;
    if stale <= STALE_KEYS_MAX {
        return Standing::Over;
    }
    holds(
        format!("Found {stale} keys without TTL in one run (more than {STALE_KEYS_MAX})"),
        [("staleTTLKeys", json!(stale)), ("limit", json!(STALE_KEYS_MAX)), ("run", json!(last.run_id))],
    )
}

/// The rate is low since the beginning of the first of the windows that are low without a break. Windows without
/// traffic are none.
fn hit_rate_low(view: &View<'_>) -> Standing {
    let windows: Vec<Window> =
        view.samples.windows(REACH_MS).filter(|window| window.hit_rate.is_some()).collect();
    let is_low = |window: &&Window| window.hit_rate.is_some_and(|rate| rate < HIT_RATE_CRITICAL);
    let Some(newest) = windows.last() else { return Standing::Unknown };
    let low: Vec<&Window> = windows.iter().rev().take_while(is_low).collect();
    let Some(first) = low.last() else { return Standing::Over };
    let ms = |time: &str| time.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
    let lasts = ms(&newest.to) - ms(&first.from);
    if lasts < i64::try_from(DAY_MS).unwrap_or(i64::MAX) {
        return Standing::Unknown;
    }
    let sum = |part: fn(&Window) -> u64| low.iter().map(|window| part(window)).sum::<u64>();
    let (hits, misses) = (sum(|w| w.hits), sum(|w| w.misses));
    let rate = percent(hits, hits + misses).unwrap_or_default();
    holds(
        format!(
            "The hit rate has been below {HIT_RATE_CRITICAL:.0}% for {} hours ({rate:.1}%)",
            lasts / 3_600_000
        ),
        [
            ("hitRate", json!(rate)),
            ("hits", json!(hits)),
            ("misses", json!(misses)),
            ("since", json!(first.from)),
            ("limit", json!(HIT_RATE_CRITICAL)),
        ],
    )
}

fn errors_high(view: &View<'_>) -> Standing {
    let Some((window, errors)) = view.window.and_then(|window| Some((window, window.errors?))) else {
        return Standing::Unknown;
    };
    if !too_many_errors(errors, window.hits) {
        return Standing::Over;
    }
    holds(
        format!(
            "Cache errors are above {ERRORS_PERCENT_MAX:.0}% of hits ({errors} errors vs {} hits)",
            window.hits
        ),
        [("errors", json!(errors)), ("hits", json!(window.hits)), ("limit", json!(ERRORS_PERCENT_MAX))],
    )
}

fn success_rate_low(view: &View<'_>) -> Standing {
    let last: Vec<&RunLine> = ended(view).take(SUCCESS_RUNS).collect();
    let completed = last.iter().filter(|line| line.status == Some(Status::Completed)).count();
    let rate = percent(completed as u64, last.len() as u64);
    match rate {
        None => Standing::Unknown,
        Some(rate) if rate >= SUCCESS_PERCENT_MIN => Standing::Over,
        Some(rate) => holds(
            format!(
                "{rate:.1}% of the last {} runs have completed (below {SUCCESS_PERCENT_MIN:.0}%)",
                last.len()
            ),
            [
                ("successRate", json!(rate)),
                ("runs", json!(last.len())),
                ("completed", json!(completed)),
                ("limit", json!(SUCCESS_PERCENT_MIN)),
            ],
        ),
    }
}
