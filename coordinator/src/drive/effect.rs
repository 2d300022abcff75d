//! What the state machine of a run requests: writes, messages and queries. The executor carries them out in order.

use keysweep_model::ids::TaskId;
use keysweep_model::messages::{Cancel, Grant, Receipt, ScanTask, TaskReport};
use keysweep_model::result::CleanupResult;
use keysweep_storage::records::Decision;
use keysweep_storage::task_notes::ReadSoFar;
use reporter::NodeReplicationId;

use super::Progress;
use super::input::OpenBatch;
use super::plan_request::PlanRequest;

/// One effect of [`super::RunState::apply`]. A write to the records is done when the store has confirmed it. All writes
/// are idempotent, so a successor may repeat them.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the run log. It is carried out when it is read back from there, by this leader or its successor.
    Append {
        /// The number of the entry. Numbers rise by one.
        n: u64,
        /// The decision.
        decision: Decision,
    },
    /// Publish a scan task.
    Publish {
        /// The task.
        task: Box<ScanTask>,
        /// The id of the message: the queue drops a second message of the same id.
        id: String,
    },
    /// Store the report of an abandoned task, unless it has one.
    CreateReport(Box<TaskReport>),
    /// Store the receipt of a batch that did not act, unless it has one.
    CreateReceipt(Box<Receipt>),
    /// Let the batches of a task act.
    CreateGrant(Box<Grant>),
    /// Cancel the run, unless it is cancelled.
    CreateCancel(Cancel),
    /// Forbid further attempts at a batch, and report whether there was one.
    EndBatch(OpenBatch),
    /// Query nodes for what a list of tasks depends on.
    QueryNodes(Box<PlanRequest>),
    /// Query whether these replication histories still exist.
    QueryHistories(Vec<NodeReplicationId>),
    /// Store the progress for display. A failure is ignored.
    StoreProgress(ReadSoFar),
    /// Publish an event. A failure is ignored.
    Emit(RunEvent),
    /// Write to the process's log.
    Log(Notice),
    /// The run has ended with this result: stop.
    Finish(Box<CleanupResult>),
    /// Another process is the leader: stop.
    Yield,
}

/// An event of the run for subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The run has started. A successor emits it as well, because its predecessor may have failed before.
    Started,
    /// The leader of this epoch continues the run.
    TakenOver {
        /// The epoch; the first leader's is 1.
        epoch: u64,
    },
    /// The progress of the run.
    Progress(Box<Progress>),
}

/// A line in the log of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This leader continues the run of another one.
    TakenOver {
        /// Its epoch.
        epoch: u64,
    },
    /// The run is cancelled.
    Stopping {
        /// Why, for people.
        cause: String,
    },
    /// A report does not fit its task; its batches do not act.
    ReportRefused {
        /// The task.
        task: TaskId,
        /// Why, for people.
        cause: String,
    },
    /// Slots are scanned again.
    DeletionsLost {
        /// Histories that do not exist any more.
        replaced: usize,
        /// Histories of nodes that do not answer.
        unconfirmed: usize,
    },
}
