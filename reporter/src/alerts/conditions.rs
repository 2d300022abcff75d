//! The conditions of the alerts with their thresholds; one function per condition.

use std::collections::BTreeMap;

use keysweep_model::metrics::{Alert, HitRateWindow, Severity};
use keysweep_model::result::{RuleName, Status};
use keysweep_model::selection::Selection;
use keysweep_model::time::rfc3339;
use keysweep_storage::history::RunLine;
use serde_json::{Value, json};

use super::rules::{self, RulesFound};
use crate::findings::{ERRORS_PERCENT_MAX, HIT_RATE_CRITICAL, LOOKUPS_MIN, too_many_errors};
use crate::hit_rate::{CounterSnapshots, DAY_MS, TrafficInterval, percent, total_traffic};

/// Consecutive failed runs.
const FAILED_RUNS: usize = 2;

/// The alert fires above this number of unprotected stale keys, or of keys that break a rule, in one run.
pub(super) const STALE_KEYS_MAX: u64 = 10;

/// The alert fires below this success rate, in percent.
const SUCCESS_PERCENT_MIN: f64 = 99.0;

/// How many runs the success rate covers.
const SUCCESS_RUNS: usize = 100;

/// The least number of scheduled runs for a success rate.
const SUCCESS_RUNS_MIN: usize = 20;

/// An alert about keys uses runs with the same selection, as long as one of this many runs has it.
const SAME_KEYS_RUNS: usize = 10;

/// The least number of application lookups between two samples for a meaningful hit rate.
const STRETCH_LOOKUPS_MIN: u64 = 100;

/// How far back low hit rates are searched: longer than the alert takes to fire.
const REACH_MS: u64 = 8 * DAY_MS;

/// The input of the conditions.
pub struct ConditionInput<'a> {
    /// The job's runs, the oldest first.
    pub runs: &'a [RunLine],
    /// Samples of its Redis deployment.
    pub samples: &'a CounterSnapshots<'a>,
    /// The latest hit rate window.
    pub window: Option<&'a HitRateWindow>,
    /// The alerts that are firing so far.
    pub active: &'a [Alert],
    /// What the newest run found of the rules of its job; `None` between runs, and if it had no result.
    pub rules: Option<&'a RulesFound>,
}

/// An evaluated condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The alert that it belongs to.
    pub alert: &'static str,
    /// The severity of the alert.
    pub severity: Severity,
    /// The rule of the job that it is about.
    pub policy_rule: Option<RuleName>,
    /// The state of the condition.
    pub state: AlertState,
}

/// The state of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertState {
    /// The condition holds.
    Firing {
        /// The message for people.
        message: String,
        /// The figures behind it.
        evidence: BTreeMap<String, Value>,
    },
    /// The condition does not hold.
    Resolved,
    /// The state is unknown; a firing alert keeps firing.
    Unknown,
}

/// An alert: its name, its severity, and its condition.
pub(crate) struct AlertDef {
    /// The name.
    pub(crate) name: &'static str,
    severity: Severity,
    condition: fn(&ConditionInput<'_>) -> AlertState,
    /// The rule whose issue states the same about a run, so that pages do not repeat it.
    pub(crate) same_issue: Option<&'static str>,
}

impl AlertDef {
    const fn new(
        name: &'static str,
        severity: Severity,
        condition: fn(&ConditionInput<'_>) -> AlertState,
        same_issue: Option<&'static str>,
    ) -> Self {
        Self { name, severity, condition, same_issue }
    }
}

/// All alerts but those about single rules.
pub(crate) const ALERTS: &[AlertDef] = &[
    AlertDef::new("failed-runs", Severity::Critical, failed_runs, None),
    AlertDef::new("stale-keys", Severity::Warning, stale_keys, Some("stale-keys")),
    AlertDef::new("hit-rate-low", Severity::Critical, hit_rate_low, None),
    AlertDef::new("errors-high", Severity::Critical, errors_high, Some("errors-high")),
    AlertDef::new("success-rate-low", Severity::Warning, success_rate_low, None),
];

/// Evaluates the conditions of all alerts.
#[must_use]
pub fn conditions(input: &ConditionInput<'_>) -> Vec<Condition> {
    let evaluate = |AlertDef { name, severity, condition, .. }: &AlertDef| Condition {
        alert: name,
        severity: *severity,
        policy_rule: None,
        state: condition(input),
    };
    ALERTS.iter().map(evaluate).chain(rules::conditions(input)).collect()
}

pub(super) fn firing<const N: usize>(message: String, evidence: [(&str, Value); N]) -> AlertState {
    let evidence = evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    AlertState::Firing { message, evidence }
}

/// Runs that ended without being cancelled, the newest first. A cancelled run is no evidence about the job.
fn ended<'a>(input: &ConditionInput<'a>) -> impl Iterator<Item = &'a RunLine> + use<'a> {
    input.runs.iter().rev().filter(|line| !matches!(line.status, None | Some(Status::Cancelled)))
}

fn failed_runs(input: &ConditionInput<'_>) -> AlertState {
    let failed: Vec<&RunLine> =
        ended(input).take_while(|line| line.status == Some(Status::Failed)).take(SUCCESS_RUNS).collect();
    match failed.as_slice() {
        [last, _, ..] => {
            let cause = last.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
            let runs = failed.len();
            firing(
                format!("{runs} runs in a row have failed{cause}"),
                [("failedRuns", json!(runs)), ("limit", json!(FAILED_RUNS)), ("lastRun", json!(last.run_id))],
            )
        }
        // After a single failure, the next run decides.
        _ => AlertState::Resolved,
    }
}

/// The run that determines the number of stale keys, and of keys that break rules: the latest one that read keys. A manual run with other patterns or
/// another database is no evidence about the job's keys. The job's selection is that of the latest scheduled run or,
/// without a schedule, the one for which the alert was raised.
pub(super) fn counted<'a>(input: &ConditionInput<'a>) -> Option<&'a RunLine> {
    let readers = || ended(input).filter(|line| line.status != Some(Status::Failed));
    let scheduled = || readers().find(|line| line.scheduled)?.selection.clone();
    let raised = || {
        let selection = input.active.iter().find_map(|alert| alert.evidence.get("selection"))?;
        let selection: Selection = serde_json::from_value(selection.clone()).ok()?;
        readers()
            .take(SAME_KEYS_RUNS)
            .any(|line| line.selection.as_ref() == Some(&selection))
            .then_some(selection)
    };
    match scheduled().or_else(raised) {
        Some(selection) => readers().find(|line| line.selection.as_ref() == Some(&selection)),
        None => readers().next(),
    }
}

fn stale_keys(input: &ConditionInput<'_>) -> AlertState {
    let Some(last) = counted(input) else { return AlertState::Unknown };
    if last.rules > 0 {
        // Its rules say which keys may have no TTL, and have alerts of their own.
        return AlertState::Resolved;
    }
    let Some(stale) = last.stale_unprotected_keys else { return AlertState::Unknown };
    if stale <= STALE_KEYS_MAX {
        // Unread parts may contain more stale keys.
        return if read_all(last) { AlertState::Resolved } else { AlertState::Unknown };
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

/// Whether the run read all of its keys.
pub(super) fn read_all(line: &RunLine) -> bool {
    line.status == Some(Status::Completed) || line.total_keys.is_some()
}

/// The rate is low since the start of the first interval in an unbroken series of low intervals. Intervals with too few
/// lookups are ignored. An interval with an unknown rate breaks the series.
fn hit_rate_low(input: &ConditionInput<'_>) -> AlertState {
    let is_known = |interval: &TrafficInterval| interval.traffic.unknown.is_none();
    let is_significant =
        |interval: &TrafficInterval| !is_known(interval) || interval.traffic.lookups >= STRETCH_LOOKUPS_MIN;
    let intervals: Vec<TrafficInterval> = input.samples.intervals(REACH_MS).filter(is_significant).collect();
    let bounds = |interval: &TrafficInterval| interval.traffic.bounds().unwrap_or((0.0, 100.0));
    let Some(newest) = intervals.last() else { return AlertState::Unknown };
    if bounds(newest).0 >= HIT_RATE_CRITICAL {
        return AlertState::Resolved;
    }
    let is_low = |interval: &&TrafficInterval| bounds(interval).1 < HIT_RATE_CRITICAL;
    let low: Vec<&TrafficInterval> = intervals.iter().rev().take_while(is_low).collect();
    let Some(first) = low.last() else { return AlertState::Unknown };
    let (lasts_ms, traffic) =
        (newest.to_ms.saturating_sub(first.from_ms), total_traffic(low.iter().copied()));
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

fn errors_high(input: &ConditionInput<'_>) -> AlertState {
    let Some((hits, errors)) = input.window.and_then(|window| Some((window.hits?, window.errors?))) else {
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

fn success_rate_low(input: &ConditionInput<'_>) -> AlertState {
    // Manual runs are no evidence about the job's schedule.
    let last: Vec<&RunLine> = ended(input).filter(|line| line.scheduled).take(SUCCESS_RUNS).collect();
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
