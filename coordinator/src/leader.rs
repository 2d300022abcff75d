//! Drives a run on workers, as the one coordinator that has the lease of its job.

use std::time::Duration;

use keysweep_model::messages::{Cancel, CancelKind, RunSpec};
use keysweep_model::result::CleanupResult;
use keysweep_redis::{RedisClient, RedisError, same_deployment};
use keysweep_runtime::context::Context;
use keysweep_storage::history;
use keysweep_storage::records::Records;
use keysweep_tasks::pause::pause;
use keysweep_tasks::supervision::TaskGroup;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::drive::{DriveError, RunDisplay, drive};
use crate::job_lock::{self, JobLock, LockError, LockRequest};
use crate::lease::{Lease, LeasePhase, LeaseRecord};
use crate::limits::NOT_READY_TIMEOUT;
use crate::run_log::RunLog;

/// The pause before the next attempt to take the lock in Redis.
const RETRY: Duration = Duration::from_secs(1);

/// How driving a run ended.
#[derive(Debug)]
pub enum LeaderExit {
    /// The run has its result.
    Ended(Box<CleanupResult>),
    /// The shutdown came; the next coordinator continues the run.
    Released,
    /// The lease was lost: another process acquired it, or it could not be renewed in time. Its next holder drives on.
    LeaseLost,
}

/// Why a run could not be driven.
#[derive(Debug, Error)]
pub enum LeaderError {
    /// The records failed.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] keysweep_storage::store::StoreError),
}

/// Drives the run of `held` to its end, unless `shutdown` comes first or the lease is lost.
///
/// # Errors
/// When the store fails for good. The lease then expires, and another coordinator may continue the run.
pub async fn run_as_leader(
    context: &Context,
    held: Lease,
    shutdown: &CancellationToken,
) -> Result<LeaderExit, LeaderError> {
    lead(context, held, shutdown, RunDisplay::default()).await
}

/// [`run_as_leader`], which shows the run at `display`.
///
/// # Errors
/// As there.
pub async fn lead(
    context: &Context,
    held: Lease,
    shutdown: &CancellationToken,
    display: RunDisplay,
) -> Result<LeaderExit, LeaderError> {
    let (run, job, who) = (held.record.run, held.job.clone(), held.record.process_id.clone());
    let records = context.records(run);
    let Some(spec) = records.verified_spec().await.map_err(DriveError::from)? else {
        return free(context, held).await.map(|()| LeaderExit::LeaseLost);
    };
    // The process that stored the run may have died before it recorded this, and reporters rely on it.
    history::begin(&*context.history_store, &spec).await?;
    if let Some(wrong) = wrong_deployment(context, &spec).await {
        let cancel = Cancel { kind: CancelKind::Guard, cause: wrong.to_string() };
        records.create_cancel(&cancel).await.map_err(DriveError::from)?;
    }
    let lines = RunLog::of(&spec);
    lines.start(&spec);
    display.plan(spec.keys());
    let seen = display.view().progress;
    let (unlock, done) = (CancellationToken::new(), CancellationToken::new());
    let mut keeper = TaskGroup::default();
    if spec.rules.writes() {
        let (env, records, unlock) = (context.clone(), records.clone(), unlock.clone());
        let hold = held.record.clone();
        keeper.start("lock", async move { hold_job_lock(&env, &job, &spec, &hold, records, unlock).await });
    }
    let keep = held.renew_until(&*context.store, context.timing.lease, &done);
    let mut keep = Box::pin(keep);
    let mut driving = Box::pin(async {
        let driven = drive(context, run, &who, display);
        tokio::join!(driven, lines.announce(seen)).0
    });
    let driven = tokio::select! {
        driven = &mut driving => Some(driven),
        () = shutdown.cancelled() => None,
        _ = &mut keep => {
            tracing::warn!(%run, "lost the lease of a run, or failed to renew it in time; the next holder of the lease continues the run");
            return Ok(LeaderExit::LeaseLost);
        }
    };
    drop(driving);
    done.cancel();
    let Some(mut held) = keep.await else { return Ok(LeaderExit::LeaseLost) };
    match driven {
        Some(Ok(result)) => {
            unlock.cancel();
            for (name, exit) in keeper.join().await {
                tracing::warn!(name, %exit, "the lock remains until its lease ends");
            }
            free(context, held).await?;
            lines.end(&result);
            Ok(LeaderExit::Ended(Box::new(result)))
        }
        Some(Err(DriveError::Fenced(_))) => Ok(LeaderExit::LeaseLost),
        Some(Err(e)) => Err(e.into()),
        None => {
            held.set_phase(&*context.store, LeasePhase::Waiting).await?;
            Ok(LeaderExit::Released)
        }
    }
}

/// The error if the deployment in our settings is another one than the run was planned for: then the run must not act
/// there. A deployment that does not respond may be the right one.
async fn wrong_deployment(context: &Context, spec: &RunSpec) -> Option<RedisError> {
    let client = RedisClient::discover(context.access(&spec.alias, spec.db)?).await.ok()?;
    let topology = client.topology();
    if let Err(fault) = same_deployment::verify_topology(spec, &topology) {
        return Some(fault);
    }
    let only = topology.primaries.first().filter(|_| !spec.cluster)?;
    let status = client.status(&only.node).await.ok()?;
    same_deployment::verify_process(spec, &only.node, &status.process).err()
}

async fn free(context: &Context, mut held: Lease) -> Result<(), LeaderError> {
    held.set_phase(&*context.store, LeasePhase::Free).await?;
    Ok(())
}

/// Holds the lock in Redis, which excludes runs without NATS, and frees it at the end. A run that cannot take it is
/// cancelled.
async fn hold_job_lock(
    context: &Context,
    job: &str,
    spec: &RunSpec,
    hold: &LeaseRecord,
    records: Records,
    unlock: CancellationToken,
) -> Result<(), LockError> {
    let lost = match adopt_lock(context, job, spec, &records, &unlock).await {
        Ok(lock) => JobLock::renew_until(lock, unlock).await?,
        // The run has ended all the same.
        Err(e) if unlock.is_cancelled() => return Err(e),
        Err(e) => Some(format!("the lock of the job could not be taken: {e}")),
    };
    // If another coordinator drives the run now, the lock is its own, and we must not cancel the run.
    if let Some(why) = lost
        && Lease::is_ours(&*context.store, job, hold).await.unwrap_or(false)
    {
        job_lock::stop(&records, why).await;
    }
    Ok(())
}

/// Adopts the lock from the previous coordinator, or takes it. Tries at least once, so that the lock of a run that has
/// ended is freed.
async fn adopt_lock(
    context: &Context,
    job: &str,
    spec: &RunSpec,
    records: &Records,
    unlock: &CancellationToken,
) -> Result<JobLock, LockError> {
    let until = Instant::now() + NOT_READY_TIMEOUT;
    let access = context.access(&spec.alias, spec.db);
    let access = access.unwrap_or_else(|| keysweep_redis::ConnectOptions::open(Vec::new()));
    let order = LockRequest { job: job.to_owned(), access, until: Instant::now(), end: None, adopt: true };
    loop {
        match job_lock::take(&order, records.clone(), spec).await {
            Err(LockError::Redis(fault)) if Instant::now() < until && !unlock.is_cancelled() => {
                tracing::warn!(error = %fault, "failed to take the lock in Redis, will retry");
                pause(RETRY, unlock).await;
            }
            done => return done,
        }
    }
}
