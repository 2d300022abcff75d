//! Named points at which a test stops a worker, to show that a redelivery completes its work. Without a plan a point
//! costs one comparison.

use std::sync::atomic::{AtomicU32, Ordering};

use strum::VariantArray;
use tokio::sync::watch;
use tokio::task;

/// The points at which a stop matters: before and after each step that must take effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum FailPoint {
    /// A scanner has received a task and done nothing yet.
    TaskReceived,
    /// A scanner has published its batches, but not the report that makes them count.
    BatchesPublished,
    /// A scanner has stored the report, but not acknowledged the task.
    ReportStored,
    /// A reaper has received a batch and done nothing yet.
    BatchReceived,
    /// A reaper has written the backup of what it will delete, and deleted nothing yet. Only in runs with a backup.
    BackupWritten,
    /// A reaper has run scripts for a part of the batch.
    ScriptsRun,
    /// A reaper has run all scripts, but not stored the receipt.
    ReceiptPending,
    /// A reaper has stored the receipt, but not acknowledged the batch.
    ReceiptStored,
    /// The reporter has collected everything, but not stored the result.
    ResultPending,
    /// The reporter has stored the result, but not announced it.
    ResultStored,
}

impl FailPoint {
    /// All of them, for tests that visit each.
    pub const ALL: &'static [Self] = Self::VARIANTS;
}

/// A point, and the visit of it at which a worker is stopped.
#[derive(Debug, Default)]
pub struct FailPoints {
    armed: Option<(FailPoint, u32)>,
    visits: AtomicU32,
    /// The stopped task, until its runner notices: many workers wait for this plan, and only the stopped one may be
    /// dropped.
    cut: watch::Sender<Option<task::Id>>,
}

impl FailPoints {
    /// A plan that stops a worker at the `visit`-th visit (from 1) of `point`, once.
    #[must_use]
    pub fn at(point: FailPoint, visit: u32) -> Self {
        Self { armed: Some((point, visit)), ..Self::default() }
    }

    /// Visits `point`; never returns if the plan stops the worker here.
    pub async fn hit(&self, point: FailPoint) {
        if let Some((armed, visit)) = self.armed
            && armed == point
            && self.visits.fetch_add(1, Ordering::SeqCst) + 1 == visit
        {
            self.cut.send_replace(task::try_id());
            std::future::pending::<()>().await;
        }
    }

    /// Whether the planned stop has happened.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.armed.is_some_and(|(_, visit)| self.visits.load(Ordering::SeqCst) >= visit)
    }

    /// Returns when the worker in the calling task has reached the planned point; its runner then drops it.
    pub async fn fired(&self) {
        let ours = task::try_id();
        // It cannot be closed: `self` holds the sender.
        let _ = self.cut.subscribe().wait_for(|cut| cut.is_some() && *cut == ours).await;
        self.cut.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use keysweep_tasks::supervision::TaskGroup;

    #[tokio::test(start_paused = true)]
    async fn only_the_stopped_worker_is_notified_once() {
        let plan = Arc::new(FailPoints::at(FailPoint::TaskReceived, 1));
        let mut crew = TaskGroup::default();
        for worker in 0..3_u64 {
            let plan = Arc::clone(&plan);
            crew.start(worker.to_string(), async move {
                // The last to wait is the first to be stopped.
                tokio::time::sleep(Duration::from_secs(10 - worker)).await;
                let mut cuts = 0;
                loop {
                    tokio::select! {
                        () = async { plan.hit(FailPoint::TaskReceived).await; tokio::time::sleep(Duration::from_secs(60)).await } => break,
                        () = plan.fired() => cuts += 1,
                    }
                }
                let expected = u64::from(worker == 2);
                if cuts == expected { Ok(()) } else { Err(format!("worker {worker} was stopped {cuts} times")) }
            });
        }
        assert_eq!(crew.join().await, []);
        assert!(plan.has_fired());
    }
}
