//! The spec of a run: its rules, nodes and guards, as it was started.

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use super::Policy;
use super::action::Action;
use super::inactive::{InactiveRule, SampledUsers};
use super::requested::RequestedOptions;
use crate::glob::Pattern;
use crate::ids::{Alias, NodeId, RunId};
use crate::key::{self, Key};
use crate::limits::FREED_ONE_IN;
use crate::messages::AsReplica;
use crate::slot::SlotSet;
use crate::wire::{FORMAT, FORMAT_RULES};

/// Which keys a run checks, and what it does with those that qualify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Keys that match none of these are ignored.
    pub patterns: Vec<Pattern>,
    /// Keys that match one of these are never touched.
    pub protect: Vec<Pattern>,
    /// Keys that keysweep itself reads from. They may match and have no TTL, but are ignored.
    pub sources: Vec<Key>,
    /// What happens to stale keys; [`Action::Report`] in a dry run.
    pub action: Action,
    /// How long a key must have been without TTL before it counts as stale, in milliseconds.
    pub grace_ms: u64,
    /// `COUNT` of SCAN and similar commands.
    pub scan_batch_keys: u32,
    /// The maximum number of keys that one script call deletes.
    pub delete_batch_keys: u32,
    /// Which keys with a TTL belong to inactive users; `None` if they are not looked for.
    pub inactive: Option<InactiveRule>,
    /// What must be unchanged since the scan for a key to be deleted. Absent if an earlier version planned the run.
    #[serde(default)]
    pub verify: Verify,
    /// The rules of a job that has rules instead of patterns. `patterns` and `protect` are empty then, and `action` is
    /// [`Action::Report`]: what does not know rules finds no key, and changes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// What must be unchanged since the scan for a key to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Verify {
    /// Its expiry.
    #[default]
    Ttl,
    /// Its expiry and its value, of which the scanner takes a fingerprint.
    Value,
}

impl Rules {
    /// Whether the key is checked: it matches a pattern, and is neither a key of keysweep nor one that keysweep reads
    /// from.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        !key::is_own(key) && self.patterns.iter().any(|pattern| pattern.matches(key)) && !self.is_source(key)
    }

    /// Whether it reads the key, so that it is no candidate of any rule.
    #[must_use]
    pub fn is_source(&self, key: &[u8]) -> bool {
        self.sources.iter().any(|source| source.as_bytes() == key)
    }

    /// Whether keys may be changed.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.policy.as_ref().map_or(self.action.writes(), Policy::writes)
    }

    /// Whether keys without TTL, or keys of rules, may be deleted.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.policy.as_ref().map_or(self.action.deletes(), Policy::deletes)
    }

    /// The patterns of all keys that may be looked at: those of the rules, or of the short form of one.
    #[must_use]
    pub fn all_patterns(&self) -> Cow<'_, [Pattern]> {
        self.policy.as_ref().map_or(Cow::Borrowed(&self.patterns), |policy| Cow::Owned(policy.patterns()))
    }

    /// Sets whether keys are only reported, or else `action` is done with stale ones; rules have their own.
    pub fn set_dry_run(&mut self, dry_run: bool, action: Action) {
        match &mut self.policy {
            Some(policy) => policy.dry_run = dry_run,
            None => self.action = if dry_run { Action::Report } else { action },
        }
    }

    /// What it does, in a word: the name of its action; `rules` if each rule has its own.
    #[must_use]
    pub fn action_name(&self) -> &'static str {
        if self.policy.is_some() { "rules" } else { self.action.name() }
    }

    /// Whether the key matches a protected pattern.
    #[must_use]
    pub fn protects(&self, key: &[u8]) -> bool {
        self.protect.iter().any(|pattern| pattern.matches(key))
    }
}

/// A node as the plan found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`, for people.
    pub address: String,
    /// The slots it owns; empty on a standalone server.
    pub slots: SlotSet,
    /// Keys in its database, including those that match no pattern.
    #[serde(deserialize_with = "super::counts::expected")]
    pub keys: u64,
    /// The server's process id (`run_id` of INFO). Cursors are only valid within one process.
    pub process: String,
    /// Its state, if it is a replica; absent for a primary, and from versions that did not query it.
    #[serde(default)]
    pub replica: Option<AsReplica>,
    /// How often SWAPDB was called there; `None` if the server does not report it, or an earlier version planned the
    /// run.
    #[serde(default)]
    pub swaps: Option<u64>,
}

/// A run as it was started. Stored once, before any task is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The run.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// The deployment.
    pub alias: Alias,
    /// Whether it is a cluster. Coverage is then counted in slots.
    pub cluster: bool,
    /// The logical database.
    pub db: u32,
    /// The rules.
    pub rules: Rules,
    /// Whether actions were turned into reports.
    pub dry_run: bool,
    /// The nodes.
    pub nodes: Vec<PlannedNode>,
    /// When the run started, in milliseconds since the epoch.
    pub started_at_ms: u64,
    /// The limits that stop the run.
    pub guards: Guards,
    /// The job's name in log lines.
    pub display_name: String,
    /// The user or client that started it, for people.
    pub started_by: String,
    /// Whether a schedule started it. Absent from earlier versions; their runs count as not scheduled.
    #[serde(default)]
    pub scheduled: bool,
    /// Which attempt of the job this is.
    pub attempt: Attempt,
    /// The source of activity, such as `zset:permissions:warming`, if inactive users were requested.
    pub activity_source: Option<String>,
    /// Why inactive users are not looked for, although they were requested.
    pub inactive_refused: Option<String>,
    /// The users of the plan's sample, also if inactive users are not looked for; `None` if the sample found no key
    /// with a user, or an earlier version planned the run.
    #[serde(default)]
    pub sampled_users: Option<SampledUsers>,
    /// The configuration of the application, for the recommendations.
    pub application: Application,
    /// Its rate limits.
    #[serde(default)]
    pub pacing: PacingLimits,
    /// Which servers scan tasks read from.
    #[serde(default)]
    pub read_from: ReadFrom,
    /// Whether the process that planned it accepted any certificate (`--insecure`).
    #[serde(default)]
    pub insecure: bool,
    /// Nodes that could not be reached when the run was planned. They are excluded from the run.
    #[serde(default)]
    pub unreachable_nodes: Vec<UnreachableNode>,
    /// Why the servers run no scripts, if so: see [`RunSpec::delete_backend`].
    #[serde(default)]
    pub scripts_refused: Option<String>,
    /// Whether keys are backed up before they are deleted.
    #[serde(default)]
    pub backup: Option<BackupPolicy>,
    /// How the memory of keys is measured.
    #[serde(default)]
    pub measure: Measure,
    /// Whether batches act only under a [`super::Grant`]. Absent from earlier versions: in their runs, a report is
    /// enough.
    #[serde(default)]
    pub grants: bool,
    /// Whether scan tasks also count keys by namespace.
    #[serde(default)]
    pub namespaces: bool,
    /// The request. Absent if an older version planned the run, which is then not retried.
    #[serde(default)]
    pub requested: Option<RequestedOptions>,
    /// The maximum number of keys that each rule deletes, by the number of the rule; `None` where there is no limit.
    /// Empty if the run has no rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_deletions_max: Vec<Option<u64>>,
}

impl RunSpec {
    /// The wire format. A run with rules uses a format that earlier workers and coordinators refuse, so that they leave
    /// the run alone: they would ignore its rules.
    #[must_use]
    pub fn format(&self) -> u8 {
        if self.rules.policy.is_some() { FORMAT_RULES } else { FORMAT }
    }

    /// The backend that checks and deletes candidates.
    #[must_use]
    pub fn delete_backend(&self) -> DeleteBackend {
        if self.scripts_refused.is_some() { DeleteBackend::Watch } else { DeleteBackend::Lua }
    }

    /// See [`super::ReapBatch::ledger_keys`]: as many candidates as one deletion call may have. Transactions use the
    /// ledgers of slots only.
    #[must_use]
    pub fn ledger_keys(&self) -> u32 {
        match self.delete_backend() {
            DeleteBackend::Lua => self.rules.delete_batch_keys,
            DeleteBackend::Watch => 0,
        }
    }
}

/// How the memory of keys is measured, by the plan's estimate. The default is that of a large run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Whether each matching key is measured.
    pub whole: bool,
    /// One in so many candidates is measured before it is deleted.
    pub freed_one_in: u64,
    /// Bytes of memory that the planned nodes used, if all of them reported it.
    pub used_memory: Option<u64>,
}

impl Default for Measure {
    fn default() -> Self {
        Self { whole: false, freed_one_in: FREED_ONE_IN, used_memory: None }
    }
}

/// The backend that checks and deletes candidates at their nodes. Chosen when a run is planned, for all of its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeleteBackend {
    /// A Lua script: check and effect in one step.
    #[default]
    Lua,
    /// WATCH transactions, which the server aborts if a checked key has changed: for servers that run no scripts.
    Watch,
}

/// Which servers scan tasks read keys and TTLs from. Deletions go to the primary, which checks every key again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFrom {
    /// The primary.
    #[default]
    Primary,
    /// A replica that has everything that the primary had when the task began; otherwise the primary.
    Replica {
        /// How long a task waits for the replica to catch up, in milliseconds.
        lag_max_ms: u64,
    },
}

/// A node that could not be reached when the run was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableNode {
    /// The cause: a sentence that contains its address.
    pub cause: String,
    /// Its slots, which are not covered.
    pub slots: SlotSet,
}

/// The backup of keys before they are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPolicy {
    /// The target, for people. Each worker takes its own target from its own settings.
    pub target: String,
    /// Keys that take more bytes than this are neither backed up nor deleted.
    pub value_bytes_max: u64,
}

/// The rate limits of a run. Without any, it runs at full speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacingLimits {
    /// How much the p99 latency of other clients may grow, in milliseconds; `None` without a budget.
    pub latency_budget_ms: Option<u64>,
    /// Keys that scan tasks may list per second, over all nodes and workers: the setting `rate_limit`. Tasks wait for it
    /// in `Pacer::acquire` (`shared/pacing/src/pacers.rs`).
    pub keys_per_s_max: Option<u64>,
}

impl PacingLimits {
    /// Whether there are no limits.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// The configuration of the application that uses the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The TTL that it sets, in milliseconds.
    pub configured_ttl_ms: u64,
    /// Whether a user configured that TTL, as opposed to the default. Absent if an earlier version planned the run. It
    /// is then unknown, and there are no recommendations by TTL.
    #[serde(default)]
    pub ttl_configured: bool,
    /// The source of its hits and misses.
    pub hit_rate: HitRateSource,
}

impl Application {
    /// The TTL that the application sets, in milliseconds, if a user configured it.
    #[must_use]
    pub fn known_ttl_ms(&self) -> Option<u64> {
        Some(self.configured_ttl_ms).filter(|_| self.ttl_configured)
    }
}

/// The source of hits and misses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitRateSource {
    /// Redis: INFO of all primaries.
    #[default]
    Redis,
    /// The application, in the fields `hits`, `misses` and `errors` of this hash.
    Hash(Key),
    /// Prometheus. Each worker takes its address and the queries from its own settings.
    Prometheus,
}

impl RunSpec {
    /// The runtime that counts against the limit, up to `now_ms`.
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

/// The limits that stop a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// The maximum number of deleted keys.
    pub deletions_max: Option<u64>,
    /// The maximum runtime, in milliseconds.
    pub runtime_max_ms: Option<u64>,
    /// The time from which the runtime counts, in milliseconds since the epoch; the start of the run if an earlier
    /// version planned it. It is later than the start by the time spent waiting for the user's confirmation.
    #[serde(default)]
    pub runtime_from_ms: Option<u64>,
}

/// The number of an attempt, and the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The maximum number of attempts.
    pub of: u32,
    /// The previous attempt, which failed.
    pub previous: Option<RunId>,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { number: 1, of: 1, previous: None }
    }
}
