//! The records of a run in the store: which there are, under which keys, and typed access to them.
//!
//! A run is complete when every task of its task lists has a report, every report with a rest has a task
//! list that follows it, and every batch that the reports list has a receipt. Nothing is incremented
//! anywhere: whoever reads the records knows the state.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{BatchId, NodeId, RunId, TaskId};
use crate::limits::LIST_TASKS_MAX;
use crate::messages::{Cancel, Lookups, Receipt, RunSpec, ScanTask, TaskReport};
use crate::result::CleanupResult;
use crate::store::{Created, Entry, Store, StoreError, Watch};
use crate::wire::{self, WireError};

/// Why a record could not be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content failed.
    #[error("record `{key}`")]
    Wire {
        /// The key of the record.
        key: String,
        /// What is wrong with it.
        source: WireError,
    },
}

/// One record of a run, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The run as it was started.
    Spec(Box<RunSpec>),
    /// The tasks that the plan made (`after` is absent), or that continue the rest of a task.
    Tasks {
        /// The task whose rest they read.
        after: Option<TaskId>,
        /// Which part of the list this is.
        part: u32,
        /// The list, or this part of it.
        list: TaskList,
    },
    /// What came of a task.
    Report(Box<TaskReport>),
    /// What came of a batch.
    Receipt(Box<Receipt>),
    /// The run is to stop.
    Cancel(Cancel),
    /// Look-ups that no report or receipt speaks of, such as those of the lock.
    Lookups {
        /// Who made them, since the run started.
        who: String,
        /// Where and how many.
        lookups: NodeLookups,
    },
    /// The run has ended.
    Result(Box<CleanupResult>),
}

/// A part of a list of tasks: long lists do not fit one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskList {
    /// How many parts the list has; at least one.
    pub parts: u32,
    /// The tasks of this part.
    pub tasks: Vec<ScanTask>,
}

/// Look-ups at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLookups {
    /// The node.
    pub node: NodeId,
    /// Look-ups since the run started.
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

    fn key(&self, rest: &str) -> String {
        format!("runs/{}/{rest}", self.run)
    }

    fn tasks_key(&self, after: Option<TaskId>, part: u32) -> String {
        let after = after.map_or_else(|| "plan".to_owned(), |task| task.to_string());
        self.key(&format!("tasks/{part}/{after}"))
    }

    /// Stores the run. `false` if it was stored before.
    pub async fn create_spec(&self, spec: &RunSpec) -> Result<bool, RecordError> {
        self.create(&self.key("spec"), spec).await
    }

    /// The run as it was started.
    pub async fn spec(&self) -> Result<Option<RunSpec>, RecordError> {
        self.get(&self.key("spec")).await
    }

    /// Stores the tasks of the plan, or those that follow the rest of a task. Another list that was stored
    /// before stays, part by part.
    pub async fn create_tasks(&self, after: Option<TaskId>, tasks: &[ScanTask]) -> Result<(), RecordError> {
        // Every slot is in one task, so that a part is small however scattered the slots are.
        let mut parts: Vec<&[ScanTask]> = tasks.chunks(LIST_TASKS_MAX).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (part, tasks) in (0..).zip(parts) {
            let list = TaskList { parts: count, tasks: tasks.to_vec() };
            self.create(&self.tasks_key(after, part), &list).await?;
        }
        Ok(())
    }

    /// Stores a report. `false` if another attempt was first: then its batches count, and ours do not.
    pub async fn create_report(&self, report: &TaskReport) -> Result<bool, RecordError> {
        self.create(&self.key(&format!("report/{}", report.task)), report).await
    }

    /// The report that counts.
    pub async fn report(&self, task: TaskId) -> Result<Option<TaskReport>, RecordError> {
        self.get(&self.key(&format!("report/{task}"))).await
    }

    /// Stores a receipt. `false` if there is one.
    pub async fn create_receipt(&self, receipt: &Receipt) -> Result<bool, RecordError> {
        self.create(&self.key(&format!("receipt/{}", receipt.batch)), receipt).await
    }

    /// The receipt of a batch.
    pub async fn receipt(&self, batch: BatchId) -> Result<Option<Receipt>, RecordError> {
        self.get(&self.key(&format!("receipt/{batch}"))).await
    }

    /// Tells everybody to stop. The first cause stays.
    pub async fn create_cancel(&self, cancel: &Cancel) -> Result<bool, RecordError> {
        self.create(&self.key("cancel"), cancel).await
    }

    /// Whether, and why, the run is to stop.
    pub async fn cancel(&self) -> Result<Option<Cancel>, RecordError> {
        self.get(&self.key("cancel")).await
    }

    /// Notes, before it is made, a look-up that found a key and that no report or receipt will speak of.
    pub async fn count_hit(&self, who: &str, node: &NodeId) -> Result<(), RecordError> {
        let key = self.key(&format!("lookups/{who}"));
        let none = || NodeLookups { node: node.clone(), lookups: Lookups::default() };
        let add = |before: Option<NodeLookups>| {
            let mut noted = before.filter(|before| before.node == *node).unwrap_or_else(none);
            noted.lookups.hits += 1;
            noted
        };
        self.replace(&key, add).await.map(|_| ())
    }

    /// Stores the result: the end of the run. `false` if somebody else was first.
    pub async fn create_result(&self, result: &CleanupResult) -> Result<bool, RecordError> {
        self.create(&self.key("result"), result).await
    }

    /// The result, if the run has ended.
    pub async fn result(&self) -> Result<Option<CleanupResult>, RecordError> {
        self.get(&self.key("result")).await
    }

    /// All records, those that are there and those that come.
    pub async fn watch(&self) -> Result<RecordWatch, RecordError> {
        let prefix = self.key("");
        Ok(RecordWatch { watch: self.store.watch(&prefix).await?, prefix })
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

    /// Notes that a batch is about to be tried at its node. `false` if an earlier delivery came as far.
    pub async fn create_attempt(&self, batch: BatchId) -> Result<bool, RecordError> {
        self.create(&format!("attempts/{}/{batch}", self.run), &()).await
    }

    /// Whether a delivery of the batch came as far as trying it.
    pub async fn attempted(&self, batch: BatchId) -> Result<bool, RecordError> {
        Ok(self.store.get(&format!("attempts/{}/{batch}", self.run)).await?.is_some())
    }

    /// Replaces a record by what `change` makes of it; the new one.
    async fn replace<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        change: impl Fn(Option<T>) -> T,
    ) -> Result<T, RecordError> {
        loop {
            let before = self.store.get(key).await?;
            let after = change(before.as_ref().map(decode).transpose()?);
            let value = encode(key, &after)?;
            let written = match before {
                Some(entry) => self.store.update(key, value, entry.revision).await?.is_some(),
                None => matches!(self.store.create(key, value).await?, Created::Now(_)),
            };
            if written {
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

/// How often something failed, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// Failures so far.
    pub count: u32,
    /// The time of the first, in milliseconds since the epoch.
    pub since_ms: u64,
}

/// A view on the records of a run.
pub struct RecordWatch {
    watch: Box<dyn Watch>,
    prefix: String,
}

impl RecordWatch {
    /// The next record; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Record, RecordError> {
        loop {
            let entry = self.watch.next().await?;
            if let Some(record) = self.record(&entry)? {
                return Ok(record);
            }
        }
    }

    fn record(&self, entry: &Entry) -> Result<Option<Record>, RecordError> {
        let name = entry.key.strip_prefix(&self.prefix).unwrap_or_default();
        let (kind, id) = name.split_once('/').unwrap_or((name, ""));
        Ok(Some(match kind {
            "spec" => Record::Spec(Box::new(decode(entry)?)),
            "tasks" => {
                let (part, after) = id.split_once('/').unwrap_or_default();
                let part = part.parse().unwrap_or_default();
                Record::Tasks { after: after.parse().ok(), part, list: decode(entry)? }
            }
            "report" => Record::Report(Box::new(decode(entry)?)),
            "receipt" => Record::Receipt(Box::new(decode(entry)?)),
            "cancel" => Record::Cancel(decode(entry)?),
            "lookups" => Record::Lookups { who: id.to_owned(), lookups: decode(entry)? },
            "result" => Record::Result(Box::new(decode(entry)?)),
            _ => return Ok(None),
        }))
    }
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, RecordError> {
    wire::encode(value).map_err(|source| RecordError::Wire { key: key.to_owned(), source })
}

fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, RecordError> {
    wire::decode(&entry.value).map_err(|source| RecordError::Wire { key: entry.key.clone(), source })
}
