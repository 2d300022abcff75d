//! What the driver does when time passes: it publishes tasks, enforces limits, and ends what is lost.

use std::time::Duration;

use keysweep_model::messages::{Cancel, CancelKind, Receipt, ScanTask};
use keysweep_model::outcome::Outcome;
use keysweep_model::wire;

use super::effect::{Effect, RunEvent};
use super::input::OpenBatch;
use super::run_state::RunState;
use crate::limits::{PROGRESS_EVERY, SO_FAR_EVERY, TASK_TIMES_MAX};

impl RunState {
    pub(super) fn tick(&mut self) {
        if !self.live {
            return;
        }
        self.check_deletions();
        self.check_runtime();
        self.release();
        self.abandon_lost_tasks();
        self.grant();
        self.end_lost_batches();
        self.check_failover();
        self.report_progress();
    }

    /// Publishes the next task, if one is due. The reply brings the one after it.
    fn release(&mut self) {
        if let Some((task, id)) = self.dispatch.release(self.now) {
            self.effects.push(Effect::Publish { task: Box::new(task), id });
        }
    }

    /// Continues with the next task.
    pub(super) fn published(&mut self) {
        self.release();
    }

    /// Takes back a task that the queue did not accept, until the next tick: workers make room, and a server that is
    /// down comes back.
    pub(super) fn refused(&mut self, task: ScanTask) {
        self.dispatch.requeue(task, self.now);
    }

    fn abandon_lost_tasks(&mut self) {
        let lost = self.dispatch.withdraw_lost(self.now);
        self.abandon(&lost, &format!("it was handed out {TASK_TIMES_MAX} times without a report"));
    }

    /// Ends batches that are listed, can act no more, and have no receipt.
    fn end_lost_batches(&mut self) {
        let due = self.batches.iter().filter(|(_, (lost_at, _))| *lost_at <= self.now);
        let due: Vec<_> = due.map(|(batch, _)| *batch).collect();
        for batch in due {
            let Some((_, open)) = self.batches.remove(&batch) else { continue };
            if self.recorded.fold.is_open_batch(batch) {
                self.effects.push(Effect::EndBatch(open));
            }
        }
    }

    /// Stores the receipt of a batch that was lost. If its message arrives after that, it is not tried.
    pub(super) fn batch_ended(&mut self, batch: OpenBatch, outcome: Outcome) {
        let OpenBatch { batch, node, scan_generation } = batch;
        let cause = "its message was lost";
        let receipt = Receipt::whole(self.spec.run, batch, node, scan_generation, outcome, cause);
        self.effects.push(Effect::CreateReceipt(Box::new(receipt)));
    }

    /// Cancels a run whose keys cannot be backed up, if it requires a backup, or cannot be recorded in the state file.
    /// Workers can cancel a run in no other way, and those of other processes keep no state file.
    pub(super) fn backup_failed(&mut self, cause: &str) {
        if self.spec.backup.is_some() || self.config.one_process {
            self.cancel(Cancel { kind: CancelKind::Backup, cause: wire::shortened(cause) });
        }
    }

    fn check_runtime(&mut self) {
        let max = self.spec.guards.runtime_max_ms.map(Duration::from_millis);
        if max.is_some_and(|max| self.config.runtime_before + self.now > max) {
            let cause = "the time that --max-runtime allows is over".to_owned();
            self.cancel(Cancel { kind: CancelKind::Runtime, cause });
        }
    }

    /// Publishes the progress for other processes.
    fn report_progress(&mut self) {
        if !self.config.publishes {
            return;
        }
        let progress = self.progress(self.spec.keys());
        let (stored_at, stored) = self.progress_stored;
        if self.now.saturating_sub(stored_at) >= SO_FAR_EVERY && progress.read != stored {
            self.progress_stored = (self.now, progress.read);
            self.effects.push(Effect::StoreProgress(progress.read));
        }
        if self.now.saturating_sub(self.progress_emitted_at) >= PROGRESS_EVERY {
            self.progress_emitted_at = self.now;
            self.effects.push(Effect::Emit(RunEvent::Progress(Box::new(progress))));
        }
    }
}
