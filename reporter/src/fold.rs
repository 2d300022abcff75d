//! The fold over the records of a run. Every total is derived from records that exist once each, so neither
//! their order nor their repetition matters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{BatchId, NodeId, TaskId};
use shared::limits::DETAILS_MAX;
use shared::memory::PrefixMemory;
use shared::messages::{
    Cancel, GroupReceipt, Lookups, NodePacing, Reason, Receipt, RunSpec, ScanCounts, ScanStatistics,
    ScanTask, TaskReport,
};
use shared::outcome::Outcome;
use shared::records::{NodeLookups, Record, TaskLists};
use shared::result::Accounting;
use shared::slot::SlotSet;

use crate::batches::{Batches, CountedBatch};
use crate::coverage::CoverageTracker;
use crate::durability::DurabilityTracker;
use crate::read_sources::ReadSources;

/// What the records say so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    pub(crate) spec: Option<RunSpec>,
    pub(crate) cancel: Option<Cancel>,
    lists: TaskLists,
    /// The tasks that were planned.
    tasks: BTreeMap<TaskId, ScanTask>,
    /// Whether what was done still holds.
    holding: DurabilityTracker,
    reports: BTreeSet<TaskId>,
    /// Tasks whose rest must be followed by a list.
    continued: BTreeSet<TaskId>,
    pub(crate) batches: Batches,
    pub(crate) covering: CoverageTracker,
    pub(crate) totals: Totals,
    pub(crate) nodes: BTreeMap<NodeId, NodeTotals>,
    /// Why tasks were given up, with how many.
    pub(crate) losses: BTreeMap<String, u64>,
    /// Why candidates were not reached, failed or are unconfirmed, with how many batches.
    pub(crate) causes: BTreeMap<String, u64>,
    /// Look-ups that no report or receipt speaks of, by who made them.
    other_lookups: BTreeMap<String, NodeLookups>,
    /// Slots whose candidates were not all dealt with.
    pub(crate) undone: SlotSet,
    pub(crate) long_keys: Vec<String>,
    pub(crate) approximate: bool,
    pub(crate) statistics: ScanStatistics,
    /// The memory of the keys that were deleted.
    pub(crate) freed: PrefixMemory,
    /// How tasks and batches were held back.
    pub(crate) pacing: BTreeMap<NodeId, NodePacing>,
    pub(crate) sources: ReadSources,
}

/// Sums over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of all covered parts.
    pub counts: ScanCounts,
    /// Of all candidates; `balanced` is not set here.
    pub accounting: Accounting,
    /// Of the candidates that were found when slots were read again.
    pub rescanned: Accounting,
    /// Keys deleted because their user was inactive.
    pub inactive_deleted: u64,
    /// Tasks that have a report.
    pub tasks_reported: u64,
    /// Tasks that there are.
    pub tasks: u64,
    /// What may not act yet.
    pub waiting: WaitingBatches,
}

/// Batches that wait until the grace is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingBatches {
    /// How many.
    pub batches: u64,
    /// Candidates in them.
    pub keys: u64,
    /// The grace in milliseconds: each waits so long since its report, and no longer.
    pub grace_ms: u64,
}

/// Sums over a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTotals {
    /// Of the parts read there.
    pub counts: ScanCounts,
    /// Keys deleted there.
    pub deleted: u64,
    /// Our look-ups there.
    pub lookups: Lookups,
}

impl Totals {
    fn account(&mut self, round: u32) -> &mut Accounting {
        if round == 0 { &mut self.accounting } else { &mut self.rescanned }
    }

    /// Takes in candidates that all had one outcome, if they had.
    fn count(&mut self, counted: CountedBatch) {
        if let Some(outcome) = counted.outcome {
            let counter = counter(self.account(counted.round), outcome);
            *counter = counter.saturating_add(counted.keys);
        }
    }
}

/// Where candidates with this outcome are counted.
fn counter(accounting: &mut Accounting, outcome: Outcome) -> &mut u64 {
    match outcome {
        Outcome::Deleted => &mut accounting.deleted,
        Outcome::Expired => &mut accounting.expired,
        Outcome::Spared => &mut accounting.spared,
        Outcome::FieldTtl => &mut accounting.field_ttl,
        Outcome::Vanished => &mut accounting.vanished,
        Outcome::Failed => &mut accounting.failed,
        Outcome::Unreached => &mut accounting.unreached,
        Outcome::Unconfirmed => &mut accounting.unconfirmed,
    }
}

impl Fold {
    /// Takes a record in. A record that was taken in before changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Spec(spec) => self.spec = Some((**spec).clone()),
            Record::Decision { decision, .. } => {
                let completed = self.lists.apply(decision).map(|(_, tasks)| tasks);
                self.tasks.extend(completed.iter().flatten().map(|task| (task.task, task.clone())));
                self.totals.tasks = self.tasks.len() as u64;
                self.holding.apply(decision);
            }
            Record::Report(report) => self.report(report),
            Record::Receipt(receipt) => self.receipt(receipt),
            Record::Cancel(cancel) => self.cancel = Some(cancel.clone()),
            Record::Lookups { who, lookups } => {
                self.other_lookups.insert(who.clone(), lookups.clone());
            }
            Record::Grant(grant) => self.batches.grant(grant),
            Record::Unsaved(_) | Record::Result(_) => {}
        }
    }

    fn report(&mut self, report: &TaskReport) {
        if !self.reports.insert(report.task) {
            return;
        }
        self.totals.tasks_reported += 1;
        if let Some(loss) = &report.lost {
            *self.losses.entry(loss.cause.clone()).or_default() += 1;
        } else {
            self.covering.add(report.scan_generation, &report.covered);
            self.holding.read_again(report);
        }
        if !report.remainder.is_empty() {
            self.continued.insert(report.task);
        }
        for batch in &report.batches {
            let counted = self.batches.list(report.task, report.scan_generation, batch);
            let account = self.totals.account(counted.round);
            account.candidates = account.candidates.saturating_add(counted.keys);
            self.totals.count(counted);
        }
        let node = self.nodes.entry(report.node.clone()).or_default();
        node.lookups += report.lookups;
        self.pacing.entry(report.node.clone()).or_default().merge(&report.pacing);
        if report.scan_generation > 0 {
            // Everything else has been counted when it was read first.
            return;
        }
        let counts = report.counts;
        self.totals.counts += counts;
        let accounting = &mut self.totals.accounting;
        // Records are true, but nobody ends for one that is not.
        let add = |sum: &mut u64, more| *sum = sum.saturating_add(more);
        add(&mut accounting.protected, counts.protected);
        add(&mut accounting.reported, counts.reported);
        add(&mut accounting.failed, counts.too_long);
        add(&mut accounting.field_ttl, counts.field_ttl);
        [counts.protected, counts.reported, counts.too_long, counts.field_ttl]
            .into_iter()
            .for_each(|kept| add(&mut accounting.candidates, kept));
        node.counts += counts;
        self.long_keys.extend(report.long_keys.iter().cloned());
        self.long_keys.sort();
        self.long_keys.truncate(DETAILS_MAX);
        self.approximate |= report.approximate;
        self.statistics.merge(&report.statistics);
        if let Some(source) = &report.source {
            self.sources.add(&report.node, source);
        }
    }

    fn receipt(&mut self, receipt: &Receipt) {
        let Some(whole) = self.batches.answer(receipt) else { return };
        whole.into_iter().for_each(|counted| self.totals.count(counted));
        let node = self.nodes.entry(receipt.node.clone()).or_default();
        node.lookups += receipt.lookups;
        self.holding.done(receipt);
        let again = receipt.scan_generation > 0;
        let accounting = self.totals.account(receipt.scan_generation);
        let mut inactive_deleted = 0;
        let outcomes = receipt
            .groups
            .iter()
            .flat_map(|group| group.outcomes.iter().map(|outcome| (group.reason, outcome)));
        for (reason, outcome) in outcomes {
            *counter(accounting, *outcome) += 1;
            if *outcome == Outcome::Deleted && !again {
                node.deleted += 1;
                inactive_deleted += u64::from(reason == Reason::Inactive);
            }
        }
        let is_undone = |group: &&GroupReceipt| group.outcomes.iter().any(|outcome| outcome.is_undone());
        self.undone.extend(&receipt.groups.iter().filter(is_undone).map(|group| group.slot).collect());
        self.totals.inactive_deleted += inactive_deleted;
        self.freed(receipt);
        if let Some(pacing) = &receipt.pacing {
            self.pacing.entry(receipt.node.clone()).or_default().merge(pacing);
        }
        if let Some(cause) = &receipt.cause {
            *self.causes.entry(cause.clone()).or_default() += 1;
        }
    }

    fn freed(&mut self, receipt: &Receipt) {
        if receipt.scan_generation > 0 {
            return;
        }
        let is_deleted = |group: &GroupReceipt| group.outcomes.contains(&Outcome::Deleted);
        match &receipt.freed {
            Some(freed) => self.freed.merge(freed),
            None if receipt.groups.iter().any(is_deleted) => self.freed.merge(&PrefixMemory::unknown()),
            None => {}
        }
    }

    /// Whether the plan's tasks are known.
    #[must_use]
    pub fn planned(&self) -> bool {
        self.lists.has(None)
    }

    /// Whether the plan's tasks and all that follow from them have a report.
    #[must_use]
    pub fn scanned(&self) -> bool {
        self.planned()
            && self.tasks.keys().all(|task| self.reports.contains(task))
            && self.continued.iter().all(|task| self.lists.has(Some(*task)))
    }

    /// Whether all that is known to be done has been, and the driver has to see whether it still holds.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.scanned() && self.batches.answered() && self.holding.lists().all(|id| self.lists.has(Some(id)))
    }

    /// Whether nothing can be added to the run any more, but its result. A run that is to stop looks no further.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.is_settled() && (self.holding.is_known() || self.cancel.is_some())
    }

    /// Whether what was done still holds.
    #[must_use]
    pub fn holding(&self) -> &DurabilityTracker {
        &self.holding
    }

    /// Our own look-ups at `node` since the plan, to be taken off its counters.
    #[must_use]
    pub fn own_lookups(&self, node: &NodeId) -> Lookups {
        let mut own = self.nodes.get(node).map(|totals| totals.lookups).unwrap_or_default();
        for other in self.other_lookups.values().filter(|other| other.node == *node) {
            own += other.lookups;
        }
        own
    }

    /// Look-ups at `node` that follow when the run has its result: the lock is looked at once more as it is freed.
    pub(crate) fn own_lookups_after(&self, node: &NodeId) -> Lookups {
        let locks = self.other_lookups.values().filter(|other| other.node == *node);
        Lookups::reads(locks.count() as u64, 0)
    }

    /// The run as it was started.
    #[must_use]
    pub fn spec(&self) -> Option<&RunSpec> {
        self.spec.as_ref()
    }

    /// Whether `task` has a report.
    #[must_use]
    pub fn is_reported(&self, task: TaskId) -> bool {
        self.reports.contains(&task)
    }

    /// Whether a report lists the batch, and no receipt is there.
    #[must_use]
    pub fn is_open_batch(&self, batch: BatchId) -> bool {
        self.batches.is_open(batch)
    }

    /// The task whose report was the first to list the batch.
    #[must_use]
    pub fn lister(&self, batch: BatchId) -> Option<TaskId> {
        self.batches.lister(batch)
    }

    /// The task, as it was planned.
    #[must_use]
    pub fn task(&self, task: TaskId) -> Option<&ScanTask> {
        self.tasks.get(&task)
    }

    /// Why the run is to stop, if it is.
    #[must_use]
    pub fn cancel(&self) -> Option<&Cancel> {
        self.cancel.as_ref()
    }

    /// Whether `task` is one of the run's that has no report yet.
    #[must_use]
    pub fn is_open(&self, task: TaskId) -> bool {
        self.tasks.contains_key(&task) && !self.reports.contains(&task)
    }

    /// How often the part of the keyspace that `task` reads was planned before.
    #[must_use]
    pub fn replans(&self, task: TaskId) -> u32 {
        self.tasks.get(&task).map_or(0, |task| task.reschedules)
    }

    /// Keys that were deleted, and those that may be at any moment because a report lists them. A key that a failover
    /// brought back counts once.
    #[must_use]
    pub fn deletions_possible(&self) -> u64 {
        self.batches.deletions_possible()
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { waiting: self.waiting(), ..self.totals }
    }

    /// In a run that is to stop nothing is granted any more, and an earlier version's run has no grants.
    fn waiting(&self) -> WaitingBatches {
        let spec = self.spec.as_ref().filter(|spec| spec.grants && self.cancel.is_none());
        let Some(grace_ms) = spec.map(|spec| spec.rules.grace_ms).filter(|grace_ms| *grace_ms > 0) else {
            return WaitingBatches::default();
        };
        let (batches, keys) = self.batches.waiting();
        WaitingBatches { batches, keys, grace_ms }
    }
}
