//! Whether a batch asks for nothing that its run allows no reaper to do. A scanner makes batches that way; this is for one
//! that somebody else made, or a scanner that is wrong: then all of it is refused. What the server has to say of a key
//! (its TTL, when it expires, since when it was not used), the guard asks in the same step that deletes it. Pure.

use std::collections::HashSet;

use shared::activity::{Activity, ActivityFilter};
use shared::key_template::User;
use shared::limits::BATCH_LIFE;
use shared::messages::{Action, Grant, Group, ListedBatch, ReapBatch, Reason, RunSpec, Verify};
use shared::slot::slot_of;

/// Refuses `batch` if the run `spec` cannot have asked for it, or `grant`, which is that of its task, not for this.
/// `activity` says who is active; a batch with keys of inactive users needs it.
///
/// # Errors
/// What is wrong with it, for people; no key is named.
pub(crate) fn check(
    batch: &ReapBatch,
    spec: &RunSpec,
    grant: &Grant,
    activity: Option<&Activity>,
) -> Result<(), String> {
    let what = if spec.dry_run || spec.rules.action == Action::Report {
        "its run only reports"
    } else if batch.alias != spec.alias {
        "it is for another deployment than its run"
    } else if (&batch.node, batch.scan_generation) != (&grant.node, grant.scan_generation) {
        "it is of another node or round than its task"
    } else if grant.batch(batch.batch).map(ListedBatch::counts)
        != Some(ListedBatch::of(batch, spec.rules.action).counts())
    {
        "it holds another number of keys than the report of its task lists"
    } else if u128::from(batch.not_after_ms.saturating_sub(batch.not_before_ms)) > BATCH_LIFE.as_millis() {
        "it would act for longer than a batch may"
    } else {
        return batch.groups.iter().try_for_each(|group| check_group(group, spec, grant, activity));
    };
    refused(what)
}

fn refused(what: &str) -> Result<(), String> {
    Err(format!("a batch was refused: {what}"))
}

fn check_group(
    group: &Group,
    spec: &RunSpec,
    grant: &Grant,
    activity: Option<&Activity>,
) -> Result<(), String> {
    let rules = &spec.rules;
    if group.keys.len() > rules.delete_batch_keys as usize {
        return refused("a group in it is larger than the run allows");
    }
    if spec.cluster && !grant.slots.contains(group.slot) || !spec.cluster && group.slot != 0 {
        return refused("a slot in it is not one of its task");
    }
    let verified = rules.verify == Verify::Value && group.reason.is_deleted(rules.action);
    if verified && group.fingerprints.is_empty() {
        return refused("its run compares values (`verify`), and a group in it says of none what it was");
    }
    if group.reason == Reason::Inactive && (rules.inactive.is_none() || activity.is_none()) {
        return refused("its run does not look for inactive users");
    }
    let activity = activity.filter(|_| group.reason == Reason::Inactive);
    let mut seen = HashSet::with_capacity(group.keys.len());
    for key in group.keys.iter().map(|key| key.as_bytes()) {
        let what = match () {
            () if !rules.wants(key) => "a key in it matches no pattern of its run",
            () if rules.protects(key) => "a key in it is protected",
            () if spec.cluster && slot_of(key) != group.slot => "a key in it is of another slot",
            () if activity.is_some_and(|activity| !may_be_inactive(key, activity)) => {
                "a key in it is not known to be one of an inactive user"
            }
            () if !seen.insert(key) => "a key stands in it twice",
            () => continue,
        };
        return refused(what);
    }
    Ok(())
}

/// Whether `key` is one of an inactive user, as far as `activity` alone tells. Idle times the guard asks for.
fn may_be_inactive(key: &[u8], activity: &Activity) -> bool {
    match &activity.who {
        ActivityFilter::Users(template, users) => template.user(key, |id| users.has(id)) == User::Inactive,
        ActivityFilter::Idle(_) => true,
    }
}

#[cfg(test)]
mod tests;
