//! The result of a run (`CacheCleanupResult` to the programs that subscribe to it). It is stored,
//! published and printed as JSON, so its field names are a contract.

mod accounting;
mod coverage;
mod pacing;
mod rules;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::ids::{NodeId, RunId};
use crate::memory::ByteEstimate;
use crate::messages::{AsReplica, Attempt, DeleteBackend};
use crate::metrics::{Alert, Finding, InactiveCaches, Metrics, Prefixes};

pub use accounting::Accounting;
pub use coverage::{Coverage, Extent};
pub use pacing::{PacedNode, Pacing, Waited};
pub use rules::{RuleName, RuleRow};

/// The version of the schema. It is incremented when a field changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// The final status of a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    /// Everything was covered and every candidate was handled.
    Completed,
    /// Something was not covered, not reached or not confirmed; see `issues` and `coverage`.
    Partial,
    /// The run could not work at all.
    Failed,
    /// It was stopped before its end.
    Cancelled,
}

/// The final record of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupResult {
    /// The version of this format: [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run_id: RunId,
    /// The job's name.
    pub job: String,
    /// The final status.
    pub status: Status,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Milliseconds from start to end.
    pub duration_ms: u64,
    /// The user or service that started it.
    pub started_by: String,
    /// The attempt at the job.
    pub attempt: Attempt,
    /// Whether actions were turned into reports.
    pub dry_run: bool,
    /// The action on stale keys: `delete`, `expire` or `report`; `rules` if each rule has its own.
    pub action: String,

    /// Matching keys that existed when they were read, including protected ones.
    pub scanned_keys: u64,
    /// Whether `scannedKeys` may count keys twice, because a table was resized during the scan, a slot moved, or the
    /// server's cursors are not positions.
    pub scanned_keys_approximate: bool,
    /// Keys of skipped nodes, including those that match no pattern: by the server's counters, none of them is without
    /// TTL.
    #[serde(default)]
    pub skipped_keys: u64,
    /// Details of the skipped keys.
    #[serde(default)]
    pub skipped: Skipped,
    /// Keys deleted.
    pub cleaned_keys: u64,
    /// Memory that the deletions freed; in a report-only run, that they would free. Null if unknown. Measured with
    /// MEMORY USAGE, which samples five members of a large value.
    #[serde(default)]
    pub freed_bytes: Option<ByteEstimate>,
    /// Keys without TTL found.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Those of them that match no protected pattern; null in results of earlier versions.
    #[serde(default)]
    pub stale_unprotected_keys: Option<u64>,
    /// Keys deleted because their user was inactive.
    pub inactive_user_caches: u64,
    /// The metrics of the cache after the run.
    pub current_metrics: CurrentMetrics,
    /// Advice, as sentences.
    pub recommendations: Vec<String>,
    /// Problems, as sentences.
    pub issues: Vec<String>,

    /// The same sentences, each with its rule and evidence.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Alerts that are firing after the run.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// Metrics of the cache and its servers.
    #[serde(default)]
    pub metrics: Metrics,
    /// What the run found of inactive users' caches.
    #[serde(default)]
    pub inactive: Box<InactiveCaches>,

    /// The servers that were read, if the run reads replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_from: Option<ReadFromReplicas>,
    /// The target of the backup, if keys were backed up before they were deleted.
    #[serde(default)]
    pub backup: Option<String>,
    /// How pacing limited the run.
    #[serde(default)]
    pub pacing: Pacing,
    /// The backend that checked and deleted candidates.
    #[serde(default)]
    pub delete_backend: DeleteBackend,
    /// The outcomes of all candidates.
    pub accounting: Accounting,
    /// One row per rule, in their order; empty if the job has the short form of one.
    #[serde(default)]
    pub rules: Vec<RuleRow>,
    /// What was scanned again, because earlier deletions there may have been undone.
    #[serde(default)]
    pub failover: FailoverRescan,
    /// What was read.
    pub coverage: Coverage,
    /// One row per node.
    pub nodes: Vec<NodeRow>,
}

impl CleanupResult {
    /// The result without prefixes, which are parts of keys.
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        self.metrics.prefixes = Prefixes::default();
        self
    }
}

/// Keys that were not read, because their node had none without TTL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Matching keys among them, by the samples.
    pub matching_keys: u64,
    /// Matching keys that were read nevertheless, for the statistics.
    pub sampled_keys: u64,
    /// The maximum error of a share among them, in percentage points, 19 times out of 20; null if nothing was
    /// skipped.
    pub sample_error_percent: Option<f64>,
    /// Why they were skipped.
    pub reason: Option<String>,
}

/// The metrics of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentMetrics {
    /// Hits of the application, 0 to 100 % of its lookups since the previous run, or during this one if there was
    /// none; null without lookups, and if it is not known within two points. `metrics.hitRates` has more windows,
    /// bounds and reasons.
    pub hit_rate: Option<f64>,
    /// Lookups of the application that found a key, in the same time; null if unknown.
    pub hits: Option<u64>,
    /// Lookups of the application that found none, in the same time.
    pub misses: Option<u64>,
    /// Matching keys after the run: those found and not deleted. Null if not everything was read, and if a deletion is
    /// unconfirmed. Approximate if `scannedKeysApproximate` is set or keys were skipped.
    pub total_keys: Option<u64>,
    /// Mean TTL of matching keys that have one, in seconds; null if none has, and if not everything was read.
    #[serde(rename = "avgTTL")]
    pub avg_ttl: Option<f64>,
}

/// The servers that were read by a run that reads replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadFromReplicas {
    /// One row per primary whose keys were read.
    pub nodes: Vec<ReadNode>,
}

/// The servers that were read for one primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadNode {
    /// The primary.
    pub node: NodeId,
    /// Its `host:port`.
    pub address: String,
    /// The replicas that were read.
    pub replicas: Vec<ReadReplica>,
    /// Scan tasks that read the primary instead.
    pub primary_tasks: u64,
    /// Why they did, with the number of tasks.
    pub primary_reasons: BTreeMap<String, u64>,
}

/// A replica that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadReplica {
    /// `host:port`.
    pub address: String,
    /// Scan tasks that read it.
    pub tasks: u64,
    /// The largest replication lag in bytes when a task began.
    pub behind_bytes_max: u64,
    /// The longest time since its last message from the primary then, in seconds.
    pub silent_seconds_max: u64,
    /// The longest time that a task waited for it to catch up, in milliseconds.
    pub waited_ms_max: u64,
}

/// Slots that were scanned again: a server failed, was restarted, or did not report its replication history, before
/// its replicas had confirmed the deletions there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailoverRescan {
    /// The slots, as ranges such as `0-5460`; null if there were none, and on a standalone server, which is not
    /// scanned again within a run.
    pub rescanned: Option<String>,
    /// The node ids of the servers.
    pub replaced: Vec<NodeId>,
    /// Those that did not report whether earlier deletions still hold.
    #[serde(default)]
    pub unconfirmed: Vec<NodeId>,
    /// Keys deleted there again. Not included in `cleanedKeys`.
    pub redeleted: u64,
    /// The outcomes of the candidates that were found there.
    pub accounting: Accounting,
}

/// The figures of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Slots that it owned when the run was planned.
    pub slots: u64,
    /// How much of it was read: the figures below refer to that part. Null in results of earlier versions, and for a
    /// node that received slots after the plan.
    #[serde(default)]
    pub read: Option<Extent>,
    /// Keys listed there, including those that match no pattern.
    pub listed_keys: u64,
    /// Matching keys there.
    pub scanned_keys: u64,
    /// Keys there that were skipped, including those that match no pattern.
    #[serde(default)]
    pub skipped_keys: u64,
    /// Matching keys without TTL there.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Keys deleted there.
    pub cleaned_keys: u64,
    /// The state of its replication when the run was planned, if it is a replica; absent for a primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<AsReplica>,
}
