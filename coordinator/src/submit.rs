//! Starting a run that workers do: the job is taken, so that nobody else starts it; the plan is stored; and then
//! whoever drives runs may take it from there.

use shared::env::Env;
use shared::history;
use shared::ids::RunId;
use shared::records::RecordError;
use shared::store::StoreError;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::embedded::{RunError, check_deletions};
use crate::hold::{self, Held, Hold, Phase, Sighting};
use crate::job_lock::{self, ASK_AGAIN, LockError};
use crate::options::Options;
use crate::survey::Survey;

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
}

/// What came of starting a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for somebody to drive it.
    New(RunId),
    /// An earlier run of the job was left by whoever drove it; it waits for somebody to go on with it.
    Left(RunId),
}

impl Submitted {
    /// The run that is to be followed.
    #[must_use]
    pub fn run(self) -> RunId {
        match self {
            Self::New(run) | Self::Left(run) => run,
        }
    }
}

/// Stores what `survey` planned as the job's run. Waits for another run of the job to end, as long as the options
/// say; an earlier run that nobody drives any more comes first.
///
/// # Errors
/// When somebody else runs the job, a guard refuses, or the store fails.
pub async fn submit(env: &Env, options: &Options, survey: &Survey) -> Result<Submitted, SubmitError> {
    check_deletions(options, &survey.estimate)?;
    let mut held = match take(env, options, survey.spec.run).await? {
        Taken::Ours(held) => held,
        Taken::Left(run) => return Ok(Submitted::Left(run)),
    };
    let stored = store(env, options, survey).await;
    let phase = if stored.is_ok() { Phase::Waiting } else { Phase::Free };
    let kept = held.set(&*env.store, phase).await?;
    stored?;
    if !kept {
        tracing::warn!("somebody took the job while its run was being stored; he goes on with it");
    }
    Ok(Submitted::New(survey.spec.run))
}

/// Refuses at once, before anything is looked at, if the job is being run and nobody wants to wait for that: looking
/// around counts as look-ups in Redis, which the run that goes on would take for those of the application.
///
/// # Errors
/// When somebody else runs the job, or the store fails.
pub async fn check_free(env: &Env, options: &Options) -> Result<(), SubmitError> {
    let lease = env.timing.lease;
    match hold::look(&*env.store, &options.job).await? {
        Some((hold, _)) if options.lock_wait.is_zero() && hold.seems_alive(lease) => {
            Err(held(options, &hold, lease).into())
        }
        _ => Ok(()),
    }
}

async fn store(env: &Env, options: &Options, survey: &Survey) -> Result<(), SubmitError> {
    let spec = &survey.spec;
    let records = env.records(spec.run);
    // A run without NATS keeps others away by the lock in Redis alone, so we take it, too. Whoever drives the run
    // adopts it.
    let lock = if options.rules.action.writes() {
        let lock = job_lock::take(&options.lock_order(), records.clone(), spec.run, &spec.nodes).await;
        Some(lock.map_err(RunError::from)?)
    } else {
        None
    };
    let stored = async {
        records.create_plan(spec, &survey.tasks).await?;
        history::begin(&*env.store, spec).await?;
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

enum Taken {
    Ours(Held),
    Left(RunId),
}

/// Takes the job for `run`.
async fn take(env: &Env, options: &Options, run: RunId) -> Result<Taken, SubmitError> {
    let (store, lease) = (&*env.store, env.timing.lease);
    let until = Instant::now() + options.lock_wait;
    let mut seen: Option<Sighting> = None;
    loop {
        let hold = Hold::begin(run, options.alias.clone(), Phase::Starting, &options.started_by);
        let Some((there, revision)) = hold::look(store, &options.job).await? else {
            match hold::take(store, &options.job, None, hold).await? {
                Some(held) => return Ok(Taken::Ours(held)),
                None => continue,
            }
        };
        let sighting = seen.get_or_insert_with(|| Sighting::now(there.clone(), revision));
        sighting.again(there.clone(), revision);
        // A run that waits is open to those who drive runs. Who wants to start one must not take it for his own.
        let alive = there.seems_alive(lease);
        if there.is_open(sighting.unchanged(), lease) && !alive {
            let unfinished = there.phase != Phase::Free
                && env.records(there.run).spec().await?.is_some()
                && env.records(there.run).result().await?.is_none();
            if unfinished {
                return Ok(Taken::Left(there.run));
            }
            match hold::take(store, &options.job, Some(revision), hold).await? {
                Some(held) => return Ok(Taken::Ours(held)),
                None => continue,
            }
        }
        if alive && Instant::now() >= until {
            return Err(held(options, &there, lease).into());
        }
        sleep(ASK_AGAIN).await;
    }
}

fn held(options: &Options, hold: &Hold, lease: std::time::Duration) -> RunError {
    RunError::Lock(LockError::Held {
        job: options.job.clone(),
        holder: format!("by {} since {} (run {})", hold.who, hold.since, hold.run),
        lease_left: lease.as_secs(),
    })
}
