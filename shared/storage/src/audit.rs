//! The audit log: for each key when, why, and with what outcome it was handled. A reaper stores one entry per batch
//! before its receipt, so that all keys that a result counts are listed by name. Under `audit/<run>/<batch>`. Scanners
//! record keys that qualified and were kept under `kept/<run>/<task>`, up to a size.

use keysweep_model::ids::{BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::messages::{ReapBatch, Reason, Receipt};
use keysweep_model::outcome::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::records::{RecordError, decode, encode};
use crate::store::Store;

/// The candidates of one batch, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The batch.
    pub batch: BatchId,
    /// The node that held the keys.
    pub node: NodeId,
    /// When the batch was finished, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The candidates, slot by slot.
    pub groups: Vec<AuditGroup>,
}

/// The candidates of one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditGroup {
    /// The slot; 0 on standalone servers.
    pub slot: u16,
    /// Why they were candidates.
    pub reason: Reason,
    /// Each key with its outcome.
    pub keys: Vec<(Key, Outcome)>,
}

impl AuditEntry {
    /// The entry for `batch` with the outcomes in `receipt`.
    #[must_use]
    pub fn of(batch: &ReapBatch, receipt: &Receipt, at_ms: u64) -> Self {
        let groups = batch.groups.iter().zip(&receipt.groups);
        let group = |(group, outcomes): (
            &keysweep_model::messages::Group,
            &keysweep_model::messages::GroupReceipt,
        )| AuditGroup {
            slot: group.slot,
            reason: group.reason,
            keys: group.keys.iter().cloned().zip(outcomes.outcomes.iter().copied()).collect(),
        };
        Self { batch: batch.batch, node: batch.node.clone(), at_ms, groups: groups.map(group).collect() }
    }
}

/// Stores the entry of a batch; an existing one is kept.
///
/// # Errors
/// If the store fails.
pub async fn write(store: &dyn Store, run: RunId, entry: &AuditEntry) -> Result<(), RecordError> {
    create(store, &format!("audit/{run}/{}", entry.batch), entry).await
}

/// The next entry of `run` after `revision`, with its own revision.
///
/// # Errors
/// If the store fails.
pub async fn next(
    store: &dyn Store,
    run: RunId,
    revision: u64,
) -> Result<Option<(u64, AuditEntry)>, RecordError> {
    next_below(store, &format!("audit/{run}/"), revision).await
}

async fn create(store: &dyn Store, key: &str, entry: &impl Serialize) -> Result<(), RecordError> {
    store.create(key, encode(key, entry)?).await?;
    Ok(())
}

async fn next_below<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
    revision: u64,
) -> Result<Option<(u64, T)>, RecordError> {
    let entry = store.next_after(prefix, revision).await?;
    entry.map(|entry| Ok((entry.revision, decode(&entry)?))).transpose()
}

/// Keys of one scan task that qualified and did not become candidates, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEntry {
    /// The task.
    pub task: TaskId,
    /// The node that holds the keys.
    pub node: NodeId,
    /// When they were read, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The keys.
    pub groups: Vec<KeptGroup>,
    /// The number of further keys.
    pub unnamed: u64,
}

/// The keys of one slot that were kept for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGroup {
    /// The slot; 0 on standalone servers.
    pub slot: u16,
    /// Why they qualified.
    pub reason: Reason,
    /// Why they are kept.
    pub why: Why,
    /// The keys.
    pub keys: Vec<Key>,
}

/// Why a key that qualifies is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It matches a protected pattern.
    Protected,
    /// The run only reports.
    Reported,
}

impl Why {
    /// Its name in outputs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Reported => "reported",
        }
    }
}

/// Stores the entry of a task; an existing one is kept.
///
/// # Errors
/// If the store fails.
pub async fn write_kept(store: &dyn Store, run: RunId, entry: &KeptEntry) -> Result<(), RecordError> {
    create(store, &format!("kept/{run}/{}", entry.task), entry).await
}

/// The next entry of a task of `run` after `revision`, with its own revision.
///
/// # Errors
/// If the store fails.
pub async fn next_kept(
    store: &dyn Store,
    run: RunId,
    revision: u64,
) -> Result<Option<(u64, KeptEntry)>, RecordError> {
    next_below(store, &format!("kept/{run}/"), revision).await
}
