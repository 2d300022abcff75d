//! The grant that allows the batches of a scan task to act. Scanners list their batches in reports. The leader of the
//! run compares a report with the task that it planned and with the limits of the run, and stores a grant. Reapers act
//! on grants only.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{Action, Group, ListedBatch, ReapBatch, Rules, ScanTask, TaskReport, Verify};
use crate::ids::{BatchId, NodeId, RunId, TaskId};
use crate::limits::{BATCH_KEYS_MAX, TASK_BATCHES_MAX};
use crate::slot::SlotSet;

/// The batches of one task that may act. Stored once per task, by the leader of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The node that the task was planned for.
    pub node: NodeId,
    /// The scan generation of the task.
    pub scan_generation: u32,
    /// The slots of the task; empty on a standalone server.
    pub slots: SlotSet,
    /// The batches, each with its number of candidates and the digest of its message.
    pub batches: Vec<ListedBatch>,
}

/// The identity of a batch: all that is read of an invalid batch in order to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct BatchHead {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// Its task.
    pub task: TaskId,
}

impl From<&ReapBatch> for BatchHead {
    fn from(batch: &ReapBatch) -> Self {
        Self { run: batch.run, batch: batch.batch, task: batch.task }
    }
}

impl Grant {
    /// The grant for `report` on `task` in a run with `rules`.
    ///
    /// # Errors
    /// Why the report cannot belong to this task, for people.
    pub fn of(task: &ScanTask, report: &TaskReport, rules: &Rules) -> Result<Self, String> {
        let refused = |what: &str| Err(format!("a report was refused: {what}"));
        if (report.run, report.scan_generation, &report.node) != (task.run, task.scan_generation, &task.node)
        {
            return refused("it is of another run, scan generation or node than its task");
        }
        if rules.verify == Verify::Value && !report.verified {
            return refused(
                "its scanner took no fingerprints, which the run requires (`verify`); is it of an earlier version?",
            );
        }
        if report.batches.len() > TASK_BATCHES_MAX {
            return Err(format!(
                "a report was refused: it lists {} batches, more than {TASK_BATCHES_MAX}",
                report.batches.len()
            ));
        }
        let known = rules.policy.as_ref().map_or(0, |policy| policy.rules.len());
        let has_rule = |listed: &ListedBatch| match listed.rule {
            Some(rule) => usize::from(rule) < known,
            None => rules.policy.is_none(),
        };
        if !report.batches.iter().all(has_rule) {
            return refused("it lists a batch of a rule that its run does not have");
        }
        let is_possible = |listed: &ListedBatch| {
            (1..=BATCH_KEYS_MAX as u64).contains(&listed.keys) && listed.deletes <= listed.keys
        };
        if !report.batches.iter().all(is_possible) {
            return refused("it lists a batch with an impossible number of keys");
        }
        Ok(Self {
            run: task.run,
            task: task.task,
            node: task.node.clone(),
            scan_generation: task.scan_generation,
            slots: task.scope.slots(),
            batches: report.batches.clone(),
        })
    }

    /// A grant of all that `report` claims, without checks: for runs of earlier versions, which have no grants, and
    /// for batches that will not act.
    #[must_use]
    pub fn claimed(report: &TaskReport) -> Self {
        Self {
            run: report.run,
            task: report.task,
            node: report.node.clone(),
            scan_generation: report.scan_generation,
            slots: SlotSet::all(),
            batches: report.batches.clone(),
        }
    }

    /// The listing of `batch`, if it may act.
    #[must_use]
    pub fn batch(&self, batch: BatchId) -> Option<&ListedBatch> {
        self.batches.iter().find(|listed| listed.batch == batch)
    }
}

impl ListedBatch {
    /// The listing of `batch` in a run, or of a rule, that does `action` with stale keys, without the digest of its
    /// message.
    #[must_use]
    pub fn of(batch: &ReapBatch, action: Action) -> Self {
        let deletes = |group: &&Group| group.reason.is_deleted(action);
        Self {
            batch: batch.batch,
            keys: batch.keys(),
            deletes: batch.groups.iter().filter(deletes).map(|group| group.keys.len() as u64).sum(),
            rule: batch.rule,
            digest: None,
        }
    }

    /// The listing of the message `payload`, with its digest.
    #[must_use]
    pub fn sent_as(self, payload: &[u8]) -> Self {
        Self { digest: Some(digest_of(payload)), ..self }
    }

    /// Whether `payload` is the listed message, as far as the listing identifies it.
    #[must_use]
    pub fn is_sent_as(&self, payload: &[u8]) -> bool {
        self.digest.is_none_or(|listed| listed == digest_of(payload))
    }

    /// The number of candidates, of those that may be deleted, and their rule.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, Option<u16>) {
        (self.keys, self.deletes, self.rule)
    }
}

fn digest_of(payload: &[u8]) -> u128 {
    let digest = digest(&SHA256, payload);
    digest.as_ref().first_chunk().map_or(0, |first| u128::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Alias;
    use crate::range::Scope;

    #[test]
    fn only_a_report_that_fits_its_task_is_granted() {
        let task = ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new("n"),
            scope: Scope::Slots { slots: SlotSet::from_iter([3, 4]) },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 1,
        };
        let listed =
            |keys, deletes| ListedBatch { batch: BatchId::new(), keys, deletes, rule: None, digest: None };
        let good =
            TaskReport { batches: vec![listed(4_000, 4_000), listed(1, 0)], ..TaskReport::blank(&task) };
        let rules = Rules::deleting(&["*"], &[]).unwrap();
        let grant = Grant::of(&task, &good, &rules).unwrap();
        assert_eq!(
            (grant.scan_generation, &grant.slots, &grant.batches),
            (1, &task.scope.slots(), &good.batches)
        );
        assert_eq!(grant.batch(good.batches[1].batch), Some(&good.batches[1]));
        assert_eq!(grant.batch(BatchId::new()), None);
        let refuses = |report: TaskReport, what: &str| {
            let said = Grant::of(&task, &report, &rules).unwrap_err();
            assert!(said.contains(what), "{said}");
        };
        let another = "another run, scan generation or node";
        refuses(TaskReport { scan_generation: 0, ..good.clone() }, another);
        refuses(TaskReport { run: RunId::new(), ..good.clone() }, another);
        refuses(TaskReport { node: NodeId::new("m"), ..good.clone() }, another);
        for listed in [listed(0, 0), listed(4_001, 0), listed(5, 6), listed(u64::MAX, u64::MAX)] {
            refuses(TaskReport { batches: vec![listed], ..good.clone() }, "an impossible number of keys");
        }
        let strict = Rules { verify: Verify::Value, ..rules.clone() };
        assert!(Grant::of(&task, &good, &strict).unwrap_err().contains("took no fingerprints"));
        assert!(Grant::of(&task, &TaskReport { verified: true, ..good.clone() }, &strict).is_ok());
        let many = (0..=TASK_BATCHES_MAX).map(|_| listed(1, 1)).collect();
        refuses(TaskReport { batches: many, ..good }, "lists 1001 batches, more than 1000");
    }

    #[test]
    fn a_listing_matches_only_its_own_message() {
        let older = ListedBatch { batch: BatchId::new(), keys: 1, deletes: 1, rule: None, digest: None };
        assert!(older.is_sent_as(b"this") && older.is_sent_as(b"that"));
        let listed = older.clone().sent_as(b"abc");
        // The example of FIPS 180-2.
        assert_eq!(listed.digest, Some(0xba78_16bf_8f01_cfea_4141_40de_5dae_2223));
        assert!(listed.is_sent_as(b"abc") && !listed.is_sent_as(b"abd"));
        for listed in [older, listed] {
            let sent = crate::wire::encode(&listed).unwrap();
            assert_eq!(crate::wire::decode::<ListedBatch>(&sent).unwrap(), listed);
        }
    }
}
