//! Whether a batch asks for nothing that its run was not agreed to do. Whoever makes batches keeps to that; this is for
//! one that was made by somebody else, or by a scanner that is wrong: then all of it is refused. Pure.

use shared::limits::{BATCH_KEYS_MAX, BATCH_LIFE};
use shared::messages::{Action, Group, ReapBatch, RunSpec};
use shared::slot::slot_of;

/// How much longer than [`BATCH_LIFE`] a batch may last: it counts from the end of its grace.
const SLACK_MS: u64 = 600_000;

/// Refuses `batch` if the run `spec` cannot have asked for it.
///
/// # Errors
/// What is wrong with it, for people; no key is named.
pub(crate) fn check(batch: &ReapBatch, spec: &RunSpec) -> Result<(), String> {
    let refused = |what: &str| Err(format!("a batch was refused: {what}"));
    if spec.dry_run || spec.rules.action == Action::Report {
        return refused("its run only reports");
    }
    if batch.alias != spec.alias {
        return refused("it is for another deployment than its run");
    }
    if batch.keys() > BATCH_KEYS_MAX as u64 {
        return Err(format!("a batch was refused: {} keys are more than {BATCH_KEYS_MAX}", batch.keys()));
    }
    let life_max = u64::try_from(BATCH_LIFE.as_millis()).unwrap_or(u64::MAX).saturating_add(SLACK_MS);
    if batch.not_after_ms.saturating_sub(batch.not_before_ms) > life_max {
        return refused("it would act for longer than a batch may");
    }
    batch.groups.iter().try_for_each(|group| check_group(group, spec))
}

fn check_group(group: &Group, spec: &RunSpec) -> Result<(), String> {
    for key in group.keys.iter().map(|key| key.as_bytes()) {
        let what = match () {
            () if !spec.rules.wants(key) => "a key in it matches no pattern of its run",
            () if spec.rules.protects(key) => "a key in it is protected",
            () if spec.cluster && slot_of(key) != group.slot => "a key in it is of another slot",
            () => continue,
        };
        return Err(format!("a batch was refused: {what}"));
    }
    Ok(())
}
