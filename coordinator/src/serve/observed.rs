//! What metrics say of the served jobs and of the queues between scrapes: read from the store, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::result::Status;
use keysweep_model::time::now;
use keysweep_storage::history::{HISTORY, RunLine};
use keysweep_storage::queue::{QueueLoad, Topic};
use keysweep_storage::store::{self, StoreError};
use keysweep_tasks::pause::pause;
use keysweep_telemetry::JobRuns;

use super::due_times::DueTimes;
use super::reload::Current;
use super::{ServedJob, ServiceState};
use crate::limits::METRICS_EVERY;

/// The runs of a job, by the lines of its history in any order.
#[derive(Debug, Default)]
pub struct JobHistory {
    active: BTreeSet<RunId>,
    last_s: Option<i64>,
    /// The last completed run that was no dry run, and the last one that was.
    last_success_s: [Option<i64>; 2],
}

impl JobHistory {
    /// Takes the line of a run of the job, new or changed.
    pub fn take(&mut self, line: &RunLine) {
        let Some(status) = line.status else {
            self.active.insert(line.run_id);
            return;
        };
        self.active.remove(&line.run_id);
        let ended = line.finished_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
        let ended = ended.map(Timestamp::as_second);
        self.last_s = self.last_s.max(ended);
        if status == Status::Completed {
            let last = &mut self.last_success_s[usize::from(line.dry_run)];
            *last = (*last).max(ended);
        }
    }

    /// What metrics say of a job that makes only dry runs, or not.
    #[must_use]
    pub fn runs(&self, dry_run: bool) -> JobRuns {
        let last_success_s = self.last_success_s[usize::from(dry_run)];
        JobRuns { active: self.active.len() as u64, last_s: self.last_s, last_success_s }
    }
}

/// The histories of jobs, and how far the store is read.
#[derive(Default)]
struct Observed {
    jobs: BTreeMap<String, JobHistory>,
    read: u64,
    due: DueTimes,
}

impl Observed {
    /// Reads what has changed in the history.
    async fn look(&mut self, shared: &ServiceState) -> Result<(), StoreError> {
        for entry in store::all_after(&*shared.context.history_store, HISTORY, self.read).await? {
            self.read = entry.revision;
            if let Some(line) = RunLine::read(&entry) {
                self.jobs.entry(line.job.clone()).or_default().take(&line);
            }
        }
        Ok(())
    }

    /// Other jobs are served from now on.
    fn change_jobs(&mut self, shared: &ServiceState) {
        self.due = DueTimes::default();
        for ServedJob { options, .. } in &shared.jobs {
            shared.context.count_from_zero(&options.job, &options.alias);
        }
    }

    /// Sets the metrics of the jobs.
    fn show(&mut self, shared: &ServiceState) {
        let due = self.due.of(shared, now());
        for (ServedJob { options, .. }, due) in shared.jobs.iter().zip(due) {
            let (name, redis) = (&options.job, &options.alias);
            // A time that has come and cannot be recorded starts no run: it is still the next one.
            let due = shared.unclaimed.get(name).or(*due);
            shared.context.telemetry.next_run(name, redis, due);
            let none = JobHistory::default();
            let history = self.jobs.get(name).unwrap_or(&none);
            let drives = history.active.iter().any(|run| shared.drives(run));
            shared.context.telemetry.job_runs(name, redis, history.runs(options.dry_run), drives);
        }
    }
}

/// Keeps the metrics of the service up to date, until the shutdown.
pub(super) async fn run(current: &Current) -> Result<(), Infallible> {
    let mut observed = Observed::default();
    let mut before = None;
    loop {
        let shared = Arc::clone(&current.borrow());
        if !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &shared)) {
            observed.change_jobs(&shared);
            before = Some(Arc::clone(&shared));
        }
        match observed.look(&shared).await {
            Ok(()) => observed.show(&shared),
            Err(e) => tracing::debug!(error = %e, "metrics of the history are not up to date"),
        }
        if shared.here.is_none() {
            queues(&shared).await;
        }
        if !pause(METRICS_EVERY, &shared.shutdown).await {
            return Ok(());
        }
    }
}

async fn queues(shared: &ServiceState) {
    for topic in [Topic::Tasks, Topic::Batches] {
        match shared.context.queue.load(topic).await {
            Ok(load) => {
                let QueueLoad { waiting, in_hand, redelivered } = load;
                shared.context.telemetry.queued(topic.as_str(), waiting, in_hand, redelivered);
            }
            Err(e) => tracing::debug!(error = %e, "metrics of the queues are not up to date"),
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::Alias;
    use keysweep_model::time::rfc3339;

    use super::*;

    fn line(status: Option<Status>, second: u64, dry_run: bool) -> RunLine {
        let line = RunLine::failed(RunId::new(), "nightly", &Alias::new("main"), second * 1_000, "");
        let finished_at = status.map(|_| rfc3339(second * 1_000));
        RunLine { status, finished_at, dry_run, ..line }
    }

    #[test]
    fn the_last_runs_of_a_job_are_known_in_any_order_of_its_lines() {
        let mut history = JobHistory::default();
        assert_eq!(history.runs(false), JobRuns::default());
        let active = line(None, 90, false);
        let lines = [
            active.clone(),
            line(Some(Status::Completed), 30, false),
            line(Some(Status::Completed), 50, true),
            line(Some(Status::Failed), 60, false),
            line(Some(Status::Completed), 20, false),
        ];
        lines.iter().for_each(|line| history.take(line));
        let real = JobRuns { active: 1, last_s: Some(60), last_success_s: Some(30) };
        assert_eq!(history.runs(false), real);
        assert_eq!(history.runs(true), JobRuns { last_success_s: Some(50), ..real });
        let ended = RunLine { status: Some(Status::Partial), finished_at: Some(rfc3339(95_000)), ..active };
        history.take(&ended);
        assert_eq!(history.runs(false), JobRuns { active: 0, last_s: Some(95), last_success_s: Some(30) });
    }
}
