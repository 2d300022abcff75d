//! Reading the records of a run, those that are there and those that come.

use super::{Decision, NodeLookups, RecordError, decode};
use crate::messages::{Cancel, Grant, Receipt, RunSpec, TaskReport};
use crate::result::CleanupResult;
use crate::store::{Entry, Watch};
use crate::task_notes::ReadSoFar;

/// One record of a run, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The run as it was started.
    Spec(Box<RunSpec>),
    /// A decision of whoever drives the run.
    Decision {
        /// Its number in the log.
        n: u64,
        /// What was decided.
        decision: Decision,
    },
    /// What came of a task.
    Report(Box<TaskReport>),
    /// The batches of a task may act.
    Grant(Box<Grant>),
    /// What came of a batch.
    Receipt(Box<Receipt>),
    /// The run is to stop.
    Cancel(Cancel),
    /// What was to be deleted could not be saved: the cause, for people.
    Unsaved(String),
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

/// A view on the records of a run.
pub struct RecordWatch {
    watch: Box<dyn Watch>,
    prefix: String,
}

impl RecordWatch {
    pub(super) fn new(watch: Box<dyn Watch>, prefix: String) -> Self {
        Self { watch, prefix }
    }

    /// The next record; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Record, RecordError> {
        loop {
            let entry = self.watch.next().await?;
            if let Some(record) = record(&self.prefix, &entry)? {
                return Ok(record);
            }
        }
    }
}

/// A view on how far a run is.
pub struct SoFarWatch {
    watch: Box<dyn Watch>,
}

impl SoFarWatch {
    pub(super) fn new(watch: Box<dyn Watch>) -> Self {
        Self { watch }
    }

    /// How far it is now; waits until that is told. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<ReadSoFar, RecordError> {
        let entry = self.watch.next().await?;
        decode(&entry)
    }
}

/// The record that `entry` holds, below `prefix`; `None` if it is of no kind that we know.
pub(super) fn record(prefix: &str, entry: &Entry) -> Result<Option<Record>, RecordError> {
    if let Err(why) = &entry.trust {
        // As though it were not there.
        tracing::warn!(record = entry.key, "not believed: {why}");
        return Ok(None);
    }
    let name = entry.key.strip_prefix(prefix).unwrap_or_default();
    let (kind, id) = name.split_once('/').unwrap_or((name, ""));
    Ok(Some(match kind {
        "spec" => Record::Spec(Box::new(decode(entry)?)),
        "log" => Record::Decision { n: id.parse().unwrap_or_default(), decision: decode(entry)? },
        "report" => Record::Report(Box::new(decode(entry)?)),
        "grant" => Record::Grant(Box::new(decode(entry)?)),
        "receipt" => Record::Receipt(Box::new(decode(entry)?)),
        "cancel" => Record::Cancel(decode(entry)?),
        "unsaved" => Record::Unsaved(decode(entry)?),
        "lookups" => Record::Lookups { who: id.to_owned(), lookups: decode(entry)? },
        "result" => Record::Result(Box::new(decode(entry)?)),
        _ => return Ok(None),
    }))
}
