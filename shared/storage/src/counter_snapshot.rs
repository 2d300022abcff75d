//! Counter snapshots: the counters of servers and the application at one time, stored so that rates can be computed
//! over any window. JSON, under `samples/<alias>/<job>/<id>`. A snapshot also contains keysweep's own lookups.

use keysweep_model::counters::{Counters, NodeCounters};
use keysweep_model::ids::{Alias, RunId, unique};
use keysweep_model::wire;
use serde::{Deserialize, Serialize};

use crate::store::{self, Created, Entry, Store, StoreError};

/// The key prefix of all snapshots.
const PREFIX: &str = "samples/";

/// The phase of a run in which a snapshot was collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotPhase {
    /// Before the first lookup of the run or its plan.
    Begin,
    /// After the last lookup of the run.
    End,
    /// Outside of runs.
    Between,
}

/// The counters at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterSnapshot {
    /// The job that it was taken for.
    pub job: String,
    /// The deployment.
    pub redis: Alias,
    /// The run; `None` between runs.
    pub run_id: Option<RunId>,
    /// The phase of the run.
    pub phase: SnapshotPhase,
    /// The time, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The primaries that answered.
    pub nodes: Vec<NodeCounters>,
    /// The application's own counters, if the job has a source for them.
    pub application: Option<Counters>,
    /// The memory usage of the fullest primary, in percent of its limit.
    pub memory_usage_percent: Option<f64>,
    /// Bytes of memory that all primaries use; `None` unless each of them answered. Absent in snapshots of earlier
    /// versions.
    #[serde(default)]
    pub used_memory_bytes: Option<u64>,
    /// The reply latency of the slowest primary, in milliseconds.
    pub latency: Option<f64>,
    /// Which values the run reads, if it begins here. Absent in snapshots of earlier versions.
    #[serde(default)]
    pub reads: RunReads,
}

/// Which values a run reads, for runs that end without reporting their lookups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunReads {
    /// None: only a plan was made, or there is no run.
    Nothing,
    /// At most one in each call of a script, and one in each HRANDFIELD.
    Scripts,
    /// Any number, such as those that it backs up or compares.
    #[default]
    Values,
}

impl CounterSnapshot {
    /// The id in its key: one begin and one end per run.
    fn id(&self) -> String {
        match (self.run_id, self.phase) {
            (Some(run), SnapshotPhase::Begin) => format!("{run}-begin"),
            (Some(run), SnapshotPhase::End) => format!("{run}-end"),
            _ => unique().to_string(),
        }
    }

    fn key(&self, id: &str) -> String {
        format!("{PREFIX}{}/{}/{id}", self.redis, self.job)
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|e| StoreError(e.to_string()))
    }
}

/// Stores the snapshot of a time slot; `false` if another process already has.
///
/// # Errors
/// If the store fails.
pub async fn create_at(store: &dyn Store, slot: u64, sample: &CounterSnapshot) -> Result<bool, StoreError> {
    let created = store.create(&sample.key(&format!("at-{slot}")), sample.encode()?).await?;
    Ok(matches!(created, Created::Now(_)))
}

/// Stores a snapshot. If its run already has one of the same phase, that one is kept and returned.
///
/// # Errors
/// If the store fails.
pub async fn create(store: &dyn Store, sample: CounterSnapshot) -> Result<CounterSnapshot, StoreError> {
    match store.create(&sample.key(&sample.id()), sample.encode()?).await? {
        Created::Before(entry) => Ok(read(&entry).unwrap_or(sample)),
        Created::Now(_) => Ok(sample),
    }
}

/// The snapshots of a deployment, the oldest first.
///
/// # Errors
/// If the store fails.
pub async fn of(store: &dyn Store, redis: &Alias) -> Result<Vec<CounterSnapshot>, StoreError> {
    let entries = store::all(store, &format!("{PREFIX}{redis}/")).await?;
    let mut samples: Vec<CounterSnapshot> = entries.iter().filter_map(read).collect();
    samples.sort_by_key(|sample| sample.at_ms);
    Ok(samples)
}

/// The snapshot in `entry`; `None` if it has another format.
fn read(entry: &Entry) -> Option<CounterSnapshot> {
    wire::from_json(&entry.value).ok()
}
