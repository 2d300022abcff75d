//! What can be asked and said of runs that are remembered, by the command line and by programs alike.

use keysweep_model::ids::RunId;
use keysweep_model::messages::{Cancel, CancelKind};
use keysweep_model::result::CleanupResult;
use keysweep_runtime::context::Context;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::records::RecordError;
use reporter::Fold;
use serde::{Serialize, Serializer};

use crate::drive::Progress;
use crate::run_phase::RunPhase;

/// All that is known of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its line in the history.
    #[serde(serialize_with = "told")]
    pub run: RunLine,
    /// How far it is; null once its records are gone.
    pub progress: Option<ProgressView>,
    /// Its result; null while it goes on, and once it is gone.
    pub result: Option<CleanupResult>,
}

/// How far a run is. Counts of keys read are those of tasks that have ended, and of those at work as far as they tell.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// Its state.
    pub state: &'static str,
    /// Keys that the plan expects to list.
    pub keys: u64,
    /// Keys listed so far, matching or not, or skipped.
    pub listed_keys: u64,
    /// Matching keys looked at so far.
    pub scanned_keys: u64,
    /// Those without TTL.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Keys deleted so far.
    pub cleaned_keys: u64,
}

/// What telling a run to stop came to.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled {
    /// The run.
    pub run_id: RunId,
    /// Whether it stops because of us: it was neither over nor told before.
    pub cancelled: bool,
    /// Whether it had ended already.
    pub ended: bool,
}

fn told<S: Serializer>(line: &RunLine, serializer: S) -> Result<S::Ok, S::Error> {
    line.as_json().serialize(serializer)
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        Self {
            state: progress.state.as_str(),
            keys: progress.keys,
            listed_keys: progress.read.listed,
            scanned_keys: progress.read.scanned,
            stale_ttl_keys: progress.read.stale,
            cleaned_keys: progress.totals.accounting.deleted,
        }
    }
}

/// A run; `None` if it is not remembered.
///
/// # Errors
/// When the store fails.
pub async fn find(context: &Context, run: RunId) -> Result<Option<RunView>, RecordError> {
    let records = context.records(run);
    let lines = history::read(&*context.store).await?;
    let line = match lines.into_iter().find(|line| line.run_id == run) {
        Some(line) => Some(line),
        // It has just been stored.
        None => records.spec().await?.map(|spec| RunLine::begin(&spec)),
    };
    let Some(line) = line else { return Ok(None) };
    let progress = so_far(context, run).await?.map(ProgressView::from);
    Ok(Some(RunView { run: line, progress, result: records.result().await? }))
}

/// How far a run is by the records that there are; `None` if there are none.
///
/// # Errors
/// When the store fails.
pub async fn so_far(context: &Context, run: RunId) -> Result<Option<Progress>, RecordError> {
    let records = context.records(run);
    let (mut fold, mut revision) = (Fold::default(), 0);
    while let Some((at, record)) = records.next_after(revision).await? {
        revision = at;
        if let Some(record) = record {
            fold.apply(&record);
        }
    }
    let Some(spec) = fold.spec() else { return Ok(None) };
    let told = records.so_far().await?.unwrap_or_default();
    Ok(Some(Progress::new(RunPhase::Planned.advanced(&fold), spec.keys(), fold.totals(), told)))
}

/// Tells a run to stop at a safe point; `None` if there is no such run.
///
/// # Errors
/// When the store fails.
pub async fn cancel(context: &Context, run: RunId, cause: String) -> Result<Option<Cancelled>, RecordError> {
    let records = context.records(run);
    if records.spec().await?.is_none() {
        return Ok(None);
    }
    let ended = records.result().await?.is_some();
    let first = !ended && records.create_cancel(&Cancel { kind: CancelKind::Asked, cause }).await?;
    Ok(Some(Cancelled { run_id: run, cancelled: first, ended }))
}
