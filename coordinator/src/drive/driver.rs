//! What a driver makes of each record: it keeps its picture of the run, and once it has read all that was
//! decided before it, decides what comes next. Decisions go into the log first and are carried out when they
//! are read there, so that a successor carries out what was left.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::{BatchId, NodeId, TaskId};
use keysweep_model::limits::{REPLANS_MAX, TASK_AGAIN_ACK_WAITS};
use keysweep_model::messages::{Cancel, RunSpec, ScanTask, TaskFailure, TaskReport};
use keysweep_model::slot::SlotSet;
use keysweep_model::time::now_ms;
use keysweep_redis::RedisClient;
use keysweep_runtime::context::Context;
use keysweep_storage::records::{Decision, Record, Records, TaskLists};
use keysweep_storage::task_notes::{InFlightTasks, ReadSoFar, TaskNote};
use reporter::Fold;
use tokio::time::Instant;

use super::grants::Grants;
use super::{DriveError, Epoch, Progress, exactly};
use crate::dispatch::Dispatch;
use crate::run_events;
use crate::run_phase::RunPhase;

/// One coordinator's hold of a run.
pub(super) struct Driver<'a> {
    pub(super) context: &'a Context,
    pub(super) spec: RunSpec,
    /// Who we are, for people.
    pub(super) process_id: String,
    pub(super) records: Records,
    pub(super) epoch: Epoch,
    /// The number of the log's next entry.
    pub(super) next: u64,
    /// Whether we have read all that was decided before us. Until then we decide nothing.
    pub(super) live: bool,
    /// Connected when something has to be planned again.
    pub(super) client: Option<RedisClient>,
    pub(super) dispatch: Dispatch,
    /// Slots of passes that have been planned again.
    pub(super) reassigned: BTreeMap<TaskId, SlotSet>,
    pub(super) lists: TaskLists,
    /// Tasks that we read of before we were live.
    pub(super) tasks: BTreeMap<TaskId, ScanTask>,
    /// Reports with a rest that no list follows, read before we were live.
    pub(super) remainders: BTreeMap<TaskId, TaskReport>,
    /// Tasks that were given up before we were live.
    pub(super) abandoned: Vec<(TaskId, NodeId, TaskFailure)>,
    /// Batches without a receipt: when their message must be lost, and their node and round.
    pub(super) batches: BTreeMap<BatchId, (Instant, NodeId, u32)>,
    pub(super) grants: Grants,
    /// Since when we ask whether what was done still holds, and when we ask again.
    pub(super) failover_check: Option<(Instant, Instant)>,
    pub(super) fold: Fold,
    pub(super) state: RunPhase,
    pub(super) started: Instant,
    /// The time of the run that counts, before we drove it.
    pub(super) before: Duration,
    pub(super) last_progress_at: Instant,
    /// What tasks that are being read have told.
    in_flight: InFlightTasks,
    /// What we have stored of that, and when.
    pub(super) stored: (Instant, ReadSoFar),
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        context: &'a Context,
        spec: RunSpec,
        records: Records,
        epoch: Epoch,
        who: &str,
    ) -> Self {
        let before = spec.runtime(now_ms());
        Self {
            context,
            spec,
            records,
            next: epoch.n + 1,
            epoch,
            live: false,
            process_id: who.to_owned(),
            client: None,
            dispatch: Dispatch::new(
                context.timing.ack_wait * TASK_AGAIN_ACK_WAITS,
                context.max_inflight_tasks,
            ),
            reassigned: BTreeMap::new(),
            lists: TaskLists::default(),
            tasks: BTreeMap::new(),
            remainders: BTreeMap::new(),
            abandoned: Vec::new(),
            batches: BTreeMap::new(),
            grants: Grants::default(),
            failover_check: None,
            fold: Fold::default(),
            state: RunPhase::Planned,
            started: Instant::now(),
            before,
            last_progress_at: Instant::now(),
            in_flight: InFlightTasks::default(),
            stored: (Instant::now(), ReadSoFar::default()),
        }
    }

    pub(super) async fn handle(&mut self, record: &Record) -> Result<(), DriveError> {
        if matches!(record, Record::Report(report) if self.fold.is_reported(report.task)) {
            // The first one counts, whatever somebody has put in its place.
            return Ok(());
        }
        self.fold.apply(record);
        match record {
            Record::Decision { n, decision } => self.decided(*n, decision).await?,
            Record::Report(report) => self.reported(report).await?,
            Record::Grant(grant) => self.grants.granted(grant.task),
            Record::Receipt(receipt) => drop(self.batches.remove(&receipt.batch)),
            Record::Cancel(cancel) if self.live => self.cancelled(cancel).await?,
            Record::Unsaved(cause) => self.stop_unsaved(cause).await?,
            Record::Cancel(_) | Record::Spec(_) | Record::Lookups { .. } | Record::Result(_) => {}
        }
        if self.live {
            self.check_deletions().await?;
        }
        self.state = self.state.advanced(&self.fold);
        Ok(())
    }

    /// Takes in what a task tells. Others than those that are at work are of no interest, or a stranger's.
    pub(super) fn record_progress(&mut self, note: TaskNote) {
        if self.fold.is_open(note.task) {
            self.in_flight.record(note.task, note.read);
        }
    }

    /// How far the run is, of which `keys` were planned.
    pub(super) fn progress(&self, keys: u64) -> Progress {
        let totals = self.fold.totals();
        Progress::new(self.state, keys, totals, exactly(&totals).plus(self.in_flight.sum()))
    }

    async fn decided(&mut self, n: u64, decision: &Decision) -> Result<(), DriveError> {
        if n >= self.next {
            return Err(DriveError::Fenced(self.spec.run));
        }
        if let Some((after, tasks)) = self.lists.apply(decision) {
            if let Some(report) = after.and_then(|task| self.remainders.remove(&task)) {
                self.was_followed(&report);
            }
            if self.live {
                self.take_in(&tasks).await?;
            } else {
                self.tasks.extend(tasks.into_iter().map(|task| (task.task, task)));
            }
        }
        if let Decision::Abandon { tasks, loss } = decision {
            self.abandoned.extend(tasks.iter().map(|(task, node)| (*task, node.clone(), loss.clone())));
            if self.live {
                self.report_abandoned().await?;
            }
        }
        if let Decision::Check { .. } = decision
            && self.live
        {
            self.rescan().await?;
        }
        if n == self.epoch.n { self.begin().await } else { Ok(()) }
    }

    /// Takes up what the coordinators before us left.
    async fn begin(&mut self) -> Result<(), DriveError> {
        self.live = true;
        let Epoch { epoch, .. } = self.epoch;
        if epoch > 1 {
            tracing::info!(run = %self.spec.run, epoch, "took a run over");
        }
        // The one before may have died before it told.
        self.context.emit_event(&run_events::started(&self.spec, &self.process_id, now_ms())).await;
        if epoch > 1 {
            self.context
                .emit_event(&run_events::taken_over(&self.spec, epoch, &self.process_id, now_ms()))
                .await;
        }
        self.report_abandoned().await?;
        for report in std::mem::take(&mut self.remainders).into_values() {
            self.follow_on(&report).await?;
        }
        self.rescan().await?;
        let tasks: Vec<ScanTask> = std::mem::take(&mut self.tasks).into_values().collect();
        let open: Vec<ScanTask> =
            tasks.into_iter().filter(|task| !self.fold.is_reported(task.task)).collect();
        self.take_in(&open).await
    }

    async fn cancelled(&mut self, cancel: &Cancel) -> Result<(), DriveError> {
        tracing::warn!(cause = cancel.cause, "stopping");
        let withdrawn = self.dispatch.withdraw_all();
        self.abandon(
            &withdrawn,
            &TaskFailure { cause: "the run was cancelled".to_owned(), node_failed: false },
        )
        .await
    }

    /// Lines up tasks; those that were planned too often are given up instead.
    async fn take_in(&mut self, tasks: &[ScanTask]) -> Result<(), DriveError> {
        let stopped = self.fold.cancel().is_some();
        for task in tasks {
            let cause = if stopped {
                "the run was cancelled".to_owned()
            } else if task.reschedules > REPLANS_MAX {
                format!("its slots did not hold still, or nobody served them, {REPLANS_MAX} times")
            } else {
                let pause = self.context.timing.pause(task.reschedules);
                let pause = if task.reschedules == 0 { Duration::ZERO } else { pause };
                self.dispatch.add(task.clone(), self.started.elapsed() + pause);
                continue;
            };
            self.abandon(std::slice::from_ref(task), &TaskFailure { cause, node_failed: false }).await?;
        }
        Ok(())
    }

    async fn reported(&mut self, report: &TaskReport) -> Result<(), DriveError> {
        self.dispatch.reported(report.task);
        self.in_flight.reported(report.task);
        let grace = Duration::from_millis(self.spec.rules.grace_ms);
        let lost_at = Instant::now() + grace + self.context.timing.batch_lost_after;
        for listed in &report.batches {
            self.batches.insert(listed.batch, (lost_at, report.node.clone(), report.scan_generation));
        }
        self.check_report(report).await?;
        if !self.live {
            if !report.remainder.is_empty() && !self.lists.has(Some(report.task)) {
                self.remainders.insert(report.task, report.clone());
            }
            return Ok(());
        }
        if let Some(loss) = report.lost.as_ref().filter(|loss| loss.node_failed) {
            let withdrawn = self.dispatch.withdraw(&report.node);
            self.abandon(&withdrawn, loss).await?;
        }
        self.follow_on(report).await
    }

    /// Decides which tasks read the rest of a task, if it has one.
    async fn follow_on(&mut self, report: &TaskReport) -> Result<(), DriveError> {
        if report.remainder.is_empty() {
            return Ok(());
        }
        let tasks = self.follow(report).await;
        self.decide(Decision::list(Some(report.task), &tasks)).await
    }

    /// Decides that tasks will not be read.
    pub(super) async fn abandon(&mut self, tasks: &[ScanTask], loss: &TaskFailure) -> Result<(), DriveError> {
        self.decide(Decision::abandon(tasks, loss)).await
    }

    /// Enters decisions into the log. They are carried out when we read them there, by us or by a successor.
    pub(super) async fn decide(&mut self, decisions: Vec<Decision>) -> Result<(), DriveError> {
        for decision in decisions {
            if !self.records.append(self.next, &decision).await? {
                return Err(DriveError::Fenced(self.spec.run));
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Stores the reports of tasks that were given up.
    async fn report_abandoned(&mut self) -> Result<(), DriveError> {
        for (task, node, loss) in std::mem::take(&mut self.abandoned) {
            if !self.fold.is_reported(task) {
                let report = TaskReport::abandoned(self.spec.run, task, node, loss);
                self.records.create_report(&report).await?;
            }
        }
        Ok(())
    }
}
