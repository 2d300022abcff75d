//! What the state machine of a run takes in: records, notes, time, and the replies to its effects.

use keysweep_model::ids::{BatchId, NodeId};
use keysweep_model::messages::{Receipt, ScanTask};
use keysweep_model::outcome::Outcome;
use keysweep_redis::replication::ReplicationState;
use keysweep_storage::records::Record;
use keysweep_storage::task_notes::TaskNote;
use reporter::NodeReplicationId;

use super::plan_request::{NodeAnswer, PlanRequest};

/// One input of [`super::RunState::apply`].
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A record of the run, as the store delivers it. Records may be delivered repeatedly.
    Record(Box<Record>),
    /// The progress of a scanner. Notes may be late, repeated or lost.
    Note(TaskNote),
    /// Time has passed. Comes after every other input, once its effects are carried out, and at
    /// [`super::RunState::next_tick`].
    Tick,
    /// Reply to [`super::Effect::Append`] if the entry exists: another process is the leader.
    AppendRefused,
    /// Reply to [`super::Effect::Publish`].
    Published {
        /// The task.
        task: Box<ScanTask>,
        /// Whether the queue has accepted it.
        accepted: bool,
    },
    /// Reply to [`super::Effect::CreateReceipt`] if the batch had no receipt before.
    ReceiptCreated(Box<Receipt>),
    /// Reply to [`super::Effect::EndBatch`].
    BatchEnded {
        /// The batch.
        batch: OpenBatch,
        /// [`Outcome::Unreached`], or [`Outcome::Unconfirmed`] if a reaper may have attempted it.
        outcome: Outcome,
    },
    /// Reply to [`super::Effect::QueryNodes`].
    NodesQueried {
        /// The request.
        request: Box<PlanRequest>,
        /// The answers to its queries, in order; `None` for a query that failed.
        answers: Vec<Option<NodeAnswer>>,
    },
    /// Reply to [`super::Effect::QueryHistories`], with each history.
    HistoriesQueried(Vec<(NodeReplicationId, HistoryReply)>),
}

/// A batch whose receipt the run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBatch {
    /// The batch.
    pub batch: BatchId,
    /// The node of its task.
    pub node: NodeId,
    /// The scan generation of its task.
    pub scan_generation: u32,
}

/// What is known of a replication history at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryReply {
    /// Its node is not a primary of the cluster any more.
    NotPrimary,
    /// Its node does not answer.
    NoAnswer,
    /// Its node answers.
    Answered {
        /// The node's present replication id; `None` if it does not report one.
        replication_id: Option<String>,
        /// Whether its replicas have all writes.
        replicas: ReplicationState,
    },
}
