//! Queries and cancellation of remembered runs, for the command line and the API.

use std::borrow::Cow;

use keysweep_model::ids::RunId;
use keysweep_model::messages::{Cancel, CancelKind};
use keysweep_model::result::CleanupResult;
use keysweep_runtime::context::Context;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::records::RecordError;
use keysweep_storage::task_notes::ReadSoFar;
use reporter::Fold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::drive::Progress;
use crate::run_phase::RunPhase;
use crate::shared_run;

/// A run, as far as it is remembered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its line in the history.
    #[serde(serialize_with = "line_json")]
    #[schemars(with = "RunLine")]
    pub run: RunLine,
    /// Its progress; null once its records are gone.
    pub progress: Option<ProgressView>,
    /// Its result; null until it ends, and once it is gone.
    pub result: Option<CleanupResult>,
    /// Why it was cancelled; null if it was not.
    pub cancel: Option<CancelView>,
}

/// Why a run was cancelled.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CancelView {
    /// `asked`, `guard`, `runtime`, `lockLost` or `backup`.
    pub kind: &'static str,
    /// The cause, for people.
    pub cause: String,
}

/// The progress of a run. Counts of keys include tasks that have ended, and running ones as far as they report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// Its state: `planned`, `scanning`, `reaping`, `reporting` or `done`.
    pub state: Cow<'static, str>,
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

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled {
    /// The run.
    pub run_id: RunId,
    /// Whether this request cancelled it: it had neither ended nor been cancelled before.
    pub cancelled: bool,
    /// Whether it had ended already.
    pub ended: bool,
}

fn line_json<S: Serializer>(line: &RunLine, serializer: S) -> Result<S::Ok, S::Error> {
    line.as_json().serialize(serializer)
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        Self {
            state: Cow::Borrowed(progress.phase.into()),
            keys: progress.keys,
            listed_keys: progress.read.listed,
            scanned_keys: progress.read.scanned,
            stale_ttl_keys: progress.read.stale,
            cleaned_keys: progress.totals.accounting.deleted,
        }
    }
}

/// What is displayed of a progress that came as JSON.
impl From<ProgressView> for Progress {
    fn from(view: ProgressView) -> Self {
        let phase = RunPhase::in_progress(&view.state).unwrap_or_default();
        let mut progress = Self { phase, ..Self::start(view.keys) };
        progress.totals.accounting.deleted = view.cleaned_keys;
        let (listed, scanned, stale) = (view.listed_keys, view.scanned_keys, view.stale_ttl_keys);
        progress.read = ReadSoFar { listed, scanned, stale };
        progress
    }
}

/// A run; `None` if it is not remembered.
///
/// # Errors
/// When the store fails.
pub async fn find(context: &Context, run: RunId) -> Result<Option<RunView>, RecordError> {
    let records = context.records(run);
    let line = match history::of(&*context.history_store, run).await? {
        Some(line) => Some(line),
        // It has just been stored.
        None => records.spec().await?.map(|spec| RunLine::begin(&spec)),
    };
    let Some(line) = line else { return Ok(None) };
    let progress = so_far(context, run).await?.map(ProgressView::from);
    let cancel = records.cancel().await?;
    let cancel = cancel.map(|Cancel { kind, cause }| CancelView { kind: kind.into(), cause });
    Ok(Some(RunView { run: line, progress, result: records.result().await?, cancel }))
}

/// The progress of a run by its records; `None` if there are none.
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
    let Some(spec) = fold.spec().filter(|_| fold.planned()) else {
        // The process of a run without workers keeps its records for itself, and shares what they amount to.
        return Ok(shared_run::read(context, run).await?.map(|shared| shared.progress));
    };
    let read = records.so_far().await?.unwrap_or_default();
    Ok(Some(Progress::new(RunPhase::Planned.advanced(&fold), spec.keys(), fold.totals(), read)))
}

/// Cancels a run at a safe point; `None` if there is no such run.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_progress_is_read_as_it_is_written() {
        let names = ["planned", "scanning", "reaping", "reporting"];
        for (n, state) in (1..).zip(names) {
            let document = json!({
                "state": state, "keys": 9 * n, "listedKeys": 8 * n, "scannedKeys": 7 * n, "staleTTLKeys": 6 * n,
                "cleanedKeys": 5 * n,
            });
            let view = ProgressView::deserialize(&document).expect("a progress");
            assert_eq!(json!(ProgressView::from(Progress::from(view))), document);
        }
    }
}
