//! Starts a run of a job: preflight, then the records that define the run.

use keysweep_model::ids::RunId;
use keysweep_model::result::Status;
use keysweep_model::time::now_ms;
use keysweep_runtime::context::Context;
use keysweep_storage::events::{Event, EventKind, FailedAttemptData};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store::StoreError;
use reporter::alerting;
use serde_json::json;

use crate::embedded::RunError;
use crate::options::Options;
use crate::preflight::preflight;
use crate::submit::{SubmitError, Submitted, check_free, submit};

/// Starts a run on workers, and returns as soon as it is stored and waits for them: the library's way to start a run
/// over NATS.
///
/// # Errors
/// When it cannot start.
pub async fn start_run(context: &Context, options: &Options) -> Result<Submitted, SubmitError> {
    check_free(context, options).await?;
    let mut looked = preflight(options, RunId::new(), now_ms()).await.map_err(RunError::from)?;
    looked.try_out(options).await.map_err(RunError::from)?;
    submit(context, options, &looked).await
}

/// Records an attempt that failed before it had a run, so that it is visible. Returns its id in the history.
///
/// # Errors
/// When the store fails.
pub async fn record_failure(context: &Context, options: &Options, cause: &str) -> Result<RunId, StoreError> {
    let (run, now) = (RunId::new(), now_ms());
    let line = RunLine {
        started_by: options.started_by.clone(),
        scheduled: options.scheduled,
        attempt: options.attempt,
        dry_run: options.dry_run,
        ..RunLine::failed(run, &options.job, &options.alias, now, cause)
    };
    let data = FailedAttemptData { status: Status::Failed, issues: [cause], attempt: options.attempt };
    context.emit_event(&Event::once(&options.job, run, EventKind::Failed, now, json!(data))).await;
    history::write(&*context.history_store, &line).await?;
    let runs = alerting::runs_of(context, &options.job).await?;
    alerting::evaluate_alerts(context, &options.job, &runs, (&[], &options.application.hit_rate), None, None)
        .await?;
    Ok(run)
}
