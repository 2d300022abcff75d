//! Jobs that change while the service runs. The parts that belong to jobs (schedules, samples, alerts) end and begin again
//! with the new ones; everything else reads what is current. A run in progress keeps the state with which it began, so it
//! goes on with its own options.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use keysweep_http::Integrations;
use keysweep_model::time::now;
use keysweep_runtime::context::Context;
use keysweep_tasks::supervision::TaskGroup;
use reporter::alerting;
use tokio::sync::watch;

use super::{ServeError, ServedJob, ServiceState, sampling, schedules};

/// What is served now.
pub(super) type Current = watch::Receiver<Arc<ServiceState>>;

/// The jobs, and the state of the service that serves them.
pub(super) struct Reload {
    jobs: watch::Receiver<Vec<ServedJob>>,
    state: watch::Sender<Arc<ServiceState>>,
}

impl Reload {
    /// Serves `jobs`, otherwise with what `service` has.
    pub(super) fn new(mut jobs: watch::Receiver<Vec<ServedJob>>, service: ServiceState) -> Self {
        let first = ServiceState { jobs: jobs.borrow_and_update().clone(), ..service };
        Self { jobs, state: watch::Sender::new(Arc::new(first)) }
    }

    pub(super) fn current(&self) -> Current {
        self.state.subscribe()
    }

    pub(super) fn now(&self) -> Arc<ServiceState> {
        Arc::clone(&self.state.borrow())
    }

    /// Serves the jobs until the shutdown. A part that ends before, of `whole` or of the jobs, ends the service.
    pub(super) async fn serve(&mut self, mut whole: TaskGroup) -> Result<(), ServeError> {
        let mut parts = start(&self.now());
        // Parts of jobs that are not served any more, such as a schedule that waits to start another attempt.
        let mut former: Vec<TaskGroup> = Vec::new();
        let shutdown = self.now().shutdown.clone();
        let ended = loop {
            tokio::select! {
                () = shutdown.cancelled() => break None,
                Some(ended) = whole.next() => break Some(ended),
                Some(ended) = parts.next() => break Some(ended),
                () = changed(&mut self.jobs) => {
                    let before = self.now();
                    before.until.cancel();
                    let next = Arc::new(next(&before, self.jobs.borrow_and_update().clone()));
                    self.state.send_replace(Arc::clone(&next));
                    former.iter_mut().for_each(TaskGroup::remove_ended);
                    former.retain(|parts| !parts.is_empty());
                    former.push(std::mem::replace(&mut parts, start(&next)));
                }
            }
        };
        let stopped = shutdown.is_cancelled();
        shutdown.cancel();
        for tasks in former.into_iter().chain([parts, whole]) {
            tasks.join().await;
        }
        match ended {
            Some((part, exit)) if !stopped => Err(ServeError::Part(part, exit)),
            _ => Ok(()),
        }
    }
}

/// Waits for other jobs; without end if they cannot change.
async fn changed(jobs: &mut watch::Receiver<Vec<ServedJob>>) {
    if jobs.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// The state in which `jobs` are served after those of `before`. Deployments that are not named any more stay known, for
/// runs in progress. Due times count from now: the service was not away.
fn next(before: &ServiceState, jobs: Vec<ServedJob>) -> ServiceState {
    let mut access = BTreeMap::clone(&before.context.access);
    access.extend(jobs.iter().map(|job| (job.options.alias.clone(), job.options.access.clone())));
    let outside = jobs.iter().map(|job| (job.options.job.clone(), job.options.integrations.clone()));
    let integrations = Arc::new(Integrations::new(outside.collect::<Vec<_>>()));
    ServiceState {
        context: Context { access: Arc::new(access), integrations, ..before.context.clone() },
        jobs,
        process_id: before.process_id.clone(),
        shutdown: before.shutdown.clone(),
        until: before.shutdown.child_token(),
        since: Some(now()),
        here: before.here.clone(),
        driven: Arc::clone(&before.driven),
        attempts: Arc::clone(&before.attempts),
        unclaimed: Arc::clone(&before.unclaimed),
        // The former jobs take theirs away when their parts end.
        decided: Arc::default(),
    }
}

/// Starts the parts that belong to jobs.
fn start(shared: &Arc<ServiceState>) -> TaskGroup {
    let mut tasks = TaskGroup::default();
    for number in 0..shared.jobs.len() {
        let schedules = Arc::clone(shared);
        tasks.start("the part that starts runs", async move { schedules::run(&schedules, number).await });
        let samples = Arc::clone(shared);
        tasks.start("the part that takes samples", async move { sampling::run(&samples, number).await });
    }
    let notices = Arc::clone(shared);
    let names: Vec<String> = shared.jobs.iter().map(|job| job.options.job.clone()).collect();
    tasks.start("the part that delivers alerts", async move {
        alerting::deliver_pending(&notices.context, &names, &notices.until).await
    });
    tasks
}
