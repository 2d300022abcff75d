//! The fold over the records of a run. Every total is derived from records that exist only once each, so their order
//! and repetition do not matter. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::{BatchId, NodeId, TaskId};
use keysweep_model::limits::DETAILS_MAX;
use keysweep_model::memory::PrefixMemory;
use keysweep_model::messages::{
    Cancel, GroupReceipt, Lookups, NodePacing, Reason, Receipt, RuleCounts, RunSpec, ScanCounts,
    ScanStatistics, ScanTask, TaskReport,
};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{Accounting, RuleName};
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::{Record, TaskLists};

use crate::batches::{Batches, CountedBatch};
use crate::coverage::CoverageTracker;
use crate::durability::DurabilityTracker;
use crate::read_sources::ReadSources;
use serde::{Deserialize, Serialize};

/// The state of a run according to its records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    pub(crate) spec: Option<RunSpec>,
    pub(crate) cancel: Option<Cancel>,
    lists: TaskLists,
    /// The planned tasks.
    pub(crate) tasks: BTreeMap<TaskId, ScanTask>,
    /// Whether the run's writes are durable.
    durability: DurabilityTracker,
    pub(crate) reports: BTreeSet<TaskId>,
    /// Tasks whose remainder must be followed by a task list.
    continued: BTreeSet<TaskId>,
    pub(crate) batches: Batches,
    pub(crate) coverage: CoverageTracker,
    pub(crate) totals: Totals,
    pub(crate) nodes: BTreeMap<NodeId, NodeTotals>,
    /// Why tasks were lost, with the number of tasks.
    pub(crate) losses: BTreeMap<String, u64>,
    /// Why candidates were not reached, failed or are unconfirmed, with the number of batches.
    pub(crate) causes: BTreeMap<String, u64>,
    /// Slots with unprocessed candidates.
    pub(crate) undone: SlotSet,
    pub(crate) long_keys: Vec<String>,
    pub(crate) approximate: bool,
    pub(crate) statistics: ScanStatistics,
    /// The memory of the deleted keys.
    pub(crate) freed: PrefixMemory,
    /// How tasks and batches were throttled.
    pub(crate) pacing: BTreeMap<NodeId, NodePacing>,
    pub(crate) sources: ReadSources,
    /// What scan tasks found of each rule.
    pub(crate) rules: BTreeMap<u16, RuleCounts>,
}

/// A limit of deletions that is exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The rule that it is of; `None` if it is that of the run.
    pub rule: Option<RuleName>,
    /// Keys that may be deleted.
    pub possible: u64,
    /// The limit.
    pub max: u64,
}

/// Totals of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Counts of all covered parts.
    pub counts: ScanCounts,
    /// Outcomes of all candidates; `balanced` is not set here.
    pub accounting: Accounting,
    /// Outcomes of the candidates found when slots were read again.
    pub rescanned: Accounting,
    /// Deleted keys of inactive users.
    pub inactive_deleted: u64,
    /// Tasks with a report.
    pub tasks_reported: u64,
    /// All tasks.
    pub tasks: u64,
    /// Batches that may not act yet.
    pub waiting: WaitingBatches,
}

/// Batches that wait for the end of their grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingBatches {
    /// The number of batches.
    pub batches: u64,
    /// Their candidates.
    pub keys: u64,
    /// The grace in milliseconds; each batch waits this long from its report on.
    pub grace_ms: u64,
}

/// Totals of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTotals {
    /// Counts of the parts read there.
    pub counts: ScanCounts,
    /// Keys deleted there.
    pub deleted: u64,
    /// Keysweep's own lookups there.
    pub lookups: Lookups,
}

impl Totals {
    fn account(&mut self, scan_generation: u32) -> &mut Accounting {
        if scan_generation == 0 { &mut self.accounting } else { &mut self.rescanned }
    }

    /// Adds candidates that share one outcome, if they do.
    fn count(&mut self, counted: CountedBatch) {
        if let Some(outcome) = counted.outcome {
            let counter = self.account(counted.scan_generation).count_of(outcome);
            *counter = counter.saturating_add(counted.keys);
        }
    }
}

impl Fold {
    /// Applies a record. Applying a record again has no effect.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Spec(spec) => self.spec = Some((**spec).clone()),
            Record::Decision { decision, .. } => {
                let completed = self.lists.apply(decision).map(|(_, tasks)| tasks);
                self.tasks.extend(completed.iter().flatten().map(|task| (task.task, task.clone())));
                self.totals.tasks = self.tasks.len() as u64;
                self.durability.apply(decision);
            }
            Record::Report(report) => self.report(report),
            Record::Receipt(receipt) => self.receipt(receipt),
            Record::Cancel(cancel) => self.cancel = Some(cancel.clone()),
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
            self.coverage.add(report.scan_generation, &report.covered);
            self.durability.rescanned(report);
        }
        if !report.remainder.is_empty() {
            self.continued.insert(report.task);
        }
        for batch in &report.batches {
            let counted = self.batches.list(report.task, report.scan_generation, batch);
            let account = self.totals.account(counted.scan_generation);
            account.candidates = account.candidates.saturating_add(counted.keys);
            self.totals.count(counted);
        }
        let node = self.nodes.entry(report.node.clone()).or_default();
        node.lookups += report.lookups;
        self.pacing.entry(report.node.clone()).or_default().merge(&report.pacing);
        if report.scan_generation > 0 {
            // Other totals were counted when the slots were first read.
            return;
        }
        let counts = report.counts;
        self.totals.counts += counts;
        let accounting = &mut self.totals.accounting;
        // Records are trusted, but a wrong one must not cause a panic.
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
        for found in &report.rules {
            self.rules.entry(found.rule).or_insert_with(|| RuleCounts::of(found.rule)).add(found);
        }
        if let Some(source) = &report.source {
            self.sources.add(&report.node, source);
        }
    }

    fn receipt(&mut self, receipt: &Receipt) {
        let Some(whole) = self.batches.answer(receipt) else { return };
        whole.into_iter().for_each(|counted| self.totals.count(counted));
        let node = self.nodes.entry(receipt.node.clone()).or_default();
        node.lookups += receipt.lookups;
        self.durability.written(receipt);
        let rescanned = receipt.scan_generation > 0;
        let accounting = self.totals.account(receipt.scan_generation);
        let mut inactive_deleted = 0;
        let outcomes = receipt
            .groups
            .iter()
            .flat_map(|group| group.outcomes.iter().map(|outcome| (group.reason, outcome)));
        for (reason, outcome) in outcomes {
            let count = accounting.count_of(*outcome);
            *count = count.saturating_add(1);
            if *outcome == Outcome::Deleted && !rescanned {
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

    /// Whether the plan's tasks and all following tasks have a report.
    #[must_use]
    pub fn scanned(&self) -> bool {
        self.planned()
            && self.tasks.keys().all(|task| self.reports.contains(task))
            && self.continued.iter().all(|task| self.lists.has(Some(*task)))
    }

    /// Whether all known work is done, so that the driver can check durability.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.scanned()
            && self.batches.answered()
            && self.durability.lists().all(|id| self.lists.has(Some(id)))
    }

    /// Whether the run is complete except for its result. A cancelled run skips the durability check.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.is_settled() && (self.durability.is_known() || self.cancel.is_some())
    }

    /// The durability of the run's writes.
    #[must_use]
    pub fn durability(&self) -> &DurabilityTracker {
        &self.durability
    }

    /// The lookups of scanners and reapers at `node` since the plan, to be subtracted from its counters.
    #[must_use]
    pub fn own_lookups(&self, node: &NodeId) -> Lookups {
        self.nodes.get(node).map(|totals| totals.lookups).unwrap_or_default()
    }

    /// The spec of the run.
    #[must_use]
    pub fn spec(&self) -> Option<&RunSpec> {
        self.spec.as_ref()
    }

    /// Whether `task` has a report.
    #[must_use]
    pub fn is_reported(&self, task: TaskId) -> bool {
        self.reports.contains(&task)
    }

    /// Whether a report lists the batch and it has no receipt.
    #[must_use]
    pub fn is_open_batch(&self, batch: BatchId) -> bool {
        self.batches.is_open(batch)
    }

    /// The task whose report listed the batch first.
    #[must_use]
    pub fn listed_by(&self, batch: BatchId) -> Option<TaskId> {
        self.batches.listed_by(batch)
    }

    /// The task as planned.
    #[must_use]
    pub fn task(&self, task: TaskId) -> Option<&ScanTask> {
        self.tasks.get(&task)
    }

    /// Why the run is cancelled, if it is.
    #[must_use]
    pub fn cancel(&self) -> Option<&Cancel> {
        self.cancel.as_ref()
    }

    /// The tasks without a report.
    pub fn open_tasks(&self) -> impl Iterator<Item = &ScanTask> {
        self.tasks.values().filter(|task| !self.reports.contains(&task.task))
    }

    /// Whether `task` belongs to the run and has no report yet.
    #[must_use]
    pub fn is_open(&self, task: TaskId) -> bool {
        self.tasks.contains_key(&task) && !self.reports.contains(&task)
    }

    /// How often the part of the keyspace that `task` reads was rescheduled.
    #[must_use]
    pub fn reschedules(&self, task: TaskId) -> u32 {
        self.tasks.get(&task).map_or(0, |task| task.reschedules)
    }

    /// Keys that were deleted, and keys that may be deleted at any time because a report lists them. A key restored by
    /// a failover counts once.
    #[must_use]
    pub fn deletions_possible(&self) -> u64 {
        self.batches.deletions_possible()
    }

    /// The first limit that the deletions which reports list exceed: that of the run, or of one of its rules.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        let spec = self.spec.as_ref()?;
        let rules = (0..).zip(&spec.rule_deletions_max);
        let rules = rules.map(|(rule, max)| (Some(rule), self.batches.deletions_possible_by(rule), *max));
        let run = (None, self.batches.deletions_possible(), spec.guards.deletions_max);
        std::iter::once(run).chain(rules).find_map(|(rule, possible, max)| {
            let max = max.filter(|max| possible > *max)?;
            let stated = rule.and_then(|rule| spec.rules.policy.as_ref()?.rules.get(usize::from(rule)));
            let name = rule.zip(stated).map(|(rule, stated)| RuleName::of(rule, stated));
            Some(Exceeded { rule: name, possible, max })
        })
    }

    /// The totals so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { waiting: self.waiting(), ..self.totals }
    }

    /// A cancelled run grants no more batches, and runs of earlier versions have no grants.
    fn waiting(&self) -> WaitingBatches {
        let spec = self.spec.as_ref().filter(|spec| spec.grants && self.cancel.is_none());
        let Some(grace_ms) = spec.map(|spec| spec.rules.grace_ms).filter(|grace_ms| *grace_ms > 0) else {
            return WaitingBatches::default();
        };
        let (batches, keys) = self.batches.waiting();
        WaitingBatches { batches, keys, grace_ms }
    }
}
