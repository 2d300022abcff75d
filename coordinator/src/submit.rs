//! Starting a run that workers do: the job is taken, so that nobody else starts it; the plan is stored; and then
//! whoever drives runs may take it from there.

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
    /// A guard, or the lock in Redis.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An earlier run that was asked for something else was left.
    #[error(
        "run `{0}` of the job was left, and was asked for something else than this one; `keysweep runs attach {0}` goes on with it, \
         `keysweep runs cancel {0}` stops it"
    )]
    Left(RunId),
    /// The store did not answer for so long that somebody else may have the job.
    #[error("the hold of job `{0}` was lost while its run was being stored; nothing was started, try again")]
    Lost(String),
}

/// What came of starting a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for somebody to drive it.
    New(RunId),
    /// An earlier run of the job was left by whoever drove it; it waits for somebody to go on with it.
    Resumed(RunId),
}

impl Submitted {
    /// The run that is to be followed.
    #[must_use]
    pub fn run(self) -> RunId {
        match self {
            Self::New(run) | Self::Resumed(run) => run,
        }
    }
}

/// Stores what `survey` planned as the job's run, once that was agreed to and tried ([`Preflight::try_out`]). Waits for another run of the job to end, as long as the options
/// say; an earlier run that nobody drives any more comes first.
///
/// # Errors
/// When somebody else runs the job, a guard refuses, or the store fails.
pub async fn submit(
    context: &Context,
    options: &Options,
    plan: &Preflight,
) -> Result<Submitted, SubmitError> {
    check_deletions(options, &plan.estimate)?;
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
    // What failed may have been the answer only: the spec comes last, so it tells whether there is a run.
    let is_there = stored.is_ok() || context.records(run).spec().await?.is_some();
    let phase = if is_there { LeasePhase::Waiting } else { LeasePhase::Free };
    let kept = held.set(&*context.store, phase).await?;
    if !is_there {
        stored?;
    }
    if !kept {
        return Err(SubmitError::Lost(options.job.clone()));
    }
    if let Err(e) = history::begin(&*context.history_store, &plan.spec).await {
        // Whoever drives the run notes it, too.
        tracing::warn!(error = %e, "the run is not in the history yet");
    }
    Ok(Submitted::New(run))
}

/// Refuses at once, before anything is looked at, if the job is being run and nobody wants to wait for that: looking
/// around counts as look-ups in Redis, which the run that goes on would take for those of the application.
///
/// # Errors
/// When somebody else runs the job, or the store fails.
pub async fn check_free(context: &Context, options: &Options) -> Result<(), SubmitError> {
    let lease = context.timing.lease;
    match lease::read_lease(&*context.store, &options.job).await? {
        Some((hold, _)) if options.lock_wait.is_zero() && hold.recently_renewed(lease) => {
            // A run that has its result is about to free the job.
            if has_ended(context, hold.run).await? { Ok(()) } else { Err(held(options, &hold, lease).into()) }
        }
        _ => Ok(()),
    }
}

async fn store(context: &Context, options: &Options, plan: &Preflight) -> Result<(), SubmitError> {
    let spec = &plan.spec;
    let records = context.records(spec.run);
    // A run without NATS keeps others away by the lock in Redis alone, so we take it, too. Whoever drives the run
    // adopts it.
    let lock = if options.rules.action.writes() {
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
        tracing::warn!(error = %e, "the lock in Redis stays behind until its lease ends");
    }
    stored
}

enum ClaimOutcome {
    Ours(Lease),
    Left(RunId),
}

/// Takes the job for the run of `survey`.
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
                let sighting = seen.get_or_insert_with(|| ObservedLease::now(there.clone(), *revision));
                sighting.observe(there.clone(), *revision);
                // A run that waits is open to those who drive runs. Who wants to start one must not take it for his.
                let alive =
                    there.recently_renewed(lease) || sighting.changed && there.phase != LeasePhase::Free;
                let ended = there.phase != LeasePhase::Free && has_ended(context, there.run).await?;
                if alive && !ended && Instant::now() >= until {
                    let job_is_free = "no other run of its job went on";
                    plan.time
                        .check(job_is_free)
                        .map_err(|over| RunError::from(PreflightError::from(over)))?;
                    return Err(held(options, there, lease).into());
                }
                there.is_acquirable(sighting.unchanged(), lease) && !alive
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

/// The run that a hold was left with, if it has not ended. It goes on with what it was asked for, so somebody
/// who wants something else, such as a dry run, a backup or another limit, must not set it going.
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
