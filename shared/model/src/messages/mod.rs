//! The messages and records that the stages exchange. A deployment is identified by its alias here, never by address
//! or secret.

mod action;
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
mod stated_rule;
mod statistics;

use serde::{Deserialize, Serialize, Serializer};
use serde_bytes::ByteBuf;
use strum::IntoStaticStr;

use crate::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use crate::key::Key;
use crate::range::{CursorRange, Scope};
use crate::slot::SlotSet;
use crate::wire::{self, FORMAT, FORMAT_NODE_LEDGERS, FORMAT_VERIFIED, WireError};

pub use action::{ACTIONS, Action, ActionEffect, ActionRow};
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
    Application, Attempt, BackupPolicy, DeleteBackend, Guards, HitRateSource, Measure, PacingLimits,
    PlannedNode, ReadFrom, Rules, RunSpec, UnreachableNode, Verify,
};
pub use stated_rule::{Jitter, RuleAction, StatedRule};

pub use statistics::{ScanStatistics, TTL_BARS_MS};

/// Keyspace counters of one node, in lookups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookups {
    /// Lookups that found a key.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Lookups of both kinds made by keysweep with commands that applications also use to read values (GET, ZSCAN and
    /// others). The server's command statistics cannot distinguish them. Absent from older workers: their lookups
    /// count as the application's.
    #[serde(default)]
    pub reads: u64,
}

impl Lookups {
    /// Lookups by commands that read no value.
    #[must_use]
    pub const fn of(hits: u64, misses: u64) -> Self {
        Self { hits, misses, reads: 0 }
    }

    /// Lookups by commands that read values.
    #[must_use]
    pub const fn reads(hits: u64, misses: u64) -> Self {
        Self { hits, misses, reads: hits.saturating_add(misses) }
    }

    /// The lookups that are not among `known`.
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
    /// The slots or ranges to scan.
    pub scope: Scope,
    /// The expected number of keys.
    #[serde(deserialize_with = "counts::expected")]
    pub keys: u64,
    /// How often this part of the keyspace was planned before.
    pub reschedules: u32,
    /// Whether its keys may be skipped if the node has no key without TTL. The node had none when the task was
    /// planned.
    #[serde(default)]
    pub skip: bool,
    /// The scan generation. Above 0, the part is scanned again, because deletions may have been undone.
    #[serde(default)]
    pub scan_generation: u32,
}

/// Why a key is a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Reason {
    /// It has no TTL.
    Stale,
    /// It belongs to a user who is inactive.
    Inactive,
}

impl Reason {
    /// Whether candidates with this reason are deleted in a run that does `action` with stale keys.
    #[must_use]
    pub fn is_deleted(self, action: Action) -> bool {
        self == Self::Inactive || action.deletes()
    }
}

/// Candidates of one slot: the unit of one script call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "group::GroupRecord")]
pub struct Group {
    /// The slot of all keys; 0 on standalone servers.
    pub slot: u16,
    /// Why they are candidates.
    pub reason: Reason,
    /// The keys.
    pub keys: Vec<Key>,
    /// For [`Reason::Inactive`]: when each key was to expire, in milliseconds of the server's clock. A key that now
    /// expires later was refreshed, and is spared. Empty otherwise.
    pub expires_at_ms: Vec<u64>,
    /// The fingerprint of each key's value at the scan, if only an unchanged value may be deleted ([`Verify::Value`]);
    /// empty otherwise.
    pub fingerprints: Vec<Fingerprint>,
}

/// Serialized as a row without column names, because there are many groups. The last column is present only if it is
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
    /// The task. Its [`Grant`] must list the batch before the batch may act.
    pub task: TaskId,
    /// The deployment.
    pub alias: Alias,
    /// The node that held the keys at the scan.
    pub node: NodeId,
    /// The node's own time, in milliseconds since the epoch, before which the batch must not act: the end of the
    /// grace.
    pub not_before_ms: u64,
    /// The node's own time from which on the batch must not act: it has expired.
    pub not_after_ms: u64,
    /// The candidates: at least one, and at most [`crate::limits::BATCH_KEYS_MAX`].
    #[serde(deserialize_with = "group::of_a_batch")]
    pub groups: Vec<Group>,
    /// The scan generation of its task.
    #[serde(default)]
    pub scan_generation: u32,
    /// The most candidates of a node ledger ([`crate::ledger::node_ledgers`]); 0 if each group has only a ledger of its
    /// own, as where transactions delete and in batches of earlier versions.
    #[serde(default)]
    pub ledger_keys: u32,
}

impl ReapBatch {
    /// The number of candidates.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.groups.iter().map(|g| g.keys.len() as u64).sum()
    }

    /// The wire format. A batch with fingerprints or node ledgers uses a format that earlier workers refuse: they would
    /// ignore the fingerprints and delete changed values, or ignore the ledgers and count deleted keys as vanished.
    #[must_use]
    pub fn format(&self) -> u8 {
        match () {
            () if self.ledger_keys > 0 => FORMAT_NODE_LEDGERS,
            () if self.groups.iter().any(|group| !group.fingerprints.is_empty()) => FORMAT_VERIFIED,
            () => FORMAT,
        }
    }

    /// The encoded message.
    ///
    /// # Errors
    /// When it exceeds the size limit.
    pub fn encoded(&self) -> Result<Vec<u8>, WireError> {
        wire::encode_as(self.format(), self)
    }
}

/// Why a part of a task was not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemainderReason {
    /// The task reached its limit of candidates.
    Full,
    /// The slot moved or was migrating.
    Unstable,
    /// The slot contains too many keys for one reply.
    Giant,
    /// The node has a key without TTL, so it must not be skipped.
    HasPersistentKeys,
}

/// A part of a task that must be planned again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remainder {
    /// Why.
    pub reason: RemainderReason,
    /// The slots or ranges.
    pub scope: Scope,
    /// The scan of giant slots that returns them, if one does. All its parts are then planned again.
    pub pass: Option<TaskId>,
}

/// Why a task failed.
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
    /// The number of candidates in it.
    pub keys: u64,
    /// The number of candidates that may be deleted, as opposed to given a TTL.
    pub deletes: u64,
    /// The first 16 bytes of the SHA-256 of its message. Reapers ignore any other message of the same batch. Absent
    /// from earlier versions; then only the counts are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u128>,
}

/// The result of a scan task. Stored once per task: the first attempt that stores it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The node that was scanned.
    pub node: NodeId,
    /// What was scanned completely.
    pub covered: Covered,
    /// What must be planned again.
    pub remainder: Vec<Remainder>,
    /// Set if the task failed; nothing is covered then.
    pub lost: Option<TaskFailure>,
    /// Counts over what was covered.
    pub counts: ScanCounts,
    /// The batches that count.
    pub batches: Vec<ListedBatch>,
    /// Prefixes of keys that are too long, at most [`crate::limits::DETAILS_MAX`].
    pub long_keys: Vec<String>,
    /// Lookups made by the task, to be subtracted from the hit rate.
    pub lookups: Lookups,
    /// Whether keys may have been counted twice.
    pub approximate: bool,
    /// Statistics in addition to the counts.
    #[serde(default)]
    pub statistics: Box<ScanStatistics>,
    /// What pacing did during the task.
    #[serde(default)]
    pub pacing: Box<NodePacing>,
    /// The server that was read, if the run reads replicas.
    #[serde(default)]
    pub source: Option<Box<ReadSource>>,
    /// The scan generation of the task.
    #[serde(default)]
    pub scan_generation: u32,
    /// The node's replication id during the scan; only set above scan generation 0.
    #[serde(default)]
    pub replication_id: Option<String>,
    /// Whether its batches contain fingerprints of values, as [`Verify::Value`] requires. Earlier versions do not
    /// produce any.
    #[serde(default)]
    pub verified: bool,
    /// The keys by namespace, as `keysweep_inspect` encodes them, if the run asks for them ([`RunSpec::namespaces`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<ByteBuf>,
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

    /// The report that ends a task that no worker will scan any more.
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
            namespaces: None,
        }
    }

    /// The report that ends `task` as failed.
    #[must_use]
    pub fn lost(task: &ScanTask, cause: impl Into<String>, node_failed: bool) -> Self {
        Self { lost: Some(TaskFailure { cause: cause.into(), node_failed }), ..Self::blank(task) }
    }
}

/// What a task scanned completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Covered {
    /// These slots.
    Slots(SlotSet),
    /// Ranges of a cursor table, as part of a scan of the whole table.
    Ranges {
        /// The scan. All its parts together cover the table.
        pass: TaskId,
        /// The giant slots that are scanned; `None` on a standalone server.
        slots: Option<SlotSet>,
        /// The ranges.
        ranges: Vec<CursorRange>,
    },
}
