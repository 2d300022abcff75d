//! What the records of a run state: the same in every process that has read the same records, in whichever order the
//! processes took their turns as leader. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::{Remainder, RemainderReason, ScanTask, TaskFailure, TaskReport};
use keysweep_model::range::Scope;
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::{Decision, Record, TaskLists};
use reporter::Fold;

use crate::run_phase::RunPhase;

/// The state of a run that follows from its records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedState {
    /// Tasks, reports, batches, durability.
    pub(super) fold: Fold,
    /// The phase.
    pub(super) phase: RunPhase,
    /// Entries of the run log.
    entries: BTreeSet<u64>,
    lists: TaskLists,
    /// Remainders of tasks that no list follows.
    pub(super) remainders: BTreeMap<TaskId, OpenRemainder>,
    /// Abandoned tasks without a report.
    pub(super) abandoned: BTreeMap<TaskId, (NodeId, TaskFailure)>,
    /// Slots that were planned again, by the pass that returned them.
    reassigned: BTreeMap<TaskId, SlotSet>,
}

/// What a task returned to be planned again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenRemainder {
    pub(super) node: NodeId,
    pub(super) scan_generation: u32,
    pub(super) parts: Vec<Remainder>,
}

/// Whether a part of a remainder is scanned as it is: the positions of a pass that were not reached.
pub(super) fn is_continued(part: &Remainder) -> bool {
    part.reason == RemainderReason::Full && matches!(part.scope, Scope::Cursors(_))
}

impl RecordedState {
    /// Whether the record, or another one in its place, was applied before. The first one counts.
    pub(super) fn has(&self, record: &Record) -> bool {
        match record {
            Record::Report(report) => self.fold.is_reported(report.task),
            Record::Decision { n, .. } => self.entries.contains(n),
            Record::Cancel(_) => self.fold.cancel().is_some(),
            _ => false,
        }
    }

    /// Whether all entries of the run log from `first` to before `end` were read.
    pub(super) fn has_entries(&self, first: u64, end: u64) -> bool {
        self.entries.range(first..end).count() as u64 == end.saturating_sub(first)
    }

    /// Whether a list of tasks follows `after`.
    pub(super) fn is_followed(&self, after: TaskId) -> bool {
        self.lists.has(Some(after))
    }

    /// The tasks that a worker must scan: those without a report that are not abandoned.
    pub(super) fn open_tasks(&self) -> Vec<ScanTask> {
        let open = self.fold.open_tasks().filter(|task| !self.abandoned.contains_key(&task.task));
        open.cloned().collect()
    }

    /// Applies a record. Returns the tasks of the list that it completes.
    pub(super) fn apply(&mut self, record: &Record) -> Vec<ScanTask> {
        self.fold.apply(record);
        let tasks = match record {
            Record::Decision { n, decision } => {
                self.entries.insert(*n);
                self.decided(decision)
            }
            Record::Report(report) => {
                self.reported(report);
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.phase = self.phase.advanced(&self.fold);
        tasks
    }

    fn decided(&mut self, decision: &Decision) -> Vec<ScanTask> {
        if let Decision::Abandon { tasks, loss } = decision {
            let open = tasks.iter().filter(|(task, _)| !self.fold.is_reported(*task));
            self.abandoned.extend(open.map(|(task, node)| (*task, (node.clone(), loss.clone()))));
        }
        let Some((after, tasks)) = self.lists.apply(decision) else { return Vec::new() };
        let followed = after.and_then(|task| self.remainders.remove(&task));
        for part in followed.iter().flat_map(|remainder| &remainder.parts).filter(|part| !is_continued(part))
        {
            self.reassign(part);
        }
        tasks
    }

    fn reported(&mut self, report: &TaskReport) {
        self.abandoned.remove(&report.task);
        if !report.remainder.is_empty() && !self.is_followed(report.task) {
            let (node, parts) = (report.node.clone(), report.remainder.clone());
            let remainder = OpenRemainder { node, scan_generation: report.scan_generation, parts };
            self.remainders.insert(report.task, remainder);
        }
    }

    /// Takes the slots of a remainder that must still be planned again. Each part of a pass over giant slots returns a
    /// slot that moved as a whole, so only the first part counts: otherwise each would start a pass of its own, and so
    /// on.
    pub(super) fn reassign(&mut self, part: &Remainder) -> SlotSet {
        let slots = part.scope.slots();
        let Some(pass) = part.pass else { return slots };
        let before = self.reassigned.entry(pass).or_default();
        let new = slots.difference(before);
        before.extend(&new);
        new
    }
}
