//! Which batches may act. Scanners list them in reports, and reapers act only on those that the driver has granted, so
//! that the limits of the run are kept before anything is deleted:
//!
//! - A report is granted only if it fits the task that was planned.
//! - It is granted only while all deletions that reports list, granted or not, are within the limit. Every driver counts
//!   all reports that are stored before the one that it grants, so two drivers, one of which was frozen, do not exceed the
//!   limit together.
//! - It is granted no sooner than the grace after it was read, by the driver's monotonic clock, whatever times its
//!   batches state.
//!
//! `docs/threat-model.md` lists all checks of forged reports, batches and receipts in their order.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::{BatchId, TaskId};
use keysweep_model::messages::{Cancel, CancelKind, Grant, Receipt, TaskReport};
use keysweep_model::outcome::Outcome;

use reporter::Exceeded;

use super::effect::{Effect, Notice};
use super::run_state::RunState;

/// Grants that are not stored yet, with the times from which on they may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PendingGrants {
    waiting: BTreeMap<TaskId, (Duration, Grant)>,
}

impl PendingGrants {
    /// The grant is stored, by this driver or another one.
    pub(super) fn remove(&mut self, task: TaskId) {
        self.waiting.remove(&task);
    }

    /// When the next one may be stored.
    pub(super) fn next(&self) -> Option<Duration> {
        self.waiting.values().map(|(due, _)| *due).min()
    }

    fn take_due(&mut self, now: Duration) -> Vec<Grant> {
        let due = self.waiting.iter().filter(|(_, (due, _))| *due <= now);
        let due: Vec<TaskId> = due.map(|(task, _)| *task).collect();
        due.iter().filter_map(|task| self.waiting.remove(task)).map(|(_, grant)| grant).collect()
    }
}

impl RunState {
    /// Decides whether the batches of a report will be granted. Those of a report that is refused end here.
    pub(super) fn check_report(&mut self, report: &TaskReport) {
        // In a run of an earlier version, a report is enough.
        if report.batches.is_empty() || !self.spec.grants {
            return;
        }
        match self.grant_of(report) {
            Ok(grant) => {
                let due = self.now + self.grace();
                self.grants.waiting.insert(report.task, (due, grant));
            }
            Err(cause) => self.refuse(report, cause),
        }
    }

    fn grant_of(&self, report: &TaskReport) -> Result<Grant, String> {
        let Some(task) = self.recorded.fold.task(report.task) else {
            return Err("a report was refused: its task was not planned".to_owned());
        };
        let grant = Grant::of(task, report, &self.spec.rules)?;
        if !report.batches.iter().all(|listed| self.is_listed_by(listed.batch, report.task)) {
            return Err("a report was refused: it lists a batch that another one lists".to_owned());
        }
        Ok(grant)
    }

    fn is_listed_by(&self, batch: BatchId, task: TaskId) -> bool {
        self.recorded.fold.listed_by(batch) == Some(task)
    }

    /// Ends the batches that only this report lists: no reaper acts on them. The result states the cause.
    fn refuse(&mut self, report: &TaskReport, cause: String) {
        let listed = report.batches.iter().map(|listed| listed.batch);
        let mut ended: Vec<BatchId> = listed.filter(|batch| self.is_listed_by(*batch, report.task)).collect();
        if ended.is_empty() {
            ended.push(report.task.into());
        }
        for batch in ended {
            let (node, outcome) = (report.node.clone(), Outcome::Unreached);
            let receipt = Receipt::whole(self.spec.run, batch, node, report.scan_generation, outcome, &cause);
            self.effects.push(Effect::CreateReceipt(Box::new(receipt)));
        }
        self.effects.push(Effect::Log(Notice::ReportRefused { task: report.task, cause }));
    }

    /// Stores the grants that are due. If the run must stop, none is stored: reapers then end the batches.
    pub(super) fn grant(&mut self) {
        if self.is_cancelled() || self.recorded.fold.exceeded().is_some() {
            self.grants = PendingGrants::default();
        }
        let due = self.grants.take_due(self.now);
        self.effects.extend(due.into_iter().map(|grant| Effect::CreateGrant(Box::new(grant))));
    }

    /// Cancels the run before it deletes more than it may. Until then, nothing is granted that exceeds the limit.
    pub(super) fn check_deletions(&mut self) {
        let Some(Exceeded { rule, possible, max }) = self.recorded.fold.exceeded() else { return };
        let cause = match rule {
            None => format!(
                "{possible} keys qualify for deletion, more than the limit of {max}; raise --max-delete-percent to allow it"
            ),
            Some(rule) => format!(
                "{possible} keys of {rule} qualify for deletion, more than the limit of {max}; raise `max_delete_percent` \
                 of the rule to allow it"
            ),
        };
        self.cancel(Cancel { kind: CancelKind::Guard, cause });
    }
}
