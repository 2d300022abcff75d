//! The content of snapshots, kept in memory from the entries of the store as they change. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use keysweep_model::glob::Pattern;
use keysweep_model::ids::RunId;
use keysweep_model::metrics::Alert;
use keysweep_model::printable::{self, is_printable};
use keysweep_storage::history::RunLine;

use super::snapshot::{AlertRow, AttemptRow, JobRow, ProgressRow, ResolvedRow, RunRow, Running, Snapshot};
use crate::drive::RunDetail;
use crate::limits::{PAGE_ALERTS_MAX, PAGE_RESOLVED, PAGE_RUNNING_MAX, PAGE_RUNS, PAGE_TEXT_CHARS_MAX};
use crate::serve::due_times::DueTimes;
use crate::serve::takeover::NextAttempt;
use crate::serve::{ServedJob, ServiceState};

/// What is known between two snapshots.
#[derive(Default)]
pub(super) struct Board {
    runs: BTreeMap<RunId, RunRow>,
    progress: BTreeMap<RunId, RunProgress>,
    alerts: BTreeMap<String, Vec<AlertRow>>,
    /// The newest last.
    resolved: Vec<ResolvedRow>,
    due: DueTimes,
}

/// What is known of a run in progress.
#[derive(Clone, Default)]
pub(super) struct RunProgress {
    /// How far it is.
    pub(super) progress: ProgressRow,
    /// Where it is, if its process shows it.
    pub(super) detail: Option<Arc<RunDetail>>,
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

    /// Takes an alert that was resolved.
    pub(super) fn take_resolved(&mut self, alert: &Alert, resolved_at: String) {
        self.resolved.push(ResolvedRow { alert: AlertRow::of(alert), resolved_at });
        // In UTC, the order of the texts is that of the times, apart from fractions of a second.
        self.resolved.sort_by(|one, other| one.resolved_at.cmp(&other.resolved_at));
        let surplus = self.resolved.len().saturating_sub(PAGE_RESOLVED);
        self.resolved.drain(..surplus);
    }

    /// The runs whose progress is of interest, the newest first.
    pub(super) fn in_progress(&self) -> Vec<RunId> {
        let running = self.runs.iter().rev().filter(|(_, row)| row.status.is_none());
        running.map(|(run, _)| *run).take(PAGE_RUNNING_MAX).collect()
    }

    /// Whether anything is known of the progress of a run.
    pub(super) fn has_progress(&self, run: RunId) -> bool {
        self.progress.contains_key(&run)
    }

    /// Takes the progress of a run in progress.
    pub(super) fn take_progress(&mut self, run: RunId, progress: RunProgress) {
        self.progress.insert(run, progress);
    }

    /// The page as it is `now`, apart from the workers.
    pub(super) fn snapshot(&mut self, jobs: Vec<JobRow>) -> Snapshot {
        self.progress.retain(|run, _| self.runs.get(run).is_some_and(|row| row.status.is_none()));
        let (mut running, mut details) = (Vec::new(), BTreeMap::new());
        for run in self.in_progress() {
            let RunProgress { progress, detail } = self.progress.get(&run).cloned().unwrap_or_default();
            running.extend(self.runs.get(&run).map(|row| Running { run: row.clone(), progress }));
            details.extend(detail.map(|detail| (run, (*detail).clone())));
        }
        Snapshot {
            jobs,
            running,
            details,
            runs: self.runs.values().rev().take(PAGE_RUNS).cloned().collect(),
            alerts: self.alerts.values().flatten().take(PAGE_ALERTS_MAX).cloned().collect(),
            resolved: self.resolved.iter().rev().cloned().collect(),
            workers: None,
            problem: None,
        }
    }

    /// Other jobs are served from now on.
    pub(super) fn change_jobs(&mut self) {
        self.due = DueTimes::default();
    }

    /// The jobs with their next times.
    pub(super) fn jobs(&mut self, shared: &ServiceState, now: Timestamp) -> Vec<JobRow> {
        let due = self.due.of(shared, now);
        let row = |(job, due): (&ServedJob, &_)| {
            let name = &job.options.job;
            let decided = shared.decided.get(name).map(|next| next.sentence);
            JobRow::of(job, *due, shared.attempts.get(name), decided)
        };
        shared.jobs.iter().zip(due).map(row).collect()
    }
}

impl JobRow {
    fn of(
        job: &ServedJob,
        due: Option<Timestamp>,
        next: Option<NextAttempt>,
        decided: Option<String>,
    ) -> Self {
        let ServedJob { options, schedule, .. } = job;
        Self {
            job: options.job.clone(),
            redis: options.alias.to_string(),
            schedule: schedule.describe(),
            cron: schedule.setting().to_owned(),
            next_due: due.map(|due| due.to_string()),
            next_attempt: next.map(|next| AttemptRow { due: next.due.to_string(), attempt: next.attempt }),
            decided: decided.map(|sentence| shortened(&sentence)),
            catch_up: job.catch_up,
            action: if options.rules.policy.is_some() {
                options.rules.action_name()
            } else {
                job.action.name()
            },
            dry_run: options.dry_run,
            protect: options.rules.protect.iter().map(plain).collect(),
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

/// A pattern as a job file has it, if it is plain text.
fn plain(pattern: &Pattern) -> Option<String> {
    let text = str::from_utf8(pattern.as_bytes()).ok()?;
    text.chars().all(is_printable).then(|| text.to_owned())
}

fn shortened(text: &str) -> String {
    printable::shortened(text, PAGE_TEXT_CHARS_MAX).into_owned()
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::Alias;
    use keysweep_model::result::Status;
    use keysweep_model::time::rfc3339;
    use serde_json::json;

    use super::*;

    fn line(run: RunId, status: Option<Status>) -> RunLine {
        let failed = RunLine::failed(run, "nightly", &Alias::new("main"), 0, &"x".repeat(600));
        RunLine { status, cleaned_keys: 7, ..failed }
    }

    #[test]
    fn a_run_in_progress_has_no_counts_and_ends() {
        let (mut board, run) = (Board::default(), RunId::new());
        board.take_run(&line(run, None));
        let progress = ProgressRow { keys: Some(9), ..ProgressRow::default() };
        board.take_progress(run, RunProgress { progress, detail: Some(Arc::default()) });
        let first = board.snapshot(Vec::new());
        assert_eq!((first.running.len(), first.running[0].progress.keys), (1, Some(9)));
        assert_eq!((first.runs[0].cleaned_keys, first.runs[0].stale_ttl_keys), (None, None));
        assert!(first.details.contains_key(&run));
        board.take_run(&line(run, Some(Status::Completed)));
        let second = board.snapshot(Vec::new());
        assert_eq!(
            (second.running.len(), second.details.len(), second.runs[0].cleaned_keys),
            (0, 0, Some(7))
        );
        let cause = second.runs[0].cause.as_ref().map(|cause| cause.chars().count());
        assert_eq!(cause, Some(PAGE_TEXT_CHARS_MAX));
        assert!(board.progress.is_empty());
    }

    #[test]
    fn runs_are_bounded_and_those_in_progress_stay() {
        let (mut board, first) = (Board::default(), RunId::new());
        board.take_run(&line(first, None));
        for _ in 0..200 {
            board.take_run(&line(RunId::new(), Some(Status::Completed)));
        }
        let snapshot = board.snapshot(Vec::new());
        assert_eq!((snapshot.runs.len(), board.runs.len()), (PAGE_RUNS, PAGE_RUNS + PAGE_RUNNING_MAX));
        assert_eq!(snapshot.running[0].run.run_id, first);
        for _ in 0..200 {
            board.take_run(&line(RunId::new(), None));
        }
        assert_eq!(board.runs.len(), PAGE_RUNS + PAGE_RUNNING_MAX);
        assert_eq!(board.snapshot(Vec::new()).running.len(), PAGE_RUNNING_MAX);
    }

    #[test]
    fn the_alerts_that_were_resolved_last_are_kept() {
        let alert = |n: u64| {
            let (id, since) = ("01980a1c-0000-7000-8000-000000000000", rfc3339(n));
            let alert = json!({
                "id": id, "alert": format!("alert-{n}"), "job": "nightly", "severity": "warning", "message": "",
                "since": since, "evidence": {},
            });
            serde_json::from_value::<Alert>(alert).expect("an alert")
        };
        let mut board = Board::default();
        for n in [5, 30, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12] {
            board.take_resolved(&alert(n), rfc3339(1_000 * n));
        }
        let resolved = board.snapshot(Vec::new()).resolved;
        assert_eq!((resolved.len(), resolved[0].alert.alert.as_str()), (PAGE_RESOLVED, "alert-30"));
        assert!(resolved.iter().all(|row| row.alert.alert != "alert-1"), "{resolved:?}");
    }
}
