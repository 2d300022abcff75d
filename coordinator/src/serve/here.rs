//! The runs of a service without NATS: each is carried out in this process, as `keysweep run` does, and shared with
//! other processes through the state file.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Attempt, Cancel, CancelKind};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::{now, now_ms};
use keysweep_runtime::context::Context;
use keysweep_state::StateFile;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::records::RecordError;
use keysweep_tasks::pause::pause;
use keysweep_tasks::supervision::TaskGroup;
use tokio::sync::watch;

use super::reload::Current;
use super::shown::Shown;
use super::takeover::{retry, retry_options};
use super::{ServedJob, ServiceState};
use crate::drive::Progress;
use crate::embedded::{self, Claim, RunError, carry_out, claim};
use crate::job_lock::{self, LockError};
use crate::options::Options;
use crate::preflight::{Preflight, preflight};
use crate::report;
use crate::run_log::RunLog;
use crate::state::{self, kept_records};
use crate::submit::SubmitError;

/// How often old entries are removed, in addition to the end of each run.
const REMOVED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// How often the end of a run is tried to be recorded.
const SETTLE_EVERY: Duration = Duration::from_millis(250);

/// The runs that this process carries out.
pub(super) struct RunsHere {
    file: StateFile,
    tasks: Mutex<TaskGroup>,
    carried_out: Arc<Shown<RunId, ()>>,
}

/// A run that may begin.
struct Ready {
    options: Options,
    plan: Preflight,
    context: Context,
    claim: Claim,
}

impl RunsHere {
    pub(super) fn new(file: StateFile) -> Self {
        Self { file, tasks: Mutex::default(), carried_out: Arc::default() }
    }

    /// The state file of the service.
    pub(super) fn file(&self) -> &StateFile {
        &self.file
    }

    /// Whether a run is carried out.
    pub(super) fn carries_out(&self, run: &RunId) -> bool {
        self.carried_out.get(run).is_some()
    }

    /// Starts a run of `options`; returns once it has its job's lock and is recorded.
    pub(super) async fn start(
        &self,
        shared: &Arc<ServiceState>,
        options: &Options,
    ) -> Result<RunId, SubmitError> {
        let mut plan = preflight(options, RunId::new(), now_ms()).await.map_err(RunError::from)?;
        plan.try_out(options).await.map_err(RunError::from)?;
        let context = self.context(&shared.context, options);
        let claim = claim(&context, options, &plan).await?;
        let run = plan.spec.run;
        let ready = Ready { options: options.clone(), plan, context, claim };
        let shown = self.carried_out.enter(run, ());
        let work = carried_out(Arc::clone(shared), ready);
        self.spawn("a run", work.inspect(move |()| drop(shown)).boxed());
        Ok(run)
    }

    /// The context of one run: records of its own, which are freed with it.
    fn context(&self, service: &Context, options: &Options) -> Context {
        let context = state::attached(embedded::context(options), &self.file, &options.state.scope);
        Context { telemetry: Arc::clone(&service.telemetry), ..context }
    }

    fn spawn(&self, name: &str, work: BoxFuture<'static, ()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.remove_ended();
        tasks.start(name, work.map(Ok::<(), Infallible>));
    }

    /// Waits for the runs, which stop at the shutdown, and for those that were just being started.
    pub(super) async fn join(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            if tasks.is_empty() {
                return;
            }
            for (name, exit) in tasks.join().await {
                tracing::error!("{name} {exit}; this is a bug, please report it");
            }
        }
    }
}

/// Carries out a run, and starts the next attempt if it fails. Boxed, because an attempt starts the next one.
fn carried_out(shared: Arc<ServiceState>, ready: Ready) -> BoxFuture<'static, ()> {
    async move {
        let (options, run) = (ready.options.clone(), ready.plan.spec.run);
        let ended = Box::pin(to_its_end(&shared, ready)).await;
        let failed = match &ended {
            Ok(result) => result.status == Status::Failed,
            Err(e) => {
                tracing::error!(%run, job = options.job, error = %e, "a run has no result");
                !e.out_of_time()
            }
        };
        if let (true, Some(job)) = (failed, shared.job(&options.job)) {
            let attempt = Attempt { previous: Some(run), ..options.attempt };
            let job = ServedJob { options, ..job.clone() };
            let Ok(()) = retry(&shared, &job, attempt).await;
        }
    }
    .boxed()
}

async fn to_its_end(shared: &ServiceState, ready: Ready) -> Result<CleanupResult, RunError> {
    let Ready { options, plan, context, claim } = ready;
    let (lines, records) = (RunLog::of(&plan.spec), context.records(plan.spec.run));
    lines.start(&plan.spec);
    let (sender, seen) = watch::channel(Progress::start(embedded::keys(&plan)));
    let running = async {
        let (result, ()) =
            tokio::join!(carry_out(&context, &options, &plan, claim, sender), lines.announce(seen));
        result
    };
    let mut running = Box::pin(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = shared.shutdown.cancelled() => {
            let cancel = Cancel { kind: CancelKind::Asked, cause: "the service was stopped".to_owned() };
            if let Err(e) = records.create_cancel(&cancel).await {
                tracing::error!(error = %e, "failed to stop the run");
            }
            running.await
        }
    };
    if let Ok(result) = &ended {
        lines.end(result);
        report::write(result, &options).await;
    }
    settle(shared, &context, plan.spec.run, &ended).await;
    ended
}

/// Records the end of a run as soon as the file can be written. It is recorded already, unless the file has a fault.
async fn settle(
    shared: &ServiceState,
    context: &Context,
    run: RunId,
    ended: &Result<CleanupResult, RunError>,
) {
    let mut logged = false;
    while let Err(e) = state::settle(context, run, ended).await {
        if !std::mem::replace(&mut logged, true) {
            tracing::error!(%run, error = %e, "the end of a run is not recorded, will retry");
        }
        if !pause(SETTLE_EVERY, &shared.shutdown).await {
            return;
        }
    }
}

/// Closes the runs of a job whose process is gone, and makes the next attempt at the last of them. A run that another
/// process carries out has the job's lock, and is left to it.
pub(super) async fn recover(shared: &Arc<ServiceState>, number: usize) -> Result<(), RecordError> {
    let (Some(here), Some(job)) = (&shared.here, shared.jobs.get(number)) else { return Ok(()) };
    let context = here.context(&shared.context, &job.options);
    let mut lines = state::unfinished(&context, &job.options.job, &job.options.alias).await?;
    lines.retain(|line| line.writes);
    let mut last = None;
    for line in lines {
        let run = line.run_id;
        let closed = tokio::select! {
            closed = close_if_gone(&context, &job.options, line) => closed?,
            () = shared.shutdown.cancelled() => return Ok(()),
        };
        if closed {
            last = Some(run);
        }
    }
    let spec = match last {
        Some(run) => kept_records(&context, run).spec().await?,
        None => return Ok(()),
    };
    if let Some(spec) = spec
        && let Some(options) = retry_options(shared, &spec, job)
    {
        let attempt = Attempt { previous: Some(spec.run), ..spec.attempt };
        let Ok(()) = retry(shared, &ServedJob { options, ..job.clone() }, attempt).await;
    }
    Ok(())
}

/// Removes what is too old to be kept, every hour: a job may not run for long.
pub(super) async fn remove_old(current: &Current) -> Result<(), Infallible> {
    let mut next = now() + REMOVED_EVERY;
    loop {
        let shared = Arc::clone(&current.borrow());
        if shared.wait_until(next).await {
            for job in &shared.jobs {
                state::remove_old(&shared.context, &job.options).await;
            }
            next = now() + REMOVED_EVERY;
        } else if shared.shutdown.is_cancelled() {
            return Ok(());
        }
    }
}

/// Closes a run if its job's lock is free, or becomes free in the time of a lease.
async fn close_if_gone(context: &Context, options: &Options, line: RunLine) -> Result<bool, RecordError> {
    let run = line.run_id;
    let Some(spec) = kept_records(context, run).spec().await? else {
        state::close(context, line, state::GONE).await?;
        return Ok(true);
    };
    match job_lock::take_after_lease(options, context.records(run), &spec).await {
        Ok(lock) => {
            let ended = history::of(&*context.history_store, run).await?;
            let open = ended.is_some_and(|line| line.status.is_none());
            if open {
                state::close(context, line, state::GONE).await?;
            }
            if let Err(e) = lock.free().await {
                tracing::warn!(error = %e, "the lock remains until its lease ends");
            }
            Ok(open)
        }
        Err(LockError::Held { .. }) => Ok(false),
        Err(e) => {
            tracing::warn!(%run, error = %e, "an interrupted run is not closed yet; the next run of its job closes it");
            Ok(false)
        }
    }
}
