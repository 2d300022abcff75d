//! Reads what has changed for viewers of the page: entries of the store, what processes say of their runs, and the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use keysweep_model::ids::RunId;
use keysweep_model::metrics::Alert;
use keysweep_model::time::{now, rfc3339};
use keysweep_model::wire;
use keysweep_storage::alerts;
use keysweep_storage::events::EVENTS;
use keysweep_storage::history::{HISTORY, RunLine};
use keysweep_storage::records::RecordError;
use keysweep_storage::store::{Store, StoreError};
use serde::Deserialize;

use super::board::{Board, RunProgress};
use super::snapshot::{ProgressRow, Snapshot, Workers};
use super::workers::WorkerNotes;
use crate::drive::{Progress, ShownRun};
use crate::serve::ServiceState;
use crate::shared_run;

/// Rounds between two looks at what changes once a second.
const SLOW_ROUNDS: u64 = 2;

/// How far the entries of the store are read, and what they amount to.
#[derive(Default)]
pub(super) struct Watch {
    board: Board,
    history: u64,
    alerts: u64,
    /// How far the changes of alerts are read, by job.
    changes: BTreeMap<String, u64>,
    workers: Option<Workers>,
    /// Keys by the plans of runs in progress.
    planned: BTreeMap<RunId, Option<u64>>,
    rounds: u64,
}

/// The event of a change of an alert, as far as the page needs it.
#[derive(Deserialize)]
struct AlertChange {
    time: String,
    data: AlertChangeData,
}

#[derive(Deserialize)]
struct AlertChangeData {
    #[serde(flatten)]
    alert: Alert,
    change: alerts::AlertTransition,
}

impl Watch {
    /// Other jobs are served from now on.
    pub(super) fn change_jobs(&mut self) {
        self.board.change_jobs();
    }

    /// The page by what was read.
    pub(super) fn snapshot(&mut self, shared: &ServiceState) -> Snapshot {
        let jobs = self.board.jobs(shared, now());
        Snapshot { workers: self.workers.clone(), ..self.board.snapshot(jobs) }
    }

    /// Reads what has changed since the last call.
    pub(super) async fn look(
        &mut self,
        shared: &ServiceState,
        workers: &WorkerNotes,
    ) -> Result<(), StoreError> {
        let store = &*shared.context.history_store;
        while let Some(entry) = store.next_after(HISTORY, self.history).await? {
            self.history = entry.revision;
            if let Some(line) = RunLine::read(&entry) {
                self.board.take_run(&line);
            }
        }
        while let Some((job, stored, revision)) = alerts::next_after(store, self.alerts).await? {
            self.alerts = revision;
            self.board.take_alerts(job, &stored.active);
        }
        let is_slow = self.rounds.is_multiple_of(SLOW_ROUNDS);
        self.rounds += 1;
        if is_slow {
            self.look_at_resolved(shared, store).await?;
            if shared.here.is_none() {
                self.workers = Some(workers.look(&shared.context).await);
            }
        }
        let running = self.board.in_progress();
        self.planned.retain(|run, _| running.contains(run));
        for run in running {
            if is_slow || !self.board.has_progress(run) {
                let progress = self.progress(shared, run).await?;
                self.board.take_progress(run, progress);
            }
        }
        Ok(())
    }

    async fn look_at_resolved(&mut self, shared: &ServiceState, store: &dyn Store) -> Result<(), StoreError> {
        for job in shared.jobs.iter().map(|job| &job.options.job) {
            let prefix = format!("{EVENTS}{job}/alert/");
            let read = self.changes.entry(job.clone()).or_default();
            while let Some(entry) = store.next_after(&prefix, *read).await? {
                *read = entry.revision;
                let Ok(AlertChange { time, data }) = wire::from_json(&entry.value) else { continue };
                if data.change == alerts::AlertTransition::Resolved {
                    self.board.take_resolved(&data.alert, time);
                }
            }
        }
        Ok(())
    }

    /// What is known of a run in progress: from its driver in this process, from what its process shares on this machine,
    /// or from what it stores for everyone.
    async fn progress(&mut self, shared: &ServiceState, run: RunId) -> Result<RunProgress, StoreError> {
        Ok(match (shared.driven.get(&run), &shared.here) {
            (Some(view), _) => of_driver(&view),
            (None, Some(_)) => shared_on_machine(shared, run).await?,
            (None, None) => self.of_workers(shared, run).await,
        })
    }

    /// The progress of a run that another process drives. A record that cannot be read says nothing.
    async fn of_workers(&mut self, shared: &ServiceState, run: RunId) -> RunProgress {
        let records = shared.context.records(run);
        let known = |read: Result<_, RecordError>| read.ok().flatten();
        let keys = match self.planned.get(&run) {
            Some(keys) => *keys,
            None => {
                let keys = known(records.spec().await).map(|spec| spec.keys());
                self.planned.insert(run, keys);
                keys
            }
        };
        let read = records.so_far().await.ok().flatten();
        let progress = ProgressRow {
            keys,
            listed_keys: read.map(|read| read.listed),
            stale_so_far: read.map(|read| read.stale),
            ..ProgressRow::default()
        };
        RunProgress { progress, detail: None }
    }
}

fn of_driver(view: &ShownRun) -> RunProgress {
    let (progress, detail) = (*view.progress.borrow(), view.detail.borrow().clone());
    RunProgress { progress: row(&progress, None), detail }
}

async fn shared_on_machine(shared: &ServiceState, run: RunId) -> Result<RunProgress, StoreError> {
    let Some(said) = shared_run::read(&shared.context, run).await? else { return Ok(RunProgress::default()) };
    let progress = row(&said.progress, Some(rfc3339(said.at_ms)));
    Ok(RunProgress { progress, detail: said.detail.map(Arc::new) })
}

fn row(progress: &Progress, as_of: Option<String>) -> ProgressRow {
    ProgressRow {
        state: Some(progress.phase.into()),
        keys: Some(progress.keys),
        listed_keys: Some(progress.read.listed),
        stale_so_far: Some(progress.read.stale),
        deleted_so_far: Some(progress.totals.accounting.deleted),
        as_of,
    }
}
