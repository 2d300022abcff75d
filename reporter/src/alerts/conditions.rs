//! The conditions of alerts, with the document's thresholds: one function each.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::history::RunLine;
use shared::metrics::{Alert, HitRateWindow, Severity};
use shared::result::Status;
use shared::selection::Selection;
use shared::time::rfc3339;

use crate::findings::{ERRORS_PERCENT_MAX, HIT_RATE_CRITICAL, LOOKUPS_MIN, too_many_errors};
use crate::hit_rate::{CounterSnapshots, DAY_MS, TrafficInterval, percent, together};

/// Failed runs in a row.
const FAILED_RUNS: usize = 2;

/// More stale keys than this in one run that are not protected.
const STALE_KEYS_MAX: u64 = 10;

/// A success rate below this, in percent.
const SUCCESS_PERCENT_MIN: f64 = 99.0;

/// Runs over which that is told.
const SUCCESS_RUNS: usize = 100;

/// Fewer scheduled runs than this have no success rate.
const SUCCESS_RUNS_MIN: usize = 20;

/// An alert about keys is judged by runs of the same keys as long as one of so many runs was of them.
const SAME_KEYS_RUNS: usize = 10;

/// Look-ups of the application from one sample to the next from which its hit rate tells anything.
const STRETCH_LOOKUPS_MIN: u64 = 100;

/// How far back low hit rates are looked for: longer than an alert takes to be raised.
const REACH_MS: u64 = 8 * DAY_MS;

/// What conditions are judged by.
pub struct ConditionInput<'a> {
    /// The job's runs, the oldest first.
    pub runs: &'a [RunLine],
    /// Samples of its deployment.
    pub samples: &'a CounterSnapshots<'a>,
    /// The latest window.
    pub window: Option<&'a HitRateWindow>,
    /// The alerts that hold so far.
    pub active: &'a [Alert],
}

/// A condition as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Which alert it is about.
    pub alert: &'static str,
    /// How much that matters.
    pub severity: Severity,
    /// How it stands.
    pub standing: AlertState,
}

/// How a condition stands.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertState {
    /// It holds.
    Firing {
        /// The sentence for people.
        sentence: String,
        /// The figures.
        evidence: BTreeMap<String, Value>,
    },
    /// It does not hold.
    Resolved,
    /// Nothing is known; an alert that holds goes on to hold.
    Unknown,
}

/// How a condition is judged.
type ConditionFn = fn(&ConditionInput<'_>) -> AlertState;

/// All conditions as they stand.
#[must_use]
pub fn conditions(view: &ConditionInput<'_>) -> Vec<Condition> {
    let rules: [(&'static str, Severity, ConditionFn); 5] = [
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

fn firing<const N: usize>(sentence: String, evidence: [(&str, Value); N]) -> AlertState {
    let evidence = evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    AlertState::Firing { sentence, evidence }
}

/// Runs that have ended by themselves, the newest first: one that somebody stopped says nothing of the job.
fn ended<'a>(view: &ConditionInput<'a>) -> impl Iterator<Item = &'a RunLine> + use<'a> {
    view.runs.iter().rev().filter(|line| !matches!(line.status, None | Some(Status::Cancelled)))
}

fn failed_runs(view: &ConditionInput<'_>) -> AlertState {
    let failed: Vec<&RunLine> =
        ended(view).take_while(|line| line.status == Some(Status::Failed)).take(SUCCESS_RUNS).collect();
    match failed.as_slice() {
        [last, _, ..] => {
            let cause = last.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
            let runs = failed.len();
            firing(
                format!("{runs} runs in a row have failed{cause}"),
                [("failedRuns", json!(runs)), ("limit", json!(FAILED_RUNS)), ("lastRun", json!(last.run_id))],
            )
        }
        // Who failed once and has not run since is on the way to either.
        _ => AlertState::Resolved,
    }
}

/// The run that says how many stale keys there are: the latest that looked at keys. A run that somebody starts with other
/// patterns or for another database says nothing of the job's keys. These are the keys of the latest scheduled run, or,
/// without a schedule, those for which the alert was raised.
fn counted<'a>(view: &ConditionInput<'a>) -> Option<&'a RunLine> {
    let looked = || ended(view).filter(|line| line.status != Some(Status::Failed));
    let scheduled = || looked().find(|line| line.scheduled)?.selection.clone();
    let raised = || {
        let alert = view.active.iter().find(|alert| alert.alert == "stale-keys")?;
        let selection: Selection = serde_json::from_value(alert.evidence.get("selection")?.clone()).ok()?;
        looked()
            .take(SAME_KEYS_RUNS)
            .any(|line| line.selection.as_ref() == Some(&selection))
            .then_some(selection)
    };
    match scheduled().or_else(raised) {
        Some(selection) => looked().find(|line| line.selection.as_ref() == Some(&selection)),
        None => looked().next(),
    }
}

fn stale_keys(view: &ConditionInput<'_>) -> AlertState {
    let Some(last) = counted(view) else { return AlertState::Unknown };
    let Some(stale) = last.stale_unprotected_keys else { return AlertState::Unknown };
    if stale <= STALE_KEYS_MAX {
        // What was not read may hold more.
        let read_all = last.status == Some(Status::Completed) || last.total_keys.is_some();
        return if read_all { AlertState::Resolved } else { AlertState::Unknown };
    }
    firing(
        format!("Found {stale} keys without TTL in one run (more than {STALE_KEYS_MAX})"),
        [
            ("staleTTLKeys", json!(last.stale_ttl_keys)),
            ("staleUnprotectedKeys", json!(stale)),
            ("limit", json!(STALE_KEYS_MAX)),
            ("run", json!(last.run_id)),
            ("selection", json!(last.selection)),
        ],
    )
}

/// The rate is low since the beginning of the first of the stretches that are low without a break. Those with so few
/// look-ups that they tell nothing are none. One in which the rate is not known is a break.
fn hit_rate_low(view: &ConditionInput<'_>) -> AlertState {
    let is_known = |stretch: &TrafficInterval| stretch.traffic.unknown.is_none();
    let tells =
        |stretch: &TrafficInterval| !is_known(stretch) || stretch.traffic.lookups >= STRETCH_LOOKUPS_MIN;
    let stretches: Vec<TrafficInterval> = view.samples.stretches(REACH_MS).filter(tells).collect();
    let bounds = |stretch: &TrafficInterval| stretch.traffic.bounds().unwrap_or((0.0, 100.0));
    let Some(newest) = stretches.last() else { return AlertState::Unknown };
    if bounds(newest).0 >= HIT_RATE_CRITICAL {
        return AlertState::Resolved;
    }
    let is_low = |stretch: &&TrafficInterval| bounds(stretch).1 < HIT_RATE_CRITICAL;
    let low: Vec<&TrafficInterval> = stretches.iter().rev().take_while(is_low).collect();
    let Some(first) = low.last() else { return AlertState::Unknown };
    let (lasts_ms, traffic) = (newest.to_ms.saturating_sub(first.from_ms), together(low.iter().copied()));
    let Some((min, max)) = traffic.bounds() else { return AlertState::Unknown };
    if lasts_ms < DAY_MS || traffic.lookups < LOOKUPS_MIN {
        return AlertState::Unknown;
    }
    let rate = min.midpoint(max);
    firing(
        format!(
            "The hit rate has been below {HIT_RATE_CRITICAL:.0}% for {} hours ({rate:.1}%)",
            lasts_ms / 3_600_000
        ),
        [
            ("hitRate", json!(rate)),
            ("hitRateMin", json!(min)),
            ("hitRateMax", json!(max)),
            ("lookups", json!(traffic.lookups)),
            ("since", json!(rfc3339(first.from_ms))),
            ("limit", json!(HIT_RATE_CRITICAL)),
        ],
    )
}

fn errors_high(view: &ConditionInput<'_>) -> AlertState {
    let Some((hits, errors)) = view.window.and_then(|window| Some((window.hits?, window.errors?))) else {
        return AlertState::Unknown;
    };
    if !too_many_errors(errors, hits) {
        return AlertState::Resolved;
    }
    firing(
        format!("Cache errors are above {ERRORS_PERCENT_MAX:.0}% of hits ({errors} errors vs {hits} hits)"),
        [("errors", json!(errors)), ("hits", json!(hits)), ("limit", json!(ERRORS_PERCENT_MAX))],
    )
}

fn success_rate_low(view: &ConditionInput<'_>) -> AlertState {
    // What somebody started by hand says nothing of the job's schedule.
    let last: Vec<&RunLine> = ended(view).filter(|line| line.scheduled).take(SUCCESS_RUNS).collect();
    if last.len() < SUCCESS_RUNS_MIN {
        return AlertState::Unknown;
    }
    let completed = last.iter().filter(|line| line.status == Some(Status::Completed)).count();
    let rate = percent(completed as u64, last.len() as u64);
    match rate {
        None => AlertState::Unknown,
        Some(rate) if rate >= SUCCESS_PERCENT_MIN => AlertState::Resolved,
        Some(rate) => firing(
            format!(
                "{rate:.1}% of the last {} scheduled runs have completed (below {SUCCESS_PERCENT_MIN:.0}%)",
                last.len()
            ),
            [
                ("successRate", json!(rate)),
                ("runs", json!(last.len())),
                ("runsMin", json!(SUCCESS_RUNS_MIN)),
                ("completed", json!(completed)),
                ("limit", json!(SUCCESS_PERCENT_MIN)),
            ],
        ),
    }
}
