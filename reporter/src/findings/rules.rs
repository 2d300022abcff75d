//! Findings about the rules of a job, each of which names the rule and its owner: keys that break it, keys about which it
//! could not decide, rules without keys, and breaches that grew.

use std::cmp::Reverse;
use std::time::Duration;

use keysweep_model::duration;
use keysweep_model::limits::DETAILS_MAX;
use keysweep_model::messages::{CancelKind, RunSpec, StatedRule};
use keysweep_model::metrics::{Finding, Severity};
use keysweep_model::result::{CleanupResult, RuleName, RuleRow, Status};
use serde_json::json;

use super::{Rule, RuleInput, issue, recommendation};
use crate::fold::{Exceeded, Fold};
use crate::format::{counted, grouped};

/// The rules of this file, in the order of their messages.
pub(super) const RULES: &[Rule] = &[breached, undecided, without_keys, grown];

/// The name of the issue about keys that break a rule.
pub(crate) const BREACHED: &str = "rule-breached";

/// Breaches that grew by less than this, in percent, are not reported.
const GROWTH_PERCENT: u64 = 20;

/// Fewer new breaches than this may be coincidence.
const GROWTH_MIN: u64 = 100;

/// What an earlier run of the job found of its rules.
#[derive(Clone, Debug, Default)]
pub struct RulesBefore {
    /// When it started.
    since: String,
    stated: Vec<StatedRule>,
    rows: Vec<RuleRow>,
}

impl RulesBefore {
    /// What the run with this `spec` and `result` found; `None` if it had no rules, or did not read all keys.
    #[must_use]
    pub fn of(spec: RunSpec, result: CleanupResult) -> Option<Self> {
        let read_all = result.status == Status::Completed && result.skipped_keys == 0;
        let stated = spec.rules.policy.filter(|_| read_all)?.rules;
        Some(Self { since: result.started_at, stated, rows: result.rules })
    }
}

/// The rule whose limit stopped the run, if one did. By then its batches have ended without effect, so that all that were
/// listed count.
pub(crate) fn limited(fold: &Fold) -> Option<(RuleName, Exceeded)> {
    fold.cancel.as_ref().filter(|cancel| cancel.kind == CancelKind::Guard)?;
    let spec = fold.spec()?;
    let listed = fold.batches.by_rule();
    let deleting = (0..).zip(&spec.rules.policy.as_ref()?.rules).filter(|(_, stated)| stated.deletes());
    let rules: Vec<(u16, &StatedRule, u64)> = deleting
        .map(|(rule, stated)| (rule, stated, listed.get(&rule).map_or(0, |account| account.candidates)))
        .collect();
    let all = rules.iter().map(|(_, _, keys)| keys).fold(0_u64, |sum, keys| sum.saturating_add(*keys));
    if spec.guards.deletions_max.is_some_and(|max| all > max) {
        return None;
    }
    rules.into_iter().find_map(|(rule, stated, possible)| {
        let max = spec.rule_deletions_max.get(usize::from(rule)).copied()?.filter(|max| possible > *max)?;
        let name = RuleName::of(rule, stated);
        Some((name.clone(), Exceeded { rule: Some(name), possible, max }))
    })
}

/// The rules of the job, each with what it states.
fn rows<'a>(input: &RuleInput<'a>) -> impl Iterator<Item = (&'a RuleRow, &'a StatedRule)> {
    let policy = input.spec.rules.policy.as_ref();
    let rest = policy.and_then(keysweep_model::messages::Policy::rest);
    let stated = policy.into_iter().flat_map(|policy| &policy.rules);
    let rows = input.result.rules.iter().zip(stated).enumerate();
    rows.filter(move |(at, _)| rest.is_none_or(|rest| usize::from(rest) != *at)).map(|(_, row)| row)
}

/// The rules with most keys by `measure`, the largest first, each with that number; and how many more have some.
fn most<'a>(
    input: &RuleInput<'a>,
    measure: fn(&RuleRow) -> u64,
) -> (Vec<(&'a RuleRow, &'a StatedRule, u64)>, usize) {
    let mut all: Vec<_> = rows(input).map(|(row, stated)| (row, stated, measure(row))).collect();
    all.retain(|(_, _, keys)| *keys > 0);
    all.sort_by_key(|(_, _, keys)| Reverse(*keys));
    let more = all.len().saturating_sub(DETAILS_MAX);
    all.truncate(DETAILS_MAX);
    (all, more)
}

fn about(row: &RuleRow, finding: Finding) -> Finding {
    Finding { policy_rule: Some(row.name()), ..finding }
}

fn breached(input: &RuleInput<'_>) -> Vec<Finding> {
    let (most, more) = most(input, RuleRow::breaches);
    let found = |(row, stated, keys): &(&RuleRow, &StatedRule, u64)| {
        let broken = counted(*keys, "key that breaks", "keys that break");
        let message = format!("Found {broken} {}: {}", row.name(), fault(stated));
        let evidence =
            [("breaches", json!(keys)), ("keys", json!(row.scanned)), ("withoutTtl", json!(row.without_ttl))];
        about(row, issue(BREACHED, Severity::Warning, message, evidence))
    };
    let others = (more > 0).then(|| {
        let message =
            format!("Found keys that break {more} more rules, fewer of each: see the table of rules");
        issue("rules-breached", Severity::Warning, message, [("rules", json!(more))])
    });
    most.iter().map(found).chain(others).collect()
}

/// What the keys that break a rule are.
fn fault(stated: &StatedRule) -> String {
    let longest = stated.max_ttl_ms.map(|ms| duration::show(Duration::from_millis(ms)));
    match (stated.ttl_ms, longest) {
        (Some(_), Some(longest)) => format!("without TTL, or with one above {longest}"),
        (None, Some(longest)) => format!("with a TTL above {longest}"),
        (Some(_), None) => "without TTL".to_owned(),
        (None, None) if stated.deletes() => "to be deleted".to_owned(),
        (None, None) => "reported".to_owned(),
    }
}

fn undecided(input: &RuleInput<'_>) -> Vec<Finding> {
    let (most, _) = most(input, |row| row.undecided);
    let found = |(row, stated, keys): &(&RuleRow, &StatedRule, u64)| {
        let left = counted(*keys, "key", "keys");
        let message = format!(
            "{left} of {} left alone: its `where` asks for something that is not known of them",
            row.name()
        );
        let evidence =
            [("undecided", json!(keys)), ("keys", json!(row.scanned)), ("where", json!(stated.condition))];
        about(row, issue("rule-undecided", Severity::Warning, message, evidence))
    };
    most.iter().map(found).collect()
}

/// Only if all keys were read, and there are some.
fn without_keys(input: &RuleInput<'_>) -> Vec<Finding> {
    let (result, counts) = (input.result, &input.fold.totals.counts);
    if !result.coverage.complete || counts.skipped > 0 || counts.listed == 0 {
        return Vec::new();
    }
    let found = |(row, _): (&RuleRow, &StatedRule)| {
        let message =
            format!("No key belongs to {}: check its patterns, and those of the rules before it", row.name());
        about(row, recommendation("rule-without-keys", Severity::Info, message, [("keys", json!(0))]))
    };
    rows(input).filter(|(row, _)| row.scanned == 0).take(DETAILS_MAX).map(found).collect()
}

/// Only if both runs read all keys, and the rule still states the same. That the patterns of all rules are the same, the
/// selection of the runs says.
fn grown(input: &RuleInput<'_>) -> Vec<Finding> {
    let before = input.context.rules_before.as_ref();
    let Some(before) = before.filter(|_| input.result.coverage.complete) else { return Vec::new() };
    let earlier = before.rows.iter().zip(&before.stated);
    let pairs = rows(input).zip(earlier).filter(|((_, now), (_, then))| decides_alike(now, then));
    let mut grown: Vec<_> = pairs
        .map(|((row, _), (then, _))| (row, then.breaches()))
        .filter(|(row, was)| has_grown(row, *was))
        .collect();
    grown.sort_by_key(|(row, was)| Reverse(row.breaches() - was));
    grown.truncate(DETAILS_MAX);
    let found = |(row, was): &(&RuleRow, u64)| {
        let [then, now] = [*was, row.breaches()].map(grouped);
        let message = format!(
            "More keys break {} than at the last run ({then} → {now}): look at what writes them",
            row.name()
        );
        let evidence = [
            ("breachesBefore", json!(was)),
            ("breachesNow", json!(row.breaches())),
            ("since", json!(before.since)),
            ("limitPercent", json!(GROWTH_PERCENT)),
            ("keysMin", json!(GROWTH_MIN)),
        ];
        about(row, recommendation("rule-breaches-grew", Severity::Warning, message, evidence))
    };
    grown.iter().map(found).collect()
}

fn has_grown(row: &RuleRow, was: u64) -> bool {
    let more = row.breaches().saturating_sub(was);
    more >= GROWTH_MIN && u128::from(more) * 100 > u128::from(was) * u128::from(GROWTH_PERCENT)
}

/// Whether the same keys break both.
fn decides_alike(one: &StatedRule, other: &StatedRule) -> bool {
    let decides =
        |rule: &StatedRule| (rule.condition.clone(), rule.ttl_ms, rule.max_ttl_ms, rule.durable, rule.action);
    decides(one) == decides(other)
}
