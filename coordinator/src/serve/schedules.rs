//! The part of the service that starts scheduled runs. Several services may run: the first one to claim a due time
//! starts its run.

use std::sync::Arc;

use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::messages::Attempt;
use keysweep_model::time::{now, now_ms};
use keysweep_storage::events::{Event, EventKind, MissedData};
use keysweep_storage::store::{self, Created, Entry, StoreError};
use keysweep_tasks::pause::pause;
use reporter::counted;
use serde_json::json;

use super::takeover::{StartOutcome, begin, retry};
use super::{ServedJob, ServiceState, auto_schedule};
use crate::options::Options;
use crate::schedule::{JobSchedule, Schedule};

/// Starts the runs of job `number` when they are due, as long as these jobs are served.
pub(super) async fn run(shared: &Arc<ServiceState>, number: usize) -> Result<(), StoreError> {
    let Some(job) = shared.jobs.get(number) else { return Ok(()) };
    let (name, due) = (&job.options.display_name, job.schedule.describe());
    let schedule = match &job.schedule {
        JobSchedule::Cron(schedule) => schedule,
        JobSchedule::Auto(bounds) => {
            tracing::info!("[{name}] ✓ Scheduled cleanup job ({due})");
            return auto_schedule::run(shared, job, bounds).await;
        }
    };
    tracing::info!("[{name}] ✓ Scheduled cleanup job ({due}; next: {})", next_text(schedule));
    let mut last = match shared.since {
        Some(since) => since,
        None => catch_up(shared, job, schedule).await?,
    };
    while let Some(next) = schedule.next_after(last.min(now())) {
        if !shared.wait_until(next).await {
            break;
        }
        // The machine may have been suspended over several due times: they are one run.
        let now = now().max(next);
        let due = schedule.missed(last, now).map_or(next, |missed| missed.last);
        last = now;
        if claim_soon(shared, job, due).await {
            start(shared, job, "schedule").await;
        }
    }
    Ok(())
}

/// Claims a due time, as soon as the store can be written: a full disk must not end the service.
pub(super) async fn claim_soon(shared: &ServiceState, job: &ServedJob, due: Timestamp) -> bool {
    let _unclaimed = shared.unclaimed.enter(job.options.job.clone(), due);
    loop {
        match claim(shared, job, due).await {
            Ok(claimed) => return claimed,
            Err(e) => {
                tracing::error!(job = job.options.job, error = %e, "a run is due and cannot be recorded, will retry");
            }
        }
        if !pause(shared.context.timing.clock_check, &shared.shutdown).await {
            return false;
        }
    }
}

fn next_text(schedule: &Schedule) -> String {
    schedule.next_after(now()).map_or_else(|| "never".to_owned(), |next| next.to_string())
}

/// Reports the due times since the last claimed one, and starts one run for them if the job requires it. Returns the
/// time from which due times are awaited.
async fn catch_up(
    shared: &Arc<ServiceState>,
    job: &ServedJob,
    schedule: &Schedule,
) -> Result<Timestamp, StoreError> {
    let now = now();
    let Some(last) = last_claimed(shared, job).await? else { return Ok(now) };
    let Some(missed) = schedule.missed(last, now) else { return Ok(now) };
    let (count, first, latest) = (missed.count, missed.first, missed.last);
    if !claim(shared, job, latest).await? {
        return Ok(now);
    }
    let name = &job.options.display_name;
    tracing::warn!(
        "[{name}] {} due while no service was running, from {first} to {latest}",
        counted(count, "run was", "runs were")
    );
    shared.context.telemetry.missed(&job.options.job, &job.options.alias, count);
    let data =
        MissedData { count, first: first.to_string(), last: latest.to_string(), caught_up: job.catch_up };
    let event = Event::once(&job.options.job, RunId::new(), EventKind::Missed, now_ms(), json!(data));
    shared.context.emit_event(&event).await;
    if job.catch_up {
        start(shared, job, "schedule, late").await;
    }
    Ok(now)
}

pub(super) async fn start(shared: &Arc<ServiceState>, job: &ServedJob, why: &str) {
    let first = Attempt { number: 1, of: job.attempts, previous: None };
    let options = Options { scheduled: true, ..job.options.clone() };
    let job = &ServedJob { options, ..job.clone() };
    if let StartOutcome::Failed(previous) = begin(shared, job, first, why).await {
        let Ok(()) = retry(shared, job, Attempt { previous, ..first }).await;
    }
}

/// Claims a due time of a job; `false` if another service has claimed it.
async fn claim(shared: &ServiceState, job: &ServedJob, due: Timestamp) -> Result<bool, StoreError> {
    let key = format!("{}{}", prefix(job), due.as_millisecond());
    let value = shared.process_id.clone().into_bytes();
    Ok(matches!(shared.context.history_store.create(&key, value).await?, Created::Now(_)))
}

/// The latest due time of a job that a service claimed.
pub(super) async fn last_claimed(
    shared: &ServiceState,
    job: &ServedJob,
) -> Result<Option<Timestamp>, StoreError> {
    let prefix = prefix(job);
    let claimed = store::all(&*shared.context.history_store, &prefix).await?;
    let time = |entry: &Entry| {
        let ms = entry.key.strip_prefix(&prefix)?.parse().ok()?;
        Timestamp::from_millisecond(ms).ok()
    };
    Ok(claimed.iter().filter_map(time).max())
}

fn prefix(job: &ServedJob) -> String {
    format!("due/{}/", job.options.job)
}
