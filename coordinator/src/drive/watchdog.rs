//! What a driver does when time passes: hands tasks out, watches the guards, and ends what is lost.

use std::time::Duration;

use keysweep_model::ids::BatchId;
use keysweep_model::limits::{PROGRESS_EVERY, SO_FAR_EVERY, TASK_TIMES_MAX};
use keysweep_model::messages::{Cancel, CancelKind, Receipt, TaskFailure};
use keysweep_model::time::now_ms;
use keysweep_model::wire;
use keysweep_storage::queue::Topic;
use tokio::time::Instant;

use super::DriveError;
use super::driver::Driver;
use crate::run_events;

impl Driver<'_> {
    pub(super) async fn tick(&mut self) -> Result<(), DriveError> {
        self.check_runtime().await?;
        self.release().await?;
        let lost = self.dispatch.withdraw_lost(self.started.elapsed());
        let cause = format!("it was handed out {TASK_TIMES_MAX} times, and nobody reported it");
        self.abandon(&lost, &TaskFailure { cause, node_failed: false }).await?;
        self.grant().await?;
        self.give_up_batches().await?;
        self.check().await?;
        self.emit_progress().await;
        Ok(())
    }

    /// Tells subscribers and those who ask how far the run is. What cannot be told is no reason to stop.
    async fn emit_progress(&mut self) {
        if !self.context.distributed {
            return;
        }
        let progress = self.progress(self.spec.keys());
        let (at, before) = self.stored;
        if at.elapsed() >= SO_FAR_EVERY && progress.read != before {
            self.stored = (Instant::now(), progress.read);
            if let Err(e) = self.records.write_so_far(&progress.read).await {
                tracing::warn!(error = %e, "failed to store how far the run is");
            }
        }
        if self.last_progress_at.elapsed() >= PROGRESS_EVERY {
            self.last_progress_at = Instant::now();
            self.context.emit_event(&run_events::progress(&self.spec, &progress, now_ms())).await;
        }
    }

    /// Ends batches that are listed, can act no more, and have no receipt.
    async fn give_up_batches(&mut self) -> Result<(), DriveError> {
        let now = Instant::now();
        let due: Vec<BatchId> =
            self.batches.iter().filter(|(_, (at, ..))| *at <= now).map(|(b, _)| *b).collect();
        for batch in due {
            let Some((_, node, round)) = self.batches.remove(&batch) else { continue };
            if !self.fold.is_open_batch(batch) {
                continue;
            }
            // If its message comes after all, it is not tried any more.
            let outcome = self.records.end_untried(batch).await?;
            let cause = "its message was lost";
            let receipt = Receipt::whole(self.spec.run, batch, node, round, outcome, cause);
            self.records.create_receipt(&receipt).await?;
        }
        Ok(())
    }

    async fn release(&mut self) -> Result<(), DriveError> {
        while let Some((task, id)) = self.dispatch.release(self.started.elapsed()) {
            let payload = wire::encode(&task)?;
            if let Err(e) = self.context.queue.publish(Topic::Tasks, &id, payload).await {
                // Scanners make room without us, and a server that is down comes back.
                tracing::debug!(error = %e, "a scan task waits");
                self.dispatch.requeue(task, self.started.elapsed());
                break;
            }
        }
        Ok(())
    }

    /// Whether the deletions that reports list exceed the limit of the run.
    pub(super) fn deletes_too_many(&self) -> bool {
        self.spec.guards.deletions_max.is_some_and(|max| self.fold.deletions_possible() > max)
    }

    /// Stops the run before it deletes more than it may. Until then, nothing is granted that exceeds the limit.
    pub(super) async fn check_deletions(&mut self) -> Result<(), DriveError> {
        let Some(max) = self.spec.guards.deletions_max.filter(|_| self.deletes_too_many()) else {
            return Ok(());
        };
        if self.fold.cancel().is_some() {
            return Ok(());
        }
        let cause = format!(
            "{} keys qualify for deletion, more than the limit of {max}; raise --max-delete-percent to allow it",
            self.fold.deletions_possible()
        );
        self.records.create_cancel(&Cancel { kind: CancelKind::Guard, cause }).await?;
        Ok(())
    }

    /// Stops a run whose keys cannot be saved. Only of one that wants that: a reaper has no other say in when a run ends.
    pub(super) async fn stop_unsaved(&mut self, cause: &str) -> Result<(), DriveError> {
        if self.spec.backup.is_some() && self.fold.cancel().is_none() {
            let cancel = Cancel { kind: CancelKind::Backup, cause: wire::shortened(cause) };
            self.records.create_cancel(&cancel).await?;
        }
        Ok(())
    }

    async fn check_runtime(&mut self) -> Result<(), DriveError> {
        let max = self.spec.guards.runtime_max_ms.map(Duration::from_millis);
        if max.is_some_and(|max| self.before + self.started.elapsed() > max) && self.fold.cancel().is_none() {
            let cause = "the time that --max-runtime allows is over".to_owned();
            self.records.create_cancel(&Cancel { kind: CancelKind::Runtime, cause }).await?;
        }
        Ok(())
    }
}
