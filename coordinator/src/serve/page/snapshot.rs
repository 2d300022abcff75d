//! What viewers of the page see: runs, alerts and schedules, kept in memory from the entries of the store as they change.
//! Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::metrics::{Alert, Severity};
use keysweep_model::result::Status;
use keysweep_model::time::rfc3339;
use keysweep_storage::history::RunLine;
use serde::Serialize;

use crate::limits::{PAGE_ALERTS_MAX, PAGE_RUNNING_MAX, PAGE_RUNS, PAGE_TEXT_CHARS_MAX};
use crate::serve::ServedJob;

/// One state of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Snapshot {
    /// The jobs, in the order of the job file.
    pub(in crate::serve) jobs: Vec<JobRow>,
    /// The runs in progress, the newest first.
    pub(in crate::serve) running: Vec<Running>,
    /// The last runs, those in progress included, the newest first.
    pub(in crate::serve) runs: Vec<RunRow>,
    /// The alerts that are firing.
    pub(in crate::serve) alerts: Vec<AlertRow>,
    /// Why the rest may be out of date; null if it is not.
    pub(in crate::serve) problem: Option<String>,
}

/// A job and its schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct JobRow {
    pub(in crate::serve) job: String,
    pub(in crate::serve) redis: String,
    /// The schedule in words.
    pub(in crate::serve) schedule: String,
    /// The next due time, RFC 3339; null if there is none.
    pub(in crate::serve) next_due: Option<String>,
    /// What a run does to stale keys: `delete`, `expire` or `report`.
    pub(in crate::serve) action: &'static str,
    /// Whether its runs change nothing unless a request asks for it.
    pub(in crate::serve) dry_run: bool,
}

/// A run in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct RunRow {
    pub(in crate::serve) run_id: RunId,
    pub(in crate::serve) job: String,
    /// Null while it is in progress.
    pub(in crate::serve) status: Option<Status>,
    /// RFC 3339.
    pub(in crate::serve) started_at: String,
    /// RFC 3339; null while it is in progress.
    pub(in crate::serve) finished_at: Option<String>,
    pub(in crate::serve) started_by: String,
    pub(in crate::serve) dry_run: bool,
    /// Stale keys; null while it is in progress.
    #[serde(rename = "staleTTLKeys")]
    pub(in crate::serve) stale_ttl_keys: Option<u64>,
    /// Deleted keys; null while it is in progress.
    pub(in crate::serve) cleaned_keys: Option<u64>,
    /// Why it failed or was stopped.
    pub(in crate::serve) cause: Option<String>,
}

/// A run in progress.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Running {
    #[serde(flatten)]
    pub(in crate::serve) run: RunRow,
    #[serde(flatten)]
    pub(in crate::serve) progress: ProgressRow,
}

/// How far a run is. What is unknown is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct ProgressRow {
    /// Its phase.
    pub(in crate::serve) state: Option<&'static str>,
    /// Keys that the plan expects to list.
    pub(in crate::serve) keys: Option<u64>,
    /// Keys listed so far, matching or not.
    pub(in crate::serve) listed_keys: Option<u64>,
    /// Matching keys without TTL so far.
    pub(in crate::serve) stale_so_far: Option<u64>,
    /// Keys deleted so far.
    pub(in crate::serve) deleted_so_far: Option<u64>,
    /// When its process said so, RFC 3339.
    pub(in crate::serve) as_of: Option<String>,
}

/// An alert that is firing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct AlertRow {
    pub(in crate::serve) job: String,
    pub(in crate::serve) alert: String,
    pub(in crate::serve) severity: Severity,
    pub(in crate::serve) message: String,
    /// RFC 3339.
    pub(in crate::serve) since: String,
}

/// The content of snapshots, between two of them.
#[derive(Default)]
pub(super) struct Board {
    runs: BTreeMap<RunId, RunRow>,
    progress: BTreeMap<RunId, ProgressRow>,
    alerts: BTreeMap<String, Vec<AlertRow>>,
    due: Vec<Option<Timestamp>>,
}

impl Board {
    /// Takes the line of a run, new or changed.
    pub(super) fn take_run(&mut self, line: &RunLine) {
        if line.status.is_some() {
            self.progress.remove(&line.run_id);
        }
        self.runs.insert(line.run_id, RunRow::of(line));
        while self.runs.len() > PAGE_RUNS + PAGE_RUNNING_MAX {
            let ended = self.runs.iter().find(|(_, row)| row.status.is_some()).map(|(run, _)| *run);
            match ended.or_else(|| self.runs.keys().next().copied()) {
                Some(oldest) => self.runs.remove(&oldest),
                None => break,
            };
        }
    }

    /// Takes the firing alerts of a job.
    pub(super) fn take_alerts(&mut self, job: String, active: &[Alert]) {
        self.alerts.insert(job, active.iter().map(AlertRow::of).collect());
    }

    /// The runs whose progress is of interest, the newest first.
    pub(super) fn in_progress(&self) -> Vec<RunId> {
        let running = self.runs.iter().rev().filter(|(_, row)| row.status.is_none());
        running.map(|(run, _)| *run).take(PAGE_RUNNING_MAX).collect()
    }

    /// What was last known of the progress of a run.
    pub(super) fn progress(&self, run: RunId) -> Option<&ProgressRow> {
        self.progress.get(&run)
    }

    /// Takes the progress of a run in progress.
    pub(super) fn take_progress(&mut self, run: RunId, progress: ProgressRow) {
        self.progress.insert(run, progress);
    }

    /// The page as it is `now`.
    pub(super) fn snapshot(&mut self, jobs: &[ServedJob], now: Timestamp) -> Snapshot {
        let running = self.in_progress().into_iter().filter_map(|run| {
            let progress = self.progress.get(&run).cloned().unwrap_or_default();
            Some(Running { run: self.runs.get(&run)?.clone(), progress })
        });
        let running = running.collect();
        self.progress.retain(|run, _| self.runs.get(run).is_some_and(|row| row.status.is_none()));
        Snapshot {
            running,
            runs: self.runs.values().rev().take(PAGE_RUNS).cloned().collect(),
            alerts: self.alerts.values().flatten().take(PAGE_ALERTS_MAX).cloned().collect(),
            jobs: self.jobs(jobs, now),
            problem: None,
        }
    }

    /// Other jobs are served from now on.
    pub(super) fn change_jobs(&mut self) {
        self.due.clear();
    }

    /// Due times are computed when the last one has passed: the next one may be far.
    fn jobs(&mut self, jobs: &[ServedJob], now: Timestamp) -> Vec<JobRow> {
        self.due.resize(jobs.len(), Some(Timestamp::MIN));
        let due = self.due.iter_mut().zip(jobs).map(|(due, job)| {
            if due.is_some_and(|due| due <= now) {
                *due = job.schedule.next_after(now);
            }
            JobRow::of(job, *due)
        });
        due.collect()
    }
}

impl JobRow {
    fn of(job: &ServedJob, due: Option<Timestamp>) -> Self {
        Self {
            job: job.options.job.clone(),
            redis: job.options.alias.to_string(),
            schedule: job.schedule.describe(),
            next_due: due.map(|due| due.to_string()),
            action: job.action.name(),
            dry_run: job.options.dry_run,
        }
    }
}

impl RunRow {
    fn of(line: &RunLine) -> Self {
        let counted = |count| line.status.is_some().then_some(count);
        Self {
            run_id: line.run_id,
            job: line.job.clone(),
            status: line.status,
            started_at: line.started_at.clone(),
            finished_at: line.finished_at.clone(),
            started_by: shortened(&line.started_by),
            dry_run: line.dry_run,
            stale_ttl_keys: counted(line.stale_ttl_keys),
            cleaned_keys: counted(line.cleaned_keys),
            cause: line.cause.as_deref().map(shortened),
        }
    }
}

impl AlertRow {
    fn of(alert: &Alert) -> Self {
        Self {
            job: alert.job.clone(),
            alert: alert.alert.clone(),
            severity: alert.severity,
            message: shortened(&alert.message),
            since: alert.since.clone(),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(PAGE_TEXT_CHARS_MAX).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// `at_ms` since the epoch, for a [`ProgressRow`].
pub(super) fn as_of(at_ms: u64) -> Option<String> {
    Some(rfc3339(at_ms))
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::Alias;

    use super::*;

    fn line(run: RunId, status: Option<Status>) -> RunLine {
        let failed = RunLine::failed(run, "nightly", &Alias::new("main"), 0, &"x".repeat(600));
        RunLine { status, cleaned_keys: 7, ..failed }
    }

    #[test]
    fn a_run_in_progress_has_no_counts_and_ends() {
        let (mut board, run) = (Board::default(), RunId::new());
        board.take_run(&line(run, None));
        board.take_progress(run, ProgressRow { keys: Some(9), ..ProgressRow::default() });
        let first = board.snapshot(&[], Timestamp::UNIX_EPOCH);
        assert_eq!((first.running.len(), first.running[0].progress.keys), (1, Some(9)));
        assert_eq!((first.runs[0].cleaned_keys, first.runs[0].stale_ttl_keys), (None, None));
        board.take_run(&line(run, Some(Status::Completed)));
        let second = board.snapshot(&[], Timestamp::UNIX_EPOCH);
        assert_eq!((second.running.len(), second.runs[0].cleaned_keys), (0, Some(7)));
        let cause = second.runs[0].cause.as_ref().map(|cause| cause.chars().count());
        assert_eq!(cause, Some(PAGE_TEXT_CHARS_MAX + 1));
        assert!(board.progress.is_empty());
    }

    #[test]
    fn runs_are_bounded_and_those_in_progress_stay() {
        let (mut board, first) = (Board::default(), RunId::new());
        board.take_run(&line(first, None));
        for _ in 0..200 {
            board.take_run(&line(RunId::new(), Some(Status::Completed)));
        }
        let snapshot = board.snapshot(&[], Timestamp::UNIX_EPOCH);
        assert_eq!((snapshot.runs.len(), board.runs.len()), (PAGE_RUNS, PAGE_RUNS + PAGE_RUNNING_MAX));
        assert_eq!(snapshot.running[0].run.run_id, first);
        for _ in 0..200 {
            board.take_run(&line(RunId::new(), None));
        }
        assert_eq!(board.runs.len(), PAGE_RUNS + PAGE_RUNNING_MAX);
        assert_eq!(board.snapshot(&[], Timestamp::UNIX_EPOCH).running.len(), PAGE_RUNNING_MAX);
    }
}
