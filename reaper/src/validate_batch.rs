//! Checks that a batch contains nothing that its run does not allow. Correct scanners never publish such a batch; the
//! check protects against forged batches and faulty scanners, and refuses the whole batch. Facts that only the server
//! has (TTL, expiry, idle time) are checked by the guard in the same step as the deletion. All checks of forged messages
//! in their order: `docs/threat-model.md`. Pure.

use std::collections::HashSet;

use keysweep_model::key;
use keysweep_model::key_template::User;
use keysweep_model::messages::{Grant, Group, ListedBatch, ReapBatch, Reason, Rules, RunSpec, Verify};
use keysweep_model::slot::slot_of;
use keysweep_policy::{Rule, RuleSet};
use keysweep_runtime::activity::{Activity, ActivityFilter};
use keysweep_runtime::limits::BATCH_LIFE;

/// What a batch is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Allowed<'a> {
    /// Its run.
    pub(crate) spec: &'a RunSpec,
    /// The rules of the run, if it has some.
    pub(crate) rules: Option<&'a RuleSet>,
    /// The grant of its task.
    pub(crate) grant: &'a Grant,
    /// The active users; a batch with keys of inactive users needs them.
    pub(crate) activity: Option<&'a Activity>,
}

/// Refuses `batch` if its run or its task's grant does not allow it.
///
/// # Errors
/// What is wrong with the batch, as text; it contains no key.
pub(crate) fn check(batch: &ReapBatch, allowed: Allowed<'_>) -> Result<(), String> {
    let Allowed { spec, rules, grant, .. } = allowed;
    let rule = batch.rule.and_then(|rule| rules?.rule(rule));
    let action = rule.map_or(spec.rules.action, Rule::action);
    let what = if spec.dry_run || !spec.rules.writes() {
        "its run only reports"
    } else if [batch.rule.is_some(), rules.is_some()] != [rule.is_some(); 2] {
        "it has no rule of its run"
    } else if batch.alias != spec.alias {
        "it is for another Redis deployment than its run"
    } else if (&batch.node, batch.scan_generation) != (&grant.node, grant.scan_generation) {
        "its node or scan generation differs from its task's"
    } else if grant.batch(batch.batch).map(ListedBatch::counts)
        != Some(ListedBatch::of(batch, action).counts())
    {
        "its number of keys differs from the report of its task"
    } else if ![0, spec.ledger_keys()].contains(&batch.ledger_keys) {
        "its ledgers record more candidates than the run allows"
    } else if u128::from(batch.not_after_ms.saturating_sub(batch.not_before_ms)) > BATCH_LIFE.as_millis() {
        "its time window is longer than allowed"
    } else {
        return batch.groups.iter().try_for_each(|group| check_group(group, allowed, batch.rule.zip(rule)));
    };
    refused(what)
}

fn refused(what: &str) -> Result<(), String> {
    Err(format!("a batch was refused: {what}"))
}

fn check_group(group: &Group, allowed: Allowed<'_>, rule: Option<(u16, &Rule)>) -> Result<(), String> {
    let Allowed { spec, rules: rule_set, grant, activity } = allowed;
    let rules = &spec.rules;
    let action = rule.map_or(rules.action, |(_, rule)| rule.action());
    if group.keys.len() > rules.delete_batch_keys as usize {
        return refused("one of its groups is larger than the run allows");
    }
    if spec.cluster && !grant.slots.contains(group.slot) || !spec.cluster && group.slot != 0 {
        return refused("one of its slots does not belong to its task");
    }
    let verified = rules.verify == Verify::Value && group.reason.is_deleted(action);
    if verified && group.fingerprints.is_empty() {
        return refused("its run compares values (`verify`), but one of its groups has no fingerprints");
    }
    if !may_have(group.reason, rule.map(|(_, rule)| rule)) {
        return refused("its rule does nothing with keys of one of its groups");
    }
    if group.reason == Reason::Inactive && (rules.inactive.is_none() || activity.is_none()) {
        return refused("its run does not look for inactive users");
    }
    let activity = activity.filter(|_| group.reason == Reason::Inactive);
    let mut seen = HashSet::with_capacity(group.keys.len());
    for key in group.keys.iter().map(|key| key.as_bytes()) {
        let what = match () {
            () if rule.is_none() && !rules.wants(key) => "one of its keys matches no pattern of its run",
            () if rule.is_some_and(|(number, _)| !belongs_to(number, key, rules, rule_set)) => {
                "one of its keys does not belong to its rule"
            }
            () if rules.protects(key) => "one of its keys is protected",
            () if spec.cluster && slot_of(key) != group.slot => "one of its keys belongs to another slot",
            () if activity.is_some_and(|activity| !may_be_inactive(key, activity)) => {
                "one of its keys is not known to belong to an inactive user"
            }
            () if !seen.insert(key) => "it contains a key twice",
            () => continue,
        };
        return refused(what);
    }
    Ok(())
}

/// Whether a batch of `rule`, or of a run without rules, may have candidates for this reason.
fn may_have(reason: Reason, rule: Option<&Rule>) -> bool {
    match (rule, reason) {
        (None, Reason::Stale | Reason::Inactive) => true,
        (Some(rule), Reason::Stale) => rule.action().writes(),
        (Some(rule), Reason::Expiring) => rule.action().deletes() && rule.takes_expiring(),
        (Some(rule), Reason::LongTtl) => rule.max_ttl_ms().is_some(),
        (None, Reason::Expiring | Reason::LongTtl) | (Some(_), Reason::Inactive) => false,
    }
}

/// Whether `key` belongs to the rule with this number, and keysweep neither owns it nor reads from it.
fn belongs_to(number: u16, key: &[u8], rules: &Rules, rule_set: Option<&RuleSet>) -> bool {
    !key::is_own(key) && !rules.is_source(key) && rule_set.and_then(|all| all.of(key)) == Some(number)
}

/// Whether `key` belongs to an inactive user according to `activity`. The guard checks idle times.
fn may_be_inactive(key: &[u8], activity: &Activity) -> bool {
    match &activity.who {
        ActivityFilter::Users(template, users) => template.user(key, |id| users.has(id)) == User::Inactive,
        ActivityFilter::Idle(_) => true,
    }
}

#[cfg(test)]
mod tests;
