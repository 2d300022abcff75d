//! The conditions of the alerts about single rules of a job: each rule has its own, which names the rule and its owner, so
//! that an alert can be routed. They are judged at the end of a run; until the next one they stay as they are.

use keysweep_model::ids::RunId;
use keysweep_model::metrics::{Alert, Severity};
use keysweep_model::result::{CleanupResult, RuleName, RuleRow, Status};
use serde_json::json;

use super::conditions::{AlertState, Condition, ConditionInput, STALE_KEYS_MAX, counted, firing, read_all};
use crate::findings::STOPPED;
use crate::findings::rules::{BREACHED, limited};
use crate::fold::{Exceeded, Fold};
use crate::format::grouped;

/// Keys that break a rule.
const RULE_BREACHED: &str = "rule-breached";

/// A run that the limit of a rule stopped.
const RULE_LIMIT: &str = "rule-limit";

/// The alerts of this file, each with the issue that states the same about a run.
pub(crate) const RULE_ALERTS: [(&str, &str); 2] = [(RULE_BREACHED, BREACHED), (RULE_LIMIT, STOPPED)];

/// What the newest run found of its rules.
#[derive(Clone, Debug)]
pub struct RulesFound {
    run: RunId,
    status: Status,
    rows: Vec<RuleRow>,
    limited: Option<(RuleName, Exceeded)>,
}

impl RulesFound {
    /// What the folded run with this `result` found.
    #[must_use]
    pub fn of(fold: &Fold, result: &CleanupResult) -> Self {
        Self { run: result.run_id, status: result.status, rows: result.rules.clone(), limited: limited(fold) }
    }
}

/// The conditions of all rules of the newest run, and of rules that the job no longer has.
pub(super) fn conditions(input: &ConditionInput<'_>) -> Vec<Condition> {
    let gone = input.active.iter().filter_map(|alert| gone(input, alert));
    let rows = input.rules.iter().flat_map(|found| found.rows.iter().map(move |row| (*found, row)));
    let each = rows.flat_map(|(found, row)| {
        [
            condition(RULE_BREACHED, row.name(), breached(input, found, row)),
            condition(RULE_LIMIT, row.name(), stopped(found, row)),
        ]
    });
    gone.chain(each).collect()
}

/// Resolves `alert` if it is about a rule that the job no longer has.
fn gone(input: &ConditionInput<'_>, alert: &Alert) -> Option<Condition> {
    let rule = alert.policy_rule.as_ref()?;
    let (name, _) = RULE_ALERTS.into_iter().find(|(name, _)| *name == alert.alert)?;
    let newest = counted(input)?;
    let is_gone = match input.rules.filter(|found| newest.run_id == found.run) {
        Some(found) => !found.rows.iter().any(|row| row.name().is_same_rule(rule)),
        None => newest.rules == 0,
    };
    is_gone.then(|| condition(name, rule.clone(), AlertState::Resolved))
}

fn condition(alert: &'static str, rule: RuleName, state: AlertState) -> Condition {
    let severity = if alert == RULE_LIMIT { Severity::Critical } else { Severity::Warning };
    Condition { alert, severity, policy_rule: Some(rule), state }
}

fn breached(input: &ConditionInput<'_>, found: &RulesFound, row: &RuleRow) -> AlertState {
    let Some(line) = counted(input).filter(|line| line.run_id == found.run) else {
        return AlertState::Unknown;
    };
    let keys = row.breaches();
    if keys <= STALE_KEYS_MAX {
        // Unread parts may contain more.
        return if read_all(line) { AlertState::Resolved } else { AlertState::Unknown };
    }
    firing(
        format!(
            "Found {} keys that break {} in one run (more than {STALE_KEYS_MAX})",
            grouped(keys),
            row.name()
        ),
        [
            ("breaches", json!(keys)),
            ("keys", json!(row.scanned)),
            ("limit", json!(STALE_KEYS_MAX)),
            ("run", json!(found.run)),
            ("selection", json!(line.selection)),
        ],
    )
}

/// A run that was stopped by something else says nothing about the limits of rules.
fn stopped(found: &RulesFound, row: &RuleRow) -> AlertState {
    let limited = found.limited.as_ref().filter(|(rule, _)| rule.is_same_rule(&row.name()));
    match (limited, found.status) {
        (Some((rule, exceeded)), _) => firing(
            format!(
                "The limit of {rule} stopped the last run: {} of its keys qualified for deletion, more than {}",
                grouped(exceeded.possible),
                grouped(exceeded.max)
            ),
            [("keys", json!(exceeded.possible)), ("limit", json!(exceeded.max)), ("run", json!(found.run))],
        ),
        (None, Status::Completed) => AlertState::Resolved,
        (None, _) => AlertState::Unknown,
    }
}
