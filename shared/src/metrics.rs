//! What is known about a cache and its servers, as results, statistics and reports say it. JSON, so the field
//! names are a contract. Times are RFC 3339, UTC; rates and shares are percents, 0 to 100.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{NodeId, RunId};
use crate::messages::AsReplica;

/// Everything that a run learned beside what it cleaned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// How many of the application's look-ups found what they looked for.
    pub hit_rates: HitRates,
    /// How long the matching keys live on.
    pub ttl: TtlDistribution,
    /// How the number of matching keys changed; null if it is not known, and without an earlier run of the same keys.
    pub growth: Option<Growth>,
    /// Where the keys are.
    pub prefixes: Prefixes,
    /// The servers at the end of the run.
    pub redis_health: RedisHealth,
}

/// The hit rate over several windows, all of the same source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HitRates {
    /// Where the figures come from: `redis`, `hash` or `prometheus`.
    pub source: String,
    /// While the run went on.
    pub during_run: HitRateWindow,
    /// Since the run before; null without one, and if the counters could not be read at its end.
    pub since_last_run: Option<HitRateWindow>,
    /// The last 24 hours, as far as there are samples; null with fewer than two.
    pub last_day: Option<HitRateWindow>,
    /// The same over time, the oldest first.
    pub history: Vec<HitPoint>,
    /// Why the source could not be used, if it could not.
    pub problem: Option<String>,
    /// Which look-ups may count beside the application's reads of its cache; null where the application counts itself.
    pub includes: Option<String>,
}

impl HitRates {
    /// The window that speaks for now: since the run before, or of the run itself where there was none.
    #[must_use]
    pub fn current(&self) -> &HitRateWindow {
        self.since_last_run.as_ref().unwrap_or(&self.during_run)
    }
}

/// What the application looked up between two moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HitRateWindow {
    /// The beginning.
    pub from: String,
    /// The end.
    pub to: String,
    /// Hits in percent of look-ups: the middle of the bounds below. Null without look-ups, and if the bounds are more than
    /// two points apart.
    pub hit_rate: Option<f64>,
    /// The lowest that it may have been; null without look-ups, and if they are not known.
    pub hit_rate_min: Option<f64>,
    /// The highest.
    pub hit_rate_max: Option<f64>,
    /// Look-ups of the application; null if they are not known.
    pub lookups: Option<u64>,
    /// Those that found a key, by the rate above; null if that is not known. 0 without look-ups.
    pub hits: Option<u64>,
    /// Those that found none.
    pub misses: Option<u64>,
    /// Why the rate is not known although it was asked for; null if it is, and without look-ups.
    pub why_unknown: Option<String>,
    /// Errors that the application counted; null where the source knows none.
    pub errors: Option<u64>,
    /// Restarts, resets and failovers in between: what servers counted before them may be missing.
    pub resets: u32,
}

/// One stretch of time of a hit rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HitPoint {
    /// Its end.
    pub at: String,
    /// Null without look-ups, and if it is not known within two points.
    pub hit_rate: Option<f64>,
    /// Look-ups of the application; null if they are not known.
    pub lookups: Option<u64>,
}

/// How many seconds matching keys live on, of those that have a TTL. Percentiles are within 1 % of the exact ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TtlDistribution {
    /// Keys with a TTL.
    pub keys: u64,
    /// Half of them live on for at most so many seconds; null without keys. So for the others.
    pub p50: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// Keys by the seconds that they live on.
    pub histogram: Vec<TtlBucket>,
    /// Of the keys in the last fifth of the configured TTL, how many in percent were used in that time; null if
    /// too few were looked at, or the server does not keep idle times.
    pub read_late_percent: Option<f64>,
}

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TtlBucket {
    /// More than so many seconds.
    pub above: f64,
    /// At most so many; null for the last bar.
    pub up_to: Option<f64>,
    /// Keys.
    pub keys: u64,
}

/// A change of the number of matching keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// The last run before that counted the same keys.
    pub run_id: RunId,
    /// When it ended.
    pub since: String,
    /// Keys that it left.
    pub keys_before: u64,
    /// Keys that this run found.
    pub keys_now: u64,
    /// The change in percent; null from 0.
    pub percent: Option<f64>,
    /// The least that it may be, where one of the numbers is approximate; null if it may be from 0.
    #[serde(default)]
    pub percent_min: Option<f64>,
    /// The most.
    #[serde(default)]
    pub percent_max: Option<f64>,
}

impl Growth {
    /// Whether both numbers are exact. Results of earlier versions do not say.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let bounds = (self.percent_min, self.percent_max);
        bounds == (None, None) || bounds == (self.percent, self.percent)
    }
}

/// The heaviest beginnings of the keys that were read, which are all that match if the coverage is complete: up to the first and the second colon. Each figure has bounds, because it is found with
/// bounded memory, or by a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prefixes {
    /// By keys.
    pub by_keys: Heaviest,
    /// By keys without TTL.
    pub by_stale: Heaviest,
    /// By bytes of memory.
    pub by_memory: Heaviest,
    /// By bytes that the run freed; in one that only reports, that it would free.
    pub by_freed: Heaviest,
    /// Keys that are in the lists and were counted once more, because their slots were read again.
    pub dropped_keys: u64,
    /// Keys whose memory was asked for.
    pub sampled_keys: u64,
    /// Why memory is not known, if it is not.
    pub problem: Option<String>,
}

/// The heaviest prefixes by one measure, the heaviest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heaviest {
    /// The prefixes.
    pub rows: Vec<PrefixRow>,
    /// Of all keys together. Each key counts for its first and its second prefix, but once here.
    pub total: u64,
    /// That is at least so much.
    pub low: u64,
    /// And at most so much; null if that is not known.
    pub high: Option<u64>,
    /// Of keys: by how much each row may be too low. A prefix that is missing weighs no more than twice this, or than the
    /// last of many rows and this. Null of memory, where each row has bounds of its own.
    pub error_max: Option<u64>,
}

/// One prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrefixRow {
    /// The prefix with its last colon; what a screen does not show is escaped.
    pub prefix: String,
    /// Keys or bytes, by the best estimate.
    pub weight: u64,
    /// It is at least so much.
    #[serde(default)]
    pub low: u64,
    /// And at most so much; null if that is not known. No prefix has more than the shorter one that it begins with.
    #[serde(default)]
    pub high: Option<u64>,
    /// Keys that were counted, or measured. Rows that rest on fewer than ten are left out.
    #[serde(default)]
    pub samples: u64,
    /// A key that begins so.
    pub sample_key: Option<String>,
}

/// How a deployment, or a node, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every primary answers, and no memory is nearly full.
    Healthy,
    /// Some do not answer, or a memory is nearly full.
    Degraded,
    /// None answers.
    #[default]
    Unhealthy,
}

impl Health {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Redis, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedisHealth {
    /// How it is.
    pub status: Health,
    /// The slowest primary's answer to a PING, in milliseconds; null if none answered.
    pub latency: Option<f64>,
    /// The fullest primary's memory, 0 to 100 % of its limit; null without one.
    pub memory_usage_percent: Option<f64>,
    /// What is wrong, if anything is.
    pub problems: Vec<String>,
    /// Each primary.
    pub nodes: Vec<NodeHealth>,
}

/// One primary, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeHealth {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// How it is.
    pub status: Health,
    /// Its answer to a PING, in milliseconds.
    pub latency: Option<f64>,
    /// 0 to 100 % of its limit; null without one.
    pub memory_usage_percent: Option<f64>,
    /// Bytes of memory in use.
    pub used_memory_bytes: Option<u64>,
    /// Keys in the database, of whatever pattern.
    pub keys: Option<u64>,
    /// Those without TTL.
    pub keys_without_ttl: Option<u64>,
    /// How it stands with its primary, if it is a replica; absent for a primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<AsReplica>,
}

/// Whether a sentence advises or complains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// Advice: its sentence stands in `recommendations`.
    Recommendation,
    /// A problem: its sentence stands in `issues`.
    Issue,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// To be acted upon.
    Critical,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A recommendation or an issue with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which of both.
    pub kind: FindingKind,
    /// The rule that fired, such as `hit-rate-critical`.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// The sentence for people.
    pub sentence: String,
    /// The figures, limits included, by name.
    pub evidence: BTreeMap<String, Value>,
}

/// An alert that holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Names this alert, from raising to resolving.
    pub id: uuid::Uuid,
    /// Which alert, such as `stale-keys`.
    pub alert: String,
    /// The job.
    pub job: String,
    /// How much it matters.
    pub severity: Severity,
    /// The sentence for people, with the figures as they are now.
    pub sentence: String,
    /// Since when it holds.
    pub since: String,
    /// The figures, limits included, by name.
    pub evidence: BTreeMap<String, Value>,
}

/// What was found of inactive users' caches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InactiveCaches {
    /// Whether they were looked for.
    pub searched: bool,
    /// Why not, although it was asked for.
    pub refused: Option<String>,
    /// The source of activity, such as `zset:permissions:warming`.
    pub source: Option<String>,
    /// Users who were active within the threshold; null where the source does not say.
    pub active_users: Option<u64>,
    /// Keys with a TTL, and a user that the template tells, in the sample that the plan took; null if there were none.
    pub sampled_user_keys: Option<u64>,
    /// Those of active users among them, 0 to 100 %.
    pub sampled_active_percent: Option<f64>,
    /// Keys with a TTL of active users, which were left. Null, like all figures below, if they were not looked for.
    pub active_user: Option<u64>,
    /// Keys of inactive users that were found.
    pub found: Option<u64>,
    /// Keys of inactive users that expire soon by themselves, and were left.
    pub near_expiry: Option<u64>,
    /// Keys with a TTL whose user the template does not tell; they were left.
    pub unknown_user: Option<u64>,
    /// Keys with a TTL whose users seem inactive, in scan tasks that met no active user although the plan's sample did;
    /// they were left.
    pub held_back: Option<u64>,
}
