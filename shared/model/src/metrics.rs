//! Metrics of a cache and its servers, in results, statistics and reports. JSON, so the field names are a contract.
//! Times are RFC 3339, UTC; rates and shares are percentages, 0 to 100.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{Display, IntoStaticStr};

use crate::ids::{NodeId, RunId};
use crate::messages::AsReplica;
use crate::result::RuleName;
use crate::ttl_advice::SampledTtlAdvice;

/// Everything that a run measured, in addition to what it cleaned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// The hit rate of the application's lookups.
    pub hit_rates: HitRates,
    /// The remaining TTLs of matching keys.
    pub ttl: TtlDistribution,
    /// The change of the number of matching keys; null if unknown, and without an earlier run of the same keys.
    pub growth: Option<Growth>,
    /// The distribution of keys over prefixes.
    pub prefixes: Prefixes,
    /// The servers at the end of the run.
    pub redis_health: RedisHealth,
    /// The latest TTL advice from what a service looked at; null if there is none.
    pub ttl_advice: Option<Box<SampledTtlAdvice>>,
}

/// The hit rate over several windows, all from the same source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HitRates {
    /// The source: `redis`, `hash` or `prometheus`.
    pub source: String,
    /// During the run.
    pub during_run: HitRateWindow,
    /// Since the previous run; null without one, and if the counters could not be read at its end.
    pub since_last_run: Option<HitRateWindow>,
    /// The last 24 hours, as far as there are snapshots; null with fewer than two.
    pub last_day: Option<HitRateWindow>,
    /// The hit rate over time, the oldest window first.
    pub history: Vec<HitPoint>,
    /// Why the source could not be used, if it failed.
    pub problem: Option<String>,
    /// Lookups that may be included in addition to the application's reads of its cache; null if the application
    /// counts.
    pub includes: Option<String>,
}

impl HitRates {
    /// The most relevant window: since the previous run, or during this run if there was none.
    #[must_use]
    pub fn current(&self) -> &HitRateWindow {
        self.since_last_run.as_ref().unwrap_or(&self.during_run)
    }
}

/// The application's lookups between two times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HitRateWindow {
    /// The beginning.
    pub from: String,
    /// The end.
    pub to: String,
    /// Hits in percent of lookups: the middle of the bounds below. Null without lookups, and if the bounds are more
    /// than two points apart.
    pub hit_rate: Option<f64>,
    /// The lower bound; null without lookups, and if unknown.
    pub hit_rate_min: Option<f64>,
    /// The upper bound.
    pub hit_rate_max: Option<f64>,
    /// Lookups of the application; null if unknown.
    pub lookups: Option<u64>,
    /// Those that found a key, by the rate above; null if unknown. 0 without lookups.
    pub hits: Option<u64>,
    /// Those that found none.
    pub misses: Option<u64>,
    /// Why a requested rate is unknown; null if it is known, and without lookups.
    pub unknown_reason: Option<String>,
    /// Errors that the application counted; null if the source does not count them.
    pub errors: Option<u64>,
    /// Restarts, resets and failovers in between: earlier counts of servers may be missing.
    pub resets: u32,
}

/// One window of the history of a hit rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HitPoint {
    /// Its end.
    pub at: String,
    /// Null without lookups, and if it is not known within two points.
    pub hit_rate: Option<f64>,
    /// Lookups of the application; null if unknown.
    pub lookups: Option<u64>,
}

/// The remaining TTLs of matching keys, in seconds, of those that have one. Percentiles have a relative error of at
/// most 1 %.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TtlDistribution {
    /// Keys with a TTL.
    pub keys: u64,
    /// The median; null without keys, like the other percentiles.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// Keys by remaining TTL.
    pub histogram: Vec<TtlBucket>,
    /// Of the keys in the last fifth of the configured TTL, the percentage that was accessed in that time; null if the
    /// sample is too small, or the server does not keep idle times.
    pub read_late_percent: Option<f64>,
}

/// One bucket of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlBucket {
    /// The exclusive lower bound, in seconds.
    pub above: f64,
    /// The inclusive upper bound; null for the last bucket.
    pub up_to: Option<f64>,
    /// Keys.
    pub keys: u64,
}

/// A change of the number of matching keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// The last earlier run that counted the same keys.
    pub run_id: RunId,
    /// When it ended.
    pub since: String,
    /// The keys that it left.
    pub keys_before: u64,
    /// The keys that this run found.
    pub keys_now: u64,
    /// The change in percent; null from 0.
    pub percent: Option<f64>,
    /// The lower bound, if one of the numbers is approximate; null if the earlier number may be 0.
    #[serde(default)]
    pub percent_min: Option<f64>,
    /// The upper bound.
    #[serde(default)]
    pub percent_max: Option<f64>,
}

impl Growth {
    /// Whether both numbers are exact; unknown in results of earlier versions.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let bounds = (self.percent_min, self.percent_max);
        bounds == (None, None) || bounds == (self.percent, self.percent)
    }
}

/// The heaviest prefixes of the keys that were read, which are all matching keys if the coverage is complete: up to
/// the first and the second colon. Each figure has bounds, because it comes from a sketch of bounded memory, or from a
/// sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Prefixes {
    /// By keys.
    pub by_keys: Heaviest,
    /// By keys without TTL.
    pub by_stale: Heaviest,
    /// By bytes of memory.
    pub by_memory: Heaviest,
    /// By bytes that the run freed; in a report-only run, that it would free.
    pub by_freed: Heaviest,
    /// Keys that are included and were counted again, because their slots were read again.
    pub dropped_keys: u64,
    /// Keys whose memory was measured.
    pub sampled_keys: u64,
    /// Why memory is unknown, if it is.
    pub problem: Option<String>,
}

/// The heaviest prefixes by one measure, the heaviest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Heaviest {
    /// The prefixes.
    pub rows: Vec<PrefixRow>,
    /// The total over all keys. Each key counts for its first and its second prefix, but once here.
    pub total: u64,
    /// The lower bound of the total.
    pub low: u64,
    /// The upper bound of the total; null if unknown.
    pub high: Option<u64>,
    /// For keys: by how much each row may be too low. A missing prefix weighs at most twice this, or at most as much
    /// as the last of many rows plus this. Null for memory, where each row has its own bounds.
    pub error_max: Option<u64>,
}

/// One prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrefixRow {
    /// The prefix with its last colon; unprintable bytes are escaped.
    pub prefix: String,
    /// The estimate, in keys or bytes.
    pub weight: u64,
    /// The lower bound.
    #[serde(default)]
    pub low: u64,
    /// The upper bound; null if unknown. No prefix has more than the shorter one that it begins with.
    #[serde(default)]
    pub high: Option<u64>,
    /// Keys that were counted, or measured. Rows with fewer than ten are omitted.
    #[serde(default)]
    pub samples: u64,
    /// A key with this prefix.
    pub sample_key: Option<String>,
}

/// The health of a deployment, or of a node.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Health {
    /// Every primary answers, and none is nearly full.
    Healthy,
    /// Some do not answer, or are nearly full.
    Degraded,
    /// None answers.
    #[default]
    Unhealthy,
}

/// The health of Redis at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RedisHealth {
    /// The overall status.
    pub status: Health,
    /// The slowest primary's PING latency, in milliseconds; null if none answered.
    pub latency: Option<f64>,
    /// The fullest primary's memory usage, 0 to 100 % of its limit; null without one.
    pub memory_usage_percent: Option<f64>,
    /// The problems, if there are any.
    pub problems: Vec<String>,
    /// Each primary.
    pub nodes: Vec<NodeHealth>,
}

/// The health of one primary at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeHealth {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Its status.
    pub status: Health,
    /// Its PING latency, in milliseconds.
    pub latency: Option<f64>,
    /// 0 to 100 % of its limit; null without one.
    pub memory_usage_percent: Option<f64>,
    /// Bytes of memory in use.
    pub used_memory_bytes: Option<u64>,
    /// Keys in the database, including those that match no pattern.
    pub keys: Option<u64>,
    /// Those without TTL.
    pub keys_without_ttl: Option<u64>,
    /// The state of its replication, if it is a replica; absent for a primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<AsReplica>,
}

/// Whether a finding is advice or a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// Advice: its message is listed in `recommendations`.
    Recommendation,
    /// A problem: its message is listed in `issues`.
    Issue,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// For information.
    Info,
    /// Should be checked.
    Warning,
    /// Requires action.
    Critical,
}

/// A recommendation or an issue, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// The finding rule that fired, such as `hit-rate-critical`.
    pub rule: String,
    /// Its severity.
    pub severity: Severity,
    /// The text for people.
    pub message: String,
    /// The figures, limits included, by name.
    pub evidence: BTreeMap<String, Value>,
    /// The rule of the job that it is about; absent if it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rule: Option<RuleName>,
}

/// A firing alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The id of this alert, from raising to resolving.
    pub id: uuid::Uuid,
    /// The rule, such as `stale-keys`.
    pub alert: String,
    /// The job.
    pub job: String,
    /// Its severity.
    pub severity: Severity,
    /// The text for people, with the current figures.
    pub message: String,
    /// Since when it is firing.
    pub since: String,
    /// The figures, limits included, by name.
    pub evidence: BTreeMap<String, Value>,
    /// The rule of the job that it is about; absent if it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rule: Option<RuleName>,
}

/// What the run found of inactive users' caches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InactiveCaches {
    /// Whether it searched for them.
    pub searched: bool,
    /// Why not, although it was requested.
    pub refused: Option<String>,
    /// The source of activity, such as `zset:permissions:warming`.
    pub source: Option<String>,
    /// Users who were active within the threshold; null if the source does not contain users.
    pub active_users: Option<u64>,
    /// Keys with a TTL in the plan's sample from which the template extracts a user; null if there were none.
    pub sampled_user_keys: Option<u64>,
    /// Those of active users among them, 0 to 100 %.
    pub sampled_active_percent: Option<f64>,
    /// Keys with a TTL of active users, which were kept. Null, like all figures below, if the run did not search.
    pub active_user: Option<u64>,
    /// Keys of inactive users that were found.
    pub found: Option<u64>,
    /// Keys of inactive users that expire soon, and were kept.
    pub near_expiry: Option<u64>,
    /// Keys with a TTL from which the template extracts no user; they were kept.
    pub unknown_user: Option<u64>,
    /// Keys with a TTL whose users seem inactive, in scan tasks that found no active user although the plan's sample
    /// did; they were kept.
    pub no_active_user: Option<u64>,
}
