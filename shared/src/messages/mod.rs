//! What the stages tell each other. A cluster is named by its alias here, never by address or secret.

mod cancel;
mod counts;
mod fingerprint;
mod grant;
mod group;
mod inactive;
mod pacing;
mod plain;
mod receipt;
mod replica;
mod requested;
mod source;
mod spec;
mod statistics;

use serde::{Deserialize, Serialize, Serializer};

use crate::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use crate::key::Key;
use crate::range::{CursorRange, Scope};
use crate::slot::SlotSet;
use crate::wire::{self, FORMAT, FORMAT_VERIFIED, WireError};

pub use cancel::{Cancel, CancelKind};
pub use counts::ScanCounts;
pub use fingerprint::Fingerprint;
pub use grant::{BatchHead, Grant};
pub use inactive::{ActivityRule, ActivitySource, InactivePolicy, InactiveRule, SampledUsers, UserMatching};
pub use pacing::NodePacing;
pub use receipt::{GroupReceipt, Receipt, UnreplicatedWrites};
pub use replica::{AsReplica, Link};
pub use requested::RequestedOptions;
pub use source::ReadSource;
pub use spec::{
    Action, Application, Attempt, BackupPolicy, DeleteBackend, Guards, HitRateSource, Measure, Pace,
    PlannedNode, ReadFrom, Rules, RunSpec, UnreachableNode, Verify,
};

pub use statistics::{ScanStatistics, TTL_BARS_MS};

/// Keyspace counters of one node, in look-ups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookups {
    /// Look-ups that found a key.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Of both, our own by commands that applications read values with, too (GET, ZSCAN and others). The server's
    /// command statistics cannot tell them apart. Older workers do not say: theirs count as the application's.
    #[serde(default)]
    pub reads: u64,
}

impl Lookups {
    /// Look-ups by commands that read no value.
    #[must_use]
    pub const fn of(hits: u64, misses: u64) -> Self {
        Self { hits, misses, reads: 0 }
    }

    /// Look-ups by commands that read values.
    #[must_use]
    pub const fn reads(hits: u64, misses: u64) -> Self {
        Self { hits, misses, reads: hits.saturating_add(misses) }
    }

    /// Those that are not among `known`.
    #[must_use]
    pub const fn minus(self, known: Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(known.hits),
            misses: self.misses.saturating_sub(known.misses),
            reads: self.reads.saturating_sub(known.reads),
        }
    }

    /// Hits and misses.
    #[must_use]
    pub fn all(self) -> u64 {
        self.hits.saturating_add(self.misses)
    }
}

impl std::ops::AddAssign for Lookups {
    fn add_assign(&mut self, other: Self) {
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        self.reads = self.reads.saturating_add(other.reads);
    }
}

/// One short unit of scanning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanTask {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The deployment.
    pub alias: Alias,
    /// The node that the plan expects to serve it.
    pub node: NodeId,
    /// What to read.
    pub scope: Scope,
    /// Keys expected there.
    #[serde(deserialize_with = "counts::expected")]
    pub keys: u64,
    /// How often this part of the keyspace was planned before.
    pub reschedules: u32,
    /// Whether its keys need no look if the node has none without TTL, as it had none when this was planned.
    #[serde(default)]
    pub skip: bool,
    /// The round of reading; above 0 it is read once more, because what was deleted may have come back.
    #[serde(default)]
    pub scan_generation: u32,
}

/// Why a key is a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// It has no TTL.
    Stale,
    /// It belongs to a user who was not active for long.
    Inactive,
}

impl Reason {
    /// The word for it in outputs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Inactive => "inactive",
        }
    }

    /// Whether candidates for it are deleted in a run that does `action` with stale keys.
    #[must_use]
    pub fn is_deleted(self, action: Action) -> bool {
        self == Self::Inactive || action == Action::Delete
    }
}

/// Candidates of one slot: what one script call acts upon.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "group::GroupRecord")]
pub struct Group {
    /// The slot of all keys; 0 on standalone servers.
    pub slot: u16,
    /// Why they are candidates.
    pub reason: Reason,
    /// The keys.
    pub keys: Vec<Key>,
    /// For [`Reason::Inactive`]: when each key was to expire, in milliseconds of the server's clock. A key that
    /// expires later by now was refreshed, and is spared. Empty otherwise.
    pub expires_at_ms: Vec<u64>,
    /// What each key held at the scan, where only that may be deleted ([`Verify::Value`]); empty otherwise.
    pub fingerprints: Vec<Fingerprint>,
}

/// There are many of them, so they travel as rows, without the names of the columns. The last one is there only if it is
/// needed: earlier versions do not know it (see [`ReapBatch::format`]).
impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { slot, reason, keys, expires_at_ms, fingerprints } = self;
        if fingerprints.is_empty() {
            return (slot, reason, keys, expires_at_ms).serialize(serializer);
        }
        (slot, reason, keys, expires_at_ms, fingerprints).serialize(serializer)
    }
}

/// Candidates of one node, by slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReapBatch {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// The task whose [`Grant`] must list it before it may act.
    pub task: TaskId,
    /// The deployment.
    pub alias: Alias,
    /// The node that held the keys when they were seen.
    pub node: NodeId,
    /// The node's own time (milliseconds since the epoch) before which nothing may be done: the grace.
    pub not_before_ms: u64,
    /// The node's own time from which on nothing may be done any more.
    pub not_after_ms: u64,
    /// The candidates: at least one, and at most [`crate::limits::BATCH_KEYS_MAX`].
    #[serde(deserialize_with = "group::of_a_batch")]
    pub groups: Vec<Group>,
    /// The round of its task.
    #[serde(default)]
    pub scan_generation: u32,
}

impl ReapBatch {
    /// Candidates in the batch.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.groups.iter().map(|g| g.keys.len() as u64).sum()
    }

    /// The format in which it travels: with fingerprints, one that workers refuse which would not look at them, and
    /// delete other values.
    #[must_use]
    pub fn format(&self) -> u8 {
        if self.groups.iter().any(|group| !group.fingerprints.is_empty()) { FORMAT_VERIFIED } else { FORMAT }
    }

    /// Its message.
    ///
    /// # Errors
    /// When it is too large for one.
    pub fn encoded(&self) -> Result<Vec<u8>, WireError> {
        wire::encode_as(self.format(), self)
    }
}

/// Why a part of a task was not covered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueReason {
    /// The task held as many candidates as it may.
    Full,
    /// The slot moved, or was being moved.
    Unstable,
    /// The slot holds too many keys for one reply.
    Giant,
    /// The server did not list the slots in order.
    Unordered,
    /// The node has a key without TTL, so it is not skipped.
    HasPersistentKeys,
}

/// A part of a task that must be planned again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remainder {
    /// Why.
    pub reason: RequeueReason,
    /// What.
    pub scope: Scope,
    /// The pass over giant slots that hands them back, if one does: all its parts will.
    pub pass: Option<TaskId>,
}

/// Why a task was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// What happened, for people.
    pub cause: String,
    /// Whether the node itself failed, so that its other tasks would fail as well.
    pub node_failed: bool,
}

/// A batch as the report of its task lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedBatch {
    /// The batch.
    pub batch: BatchId,
    /// Candidates in it.
    pub keys: u64,
    /// Those of them that may be deleted, and not only given a TTL.
    pub deletes: u64,
    /// Of its message: the first 16 bytes of the SHA-256. Reapers pass over any other message of the same batch. Earlier
    /// versions give none, and then the counts decide alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u128>,
}

/// What came of a scan task. Stored once per task: the first attempt that stores it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The node that was read.
    pub node: NodeId,
    /// What was read completely.
    pub covered: Covered,
    /// What must be planned again.
    pub remainder: Vec<Remainder>,
    /// Set if the task was given up; nothing is covered then.
    pub lost: Option<TaskFailure>,
    /// Counts over what was covered.
    pub counts: ScanCounts,
    /// The batches that count.
    pub batches: Vec<ListedBatch>,
    /// Beginnings of keys that are too long, at most [`crate::limits::DETAILS_MAX`].
    pub long_keys: Vec<String>,
    /// Look-ups made, to be taken off the hit rate.
    pub lookups: Lookups,
    /// Whether keys may have been counted twice.
    pub approximate: bool,
    /// What was seen beside the counts.
    #[serde(default)]
    pub statistics: Box<ScanStatistics>,
    /// How the task was held back.
    #[serde(default)]
    pub pacing: Box<NodePacing>,
    /// Who was read, where the run asks for replicas.
    #[serde(default)]
    pub source: Option<Box<ReadSource>>,
    /// The round of the task.
    #[serde(default)]
    pub scan_generation: u32,
    /// The node's history that was read; only asked for above round 0.
    #[serde(default)]
    pub replication_id: Option<String>,
    /// Whether its batches hold fingerprints of values, as [`Verify::Value`] asks for. Earlier versions make none.
    #[serde(default)]
    pub verified: bool,
}

impl TaskReport {
    /// A report on `task` that covers nothing.
    #[must_use]
    pub fn blank(task: &ScanTask) -> Self {
        Self {
            scan_generation: task.scan_generation,
            ..Self::empty(task.run, task.task, task.node.clone(), None)
        }
    }

    /// The report that gives a task up which nobody reads any more.
    #[must_use]
    pub fn abandoned(run: RunId, task: TaskId, node: NodeId, loss: TaskFailure) -> Self {
        Self::empty(run, task, node, Some(loss))
    }

    fn empty(run: RunId, task: TaskId, node: NodeId, lost: Option<TaskFailure>) -> Self {
        Self {
            run,
            task,
            node,
            covered: Covered::Slots(SlotSet::new()),
            remainder: Vec::new(),
            lost,
            counts: ScanCounts::default(),
            batches: Vec::new(),
            long_keys: Vec::new(),
            lookups: Lookups::default(),
            approximate: false,
            statistics: Box::default(),
            pacing: Box::default(),
            source: None,
            scan_generation: 0,
            replication_id: None,
            verified: false,
        }
    }

    /// The report that gives `task` up.
    #[must_use]
    pub fn lost(task: &ScanTask, cause: impl Into<String>, node_failed: bool) -> Self {
        Self { lost: Some(TaskFailure { cause: cause.into(), node_failed }), ..Self::blank(task) }
    }
}

/// What a task read completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Covered {
    /// These slots.
    Slots(SlotSet),
    /// These parts of a table, as part of a pass over it.
    Ranges {
        /// The pass; all its parts together cover the table.
        pass: TaskId,
        /// The giant slots that the pass is for; none on a standalone server.
        slots: Option<SlotSet>,
        /// The parts.
        ranges: Vec<CursorRange>,
    },
}
