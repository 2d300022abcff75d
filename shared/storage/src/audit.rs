//! The audit trail: for each key when, why, and with what outcome it was handled. A reaper names the keys of a batch
//! before it changes the first of them, and stores their outcomes before the receipt, so that all keys that a result
//! counts are listed by name. Scanners record keys that qualified and were kept under `kept/<run>/<task>`, up to a size.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::ids::{BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::messages::{ReapBatch, Reason, Receipt};
use keysweep_model::outcome::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::records::{RecordError, decode, encode};
use crate::store::{Store, StoreFuture};

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
    /// The number of the rule that the keys belong to, from 0; `None` if the run has no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u16>,
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
        let (node, groups) = (batch.node.clone(), groups.map(group).collect());
        Self { batch: batch.batch, node, at_ms, groups, rule: batch.rule }
    }
}

/// An entry of the audit trail, with its place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<T> {
    /// Its revision.
    pub revision: u64,
    /// Its run.
    pub run: RunId,
    /// The entry.
    pub entry: T,
}

/// Where the candidates of batches are recorded.
pub trait AuditTrail: Send + Sync {
    /// Records the candidates of a batch durably. Called before the first of them may be changed; if it fails, none may
    /// be. Until [`AuditTrail::finish`], the batch is read with the outcome [`Outcome::Unconfirmed`].
    fn begin<'a>(&'a self, batch: &'a ReapBatch, now_ms: u64) -> StoreFuture<'a, ()>;

    /// Records the outcomes of a batch, begun or not. The first outcomes stay.
    fn finish<'a>(&'a self, run: RunId, entry: &'a AuditEntry) -> BoxFuture<'a, Result<(), RecordError>>;

    /// The next entry of `run`, or of any run, after `revision`.
    fn next(
        &self,
        run: Option<RunId>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<Recorded<AuditEntry>>, RecordError>>;

    /// Removes what is too old to be kept; names of keys of `job` are kept for `kept`. Does nothing where the storage has
    /// limits of its own.
    fn remove_old<'a>(&'a self, _job: &'a str, _kept: Duration, _now_ms: u64) -> StoreFuture<'a, ()> {
        std::future::ready(Ok(())).boxed()
    }
}

/// The audit trail of a store that other machines share: entries under `audit/<run>/<batch>`. A batch in flight is in
/// the queue, which keeps it until its outcomes are stored, so its beginning needs no record.
pub struct EntryAudit(pub Arc<dyn Store>);

impl AuditTrail for EntryAudit {
    fn begin<'a>(&'a self, _batch: &'a ReapBatch, _now_ms: u64) -> StoreFuture<'a, ()> {
        std::future::ready(Ok(())).boxed()
    }

    fn finish<'a>(&'a self, run: RunId, entry: &'a AuditEntry) -> BoxFuture<'a, Result<(), RecordError>> {
        async move { create(&*self.0, &format!("audit/{run}/{}", entry.batch), entry).await }.boxed()
    }

    fn next(
        &self,
        run: Option<RunId>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<Recorded<AuditEntry>>, RecordError>> {
        async move { next_below(&*self.0, "audit/", run, revision).await }.boxed()
    }
}

async fn create(store: &dyn Store, key: &str, entry: &impl Serialize) -> Result<(), RecordError> {
    store.create(key, encode(key, entry)?).await?;
    Ok(())
}

/// The next entry `<family><run>/…` after `revision`. A key without the id of a run is not ours.
async fn next_below<T: DeserializeOwned>(
    store: &dyn Store,
    family: &str,
    run: Option<RunId>,
    mut revision: u64,
) -> Result<Option<Recorded<T>>, RecordError> {
    let prefix = run.map_or_else(|| family.to_owned(), |run| format!("{family}{run}/"));
    while let Some(found) = store.next_after(&prefix, revision).await? {
        revision = found.revision;
        let run = found.key.strip_prefix(family).and_then(|rest| rest.split('/').next()?.parse().ok());
        if let Some(run) = run {
            return Ok(Some(Recorded { revision, run, entry: decode(&found)? }));
        }
    }
    Ok(None)
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
    /// The number of their rule, from 0; `None` if the run has no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u16>,
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

/// The next entry of a task of `run`, or of any run, after `revision`.
///
/// # Errors
/// If the store fails.
pub async fn next_kept(
    store: &dyn Store,
    run: Option<RunId>,
    revision: u64,
) -> Result<Option<Recorded<KeptEntry>>, RecordError> {
    next_below(store, "kept/", run, revision).await
}
