//! Watches the records of a run: existing ones, then new ones.

use keysweep_model::ids::RunId;
use keysweep_model::messages::{Cancel, Grant, Receipt, RunSpec, TaskReport};
use keysweep_model::result::CleanupResult;

use super::{Decision, RecordError, decode, place};
use crate::store::{Entry, Watch};
use crate::task_notes::ReadSoFar;

/// One record of a run, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The spec: the run as it was started.
    Spec(Box<RunSpec>),
    /// A decision of the leader.
    Decision {
        /// Its number in the log.
        n: u64,
        /// What was decided.
        decision: Decision,
    },
    /// The result of a task.
    Report(Box<TaskReport>),
    /// The batches of a task may act.
    Grant(Box<Grant>),
    /// The result of a batch.
    Receipt(Box<Receipt>),
    /// The run is cancelled.
    Cancel(Cancel),
    /// Keys could not be backed up: the cause, for people.
    Unsaved(String),
    /// The run has ended.
    Result(Box<CleanupResult>),
}

/// A watch on the records of a run.
pub struct RecordWatch {
    watch: Box<dyn Watch>,
    run: RunId,
    prefix: String,
}

impl RecordWatch {
    pub(super) fn new(watch: Box<dyn Watch>, run: RunId, prefix: String) -> Self {
        Self { watch, run, prefix }
    }

    /// The next record; waits for it. Dropping the future loses no record.
    pub async fn next(&mut self) -> Result<Record, RecordError> {
        loop {
            let entry = self.watch.next().await?;
            if let Some(record) = record(self.run, &self.prefix, &entry)? {
                return Ok(record);
            }
        }
    }
}

/// A watch on the progress of a run.
pub struct SoFarWatch {
    watch: Box<dyn Watch>,
}

impl SoFarWatch {
    pub(super) fn new(watch: Box<dyn Watch>) -> Self {
        Self { watch }
    }

    /// The present progress; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<ReadSoFar, RecordError> {
        let entry = self.watch.next().await?;
        decode(&entry)
    }
}

/// The record of `run` in `entry`, below `prefix`; `None` if its kind is unknown or its key does not belong to it.
pub(super) fn record(run: RunId, prefix: &str, entry: &Entry) -> Result<Option<Record>, RecordError> {
    if let Err(why) = &entry.trust {
        // Treated as absent.
        tracing::warn!(record = entry.key, "untrusted record: {why}");
        return Ok(None);
    }
    let name = entry.key.strip_prefix(prefix).unwrap_or_default();
    let (kind, id) = name.split_once('/').unwrap_or((name, ""));
    Ok(Some(match kind {
        "spec" => Record::Spec(Box::new(decode(entry)?)),
        "log" => Record::Decision { n: id.parse().unwrap_or_default(), decision: decode(entry)? },
        "report" => {
            let Ok(task) = id.parse() else { return Ok(None) };
            Record::Report(Box::new(place::report(run, task, decode(entry)?)))
        }
        "grant" => {
            let grant: Grant = decode(entry)?;
            if grant.run != run || grant.task.to_string() != id {
                return Ok(None);
            }
            Record::Grant(Box::new(grant))
        }
        "receipt" => {
            let Ok(batch) = id.parse() else { return Ok(None) };
            Record::Receipt(Box::new(place::receipt(run, batch, decode(entry)?)))
        }
        "cancel" => Record::Cancel(decode(entry)?),
        "unsaved" => Record::Unsaved(decode(entry)?),
        "result" => Record::Result(Box::new(decode(entry)?)),
        _ => return Ok(None),
    }))
}
