//! The state machine of a run, as its leader sees it. It takes inputs and returns effects; it performs no I/O and has no
//! clock. All decisions are made here and in the other files of this folder that extend [`RunState`].
//!
//! A decision is appended to the run log first, and carried out when it is read back from there. So a successor carries
//! out what this leader left, and a leader that has a successor carries out nothing: its next entry exists.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::{BatchId, TaskId};
use keysweep_model::messages::{Cancel, RunSpec, ScanTask, TaskFailure, TaskReport};
use keysweep_model::result::CleanupResult;
use keysweep_runtime::context::Timing;
use keysweep_storage::records::{Decision, Record};
use keysweep_storage::task_notes::{InFlightTasks, ReadSoFar, TaskNote};

use super::effect::{Effect, Notice, RunEvent};
use super::election::Epoch;
use super::failover_check::PendingCheck;
use super::grants::PendingGrants;
use super::input::{Input, OpenBatch};
use super::progress::Progress;
use super::recorded_state::RecordedState;
use crate::dispatch::Dispatch;
use crate::limits::{RESCHEDULES_MAX, TASK_AGAIN_ACK_WAITS};
use crate::plan::Planner;
use crate::run_phase::{PhaseEvent, next};
use crate::task_ids::TaskIds;

/// What a leader knows besides the records.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// Its place in the run log.
    pub epoch: Epoch,
    /// Time limits.
    pub timing: Timing,
    /// Scan tasks that may be in flight at a time, over all nodes.
    pub max_inflight_tasks: usize,
    /// Whether other processes read the progress.
    pub publishes: bool,
    /// Whether all workers are in this process.
    pub one_process: bool,
    /// The runtime that counted against the limit before this leader began.
    pub runtime_before: Duration,
    /// Ids for new tasks.
    pub task_ids: TaskIds,
}

/// The state of a run, as its leader sees it. Times are durations since the leader began, by a monotonic clock.
#[derive(Clone, Debug)]
pub struct RunState {
    pub(super) spec: RunSpec,
    pub(super) config: LeaderConfig,
    /// What the records state.
    pub(super) recorded: RecordedState,
    /// Whether the leader has read all entries that precede its own. Before that, it decides nothing.
    pub(super) live: bool,
    /// The number of the next entry of the run log.
    pub(super) next_entry: u64,
    pub(super) planner: Planner,
    /// Tasks to publish, and tasks in flight.
    pub(super) dispatch: Dispatch,
    /// Batches without a receipt, with the time from which on their message counts as lost.
    pub(super) batches: BTreeMap<BatchId, (Duration, OpenBatch)>,
    pub(super) grants: PendingGrants,
    pub(super) pending_check: Option<PendingCheck>,
    /// What scanners report of tasks in flight.
    in_flight: InFlightTasks,
    /// The progress that was stored last, and when.
    pub(super) progress_stored: (Duration, ReadSoFar),
    pub(super) progress_emitted_at: Duration,
    /// The time of the present input.
    pub(super) now: Duration,
    /// The effects of the present input.
    pub(super) effects: Vec<Effect>,
}

impl RunState {
    /// The state before the first record.
    #[must_use]
    pub fn new(spec: RunSpec, config: LeaderConfig) -> Self {
        let redispatch_after = config.timing.ack_wait * TASK_AGAIN_ACK_WAITS;
        Self {
            recorded: RecordedState::default(),
            live: false,
            next_entry: config.epoch.entry.saturating_add(1),
            planner: Planner::new(spec.run, spec.alias.clone(), config.task_ids.clone()),
            dispatch: Dispatch::new(redispatch_after, config.max_inflight_tasks),
            batches: BTreeMap::new(),
            grants: PendingGrants::default(),
            pending_check: None,
            in_flight: InFlightTasks::default(),
            progress_stored: (Duration::ZERO, ReadSoFar::default()),
            progress_emitted_at: Duration::ZERO,
            now: Duration::ZERO,
            effects: Vec::new(),
            spec,
            config,
        }
    }

    /// Applies an input at `now`. Returns the effects to carry out, in order. Their replies must be applied before the
    /// next record, note or tick.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        self.now = now;
        match input {
            Input::Record(record) => self.read(&record),
            Input::Note(note) => self.record_progress(note),
            Input::Tick => self.tick(),
            Input::AppendRefused => self.effects.push(Effect::Yield),
            Input::Published { accepted: true, .. } => self.published(),
            Input::Published { task, accepted: false } => self.refused(*task),
            // What it lists does not count against the limit any more.
            Input::ReceiptCreated(receipt) => drop(self.recorded.apply(&Record::Receipt(receipt))),
            Input::BatchEnded { batch, outcome } => self.batch_ended(batch, outcome),
            Input::NodesQueried { request, answers } => self.nodes_queried(&request, answers),
            Input::HistoriesQueried(replies) => self.histories_queried(&replies),
        }
        std::mem::take(&mut self.effects)
    }

    /// When the next [`Input::Tick`] is due, after an input at `now`.
    #[must_use]
    pub fn next_tick(&self, now: Duration) -> Duration {
        let tick = now + super::TICK;
        self.grants.next().filter(|_| self.live).map_or(tick, |grant| grant.min(tick))
    }

    /// The progress of the run, of which `keys` keys were planned.
    #[must_use]
    pub fn progress(&self, keys: u64) -> Progress {
        Progress::with_in_flight(self.recorded.phase, keys, self.recorded.fold.totals(), self.in_flight.sum())
    }

    /// What the records state.
    #[must_use]
    pub fn recorded(&self) -> &RecordedState {
        &self.recorded
    }

    fn read(&mut self, record: &Record) {
        if let Record::Decision { n, .. } = record
            && *n >= self.next_entry
        {
            self.effects.push(Effect::Yield);
            return;
        }
        if self.recorded.has(record) {
            return;
        }
        let tasks = self.recorded.apply(record);
        match record {
            Record::Decision { n, decision } => self.decided(*n, decision, tasks),
            Record::Report(report) => self.reported(report),
            Record::Grant(grant) => self.grants.remove(grant.task),
            Record::Receipt(receipt) => drop(self.batches.remove(&receipt.batch)),
            Record::Cancel(cancel) if self.live => self.cancelled(cancel),
            Record::Unsaved(cause) => self.backup_failed(cause),
            Record::Result(result) => self.finished(result),
            Record::Cancel(_) | Record::Spec(_) => {}
        }
    }

    /// Takes in what a scanner reports of its task, if the task is in flight.
    fn record_progress(&mut self, note: TaskNote) {
        if self.recorded.fold.is_open(note.task) {
            self.in_flight.record(note.task, note.read);
        }
    }

    fn decided(&mut self, n: u64, decision: &Decision, tasks: Vec<ScanTask>) {
        if n == self.config.epoch.entry {
            return self.begin();
        }
        if !self.live {
            return;
        }
        self.enqueue(tasks);
        match decision {
            Decision::Abandon { tasks, .. } => {
                tasks.iter().for_each(|(task, _)| self.report_abandoned(*task));
            }
            Decision::Check { .. } => self.rescan(),
            Decision::LeaderElected { .. } | Decision::Tasks { .. } => {}
        }
    }

    /// Continues what the preceding leaders left.
    fn begin(&mut self) {
        self.live = true;
        let epoch = self.config.epoch.number;
        self.effects.push(Effect::Emit(RunEvent::Started));
        if epoch > 1 {
            self.effects.push(Effect::Log(Notice::TakenOver { epoch }));
            self.effects.push(Effect::Emit(RunEvent::TakenOver { epoch }));
        }
        let abandoned: Vec<_> = self.recorded.abandoned.keys().copied().collect();
        abandoned.into_iter().for_each(|task| self.report_abandoned(task));
        let open: Vec<_> = self.recorded.remainders.keys().copied().collect();
        open.into_iter().for_each(|task| self.follow(task));
        self.rescan();
        self.enqueue(self.recorded.open_tasks());
    }

    fn cancelled(&mut self, cancel: &Cancel) {
        self.effects.push(Effect::Log(Notice::Stopping { cause: cancel.cause.clone() }));
        let withdrawn = self.dispatch.withdraw_all();
        self.abandon(&withdrawn, "the run was cancelled");
    }

    fn finished(&mut self, result: &CleanupResult) {
        let phase = self.recorded.phase;
        self.recorded.phase = next(phase, PhaseEvent::Result(result.status)).unwrap_or(phase);
        self.effects.push(Effect::Finish(Box::new(result.clone())));
    }

    /// Enqueues tasks for dispatch. Those that were planned too often are abandoned instead.
    fn enqueue(&mut self, tasks: Vec<ScanTask>) {
        for task in tasks {
            if self.is_cancelled() {
                self.abandon(&[task], "the run was cancelled");
            } else if task.reschedules > RESCHEDULES_MAX {
                let cause = format!("its slots kept moving, or no node served them, {RESCHEDULES_MAX} times");
                self.abandon(&[task], &cause);
            } else {
                let pause = self.config.timing.pause(task.reschedules);
                let pause = if task.reschedules == 0 { Duration::ZERO } else { pause };
                self.dispatch.add(task, self.now + pause);
            }
        }
    }

    fn reported(&mut self, report: &TaskReport) {
        self.dispatch.reported(report.task);
        self.in_flight.reported(report.task);
        let lost_at = self.now + self.grace() + self.config.timing.batch_lost_after;
        for listed in &report.batches {
            let (batch, node) = (listed.batch, report.node.clone());
            let open = OpenBatch { batch, node, scan_generation: report.scan_generation };
            self.batches.insert(batch, (lost_at, open));
        }
        self.check_report(report);
        if !self.live {
            return;
        }
        if let Some(loss) = report.lost.as_ref().filter(|loss| loss.node_failed) {
            let withdrawn = self.dispatch.withdraw(&report.node);
            self.append(Decision::abandon(&withdrawn, loss));
        }
        self.follow(report.task);
    }

    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.spec.rules.grace_ms)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.recorded.fold.cancel().is_some()
    }

    /// Cancels the run, unless it is cancelled.
    pub(super) fn cancel(&mut self, cancel: Cancel) {
        if !self.is_cancelled() {
            self.effects.push(Effect::CreateCancel(cancel));
        }
    }

    /// Decides that tasks will not be scanned, although their node may work.
    pub(super) fn abandon(&mut self, tasks: &[ScanTask], cause: &str) {
        let loss = TaskFailure { cause: cause.to_owned(), node_failed: false };
        self.append(Decision::abandon(tasks, &loss));
    }

    /// Appends decisions to the run log.
    pub(super) fn append(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            self.effects.push(Effect::Append { n: self.next_entry, decision });
            self.next_entry = self.next_entry.saturating_add(1);
        }
    }

    /// Stores the report of an abandoned task, unless it has one.
    fn report_abandoned(&mut self, task: TaskId) {
        if let Some((node, loss)) = self.recorded.abandoned.get(&task).cloned() {
            let report = TaskReport::abandoned(self.spec.run, task, node, loss);
            self.effects.push(Effect::CreateReport(Box::new(report)));
        }
    }
}
