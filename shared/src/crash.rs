//! Named points at which a test cuts a worker off, to prove that the redelivery finishes its work.
//! Without a plan a point costs one comparison.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// The moments at which being cut off matters: before and after each thing that must happen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// A scanner has taken a task and done nothing yet.
    TaskTaken,
    /// A scanner has published its batches, but not the report that makes them count.
    BatchesPublished,
    /// A scanner has stored the report, but not acknowledged the task.
    ReportStored,
    /// A reaper has taken a batch and done nothing yet.
    BatchTaken,
    /// A reaper has run scripts for a part of the batch.
    ScriptsRun,
    /// A reaper has run all scripts, but not stored the receipt.
    ReceiptPending,
    /// A reaper has stored the receipt, but not acknowledged the batch.
    ReceiptStored,
    /// The reporter has folded everything, but not stored the result.
    ResultPending,
    /// The reporter has stored the result and told nobody.
    ResultStored,
}

impl CrashPoint {
    /// All of them, for tests that visit each.
    pub const ALL: [Self; 9] = [
        Self::TaskTaken,
        Self::BatchesPublished,
        Self::ReportStored,
        Self::BatchTaken,
        Self::ScriptsRun,
        Self::ReceiptPending,
        Self::ReceiptStored,
        Self::ResultPending,
        Self::ResultStored,
    ];
}

/// Where, and at which of its visits, a worker is cut off.
#[derive(Debug, Default)]
pub struct CrashPlan {
    armed: Option<(CrashPoint, u32)>,
    visits: AtomicU32,
    fired: Notify,
}

impl CrashPlan {
    /// A plan that cuts at the `visit`-th visit (from 1) of `point`, once.
    #[must_use]
    pub fn at(point: CrashPoint, visit: u32) -> Self {
        Self { armed: Some((point, visit)), ..Self::default() }
    }

    /// Passes `point`, or never returns if the plan says that the worker ends here.
    pub async fn pass(&self, point: CrashPoint) {
        if let Some((armed, visit)) = self.armed
            && armed == point
            && self.visits.fetch_add(1, Ordering::SeqCst) + 1 == visit
        {
            self.fired.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Whether the planned cut has happened.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.armed.is_some_and(|(_, visit)| self.visits.load(Ordering::SeqCst) >= visit)
    }

    /// Returns when a worker reached the planned point: whoever runs the workers drops them then.
    pub async fn fired(&self) {
        self.fired.notified().await;
    }
}
