//! The scanner's loop: one scan task from the first look at its node to the stored report. A task leaves
//! nothing half-done behind: what it published does not count until its report is stored, and only the first
//! report of a task is.

#[cfg(test)]
mod tests;

use std::time::Duration;

use shared::cluster::node::{self, SlotView};
use shared::cluster::{Conn, Fault, FaultKind, window};
use shared::crash::CrashPoint;
use shared::deployments::Deployments;
use shared::env::Env;
use shared::ids::RunId;
use shared::key::Key;
use shared::limits::TASK_CANDIDATE_BYTES_MAX;
use shared::messages::{Covered, ReapBatch, Rest, RestReason, RunSpec, ScanTask, TaskReport};
use shared::queue::{Delivery, QueueError, Topic, publish_patiently};
use shared::range::{CursorScope, Scope, SlotListing};
use shared::records::Records;
use shared::slot::SlotSet;
use shared::specs::Specs;
use shared::wire;
use shared::worker::{self, Disposition, Failure, Handler};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batching;
use crate::select::Selector;
use crate::tally::Tally;
use crate::walk::{Reached, Taken, Walk};

/// How often a task at work looks whether its run goes on.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// A scanner: as many of them as wanted may work side by side.
pub struct Scanner {
    env: Env,
    deployments: Deployments,
    specs: Specs,
    shutdown: CancellationToken,
}

impl Scanner {
    /// A scanner in `env`.
    #[must_use]
    pub fn new(env: Env, shutdown: CancellationToken) -> Self {
        let deployments = Deployments::new(&env, "keysweep-scanner");
        Self { specs: Specs::new(&env), deployments, env, shutdown }
    }

    /// Works on scan tasks, `at_once` at a time, until told to shut down.
    ///
    /// # Errors
    /// When the queue fails for good.
    pub async fn run(&self, at_once: usize) -> Result<(), QueueError> {
        worker::run(&self.env, self, at_once, self.shutdown.clone()).await
    }

    async fn scan(&self, task: &ScanTask, delivery: &Delivery) -> Result<Disposition, Failure> {
        let records = self.env.records(task.run);
        let Some(spec) = self.specs.get(task.run).await? else { return Ok(Disposition::Done) };
        if records.report(task.task).await?.is_some() || records.result().await?.is_some() {
            return Ok(Disposition::Done);
        }
        let scanned = self.read(task, &spec, &records, delivery).await;
        let (report, batches) = match scanned {
            Ok(Some(scanned)) => scanned,
            Ok(None) => {
                return self
                    .store(&records, &TaskReport::lost(task, "the run was cancelled", false), &[])
                    .await;
            }
            Err(fault) if fault.kind == FaultKind::Moved => {
                self.deployments.get(&task.alias).await?.refresh().await?;
                (handed_back(task), Vec::new())
            }
            Err(fault) => {
                if matches!(fault.kind, FaultKind::Lost | FaultKind::Unreachable) {
                    self.deployments.forget(&task.alias, &task.node).await;
                }
                return Err(fault.into());
            }
        };
        self.store(&records, &report, &batches).await
    }

    /// Reads the scope of a task. `None` if the run was cancelled meanwhile.
    async fn read(
        &self,
        task: &ScanTask,
        spec: &RunSpec,
        records: &Records,
        delivery: &Delivery,
    ) -> Result<Option<(TaskReport, Vec<ReapBatch>)>, Fault> {
        let deployment = self.deployments.get(&task.alias).await?;
        let conn = deployment.conn(&task.node).await?;
        let before = Look::take(&conn, spec, &task.scope).await?;
        if let Some(report) = before.restarted(task) {
            return Ok(Some((report, Vec::new())));
        }
        let mut walk = Walk::new(&task.scope, task.keys, spec.rules.scan_batch_keys);
        let mut reading =
            Reading { tally: Tally::default(), approximate: false, pulse: Pulse::new(&self.env) };
        if !reading.go_through(&mut walk, &conn, spec, records, delivery).await? {
            return Ok(None);
        }
        let after = Look::take(&conn, spec, &task.scope).await?;
        if let Some(report) = after.restarted(task) {
            return Ok(Some((report, Vec::new())));
        }
        let now_ms = node::time_ms(&conn).await?;
        Ok(Some(reading.report(task, spec, &walk.reached(), &before, &after, now_ms)))
    }

    /// Publishes the batches, and then the report that makes them count.
    async fn store(
        &self,
        records: &Records,
        report: &TaskReport,
        batches: &[ReapBatch],
    ) -> Result<Disposition, Failure> {
        for batch in batches {
            let payload = wire::encode(batch).map_err(|e| Failure::Message(e.to_string()))?;
            if !publish_patiently(&*self.env.queue, Topic::Batches, &payload, &self.shutdown).await? {
                return Ok(Disposition::Later(Duration::ZERO));
            }
        }
        self.env.crash.pass(CrashPoint::BatchesPublished).await;
        let first = records.create_report(report).await?;
        tracing::debug!(task = %report.task, first, scanned = report.counts.scanned, "scan task reported");
        self.env.crash.pass(CrashPoint::ReportStored).await;
        Ok(Disposition::Done)
    }
}

impl Handler for Scanner {
    type Message = ScanTask;

    const TOPIC: Topic = Topic::Tasks;

    fn identity(&self, task: &ScanTask) -> (RunId, String) {
        (task.run, format!("task/{}", task.task))
    }

    async fn handle(&self, task: &ScanTask, delivery: &Delivery) -> Result<Disposition, Failure> {
        self.env.crash.pass(CrashPoint::TaskTaken).await;
        self.scan(task, delivery).await
    }

    async fn give_up(&self, task: &ScanTask, failure: &Failure) -> Result<(), Failure> {
        let node_failed = matches!(failure, Failure::Redis(_));
        self.env
            .records(task.run)
            .create_report(&TaskReport::lost(task, failure.to_string(), node_failed))
            .await?;
        Ok(())
    }
}

/// Keeps a task ours while it advances, and notices when its run is cancelled.
struct Pulse {
    progress_every: Duration,
    progressed: Instant,
    checked: Instant,
}

impl Pulse {
    fn new(env: &Env) -> Self {
        let now = Instant::now();
        Self { progress_every: env.timing.ack_wait / 3, progressed: now, checked: now }
    }

    /// Called after each step. `false`: the run was cancelled.
    async fn beat(&mut self, records: &Records, delivery: &Delivery) -> bool {
        if self.progressed.elapsed() >= self.progress_every {
            self.progressed = Instant::now();
            // If this fails, another worker may start the task as well, which is harmless.
            let _ = delivery.handle.progress().await;
        }
        if self.checked.elapsed() < CANCEL_CHECK {
            return true;
        }
        self.checked = Instant::now();
        !matches!(records.cancel().await, Ok(Some(_)))
    }
}

/// A task at work.
struct Reading {
    tally: Tally,
    approximate: bool,
    pulse: Pulse,
}

impl Reading {
    /// Walks until the end, or until enough candidates are held. `false`: the run was cancelled.
    async fn go_through(
        &mut self,
        walk: &mut Walk,
        conn: &Conn,
        spec: &RunSpec,
        records: &Records,
        delivery: &Delivery,
    ) -> Result<bool, Fault> {
        let selector = Selector::new(&spec.rules);
        let (mut slots, mut keys): (Vec<u16>, Vec<Key>) = (Vec::new(), Vec::new());
        loop {
            // Those that are about to be looked up may all become candidates.
            let pending: usize = keys.iter().map(Key::len).sum();
            let full = self.tally.candidate_bytes + pending >= TASK_CANDIDATE_BYTES_MAX;
            let listings = if full { Vec::new() } else { walk.ask() };
            if listings.is_empty() && keys.is_empty() {
                return Ok(true);
            }
            let (pages, ttls) = window(conn, &listings, &keys).await?;
            self.tally.looked_up(&slots, std::mem::take(&mut keys), &ttls, &selector);
            slots.clear();
            if !listings.is_empty() {
                match walk.take(pages) {
                    Taken::Restart => {
                        self.approximate = true;
                        self.tally.restart();
                    }
                    Taken::Keys(listed) => {
                        let wanted = self.tally.listed(listed, walk.may_repeat(), &selector);
                        (slots, keys) = wanted.into_iter().map(|listed| (listed.slot, listed.key)).unzip();
                    }
                }
            }
            if !self.pulse.beat(records, delivery).await {
                return Ok(false);
            }
        }
    }

    fn report(
        self,
        task: &ScanTask,
        spec: &RunSpec,
        reached: &Reached,
        before: &Look,
        after: &Look,
        now_ms: u64,
    ) -> (TaskReport, Vec<ReapBatch>) {
        let lookups = self.tally.lookups;
        let settled = Settled::of(&task.scope, reached, before, after, &self.tally.moved);
        let (counts, long_keys, candidates) =
            self.tally.settle(|slot| settled.keep.as_ref().is_none_or(|keep| keep.contains(slot)));
        let group_keys_max = spec.rules.delete_batch_keys as usize;
        let batches = batching::batches(task, candidates, group_keys_max, spec.rules.grace_ms, now_ms);
        let report = TaskReport {
            covered: settled.covered,
            rest: settled.rest,
            counts,
            batches: batching::listed(&batches),
            long_keys,
            lookups,
            approximate: self.approximate || settled.approximate,
            ..TaskReport::blank(task)
        };
        (report, batches)
    }
}

/// What the node said about itself before or after the reading.
struct Look {
    /// Only asked for where cursors matter.
    process: Option<String>,
    /// Only in a cluster.
    slots: Option<SlotView>,
}

impl Look {
    async fn take(conn: &Conn, spec: &RunSpec, scope: &Scope) -> Result<Self, Fault> {
        let slots = if spec.cluster { Some(node::slot_view(conn).await?) } else { None };
        let process = match scope {
            Scope::Cursors(_) => Some(node::status(conn, spec.db).await?.process),
            Scope::Slots { .. } => None,
        };
        Ok(Self { process, slots })
    }

    /// The report that gives the task up, if the cursors of its pass mean nothing any more.
    fn restarted(&self, task: &ScanTask) -> Option<TaskReport> {
        let (Scope::Cursors(cursors), Some(process)) = (&task.scope, &self.process) else { return None };
        let cause = "the server was restarted or replaced, and its cursors with it";
        (cursors.process != *process).then(|| TaskReport::lost(task, cause, true))
    }
}

/// What of a reading counts, once the second look at the node's slots is known.
struct Settled {
    covered: Covered,
    rest: Vec<Rest>,
    /// The slots whose tallies count; `None` for all.
    keep: Option<SlotSet>,
    approximate: bool,
}

impl Settled {
    fn of(scope: &Scope, reached: &Reached, before: &Look, after: &Look, moved: &SlotSet) -> Self {
        let stable = |slots: &SlotSet| match (&before.slots, &after.slots) {
            (Some(before), Some(after)) => after.stable_since(before, slots).difference(moved),
            _ => slots.clone(),
        };
        match scope {
            Scope::Slots { listing, .. } => Self::of_slots(*listing, reached, &stable(&reached.slots)),
            Scope::Cursors(cursors) => Self::of_cursors(cursors, reached, cursors.slots.as_ref().map(stable)),
        }
    }

    fn of_slots(listing: SlotListing, reached: &Reached, stable: &SlotSet) -> Self {
        let mut rest = Vec::new();
        let mut hand_back = |reason, slots: &SlotSet, listing| {
            if !slots.is_empty() {
                rest.push(Rest { reason, scope: Scope::Slots { slots: slots.clone(), listing }, pass: None });
            }
        };
        hand_back(RestReason::Unstable, &reached.slots.difference(stable), listing);
        hand_back(RestReason::Giant, &reached.giant, listing);
        hand_back(RestReason::Unordered, &reached.unordered, SlotListing::KeysInSlot);
        // A task that is full of one slot's candidates would be full again: that slot is read in ranges.
        let stuck = reached.slots.is_empty() && reached.giant.is_empty() && reached.unordered.is_empty();
        let first: SlotSet = reached.unread.iter().take(usize::from(stuck)).collect();
        hand_back(RestReason::Giant, &first, listing);
        hand_back(RestReason::Full, &reached.unread.difference(&first), listing);
        Self { covered: Covered::Slots(stable.clone()), rest, keep: Some(stable.clone()), approximate: false }
    }

    fn of_cursors(cursors: &CursorScope, reached: &Reached, stable: Option<SlotSet>) -> Self {
        let mut rest = Vec::new();
        if !reached.unread_ranges.is_empty() {
            let scope = CursorScope {
                ranges: reached.unread_ranges.clone(),
                slots: stable.clone(),
                ..cursors.clone()
            };
            rest.push(Rest { reason: RestReason::Full, scope: Scope::Cursors(scope), pass: None });
        }
        // A slot that moved during one part of a pass has to be read again as a whole; what other parts
        // counted of it stays counted.
        let unstable = match (&cursors.slots, &stable) {
            (Some(all), Some(stable)) => all.difference(stable),
            _ => SlotSet::new(),
        };
        let approximate = !unstable.is_empty();
        if approximate {
            let scope = Scope::Slots { slots: unstable, listing: SlotListing::KeysInSlot };
            rest.push(Rest { reason: RestReason::Unstable, scope, pass: Some(cursors.pass) });
        }
        let covered =
            Covered::Ranges { pass: cursors.pass, slots: stable.clone(), ranges: reached.ranges.clone() };
        Self { covered, rest, keep: stable, approximate }
    }
}

/// A report that covers nothing and asks for the whole task to be planned again.
fn handed_back(task: &ScanTask) -> TaskReport {
    let pass = match &task.scope {
        Scope::Cursors(cursors) => Some(cursors.pass),
        Scope::Slots { .. } => None,
    };
    let rest = vec![Rest { reason: RestReason::Unstable, scope: task.scope.clone(), pass }];
    // What other parts of its pass have counted stays counted, and is read again with all of its slots.
    let approximate = matches!(task.scope, Scope::Cursors(_));
    TaskReport { rest, approximate, ..TaskReport::blank(task) }
}
