//! The result of a run: the document's `CacheCleanupResult` under its names, with more beside them.
//! It is stored, published and printed as JSON, so its field names are a contract.

mod coverage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RunId};
use crate::memory::ByteEstimate;
use crate::messages::{AsReplica, Attempt, DeleteBackend};
use crate::metrics::{Alert, Finding, InactiveCaches, Metrics, Prefixes};

pub use coverage::{Coverage, Extent};

/// The version of the shape below. It grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything was covered and every candidate was dealt with.
    Completed,
    /// Something was not covered, not reached or not confirmed; `issues` and `coverage` say what.
    Partial,
    /// Nothing could be done.
    Failed,
    /// It was stopped before its end.
    Cancelled,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The final record of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run_id: RunId,
    /// The job's name.
    pub job: String,
    /// How it ended.
    pub status: Status,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Milliseconds from start to end.
    pub duration_ms: u64,
    /// Who or what started it.
    pub started_by: String,
    /// Which attempt at the job it is.
    pub attempt: Attempt,
    /// Whether actions were turned into reports.
    pub dry_run: bool,
    /// The action on stale keys: `delete`, `expire` or `report`.
    pub action: String,

    /// Matching keys that existed when looked at, protected ones included.
    pub scanned_keys: u64,
    /// Whether `scanned_keys` may hold keys twice, because a table was resized while it was read, a slot moved, or the server's cursors tell no positions.
    pub scanned_keys_approximate: bool,
    /// Keys of nodes that were skipped, of whatever pattern: none of them is without TTL, which the server knows.
    #[serde(default)]
    pub skipped_keys: u64,
    /// What is known of them.
    #[serde(default)]
    pub skipped: Skipped,
    /// Keys deleted.
    pub cleaned_keys: u64,
    /// Memory that was freed by that; in a run that only reports, that deleting what it found would free. Null if it is
    /// not known. MEMORY USAGE is asked, which looks at five members of a large value.
    #[serde(default)]
    pub freed_bytes: Option<ByteEstimate>,
    /// Keys without TTL found.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Those of them that no protected pattern keeps; null in results of earlier versions.
    #[serde(default)]
    pub stale_unprotected_keys: Option<u64>,
    /// Keys deleted because their user was inactive.
    pub inactive_user_caches: u64,
    /// The cache as it is after the run.
    pub current_metrics: CurrentMetrics,
    /// Advice, as sentences.
    pub recommendations: Vec<String>,
    /// Problems, as sentences.
    pub issues: Vec<String>,

    /// The same sentences, each with its rule and the figures that it rests on.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Alerts that hold after the run.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// What the run learned about the cache and its servers.
    #[serde(default)]
    pub metrics: Metrics,
    /// What was found of inactive users' caches.
    #[serde(default)]
    pub inactive: Box<InactiveCaches>,

    /// Who was read, if the run asked for replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_from: Option<ReadFromReplicas>,
    /// Where keys were saved before they were deleted, if they were.
    #[serde(default)]
    pub backup: Option<String>,
    /// How the run was held back for the sake of others.
    #[serde(default)]
    pub pacing: Pacing,
    /// How candidates were checked and acted on.
    #[serde(default)]
    pub delete_backend: DeleteBackend,
    /// What became of every candidate.
    pub accounting: Accounting,
    /// What had to be looked at once more, because it was not known whether what had been deleted there still was.
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

/// Keys that needed no look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Those that match, by the samples.
    pub matching_keys: u64,
    /// Matching keys that were looked at all the same, for the statistics.
    pub sampled_keys: u64,
    /// A share of them is off by so many points at most, 19 times out of 20; `None` if nothing was skipped.
    pub sample_error_percent: Option<f64>,
    /// Why they were skipped, if they were.
    pub why: Option<String>,
}

/// The cache as the run saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CurrentMetrics {
    /// Hits of the application, 0 to 100 % of its look-ups since the run before, or while this one went on where
    /// there was none; null without look-ups, and if it is not known within two points. `metrics.hitRates` has more
    /// windows, bounds and reasons.
    pub hit_rate: Option<f64>,
    /// Look-ups of the application that found a key, in the same time; null if that is not known.
    pub hits: Option<u64>,
    /// Look-ups of the application that found none, in the same time.
    pub misses: Option<u64>,
    /// Matching keys after the run: those found and not deleted. Null if not everything was read, and if a deletion is
    /// unconfirmed. It is approximate where `scannedKeysApproximate` is set or keys were skipped.
    pub total_keys: Option<u64>,
    /// Mean TTL of matching keys that have one, in seconds; null if none has, and if not everything was read.
    #[serde(rename = "avgTTL")]
    pub avg_ttl: Option<f64>,
}

/// Who was read by a run that asked for replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadFromReplicas {
    /// One row per primary of which something was read.
    pub nodes: Vec<ReadNode>,
}

/// Who was read in place of one primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadNode {
    /// The primary.
    pub node: NodeId,
    /// Its `host:port`.
    pub address: String,
    /// The replicas that were read.
    pub replicas: Vec<ReadReplica>,
    /// Scan tasks that read the primary all the same.
    pub primary_tasks: u64,
    /// Why they did, with the number of tasks.
    pub why_not: BTreeMap<String, u64>,
}

/// A replica that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadReplica {
    /// `host:port`.
    pub address: String,
    /// Scan tasks that read it.
    pub tasks: u64,
    /// The most bytes that it lacked when a task began.
    pub behind_bytes_max: u64,
    /// The longest time for which it had not heard of its primary then, in seconds.
    pub silent_seconds_max: u64,
    /// The longest time that a task waited until it lacked none of them, in milliseconds.
    pub waited_ms_max: u64,
}

/// How a run was held back, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pacing {
    /// `latency-budget` or `max-speed`; a rate limit may stand beside either.
    pub mode: String,
    /// How much the p99 of other clients' requests may grow, in milliseconds.
    pub latency_budget_ms: Option<u64>,
    /// Keys that may be read in a second.
    pub rate_limit: Option<u64>,
    /// Times that the share of a node's time was halved.
    pub slowed_down: u64,
    /// Milliseconds of waiting, added up over nodes and tasks.
    pub waited_ms: Waited,
    /// One row per node that was probed.
    pub nodes: Vec<PacedNode>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// Milliseconds of waiting by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waited {
    /// Nodes were left alone, so that others are served.
    pub latency: u64,
    /// Tasks waited for the rate limit.
    pub rate_limit: u64,
}

/// What probes of a node said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PacedNode {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Times that the share of its time was halved.
    pub slowed_down: u64,
    /// The lowest share of its time that was taken, above 0 and up to 1.
    pub lowest_share: f64,
    /// The median of the probes before the first work there, in milliseconds; null if it answered none.
    pub probe_ms_before: Option<f64>,
    /// The p99 of the probes while the run worked there, in milliseconds.
    pub probe_ms_p99: Option<f64>,
    /// Those probes.
    pub probes: u64,
    /// Those of them that took longer than before and the budget.
    pub late_probes: u64,
}

/// The balance: `candidates` is the sum of all the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accounting {
    /// Keys that a rule selected.
    pub candidates: u64,
    /// Deleted.
    pub deleted: u64,
    /// Given a TTL.
    pub expired: u64,
    /// No longer qualified at the moment of deletion.
    pub spared: u64,
    /// Hashes without a TTL of their own whose fields expire, when they were looked at or at the moment of deletion.
    #[serde(default)]
    pub field_ttl: u64,
    /// Were gone at the moment of deletion.
    pub vanished: u64,
    /// Kept by a protected pattern.
    pub protected: u64,
    /// Only reported.
    pub reported: u64,
    /// Could not be done.
    pub failed: u64,
    /// Not tried, because the run ended before.
    pub unreached: u64,
    /// Tried, and no answer says whether it was done.
    pub unconfirmed: u64,
    /// Whether the sum is right.
    pub balanced: bool,
}

/// Slots that were read again: a server failed, was restarted, or did not say what its history is, before its replicas were known to
/// have what had been deleted there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverRescan {
    /// The slots, as ranges such as `0-5460`; null if there were none, and on a standalone server, which is not read
    /// again within a run.
    pub rescanned: Option<String>,
    /// The servers, by their names in the cluster.
    pub replaced: Vec<NodeId>,
    /// Those that did not say whether what was deleted there is still deleted.
    #[serde(default)]
    pub unconfirmed: Vec<NodeId>,
    /// Keys deleted there again. They are not in `cleanedKeys`.
    pub redeleted: u64,
    /// What became of the candidates that were found there.
    pub accounting: Accounting,
}

impl Accounting {
    /// Whether every candidate has an outcome.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.outcomes() == self.candidates
    }

    /// Candidates of which it cannot be said that they were dealt with.
    #[must_use]
    pub fn undone(&self) -> u64 {
        self.failed.saturating_add(self.unreached).saturating_add(self.unconfirmed)
    }

    /// The sum of all outcomes.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.rows().iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// The outcomes by name, in the order in which they are shown.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 10] {
        [
            ("deleted", self.deleted),
            ("expired", self.expired),
            ("spared", self.spared),
            ("fieldTtl", self.field_ttl),
            ("vanished", self.vanished),
            ("protected", self.protected),
            ("reported", self.reported),
            ("failed", self.failed),
            ("unreached", self.unreached),
            ("unconfirmed", self.unconfirmed),
        ]
    }
}

/// A node's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Slots that it owned when the run was planned.
    pub slots: u64,
    /// How much of it was read: the figures below are of that. Null in results of earlier versions, and of a node that
    /// came to own slots after the plan.
    #[serde(default)]
    pub read: Option<Extent>,
    /// Keys listed there, of whatever pattern.
    pub listed_keys: u64,
    /// Matching keys there.
    pub scanned_keys: u64,
    /// Keys there that needed no look, of whatever pattern.
    #[serde(default)]
    pub skipped_keys: u64,
    /// Matching keys without TTL there.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Keys deleted there.
    pub cleaned_keys: u64,
    /// How it stood with its primary when the run was planned, if it is a replica; absent for a primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<AsReplica>,
}
