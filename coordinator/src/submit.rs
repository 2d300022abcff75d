//! Starts a run on workers: acquires the job's lease, so that no other process starts it; stores the plan; then any
//! coordinator may drive the run.

use keysweep_model::ids::RunId;
use keysweep_runtime::context::Context;
use keysweep_storage::history;
use keysweep_storage::records::RecordError;
use keysweep_storage::store::StoreError;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::embedded::{RunError, check_deletions};
use crate::job_lock::{self, ASK_AGAIN, LockError};
use crate::lease::{self, Lease, LeasePhase, LeaseRecord, ObservedLease};
use crate::options::Options;
use crate::preflight::{Preflight, PreflightError};

/// Why a run was not started.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// A guard, or the lock in Redis, refused.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An unfinished earlier run has other options.
    #[error(
        "run `{0}` of the job was left, and was asked for something else than this one; `keysweep runs attach {0}` goes on with it, \
         `keysweep runs cancel {0}` stops it"
    )]
    Left(RunId),
    /// The store did not respond for so long that another process may have the job.
    #[error(
        "the lease of job `{0}` was lost while its run was being stored; see `runs list` before you try again"
    )]
    Lost(String),
}

impl SubmitError {
    /// Whether the job is being run, or a guard refused: then another attempt has the same result.
    #[must_use]
    pub fn refused(&self) -> bool {
        match self {
            Self::Run(e) => crate::exit::of_error(e) == crate::exit::REFUSED,
            other => matches!(other, Self::Left(_)),
        }
    }

    /// Whether the job's time limit was exceeded. Such a run is not attempted again, like one that is cancelled at its
    /// limit.
    #[must_use]
    pub fn out_of_time(&self) -> bool {
        matches!(self, Self::Run(e) if e.out_of_time())
    }
}

/// The result of starting a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for a driver.
    New(RunId),
    /// An earlier run of the job has lost its driver; it waits for another one.
    Resumed(RunId),
}

impl Submitted {
    /// The run to follow.
    #[must_use]
    pub fn run(self) -> RunId {
        match self {
            Self::New(run) | Self::Resumed(run) => run,
        }
    }
}

/// Stores `plan` as the job's run, after it was confirmed and its permissions were checked ([`Preflight::try_out`]).
/// Waits for another run of the job to end, as long as the options allow; an earlier run without a driver comes first.
///
/// # Errors
/// When another process runs the job, a guard refuses, or the store fails.
pub async fn submit(
    context: &Context,
    options: &Options,
    plan: &Preflight,
) -> Result<Submitted, SubmitError> {
    check_deletions(options, plan)?;
    let held = match take(context, options, plan).await? {
        ClaimOutcome::Ours(held) => held,
        ClaimOutcome::Left(run) => return Ok(Submitted::Resumed(run)),
    };
    let (run, done) = (plan.spec.run, CancellationToken::new());
    let storing = async {
        let stored = store(context, options, plan).await;
        done.cancel();
        stored
    };
    let (held, stored) =
        tokio::join!(held.renew_until(&*context.store, context.timing.lease, &done), storing);
    let Some(mut held) = held else { return Err(SubmitError::Lost(options.job.clone())) };
    // The write may have succeeded although it returned an error: the spec is stored last, so it shows whether the run
    // exists.
    let is_there = stored.is_ok() || context.records(run).spec().await?.is_some();
    let phase = if is_there { LeasePhase::Waiting } else { LeasePhase::Free };
    let kept = held.set_phase(&*context.store, phase).await?;
    if !is_there {
        stored?;
    }
    if !kept {
        return Err(SubmitError::Lost(options.job.clone()));
    }
    if let Err(e) = history::begin(&*context.history_store, &plan.spec).await {
        // The driver of the run records it, too.
        tracing::warn!(error = %e, "failed to record the run in the history");
    }
    Ok(Submitted::New(run))
}

/// Fails at once if the job is being run and the options do not allow to wait: a preflight makes lookups in Redis,
/// which the active run would count as the application's.
///
/// # Errors
/// When another process runs the job, or the store fails.
pub async fn check_free(context: &Context, options: &Options) -> Result<(), SubmitError> {
    let lease = context.timing.lease;
    match lease::read_lease(&*context.store, &options.job).await? {
        Some((hold, _)) if options.lock_wait.is_zero() && hold.recently_renewed(lease) => {
            // A run with a result is about to free the job.
            if has_ended(context, hold.run).await? { Ok(()) } else { Err(held(options, &hold, lease).into()) }
        }
        _ => Ok(()),
    }
}

async fn store(context: &Context, options: &Options, plan: &Preflight) -> Result<(), SubmitError> {
    let spec = &plan.spec;
    let records = context.records(spec.run);
    // A run without NATS is excluded only by the lock in Redis, so we take it, too. The driver of the run adopts it.
    let lock = if options.rules.writes() {
        Some(job_lock::take_for(plan, options, records.clone()).await?)
    } else {
        None
    };
    let stored = async {
        plan.note(context).await;
        plan.store(&records).await?;
        Ok(())
    };
    let stored = stored.await;
    if let (Err(_), Some(lock)) = (&stored, lock)
        && let Err(e) = lock.free().await
    {
        tracing::warn!(error = %e, "the lock in Redis remains until its lease ends");
    }
    stored
}

enum ClaimOutcome {
    Ours(Lease),
    Left(RunId),
}

/// Acquires the job's lease for the run of `plan`.
async fn take(context: &Context, options: &Options, plan: &Preflight) -> Result<ClaimOutcome, SubmitError> {
    let (store, lease) = (&*context.store, context.timing.lease);
    let until = job_lock::wait_until(options, &plan.time);
    let mut seen: Option<ObservedLease> = None;
    loop {
        let hold = LeaseRecord::begin(
            plan.spec.run,
            options.alias.clone(),
            LeasePhase::Starting,
            &options.started_by,
        );
        let there = lease::read_lease(store, &options.job).await?;
        let revision = there.as_ref().map(|(_, revision)| *revision);
        let open = match &there {
            None => true,
            Some((there, revision)) => {
                let observed = seen.get_or_insert_with(|| ObservedLease::now(there.clone(), *revision));
                observed.observe(there.clone(), *revision);
                // A waiting run may be taken by drivers, but not by a client that wants to start another one.
                let alive =
                    there.recently_renewed(lease) || observed.changed && there.phase != LeasePhase::Free;
                let ended = there.phase != LeasePhase::Free && has_ended(context, there.run).await?;
                if alive && !ended && Instant::now() >= until {
                    let job_is_free = "no other run of its job was active";
                    plan.time
                        .check(job_is_free)
                        .map_err(|over| RunError::from(PreflightError::from(over)))?;
                    return Err(held(options, there, lease).into());
                }
                there.is_acquirable(observed.unchanged(), lease) && !alive
            }
        };
        if open {
            if let Some((there, _)) = &there
                && let Some(left) = resume(context, there, plan).await?
            {
                return Ok(left);
            }
            if let Some(held) = lease::take(store, &options.job, revision, hold).await? {
                return Ok(ClaimOutcome::Ours(held));
            }
        }
        sleep(ASK_AGAIN).await;
    }
}

async fn has_ended(context: &Context, run: RunId) -> Result<bool, SubmitError> {
    Ok(context.records(run).result().await?.is_some())
}

/// The unfinished run of an expired lease. It continues with its own options, so a client with other options, such as
/// a dry run, a backup or another limit, must not resume it.
async fn resume(
    context: &Context,
    hold: &LeaseRecord,
    plan: &Preflight,
) -> Result<Option<ClaimOutcome>, SubmitError> {
    let spec = context.records(hold.run).verified_spec().await?.filter(|_| hold.phase != LeasePhase::Free);
    let Some(spec) = spec else { return Ok(None) };
    if has_ended(context, hold.run).await? {
        return Ok(None);
    }
    let same = spec.has_same_request(&plan.spec);
    if same { Ok(Some(ClaimOutcome::Left(hold.run))) } else { Err(SubmitError::Left(hold.run)) }
}

fn held(options: &Options, hold: &LeaseRecord, lease: std::time::Duration) -> RunError {
    RunError::Lock(LockError::Held {
        job: options.job.clone(),
        holder: format!("by {} since {} (run {})", hold.process_id, hold.since, hold.run),
        lease_left: lease.as_secs(),
    })
}
