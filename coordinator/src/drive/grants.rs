//! Which batches may act. Scanners list them in reports, and reapers act only on those that the driver has granted, so
//! that the limits of the run are kept before anything is deleted:
//!
//! - A report is granted only if it fits the task that was planned.
//! - It is granted only while all deletions that reports list, granted or not, are within the limit. Every driver counts
//!   all reports that are stored before the one that it grants, so two drivers, one of which was frozen, do not exceed the
//!   limit together.
//! - It is granted no sooner than the grace after it was read, by our monotonic clock, whatever times its batches state.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::{BatchId, TaskId};
use keysweep_model::messages::{Grant, Receipt, TaskReport};
use keysweep_model::outcome::Outcome;
use keysweep_storage::records::{Record, RecordError};
use tokio::time::Instant;

use super::driver::Driver;

/// Grants that have not been given yet, with the moments from which on they may be.
#[derive(Default)]
pub(super) struct Grants {
    waiting: BTreeMap<TaskId, (Instant, Grant)>,
}

impl Grants {
    /// A grant was given, by us or by somebody else.
    pub(super) fn granted(&mut self, task: TaskId) {
        self.waiting.remove(&task);
    }

    /// When the next one may be given.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.values().map(|(due, _)| *due).min()
    }

    fn due(&self, now: Instant) -> Vec<Grant> {
        let due = self.waiting.values().filter(|(due, _)| *due <= now);
        due.map(|(_, grant)| grant.clone()).collect()
    }
}

impl Driver<'_> {
    /// Decides whether the batches of a report will be granted. Those of a report that is refused end here.
    pub(super) async fn check_report(&mut self, report: &TaskReport) -> Result<(), RecordError> {
        // In a run of an earlier version, a report is enough.
        if report.batches.is_empty() || !self.spec.grants {
            return Ok(());
        }
        match self.grant_of(report) {
            Ok(grant) => {
                let due = Instant::now() + Duration::from_millis(self.spec.rules.grace_ms);
                self.grants.waiting.insert(report.task, (due, grant));
                Ok(())
            }
            Err(why) => self.refuse(report, &why).await,
        }
    }

    fn grant_of(&self, report: &TaskReport) -> Result<Grant, String> {
        let Some(task) = self.fold.task(report.task) else {
            return Err("a report was refused: its task was not planned".to_owned());
        };
        let grant = Grant::of(task, report, &self.spec.rules)?;
        let is_its_own = |batch| self.fold.listed_by(batch) == Some(report.task);
        if !report.batches.iter().all(|listed| is_its_own(listed.batch)) {
            return Err("a report was refused: it lists a batch that another one lists".to_owned());
        }
        Ok(grant)
    }

    /// Ends the batches that only this report lists: no reaper acts on them. The result says why.
    async fn refuse(&mut self, report: &TaskReport, why: &str) -> Result<(), RecordError> {
        tracing::warn!(run = %self.spec.run, task = %report.task, "{why}");
        let listed = report.batches.iter().map(|listed| listed.batch);
        let mut ends: Vec<BatchId> =
            listed.filter(|batch| self.fold.listed_by(*batch) == Some(report.task)).collect();
        if ends.is_empty() {
            ends.push(report.task.into());
        }
        for batch in ends {
            let (node, outcome) = (report.node.clone(), Outcome::Unreached);
            let receipt = Receipt::whole(self.spec.run, batch, node, report.scan_generation, outcome, why);
            if self.records.create_receipt(&receipt).await? {
                // What it lists is not counted against the limit.
                self.fold.apply(&Record::Receipt(Box::new(receipt)));
            }
        }
        Ok(())
    }

    /// Gives the grants that are due. Reapers end what is not granted when a run is to stop.
    pub(super) async fn grant(&mut self) -> Result<(), RecordError> {
        if self.fold.cancel().is_some() || self.deletes_too_many() {
            self.grants = Grants::default();
        }
        for grant in self.grants.due(Instant::now()) {
            self.records.create_grant(&grant).await?;
            self.grants.granted(grant.task);
        }
        Ok(())
    }
}
