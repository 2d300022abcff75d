//! The messages and records that the stages exchange. A deployment is identified by its alias here, never by address
//! or secret.

mod action;
mod batch;
mod cancel;
mod counts;
mod fingerprint;
mod grant;
mod group;
mod inactive;
mod pacing;
mod plain;
mod policy;
mod receipt;
mod replica;
mod requested;
mod rule_examples;
mod source;
mod spec;
mod stated_rule;
mod statistics;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use crate::range::{CursorRange, Scope};
use crate::slot::SlotSet;

pub use action::{Action, ActionEffect, ActionRow, EFFECTS};
pub use batch::{Group, ReapBatch, Reason};
pub use cancel::{Cancel, CancelKind};
pub use counts::ScanCounts;
pub use fingerprint::Fingerprint;
pub use grant::{BatchHead, Grant};
pub use inactive::{ActivityRule, ActivitySource, InactivePolicy, InactiveRule, SampledUsers, UserMatching};
pub use pacing::NodePacing;
pub use policy::{Policy, RuleCounts};
pub use receipt::{GroupReceipt, Receipt, UnreplicatedWrites};
pub use replica::{AsReplica, Link};
pub use requested::RequestedOptions;
pub use rule_examples::{ExamplesByRule, RuleExamples};
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
    /// See [`ReapBatch::rule`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u16>,
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
    /// What was found of each rule, if the run has rules ([`Rules::policy`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleCounts>,
    /// Some keys that break rules, if the run asks for them ([`Policy::examples`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_examples: Vec<RuleExamples>,
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
            rules: Vec::new(),
            rule_examples: Vec::new(),
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
