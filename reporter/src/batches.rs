//! The batches of a run: those listed in reports, their receipts, and the number of keys that may be deleted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::{BatchId, TaskId};
use keysweep_model::messages::{Grant, ListedBatch, Receipt};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::Accounting;

/// All batches of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batches {
    listed: BTreeMap<BatchId, ListedBatches>,
    answered: BTreeMap<BatchId, AnsweredBatch>,
    /// Listed batches without a receipt.
    open: usize,
    /// Whether a batch ended without an action.
    incomplete: bool,
    /// By scan generation: keys that were deleted or may be deleted at any time.
    possible: BTreeMap<u32, u128>,
    /// The same for each rule.
    possible_by_rule: BTreeMap<(u16, u32), u128>,
    /// Batches that a grant lists.
    granted: BTreeSet<BatchId>,
    /// Listed batches with neither a grant nor a receipt, and their number of candidates.
    waiting: (u64, u64),
}

/// A batch that a report lists.
#[derive(Clone, Debug, PartialEq)]
struct ListedBatches {
    task: TaskId,
    scan_generation: u32,
    keys: u64,
    deletes: u64,
    rule: Option<u16>,
}

/// The receipt of a batch, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AnsweredBatch {
    /// Keys that were deleted or may have been.
    deleted: u64,
    all: Option<Outcome>,
    /// The outcomes that it lists key by key.
    outcomes: Accounting,
}

/// Candidates that count from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CountedBatch {
    pub(crate) scan_generation: u32,
    pub(crate) keys: u64,
    /// The outcome of all of them, if the receipt has a single one.
    pub(crate) outcome: Option<Outcome>,
}

impl ListedBatches {
    /// Keys of the batch that were deleted or may be deleted at any time.
    fn possible(&self, answered: Option<&AnsweredBatch>) -> u64 {
        match answered {
            None => self.deletes,
            Some(AnsweredBatch { all: None, deleted, .. }) => self.deletes.min(*deleted),
            Some(AnsweredBatch { all: Some(Outcome::Unconfirmed), .. }) => self.deletes,
            Some(AnsweredBatch { all: Some(_), .. }) => 0,
        }
    }
}

impl Batches {
    /// Adds a batch listed by the report of `task` in `scan_generation`. Only faulty or foreign scanners
    /// list a batch twice: the larger numbers then count.
    pub(crate) fn list(&mut self, task: TaskId, scan_generation: u32, batch: &ListedBatch) -> CountedBatch {
        let waited = self.waits(batch.batch);
        let answered = self.answered.get(&batch.batch);
        let before = self.listed.get(&batch.batch).cloned();
        self.open += usize::from(before.is_none() && answered.is_none());
        let before =
            before.unwrap_or(ListedBatches { task, scan_generation, keys: 0, deletes: 0, rule: batch.rule });
        let now = ListedBatches {
            keys: before.keys.max(batch.keys),
            deletes: before.deletes.max(batch.deletes),
            ..before
        };
        let more = u128::from(now.possible(answered)) - u128::from(before.possible(answered));
        *self.possible.entry(now.scan_generation).or_default() += more;
        if let Some(rule) = now.rule {
            *self.possible_by_rule.entry((rule, now.scan_generation)).or_default() += more;
        }
        let outcome = answered.and_then(|answered| answered.all);
        let counted =
            CountedBatch { scan_generation: now.scan_generation, keys: now.keys - before.keys, outcome };
        self.listed.insert(batch.batch, now);
        self.recount(batch.batch, waited);
        counted
    }

    /// Adds a receipt. Returns `None` if the batch already has one; otherwise the candidates that it covers with a
    /// single outcome, if it does not list an outcome per key.
    pub(crate) fn answer(&mut self, receipt: &Receipt) -> Option<Option<CountedBatch>> {
        if self.answered.contains_key(&receipt.batch) {
            return None;
        }
        let mut outcomes = Accounting::default();
        for outcome in receipt.groups.iter().flat_map(|group| &group.outcomes) {
            *outcomes.count_of(*outcome) += 1;
        }
        let deleted = outcomes.deleted + outcomes.unconfirmed;
        let answered = AnsweredBatch { deleted, all: receipt.all, outcomes };
        let waited = self.waits(receipt.batch);
        self.answered.insert(receipt.batch, answered);
        self.recount(receipt.batch, waited);
        self.incomplete |= receipt.all.is_some();
        let Some(listed) = self.listed.get(&receipt.batch) else { return Some(None) };
        self.open -= 1;
        let less = u128::from(listed.possible(None) - listed.possible(Some(&answered)));
        *self.possible.entry(listed.scan_generation).or_default() -= less;
        if let Some(rule) = listed.rule {
            *self.possible_by_rule.entry((rule, listed.scan_generation)).or_default() -= less;
        }
        let counted = |outcome| CountedBatch {
            scan_generation: listed.scan_generation,
            keys: listed.keys,
            outcome: Some(outcome),
        };
        Some(receipt.all.map(counted))
    }

    /// Adds the batches of a grant.
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

    /// Updates the waiting totals for a batch that counted as `before`.
    fn recount(&mut self, batch: BatchId, before: Option<u64>) {
        let after = self.waits(batch);
        let (batches, keys) = self.waiting;
        let less = |sum: u64, more: u64, taken: u64| sum.saturating_add(more).saturating_sub(taken);
        self.waiting = (
            less(batches, u64::from(after.is_some()), u64::from(before.is_some())),
            less(keys, after.unwrap_or_default(), before.unwrap_or_default()),
        );
    }

    /// How many batches have neither a grant nor a receipt, and how many candidates they contain.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        self.waiting
    }

    /// Whether every listed batch has a receipt.
    pub(crate) fn answered(&self) -> bool {
        self.open == 0
    }

    /// Whether a batch ended without an action, regardless of its number of candidates.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether a report lists the batch and it has no receipt.
    pub(crate) fn is_open(&self, batch: BatchId) -> bool {
        self.listed.contains_key(&batch) && !self.answered.contains_key(&batch)
    }

    /// The task whose report listed the batch first.
    pub(crate) fn listed_by(&self, batch: BatchId) -> Option<TaskId> {
        self.listed.get(&batch).map(|listed| listed.task)
    }

    /// Keys that were deleted, and keys that may be deleted at any time because a report lists them. Keys of a later
    /// generation were restored by a failover and count separately: the generation with the most keys counts.
    pub(crate) fn deletions_possible(&self) -> u64 {
        most(self.possible.values())
    }

    /// The same for the keys of a rule.
    pub(crate) fn deletions_possible_by(&self, rule: u16) -> u64 {
        most(self.possible_by_rule.range((rule, 0)..=(rule, u32::MAX)).map(|(_, keys)| keys))
    }

    /// The candidates and the outcomes of each rule's batches, without those that were found when slots were read again.
    pub(crate) fn by_rule(&self) -> BTreeMap<u16, Accounting> {
        let mut rules: BTreeMap<u16, Accounting> = BTreeMap::new();
        for (batch, listed) in self.listed.iter().filter(|(_, listed)| listed.scan_generation == 0) {
            let Some(rule) = listed.rule else { continue };
            let answered = self.answered.get(batch);
            let mut account = answered.map_or_else(Accounting::default, |answered| answered.outcomes);
            if let Some(outcome) = answered.and_then(|answered| answered.all) {
                *account.count_of(outcome) = listed.keys;
            }
            rules.entry(rule).or_default().add(&Accounting { candidates: listed.keys, ..account });
        }
        rules
    }
}

fn most<'a>(possible: impl Iterator<Item = &'a u128>) -> u64 {
    u64::try_from(possible.max().copied().unwrap_or_default()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::{NodeId, RunId};
    use keysweep_model::messages::{GroupReceipt, Reason};

    use super::*;

    fn listed(batch: BatchId, keys: u64, deletes: u64) -> ListedBatch {
        ListedBatch { batch, keys, deletes, rule: None, digest: None }
    }

    fn whole(batch: BatchId, outcome: Outcome) -> Receipt {
        Receipt::whole(RunId::new(), batch, NodeId::new("n"), 0, outcome, "because")
    }

    fn receipt(batch: BatchId, outcomes: &[Outcome]) -> Receipt {
        let groups = vec![GroupReceipt { slot: 0, reason: Reason::Stale, outcomes: outcomes.to_vec() }];
        Receipt { groups, all: None, ..whole(batch, Outcome::Unreached) }
    }

    #[test]
    fn possible_deletions_shrink_only_by_the_receipt() {
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
            // The receipt may arrive first.
            let mut earlier = Batches::default();
            earlier.answer(&receipt(batch));
            earlier.list(task, 0, &listed(batch, 5, 4));
            assert_eq!(earlier, later);
        };
        check(|batch| receipt(batch, &[Deleted, Spared, Spared, Spared, Spared]), 1);
        check(|batch| receipt(batch, &[Deleted, Unconfirmed, Spared, Spared, Spared]), 2);
        // A receipt cannot exceed the report's number.
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
        // A grant may arrive before its report.
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
    fn a_batch_in_two_reports_counts_once_with_the_larger_numbers() {
        let (first, second, batch) = (TaskId::new(), TaskId::new(), BatchId::new());
        let mut batches = Batches::default();
        assert_eq!(batches.list(first, 0, &listed(batch, 0, 0)).keys, 0);
        assert_eq!(batches.list(second, 0, &listed(batch, 4_000, 4_000)).keys, 4_000);
        assert_eq!(batches.list(second, 0, &listed(batch, 1, 1)).keys, 0);
        assert_eq!((batches.listed_by(batch), batches.deletions_possible()), (Some(first), 4_000));
        let counted = CountedBatch { scan_generation: 0, keys: 4_000, outcome: Some(Outcome::Unreached) };
        assert_eq!(batches.answer(&whole(batch, Outcome::Unreached)), Some(Some(counted)));
        assert_eq!(batches.answer(&whole(batch, Outcome::Unreached)), None);
        assert_eq!(batches.list(first, 0, &listed(batch, 4_001, 0)), CountedBatch { keys: 1, ..counted });
    }

    #[test]
    fn each_generation_has_its_own_limit_and_no_number_overflows() {
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
