//! The part of the service that drives runs: those that wait for a driver, and those whose coordinator has died.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::messages::{Attempt, RunSpec};
use keysweep_model::result::Status;
use keysweep_model::time::now;
use keysweep_storage::store::StoreError;
use keysweep_tasks::pause::pause;
use keysweep_tasks::supervision::TaskGroup;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::reload::Current;
use super::{ServedJob, ServiceState, record_failure};
use crate::drive::{DriveError, RunDisplay};
use crate::leader::{LeaderError, LeaderExit, lead};
use crate::lease::{self, LEASES, Lease, LeasePhase, LeaseRecord, ObservedLease};
use crate::options::Options;
use crate::schedule::backoff;

/// How often the observed leases are checked.
const TICK: Duration = Duration::from_millis(200);

/// Drives runs until the shutdown.
pub(super) async fn run(current: &Current) -> Result<(), StoreError> {
    let shared = Arc::clone(&current.borrow());
    let mut watch = shared.context.store.watch(LEASES).await?;
    let mut seen: BTreeMap<String, ObservedLease> = BTreeMap::new();
    let (mut tasks, mut driving) = (TaskGroup::default(), BTreeSet::new());
    // Failed attempts; the task of a run ends only when its failure has been received.
    let (failed, mut failures) = mpsc::channel(1);
    while !shared.shutdown.is_cancelled() {
        tokio::select! {
            () = shared.shutdown.cancelled() => break,
            entry = watch.next() => {
                let entry = entry?;
                let job = entry.key.strip_prefix(LEASES).unwrap_or_default().to_owned();
                if let Some(hold) = LeaseRecord::read(&entry) {
                    seen.entry(job).or_insert_with(|| ObservedLease::now(hold.clone(), entry.revision)).observe(hold, entry.revision);
                }
            }
            Some((job, _)) = tasks.next() => drop(driving.remove(&job)),
            Some(FailedRun { job, attempt }) = failures.recv() => {
                let shared = Arc::clone(&current.borrow());
                tasks.start("another attempt", async move { retry(&shared, &job, attempt).await });
            }
            () = sleep(TICK) => {}
        }
        let shared = &Arc::clone(&current.borrow());
        for (job, observed) in &seen {
            if driving.contains(job) || !may_take_over(shared, observed) {
                continue;
            }
            let taken = take(shared, job, observed).await.unwrap_or_else(|e| {
                tracing::warn!(job, error = %e, "failed to take over a run, will retry");
                None
            });
            if let Some(held) = taken {
                driving.insert(job.clone());
                let (shared, failed) = (Arc::clone(shared), failed.clone());
                tasks.start(job.clone(), async move { drive(&shared, held, &failed).await });
            }
        }
    }
    // Failed attempts are not received any more.
    drop(failures);
    tasks.join().await;
    Ok(())
}

fn may_take_over(shared: &ServiceState, observed: &ObservedLease) -> bool {
    observed.record.phase != LeasePhase::Free
        && observed.record.is_acquirable(observed.unchanged(), shared.context.timing.lease)
        && shared.context.access.contains_key(&observed.record.redis)
}

/// Acquires the lease of a run to drive it; frees it, if the run was never stored.
async fn take(
    shared: &ServiceState,
    job: &str,
    observed: &ObservedLease,
) -> Result<Option<Lease>, StoreError> {
    let store = &*shared.context.store;
    let stored = shared.context.records(observed.record.run).spec().await;
    let phase = if matches!(stored, Ok(None)) { LeasePhase::Free } else { LeasePhase::Driven };
    let hold =
        LeaseRecord::begin(observed.record.run, observed.record.redis.clone(), phase, &shared.process_id);
    let held = lease::take(store, job, Some(observed.revision), hold).await?;
    Ok(held.filter(|_| phase == LeasePhase::Driven))
}

/// A failed attempt, and its specification.
struct FailedRun {
    job: ServedJob,
    attempt: Attempt,
}

async fn drive(
    shared: &ServiceState,
    held: Lease,
    failed: &mpsc::Sender<FailedRun>,
) -> Result<(), LeaderError> {
    let (run, job) = (held.record.run, held.job.clone());
    tracing::info!(%run, job, "driving a run");
    let display = RunDisplay::default();
    let _driven = shared.driven.enter(run, display.view());
    match lead(&shared.context, held, &shared.shutdown, display).await {
        Ok(LeaderExit::Ended(result)) => {
            tracing::info!(%run, job, status = ?result.status, "a run has ended");
            if let (Status::Failed, Some(job)) = (result.status, shared.job(&job)) {
                let spec = shared.context.records(run).spec().await.map_err(DriveError::from)?;
                if let Some(options) = spec.and_then(|spec| retry_options(shared, &spec, job)) {
                    let job = ServedJob { options, ..job.clone() };
                    // This fails only during the shutdown.
                    let attempt = Attempt { previous: Some(run), ..result.attempt };
                    let _ = failed.send(FailedRun { job, attempt }).await;
                }
            }
            Ok(())
        }
        Ok(LeaderExit::Released) => {
            tracing::info!(%run, job, "released a run");
            Ok(())
        }
        Ok(LeaderExit::LeaseLost) => Ok(()),
        Err(e) => {
            tracing::error!(%run, job, error = %e, "failed to drive a run; it can be taken over when its lease ends");
            Err(e)
        }
    }
}

/// The options of another attempt at the run `first`: those of that run, even if the job has changed.
pub(super) fn retry_options(shared: &ServiceState, first: &RunSpec, job: &ServedJob) -> Option<Options> {
    let access = shared.context.access(&first.alias, first.db);
    let options = access.and_then(|access| Options::retry_of(first, access, &job.options));
    if options.is_none() {
        let run = first.run;
        tracing::warn!(%run, "no further attempt: the options of the run or the address of its servers are not known here");
    }
    options
}

/// Starts the attempts after a failed one, until one starts or none is left. The driver of the run handles its result.
pub(super) async fn retry(
    shared: &Arc<ServiceState>,
    job: &ServedJob,
    mut failed: Attempt,
) -> Result<(), std::convert::Infallible> {
    while failed.number < failed.of {
        let wait = backoff(job.backoff, failed.number);
        tracing::warn!(
            job = job.options.job,
            attempt = failed.number,
            of = failed.of,
            "failed; the next attempt starts in {} s",
            wait.as_secs()
        );
        let attempt = Attempt { number: failed.number + 1, ..failed };
        let next = NextAttempt { due: now().saturating_add(wait).unwrap_or(Timestamp::MAX), attempt };
        let waiting = shared.attempts.enter(job.options.job.clone(), next);
        if !pause(wait, &shared.shutdown).await {
            return Ok(());
        }
        drop(waiting);
        match begin(shared, job, attempt, "another attempt").await {
            StartOutcome::Done => return Ok(()),
            StartOutcome::Failed(previous) => failed = Attempt { previous, ..attempt },
        }
    }
    Ok(())
}

/// An attempt that waits for its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextAttempt {
    /// When it begins.
    pub(super) due: Timestamp,
    /// Which one it is.
    pub(super) attempt: Attempt,
}

/// The result of starting an attempt.
pub(super) enum StartOutcome {
    /// It runs, or must not be retried.
    Done,
    /// It failed, and is recorded in the history under this id.
    Failed(Option<keysweep_model::ids::RunId>),
}

/// Starts one attempt at a job.
pub(super) async fn begin(
    shared: &Arc<ServiceState>,
    job: &ServedJob,
    attempt: Attempt,
    why: &str,
) -> StartOutcome {
    let started_by = format!("{why}, by {}", shared.process_id);
    let options = Options { attempt, started_by, ..job.options.clone() };
    match shared.start(&options).await {
        Ok(submitted) => {
            tracing::info!(run = %submitted.run(), job = options.job, "started a run");
            StartOutcome::Done
        }
        Err(e) => {
            tracing::error!(job = options.job, error = %e, "no run could be started");
            let noted = record_failure(&shared.context, &options, &e.to_string()).await;
            if let Err(e) = &noted {
                tracing::error!(error = %e, "failed to record a failed attempt");
            }
            // Another attempt would be refused, too.
            let is_final = e.refused() || e.out_of_time();
            if is_final { StartOutcome::Done } else { StartOutcome::Failed(noted.ok()) }
        }
    }
}
