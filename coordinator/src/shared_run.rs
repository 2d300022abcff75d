//! What a run in one process shares with other processes through the state file: how far it is, and their request to
//! stop it.

use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::duration::millis;
use keysweep_model::ids::RunId;
use keysweep_model::time::now_ms;
use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_storage::history::RunLine;
use keysweep_storage::records::{RecordError, Records};
use keysweep_storage::store::{self, Store, StoreError};
use keysweep_tasks::supervision::TaskGroup;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::drive::{Progress, RunDetail, ShownRun};
use crate::state::kept_records;

/// How often a run writes its progress. Each time is one commit.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How often a run looks for a request to stop.
const STOP_POLL: Duration = Duration::from_millis(250);

/// Without progress for so long, the process of a run counts as gone.
pub const SILENT_AFTER: Duration = Duration::from_secs(60);

/// The progress of a run, and when its process wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedProgress {
    /// In milliseconds since the epoch.
    pub at_ms: u64,
    /// The progress.
    pub progress: Progress,
    /// Where the run is; absent before its first task, and from earlier versions.
    #[serde(default)]
    pub detail: Option<RunDetail>,
}

/// Shares the run `run` of `context` until the tasks are dropped.
pub(crate) fn start(context: &Context, run: RunId, view: ShownRun) -> TaskGroup {
    let mut tasks = TaskGroup::default();
    let (kept, own) = (kept_records(context, run), context.records(run));
    tasks.start("stops by other processes", async move { pass_on_stop(&kept, &own).await });
    let context = context.clone();
    tasks.start::<StoreError>("the progress in the state file", async move {
        loop {
            let (progress, detail) = (*view.progress.borrow(), view.detail.borrow().as_deref().cloned());
            let now = SharedProgress { at_ms: now_ms(), progress, detail };
            // It is for display; what must be recorded stops the run by itself if it fails.
            if let Err(e) = write(&*context.history_store, run, &now).await {
                tracing::debug!(error = %e, "the progress is not kept");
            }
            sleep(PROGRESS_EVERY).await;
        }
    });
    tasks
}

/// Cancels the run once another process has stored a cancel in the state file.
async fn pass_on_stop(kept: &Records, own: &Records) -> Result<(), RecordError> {
    loop {
        match kept.cancel().await {
            Ok(Some(cancel)) => return own.create_cancel(&cancel).await.map(drop),
            Ok(None) => {}
            // The file may be readable again.
            Err(e) => tracing::debug!(error = %e, "a request to stop cannot be read"),
        }
        sleep(STOP_POLL).await;
    }
}

fn key(run: RunId) -> String {
    format!("progress/{run}/shared")
}

async fn write(store: &dyn Store, run: RunId, progress: &SharedProgress) -> Result<(), StoreError> {
    let value = serde_json::to_vec(progress).map_err(|e| StoreError(e.to_string()))?;
    let before = store.get(&key(run)).await?.map(|entry| entry.revision);
    store::write(store, &key(run), value, before).await.map(drop)
}

/// What the process of a run wrote last; `None` if nothing.
///
/// # Errors
/// When the store fails.
pub async fn read(context: &Context, run: RunId) -> Result<Option<SharedProgress>, StoreError> {
    let entry = context.history_store.get(&key(run)).await?;
    Ok(entry.and_then(|entry| wire::from_json(&entry.value).ok()))
}

/// Whether the process of a run shares it, and has written something in the last [`SILENT_AFTER`].
///
/// # Errors
/// When the store fails.
pub async fn is_running(context: &Context, run: RunId, now_ms: u64) -> Result<bool, StoreError> {
    Ok(read(context, run).await?.is_some_and(|shared| is_recent(shared.at_ms, now_ms)))
}

/// Whether the process of a run without an end has written nothing for [`SILENT_AFTER`].
///
/// # Errors
/// When the store fails.
pub async fn is_silent(context: &Context, line: &RunLine, now_ms: u64) -> Result<bool, StoreError> {
    let written = read(context, line.run_id).await?.map(|shared| shared.at_ms);
    let started = || line.started_at.parse::<Timestamp>().map_or(0, |at| at.as_millisecond().unsigned_abs());
    Ok(!is_recent(written.unwrap_or_else(started), now_ms))
}

fn is_recent(at_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(at_ms) < millis(SILENT_AFTER)
}
