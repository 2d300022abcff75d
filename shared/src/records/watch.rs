//! Reading the records of a run, those that are there and those that come.

use super::{Decision, NodeLookups, RecordError, decode, place};
use crate::ids::RunId;
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
    run: RunId,
    prefix: String,
}

impl RecordWatch {
    pub(super) fn new(watch: Box<dyn Watch>, run: RunId, prefix: String) -> Self {
        Self { watch, run, prefix }
    }

    /// The next record; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Record, RecordError> {
        loop {
            let entry = self.watch.next().await?;
            if let Some(record) = record(self.run, &self.prefix, &entry)? {
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

/// The record of `run` that `entry` holds, below `prefix`; `None` if it is of no kind that we know, or stands at a place
/// where nobody looks for it.
pub(super) fn record(run: RunId, prefix: &str, entry: &Entry) -> Result<Option<Record>, RecordError> {
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
        "lookups" => Record::Lookups { who: id.to_owned(), lookups: decode(entry)? },
        "result" => Record::Result(Box::new(decode(entry)?)),
        _ => return Ok(None),
    }))
}
