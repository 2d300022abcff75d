//! The progress of a run, for display.

use keysweep_storage::task_notes::ReadSoFar;
use reporter::{Totals, WaitingBatches};
use serde::{Deserialize, Serialize};

use crate::run_phase::RunPhase;

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase.
    pub phase: RunPhase,
    /// Keys that the plan expects to list.
    pub keys: u64,
    /// The totals so far, exact: of tasks and batches that have ended.
    pub totals: Totals,
    /// Keys read so far, including those of tasks in flight as far as scanners report them; an estimate while tasks are in
    /// flight. Keys of skipped nodes count as listed.
    pub read: ReadSoFar,
}

impl Progress {
    /// The progress before the first task.
    #[must_use]
    pub fn start(keys: u64) -> Self {
        Self::new(RunPhase::Planned, keys, Totals::default(), ReadSoFar::default())
    }

    /// The progress by `totals`, and by the `estimate` of what all tasks have read.
    #[must_use]
    pub fn new(phase: RunPhase, keys: u64, totals: Totals, estimate: ReadSoFar) -> Self {
        let exact = exact(&totals);
        let read = match phase {
            // The estimate may include slots that have moved meanwhile: no more is shown than there is.
            RunPhase::Planned | RunPhase::Scanning => {
                exact.max(ReadSoFar { listed: estimate.listed.min(keys), ..estimate })
            }
            _ => exact,
        };
        Self { phase, keys, totals, read }
    }

    /// The progress by `totals`, and by what scanners report of tasks `in_flight`.
    pub(super) fn with_in_flight(phase: RunPhase, keys: u64, totals: Totals, in_flight: ReadSoFar) -> Self {
        Self::new(phase, keys, totals, exact(&totals).plus(in_flight))
    }

    /// The batches whose grace the run waits for, if there is nothing else to do.
    #[must_use]
    pub fn waits(&self) -> Option<WaitingBatches> {
        let waiting = self.totals.waiting;
        (self.phase == RunPhase::Reaping && waiting.keys > 0).then_some(waiting)
    }
}

/// What tasks with a report have read.
fn exact(totals: &Totals) -> ReadSoFar {
    let counts = &totals.counts;
    ReadSoFar { listed: counts.passed(), scanned: counts.scanned, stale: counts.stale }
}
