//! The records of a run in the store: their keys, and typed access to them.
//!
//! A run is complete when every task of its task lists has a report, every report with a remainder has a task list
//! that follows it, and every batch that the reports list has a receipt. No record is a counter that is incremented:
//! the state of a run follows from its records alone.

mod attempts;
mod place;
mod run_log;
mod watch;

use std::sync::Arc;

use keysweep_model::ids::{BatchId, NodeId, RunId, TaskId};
use keysweep_model::messages::{Cancel, Grant, Lookups, Receipt, RunSpec, ScanTask, TaskReport};
use keysweep_model::result::CleanupResult;
use keysweep_model::wire::{self, WireError};
use keysweep_signing::SignatureError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::store::{self, Created, Entry, Store, StoreError};
use crate::task_notes::ReadSoFar;

pub use attempts::AttemptMark;
pub use run_log::{Decision, TaskLists};
pub use watch::{Record, RecordWatch, SoFarWatch};

/// Why a record could not be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content cannot be encoded or decoded.
    #[error("record `{key}`")]
    Wire {
        /// The key of the record.
        key: String,
        /// The error.
        source: WireError,
    },
    /// Its signature was not accepted.
    #[error("record `{key}` is not trusted: {why}")]
    BadSignature {
        /// The key of the record.
        key: String,
        /// Why.
        why: SignatureError,
    },
}

/// Whether the record at `key` is an order: other processes act on it, so only processes that start and stop runs may
/// write it. Orders must be signed where signatures are required. Scan tasks, which are in a queue, are orders as
/// well.
#[must_use]
pub fn is_order(key: &str) -> bool {
    let mut words = key.split('/');
    match (words.next(), words.next(), words.next()) {
        (Some("activity"), ..) => true,
        (Some("runs"), Some(_), Some(what)) => matches!(what, "spec" | "log" | "grant" | "cancel"),
        _ => false,
    }
}

/// The record of the lookups of the job's lock, which no report or receipt includes.
const LOCK_LOOKUPS: &str = "lookups/lock";

/// Lookups at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLookups {
    /// The node.
    pub node: NodeId,
    /// Lookups since the run started.
    pub lookups: Lookups,
}

/// Typed access to the records of one run. Clones share the store.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn Store>,
    run: RunId,
}

impl Records {
    /// The records of `run`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, run: RunId) -> Self {
        Self { store, run }
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    fn key(&self, rest: &str) -> String {
        format!("runs/{}/{rest}", self.run)
    }

    /// Stores the spec. `false` if it was stored before.
    pub async fn create_spec(&self, spec: &RunSpec) -> Result<bool, RecordError> {
        let key = self.key("spec");
        let value = wire::encode_as(spec.format(), spec)
            .map_err(|source| RecordError::Wire { key: key.clone(), source })?;
        Ok(matches!(self.store.create(&key, value).await?, Created::Now(_)))
    }

    /// The spec: the run as it was started.
    pub async fn spec(&self) -> Result<Option<RunSpec>, RecordError> {
        self.get(&self.key("spec")).await
    }

    /// Like `spec`, but `None` if its signature is not accepted. Such a spec is not carried out.
    pub async fn verified_spec(&self) -> Result<Option<RunSpec>, RecordError> {
        match self.spec().await {
            Err(RecordError::BadSignature { key, why }) => {
                tracing::warn!(record = key, "untrusted record: {why}");
                Ok(None)
            }
            read => read,
        }
    }

    /// Stores the plan: its tasks first, so that a run with a spec has its tasks. Returns the number of the log's next
    /// entry.
    pub async fn create_plan(&self, spec: &RunSpec, tasks: &[ScanTask]) -> Result<u64, RecordError> {
        let mut next = 0;
        for decision in Decision::list(None, tasks) {
            self.append(next, &decision).await?;
            next += 1;
        }
        self.create_spec(spec).await?;
        Ok(next)
    }

    /// Appends a decision as entry `n` of the run log. `false` if another process did: then that process is the leader
    /// of the run, and this one is not.
    pub async fn append(&self, n: u64, decision: &Decision) -> Result<bool, RecordError> {
        self.create(&self.key(&format!("log/{n:012}")), decision).await
    }

    /// Stores a report. `false` if another attempt was first: then the batches of that attempt count.
    pub async fn create_report(&self, report: &TaskReport) -> Result<bool, RecordError> {
        self.create(&self.key(&format!("report/{}", report.task)), report).await
    }

    /// The report that counts.
    pub async fn report(&self, task: TaskId) -> Result<Option<TaskReport>, RecordError> {
        let report = self.get(&self.key(&format!("report/{task}"))).await?;
        Ok(report.map(|report| place::report(self.run, task, report)))
    }

    /// Lets the batches of a task act. `false` if a grant exists. Only the leader of a run calls it.
    pub async fn create_grant(&self, grant: &Grant) -> Result<bool, RecordError> {
        self.create(&self.key(&format!("grant/{}", grant.task)), grant).await
    }

    /// The grant of a task, once it is stored.
    pub async fn grant(&self, task: TaskId) -> Result<Option<Grant>, RecordError> {
        match self.get(&self.key(&format!("grant/{task}"))).await {
            // A grant of another origin lets no batch act.
            Err(RecordError::BadSignature { .. }) => Ok(None),
            granted => Ok(granted?.filter(|grant: &Grant| (grant.run, grant.task) == (self.run, task))),
        }
    }

    /// Stores a receipt. `false` if one exists.
    pub async fn create_receipt(&self, receipt: &Receipt) -> Result<bool, RecordError> {
        self.create(&self.key(&format!("receipt/{}", receipt.batch)), receipt).await
    }

    /// The receipt of a batch.
    pub async fn receipt(&self, batch: BatchId) -> Result<Option<Receipt>, RecordError> {
        let receipt = self.get(&self.key(&format!("receipt/{batch}"))).await?;
        Ok(receipt.map(|receipt| place::receipt(self.run, batch, receipt)))
    }

    /// Cancels the run. The first cause stays.
    pub async fn create_cancel(&self, cancel: &Cancel) -> Result<bool, RecordError> {
        self.create(&self.key("cancel"), cancel).await
    }

    /// Whether the run is cancelled, and why. A record whose signature is not accepted cancels nothing.
    pub async fn cancel(&self) -> Result<Option<Cancel>, RecordError> {
        match self.get(&self.key("cancel")).await {
            Err(RecordError::BadSignature { .. }) => Ok(None),
            result => result,
        }
    }

    /// Records that the keys cannot be backed up. The leader of the run then cancels it; a worker may not.
    pub async fn create_unsaved(&self, cause: &str) -> Result<bool, RecordError> {
        self.create(&self.key("unsaved"), &wire::shortened(cause)).await
    }

    /// Counts `hits` reads of the job's lock at `node`. Called before the reads.
    pub async fn count_lock_hits(&self, node: &NodeId, hits: u64) -> Result<(), RecordError> {
        let none = || NodeLookups { node: node.clone(), lookups: Lookups::default() };
        let add = |before: Option<NodeLookups>| {
            let mut noted = before.filter(|before| before.node == *node).unwrap_or_else(none);
            noted.lookups += Lookups::reads(hits, 0);
            noted
        };
        self.replace(&self.key(LOCK_LOOKUPS), add).await.map(|_| ())
    }

    /// What [`Records::count_lock_hits`] has counted, at the node that has the lock.
    pub async fn lock_lookups(&self) -> Result<Option<NodeLookups>, RecordError> {
        self.get(&self.key(LOCK_LOOKUPS)).await
    }

    /// Stores the result, which ends the run. `false` if another process was first.
    pub async fn create_result(&self, result: &CleanupResult) -> Result<bool, RecordError> {
        self.create(&self.key("result"), result).await
    }

    /// The result, if the run has ended.
    pub async fn result(&self) -> Result<Option<CleanupResult>, RecordError> {
        self.get(&self.key("result")).await
    }

    /// The records after `revision`, one at a time, with their revisions.
    pub async fn next_after(&self, revision: u64) -> Result<Option<(u64, Option<Record>)>, RecordError> {
        let prefix = self.key("");
        let Some(entry) = self.store.next_after(&prefix, revision).await? else { return Ok(None) };
        Ok(Some((entry.revision, watch::record(self.run, &prefix, &entry)?)))
    }

    /// Stores the progress that the workers report, for display. Any process may write it; the last write stays.
    pub async fn write_so_far(&self, read: &ReadSoFar) -> Result<(), RecordError> {
        let key = self.so_far_key("now");
        let revision = self.store.get(&key).await?.map(|entry| entry.revision);
        // If another writer was faster, its progress is just as good.
        store::write(&*self.store, &key, encode(&key, read)?, revision).await?;
        Ok(())
    }

    /// The progress that the workers report, if any; an estimate.
    pub async fn so_far(&self) -> Result<Option<ReadSoFar>, RecordError> {
        self.get(&self.so_far_key("now")).await
    }

    /// Watches the progress.
    pub async fn watch_so_far(&self) -> Result<SoFarWatch, RecordError> {
        Ok(SoFarWatch::new(self.store.watch(&self.so_far_key("")).await?))
    }

    /// Separate from the other records, because it is replaced often and nothing depends on it.
    fn so_far_key(&self, rest: &str) -> String {
        format!("progress/{}/{rest}", self.run)
    }

    /// Watches all records: existing ones, then new ones.
    pub async fn watch(&self) -> Result<RecordWatch, RecordError> {
        let prefix = self.key("");
        Ok(RecordWatch::new(self.store.watch(&prefix).await?, self.run, prefix))
    }

    /// Stores part `n` of the active users.
    pub async fn create_users(&self, n: usize, part: &ByteBuf) -> Result<bool, RecordError> {
        self.create(&self.users_key(n), part).await
    }

    /// Part `n` of the active users.
    pub async fn users(&self, n: usize) -> Result<Option<ByteBuf>, RecordError> {
        self.get(&self.users_key(n)).await
    }

    /// Separate from the other records, which every process that follows the run reads. A worker that does not support
    /// normal forms looks for users under another key, finds none, and does nothing.
    fn users_key(&self, n: usize) -> String {
        format!("activity/{}/forms-{n}", self.run)
    }

    /// Counts a failure, at `now_ms`, to handle `what`.
    pub async fn count_failure(&self, what: &str, now_ms: u64) -> Result<Failures, RecordError> {
        let key = format!("failures/{}/{what}", self.run);
        let add = |before: Option<Failures>| {
            let before = before.unwrap_or(Failures { count: 0, since_ms: now_ms });
            Failures { count: before.count + 1, ..before }
        };
        self.replace(&key, add).await
    }

    /// Replaces a record by the result of `change`. Returns the new record.
    async fn replace<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        change: impl Fn(Option<T>) -> T,
    ) -> Result<T, RecordError> {
        loop {
            let before = self.store.get(key).await?;
            let after = change(before.as_ref().map(decode).transpose()?);
            let value = encode(key, &after)?;
            if store::write(&*self.store, key, value, before.map(|entry| entry.revision)).await?.is_some() {
                return Ok(after);
            }
        }
    }

    async fn create<T: Serialize + Sync + ?Sized>(&self, key: &str, value: &T) -> Result<bool, RecordError> {
        let created = self.store.create(key, encode(key, &value)?).await?;
        Ok(matches!(created, Created::Now(_)))
    }

    async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, RecordError> {
        self.store.get(key).await?.as_ref().map(decode).transpose()
    }
}

/// The number of failures, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// Failures so far.
    pub count: u32,
    /// The time of the first, in milliseconds since the epoch.
    pub since_ms: u64,
}

pub(crate) fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, RecordError> {
    wire::encode(value).map_err(|source| RecordError::Wire { key: key.to_owned(), source })
}

pub(crate) fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, RecordError> {
    if let Err(why) = &entry.trust {
        return Err(RecordError::BadSignature { key: entry.key.clone(), why: why.clone() });
    }
    wire::decode(&entry.value).map_err(|source| RecordError::Wire { key: entry.key.clone(), source })
}
