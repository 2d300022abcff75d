//! Driving a run that workers do, as the one coordinator that holds its job.

use std::time::Duration;

use shared::cluster::{Deployment, Fault, ours};
use shared::env::Env;
use shared::history;
use shared::limits::NOT_READY_TIMEOUT;
use shared::messages::{Cancel, CancelKind, RunSpec};
use shared::records::Records;
use shared::result::CleanupResult;
use shared::supervise::Crew;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::drive::{DriveError, Progress, drive};
use crate::hold::{Held, Hold, Phase};
use crate::job_lock::{self, JobLock, LockError, LockOrder};
use crate::lines::Lines;

/// The pause before the lock in Redis is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// How driving a run ended.
#[derive(Debug)]
pub enum Conducted {
    /// It has its result.
    Ended(Box<CleanupResult>),
    /// We were told to stop; whoever comes next goes on.
    HandedOver,
    /// Somebody else drives it now.
    Lost,
}

/// Why a run could not be driven.
#[derive(Debug, Error)]
pub enum ConductError {
    /// The records failed.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] shared::store::StoreError),
}

/// Drives the run of `held` to its end, unless `shutdown` comes first or the hold is lost.
///
/// # Errors
/// When the store fails for good. The hold then runs out, and somebody else may go on.
pub async fn conduct(env: &Env, held: Held, shutdown: &CancellationToken) -> Result<Conducted, ConductError> {
    let (run, job, who) = (held.hold.run, held.job.clone(), held.hold.who.clone());
    let records = env.records(run);
    let Some(spec) = records.believed_spec().await.map_err(DriveError::from)? else {
        return free(env, held).await.map(|()| Conducted::Lost);
    };
    // Whoever stored the run may have died before he noted it, and reporters go by this.
    history::begin(&*env.past, &spec).await?;
    if let Some(stranger) = stranger(env, &spec).await {
        let cancel = Cancel { kind: CancelKind::Guard, cause: stranger.to_string() };
        records.create_cancel(&cancel).await.map_err(DriveError::from)?;
    }
    let lines = Lines::of(&spec);
    lines.start(&spec);
    let (unlock, done) = (CancellationToken::new(), CancellationToken::new());
    let mut keeper = Crew::default();
    if spec.rules.action.writes() {
        let (env, records, unlock) = (env.clone(), records.clone(), unlock.clone());
        let hold = held.hold.clone();
        keeper.start("lock", async move { guard(&env, &job, &spec, &hold, records, unlock).await });
    }
    let (progress, seen) = watch::channel(Progress::start(0));
    let keep = held.keep(&*env.store, env.timing.lease, &done);
    let mut keep = Box::pin(keep);
    let mut driving = Box::pin(async {
        let driven = drive(env, run, &who, progress);
        tokio::join!(driven, lines.announce(seen)).0
    });
    let driven = tokio::select! {
        driven = &mut driving => Some(driven),
        () = shutdown.cancelled() => None,
        _ = &mut keep => {
            tracing::warn!(%run, "lost the lease of a run; whoever holds it now goes on with it");
            return Ok(Conducted::Lost);
        }
    };
    drop(driving);
    done.cancel();
    let Some(mut held) = keep.await else { return Ok(Conducted::Lost) };
    match driven {
        Some(Ok(result)) => {
            unlock.cancel();
            for (name, exit) in keeper.join().await {
                tracing::warn!(name, %exit, "the lock stays behind until its lease ends");
            }
            free(env, held).await?;
            lines.end(&result);
            Ok(Conducted::Ended(Box::new(result)))
        }
        Some(Err(DriveError::Fenced(_))) => Ok(Conducted::Lost),
        Some(Err(e)) => Err(e.into()),
        None => {
            held.set(&*env.store, Phase::Waiting).await?;
            Ok(Conducted::HandedOver)
        }
    }
}

/// What is wrong with the deployment that our settings mean by the run's alias, if it is another one than was planned
/// for: then nothing may be done there. One that does not answer may be the right one.
async fn stranger(env: &Env, spec: &RunSpec) -> Option<Fault> {
    let deployment = Deployment::discover(env.access(&spec.alias, spec.db)?).await.ok()?;
    let topology = deployment.topology();
    if let Err(fault) = ours::check_topology(spec, &topology) {
        return Some(fault);
    }
    let only = topology.primaries.first().filter(|_| !spec.cluster)?;
    let status = deployment.status(&only.node).await.ok()?;
    ours::check_process(spec, &only.node, &status.process).err()
}

async fn free(env: &Env, mut held: Held) -> Result<(), ConductError> {
    held.set(&*env.store, Phase::Free).await?;
    Ok(())
}

/// Keeps the lock in Redis, which keeps away runs that know nothing of NATS, and gives it back at the end. A run
/// that cannot have it is stopped.
async fn guard(
    env: &Env,
    job: &str,
    spec: &RunSpec,
    hold: &Hold,
    records: Records,
    unlock: CancellationToken,
) -> Result<(), LockError> {
    let lost = match adopt(env, job, spec, &records, &unlock).await {
        Ok(lock) => JobLock::keep(lock, unlock).await?,
        // The run has ended all the same.
        Err(e) if unlock.is_cancelled() => return Err(e),
        Err(e) => Some(format!("the lock of the job could not be taken: {e}")),
    };
    // If the run is somebody else's now, so is its lock, and it is not for us to stop it.
    if let Some(why) = lost
        && Held::is_ours(&*env.store, job, hold).await.unwrap_or(false)
    {
        job_lock::stop(&records, why).await;
    }
    Ok(())
}

/// Takes the lock over from whoever drove the run before us, or takes it. Tries at least once, so that the lock of
/// a run that has ended is not left behind.
async fn adopt(
    env: &Env,
    job: &str,
    spec: &RunSpec,
    records: &Records,
    unlock: &CancellationToken,
) -> Result<JobLock, LockError> {
    let until = Instant::now() + NOT_READY_TIMEOUT;
    let access = env.access(&spec.alias, spec.db);
    let access = access.unwrap_or_else(|| shared::cluster::Access::open(Vec::new()));
    let order = LockOrder { job: job.to_owned(), access, until: Instant::now(), end: None, adopt: true };
    loop {
        match job_lock::take(&order, records.clone(), spec).await {
            Err(LockError::Redis(fault)) if Instant::now() < until && !unlock.is_cancelled() => {
                tracing::warn!(error = %fault, "the lock in Redis cannot be had at the moment");
                tokio::select! {
                    () = unlock.cancelled() => {}
                    () = sleep(RETRY) => {}
                }
            }
            done => return done,
        }
    }
}
