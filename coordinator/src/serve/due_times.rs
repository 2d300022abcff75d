//! When jobs are due next. A due time is computed when the last one has passed: the next one may be far.

use jiff::Timestamp;

use super::ServedJob;

/// The due times of the jobs that are served, until others are.
#[derive(Default)]
pub(super) struct DueTimes(Vec<Option<Timestamp>>);

impl DueTimes {
    /// The next due time of each of `jobs`, the same ones as before; `None` if it has none.
    pub(super) fn of(&mut self, jobs: &[ServedJob], now: Timestamp) -> &[Option<Timestamp>] {
        self.0.resize(jobs.len(), Some(Timestamp::MIN));
        for (due, job) in self.0.iter_mut().zip(jobs) {
            if due.is_some_and(|due| due <= now) {
                *due = job.schedule.next_after(now);
            }
        }
        &self.0
    }
}
