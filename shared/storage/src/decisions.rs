//! The last decisions about when a job runs next, kept so that they can be explained: one entry per job, under
//! `decisions/<job>`, as JSON.

use keysweep_model::wire;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{self, Entry, Store, StoreError};

/// How many are kept.
pub const DECISIONS_KEPT: usize = 10;

/// A decision about when the next run starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// When it was made, RFC 3339, UTC.
    pub decided_at: String,
    /// When the next run starts, RFC 3339, UTC; not later than `decidedAt` if it is due.
    pub next: String,
    /// What decided: `first` (there is no run to learn from), `surplus` (keys without TTL), `memory` (its forecast),
    /// `growth` (the rate at which stale keys arrive), or `balance` (that rate and the cost of a run).
    pub law: String,
    /// How many stale keys there may be.
    pub threshold: u64,
    /// Stale keys by the keys without TTL that servers count; null if that is not used.
    pub surplus: Option<u64>,
    /// Why it is not used; null if it is. Its wording can change between versions.
    pub held: Option<String>,
    /// The rate at which stale keys arrive; null until two complete runs are known.
    pub growth: Option<GrowthPerMinute>,
    /// The memory usage of the fullest server; null if it has no limit, or if too little is known of it.
    #[serde(default)]
    pub memory: Option<MemoryTrend>,
    /// The stale keys that are expected at `next`; null if unknown.
    pub expected: Option<u64>,
    /// The interval by the growth, before jitter and quiet windows.
    pub interval_seconds: u64,
    /// The interval that was decided before the last run; null if there was none.
    pub previous_interval_seconds: Option<u64>,
    /// What limits that interval: `minInterval`, `maxInterval`, `step`, `deadBand`, `uselessRuns` or `unknownGrowth`; null
    /// if nothing does.
    pub limited_by: Option<String>,
    /// What moved the time: `afterQuiet`, `beforeQuiet` or `failures`; null if nothing did.
    pub moved_by: Option<String>,
    /// The start of the run that it follows, RFC 3339, UTC; null if there was none.
    pub last_run: Option<String>,
    /// The decision as a sentence. Its wording can change between versions.
    pub sentence: String,
}

/// The memory usage of the fullest server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryTrend {
    /// In percent of its limit.
    pub percent: f64,
    /// By how many points it grows in an hour; negative if it falls.
    pub points_per_hour: f64,
}

/// Stale keys that arrive per minute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrowthPerMinute {
    /// The estimate.
    pub estimate: f64,
    /// Above this with a probability of 90 %.
    pub low: f64,
    /// Below this with a probability of 90 %.
    pub high: f64,
}

impl DecisionRecord {
    /// Whether `other` says the same: times and names, apart from figures that change with every count of keys.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let said = |of: &Self| (of.next.clone(), of.law.clone(), of.last_run.clone(), of.interval_seconds);
        said(self) == said(other)
            && (&self.held, &self.limited_by, &self.moved_by)
                == (&other.held, &other.limited_by, &other.moved_by)
    }
}

/// The decisions about a job, the oldest first.
///
/// # Errors
/// If the store fails.
pub async fn of(store: &dyn Store, job: &str) -> Result<Vec<DecisionRecord>, StoreError> {
    Ok(store.get(&key(job)).await?.as_ref().map(read).unwrap_or_default())
}

/// Keeps a decision, unless it says the same as the last one; `false` then.
///
/// # Errors
/// If the store fails.
pub async fn keep(store: &dyn Store, job: &str, decision: &DecisionRecord) -> Result<bool, StoreError> {
    loop {
        let before = store.get(&key(job)).await?;
        let mut kept = before.as_ref().map(read).unwrap_or_default();
        if kept.last().is_some_and(|last| last.is_same(decision)) {
            return Ok(false);
        }
        kept.push(decision.clone());
        let surplus = kept.len().saturating_sub(DECISIONS_KEPT);
        let value = serde_json::to_vec(&kept[surplus..]).map_err(|e| StoreError(e.to_string()))?;
        let revision = before.map(|entry| entry.revision);
        if store::write(store, &key(job), value, revision).await?.is_some() {
            return Ok(true);
        }
    }
}

fn key(job: &str) -> String {
    format!("decisions/{job}")
}

/// The decisions in `entry`; none if it has another format.
fn read(entry: &Entry) -> Vec<DecisionRecord> {
    wire::from_json(&entry.value).unwrap_or_default()
}
