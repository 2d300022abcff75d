//! Builds reap batches from candidates: groups by slot, and messages that fit the size limit. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::BatchId;
use keysweep_model::limits::BATCH_KEYS_MAX;
use keysweep_model::messages::{Group, ReapBatch, RunSpec, ScanTask};
use keysweep_runtime::limits::BATCH_LIFE;

use crate::limits::BATCH_BYTES_MAX;
use crate::slot_tally::Candidate;

/// The longest pause between attempts to publish to a full queue.
pub(crate) const FULL_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Bytes that a key or a group adds to a message in addition to its own.
const OVERHEAD_BYTES: usize = 48;

/// Groups candidates. Each group has one slot and one reason, at most `group_keys_max` keys, and fits into a message.
fn groups(candidates: BTreeMap<u16, Vec<Candidate>>, group_keys_max: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (slot, mut candidates) in candidates {
        candidates.sort_by_key(|candidate| candidate.reason);
        let mut bytes = usize::MAX;
        for Candidate { key, reason, rule: _, expires_at_ms, fingerprint } in candidates {
            let cost = key.len() + OVERHEAD_BYTES;
            let expires_at_ms = reason.is_timed().then_some(expires_at_ms);
            match groups.last_mut() {
                Some(group)
                    if (group.slot, group.reason) == (slot, reason)
                        && group.keys.len() < group_keys_max
                        && bytes.saturating_add(cost) <= BATCH_BYTES_MAX - OVERHEAD_BYTES =>
                {
                    bytes += cost;
                    group.keys.push(key);
                    group.expires_at_ms.extend(expires_at_ms);
                    group.fingerprints.extend(fingerprint);
                }
                _ => {
                    bytes = cost;
                    let expires_at_ms = expires_at_ms.into_iter().collect();
                    let fingerprints = fingerprint.into_iter().collect();
                    groups.push(Group { slot, reason, keys: vec![key], expires_at_ms, fingerprints });
                }
            }
        }
    }
    groups
}

/// What the run's spec says of its batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchShape {
    pub(crate) group_keys_max: usize,
    /// See [`ReapBatch::ledger_keys`].
    pub(crate) ledger_keys: u32,
    pub(crate) grace_ms: u64,
}

impl BatchShape {
    pub(crate) fn of(spec: &RunSpec) -> Self {
        Self {
            group_keys_max: spec.rules.delete_batch_keys as usize,
            ledger_keys: spec.ledger_keys(),
            grace_ms: spec.rules.grace_ms,
        }
    }
}

/// The batches of a task, created at `now_ms` of the node's clock. The candidates of a batch belong to one rule, so that
/// its condition, its limits and its accounting are those of the batch.
pub(crate) fn batches(
    task: &ScanTask,
    candidates: BTreeMap<u16, Vec<Candidate>>,
    shape: BatchShape,
    now_ms: u64,
) -> Vec<ReapBatch> {
    let mut by_rule: BTreeMap<Option<u16>, BTreeMap<u16, Vec<Candidate>>> = BTreeMap::new();
    for (slot, candidates) in candidates {
        for candidate in candidates {
            by_rule.entry(candidate.rule).or_default().entry(slot).or_default().push(candidate);
        }
    }
    let of_rule = |(rule, candidates)| batches_of_rule(task, rule, candidates, shape, now_ms);
    by_rule.into_iter().flat_map(of_rule).collect()
}

fn batches_of_rule(
    task: &ScanTask,
    rule: Option<u16>,
    candidates: BTreeMap<u16, Vec<Candidate>>,
    shape: BatchShape,
    now_ms: u64,
) -> Vec<ReapBatch> {
    let not_before_ms = now_ms + shape.grace_ms;
    let empty = || ReapBatch {
        run: task.run,
        batch: BatchId::new(),
        task: task.task,
        alias: task.alias.clone(),
        node: task.node.clone(),
        not_before_ms,
        not_after_ms: not_before_ms + u64::try_from(BATCH_LIFE.as_millis()).unwrap_or(u64::MAX / 4),
        groups: Vec::new(),
        scan_generation: task.scan_generation,
        ledger_keys: shape.ledger_keys,
        rule,
    };
    let mut batches = Vec::new();
    let (mut batch, mut bytes, mut keys) = (empty(), 0, 0);
    for group in groups(candidates, shape.group_keys_max) {
        let cost: usize =
            group.keys.iter().map(|key| key.len() + OVERHEAD_BYTES).sum::<usize>() + OVERHEAD_BYTES;
        if !batch.groups.is_empty()
            && (bytes + cost > BATCH_BYTES_MAX || keys + group.keys.len() > BATCH_KEYS_MAX)
        {
            batches.push(std::mem::replace(&mut batch, empty()));
            (bytes, keys) = (0, 0);
        }
        bytes += cost;
        keys += group.keys.len();
        batch.groups.push(group);
    }
    if !batch.groups.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::{Alias, NodeId, RunId, TaskId};
    use keysweep_model::key::Key;
    use keysweep_model::limits::{KEY_BYTES_MAX, MESSAGE_BYTES_MAX};
    use keysweep_model::messages::{Action, Fingerprint, ListedBatch, Reason};
    use keysweep_model::range::Scope;
    use keysweep_model::slot::SlotSet;
    use keysweep_model::wire;
    use proptest::prelude::*;

    use super::*;

    fn task() -> ScanTask {
        ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new("n"),
            scope: Scope::Slots { slots: SlotSet::all() },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        }
    }

    proptest! {
        #[test]
        fn every_candidate_is_in_one_batch_and_every_batch_fits(
            sizes in prop::collection::vec(
                (0_u16..4, any::<bool>(), prop::option::of(0_u16..3), prop_oneof![0_usize..200, 100_000_usize..=KEY_BYTES_MAX]),
                0..40,
            ),
            verified in any::<bool>(),
            group_keys_max in 1_usize..20,
        ) {
            let mut candidates: BTreeMap<u16, Vec<Candidate>> = BTreeMap::new();
            for (n, (slot, inactive, rule, size)) in sizes.iter().enumerate() {
                let reason = if *inactive { Reason::Inactive } else { Reason::Stale };
                let expires_at_ms = if *inactive { 1 << 41 | n as u64 } else { 0 };
                let key = Key::new(vec![n as u8; *size]);
                let fingerprint = verified.then_some(Fingerprint::Text { bytes: n as u64, sha1: [n as u8; 20] });
                let candidate = Candidate { key, reason, rule: *rule, expires_at_ms, fingerprint };
                candidates.entry(*slot).or_default().push(candidate);
            }
            let shape = BatchShape { group_keys_max, ledger_keys: 20, grace_ms: 1_000 };
            let batches = batches(&task(), candidates.clone(), shape, 5);
            let mut back: BTreeMap<u16, Vec<Candidate>> = BTreeMap::new();
            for batch in &batches {
                prop_assert!(!batch.groups.is_empty());
                prop_assert!(wire::encode_as(batch.format(), batch).unwrap().len() <= MESSAGE_BYTES_MAX);
                let bytes: usize = batch.groups.iter().flat_map(|g| &g.keys).map(Key::len).sum();
                prop_assert!(batch.keys() == 1 || bytes <= BATCH_BYTES_MAX);
                for group in &batch.groups {
                    prop_assert!((1..=group_keys_max).contains(&group.keys.len()));
                    let times = if group.reason == Reason::Inactive { group.keys.len() } else { 0 };
                    prop_assert_eq!(group.expires_at_ms.len(), times);
                    prop_assert_eq!(group.fingerprints.len(), if verified { group.keys.len() } else { 0 });
                    let times = group.expires_at_ms.iter().copied().chain(std::iter::repeat(0));
                    let prints = group.fingerprints.iter().copied().map(Some).chain(std::iter::repeat(None));
                    let rows = group.keys.iter().cloned().zip(times).zip(prints);
                    back.entry(group.slot).or_default().extend(rows.map(
                        |((key, expires_at_ms), fingerprint)| {
                            Candidate { key, reason: group.reason, rule: batch.rule, expires_at_ms, fingerprint }
                        },
                    ));
                }
            }
            for keys in candidates.values_mut() {
                keys.sort_by_key(|candidate| (candidate.rule, candidate.reason));
            }
            prop_assert_eq!(back, candidates);
            let listed = |action| batches.iter().map(move |batch| ListedBatch::of(batch, action));
            let kept = listed(Action::Expire { ttl_ms: 1, jitter_ms: 0 });
            let inactive = sizes.iter().filter(|(_, inactive, ..)| *inactive).count() as u64;
            prop_assert_eq!(kept.map(|batch| batch.deletes).sum::<u64>(), inactive);
            let mut all = listed(Action::Delete);
            prop_assert!(all.all(|batch| batch.deletes == batch.keys));
        }
    }
}
