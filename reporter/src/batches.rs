//! The batches of a run: those that reports list, what receipts say of them, and how many keys may be deleted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{BatchId, TaskId};
use shared::messages::{Grant, ListedBatch, Receipt};
use shared::outcome::Outcome;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batches {
    listed: BTreeMap<BatchId, ListedBatches>,
    answered: BTreeMap<BatchId, AnsweredBatch>,
    /// Listed ones without a receipt.
    open: usize,
    /// Whether a batch ended without being acted on.
    incomplete: bool,
    /// By round, keys that were deleted, or may be at any moment.
    possible: BTreeMap<u32, u128>,
    /// Those that a grant lists.
    granted: BTreeSet<BatchId>,
    /// Listed ones with neither a grant nor a receipt, and the candidates in them.
    waiting: (u64, u64),
}

/// A batch that a report lists.
#[derive(Clone, Debug, PartialEq)]
struct ListedBatches {
    task: TaskId,
    round: u32,
    keys: u64,
    deletes: u64,
}

/// What the receipt of a batch says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AnsweredBatch {
    /// Keys that were deleted, or may have been.
    deleted: u64,
    all: Option<Outcome>,
}

/// Candidates that are counted from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CountedBatch {
    pub(crate) round: u32,
    pub(crate) keys: u64,
    /// The outcome of all of them, if one receipt says it.
    pub(crate) outcome: Option<Outcome>,
}

impl ListedBatches {
    /// Keys of the batch that were deleted, or may be at any moment.
    fn possible(&self, answered: Option<&AnsweredBatch>) -> u64 {
        match answered {
            None => self.deletes,
            Some(AnsweredBatch { all: None, deleted }) => self.deletes.min(*deleted),
            Some(AnsweredBatch { all: Some(Outcome::Unconfirmed), .. }) => self.deletes,
            Some(AnsweredBatch { all: Some(_), .. }) => 0,
        }
    }
}

impl Batches {
    /// Takes in that the report of `task`, of `round`, lists a batch. Only scanners that are wrong, or not ours, list one
    /// twice: then the larger numbers count.
    pub(crate) fn list(&mut self, task: TaskId, round: u32, batch: &ListedBatch) -> CountedBatch {
        let waited = self.waits(batch.batch);
        let answered = self.answered.get(&batch.batch);
        let before = self.listed.get(&batch.batch).cloned();
        self.open += usize::from(before.is_none() && answered.is_none());
        let before = before.unwrap_or(ListedBatches { task, round, keys: 0, deletes: 0 });
        let now = ListedBatches {
            keys: before.keys.max(batch.keys),
            deletes: before.deletes.max(batch.deletes),
            ..before
        };
        let possible = self.possible.entry(now.round).or_default();
        *possible += u128::from(now.possible(answered)) - u128::from(before.possible(answered));
        let outcome = answered.and_then(|answered| answered.all);
        let counted = CountedBatch { round: now.round, keys: now.keys - before.keys, outcome };
        self.listed.insert(batch.batch, now);
        self.recount(batch.batch, waited);
        counted
    }

    /// Takes in a receipt. `None` if there is another one already; else what it says of all candidates at once: nothing,
    /// if it says what became of each.
    pub(crate) fn answer(&mut self, receipt: &Receipt) -> Option<Option<CountedBatch>> {
        if self.answered.contains_key(&receipt.batch) {
            return None;
        }
        let outcomes = receipt.groups.iter().flat_map(|group| &group.outcomes);
        let deleted = |outcome: &&Outcome| matches!(outcome, Outcome::Deleted | Outcome::Unconfirmed);
        let answered = AnsweredBatch { deleted: outcomes.filter(deleted).count() as u64, all: receipt.all };
        let waited = self.waits(receipt.batch);
        self.answered.insert(receipt.batch, answered);
        self.recount(receipt.batch, waited);
        self.incomplete |= receipt.all.is_some();
        let Some(listed) = self.listed.get(&receipt.batch) else { return Some(None) };
        self.open -= 1;
        let possible = self.possible.entry(listed.round).or_default();
        *possible -= u128::from(listed.possible(None) - listed.possible(Some(&answered)));
        let counted =
            |outcome| CountedBatch { round: listed.round, keys: listed.keys, outcome: Some(outcome) };
        Some(receipt.all.map(counted))
    }

    /// Takes in which batches may act.
    pub(crate) fn grant(&mut self, grant: &Grant) {
        for listed in &grant.batches {
            let waited = self.waits(listed.batch);
            self.granted.insert(listed.batch);
            self.recount(listed.batch, waited);
        }
    }

    /// The candidates of a listed batch that has neither a grant nor a receipt.
    fn waits(&self, batch: BatchId) -> Option<u64> {
        let known = self.answered.contains_key(&batch) || self.granted.contains(&batch);
        self.listed.get(&batch).filter(|_| !known).map(|listed| listed.keys)
    }

    /// Counts a batch again, which counted as `before`.
    fn recount(&mut self, batch: BatchId, before: Option<u64>) {
        let after = self.waits(batch);
        let (batches, keys) = self.waiting;
        let less = |sum: u64, more: u64, taken: u64| sum.saturating_add(more).saturating_sub(taken);
        self.waiting = (
            less(batches, u64::from(after.is_some()), u64::from(before.is_some())),
            less(keys, after.unwrap_or_default(), before.unwrap_or_default()),
        );
    }

    /// How many batches have neither a grant nor a receipt, and how many candidates are in them.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        self.waiting
    }

    /// Whether every listed batch has a receipt.
    pub(crate) fn answered(&self) -> bool {
        self.open == 0
    }

    /// Whether a batch ended without being acted on, however many candidates it is said to have had.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether a report lists the batch, and no receipt is there.
    pub(crate) fn is_open(&self, batch: BatchId) -> bool {
        self.listed.contains_key(&batch) && !self.answered.contains_key(&batch)
    }

    /// The task whose report was the first to list the batch.
    pub(crate) fn lister(&self, batch: BatchId) -> Option<TaskId> {
        self.listed.get(&batch).map(|listed| listed.task)
    }

    /// Keys that were deleted, and those that may be at any moment because a report lists them. What a later round finds
    /// was brought back by a failover, and counts for itself: the round with the most counts.
    pub(crate) fn deletions_possible(&self) -> u64 {
        let most = self.possible.values().max().copied().unwrap_or_default();
        u64::try_from(most).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{NodeId, RunId};
    use shared::messages::{GroupReceipt, Reason};

    use super::*;

    fn listed(batch: BatchId, keys: u64, deletes: u64) -> ListedBatch {
        ListedBatch { batch, keys, deletes, digest: None }
    }

    fn whole(batch: BatchId, outcome: Outcome) -> Receipt {
        Receipt::whole(RunId::new(), batch, NodeId::new("n"), 0, outcome, "because")
    }

    fn receipt(batch: BatchId, outcomes: &[Outcome]) -> Receipt {
        let groups = vec![GroupReceipt { slot: 0, reason: Reason::Stale, outcomes: outcomes.to_vec() }];
        Receipt { groups, all: None, ..whole(batch, Outcome::Unreached) }
    }

    #[test]
    fn what_may_be_deleted_shrinks_only_by_what_a_receipt_rules_out() {
        use Outcome::{Deleted, Spared, Unconfirmed, Unreached};
        let check = |receipt: fn(BatchId) -> Receipt, expected| {
            let (task, batch) = (TaskId::new(), BatchId::new());
            let mut later = Batches::default();
            later.list(task, 0, &listed(batch, 5, 4));
            assert_eq!(
                (later.deletions_possible(), later.is_open(batch), later.answered()),
                (4, true, false)
            );
            later.answer(&receipt(batch));
            assert_eq!(
                (later.deletions_possible(), later.is_open(batch), later.answered()),
                (expected, false, true)
            );
            // The receipt may be known first.
            let mut earlier = Batches::default();
            earlier.answer(&receipt(batch));
            earlier.list(task, 0, &listed(batch, 5, 4));
            assert_eq!(earlier, later);
        };
        check(|batch| receipt(batch, &[Deleted, Spared, Spared, Spared, Spared]), 1);
        check(|batch| receipt(batch, &[Deleted, Unconfirmed, Spared, Spared, Spared]), 2);
        // More than the report listed is not believed.
        check(|batch| receipt(batch, &[Deleted; 50]), 4);
        check(|batch| whole(batch, Unreached), 0);
        check(|batch| whole(batch, Unconfirmed), 4);
    }

    #[test]
    fn a_batch_waits_until_it_has_a_grant_or_a_receipt() {
        let (task, [granted, ended, early]) =
            (TaskId::new(), [BatchId::new(), BatchId::new(), BatchId::new()]);
        let grant = |batch, keys| Grant {
            run: RunId::new(),
            task,
            node: NodeId::new("n"),
            scan_generation: 0,
            slots: [].into_iter().collect(),
            batches: vec![listed(batch, keys, keys)],
        };
        let mut batches = Batches::default();
        // A grant may be known before its report.
        batches.grant(&grant(early, 3));
        for (batch, keys) in [(granted, 5), (ended, 7), (early, 3)] {
            batches.list(task, 0, &listed(batch, keys, keys));
        }
        assert_eq!(batches.waiting(), (2, 12));
        batches.list(task, 0, &listed(granted, 6, 6));
        assert_eq!(batches.waiting(), (2, 13));
        batches.answer(&whole(ended, Outcome::Unreached));
        assert_eq!(batches.waiting(), (1, 6));
        for _ in 0..2 {
            batches.grant(&grant(granted, 6));
            assert_eq!(batches.waiting(), (0, 0));
        }
    }

    #[test]
    fn a_batch_that_two_reports_list_counts_once_with_the_larger_numbers() {
        let (first, second, batch) = (TaskId::new(), TaskId::new(), BatchId::new());
        let mut batches = Batches::default();
        assert_eq!(batches.list(first, 0, &listed(batch, 0, 0)).keys, 0);
        assert_eq!(batches.list(second, 0, &listed(batch, 4_000, 4_000)).keys, 4_000);
        assert_eq!(batches.list(second, 0, &listed(batch, 1, 1)).keys, 0);
        assert_eq!((batches.lister(batch), batches.deletions_possible()), (Some(first), 4_000));
        let counted = CountedBatch { round: 0, keys: 4_000, outcome: Some(Outcome::Unreached) };
        assert_eq!(batches.answer(&whole(batch, Outcome::Unreached)), Some(Some(counted)));
        assert_eq!(batches.answer(&whole(batch, Outcome::Unreached)), None);
        assert_eq!(batches.list(first, 0, &listed(batch, 4_001, 0)), CountedBatch { keys: 1, ..counted });
    }

    #[test]
    fn each_round_has_the_limit_for_itself_and_no_number_overflows() {
        let mut batches = Batches::default();
        batches.list(TaskId::new(), 0, &listed(BatchId::new(), 9, 9));
        batches.list(TaskId::new(), 1, &listed(BatchId::new(), 7, 7));
        assert_eq!(batches.deletions_possible(), 9);
        batches.list(TaskId::new(), 1, &listed(BatchId::new(), 7, 7));
        assert_eq!(batches.deletions_possible(), 14);
        let forged = BatchId::new();
        batches.list(TaskId::new(), 1, &listed(forged, u64::MAX, u64::MAX));
        assert_eq!(batches.deletions_possible(), u64::MAX);
        batches.answer(&whole(forged, Outcome::Unreached));
        assert_eq!(batches.deletions_possible(), 14);
    }
}
