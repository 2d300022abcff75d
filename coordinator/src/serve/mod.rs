//! The coordinator as a service: it drives runs that wait or have lost their coordinator, starts scheduled runs,
//! samples the cache between runs, looks at its TTLs, and serves the API.

mod access;
mod api;
mod auto_schedule;
mod due_times;
mod handlers;
mod here;
mod http;
mod observed;
pub(crate) mod openapi;
mod override_policy;
mod pacing_limits;
mod page;
mod reload;
mod request;
mod routes;
mod sampling;
mod schedules;
mod shown;
mod start;
mod takeover;
mod ttl_looks;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::messages::Action;
use keysweep_model::time::now;
use keysweep_nats::{Nats, NatsError};
use keysweep_runtime::context::Context;
use keysweep_state::StateFile;
use keysweep_storage::store::StoreError;
use keysweep_tasks::pause::pause;
use keysweep_tasks::supervision::{Exit, TaskGroup};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::auto_schedule::NextRun;
use self::here::RunsHere;
use self::reload::Reload;
use self::shown::Shown;
use self::takeover::NextAttempt;
use crate::drive::ShownRun;
use crate::options::Options;
use crate::schedule::JobSchedule;
use crate::state;
use crate::submit::{SubmitError, Submitted};
use crate::ttl_advice::TtlLooks;

pub use access::HttpAccess;
pub use api::STATS_ENDPOINT;
pub use handlers::{RunAnswer, RunRequest};
pub use http::HttpApi;
pub use observed::JobHistory;
pub use start::{record_failure, start_run};

/// A job that the service serves.
#[derive(Clone, Debug)]
pub struct ServedJob {
    /// The options of its runs.
    pub options: Options,
    /// The action on stale keys in a run that is not a dry run.
    pub action: Action,
    /// Fields of [`RunRequest`] that may exceed the job's values, from [`keysweep_config::overrides`].
    pub allow_override: Vec<&'static str>,
    /// When it is due.
    pub schedule: JobSchedule,
    /// Maximum attempts.
    pub attempts: u32,
    /// The delay before the second attempt; it doubles for each further one.
    pub backoff: Duration,
    /// Interval of samples between runs.
    pub sample_every: Duration,
    /// Looks at keys with a TTL, for advice about TTLs.
    pub ttl_looks: TtlLooks,
    /// Whether a run that was due while no service was running starts at once.
    pub catch_up: bool,
}

/// Why the service ended unexpectedly.
#[derive(Debug, Error)]
pub enum ServeError {
    /// NATS failed.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The store failed for good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of the service ended.
    #[error("{0} {1}")]
    Part(String, Exit),
}

/// Where a service without NATS keeps what outlives it.
pub struct KeptIn<'a> {
    /// The state file.
    pub file: StateFile,
    /// The scope of its jobs, see [`crate::state::StatePlace`].
    pub scope: &'a str,
}

/// What the parts of the service share, until other jobs are served ([`reload`]).
pub(crate) struct ServiceState {
    pub(crate) context: Context,
    pub(crate) jobs: Vec<ServedJob>,
    pub(crate) process_id: String,
    pub(crate) shutdown: CancellationToken,
    /// When these jobs are not served any more. Runs in progress go on.
    pub(crate) until: CancellationToken,
    /// The time from which due times count; the last one that was claimed, if it is `None`.
    pub(crate) since: Option<Timestamp>,
    /// The runs in this process; `None` if workers carry them out.
    here: Option<Arc<RunsHere>>,
    /// The runs on workers that this process drives.
    driven: Arc<Shown<RunId, ShownRun>>,
    /// The next attempts at jobs whose last one failed.
    attempts: Arc<Shown<String, NextAttempt>>,
    /// Due times of jobs that have come and are not recorded.
    unclaimed: Arc<Shown<String, Timestamp>>,
    /// The decisions about jobs with `schedule = "auto"`.
    decided: Arc<Shown<String, NextRun>>,
}

impl ServiceState {
    /// A service that has no jobs yet.
    fn new(context: Context, who: &str, shutdown: CancellationToken, here: Option<Arc<RunsHere>>) -> Self {
        let until = shutdown.child_token();
        Self {
            context,
            jobs: Vec::new(),
            process_id: who.to_owned(),
            shutdown,
            until,
            since: None,
            here,
            driven: Arc::default(),
            attempts: Arc::default(),
            unclaimed: Arc::default(),
            decided: Arc::default(),
        }
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.options.job == name)
    }

    fn job(&self, name: &str) -> Option<&ServedJob> {
        self.jobs.get(self.number(name)?)
    }

    /// Whether this process drives a run.
    fn drives(&self, run: &RunId) -> bool {
        self.driven.get(run).is_some() || self.here.as_ref().is_some_and(|here| here.carries_out(run))
    }

    /// Waits until the clock reaches `when`. `false` if these jobs are not served any more. The clock is read again and again,
    /// because it may be set, and stands still while the machine is suspended.
    async fn wait_until(&self, when: Timestamp) -> bool {
        loop {
            let left = Duration::try_from(when.duration_since(now())).unwrap_or_default();
            if left.is_zero() {
                return !self.until.is_cancelled();
            }
            if !pause(left.min(self.context.timing.clock_check), &self.until).await {
                return false;
            }
        }
    }

    /// Starts a run: on workers, or in this process.
    async fn start(self: &Arc<Self>, options: &Options) -> Result<Submitted, SubmitError> {
        match &self.here {
            Some(here) => here.start(self, options).await.map(Submitted::New),
            None => start_run(&self.context, options).await,
        }
    }
}

/// Serves `jobs` until `shutdown`; then releases the runs that it drives.
///
/// # Errors
/// When NATS or the store fail for good.
pub async fn serve(
    context: &Context,
    nats: &Nats,
    jobs: Vec<ServedJob>,
    who: &str,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let http = HttpApi::new(HttpAccess::default());
    serve_with_http(context, nats, watch::channel(jobs).1, who, shutdown, &http).await
}

/// [`serve`], and the API over `http` as well. When `jobs` change, the new ones are served; runs in progress go on with
/// their own options.
///
/// # Errors
/// As for [`serve`].
pub async fn serve_with_http(
    context: &Context,
    nats: &Nats,
    jobs: watch::Receiver<Vec<ServedJob>>,
    who: &str,
    shutdown: CancellationToken,
    http: &HttpApi,
) -> Result<(), ServeError> {
    let mut reload = Reload::new(jobs, ServiceState::new(context.clone(), who, shutdown, None));
    http.attach(reload.current());
    let mut tasks = TaskGroup::default();
    show(&mut tasks, &reload, http);
    let claims = reload.current();
    tasks.start("the part that drives runs", async move { takeover::run(&claims).await });
    let (answers, nats) = (reload.current(), nats.clone());
    tasks.start("the part that answers programs", async move { api::run(&answers, &nats).await });
    reload.serve(tasks).await
}

/// Serves `jobs` without NATS until `shutdown`: their runs are carried out in this process, and are `kept` in a
/// state file. When `jobs` change, the new ones are served; runs in progress go on with their own options. At the
/// shutdown, runs stop at a safe point.
///
/// # Errors
/// When the file cannot be used.
pub async fn serve_here(
    context: &Context,
    kept: KeptIn<'_>,
    jobs: watch::Receiver<Vec<ServedJob>>,
    who: &str,
    shutdown: CancellationToken,
    http: &HttpApi,
) -> Result<(), ServeError> {
    let context = state::attached(context.clone(), &kept.file, kept.scope);
    // Other processes see a run, and stop it, through the file.
    let context = Context { store: Arc::clone(&context.history_store), ..context };
    let here = Arc::new(RunsHere::new(kept.file));
    let mut reload = Reload::new(jobs, ServiceState::new(context, who, shutdown, Some(Arc::clone(&here))));
    http.attach(reload.current());
    let (mut tasks, shared) = (TaskGroup::default(), reload.now());
    show(&mut tasks, &reload, http);
    let current = reload.current();
    tasks.start("the part that removes old entries", async move { here::remove_old(&current).await });
    for number in 0..shared.jobs.len() {
        let shared = Arc::clone(&shared);
        tasks.start("the part that closes interrupted runs", async move {
            if let Err(e) = here::recover(&shared, number).await {
                tracing::error!(error = %e, "interrupted runs are not closed; the next run of their job closes them");
            }
            shared.shutdown.cancelled().await;
            Ok::<(), Infallible>(())
        });
    }
    let ended = reload.serve(tasks).await;
    here.join().await;
    ended
}

/// Starts what shows the service to viewers of its page, and in its metrics.
fn show(tasks: &mut TaskGroup, reload: &Reload, http: &HttpApi) {
    let current = reload.current();
    tasks.start("the part that keeps metrics", async move { observed::run(&current).await });
    let (current, live) = (reload.current(), Arc::clone(&http.live));
    tasks.start("the part that shows runs", async move { page::live::run(&current, &live).await });
    let (current, workers) = (reload.current(), Arc::clone(&http.live.workers));
    tasks.start(
        "the part that follows workers",
        async move { page::workers::follow(&current, &workers).await },
    );
}
