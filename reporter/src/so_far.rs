//! What the records of a run in progress say about its parts, for display. Pure.

use std::collections::BTreeMap;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{NodePacing, ScanTask};
use keysweep_model::metrics::Heaviest;
use keysweep_model::range::CursorRange;
use keysweep_model::result::RuleRow;
use keysweep_model::slot::SlotSet;

use crate::fold::Fold;
use crate::key_statistics;
use crate::sections;

impl Fold {
    /// The tasks with a report.
    pub fn reported_tasks(&self) -> impl Iterator<Item = &ScanTask> {
        self.tasks.values().filter(|task| self.reports.contains(&task.task))
    }

    /// The slots that were read completely, or skipped.
    #[must_use]
    pub fn covered_slots(&self) -> SlotSet {
        self.coverage.slots(&self.durability().slots_to_rescan())
    }

    /// The ranges that were read of the table of a standalone server, sorted.
    #[must_use]
    pub fn covered_ranges(&self) -> &[CursorRange] {
        self.coverage.ranges()
    }

    /// How tasks and batches with a record were throttled, by node.
    #[must_use]
    pub fn pacing(&self) -> &BTreeMap<NodeId, NodePacing> {
        &self.pacing
    }

    /// What was done by each rule so far; empty if the run has none.
    #[must_use]
    pub fn rules_so_far(&self) -> Vec<RuleRow> {
        self.spec.as_ref().map(|spec| sections::rules(self, spec)).unwrap_or_default()
    }

    /// The heaviest prefixes of the keys without TTL in tasks with a report.
    #[must_use]
    pub fn stale_prefixes(&self) -> Heaviest {
        key_statistics::stale_prefixes(&self.statistics, &self.totals.counts)
    }
}
