//! When jobs are due next. A due time of a cron expression is computed when the last one has passed: the next one may be
//! far.

use jiff::Timestamp;

use super::ServiceState;
use crate::schedule::JobSchedule;

/// The due times of the jobs that are served, until others are.
#[derive(Default)]
pub(super) struct DueTimes(Vec<Option<Timestamp>>);

impl DueTimes {
    /// The next due time of each job of `shared`, the same ones as before; `None` if it has none, or none yet.
    pub(super) fn of(&mut self, shared: &ServiceState, now: Timestamp) -> &[Option<Timestamp>] {
        self.0.resize(shared.jobs.len(), Some(Timestamp::MIN));
        for (due, job) in self.0.iter_mut().zip(&shared.jobs) {
            match &job.schedule {
                JobSchedule::Cron(schedule) if due.is_some_and(|due| due <= now) => {
                    *due = schedule.next_after(now);
                }
                JobSchedule::Cron(_) => {}
                JobSchedule::Auto(_) => *due = shared.decided.get(&job.options.job).map(|next| next.due),
            }
        }
        &self.0
    }
}
