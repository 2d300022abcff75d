//! Samples: what servers and the application had counted at one moment, kept so that rates can be told over any
//! window. JSON, under `samples/<alias>/<job>/<id>`. A sample says, too, which of the look-ups were our own.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::counters::{Counters, NodeCounters};
use crate::ids::{Alias, RunId};
use crate::store::{Created, Entry, Store, StoreError};
use crate::wire;

/// The beginning of the keys of all samples.
const PREFIX: &str = "samples/";

/// Where in a run a sample was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotPhase {
    /// Before its first look-up, or before that of a plan.
    Begin,
    /// After its last one.
    End,
    /// In no run.
    Between,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterSnapshot {
    /// The job that it was taken for.
    pub job: String,
    /// The deployment.
    pub redis: Alias,
    /// The run, unless it was taken between runs.
    pub run_id: Option<RunId>,
    /// Where in the run.
    pub moment: SnapshotPhase,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The primaries that answered.
    pub nodes: Vec<NodeCounters>,
    /// What the application itself has counted, where the job says so.
    pub application: Option<Counters>,
    /// The fullest primary's memory, 0 to 100 % of its limit.
    pub memory_usage_percent: Option<f64>,
    /// The slowest primary's answer, in milliseconds.
    pub latency: Option<f64>,
    /// Which values the run reads that it begins. Absent in samples of earlier versions.
    #[serde(default)]
    pub reads: RunReads,
}

/// Which values a run reads, if it is cut off and never says how many it has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunReads {
    /// None: only a plan was made, or there is no run.
    Nothing,
    /// At most one in each call of a script, and one in each HRANDFIELD.
    Scripts,
    /// As many as it likes, such as those that it saves or compares.
    #[default]
    Values,
}

impl CounterSnapshot {
    /// The id under which it stands: one begin and one end per run.
    fn id(&self) -> String {
        match (self.run_id, self.moment) {
            (Some(run), SnapshotPhase::Begin) => format!("{run}-begin"),
            (Some(run), SnapshotPhase::End) => format!("{run}-end"),
            _ => Uuid::now_v7().to_string(),
        }
    }

    fn key(&self, id: &str) -> String {
        format!("{PREFIX}{}/{}/{id}", self.redis, self.job)
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|e| StoreError(e.to_string()))
    }
}

/// Stores the sample of a slot of time; `false` if somebody else has.
///
/// # Errors
/// When the store fails.
pub async fn create_at(store: &dyn Store, slot: u64, sample: &CounterSnapshot) -> Result<bool, StoreError> {
    let created = store.create(&sample.key(&format!("at-{slot}")), sample.encode()?).await?;
    Ok(matches!(created, Created::Now(_)))
}

/// Stores a sample. If its run has one of the same moment, that one stays, and is returned.
///
/// # Errors
/// When the store fails.
pub async fn create(store: &dyn Store, sample: CounterSnapshot) -> Result<CounterSnapshot, StoreError> {
    match store.create(&sample.key(&sample.id()), sample.encode()?).await? {
        Created::Before(entry) => Ok(read(&entry).unwrap_or(sample)),
        Created::Now(_) => Ok(sample),
    }
}

/// The samples of a deployment, the oldest first.
///
/// # Errors
/// When the store fails.
pub async fn of(store: &dyn Store, redis: &Alias) -> Result<Vec<CounterSnapshot>, StoreError> {
    let prefix = format!("{PREFIX}{redis}/");
    let (mut samples, mut revision) = (Vec::new(), 0);
    while let Some(entry) = store.next_after(&prefix, revision).await? {
        revision = entry.revision;
        samples.extend(read(&entry));
    }
    samples.sort_by_key(|sample| sample.at_ms);
    Ok(samples)
}

/// The sample that `entry` holds; `None` if it is of another make.
fn read(entry: &Entry) -> Option<CounterSnapshot> {
    wire::from_json(&entry.value).ok()
}
