//! A run as it was started: what it looks for, where, and what stops it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::inactive::{InactiveRule, SampledUsers};
use super::requested::RequestedOptions;
use crate::glob::Pattern;
use crate::ids::{Alias, NodeId, RunId};
use crate::key::{self, Key};
use crate::limits::FREED_ONE_IN;
use crate::messages::AsReplica;
use crate::slot::SlotSet;

/// What to do with a stale key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Delete it.
    Delete,
    /// Give it a TTL: `ttl_ms` plus up to `jitter_ms` at random.
    Expire {
        /// The TTL in milliseconds.
        ttl_ms: u64,
        /// The largest addition to it in milliseconds.
        jitter_ms: u64,
    },
    /// Only report it.
    Report,
}

impl Action {
    /// The word for it in settings, logs and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Expire { .. } => "expire",
            Self::Report => "report",
        }
    }

    /// Whether it changes anything in Redis.
    #[must_use]
    pub fn writes(self) -> bool {
        self != Self::Report
    }
}

/// Which keys a run looks at, and what it does with those that qualify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Keys that match none of these are not looked at.
    pub patterns: Vec<Pattern>,
    /// Keys that match one of these are never touched.
    pub protect: Vec<Pattern>,
    /// Keys that keysweep itself reads from: they may match, and have no TTL, but are not looked at.
    pub sources: Vec<Key>,
    /// What happens to stale keys; [`Action::Report`] in a dry run.
    pub action: Action,
    /// How long a key must have been without TTL before it counts as stale, in milliseconds.
    pub grace_ms: u64,
    /// `COUNT` of a listing command.
    pub scan_batch_keys: u32,
    /// Keys that one script call deletes at most.
    pub delete_batch_keys: u32,
    /// Which keys with a TTL belong to inactive users; `None` if they are not looked for.
    pub inactive: Option<InactiveRule>,
    /// What has to be the same as at the scan for a key to be deleted. Absent where an earlier version planned the run.
    #[serde(default)]
    pub verify: Verify,
}

/// What has to be the same at both looks for a key to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verify {
    /// When it expires.
    #[default]
    Ttl,
    /// And its value, of which the scanner takes a fingerprint.
    Value,
}

impl Verify {
    /// The word for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Value => "value",
        }
    }
}

impl Rules {
    /// Whether the key is looked at: it matches a pattern, and is neither our own nor one that we read from.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        !key::is_own(key)
            && self.patterns.iter().any(|pattern| pattern.matches(key))
            && !self.sources.iter().any(|source| source.as_bytes() == key)
    }

    /// Whether a protected pattern keeps the key.
    #[must_use]
    pub fn protects(&self, key: &[u8]) -> bool {
        self.protect.iter().any(|pattern| pattern.matches(key))
    }
}

/// A node as the plan saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`, for people.
    pub address: String,
    /// The slots it owns; empty on a standalone server.
    pub slots: SlotSet,
    /// Keys in its database, of whatever pattern.
    #[serde(deserialize_with = "super::counts::expected")]
    pub keys: u64,
    /// The server's process id (`run_id` of INFO): cursors belong to it.
    pub process: String,
    /// What it said of itself, if it is a replica; absent for a primary, and from versions that did not ask.
    #[serde(default)]
    pub replica: Option<AsReplica>,
    /// How often SWAPDB had been called there; `None` if the server does not tell, or an earlier version planned the run.
    #[serde(default)]
    pub swaps: Option<u64>,
}

/// A run as it was started. Stored once, before anything is handed out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The run.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// The deployment.
    pub alias: Alias,
    /// Whether it is a cluster, so that coverage is counted in slots.
    pub cluster: bool,
    /// The logical database.
    pub db: u32,
    /// What to look for and to do.
    pub rules: Rules,
    /// Whether actions were turned into reports.
    pub dry_run: bool,
    /// The nodes.
    pub nodes: Vec<PlannedNode>,
    /// When the run started, in milliseconds since the epoch.
    pub started_at_ms: u64,
    /// What stops the run by itself.
    pub guards: Guards,
    /// The job's name in log lines.
    pub display_name: String,
    /// Who or what started it, for people.
    pub started_by: String,
    /// Whether a schedule started it. Earlier versions do not say, and none of their runs counts as such.
    #[serde(default)]
    pub scheduled: bool,
    /// Which attempt at the job this is.
    pub attempt: Attempt,
    /// The source of activity, such as `zset:permissions:warming`, if inactive users were asked for.
    pub activity_source: Option<String>,
    /// Why inactive users are not looked for, although it was asked for.
    pub inactive_refused: Option<String>,
    /// Whose keys the plan's sample met, also where inactive users are then not looked for; `None` if it met no key with a
    /// user, and where an earlier version planned the run.
    #[serde(default)]
    pub sampled_users: Option<SampledUsers>,
    /// What the application is configured to do, for the recommendations.
    pub application: Application,
    /// How fast it may go.
    #[serde(default)]
    pub pace: Pace,
    /// Whom scan tasks ask.
    #[serde(default)]
    pub read_from: ReadFrom,
    /// Whether who planned it took any certificate (`--insecure`).
    #[serde(default)]
    pub insecure: bool,
    /// Nodes that could not be reached when the run was planned, so that it has no part there.
    #[serde(default)]
    pub unreachable_nodes: Vec<UnreachableNode>,
    /// Why the servers run no scripts, if they do not: see [`RunSpec::delete_backend`].
    #[serde(default)]
    pub scripts_refused: Option<String>,
    /// Whether what it deletes is saved before.
    #[serde(default)]
    pub backup: Option<BackupPolicy>,
    /// What is asked about the memory of keys.
    #[serde(default)]
    pub measure: Measure,
    /// Whether batches act only under a [`super::Grant`]. Earlier versions give none: in their runs, a report is enough.
    #[serde(default)]
    pub grants: bool,
    /// What was asked for. Without it, an older version has planned the run, and no further attempt is made at it.
    #[serde(default)]
    pub requested: Option<RequestedOptions>,
}

impl RunSpec {
    /// How candidates are checked and acted on.
    #[must_use]
    pub fn delete_backend(&self) -> DeleteBackend {
        if self.scripts_refused.is_some() { DeleteBackend::Watch } else { DeleteBackend::Lua }
    }
}

/// What is asked about the memory of keys, by what the plan estimated. The default is that of a large run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Whether each matching key is measured.
    pub whole: bool,
    /// One in so many candidates is measured before it is deleted.
    pub freed_one_in: u64,
    /// Bytes of memory that the planned nodes used, if all of them told.
    pub used_memory: Option<u64>,
}

impl Default for Measure {
    fn default() -> Self {
        Self { whole: false, freed_one_in: FREED_ONE_IN, used_memory: None }
    }
}

/// How candidates are checked and acted on at their nodes: chosen when a run is planned, for all of its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteBackend {
    /// By a script: check and effect in one step.
    #[default]
    Lua,
    /// By transactions that the server refuses if what was checked has changed: for servers that run no scripts.
    Watch,
}

/// Whom scan tasks ask for keys and TTLs. Deletions go to the primary, which checks every key again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFrom {
    /// The primary.
    #[default]
    Primary,
    /// A replica of it that has all that the primary had when the task began; the primary, where there is none.
    Replica {
        /// How long a task waits for that, in milliseconds.
        lag_max_ms: u64,
    },
}

/// A node that a run was planned without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableNode {
    /// What is wrong with it: a sentence that names its address.
    pub cause: String,
    /// The slots it serves, which are not covered.
    pub slots: SlotSet,
}

/// That keys are saved before they are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPolicy {
    /// Where, for people. Each worker knows its own place from its own settings.
    pub place: String,
    /// Keys that take more bytes than this are neither saved nor deleted.
    pub value_bytes_max: u64,
}

/// How fast a run may go. Without either limit, at full speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How much the p99 of other clients' requests may grow, in milliseconds; `None` if that does not matter.
    pub latency_budget_ms: Option<u64>,
    /// Keys that scan tasks may list in a second, over all nodes and workers.
    pub keys_per_s_max: Option<u64>,
}

impl Pace {
    /// Whether nothing holds the run back.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// What the application that uses the cache is configured to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The TTL that it sets, in milliseconds.
    pub configured_ttl_ms: u64,
    /// Whether a user set that TTL, and it is not the default. Absent where an earlier version planned the run: it is
    /// not known then, and nothing is advised by the TTL.
    #[serde(default)]
    pub ttl_configured: bool,
    /// Where its hits and misses are counted.
    pub hit_rate: HitRateSource,
}

impl Application {
    /// The TTL that the application sets, in milliseconds, if a user said which.
    #[must_use]
    pub fn known_ttl_ms(&self) -> Option<u64> {
        Some(self.configured_ttl_ms).filter(|_| self.ttl_configured)
    }
}

/// Where hits and misses are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitRateSource {
    /// By Redis itself: INFO of all primaries.
    #[default]
    Redis,
    /// By the application, in the fields `hits`, `misses` and `errors` of this hash.
    Hash(Key),
    /// By Prometheus; each worker knows its address and the queries from its own settings.
    Prometheus,
}

impl RunSpec {
    /// The time of the run that counts, up to the moment `now_ms`.
    #[must_use]
    pub fn runtime(&self, now_ms: u64) -> Duration {
        let from = self.guards.runtime_from_ms.unwrap_or(self.started_at_ms);
        Duration::from_millis(now_ms.saturating_sub(from))
    }

    /// Keys that the plan expects to list.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.nodes.iter().map(|node| node.keys).sum()
    }
}

/// What stops a run by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// Keys that may be deleted.
    pub deletions_max: Option<u64>,
    /// The time that it may take, in milliseconds.
    pub runtime_max_ms: Option<u64>,
    /// The moment from which that time counts, in milliseconds since the epoch; the start of the run where an earlier
    /// version has planned it. It is later than the start by as long as somebody was asked for an answer.
    #[serde(default)]
    pub runtime_from_ms: Option<u64>,
}

/// Which of how many attempts a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// How many there may be.
    pub of: u32,
    /// The attempt before, which failed.
    pub previous: Option<RunId>,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { number: 1, of: 1, previous: None }
    }
}
