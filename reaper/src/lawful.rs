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

#[cfg(test)]
mod tests {
    use shared::ids::{Alias, BatchId, NodeId, RunId, TaskId};
    use shared::key::Key;
    use shared::messages::{Reason, Rules};
    use shared::slot::slot_of;

    use super::*;

    fn spec() -> RunSpec {
        let rules = Rules {
            sources: vec![Key::new(*b"permissions:warm")],
            ..Rules::deleting(&["permissions:*", "keysweep*"], &["permissions:system:*"]).unwrap()
        };
        RunSpec { cluster: true, ..RunSpec::plain(RunId::new(), rules) }
    }

    fn batch(spec: &RunSpec, keys: &[&str]) -> ReapBatch {
        let group = |key: &&str| Group {
            slot: slot_of(key.as_bytes()),
            reason: Reason::Stale,
            keys: vec![Key::new(key.as_bytes())],
            expires_at_ms: Vec::new(),
        };
        ReapBatch {
            run: spec.run,
            batch: BatchId::new(),
            task: TaskId::new(),
            alias: spec.alias.clone(),
            node: NodeId::new("n"),
            not_before_ms: 1_000,
            not_after_ms: 1_000 + BATCH_LIFE.as_millis() as u64,
            round: 0,
            groups: keys.iter().map(group).collect(),
        }
    }

    #[track_caller]
    fn refuses(batch: &ReapBatch, spec: &RunSpec, what: &str) {
        let said = check(batch, spec).expect_err("it is refused");
        assert!(said.contains(what), "{said}");
    }

    #[test]
    fn only_what_the_run_matches_may_be_deleted() {
        let spec = spec();
        assert_eq!(check(&batch(&spec, &["permissions:1", "permissions:2"]), &spec), Ok(()));
        refuses(&batch(&spec, &["permissions:1", "session:1"]), &spec, "matches no pattern");
        refuses(&batch(&spec, &["permissions:system:1"]), &spec, "is protected");
        refuses(&batch(&spec, &["permissions:warm"]), &spec, "matches no pattern");
        refuses(&batch(&spec, &["keysweep:lock:job"]), &spec, "matches no pattern");
        let mut moved = batch(&spec, &["permissions:1"]);
        moved.groups[0].slot += 1;
        refuses(&moved, &spec, "of another slot");
        let standalone = RunSpec { cluster: false, ..spec };
        assert_eq!(check(&moved, &standalone), Ok(()), "there are no slots");
    }

    #[test]
    fn a_batch_does_no_more_than_its_run_and_for_no_longer() {
        let spec = spec();
        let good = batch(&spec, &["permissions:1"]);
        refuses(&good, &RunSpec { dry_run: true, ..spec.clone() }, "only reports");
        let rules = Rules { action: Action::Report, ..spec.rules.clone() };
        refuses(&good, &RunSpec { rules, ..spec.clone() }, "only reports");
        refuses(&ReapBatch { alias: Alias::new("other"), ..good.clone() }, &spec, "another deployment");
        refuses(&ReapBatch { not_after_ms: u64::MAX, ..good }, &spec, "for longer");
        let many = vec!["permissions:1"; BATCH_KEYS_MAX + 1];
        refuses(&batch(&spec, &many), &spec, "more than 4000");
    }
}
